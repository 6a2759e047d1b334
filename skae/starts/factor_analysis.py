"""Factor analysis: a linear model with one noise variance per feature."""

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from ..data.table import eigh
from .start import ERROR_FLOOR

_WIDTH = 128  # the most features for which factor analysis is computed
_EVALUATIONS = 100  # the most eigendecompositions per initial value
_LEAST_NOISE = 1e-12  # noise variance of a standardised feature, as in scikit-learn


def factor_analysis(table, start):
    """Fit factor analysis (Rubin & Thayer 1982), with one noise variance per feature.

    With features in units of their noise it is probabilistic PCA, so the posterior of the codes
    has a diagonal covariance here too.

    Parameters
    ----------
    table : Table
        Table for which `has_factors` is true.
    start : Start
        Probabilistic PCA.
    """
    n = len(table.X)
    covariance = table.covariance() * ((n - 1) / n)
    noise = factor_noise(covariance, start.latent_dim, start.noise_variance)
    return with_noise(start, covariance, noise)


def has_factors(table, start):
    """Return whether factor analysis is computed: a narrow table, with residual variance."""
    narrow = table.products is not None and len(table.mean) <= _WIDTH
    return narrow and start.noise_variance > ERROR_FLOOR


def factor_noise(covariance, k, equal):
    """Compute the maximum likelihood noise variance of every feature, (d,).

    L-BFGS optimises the logarithms of the variances, with the maximum likelihood loadings given
    them (Joreskog 1967). The likelihood may have several maxima, so there are two initial values:
    `equal`, the noise variance of probabilistic PCA, and the residual variance of each feature
    given the others, times ``1 - k / (2 d)``.
    """
    variance = covariance.diagonal()
    most = np.maximum(variance, _LEAST_NOISE)

    def loss(log_noise):
        noise = np.exp(log_noise)
        axes, values = _scaled_axes(covariance, k, noise)
        explained = np.square(axes) @ (values - 1.0)  # in units of the noise
        ratio = variance / noise
        value = log_noise.sum() + np.log(values).sum() + ratio.sum() - (values - 1.0).sum()
        return 0.5 * value, 0.5 * (explained + 1.0 - ratio)

    values, axes = eigh(covariance)
    precision = np.square(axes) @ (1.0 / np.maximum(values, _LEAST_NOISE))
    begins = equal, (1.0 - 0.5 * k / len(variance)) / precision
    searches = [
        minimize(
            loss,
            np.log(np.clip(begin, _LEAST_NOISE, most)),
            jac=True,
            method="L-BFGS-B",
            bounds=[(math.log(_LEAST_NOISE), highest) for highest in np.log(most)],
            options={"maxfun": _EVALUATIONS, "ftol": 1e-8},
        )
        for begin in begins
    ]
    return np.exp(min(searches, key=lambda search: search.fun).x)


def with_noise(start, covariance, noise):
    """Return the model with these noise variances, (d,), and maximum likelihood loadings."""
    axes, values = _scaled_axes(covariance, start.latent_dim, noise)
    decoder = (axes * np.sqrt(noise)[:, None] * np.sqrt(values - 1.0)).T
    return replace(
        start,
        encoder=decoder.T / noise[:, None] / values,
        decoder=decoder,
        noise_variance=noise,
        log_variance=-np.log(values),
    )


def _scaled_axes(covariance, k, noise):
    """Return k principal axes of features in units of their noise, and variances of at least 1."""
    scale = np.sqrt(noise)
    values, axes = eigh(covariance / np.outer(scale, scale))
    return axes[:, :k], np.maximum(values[:k], 1.0)
