"""Conversion of fitted objects to plain arrays and values, for pickles, and back."""

from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import ClassVar

import numpy as np


def plain(value):
    """Convert a number of any type to a Python number; return anything else unchanged."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


@dataclass(frozen=True)
class Plain:
    """Base class of the dataclasses that a fitted estimator keeps.

    `parts` has the fields that hold another such object, or None, with their types.
    """

    parts: ClassVar[dict[str, type["Plain"]]] = {}

    def to_arrays(self):
        """Return the fields by name, with `parts` converted recursively."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in self.parts:
            if values[name] is not None:
                values[name] = values[name].to_arrays()
        return values

    @classmethod
    def from_arrays(cls, arrays):
        """Restore the object from the result of `to_arrays`."""
        arrays = dict(arrays)
        for name, part in cls.parts.items():
            if arrays[name] is not None:
                arrays[name] = part.from_arrays(arrays[name])
        return cls(**arrays)
