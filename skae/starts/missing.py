"""Probabilistic PCA of rows with gaps, by expectation maximisation."""

import numbers
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from ..data.table import Table, fix_signs, some_rows
from .normal import LowRank

_ITERATIONS = 500  # the most
_GAIN = 1e-7  # least gain per entry, in nats, to go on
_FIRST_ROWS = 5000  # rows of the first iterations
_LATER = 30  # the most iterations on all rows, if there are more
LEAST_NOISE = 1e-9  # noise variance of a standardised feature
# The least at which training to impute begins. With less, features that are nearly exact would hide
# the others from the loss.
NOISE_TO_IMPUTE = 0.02
_LEAST_FIRST = 1e-3  # the same at first
_MOST_RANK = 128  # if the number of codes is not given


@dataclass(frozen=True)
class Normal:
    """A normal distribution of rank k in d dimensions, plus independent noise."""

    mean: np.ndarray  # (d,)
    weights: np.ndarray  # (k, d)
    noise: np.ndarray  # (d,), variances


def fit_normal(table, rank, least_noise, n_iterations):
    """Fit probabilistic PCA to the entries that are there.

    Parameters
    ----------
    table : Table
        Rows with NaN for missing entries. The result is of its standardised rows.
    rank : int
        Number of codes.
    least_noise : float
        Lower bound of the noise variance of standardised features.
    n_iterations : int
        The most iterations.

    Notes
    -----
    It begins with PCA of the rows with means for gaps, and goes on by EM (Ilin & Raiko 2010), in
    which codes are whitened after each iteration (parameter expansion, Liu, Rubin & Wu 1998): tens
    of iterations suffice instead of hundreds. With more than 5,000 rows, the first iterations see
    5,000 of them. Every further one is a pass over the table.
    """
    n = len(table.X)
    some = table.standard(some_rows(table.X, _FIRST_ROWS)) if n > _FIRST_ROWS else None
    if some is None:
        normal = _begin(np.concatenate(list(table.standardised())), rank)
    else:
        normal = _iterate(_begin(some, rank), lambda: [some], least_noise, n_iterations)
        n_iterations = _LATER
    return _iterate(normal, table.standardised, least_noise, n_iterations)


def _begin(x, rank):
    seen = ~np.isnan(x)
    n_seen = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, x, 0.0).sum(axis=0) / n_seen
    filled = Table.of(np.where(seen, x, mean))
    values, axes = filled.principal_axes(rank)
    values = values * filled.scale**2
    noise = max(values[rank:].mean() if rank < len(values) else 0.0, _LEAST_FIRST * values.mean())
    excess = np.maximum(values[:rank] - noise, _LEAST_FIRST * noise)
    noise = max(noise, LEAST_NOISE)
    return Normal(mean, (axes[:, :rank] * np.sqrt(excess)).T, np.full(x.shape[1], noise))


def _iterate(normal, read, least_noise, n_iterations):
    """Run EM on the blocks of rows that `read` returns, until it converges."""
    before = -np.inf
    for _ in range(n_iterations):
        sums = _sums(normal, read())
        if not sums.log_density > before + _GAIN * sums.n_entries:
            break
        before = sums.log_density
        normal = _maximised(normal, sums, least_noise)
    return normal


class _Sums(NamedTuple):
    """Sums over rows of what `LowRank.expected` returns, and of squares."""

    products: np.ndarray  # (d, k + 1, k + 1)
    cross: np.ndarray  # (d, k + 1)
    codes: np.ndarray  # (k + 1, k + 1)
    log_density: float
    squares: np.ndarray  # (d,), of deviations from the mean
    n_entries: int


