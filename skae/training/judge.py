"""When held-out rows are better off, beyond chance (numpy)."""

import math

import numpy as np

_STANDARD_ERRORS = 2.0  # by which an epoch has to beat the start


def is_clear(improvement, resolution, groups=None):
    """Whether rows gain on average, beyond their own noise and beyond rounding.

    Parameters
    ----------
    improvement : ndarray of shape (n,) or (n, n_losses)
        How much less each row loses. Of several losses of a row the mean counts.
    resolution : float
        The least mean improvement that is not rounding.
    groups : ndarray of int of shape (n,) or None, default=None
        Labels of rows that are like each other. The standard error of the mean is then that
        of whole groups (Liang & Zeger 1986).
    """
    if improvement.ndim > 1:
        improvement = improvement.mean(axis=1)
    mean, noise = improvement.mean(), math.inf
    if groups is not None:
        label = np.unique(groups, return_inverse=True)[1]
        sums, n = np.bincount(label, improvement - mean), len(label)
        if len(sums) > 1:
            noise = math.sqrt(len(sums) / (len(sums) - 1) * np.square(sums).sum()) / n
    elif len(improvement) > 1:
        noise = improvement.std(ddof=1) / math.sqrt(len(improvement))
    return mean > max(_STANDARD_ERRORS * noise, resolution)
