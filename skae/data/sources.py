"""Tables that are read block by block: on disk, compressed, or too large to copy.

A table of at most :data:`RESIDENT` values is converted to an ndarray. A larger one is wrapped in
a :class:`Stream`, which reads and checks slices of a memory map, of a zarr, h5py or dask array,
or of a data frame, and does not keep them in memory.
"""

import mmap
import numbers

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import _get_feature_names

from .dtypes import float_dtype
from .validation import check_all_finite

RESIDENT = 2**25  # the most values of a table that may be copied whole
_BLOCK = 2**21  # values per block, and per read unless the storage has chunks
_FINE = 2**15  # values per read in shuffled order, from storage without chunks ...
_LARGEST = 2**24  # the most values of a chunk that is read at once
_FINEST = 2**12  # ... and from memory


class Stream:
    """A large table whose rows are read in slices, as float32 or float64.

    Parameters
    ----------
    X : memory map, array with ``shape``, ``dtype`` and row slicing, or data frame
    name : str
        Name of the table in messages.
    gaps : bool
        Whether entries may be missing, as NaN.
    """

    is_resident = False  # whether any rows may be read at any time, from memory

    def __init__(self, X, name="X", gaps=False):
        self.gaps = gaps
        self.X = X.X if isinstance(X, Stacked) else X  # read and checked in its original shape
        self.name = name
        self.shape = tuple(X.shape)
        if not all(isinstance(size, (int, np.integer)) for size in self.shape):
            raise ValueError(
                f"{name} must have a known shape; got {self.shape}. Call its "
                "compute_chunk_sizes() first."
            )
        self.dtype = float_dtype(X)
        self._forget = _page_dropper(self.X)
        chunks = getattr(self.X, "chunks", None)
        self._chunk = int(np.max(chunks[0])) if chunks else None

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Return a slice of rows, or those with sorted indices, as a new ndarray."""
        if not isinstance(rows, slice):
            return self._pick(rows)
        low, high, _ = rows.indices(len(self))
        try:
            block = self._read(low, high)
            values = block if isinstance(block, np.ma.MaskedArray) else np.asarray(block)
        except Exception as error:
            error.add_note(f"This happened while rows {low} to {high} of {self.name} were read.")
            raise
        # The data may not have the shape that X claims, or may change while it is read.
        due = (high - low, *self.X.shape[1:])
        if values.shape != due or values.dtype.kind not in "biuf":
            got = f"shape {values.shape} and dtype {values.dtype}" if values.shape else f"{block!r}"
            raise ValueError(
                f"Rows {low} to {high} of {self.name} must be numbers of shape {due}, as the shape "
                f"of {self.name} is {tuple(self.X.shape)}; got {got:.200}. Check what they are "
                "read from."
            )
        block = self._as_floats(values)
        self._forget()
        check_all_finite(block, self.name, _get_feature_names(self.X), low, self.gaps)
        return block

    def _read(self, low, high):
        if hasattr(self.X, "iloc"):
            return self.X.iloc[low:high].to_numpy(dtype=self.dtype, na_value=np.nan)
        if hasattr(self.X, "dtype"):
            return self.X[low:high]
        return np.asarray(self.X.slice(low, high - low), dtype=self.dtype)

    def _as_floats(self, values):
        """Convert to flat rows, with NaN for masked values and infinity for overflow."""
        copy = isinstance(self.X, np.ndarray)  # else the dropped pages would be read again
        with np.errstate(over="ignore"):
            floats = np.array(values, dtype=self.dtype, copy=copy or None, subok=True)
        return np.ma.filled(floats, np.nan).reshape(-1, self.shape[1])

    def _pick(self, rows):
        out = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        step = self.step(fine=True)
        for block in np.unique(rows // step) * step:
            first, last = np.searchsorted(rows, [block, block + step])
            out[first:last] = self[block : block + step][rows[first:last] - block]
        return out

    def step(self, *, fine=False):
        """Return the number of rows per read, in order or (`fine`) in shuffled order."""
        rows = max(1, (_FINE if fine else _BLOCK) // self.shape[1])
        if self._chunk is None:
            return rows
        if self._chunk < rows:
            return rows // self._chunk * self._chunk
        return min(self._chunk, max(1, _LARGEST // self.shape[1]))


class Stacked:
    """Rows of any shape, read in slices of flat rows."""

    def __init__(self, X):
        self.X = X
        self.shape = (int(X.shape[0]), int(np.prod(X.shape[1:])))
        self.dtype = X.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        block = np.asarray(self.X[rows])
        return block.reshape(len(block), self.shape[1])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype=dtype)


class Mapped(Stream):
    """A function of the rows of one or more tables, computed when they are read.

    Parameters
    ----------
    function : callable
        Maps blocks of rows of the tables to an ndarray of shape (n, n_features).
    n_features : int
    *tables : ndarrays or Streams
        Tables with the same number of rows.
    """

    def __init__(self, function, n_features, *tables):
        self.function = function
        self.tables = tables
        self.shape = (len(tables[0]), n_features)
        self.dtype = tables[0].dtype

    def __getitem__(self, rows):
        return self.function(*(table[rows] for table in self.tables))

    def step(self, *, fine=False):
        """Return the number of rows per read, in order or (`fine`) in shuffled order."""
        first = self.tables[0]
        if isinstance(first, Stream):
            rows = first.step(fine=fine)
        else:
            rows = (_FINEST if fine else _BLOCK) // first.shape[1]
        return max(1, min(rows, _LARGEST // self.shape[1]))  # the result may be much wider


def mapped(function, n_features, *tables):
    """Apply a function to the rows of tables; return an ndarray, or a Stream for large tables."""
    rows = Mapped(function, n_features, *tables)
    return rows[:] if is_small(tables[0]) else rows


def flattened(X):
    """Flatten rows of any shape, without a copy."""
    rows = Stacked(X)
    in_order = isinstance(X, np.ndarray) and X.flags.c_contiguous
    return X.reshape(rows.shape) if in_order else rows


def is_small(X):
    """Return whether any rows of a table may be read at any time: it is small, or sparse."""
    return X.shape[0] * X.shape[1] <= RESIDENT or is_sparse(X)


def is_sparse(X):
    """Return whether a table is a :class:`~skae.data.sparse.Sparse`."""
    return isinstance(X, Stream) and X.is_resident


def in_memory(X):
    """Return a table, or all rows of a Stream, as an ndarray; a sparse table is there already."""
    return X if is_sparse(X) else X[:]


def picked(X, index):
    """Return the rows of a table with these indices; of a sparse one they are sparse."""
    return X.pick(index) if is_sparse(X) else X[index]


def step_of(X):
    """Return the number of rows per read, for a table that is read in random order."""
    return X.step(fine=True) if isinstance(X, Stream) else max(1, _FINEST // X.shape[1])


def ends(X):
    """Return the lowest and the highest value of a table, an array or a Stream."""
    lows, highs = zip(*((rows.min(), rows.max()) for _, rows in blocks(X)), strict=True)
    return min(lows), max(highs)


def ends_of_columns(X):
    """Return the lowest and the highest value of each column, (d,), except for gaps."""
    if is_sparse(X):
        return X.ends()
    lows, highs = zip(
        *((np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)) for _, rows in blocks(X)),
        strict=True,
    )
    return np.fmin.reduce(lows, axis=0), np.fmax.reduce(highs, axis=0)


def blocks(X, size=None):
    """Yield blocks of about `size` values, each with the index of its first row."""
    step = X.step() if isinstance(X, Stream) else max(1, len(X))
    part = max(1, (size or _BLOCK) // max(X.shape[1], 1))
    for low in range(0, len(X), step):
        chunk = X[low : low + step]
        for first in range(0, len(chunk), part):
            yield low + first, chunk[first : first + part]


def is_stream(X):
    """Return whether X can be read in slices and is too large to copy."""
    if isinstance(X, Stream):
        return True
    shape: tuple = getattr(X, "shape", ())
    if len(shape) != 2 or not all(isinstance(size, numbers.Real) for size in shape):
        return False
    if issparse(X) or is_small(X):
        return False
    if hasattr(X, "iloc"):  # a data frame of one numpy dtype holds an array already
        dtypes = set(X.dtypes)
        return len(dtypes) > 1 or not all(isinstance(dtype, np.dtype) for dtype in dtypes)
    if not hasattr(X, "dtype"):
        return hasattr(X, "slice")
    kind = getattr(X.dtype, "kind", "")  # torch dtypes have none
    in_memory = isinstance(X, np.ndarray) and not isinstance(X, np.memmap)
    return kind in tuple("biuf") and not (in_memory and X.dtype in (np.float32, np.float64))


def _page_dropper(X):
    """Return a function that drops the pages that a memory map has read from memory."""
    pages = getattr(X, "_mmap", None)
    # Pages of a copy-on-write map may hold changes that are stored nowhere else.
    if pages is None or X.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return lambda: None
    return lambda: pages.madvise(mmap.MADV_DONTNEED)
