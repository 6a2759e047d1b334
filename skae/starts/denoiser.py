"""The linear denoiser with the lowest squared error."""

from dataclasses import replace

import numpy as np

from ..data.table import eigh, fix_signs
from .normal import LEAST_NOISE, Normal
from .scores import along_scores, independent
from .start import choose_latent_dim, linear


def linear_denoiser(table, latent_dim, moments, n_pairs=None):
    """Compute the rank-k linear map from corrupted to clean rows with the lowest squared error.

    It is a reduced-rank regression (Izenman 1975) on the moments of the corruption, as in the
    marginalised denoising autoencoder (Chen et al. 2012).

    Parameters
    ----------
    table : Table
        Table of the clean rows.
    latent_dim : int or float
        The rank, or the fraction of the predictable variance to retain.
    moments : tuple of ndarrays of shapes (d,), (d, d) and (d, d)
        Mean of a corrupted row, its covariance with the clean row (clean first), and its
        covariance, for standardised rows.
    n_pairs : int or None
        Number of pairs of rows that the moments were estimated from. The regression has a ridge
        penalty if these are few. None means that the moments are exact.
    """
    shift, cross, corrupted = moments
    total = (table.variance / table.scale**2).sum()
    regression = cross @ _inverse(cross, corrupted, total, n_pairs)
    values, axes = eigh(regression @ cross.T)
    values, axes = np.maximum(values, 0.0), fix_signs(axes)
    k = choose_latent_dim(latent_dim, values)
    axes, values = axes[:, :k], values[:k]
    noise = max(total - values.sum(), 0.0) / len(axes)
    start = linear(table, regression.T @ axes, axes, values, noise)
    return replace(start, encoder_bias=-shift @ start.encoder)


def with_gaps(start, table, latent_dim, moments, kept):
    """Return a linear denoiser with the distribution of corrupted rows, to fill in gaps.

    Corruption is independent for every feature, so it scales the factors of the table by `kept`
    and changes the noise.
    """
    shift, _, corrupted = moments
    values, axes = table.principal_axes(latent_dim)
    rank = np.count_nonzero(values > values.min() * (1.0 + 1e-9))
    noise = values[rank:].mean() if rank < len(values) else 0.0
    weights = kept * (axes[:, :rank] * np.sqrt(values[:rank] - noise)).T
    left = np.diag(corrupted) - np.square(weights).sum(axis=0)
    normal = Normal(shift, weights, np.maximum(left, LEAST_NOISE))
    return replace(start, inputs=normal)


def score_denoiser(table, latent_dim, likelihood, moments, clean, corrupted, n_pairs=None):
    """Compute the linear denoiser of standardised scores, in natural parameters; see `score_pca`.

    The line search uses `clean`, rows of X, and `corrupted`, the same rows corrupted and
    standardised.
    """
    _, spread = independent(table, likelihood)
    ratio = table.scale / spread
    shift, cross, covariance = moments
    outer = np.outer(ratio, ratio)
    scaled = (shift * ratio, cross * outer, covariance * outer)
    start = linear_denoiser(replace(table, scale=spread), latent_dim, scaled, n_pairs)
    return along_scores(start, table, likelihood, clean, corrupted)


def _inverse(cross, corrupted, total, n_pairs):
    """Invert the covariance of corrupted rows, with a ridge if it is estimated from pairs.

    The ridge is the smallest one whose generalised cross-validation error (Golub, Heath & Wahba
    1979) is within one per cent of the minimum.
    """
    if n_pairs is None:
        return np.linalg.pinv(corrupted, hermitian=True)
    values, axes = eigh(corrupted)
    known = values > 1e-12 * values.max(initial=1e-300)
    values, axes = values[known], axes[:, known]
    explained = np.square(cross @ axes).sum(axis=0)

    def error(ridge):
        left = total - (explained * (2.0 / (values + ridge) - values / (values + ridge) ** 2)).sum()
        freedom = 1.0 - (1.0 + (values / (values + ridge)).sum()) / n_pairs
        return left / freedom**2 if freedom > 1e-9 else np.inf

    ridges = np.append(0.0, np.logspace(-6, 3, 37) * corrupted.trace() / len(corrupted))
    errors = np.array([error(ridge) for ridge in ridges])
    ridge = ridges[np.argmax(errors <= 1.01 * errors.min())]
    return axes / (values + ridge) @ axes.T
