"""Sparse matrices, whose rows are made dense a batch at a time."""

import numpy as np
from scipy.sparse import issparse

from .sources import Stream
from .validation import check_all_finite


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

    def step(self, *, fine=False):
        """Return the number of rows per read."""
        return self.rows_per_read(fine)

    def moments(self):
        """Return the mean and the variance (divided by n) of each feature, in float64, (d,)."""
        from sklearn.utils.sparsefuncs import mean_variance_axis

        mean, variance = mean_variance_axis(self.X.astype(np.float64), axis=0)
        return mean, variance

    def ends(self):
        """Return the smallest and the largest value of each feature, (d,)."""
        from sklearn.utils.sparsefuncs import min_max_axis

        return min_max_axis(self.X, axis=0)

    def times(self, matrix):
        """Return ``X @ matrix`` as an ndarray."""
        return np.asarray(self.X @ matrix)

    def transposed_times(self, matrix):
        """Return ``X.T @ matrix`` as an ndarray."""
        return np.asarray(self.X.T @ matrix)

    def gram(self, mean, scale):
        """Return products of centred and scaled rows with each other, (n, n)."""
        scaled = self.X.multiply(1.0 / np.square(np.broadcast_to(scale, mean.shape))).tocsr()
        products = (scaled @ self.X.T).toarray()
        shift = np.asarray(scaled @ mean)
        return products - shift[:, None] - shift + mean @ (mean / np.square(scale))


def as_csr(X):
    """Return a sparse matrix, or a data frame of sparse columns, as a CSR matrix."""
    return X.tocsr() if issparse(X) else X.sparse.to_coo().tocsr()
