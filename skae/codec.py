"""Fitted parts as plain arrays and values, for pickles, and back."""

from dataclasses import fields
from numbers import Integral, Real
from typing import ClassVar

import numpy as np


def plain(value):
    """A number of any type as one of Python's own; anything else as it is."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


class Plain:
    """Base of dataclasses that a fitted estimator keeps.

    `parts` names the fields that hold such an object, or None, with their types.
    """

    parts: ClassVar[dict[str, type["Plain"]]] = {}

    def to_arrays(self):
        """Fields by name; parts as what they are made of in turn."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        for name in self.parts:
            if values[name] is not None:
                values[name] = values[name].to_arrays()
        return values

    @classmethod
    def from_arrays(cls, arrays):
        """The object that `to_arrays` was asked of."""
        arrays = dict(arrays)
        for name, part in cls.parts.items():
            if arrays[name] is not None:
                arrays[name] = part.from_arrays(arrays[name])
        return cls(**arrays)
