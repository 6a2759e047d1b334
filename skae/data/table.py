"""Moments, ranges and principal axes of a table, from one pass over it (numpy, float64)."""

import numbers
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from .sources import Stream, blocks, is_small, is_sparse, mapped, picked

EXACT_WIDTH = 2048  # the most features for which a covariance is computed
_EXACT_LENGTH = 1024  # the largest min(n, d) for which an SVD is computed
_LONGEST_GRAM = 5000  # the most sparse rows whose products with each other are computed
_SKETCH = 512  # oversampling of a random projection of a wide stream
_SKETCH_IN_MEMORY = 64  # the same in memory, where further passes are cheap
SEARCH_ROWS = 5000  # the most rows that a line search evaluates


@dataclass(frozen=True)
class Table:
    """A table of shape (n, d) with its moments, from one pass over it."""

    X: Any  # ndarray or Stream
    mean: np.ndarray  # (d,)
    variance: np.ndarray  # (d,), unbiased, in units of X squared
    scale: float  # root of the mean variance, or 1.0 if nothing varies
    low: np.ndarray  # (d,), the smallest value of each feature
    high: np.ndarray  # (d,), and the largest
    products: Any  # (d, d), unbiased covariance in units of X squared, or None; see `of`
    sample: np.ndarray  # rows of X: all of them, or a sample of a large table
    has_gaps: bool = field(default=False, kw_only=True)  # whether entries are missing

    @classmethod
    def of(cls, X, kept=None, gram=None):
        """Compute the moments in one pass over X.

        Parameters
        ----------
        X : ndarray or Stream of shape (n, d)
        kept : ndarray of int or None
            Sorted indices of the rows to keep as the sample. None keeps X itself.
        gram : callable or None
            Computes ``rows.T @ rows`` on a device that is faster at it.

        Notes
        -----
        Moments of blocks are computed around their own means and merged (Chan, Golub & LeVeque
        1983), so a large mean costs no precision. The covariance is computed if d is at most n
        and 2,048. Otherwise `principal_axes` reads the rows again.

        With gaps, which are NaN, moments are those of the entries of each column, and there is
        no covariance. :func:`skae.starts.missing.modelled` then makes a table with one.
        """
        n_samples, n_features = X.shape
        mean, squares = np.zeros(n_features), np.zeros(n_features)
        low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
        narrow = n_features <= min(n_samples, EXACT_WIDTH)
        if is_sparse(X) and not narrow:
            return cls._of_sparse(X)
        products = np.zeros((n_features, n_features)) if narrow else None
        sample = X if kept is None else np.empty((len(kept), n_features), dtype=X.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for first, block in blocks(X):
                low = np.minimum(low, block.min(axis=0))
                high = np.maximum(high, block.max(axis=0))
                if np.isnan(low).any():
                    return cls._with_gaps(X, kept)
                if kept is not None:
                    here = slice(*np.searchsorted(kept, [first, first + len(block)]))
                    sample[here] = block[kept[here] - first]
                centre = block.mean(axis=0, dtype=np.float64)
                rows = block - centre
                shift = centre - mean
                mean = mean + shift * (len(block) / (first + len(block)))
                between = len(block) * first / (first + len(block))
                if narrow:
                    products += gram(rows) if gram else rows.T @ rows
                    if first:
                        products += between * np.outer(shift, shift)
                else:
                    squares += np.square(rows, out=rows).sum(axis=0) + between * shift**2
            # Features that do not vary have no variance, except for rounding errors.
            same = low == high
            mean[same] = low[same]
            if products is not None:
                products[same] = products[:, same] = 0.0
                products /= max(n_samples - 1, 1)
                squares = products.diagonal()
            else:
                squares[same] = 0.0
                squares /= max(n_samples - 1, 1)
            variance = np.maximum(squares, 0.0)
            total = n_samples * variance.sum()
        _check_total(total)
        variance, scale = _scale_of(variance, mean[~same])
        if products is not None and not variance.any():
            products = np.zeros_like(products)
        return cls(X, mean, variance, scale, low, high, products, sample)

    @classmethod
    def _of_sparse(cls, X):
        """Do the same as `of` for a sparse table that is too wide for a covariance."""
        n = len(X)
        low, high = X.ends()
        mean, variance = X.moments()
        same = low == high
        mean[same], variance[same] = low[same], 0.0
        variance *= n / max(n - 1, 1)
        with np.errstate(over="ignore"):
            _check_total(n * variance.sum())
        variance, scale = _scale_of(variance, mean[~same])
        return cls(X, mean, variance, scale, low, high, None, X)

    @classmethod
    def _with_gaps(cls, X, kept):
        """Do the same as `of` for a table with gaps."""
        d = X.shape[1]
        count, mean, squares = np.zeros(d), np.zeros(d), np.zeros(d)
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        sample = X if kept is None else X[kept]
        for _, block in blocks(X):
            seen = ~np.isnan(block)
            n = seen.sum(axis=0)
            low = np.minimum(low, np.where(seen, block, np.inf).min(axis=0))
            high = np.maximum(high, np.where(seen, block, -np.inf).max(axis=0))
            with np.errstate(over="ignore", invalid="ignore"):
                centre = np.where(seen, block, 0.0).sum(axis=0, dtype=np.float64)
                centre /= np.maximum(n, 1)
                total = np.maximum(count + n, 1)
                shift = centre - mean
                squares += np.square(np.where(seen, block - centre, 0.0)).sum(axis=0)
                squares += shift**2 * (count * n / total)
                mean = mean + shift * (n / total)
            count = count + n
        if not count.all():
            raise EmptyColumns(np.flatnonzero(count == 0))
        same = low == high
        mean[same], squares[same] = low[same], 0.0
        variance = squares / np.maximum(count - 1, 1)
        with np.errstate(over="ignore"):
            _check_total(len(X) * variance.sum())
        variance, scale = _scale_of(variance, mean[~same])
        return cls(X, mean, variance, scale, low, high, None, sample, has_gaps=True)

    @property
    def n_samples(self):
        """Number of rows that the moments were computed from."""
        return len(self.X)

    def rows(self):
        """Yield blocks of X in float64."""
        for _, block in blocks(self.X):
            yield block.astype(np.float64, copy=False)

    def standard(self, rows):
        """Return ``(rows - mean) / scale`` in float64."""
        return (rows - self.mean) / self.scale

    def standardised(self):
        """Yield blocks of X, standardised."""
        for _, block in blocks(self.X):
            yield self.standard(block)

    def covariance(self):
        """Return the unbiased covariance of the standardised rows, (d, d)."""
        if self.products is not None:
            scale = np.broadcast_to(self.scale, self.mean.shape)
            return self.products / np.outer(scale, scale)
        product = np.zeros((len(self.mean), len(self.mean)))
        for rows in self.standardised():
            product += rows.T @ rows
        return product / (len(self.X) - 1)

    def regressed(self, table, classes):
        """Regress rows on the conditions appended to them.

        This table has the rows of `table`, each followed by its q conditions. `classes` says
        whether conditions are class indicators. Numbers have mean 0.

        Returns
        -------
        products : ndarray of shape (q, q)
            Products of conditions with each other, summed over rows.
        effects : ndarray of shape (q, d)
            Regression coefficients of standardised rows on conditions minus `centre`.
        centre : ndarray of shape (q,)
        within : Table
            Residuals of the rows. It has no sample.
        """
        d = len(table.mean)
        q = len(self.mean) - d
        products, cross, centre = np.zeros((q, q)), np.zeros((q, d)), np.zeros(q)
        for _, rows in blocks(self.X):
            conditions = rows[:, d:].astype(np.float64)
            products += conditions.T @ conditions
            cross += conditions.T @ table.standard(rows[:, :d])
        effects = np.linalg.pinv(products, hermitian=True) @ cross
        rows = mapped(lambda rows: left_by(rows, table, effects, centre), d, self.X)
        return products, effects, centre, Table.of(rows, kept=np.empty(0, dtype=int))

    def principal_axes(self, latent_dim):
        """Compute the eigenvalues of the covariance, decreasing, and eigenvectors as columns.

        As in scikit-learn's PCA there are min(n, d) eigenvalues, and the sign of an axis makes
        its largest entry positive. If a table is both wide and long, random projections are
        used, as in scikit-learn. They only find the first axes, enough for `latent_dim`. The
        remaining eigenvalues are then replaced by their mean.
        """
        n_short = min(self.X.shape)
        share = not isinstance(latent_dim, numbers.Integral)
        if self.products is not None:
            values, axes = eigh(self.covariance())
        elif is_sparse(self.X) and len(self.X) <= (_LONGEST_GRAM if share else _EXACT_LENGTH):
            values, axes = self.X.axes(self.mean, self.scale)
            values /= len(self.X) - 1
        elif not is_sparse(self.X) and is_small(self.X) and (n_short <= _EXACT_LENGTH or share):
            rows = np.concatenate(list(self.standardised()))
            _, singular, axes = np.linalg.svd(rows, full_matrices=False)
            values, axes = singular**2 / (len(rows) - 1), axes.T
        else:
            values, axes = self._leading_axes(latent_dim)
        return np.maximum(values, 0.0), fix_signs(axes)

    def _scatter_times(self, basis):
        """Return ``x.T @ (x @ basis)`` for standardised rows x, (d, m)."""
        if is_sparse(self.X):
            return self.X.scatter_times(basis, self.mean, self.scale)
        product = np.zeros_like(basis)
        for rows in self.standardised():
            product += rows.T @ (rows @ basis)
        return product

    def _leading_axes(self, latent_dim):
        """Compute leading eigenpairs by a Nystrom approximation (Tropp et al. 2017).

        A stream is read twice. In memory, where a pass is cheap, the sketch is smaller and there
        are six power iterations, which improve the leading axes (Halko et al. 2011).
        """
        rank = min(self.X.shape)
        wanted = int(latent_dim) if isinstance(latent_dim, numbers.Integral) else 0
        in_memory = not isinstance(self.X, Stream) or is_sparse(self.X)
        beyond = max(_SKETCH_IN_MEMORY, wanted) if in_memory and wanted else _SKETCH
        width = min(rank, wanted + beyond)
        basis = np.random.default_rng(0).standard_normal((len(self.mean), width))
        for _ in range(6 if in_memory else 2):
            basis = np.linalg.qr(basis)[0]
            sketch = self._scatter_times(basis) / (len(self.X) - 1)
            basis, previous = sketch, basis
        # A small multiple of the identity makes the matrix positive definite.
        nudge = 1e-12 * np.linalg.norm(sketch) + 1e-100
        sketch += nudge * previous
        core = previous.T @ sketch
        factor = np.linalg.cholesky((core + core.T) / 2.0)
        axes, singular, _ = np.linalg.svd(
            solve_triangular(factor, sketch.T, lower=True).T, full_matrices=False
        )
        values = np.where(singular**2 > 10.0 * nudge, singular**2 - nudge, 0.0)
        total = (self.variance / np.square(self.scale)).sum()
        if wanted == 0 and values.sum() < latent_dim * total:
            raise ValueError(
                f"latent_dim={latent_dim} takes more than {width} codes of this large and wide "
                "table. Say how many with an int."
            )
        left = max(total - values.sum(), 0.0) / max(rank - width, 1)
        return np.append(values, np.full(rank - width, min(left, values[-1]))), axes


class EmptyColumns(Exception):
    """A table has columns, `numbers`, without any value."""

    def __init__(self, numbers):
        super().__init__(numbers)
        self.numbers = numbers.tolist()


def _scale_of(variance, means):
    """Return variances and the root of their mean; if they are rounding errors, zeros and 1.0.

    `means` are those of the features that vary.
    """
    scale = float(np.sqrt(variance.mean()))
    if scale <= 10 * np.finfo(np.float64).eps * np.abs(means).max(initial=0.0):
        return np.zeros_like(variance), 1.0
    return variance, scale


def _check_total(total):
    if not np.isfinite(total):
        raise ValueError(
            "The variance of X must be finite in float64, and so must its sum over all values; "
            f"got {total}. Divide X by its largest absolute value first: StandardScaler "
            "overflows there, too."
        )


def left_by(rows, table, effects, centre):
    """Return the residuals of rows after regression on the conditions appended to them."""
    d = len(table.mean)
    return rows[:, :d] - table.mean - (rows[:, d:] - centre) @ (effects * table.scale)


def some_rows(X, n_rows=SEARCH_ROWS):
    """Return a random subset of at most `n_rows` rows of X, the same in every call."""
    if len(X) <= n_rows:
        return X
    return picked(X, np.sort(np.random.default_rng(0).choice(len(X), n_rows, replace=False)))


def eigh(symmetric):
    values, axes = np.linalg.eigh(symmetric)
    return values[::-1], axes[:, ::-1]


def fix_signs(axes):
    """Make the largest entry of every column positive."""
    largest = np.abs(axes).argmax(axis=0)
    signs = np.sign(axes[largest, np.arange(axes.shape[1])])
    return axes * np.where(signs == 0, 1.0, signs)
