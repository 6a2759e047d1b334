"""Conversion of arrays to batches on a device, for training and for inference."""

from typing import NamedTuple

import numpy as np
import torch

from ..devices import has_float64, kind_of
from ..memory import give_back
from .sources import blocks, is_sparse, step_of

_BLOCK = 2**22  # the most values of one array in a batched computation
_WIDE = 2**18  # values of a sparse block that fragments the memory
_GROUP = 2**21  # values of a group of rows that are read and shuffled together


class Batch(NamedTuple):
    """Rows of one training or validation step, as tensors on the device.

    Parameters
    ----------
    x : Tensor of shape (batch, d)
        Standardised rows that the encoder reads, followed by conditions if there are any.
    target : Tensor of shape (batch, d)
        Rows that the decoder should return, in the units of the likelihood.
    """

    x: torch.Tensor
    target: torch.Tensor


def as_tensor(array, device="cpu"):
    """Convert an array to a tensor on a device; copy it only if torch cannot share it."""
    array = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    if any(stride < 0 for stride in array.strides):  # possible in C order if the axis has length 1
        array = array.copy()
    return torch.from_numpy(array).to(device)


def gram_on(device):
    """Return a function that computes ``rows.T @ rows`` on a GPU, or None to use numpy."""
    if kind_of(device).free_memory is None or not has_float64(device):
        return None

    def gram(rows):
        tensor = as_tensor(rows, device)
        return (tensor.T @ tensor).cpu().numpy()

    return gram


def standardised(X, mean, scale, dtype):
    """Return ``(X - mean) / scale`` as `dtype`, computed in float64 and rounded once."""
    return ((X - mean) / scale).astype(dtype, copy=False)


