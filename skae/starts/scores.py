"""PCA of standardised scores: initial models for likelihoods that are not Gaussian."""

from dataclasses import replace

import numpy as np

from ..data.table import SEARCH_ROWS, some_rows
from .normal import Normal
from .pca import pca
from .probabilistic_pca import probabilistic_pca
from .start import choose_latent_dim, linear

_VALUES = 2**22  # the most values of the rows that a line search evaluates ...
_LEAST_ROWS = 200  # ... unless these are fewer rows


def pca_of(table, latent_dim, likelihood):
    """Compute PCA of rows, or of their standardised scores if they are not Gaussian."""
    if likelihood.is_normal:
        return pca(table, latent_dim)
    return score_pca(table, latent_dim, likelihood)


def probabilistic_pca_of(table, latent_dim, likelihood):
    """Compute probabilistic PCA of rows, or of their scores if they are not Gaussian."""
    if likelihood.is_normal:
        return probabilistic_pca(table, latent_dim)
    return score_probabilistic_pca(table, latent_dim, likelihood)


def score_pca(table, latent_dim, likelihood):
    """Compute PCA of standardised scores, the autoencoder's initial model of non-Gaussian rows.

    PCA of the standardised score around independent features gives directions in the space of
    natural parameters. A line search gives the step along them. The step may be 0, so the model
    is never worse than independent features.
    """
    _, spread = independent(table, likelihood)
    values, axes = replace(table, scale=spread).principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    start = linear(table, axes[:, :k], axes[:, :k], values[:k], 1.0)
    clean = searched(table.sample)
    return along_scores(start, table, likelihood, clean, table.standard(clean))


def score_probabilistic_pca(table, latent_dim, likelihood, within=None, logits=0.0):
    """Compute probabilistic PCA of standardised scores, the VAE's initial model of such rows.

    `within` is the table of residuals of rows after subtracting the mean given their conditions.
    `logits`, (n, d), are the effects of conditions on the natural parameters, for the rows of its
    sample.

    To second order around independent features, the ELBO is that of probabilistic PCA of the
    standardised score with unit noise, whose optimum is known. The step towards this optimum,
    from 0 to 1, maximises the exact ELBO.
    """
    within = table if within is None else within
    bias, spread = independent(table, likelihood)
    mean_of_rows = smoothed_mean(table, likelihood)
    values, axes = replace(within, scale=spread).principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    axes, values = axes[:, :k], np.maximum(values[:k], 1.0)
    rows = searched(table.sample)
    deviations = (searched(within.sample) - within.mean) / spread
    if table.has_gaps:
        rows = np.where(np.isnan(rows), mean_of_rows, rows)
        deviations = np.where(np.isnan(deviations), 0.0, deviations)
    scores = deviations @ axes
    draws = np.random.default_rng(0).standard_normal((8, k))

    def posterior(step):
        """Return the likelihood, the decoder, the encoder of scores, codes, and variances."""
        lengths = step * np.sqrt(values - 1.0)
        effect = likelihood.effect((axes * lengths).T, mean_of_rows)
        given = likelihood.given(effect)
        if given.noise is None:  # of variance 1, so that codes are independent
            gain = lengths / (1.0 + lengths**2)
            return given, effect, axes * gain, scores * gain, 1.0 / (1.0 + lengths**2)
        over_noise = axes * lengths / given.noise[:, None]
        precision = np.eye(k) + (axes * lengths).T @ over_noise
        reader = over_noise @ np.linalg.inv(precision)
        return given, effect, reader, deviations @ reader, 1.0 / np.diag(precision)

    def negative_elbo(step):
        given, effect, _, mean, variance = posterior(step)
        losses = [
            given.loss(rows, bias + logits + given.bent((mean + np.sqrt(variance) * draw) @ effect))
            for draw in draws
        ]
        kl = 0.5 * (mean**2 + variance - 1.0 - np.log(variance)).sum(axis=1)
        return (np.mean(losses, axis=0) + kl).mean()

    step = min(np.linspace(1.0, 0.0, 9), key=negative_elbo)
    given, effect, reader, _, variance = posterior(step)
    inputs = None
    if likelihood.takes_gaps:
        unit = spread / table.scale
        noise = np.square(unit) * (1.0 if given.noise is None else given.noise)
        lengths = step * np.sqrt(values - 1.0)
        inputs = Normal(np.zeros(len(axes)), (axes * lengths).T * unit, noise)
    start = replace(
        linear(table, axes, axes, np.ones(k), 1.0),
        dispersion=likelihood.dispersion,
        inputs=inputs,
        encoder=reader * (table.scale / spread)[:, None],
        decoder=effect,
        decoder_bias=bias,
        code_scale=np.ones(k),
        log_variance=np.log(variance),
    )
    return replace(start, offsets=likelihood.offsets(start))


def along_scores(start, table, likelihood, clean, inputs):
    """Convert a linear map of standardised scores to one of natural parameters, by line search."""
    bias, spread = independent(table, likelihood)
    encoder = start.encoder * (table.scale / spread)[:, None]
    decoder = likelihood.effect(start.decoder, smoothed_mean(table, likelihood))
    direction = (inputs @ encoder + start.encoder_bias) @ decoder

    def loss(step):
        return likelihood.loss(clean, bias + likelihood.bent(step * direction)).mean()

    from scipy.optimize import minimize_scalar

    step = minimize_scalar(loss, bounds=(0.0, 10.0), method="bounded").x
    decoder = decoder * (step if loss(step) < loss(0.0) else 0.0)
    return replace(
        start,
        dispersion=likelihood.dispersion,
        scale=table.scale,
        input_scale=table.scale,
        encoder=encoder,
        decoder=decoder,
        decoder_bias=bias,
        code_scale=np.linalg.norm(start.decoder, axis=1),
        log_variance=np.zeros(start.latent_dim),
    )


def error_left(start, table, likelihood):
    """Return the mean loss of a row under an initial model, above the lowest possible, in nats.

    For Gaussian rows it is half the squared error in units of the noise, half a nat per
    dimension (including those of the codes). Otherwise it is half the deviance.
    """
    if likelihood.is_normal:
        return 0.5 * min(table.n_samples, len(table.mean))
    rows = searched(table.sample)
    codes = table.standard(rows) @ start.encoder + start.encoder_bias
    logits = likelihood.bent(codes @ start.decoder) + start.decoder_bias
    least = likelihood.least(rows)
    return float((likelihood.loss(rows, logits) - least).mean())


def independent(table, likelihood):
    """Return natural parameters of independent features, and the spread of their scores."""
    mean = smoothed_mean(table, likelihood)
    return likelihood.natural(mean), likelihood.spread(mean)


def smoothed_mean(table, likelihood):
    """Return the mean of a table, away from values without a natural parameter."""
    return likelihood.smoothed(table.mean, table.n_samples)


def searched(X, n_features=None):
    """Return the rows of X that a line search evaluates, fewer if they are wide."""
    width = n_features or X.shape[1]
    return some_rows(X, min(SEARCH_ROWS, max(_LEAST_ROWS, _VALUES // width)))[:]
