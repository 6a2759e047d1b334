"""Scales of columns: standardised values, or normal scores. Entries may be missing, as NaN."""

import numpy as np
from scipy.special import ndtri

KINDS = ("values", "normal_scores")
_KNOTS = 1000  # the most values of a column that are kept
_OFTEN = 0.01  # fraction of a column from which a value is one that occurs often
_FARTHEST = 1e30  # scores, in standard deviations


def fit_scale(X, kind):
    """Return the scale of every column of X, (n, d), a list of dicts of arrays.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Every column has a value.
    kind : {"values", "normal_scores"}
        Normal scores are normal quantiles of ranks, as of a Gaussian copula. Both kinds have mean
        0 and standard deviation 1, unless all values are the same.

    Raises
    ------
    ValueError
        If the variance of a column overflows.
    """
    return [_fit_column(x[~np.isnan(x)], kind) for x in X.T]


def _fit_column(x, kind):
    values, counts = np.unique(x, return_counts=True)
    scores = normal_scores(counts) if kind == "normal_scores" else values
    with np.errstate(over="ignore", invalid="ignore"):
        scores, mean, std = standardised(scores, counts)
    if not np.isfinite(std):
        raise ValueError(
            "The variance of every column of X must be finite; got a column with values up to "
            f"{np.abs(values).max():.3g}. Divide it by a large number first."
        )
    is_whole = bool((values == values.round()).all())
    often = counts > max(1, _OFTEN * len(x))
    if len(values) > _KNOTS:  # keep values that occur often, and quantiles
        some = np.linspace(0, len(values) - 1, _KNOTS).round().astype(int)
        kept = np.union1d(np.flatnonzero(often), some)
        values, scores, often = values[kept], scores[kept], often[kept]
    return {
        "values": values,
        "scores": scores,
        "often": often,
        "is_whole": is_whole,
        "mean": float(mean),
        "std": float(std),
    }


def normal_scores(counts):
    """Return normal quantiles of ranks of sorted values that occur `counts` times."""
    return ndtri((np.cumsum(counts) - counts / 2) / counts.sum())


def standardised(values, counts):
    """Return values with mean 0 and standard deviation 1, and the ones that they had.

    A standard deviation of 0 counts as 1.
    """
    mean = values[0] + np.average(values - values[0], weights=counts)
    std = np.sqrt(np.average(np.square(values - mean), weights=counts))
    std = 1.0 if std == 0 else std
    return (values - mean) / std, mean, std


def to_scores(X, scale, kind):
    """Map values of columns, (n, d), to scores."""
    out = np.empty(X.shape)
    for column, (x, part) in enumerate(zip(X.T, scale, strict=True)):
        if kind == "values":
            with np.errstate(over="ignore"):
                scores = (x - part["mean"]) / part["std"]
            out[:, column] = np.clip(scores, -_FARTHEST, _FARTHEST)
        else:
            out[:, column] = np.interp(x, part["values"], part["scores"])
            out[np.isnan(x), column] = np.nan
    return out


def to_values(scores, scale, kind, rounds=True):
    """Map scores of columns, (..., d), to values.

    If `rounds`, what is nearest to a value that more than 1 % of a column has becomes that value,
    and in columns of whole numbers all values are whole. Normal scores beyond the extremes of a
    column become its extremes.
    """
    out = np.empty(scores.shape)
    for column, part in enumerate(scale):
        if len(part["values"]) == 1:
            out[..., column] = part["values"][0]
            continue
        x = _of_scores(scores[..., column], part, kind, rounds)
        out[..., column] = x.round() if rounds and part["is_whole"] else x
    return out


def _of_scores(z, part, kind, rounds):
    affine = z * part["std"] + part["mean"]
    often = part["often"]
    if kind == "values" and not (rounds and often.any()):
        return affine
    codes, values = _steps(part) if rounds else (part["scores"], part["values"])
    x = np.interp(z, codes, values)
    if kind == "values":  # straight on beyond an extreme that is rare
        x = np.where((z < codes[0]) & ~often[0], affine, x)
        x = np.where((z > codes[-1]) & ~often[-1], affine, x)
    return x


def _steps(part):
    """Return the inverse of a scale as knots, with a step at every value that occurs often."""
    scores, often = part["scores"], part["often"]
    half = np.diff(scores) / 2
    low = scores - np.where(often, np.append(0.0, half), 0.0)
    high = scores + np.where(often, np.append(half, 0.0), 0.0)
    return np.column_stack([low, high]).ravel(), np.repeat(part["values"], 2)
