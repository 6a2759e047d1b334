"""State that `partial_fit` keeps between chunks of rows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..codec import Plain
from ..data.split import MIN_HELD_OUT
from ..random import Streams

_MOST_ROWS = 2000  # limit on the validation rows that are kept of all chunks together ...
_MOST_NUMBERS = 2**22  # ... and on their number of elements


@dataclass(frozen=True)
class Chunks(Plain):
    """Uniform random sample of the validation rows of all chunks so far."""

    seed: int
    n_chunks: int = 0
    n_held_out: int = 0  # of all chunks, including rows that are no longer in the sample
    x: np.ndarray | None = None  # the sample: inputs of the encoder, not standardised
    target: Any = None  # targets of the decoder; None if they equal x
    kind: tuple = ()  # kind of the chunks that the sample is from

    def streams(self):
        """Return the random streams of the next chunk."""
        return Streams(seed=Streams(seed=self.seed).integer(f"chunk {self.n_chunks}"))

    def of_kind(self, kind):
        """Return self, or a copy without the sample if `kind` is another one."""
        if kind == self.kind:
            return self
        return replace(self, n_held_out=0, x=None, target=None, kind=kind)

    def to_hold_out(self, n_features):
        """Return the least and the largest number of rows to hold out of the next chunk."""
        most = max(MIN_HELD_OUT, min(_MOST_ROWS, _MOST_NUMBERS // n_features))
        return max(0, MIN_HELD_OUT - self.n_held_out), most

    def after(self, held_out, streams):
        """Return the state after another chunk.

        `held_out` is the pair of arrays ``(x, target)`` that were held out of it, or None.
        """
        if held_out is None:
            return replace(self, n_chunks=self.n_chunks + 1)
        x, target = held_out
        seen = self.n_held_out + len(x)
        if self.x is not None:
            _, most = self.to_hold_out(x.shape[1])
            new = min(len(x), round(most * len(x) / seen))
            new = max(new, min(len(x), most - len(self.x)))
            rng = streams.numpy("sample")
            old = rng.permutation(len(self.x))[: most - new]
            fresh = rng.permutation(len(x))[:new]
            x = np.concatenate([self.x[old], x[fresh]])
            if target is not None:
                target = np.concatenate([self.target[old], target[fresh]])
        return replace(self, n_chunks=self.n_chunks + 1, n_held_out=seen, x=x, target=target)

    def rows(self, device, read_by, answered_by, likelihood, corruption=None):
        """Return the sample as validation rows on a device, or None if there is none.

        Parameters
        ----------
        device : str
        read_by, answered_by : Start
            Initial models whose mean and scale standardise inputs and targets, respectively.
        likelihood : Likelihood
            Likelihood of the targets.
        corruption : callable or None
            If it takes raw rows, the inputs are not standardised.
        """
        if self.x is None:
            return None
        import torch

        from ..data.batches import Reader, Rows

        raw = corruption is not None and corruption.takes_raw_rows
        x = Reader(self.x) if raw else Reader(self.x, read_by.input_mean, read_by.input_scale)
        x, target = x.tensor(device=device), None
        same = self.target is None and read_by is answered_by and likelihood.is_normal
        if raw or not same:
            rows = self.x if self.target is None else self.target
            target = Reader(rows, *likelihood.units(answered_by)).tensor(device=device)
        return Rows(x, target, torch.arange(len(x), device=device))
