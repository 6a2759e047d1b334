"""Probabilistic PCA of the residuals of a regression on conditions."""

from dataclasses import replace

import numpy as np

from ..data.table import left_by
from .probabilistic_pca import probabilistic_pca
from .scores import independent, score_probabilistic_pca, searched


def conditional_pca(table, inputs, latent_dim, likelihood, classes):
    """Compute probabilistic PCA around the mean that a row's conditions predict.

    Parameters
    ----------
    table : Table
        Table of the rows.
    inputs : Table
        Table of the same rows, (n, d + q), followed by q conditions: class indicators, or
        numbers of mean 0.
    latent_dim : int or float
    likelihood : Likelihood
    classes : bool
        Whether conditions are classes. For a likelihood that is not Gaussian, the frequencies
        of each class give its logits. The effect of numbers is left to the network.
    """
    products, effects, centre, within = inputs.regressed(table, classes)
    if table.has_gaps and likelihood.is_normal:  # then the mean is estimated given the conditions
        start = probabilistic_pca(replace(within, scale=table.scale), latent_dim)
        table = replace(table, mean=table.mean + within.mean)
        return with_conditions(start, table, effects, effects, centre)
    rows = searched(inputs.sample, len(table.mean))
    within = replace(within, sample=left_by(rows, table, effects, centre))
    if likelihood.is_normal:
        start = probabilistic_pca(replace(within, scale=table.scale), latent_dim)
        return with_conditions(start, table, effects, effects, centre)
    on_logits = np.zeros_like(effects)
    if classes:
        sizes = products.diagonal()[:, None]
        # Small classes are shrunk towards the frequencies of all rows.
        overall = likelihood.smoothed(table.mean, table.n_samples)
        # With gaps, what is regressed may be beyond all values.
        p = np.clip(table.mean + effects * table.scale, table.low, table.high)
        p = (sizes * p + overall) / (sizes + 1.0)
        on_logits = likelihood.natural(p) - independent(table, likelihood)[0]
    logits = rows[:, len(table.mean) :] @ on_logits
    start = score_probabilistic_pca(table, latent_dim, likelihood, within, logits)
    return with_conditions(start, table, effects, on_logits, centre)


def with_conditions(start, table, seen, answered, centre):
    """Extend an initial model to rows and codes that are followed by conditions.

    `seen` (q, d) are the effects of conditions minus `centre` (q,) on standardised rows, which
    the encoder subtracts. `answered` (q, d) are their effects on decoded rows.
    """
    q = len(seen)
    return replace(
        start,
        mean=table.mean,
        scale=table.scale,
        input_mean=np.append(table.mean, np.zeros(q)),
        input_scale=np.append(np.full(len(table.mean), table.scale), np.ones(q)),
        encoder=np.vstack([start.encoder, -seen @ start.encoder]),
        encoder_bias=start.encoder_bias + centre @ seen @ start.encoder,
        decoder_bias=start.decoder_bias - centre @ answered,
        decoder=np.vstack([start.decoder, answered]),
        code_scale=np.ones(1),
    )
