"""Validation of what users' functions return."""

import numpy as np


def as_returned(name, returned, *shapes):
    """Check what a user's function returned; return a finite array of one of some shapes."""
    try:
        values = np.asarray(returned)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must return an array of numbers; {error}") from error
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must return finite numbers; got {type(returned).__name__} of dtype "
            f"{values.dtype}."
        )
    if values.shape not in shapes:
        wanted = " or ".join(str(shape) for shape in dict.fromkeys(shapes))
        raise ValueError(
            f"{name} must return an array of shape {wanted}; got shape {values.shape}."
        )
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must return finite numbers; got NaN or infinity.")
    return values
