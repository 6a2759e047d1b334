"""Corrupted copies of rows that denoisers are scored on, the same for every denoiser.

The level is fixed: by its own `corruption_level` an estimator that was fitted for less
corruption would always have the better score.
"""

import zlib

import numpy as np

from .returned import as_returned

SCORE_LEVEL = 0.3  # the default of `corruption_level`
SCORE_COPIES = 8  # of every row


def corrupted_copies(rows, replacements, scale):
    """Corrupt every row several times, (n, d) -> (n * SCORE_COPIES, d).

    What is drawn for a row depends on its values alone, so a row has one score in whatever
    order and company.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    replacements : ndarray of shape (m, d) or None
        Values of every feature that entries are replaced by, equally likely. If None,
        normal noise is added.
    scale : float
        What the standard deviation of the noise is in units of.
    """
    copies = np.repeat(rows[:, None], SCORE_COPIES, axis=1)
    for of_row, seed in zip(copies, _seeds(rows), strict=True):
        rng = np.random.default_rng(seed)
        if replacements is None:
            of_row += SCORE_LEVEL * scale * rng.standard_normal(of_row.shape)
        else:
            chosen = rng.integers(len(replacements), size=of_row.shape)
            values = np.take_along_axis(replacements, chosen, axis=0)
            here = rng.random(of_row.shape) < SCORE_LEVEL
            np.copyto(of_row, values, where=here, casting="same_kind")
    return copies.reshape(-1, rows.shape[1])


def function_copies(function, rows, shape):
    """The same by a user's function, which is given all rows at once, of a shape or flat.

    It may mix them. They come in an order that depends on their values alone.
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
    """A number for every row, from its values in float32; a power of two changes nothing."""
    exponent = np.frexp(np.abs(rows).max(axis=1, keepdims=True))[1]
    rows = np.ldexp(rows, -exponent).astype(np.float32) + np.float32(0)  # which is 0 for -0, too
    return [zlib.crc32(row.tobytes()) for row in rows]
