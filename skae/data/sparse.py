"""Sparse matrices, whose rows are made dense a batch at a time."""

import numpy as np
from scipy.sparse import issparse

from .sources import Stream
from .table import eigh
from .validation import check_all_finite

_ROUNDING = 1e-7  # singular values below this, relative to the largest one, are rounding errors


class Sparse(Stream):
    """A CSR matrix in memory, read as dense rows.

    Parameters
    ----------
    X : scipy.sparse CSR array or matrix of shape (n, d)
        Finite floats.
    """

    is_resident = True

    def __init__(self, X):
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        self.X = X
        self.shape = tuple(X.shape)
        self.dtype = X.dtype
        self.name = "X"
        self._chunk = None

    def check(self, names):
        """Raise an error for values that are not finite; NaN is no missing entry here."""
        wrong = np.flatnonzero(~np.isfinite(self.X.data))
        if len(wrong):
            row = int(np.searchsorted(self.X.indptr, wrong[0], side="right")) - 1
            check_all_finite(self[row : row + 1], self.name, names, row)

    def __getitem__(self, rows):
        """Return the rows of a slice, or with these indices, as a new ndarray."""
        return self.X[rows].toarray()

    def pick(self, index):
        """Return the rows with these indices, still sparse."""
        return Sparse(self.X[index])

    def standardised(self, index, mean, scale, dtype):
        """Return ``(X[index] - mean) / scale`` as an ndarray, rounded once to `dtype`."""
        rows = self.X[index]
        mean, scale = (np.broadcast_to(value, rows.shape[1]) for value in (mean, scale))
        out = np.tile((-mean / scale).astype(dtype), (rows.shape[0], 1))
        number, column = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices
        out[number, column] = (rows.data - mean[column]) / scale[column]
        return out

    def moments(self):
        """Return the mean and the variance (divided by n) of each feature, in float64, (d,)."""
        from sklearn.utils.sparsefuncs import mean_variance_axis

        mean, variance = mean_variance_axis(self.X.astype(np.float64), axis=0)
        return mean, variance

    def ends(self):
        """Return the smallest and the largest value of each feature, (d,)."""
        from sklearn.utils.sparsefuncs import min_max_axis

        return min_max_axis(self.X, axis=0)

    def scatter_times(self, basis, mean, scale):
        """Return ``x.T @ (x @ basis)`` for ``x = (X - mean) / scale``, (d, m)."""
        scale = np.reshape(scale, (-1, 1))
        # Columns of this have mean 0, so rows need not be centred again.
        there = self.X @ (basis / scale) - mean @ (basis / scale)
        return self.X.T @ there / scale

    def axes(self, mean, scale):
        """Return squared singular values and right singular vectors of ``(X - mean) / scale``.

        They come from products of rows with each other. Vectors that belong to 0 are any.
        """
        scaled = self.X.multiply(1.0 / np.square(np.broadcast_to(scale, mean.shape))).tocsr()
        shift = scaled @ mean
        products = (scaled @ self.X.T).toarray() - shift[:, None] - shift
        values, left = eigh(products + mean @ (mean / np.square(scale)))
        lengths = np.sqrt(np.maximum(values, 0.0))
        known = lengths > _ROUNDING * lengths.max(initial=1e-300)
        axes = self.X.T @ left[:, known]  # columns of `left` have mean 0
        axes /= np.reshape(scale, (-1, 1)) * lengths[known]
        rest = np.random.default_rng(0).standard_normal((len(axes), (~known).sum()))
        others = np.linalg.qr(np.hstack([axes, rest]))[0][:, known.sum() :]
        return np.where(known, values, 0.0), np.hstack([axes, others])


def as_csr(X):
    """Return a sparse matrix, or a data frame of sparse columns, as a CSR matrix."""
    return X.tocsr() if issparse(X) else X.sparse.to_coo().tocsr()
