"""Probabilistic PCA of rows with gaps, by expectation maximisation."""

import numbers
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np

from ..data.sources import blocks
from ..data.table import EXACT_WIDTH, Table, fix_signs, some_rows
from .normal import LEAST_NOISE, LowRank, Normal

_ITERATIONS = 500  # the most
_GAIN = 1e-7  # least gain per entry, in nats, to go on
FIRST_ROWS = 5000  # rows of the first iterations
_LATER = 30  # the most iterations on all rows, if there are more
# The least at which training to impute begins. With less, features that are nearly exact would hide
# the others from the loss.
NOISE_TO_IMPUTE = 0.02
_LEAST_FIRST = 1e-3  # the same at first
_MOST_RANK = 128  # if the number of codes is not given


class Factors(NamedTuple):
    """Rows as the sum of effects of conditions, of factors with normal codes, and of noise."""

    effects: np.ndarray  # (q, d)
    weights: np.ndarray  # (k, d)
    noise: np.ndarray  # (d,), variances


def fit_factors(read, sample, rank, least_noise, n_iterations):
    """Fit probabilistic PCA of what conditions do not explain to the entries that are there.

    Parameters
    ----------
    read : callable
        Returns blocks of all rows: pairs of rows (n, d), with NaN for missing entries, and
        conditions (n, q), of which a constant is one.
    sample : pair of ndarrays
        All rows, or 5,000 of them, and their conditions.
    rank : int
        Number of codes.
    least_noise : float
        Lower bound of the noise variance.
    n_iterations : int
        The most iterations.

    Notes
    -----
    It begins with PCA of the rows with means for gaps, and goes on by EM (Ilin & Raiko 2010), in
    which codes are whitened after each iteration (parameter expansion, Liu, Rubin & Wu 1998): tens
    of iterations suffice instead of hundreds. With more than 5,000 rows, the first iterations see
    5,000 of them. Every further one is a pass over all rows.
    """
    begin = _begin(sample[0], sample[1], rank)
    if len(sample[0]) == FIRST_ROWS:
        begin = _iterate(begin, lambda: [sample], least_noise, n_iterations)
        n_iterations = _LATER
    return _iterate(begin, read, least_noise, n_iterations)


def _begin(x, conditions, rank):
    """Return PCA of what a regression on conditions leaves, with 0 for gaps."""
    seen = ~np.isnan(x)
    products = np.einsum("nd,ni,nj->dij", seen, conditions, conditions, optimize=True)
    cross = np.where(seen, x, 0.0).T @ conditions
    effects = _solved(products, cross).T
    filled = Table.of(np.where(seen, x - conditions @ effects, 0.0))
    values, axes = filled.principal_axes(rank)
    values = values * filled.scale**2
    noise = max(values[rank:].mean() if rank < len(values) else 0.0, _LEAST_FIRST * values.mean())
    excess = np.maximum(values[:rank] - noise, _LEAST_FIRST * noise)
    noise = np.full(x.shape[1], max(noise, LEAST_NOISE))
    return Factors(effects, (axes[:, :rank] * np.sqrt(excess)).T, noise)


def _solved(products, cross):
    """Solve a linear system for every feature, (d, q, q) and (d, q).

    A ridge of rounding size is for features with fewer entries than unknowns.
    """
    ridge = 1e-10 * products.trace(axis1=1, axis2=2)
    ridge = np.where(ridge > 0, ridge, 1.0)[:, None, None] * np.eye(products.shape[1])
    return np.linalg.solve(products + ridge, cross[:, :, None])[:, :, 0]


def _iterate(model, read, least_noise, n_iterations):
    """Run EM on the blocks of rows that `read` returns, until it converges."""
    before = -np.inf
    for _ in range(n_iterations):
        sums = _sums(model, read())
        if not sums.log_density > before + _GAIN * sums.counts.sum():
            break
        before = sums.log_density
        model = _maximised(model, sums, least_noise)
    return model


class _Sums(NamedTuple):
    """Sums over rows of what `LowRank.expected` returns, of squares, and numbers of entries."""

    products: np.ndarray  # (d, k + q, k + q)
    cross: np.ndarray  # (d, k + q)
    codes: np.ndarray  # (k + q, k + q)
    log_density: float
    squares: np.ndarray  # (d,), of deviations from the mean
    counts: np.ndarray  # (d,)
    n_rows: int


def _sums(model, blocks):
    total: Any = None
    low_rank = LowRank(model.weights, model.noise)
    for x, conditions in blocks:
        there = ~np.isnan(x)
        seen = there.astype(np.float64)
        deviations = np.where(there, x - conditions @ model.effects, 0.0)
        parts = low_rank.expected(deviations, seen, conditions)
        parts = (*parts, np.square(deviations).sum(axis=0), seen.sum(axis=0), len(x))
        total = parts if total is None else [a + b for a, b in zip(total, parts, strict=True)]
    return _Sums(*total)


