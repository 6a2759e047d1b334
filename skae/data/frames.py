"""Data frames that are returned."""

import numpy as np


def is_frame(X):
    """Return whether X is a data frame of pandas, or works like one."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def as_frame(X, filled, gaps):
    """Return a data frame like X, with the values of an array, (n, d), for missing entries.

    `gaps` says which these are, (n, d). Columns keep their dtype if it can hold the values.
    """
    out = X.copy()
    for number, label in enumerate(X.columns):
        column, values = X[label], filled[:, number]
        if not gaps[:, number].any():
            continue
        kind = getattr(column.dtype, "kind", "O")
        fits = kind == "f" or (kind in "iu" and bool((values == values.round()).all()))
        out[label] = type(column)(values, index=X.index).astype(
            column.dtype if fits else np.float64
        )
    return out
