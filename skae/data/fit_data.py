"""The validated rows of one fit, divided into a training and a validation set."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..devices import fits_on
from .limits import check_near, check_units
from .moments import Running
from .sources import ends_of_columns, is_small, is_sparse, picked
from .split import HeldOut
from .table import Table, some_rows

_MOST_ROWS = 2000  # the most training rows used in place of a validation set


@dataclass(frozen=True)
class FitData:
    """The data of one fit.

    Parameters
    ----------
    table : Table
        Rows that the decoder should return.
    inputs : Table
        Rows that the encoder reads.
    paired : bool
        Whether these are other rows than those of `table`.
    held_out : HeldOut
    validation : pair of ndarrays or None
        Validation set given by the user, for the encoder and for the loss.
    corruption : callable or None
        Corruption of the encoder's rows in training.
    device : str
    name : str
        Name of the rows of `table` in messages.
    running : Running or None
        Moments of all chunks up to this one. None in `fit` and for a first chunk.
    chunks : Chunks or None
        Validation rows of all chunks. None in `fit`.
    """

    table: Table
    inputs: Table
    paired: bool
    held_out: HeldOut
    validation: tuple | None
    corruption: Any
    device: str
    name: str
    running: Running | None = None
    chunks: Any = None

    @property
    def has_gaps(self):
        """Whether entries are missing."""
        return self.table.has_gaps or (
            self.validation is not None and _has_gaps(self.validation[0])
        )

    def check(self, spec):
        """Raise an error if standardised rows are too large for training."""
        table, inputs, start = self.table, self.inputs, spec.start
        check_units(spec.units(), inputs.X.dtype, "X")
        check_near(table.low, table.high, start.mean, start.scale, self.name)
        check_near(inputs.low, inputs.high, start.input_mean, start.input_scale, "X")
        if self.validation is not None:
            seen, rows = self.validation
            spec.family.check(rows, "X_val")
            low, high = ends_of_columns(rows)
            check_near(low, high, start.mean, start.scale, "X_val")
            low, high = ends_of_columns(seen)
            check_near(low, high, start.input_mean, start.input_scale, "X_val")

    def split(self, spec):
        """Return the training and the validation set, on the device or streamed to it."""
        import torch

        from .batches import PickedRows, Rows, Split, StreamedRows, as_tensor, readers

        table, inputs, held_out, device = self.table, self.inputs, self.held_out, self.device
        answered = table.X if self.paired else None
        x, target = readers(spec.start, spec.family, inputs.X, answered, self.corruption)

        def rows(seen, answered, index):
            if is_sparse(seen):
                return PickedRows(x, target, seen, index.cpu(), device)
            there = None if target is None else target.tensor(answered, device)
            return Rows(x.tensor(seen, device), there, index)

        if is_small(table.X) or fits_on(device, table.X):
            train = rows(inputs.X, table.X, as_tensor(self.trained_on(), device))
        else:
            left_out = held_out.rows
            if held_out.train is not None:
                left_out = np.delete(np.arange(len(table.X)), held_out.train)
            train = StreamedRows(x, target, left_out, device)
        if self.validation is not None:
            seen, answered = self.validation
            valid = rows(seen, answered, torch.arange(len(seen), device=device))
        elif is_small(table.X):
            valid = train.others(as_tensor(held_out.rows, device))
        else:
            n = len(held_out.rows)
            here = torch.arange(n, device=device)
            valid = rows(inputs.sample[:n], table.sample[:n], here)
        return Split(train, valid if len(valid) else None, held_out.groups)

    def trained_on(self):
        """Return the indices of the training rows in the table."""
        if self.held_out.train is not None:
            return self.held_out.train
        return np.delete(np.arange(len(self.table.X)), self.held_out.rows)

    def rows_held_out(self):
        """Return the validation rows of the table, for the encoder and for the loss.

        The latter are None if they are the same. Without a validation set, return None.
        """
        if not len(self.held_out.rows):
            return None
        index = self.held_out.rows
        if not is_small(self.table.X):  # the sample holds the validation rows
            index = np.arange(len(index))
        answered = picked(self.table.sample, index) if self.paired else None
        return picked(self.inputs.sample, index), answered

    def rows_to_judge(self):
        """Return the validation rows as the encoder reads them, or some training rows."""
        if self.chunks is not None and self.chunks.x is not None:
            return self.chunks.x
        if self.validation is not None:
            return self.validation[0]
        held_out = self.rows_held_out()
        return some_rows(self.inputs.sample, _MOST_ROWS) if held_out is None else held_out[0]


def _has_gaps(X):
    return not is_sparse(X) and bool(np.isnan(X).any())
