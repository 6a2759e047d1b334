"""Corrupted copies of rows that denoisers are scored on, the same for every denoiser.

The corruption level is fixed. With their own `corruption_level`, estimators that were fitted with
less corruption would always score better.
"""

import zlib

import numpy as np

from .returned import as_returned

SCORE_LEVEL = 0.3  # the default of `corruption_level`
SCORE_COPIES = 8  # of every row


def corrupted_copies(rows, replacements, scale):
    """Corrupt every row several times, (n, d) -> (n * SCORE_COPIES, d).

    The draws for a row depend on its values only. So its score does not depend on the order of
    rows, or on the other rows.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    replacements : ndarray of shape (m, d) or None
        Values of every feature that replace entries, with equal probability. If None,
        Gaussian noise is added.
    scale : float
        Unit of the standard deviation of the noise.
    """
    copies = np.repeat(rows[:, None], SCORE_COPIES, axis=1)
    for of_row, seed in zip(copies, _seeds(rows), strict=True):
        rng = np.random.default_rng(seed)
        if replacements is None:
            of_row += SCORE_LEVEL * scale * rng.standard_normal(of_row.shape)
        else:
            chosen = rng.integers(len(replacements), size=of_row.shape)
            values = np.take_along_axis(replacements, chosen, axis=0)
            here = (rng.random(of_row.shape) < SCORE_LEVEL) & ~np.isnan(of_row)
            np.copyto(of_row, values, where=here, casting="same_kind")
    return copies.reshape(-1, rows.shape[1])


def function_copies(function, rows, shape):
    """Corrupt every row several times with a user's function, which gets all rows at once.

    The function may mix rows, so they are sorted in an order that depends on their values only.
    """
    order = np.argsort(_seeds(rows), kind="stable")
    copies = np.empty((len(rows), SCORE_COPIES, rows.shape[1]), dtype=rows.dtype)
    rng = np.random.default_rng(0)
    for number in range(SCORE_COPIES):
        given = rows[order].reshape(len(rows), *(shape or rows.shape[1:]))
        shapes = given.shape, rows.shape
        corrupted = as_returned("corruption", function(given, SCORE_LEVEL, rng), *shapes)
        copies[order, number] = corrupted.reshape(rows.shape)
    return copies.reshape(-1, rows.shape[1])


def _seeds(rows):
    """Return a hash of every row's values in float32, invariant to scaling by powers of two."""
    exponent = np.frexp(np.fmax.reduce(np.abs(rows), axis=1, keepdims=True, initial=0.0))[1]
    rows = np.where(np.isnan(rows), rows.dtype.type(np.nan), rows)  # one bit pattern of NaN
    rows = np.ldexp(rows, -exponent).astype(np.float32) + np.float32(0)  # turns -0 into 0
    return [zlib.crc32(row.tobytes()) for row in rows]
