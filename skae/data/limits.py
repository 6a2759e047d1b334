"""Limits of floating point: checks for values whose squares or codes would not be finite."""

import numpy as np

# Smallest spread of the values of a table. Its square is the unit of errors, and the noise
# variance of a density may be 1e-20 of that.
_LEAST = 1e-140
_FARTHEST = 1e15  # largest standardised value, as training squares it in float32
_SPARE = 1e3  # number of standard deviations that a dtype must be able to represent


def check_spread(table, name):
    """Raise an error if the values of a table differ by too little for squares in float64."""
    spread = (table.high - table.low).max()
    rounding = 10 * np.finfo(np.float64).eps * np.abs(table.mean).max()
    if rounding < spread < _LEAST:
        raise ValueError(
            f"The values of {name} must differ by {_LEAST:.0e} at least; got {spread:.3g} as the "
            f"largest difference. Divide {name} by its largest absolute value first."
        )


def check_units(units, dtype, name):
    """Raise an error if a dtype cannot represent the units of a model, (k,), in full precision."""
    info, least, most = np.finfo(dtype), np.min(units), np.max(units)
    if least < info.tiny or most > info.max / _SPARE:
        raise ValueError(
            f"{name} must be of dtype float64 where standard deviations are from {least:.3g} to "
            f"{most:.3g}; got {np.dtype(dtype)}. Convert it with {name}.astype(np.float64), or "
            "scale the rows to fit first, for example with StandardScaler."
        )


def check_near(low, high, mean, scale, name):
    """Raise an error if values are too far from the mean to train on; `low`, `high` are (d,)."""
    with np.errstate(over="ignore"):
        far = np.nan_to_num(np.maximum(np.abs(low - mean), np.abs(high - mean)) / scale)
    column = far.argmax()
    if far[column] > _FARTHEST:
        value = max(low[column], high[column], key=abs)
        raise ValueError(
            f"The values of {name} must be within {_FARTHEST:.0e} times the scale that rows are "
            f"standardised by, {np.broadcast_to(scale, far.shape)[column]:.3g}; got {value:.3g} in "
            f"column {column}. Scale {name} first, for example with StandardScaler."
        )


def check_finite(out, rows, name):
    """Raise an error that names the first of the rows, (n, d), whose `out`, (n, ...), overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(out.sum()):  # a fast test that nearly always passes
            return
    bad = np.flatnonzero(~np.isfinite(out).reshape(len(out), -1).all(axis=1))
    if len(bad):
        row = rows[bad[0] : bad[0] + 1][0]
        column = np.abs(row).argmax()
        raise ValueError(
            f"The values of {name} must be nearer to those that fit has seen; got "
            f"{row[column]:.3g} in column {column}, from which no finite {out.dtype} can be "
            f"computed. Leave such rows out{', or use float64' if out.dtype == 'float32' else ''}."
        )
