"""Factor analysis: a start with a noise variance per feature."""

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from ..data.table import eigh
from .start import ERROR_FLOOR

_WIDTH = 128  # features up to which there is factor analysis
_EVALUATIONS = 100  # eigendecompositions in which it is looked for from one place, at most
_LEAST_NOISE = 1e-12  # of a standardised feature: scikit-learn's, above rounding in float32


def factor_analysis(table, start):
    """Factor analysis (Rubin & Thayer 1982): a start with a noise variance per feature.

    With features in units of their noise it is probabilistic PCA, so the posterior of a code
    has a diagonal covariance here too.

    Parameters
    ----------
    table : Table
        One that `has_factors`.
    start : Start
        Probabilistic PCA.
    """
    n = len(table.X)
    covariance = table.covariance() * ((n - 1) / n)
    noise = factor_noise(covariance, start.latent_dim, start.noise_variance)
    return with_noise(start, covariance, noise)


def has_factors(table, start):
    """Whether there is factor analysis of a table, of which codes leave something."""
    narrow = table.products is not None and len(table.mean) <= _WIDTH
    return narrow and start.noise_variance > ERROR_FLOOR


def factor_noise(covariance, k, equal):
    """The likeliest noise variance of every feature, (d,).

    It is looked for by L-BFGS over logarithms, with the likeliest loadings at each (Joreskog
    1967). The likelihood may have several maxima, so it begins twice: at `equal`, the noise of
    probabilistic PCA, and at what the other features do not tell of each, a little less of it
    the more codes there are.
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
    """A start with this noise variance of every feature, (d,), and the likeliest loadings."""
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
    """Of features in units of their noise: k axes, and variances along them, 1 at least."""
    scale = np.sqrt(noise)
    values, axes = eigh(covariance / np.outer(scale, scale))
    return axes[:, :k], np.maximum(values[:k], 1.0)
