"""Tables that are read block by block: on disk, compressed, or too large to copy.

A table of at most :data:`RESIDENT` numbers is an ndarray, whatever it came as; a larger
one stays where it is. :class:`Stream` gives what an ndarray cannot: it reads slices of
a memory map, a zarr, h5py or dask array, or a data frame, checks them and forgets them.
"""

import mmap
import numbers

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import _get_feature_names

from .dtypes import float_dtype
from .validation import check_all_finite

RESIDENT = 2**25  # numbers of a table that may be copied whole
_BLOCK = 2**21  # numbers handed on at a time, and read at a time where nothing says otherwise
_FINE = 2**15  # numbers read at a time in shuffled order from storage without chunks ...
_LARGEST = 2**24  # numbers of a chunk that is read at once
_FINEST = 2**12  # ... and from memory


class Stream:
    """A large table whose rows are read by slices, as float32 or float64.

    Parameters
    ----------
    X : memory map, array with ``shape``, ``dtype`` and row slicing, or data frame
    name : str
        What messages call it.
    """

    def __init__(self, X, name="X"):
        self.X = X.X if isinstance(X, Stacked) else X  # what is read, and checked, in its shape
        self.name = name
        self.shape = tuple(X.shape)
        if not all(isinstance(size, (int, np.integer)) for size in self.shape):
            raise ValueError(
                f"{name} must have a known shape, however: its shape is {self.shape}. Call its "
                "compute_chunk_sizes() first."
            )
        self.dtype = float_dtype(X)
        self._forget = _page_dropper(self.X)
        chunks = getattr(self.X, "chunks", None)
        self._chunk = int(np.max(chunks[0])) if chunks else None

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """A slice of rows, or those of a sorted array of indices, as a new ndarray."""
        if not isinstance(rows, slice):
            return self._pick(rows)
        low, high, _ = rows.indices(len(self))
        try:
            block = self._read(low, high)
            values = block if isinstance(block, np.ma.MaskedArray) else np.asarray(block)
        except Exception as error:
            error.add_note(f"This happened while rows {low} to {high} of {self.name} were read.")
            raise
        # A source may say one thing of itself and give another, or change while it is read.
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
        check_all_finite(block, self.name, _get_feature_names(self.X), low)
        return block

    def _read(self, low, high):
        if hasattr(self.X, "iloc"):
            return self.X.iloc[low:high].to_numpy(dtype=self.dtype)
        if hasattr(self.X, "dtype"):
            return self.X[low:high]
        return np.asarray(self.X.slice(low, high - low), dtype=self.dtype)

    def _as_floats(self, values):
        """Flat rows; NaN where they are masked, infinite where float32 cannot hold them."""
        copy = isinstance(self.X, np.ndarray)  # else the pages that it shows would be read again
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
        """Rows to read at a time, in order or (`fine`) in any."""
        rows = max(1, (_FINE if fine else _BLOCK) // self.shape[1])
        if self._chunk is None:
            return rows
        if self._chunk < rows:
            return rows // self._chunk * self._chunk
        return min(self._chunk, max(1, _LARGEST // self.shape[1]))


class Stacked:
    """Rows of any shape, as something to read by slices whose rows are flat."""

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
    """A function of the rows of one or more tables, computed as they are read.

    Parameters
    ----------
    function : callable
        Blocks of rows of the tables -> ndarray of shape (n, n_features).
    n_features : int
    *tables : ndarrays or Streams
        Of as many rows each.
    """

    def __init__(self, function, n_features, *tables):
        self.function = function
        self.tables = tables
        self.shape = (len(tables[0]), n_features)
        self.dtype = tables[0].dtype

    def __getitem__(self, rows):
        return self.function(*(table[rows] for table in self.tables))

    def step(self, *, fine=False):
        """Rows to read at a time, in order or (`fine`) in any."""
        first = self.tables[0]
        if isinstance(first, Stream):
            rows = first.step(fine=fine)
        else:
            rows = (_FINEST if fine else _BLOCK) // first.shape[1]
        return max(1, min(rows, _LARGEST // self.shape[1]))  # which may be much wider


def mapped(function, n_features, *tables):
    """A function of the rows of tables: as an ndarray where these are small, else a Stream."""
    rows = Mapped(function, n_features, *tables)
    return rows[:] if is_small(tables[0]) else rows


def flattened(X):
    """Rows of any shape as rows of numbers; no copy of them is made."""
    rows = Stacked(X)
    in_order = isinstance(X, np.ndarray) and X.flags.c_contiguous
    return X.reshape(rows.shape) if in_order else rows


def is_small(X):
    """Whether a table may be copied whole."""
    return X.shape[0] * X.shape[1] <= RESIDENT


def step_of(X):
    """Rows to read at a time when reading a table in random order."""
    return X.step(fine=True) if isinstance(X, Stream) else max(1, _FINEST // X.shape[1])


def blocks(X, size=None):
    """Pairs of a row's number and the block of about `size` numbers that it begins."""
    step = X.step() if isinstance(X, Stream) else max(1, len(X))
    part = max(1, (size or _BLOCK) // max(X.shape[1], 1))
    for low in range(0, len(X), step):
        chunk = X[low : low + step]
        for first in range(0, len(chunk), part):
            yield low + first, chunk[first : first + part]


def is_stream(X):
    """Whether X is something to be read by slices that is too large to copy."""
    if isinstance(X, Stream):
        return True
    shape: tuple = getattr(X, "shape", ())
    if len(shape) != 2 or not all(isinstance(size, numbers.Real) for size in shape):
        return False
    if issparse(X) or is_small(X):
        return False
    if hasattr(X, "iloc"):  # of one numpy dtype it is an array already
        dtypes = set(X.dtypes)
        return len(dtypes) > 1 or not all(isinstance(dtype, np.dtype) for dtype in dtypes)
    if not hasattr(X, "dtype"):
        return hasattr(X, "slice")
    kind = getattr(X.dtype, "kind", "")  # torch's, for one, have none
    in_memory = isinstance(X, np.ndarray) and not isinstance(X, np.memmap)
    return kind in tuple("biuf") and not (in_memory and X.dtype in (np.float32, np.float64))


def _page_dropper(X):
    """What makes a memory map forget the pages it has read, so that they do not add up."""
    pages = getattr(X, "_mmap", None)
    # Pages of a private map may hold what its owner wrote, and nothing else does.
    if pages is None or X.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return lambda: None
    return lambda: pages.madvise(mmap.MADV_DONTNEED)