def in_blocks(function, X, width, at_least=1, beside=()):
    """Apply `function` to blocks of rows of X and concatenate the results.

    Parameters
    ----------
    function : callable
        ndarray of shape (n, ...) -> ndarray of shape (n, ...) or (n,).
    X : ndarray or Stream of shape (n_rows, n_columns)
    width : int
        Values per row of the widest array inside `function`.
    at_least : int, default=1
        Minimum number of rows per block, however wide they are.
    beside : tuple of ndarrays or Streams, default=()
        Further tables of as many rows. `function` also gets the same rows of each.
    """
    step = max(at_least, _BLOCK // max(width, X.shape[1]))
    if len(X) <= step and isinstance(X, np.ndarray):
        return function(X, *(table[:] for table in beside))
    size, out = step * X.shape[1], None
    for first, block in blocks(X, size):
        if is_sparse(X) and block.size > _WIDE:
            give_back()
        part = function(block, *(table[first : first + len(block)] for table in beside))
        if out is None:
            out = np.empty((len(X), *part.shape[1:]), dtype=part.dtype)
        out[first : first + len(part)] = part
    return out


class Reader:
    """A table as training reads it, standardised in float32, or unchanged.

    Parameters
    ----------
    X : ndarray or Stream of shape (n, d)
    mean : ndarray of shape (d,) or None
        None leaves rows unchanged.
    scale : float
    """

    def __init__(self, X, mean=None, scale=1.0):
        self.X = X
        self.mean = mean
        self.scale = scale

    def read(self, block):
        """Standardise a block of rows, an ndarray."""
        if self.mean is None:
            return block
        return standardised(block, self.mean, self.scale, np.float32)

    def tensor(self, X=None, device="cpu"):
        """Return all rows of `X`, by default the reader's own, as one tensor on the device."""
        X = self.X if X is None else X
        dtype = self.dtype(X, device)
        there = torch.float64 if dtype == np.float64 else torch.float32
        out = torch.empty(X.shape, dtype=there, device=device)
        for first, block in blocks(X):
            rows = self.read(block).astype(dtype, copy=False)
            out[first : first + len(block)] = as_tensor(rows)
        return out

    def of_sparse(self, X, index, device):
        """Return some rows of a sparse table as the device reads them, a dense ndarray."""
        dtype = self.dtype(X, device)
        if self.mean is None:
            return X[index].astype(dtype, copy=False)
        return X.standardised(index, self.mean, self.scale, dtype)

    def dtype(self, X, device):
        """Return the dtype of rows on a device: raw rows keep theirs if the device has it."""
        return X.dtype if self.mean is None and has_float64(device) else np.dtype(np.float32)


def readers(start, likelihood, inputs, rows=None, corruption=None):
    """Return readers of the rows for the encoder and for the loss, or None if that is the same.

    Parameters
    ----------
    start : Start
    likelihood : Likelihood
        Likelihood of the rows in the loss.
    inputs : ndarray or Stream of shape (n, d)
        Rows that the encoder reads.
    rows : ndarray or Stream or None
        Rows that the decoder should return. None for the same.
    corruption : callable or None
        Corruption of the encoder's rows, which may need them unstandardised.
    """
    raw = corruption is not None and corruption.takes_raw_rows
    x = Reader(inputs) if raw else Reader(inputs, start.input_mean, start.input_scale)
    if rows is None and not raw and likelihood.is_normal:
        return x, None
    return x, Reader(inputs if rows is None else rows, *likelihood.units(start))


class Rows:
    """Rows on a device, read in batches, shuffled or in order.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Rows that the encoder reads.
    target : Tensor of shape (n, d) or None
        Rows that the decoder should return. None for `x` itself.
    index : Tensor of shape (n_rows,)
        Indices of the rows that belong to this set.
    """

    def __init__(self, x, target, index):
        self.x = x
        self.target = target
        self.index = index

    def __len__(self):
        return len(self.index)

    @property
    def width(self):
        """Number of features of a row that the encoder reads."""
        return self.x.shape[1]

    def batches(self, batch_size, generator=None, times=1, least=1):
        """Return an iterable of :class:`Batch`, for any number of passes.

        Each pass is shuffled anew with `generator`. Without one, it goes through the rows in
        order, `times` times. A last batch of fewer than `least` rows is merged with the one
        before.
        """
        return _Batches(self, batch_size, generator, times, least)

    def others(self, index):
        """Return the set of the rows of the same table with these indices, a tensor."""
        return Rows(self.x, self.target, index)

    def shuffled(self, generator):
        """Return the indices of the rows in a new random order."""
        order = torch.randperm(len(self.index), generator=generator)
        return self.index[order.to(self.index.device)]

    def pass_over(self, batch_size, generator, times):
        """Yield the batches of one pass."""
        index = self.index.repeat(times) if generator is None else self.shuffled(generator)
        for chosen in index.split(batch_size):
            yield self.at(chosen)

    def at(self, chosen):
        """Return the :class:`Batch` of the rows with these indices, a tensor."""
        x = self.x.index_select(0, chosen)
        return Batch(x, x if self.target is None else self.target.index_select(0, chosen))


class PickedRows(Rows):
    """Rows of a sparse table, made dense and moved to the device batch by batch.

    Parameters
    ----------
    x : Reader
    target : Reader or None
        None for the same.
    X : Sparse
    index : Tensor of shape (n_rows,)
        Indices of the rows of X that belong to this set.
    device : str
    """

    def __init__(self, x, target, X, index, device):
        self.x = x
        self.target = target
        self.X = X
        self.index = index
        self.device = device

    @property
    def width(self):
        return self.X.shape[1]

    def others(self, index):
        return PickedRows(self.x, self.target, self.X, index.cpu(), self.device)

    def at(self, chosen):
        """Return the :class:`Batch` of the rows with these indices, a tensor."""
        index = chosen.numpy()
        if len(index) * self.width > _WIDE:  # takes as long as a step of small ones
            give_back()
        x = as_tensor(self.x.of_sparse(self.X, index, self.device), self.device)
        if self.target is None:
            return Batch(x, x)
        return Batch(x, as_tensor(self.target.of_sparse(self.X, index, self.device), self.device))


class StreamedRows(Rows):
    """Rows of a table too large to copy, read group by group.

    A group consists of short runs of rows from random places of the table, which are shuffled
    together. So the order of rows is nearly random, although the table is read in blocks.

    Parameters
    ----------
    x : Reader
    target : Reader or None
        None for the same.
    held_out : ndarray of int
        Sorted indices of the rows that are not in this set.
    device : str
    """

    def __init__(self, x, target, held_out, device):
        self.x = x
        self.target = target
        self.held_out = held_out
        self.device = device

    def __len__(self):
        return len(self.x.X) - len(self.held_out)

    @property
    def width(self):
        return self.x.X.shape[1]

    def pass_over(self, batch_size, generator, times):
        """Yield the batches of one shuffled pass."""
        left: tuple[torch.Tensor, ...] = ()  # rows of an incomplete batch, kept for the next group
        for pair in self._groups(batch_size, generator):
            low = 0
            if left:
                low = batch_size - len(left[0])
                joined = zip(left, pair, strict=True)
                left = tuple(torch.cat([old, new[:low]]) for old, new in joined)
                if len(left[0]) < batch_size:
                    continue
                yield Batch(*left)
            whole = low + (len(pair[0]) - low) // batch_size * batch_size
            for first in range(low, whole, batch_size):
                yield Batch(*(rows[first : first + batch_size] for rows in pair))
            left = tuple(rows[whole:].clone() for rows in pair)
        if left and len(left[0]):
            yield Batch(*left)

    def _groups(self, batch_size, generator):
        n_samples, n_features = self.x.X.shape
        step = step_of(self.x.X)
        n_blocks = -(-n_samples // step)
        order = torch.randperm(n_blocks, generator=generator).numpy() * step
        rows = max(batch_size, _GROUP // n_features)
        for some in np.array_split(order, max(1, round(n_samples / rows))):
            ends = np.minimum(some + step, n_samples)
            taken = [self._not_held_out(*ends_of) for ends_of in zip(some, ends, strict=True)]
            places = torch.randperm(sum(map(len, taken)), generator=generator).numpy()
            x = self._gather(self.x, some, taken, places)
            same = self.target is None
            yield x, x if same else self._gather(self.target, some, taken, places)

    def _not_held_out(self, low, high):
        """Return the indices of the training rows from `low` to `high`, relative to `low`."""
        first, last = np.searchsorted(self.held_out, [low, high])
        return np.delete(np.arange(high - low), self.held_out[first:last] - low)

    def _gather(self, reader, lows, taken, places):
        """Read rows of several blocks into one tensor on the device, each at its place."""
        dtype = reader.dtype(reader.X, self.device)
        out = np.empty((len(places), reader.X.shape[1]), dtype=dtype)
        done = 0
        for low, chosen in zip(lows, taken, strict=True):
            if len(chosen):
                block = reader.X[low : low + chosen[-1] + 1]
                out[places[done : done + len(chosen)]] = reader.read(block[chosen])
                done += len(chosen)
        return as_tensor(out, self.device)


class _Batches:
    def __init__(self, rows, batch_size, generator, times, least):
        self.rows = rows
        self.times = times
        self.batch_size = batch_size
        self.generator = generator
        self.least = least

    def __iter__(self):
        batches = self.rows.pass_over(self.batch_size, self.generator, self.times)
        return batches if self.least == 1 else _joined(batches, self.least)


def _joined(batches, least):
    """Yield the same batches, with a last one of fewer than `least` rows merged."""
    last = next(batches)
    for batch in batches:
        if len(batch[0]) < least:
            last = Batch(*(torch.cat(both) for both in zip(last, batch, strict=True)))
        else:
            yield last
            last = batch
    yield last


def n_batches(n_rows, batch_size, least=1):
    """Return the number of batches of a pass."""
    return max(1, -(-(n_rows - least + 1) // batch_size))


class Split(NamedTuple):
    """The training and the validation set; the latter may be None."""

    train: Rows
    valid: Rows | None
    groups: np.ndarray | None = None  # group labels of validation rows, for standard errors