def _maximised(model, sums, least_noise):
    """Return what the M-step of EM finds."""
    k = len(model.weights)
    found = _solved(sums.products, sums.cross)
    squares = sums.squares - 2.0 * (found * sums.cross).sum(axis=1)
    squares += np.einsum("di,dij,dj->d", found, sums.products, found)
    noise = max(squares.sum() / sums.counts.sum(), least_noise)
    # Whiten the codes: given conditions, their mean becomes 0, and their covariance the identity.
    codes, both, conditions = sums.codes[:k, :k], sums.codes[:k, k:], sums.codes[k:, k:]
    shift = both @ np.linalg.pinv(conditions, hermitian=True)
    covariance = (codes - shift @ both.T) / sums.n_rows
    effects = model.effects + found[:, k:].T + shift.T @ found[:, :k].T
    weights = np.linalg.cholesky(covariance).T @ found[:, :k].T
    return Factors(effects, weights, np.full_like(model.noise, noise))


@dataclass(frozen=True)
class ModelledTable(Table):
    """A table with gaps, whose moments are those of a normal distribution of low rank."""

    normal: Normal = field(kw_only=True)  # of standardised rows

    @classmethod
    def of_factors(cls, table, found, mean):
        """Give a table the moments of factors that were found, and a mean, in units of X."""
        # Unbiased, as PCA's.
        unbiased = len(table.X) / (len(table.X) - 1) if len(table.X) > 1 else 1.0
        weights, noise = found.weights * unbiased**0.5, found.noise * unbiased
        variance = (np.square(weights).sum(axis=0) + noise) * table.scale**2
        moments = {part.name: getattr(table, part.name) for part in fields(Table)}
        moments.update(mean=mean, variance=variance)
        normal = Normal((mean - table.mean) / table.scale, weights, noise)
        return cls(**moments, normal=normal)

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
    at most 128. `least_noise` and `n_iterations` are those of :func:`fit_factors`.
    """

    def with_constant(x):
        return x, np.ones((len(x), 1))

    sample = with_constant(table.standard(some_rows(table.X, FIRST_ROWS)[:]))
    rank = rank_of(table, latent_dim)
    found = fit_factors(
        lambda: map(with_constant, table.standardised()), sample, rank, least_noise, n_iterations
    )
    mean = table.mean + found.effects[0] * table.scale
    return ModelledTable.of_factors(table, found, mean)


def rank_of(table, latent_dim):
    """Return the number of codes that probabilistic PCA of a table with gaps has."""
    most = max(min(table.X.shape) - 1, 0)
    whole = isinstance(latent_dim, numbers.Integral)
    return min(int(latent_dim), most) if whole else min(most, _MOST_RANK)


@dataclass(frozen=True)
class RegressedTable(Table):
    """Rows with gaps, each followed by complete conditions, and their regression on these."""

    effects: np.ndarray = field(kw_only=True)  # (q, d), in units of X
    within: ModelledTable = field(kw_only=True)  # with the mean of rows whose conditions are 0

    @classmethod
    def of_rows(cls, inputs, table, spread, latent_dim, classes):
        """Regress the rows of `inputs`, as :meth:`Table.regressed` does.

        `table` has the same rows without their conditions, and is modelled. `spread` is the unit in
        which noise is the same for all features.
        """
        d, table = len(table.mean), replace(table, scale=spread)

        def parts(rows):
            conditions = rows[:, d:].astype(np.float64)
            if not classes:
                conditions = np.column_stack([conditions, np.ones(len(rows))])
            return table.standard(rows[:, :d]), conditions

        rank, sample = rank_of(table, latent_dim), parts(some_rows(inputs.X, FIRST_ROWS)[:])
        options = rank, LEAST_NOISE, _ITERATIONS
        found = fit_factors(
            lambda: (parts(block) for _, block in blocks(inputs.X)), sample, *options
        )
        q = inputs.X.shape[1] - d
        effects, rest = found.effects[:q] * spread, found.effects[q:].sum(axis=0) * spread
        within = ModelledTable.of_factors(table, found, rest)
        moments = {part.name: getattr(inputs, part.name) for part in fields(Table)}
        if len(inputs.mean) <= EXACT_WIDTH:
            moments["products"] = _joint_covariance(inputs.X, effects, within)
        return cls(**moments, effects=effects, within=within)

    def regressed(self, table, classes):
        d = len(table.mean)
        conditions = np.concatenate([rows[:, d:] for rows in self.rows()])
        centre = np.zeros(conditions.shape[1])
        return conditions.T @ conditions, self.effects / table.scale, centre, self.within


def _joint_covariance(X, effects, within):
    """Return the covariance of rows followed by conditions, in units of X squared."""
    d = effects.shape[1]
    conditions = np.concatenate([rows[:, d:].astype(np.float64) for _, rows in blocks(X)])
    of_conditions = np.cov(conditions.T).reshape(len(effects), -1)
    both = of_conditions @ effects
    unit = np.broadcast_to(within.scale, d)
    of_rows = effects.T @ both + within.covariance() * np.outer(unit, unit)
    return np.block([[of_rows, both.T], [both, of_conditions]])
