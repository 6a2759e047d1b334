"""Scales of columns: standardised values, or normal scores. Entries may be missing, as NaN."""

import numpy as np
from scipy.special import ndtri

KINDS = ("values", "normal_scores")
_KNOTS = 1000  # the most values of a column that are kept


def fit_scale(X, kind):
    """Return the scale of every column of X, (n, d), a list of dicts of arrays.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Every column has a value.
    kind : {"values", "normal_scores"}
        Normal scores are normal quantiles of ranks, as of a Gaussian copula. Both kinds have mean
        0 and standard deviation 1.
    """
    return [_fit_column(x[~np.isnan(x)], kind) for x in X.T]


def _fit_column(x, kind):
    values, counts = np.unique(x, return_counts=True)
    share = (np.cumsum(counts) - counts / 2) / len(x)
    scores = ndtri(share) if kind == "normal_scores" else values
    mean = np.average(scores, weights=counts)
    std = np.sqrt(np.average(np.square(scores - mean), weights=counts))
    std = std if std > 1e-9 * (abs(mean) + 1e-300) else 1.0
    scores = (scores - mean) / std
    if len(values) > _KNOTS:  # keep values that occur often, and quantiles
        often = counts > len(x) / _KNOTS
        some = np.linspace(0, len(values) - 1, _KNOTS).round().astype(int)
        kept = np.union1d(np.flatnonzero(often), some)
        values, scores, counts = values[kept], scores[kept], counts[kept]
    return {"values": values, "scores": scores, "tied": counts > 1, "mean": mean, "std": std}


def to_scores(X, scale, kind):
    """Map values of columns, (n, d), to scores."""
    out = np.empty(X.shape)
    for column, (x, part) in enumerate(zip(X.T, scale, strict=True)):
        if kind == "values":
            out[:, column] = (x - part["mean"]) / part["std"]
        else:
            out[:, column] = np.interp(x, part["values"], part["scores"])
            out[np.isnan(x), column] = np.nan
    return out


def to_values(scores, scale, kind, rounds=True):
    """Map scores of columns, (..., d), to values.

    If `rounds`, what is nearest to a value that occurs more than once becomes that value. So
    integers remain integers, and categories 0 and 1 remain so. Normal scores beyond the
    extremes of a column become its extremes.
    """
    out = np.empty(scores.shape)
    for column, part in enumerate(scale):
        z = scores[..., column]
        affine = z * part["std"] + part["mean"]
        if kind == "values" and not (rounds and part["tied"].any()):
            out[..., column] = affine
            continue
        codes, values = _steps(part) if rounds else (part["scores"], part["values"])
        x = np.interp(z, codes, values)
        if kind == "values":  # straight on beyond an extreme that occurs once
            x = np.where((z < codes[0]) & ~part["tied"][0], affine, x)
            x = np.where((z > codes[-1]) & ~part["tied"][-1], affine, x)
        out[..., column] = x
    return out


def _steps(part):
    """Return the inverse of a scale as knots, with a step at every value that occurs twice."""
    scores, tied = part["scores"], part["tied"]
    half = np.diff(scores) / 2
    low = scores - np.where(tied, np.append(0.0, half), 0.0)
    high = scores + np.where(tied, np.append(half, 0.0), 0.0)
    return np.column_stack([low, high]).ravel(), np.repeat(part["values"], 2)
