"""PCA of standardised scores, for rows that are not normal: starts in natural parameters."""

from dataclasses import replace

import numpy as np

from ..data.table import some_rows
from .pca import pca
from .probabilistic_pca import probabilistic_pca
from .start import choose_latent_dim, linear


def pca_of(table, latent_dim, likelihood):
    """PCA of rows, or of their standardised scores where they are not normal."""
    if likelihood.is_normal:
        return pca(table, latent_dim)
    return score_pca(table, latent_dim, likelihood)


def probabilistic_pca_of(table, latent_dim, likelihood):
    """Probabilistic PCA of rows, or of their standardised scores where they are not normal."""
    if likelihood.is_normal:
        return probabilistic_pca(table, latent_dim)
    return score_probabilistic_pca(table, latent_dim, likelihood)


def score_pca(table, latent_dim, likelihood):
    """PCA of standardised scores: the autoencoder's start for rows that are not normal.

    PCA of the standardised score around independent features gives directions, and a
    line search how far to go along them, so the start is never worse than none.
    """
    _, spread = independent(table, likelihood)
    values, axes = replace(table, scale=spread).principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    start = linear(table, axes[:, :k], axes[:, :k], values[:k], 1.0)
    clean = some_rows(table.sample)
    return along_scores(start, table, likelihood, clean, table.standard(clean))


def score_probabilistic_pca(table, latent_dim, likelihood, within=None, logits=0.0):
    """Probabilistic PCA of standardised scores: the VAE's start for rows that are not normal.

    `within` is the table of what is left of rows when their conditions' mean is taken
    off, and `logits`, (n, d), what these add to the logits of the rows of its sample.

    To second order around independent features the ELBO is that of probabilistic PCA
    of the standardised score with unit noise, whose optimum is known. Going only part
    of the way (down to none) is chosen where the exact ELBO says so.
    """
    within = table if within is None else within
    bias, spread = independent(table, likelihood)
    values, axes = replace(within, scale=spread).principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    axes, values = axes[:, :k], np.maximum(values[:k], 1.0)
    rows = some_rows(table.sample)
    scores = ((some_rows(within.sample) - within.mean) / spread) @ axes
    draws = np.random.default_rng(0).standard_normal((8, 1, k))

    def posterior(step):
        weights = step * np.sqrt(values - 1.0)
        return weights, weights / (1.0 + weights**2), 1.0 / (1.0 + weights**2)

    def negative_elbo(step):
        weights, gain, variance = posterior(step)
        mean = scores * gain
        codes = mean + np.sqrt(variance) * draws
        decoded = bias + logits + codes @ (axes * weights / spread[:, None]).T
        kl = 0.5 * (mean**2 + variance - 1.0 - np.log(variance)).sum(axis=1)
        return (likelihood.loss(rows, decoded).mean(axis=0) + kl).mean()

    step = min(np.linspace(1.0, 0.0, 9), key=negative_elbo)
    weights, gain, variance = posterior(step)
    return replace(
        linear(table, axes, axes, np.ones(k), 1.0),
        encoder=axes * gain * (table.scale / spread)[:, None],
        decoder=(axes * weights).T / spread,
        decoder_bias=bias,
        code_scale=np.ones(k),
        log_variance=np.log(variance),
    )


def along_scores(start, table, likelihood, clean, inputs):
    """A linear map of standardised scores as a map to logits, as far as it helps."""
    bias, spread = independent(table, likelihood)
    encoder = start.encoder * (table.scale / spread)[:, None]
    decoder = start.decoder / spread
    direction = (inputs @ encoder + start.encoder_bias) @ decoder

    def loss(step):
        return likelihood.loss(clean, bias + step * direction).mean()

    from scipy.optimize import minimize_scalar

    step = minimize_scalar(loss, bounds=(0.0, 10.0), method="bounded").x
    return replace(
        start,
        scale=table.scale,
        input_scale=table.scale,
        encoder=encoder,
        decoder=decoder * (step if loss(step) < loss(0.0) else 0.0),
        decoder_bias=bias,
        code_scale=np.linalg.norm(start.decoder, axis=1),
        log_variance=np.zeros(start.latent_dim),
    )


def error_left(start, table, likelihood):
    """What a start leaves to be explained, per row, as the loss counts it, in nats.

    Half the squared error in units of the noise is half a nat per dimension, those of the
    codes included, and of probabilities it is half the deviance.
    """
    if likelihood.is_normal:
        return 0.5 * min(table.n_samples, len(table.mean))
    rows = some_rows(table.sample)
    codes = table.standard(rows) @ start.encoder + start.encoder_bias
    logits = codes @ start.decoder + start.decoder_bias
    least = likelihood.least(rows)
    return float((likelihood.loss(rows, logits) - least).mean())


def independent(table, likelihood):
    """Logits of independent features, and the spread of the score around them."""
    p = likelihood.smoothed(table.mean, table.n_samples)
    return likelihood.natural(p), likelihood.spread(p)
