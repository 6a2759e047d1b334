"""Arrays into device batches, for training and for inference."""

import numpy as np
import torch

_BLOCK = 2**22  # numbers held at a time by one array of a batched computation


def standardised(X, mean, scale, dtype):
    """``(X - mean) / scale``, computed in float64 and rounded once, as `dtype`."""
    return ((X - mean) / scale).astype(dtype, copy=False)


def in_blocks(function, X, width):
    """Apply `function` to blocks of rows of X and put the answers together.

    Parameters
    ----------
    function : callable
        ndarray of shape (n, ...) -> ndarray of shape (n, ...) or (n,).
    X : ndarray of shape (n_rows, ...)
    width : int
        Numbers that the widest array inside `function` holds per row.
    """
    step = max(1, _BLOCK // max(width, 1))
    if len(X) <= step:
        return function(X)
    first = function(X[:step])
    out = np.empty((len(X), *first.shape[1:]), dtype=first.dtype)
    out[:step] = first
    for low in range(step, len(X), step):
        out[low : low + step] = function(X[low : low + step])
    return out


class Rows:
    """Standardised rows on a device, read in shuffled or plain batches.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        What the encoder reads.
    target : Tensor of shape (n, d)
        What the decoder should answer; may be `x` itself.
    index : Tensor of shape (n_rows,)
        The rows that belong to this set.
    """

    def __init__(self, x, target, index):
        self.x = x
        self.target = target
        self.index = index

    @staticmethod
    def tensor(X, mean, scale, device):
        """The table as one float32 tensor on the device."""
        out = torch.empty(X.shape, dtype=torch.float32)
        step = max(1, _BLOCK // X.shape[1])
        for low in range(0, len(X), step):
            block = standardised(X[low : low + step], mean, scale, np.float32)
            out[low : low + step] = torch.from_numpy(block)
        return out.to(device)

    def __len__(self):
        return len(self.index)

    def batches(self, batch_size, generator=None, times=1):
        """An iterable of pairs (x, target), for any number of passes.

        Each pass is shuffled anew with `generator`, or goes through the rows in order,
        `times` times over.
        """
        return _Batches(self, batch_size, generator, times)


class _Batches:
    def __init__(self, rows, batch_size, generator, times):
        self.rows = rows
        self.times = times
        self.batch_size = batch_size
        self.generator = generator

    def __iter__(self):
        rows = self.rows
        index = rows.index.repeat(self.times)
        if self.generator is not None:
            order = torch.randperm(len(index), generator=self.generator)
            index = index[order.to(index.device)]
        for chosen in index.split(self.batch_size):
            x = rows.x.index_select(0, chosen)
            same = rows.target is rows.x
            yield x, x if same else rows.target.index_select(0, chosen)
