"""Numbers and fitted parts as plain values, for pickles, and back."""

from numbers import Integral, Real

import numpy as np


def plain(value):
    """A number of any type as one of Python's own; anything else as it is."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value
