"""Choice of the rows and latent dimensions that displays show."""

import numpy as np
from sklearn.utils import _safe_indexing

from ..data.sources import Stream, is_stream
from ..data.validation import as_table


def flat_rows(X):
    """Flatten rows of any shape; a data frame stays a data frame."""
    if X is None:
        return None
    X = as_table(X)
    return np.reshape(X, (len(X), -1)) if len(X.shape) > 2 else X


def pick_rows(X, rows):
    """Return some rows, or all if None, of an array, a data frame or a large table."""
    if X is None or rows is None:
        return X
    if hasattr(X, "iloc") or hasattr(X, "slice"):
        return _safe_indexing(X, rows)
    return Stream(X)[rows] if is_stream(X) else np.asarray(as_table(X))[rows]


def sample_rows(X, y, max_points, random_state):
    """Choose the rows to draw: return their sorted indices, or None for all."""
    n_rows = np.shape(X)[0]
    if y is not None and len(y) != n_rows:
        raise ValueError(f"y must have one entry per row; got len(y)={len(y)} for {n_rows} rows.")
    if n_rows <= max_points:
        return None
    return np.sort(np.random.default_rng(random_state).choice(n_rows, max_points, replace=False))


def as_rows(row):
    """Return a single row, of any shape, as an array or data frame of one row."""
    if hasattr(row, "to_frame"):
        return row.to_frame().T
    row = np.asarray(row)
    return row if row.ndim > 1 and len(row) == 1 else row[None]


def latent_numbers(latents, n_latents):
    return range(n_latents) if latents is None else latents


def check_latents(latents, n_latents):
    latents = list(latents)
    if not latents or not set(latents) <= set(range(n_latents)):
        raise ValueError(
            f"latents must be numbers from 0 to {n_latents - 1}; got latents={latents}."
        )
    return latents