def _sums(normal, blocks):
    total: Any = None
    low_rank = LowRank(normal.weights, normal.noise)
    for x in blocks:
        there = ~np.isnan(x)
        seen = there.astype(np.float64)
        deviations = np.where(there, x - normal.mean, 0.0)
        parts = low_rank.expected(deviations, seen)
        parts = (*parts, np.square(deviations).sum(axis=0), int(there.sum()))
        total = parts if total is None else [a + b for a, b in zip(total, parts, strict=True)]
    return _Sums(*total)


def _maximised(normal, sums, least_noise):
    """Return the normal distribution that the M-step of EM finds."""
    k = len(normal.weights)
    n_seen = sums.products[:, k, k]
    known = n_seen > 0
    # A ridge of rounding size, for features with fewer entries than codes.
    ridge = 1e-10 * (sums.products.trace(axis1=1, axis2=2) + ~known)
    ridge = ridge[:, None, None] * np.eye(k + 1)
    found = np.linalg.solve(sums.products + ridge, sums.cross[:, :, None])[:, :, 0]
    squares = sums.squares - 2.0 * (found * sums.cross).sum(axis=1)
    squares += np.einsum("di,dij,dj->d", found, sums.products, found)
    noise = max(squares.sum() / n_seen.sum(), least_noise)
    # Whiten the codes: their mean becomes 0, and their covariance the identity.
    n = sums.codes[k, k]
    shift = sums.codes[k, :k] / n
    covariance = sums.codes[:k, :k] / n - np.outer(shift, shift)
    weights, mean = found[:, :k].T, normal.mean + found[:, k] + shift @ found[:, :k].T
    weights = np.linalg.cholesky(covariance).T @ weights
    return Normal(mean, weights, np.full(len(mean), noise))


@dataclass(frozen=True)
class ModelledTable(Table):
    """A table with gaps, whose moments are those of a normal distribution of low rank."""

    normal: Normal = field(kw_only=True)  # of standardised rows

    def covariance(self):
        """Return the covariance of standardised rows under the normal distribution, (d, d)."""
        weights, noise = self.normal.weights, self.normal.noise
        return weights.T @ weights + np.diag(noise)

    def principal_axes(self, latent_dim):
        """Return eigenvalues of the covariance, decreasing, and eigenvectors as columns.

        There are min(n, d) eigenvalues. Those beyond the rank of the distribution are its noise.
        """
        _, lengths, axes = np.linalg.svd(self.normal.weights, full_matrices=False)
        noise = self.normal.noise.mean()
        values = np.full(min(self.X.shape), noise)
        values[: len(lengths)] += np.square(lengths)
        if len(axes) == len(values) - 1:  # one axis is left
            least = np.square(axes).sum(axis=0).argmin()
            left = np.eye(axes.shape[1])[least] - axes[:, least] @ axes
            axes = np.vstack([axes, left / np.linalg.norm(left)])
        return values, fix_signs(axes.T)


def modelled(table, latent_dim, least_noise=LEAST_NOISE, n_iterations=_ITERATIONS):
    """Return a table with gaps with the moments of probabilistic PCA.

    `latent_dim` is the number of its codes. If it is no int, the rank is the highest possible,
    at most 128. `least_noise` and `n_iterations` are those of :func:`fit_normal`.
    """
    n_short = min(table.X.shape)
    most = max(n_short - 1, 0)
    whole = isinstance(latent_dim, numbers.Integral)
    rank = min(int(latent_dim), most) if whole else min(most, _MOST_RANK)
    normal = fit_normal(table, rank, least_noise, n_iterations)
    # Unbiased, as PCA's.
    unbiased = len(table.X) / (len(table.X) - 1) if len(table.X) > 1 else 1.0
    normal = Normal(normal.mean, normal.weights * unbiased**0.5, normal.noise * unbiased)
    variance = (np.square(normal.weights).sum(axis=0) + normal.noise) * table.scale**2
    moments = {part.name: getattr(table, part.name) for part in fields(Table)}
    moments.update(mean=table.mean + normal.mean * table.scale, variance=variance)
    return ModelledTable(**moments, normal=normal)
