"""Densities of rows under classical models: probabilistic PCA and factor analysis."""

import numpy as np

from ..data.table import eigh
from ..starts.factor_analysis import factor_noise, with_noise
from ..starts.normal import LowRank
from ..starts.start import ERROR_FLOOR, noise_left


def log_evidence(start, x):
    """Return the log-density of standardised rows under a linear Gaussian model, in nats, (n,).

    The posterior is known exactly, so the density is ``p(x | z) p(z) / p(z | x)`` at any z, here
    the posterior mean. Rows (n, d) may be followed by conditions, if `start` includes them. The
    density of a row with gaps, which are NaN, is that of the other entries.
    """
    d = len(start.mean)
    gaps = np.isnan(x[:, :d]).any(axis=1)
    if gaps.any():
        out = np.empty(len(x))
        out[gaps] = _of_seen(start, x[gaps])
        out[~gaps] = log_evidence(start, x[~gaps])
        return out
    noise = np.broadcast_to(start.noise_variance, d)
    z = x @ start.encoder + start.encoder_bias
    left = x[:, :d] - np.hstack([z, x[:, d:]]) @ start.decoder - start.decoder_bias
    with np.errstate(over="ignore"):  # the density of extreme rows underflows to 0
        squares = np.square(left) @ (1.0 / noise) + np.square(z).sum(axis=1)
    return -0.5 * (squares + np.log(2.0 * np.pi * noise).sum() - start.log_variance.sum())


def _of_seen(start, x):
    d, k = len(start.mean), start.encoder.shape[1]
    mean = start.decoder_bias + x[:, d:] @ start.decoder[k:]
    seen = ~np.isnan(x[:, :d])
    deviations = np.where(seen, x[:, :d] - mean, 0.0)
    noise = np.broadcast_to(start.noise_variance, d)
    return LowRank(start.decoder[:k], noise).log_density(deviations, seen.astype(np.float64))


def without(table, start, rows, x):
    """Return log-densities of standardised rows x under models fitted without some `rows`.

    The models are probabilistic PCA and factor analysis, fitted to the table without `rows`, with
    as many codes as `start` has. The result has shape (2, m).
    """
    n_left, k = len(table.X) - len(rows), start.latent_dim
    mean = -rows.sum(axis=0) / n_left
    products = (len(table.X) - 1) * table.covariance() - rows.T @ rows
    covariance = products / n_left - np.outer(mean, mean)
    equal = max(noise_left(eigh(covariance)[0], k), ERROR_FLOOR)
    noises = np.full(len(mean), equal), factor_noise(covariance, k, equal)
    return [log_evidence(with_noise(start, covariance, of), x - mean) for of in noises]


def drawn(start, codes, rng):
    """Draw rows from a linear Gaussian model given their codes, in units of X."""
    x = codes @ start.decoder + start.decoder_bias
    x += np.sqrt(start.noise_variance) * rng.standard_normal(x.shape)
    return x * start.scale + start.mean


def moments(start):
    """Return mean (d,) and covariance (d, d) of a linear Gaussian model, in units of X."""
    loadings = start.decoder * start.scale
    noise = np.broadcast_to(start.noise_variance * start.scale**2, len(start.mean))
    return start.mean + start.decoder_bias * start.scale, loadings.T @ loadings + np.diag(noise)
