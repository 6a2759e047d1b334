"""The choice of the validation set."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import column_or_1d

from ..codec import plain
from ..warn import warn
from .sources import blocks, is_small
from .table import some_rows
from .validation import is_missing

MIN_HELD_OUT = 60  # validation losses of fewer rows are too noisy
_KEPT = 2**22  # the most values in the validation set of a large table
_LEAST_GROUPS = 10  # groups to hold out, unless that is more than a quarter of them
_LEAST_COPIED = 25  # groups of near-copies: fewer are more likely to be clusters
_PROBES = 30  # rows whose neighbours are searched for near-copies
_GAP = 3.0  # ratio of the distances of the nearest other row and the farthest near-copy
_WITH_GAP = 0.8  # fraction of the probes that must have such a gap
_MOST_NUMBERS = 2**22  # the most values of a table in which near-copies are searched for


class Wishes(NamedTuple):
    """Arguments of `fit` that determine the validation set."""

    y: Any = None  # for splitters that stratify
    groups: Any = None  # (n_samples,), a label for every row
    X: Any = None  # a validation set given by the user
    extra: Any = None  # and the variant's own argument beside it


@dataclass(frozen=True)
class HeldOut:
    """Indices of the validation rows, and of the training rows.

    If `train` is None, all other rows are used for training. `groups` are group labels of the
    validation rows, for standard errors over groups, or None.
    """

    rows: np.ndarray
    train: np.ndarray | None = None
    groups: np.ndarray | None = None

    def in_order(self):
        """Return the same, with the validation rows in the order of the table."""
        order = np.argsort(self.rows)
        groups = None if self.groups is None else self.groups[order]
        return HeldOut(self.rows[order], self.train, groups)


def choose(X, fraction, wishes, rng, chunks=None, look_for_copies=True):
    """Choose the validation rows of X.

    Parameters
    ----------
    X : ndarray or Stream of shape (n_samples, n_features)
    fraction : float, splitter or None
        As `validation_fraction`.
    wishes : Wishes
    rng : numpy.random.Generator
    chunks : Chunks or None
        Validation rows of earlier chunks. None in `fit`.
    look_for_copies : bool, default=True
        Whether to search for rows that are nearly equal.

    Returns
    -------
    held_out : HeldOut
    """
    if wishes.X is not None:
        if hasattr(fraction, "split"):
            raise ValueError(
                "X_val takes the place of rows of X that a splitter holds out; got X_val and "
                f"validation_fraction={fraction!r}. Leave one of them out."
            )
        check_consistent_length(X, wishes.groups)
        return HeldOut(np.empty(0, dtype=np.intp))
    if wishes.extra is not None:
        raise ValueError(
            "y_val and X_val_clean belong to X_val; got X_val=None. Give rows as X_val, too."
        )
    if hasattr(fraction, "split"):
        return by_splitter(fraction, len(X), wishes)
    n_held_out = number_held_out(X, fraction, chunks)
    if wishes.groups is not None:
        check_consistent_length(X, wishes.groups)
        return in_groups(wishes.groups, n_held_out, rng)
    if is_small(X):
        return at_random(X, n_held_out, rng, look_for_copies)
    # Repeated rows are not searched for: a table this large is not memorised.
    return HeldOut(rng.choice(len(X), n_held_out, replace=False))


def to_keep(X, held_out, rng):
    """Return sorted indices of the rows of a large table to keep: validation rows, or others."""
    if len(held_out.rows):
        return held_out.rows
    n_rows = min(len(X), _most_to_keep(X.shape[1]))
    return np.sort(rng.choice(len(X), n_rows, replace=False))


def number_held_out(X, fraction, chunks=None):
    """Return how many rows of X to hold out, given those held out of earlier chunks."""
    n_samples, n_features = X.shape
    if fraction is None:
        return 0
    enough, most = MIN_HELD_OUT, n_samples - 1
    if chunks is not None:
        enough, of_chunk = chunks.to_hold_out(n_features)
        most = min(most, of_chunk)
    if not is_small(X):
        most = min(most, _most_to_keep(n_features))
    wanted = math.ceil(plain(fraction) * n_samples)
    return min(max(wanted, min(enough, n_samples // 4)), most)


def _most_to_keep(n_features):
    return max(MIN_HELD_OUT, _KEPT // n_features)


def at_random(X, n_held_out, rng, look_for_copies=True):
    """Hold out `n_held_out` rows at random.

    Equal rows, as in a bootstrap sample, are all training rows or all validation rows, so that
    no validation row has been trained on. A row with more copies than `n_held_out` is a common
    value and not a repeated draw, so its copies are split like other rows.
    """
    weights = np.random.default_rng(0).standard_normal(X.shape[1])
    # Gaps count as zeros.
    keys = [np.nan_to_num(rows * weights).sum(axis=1) for _, rows in blocks(X)]
    distinct, group = np.unique(np.concatenate(keys), return_inverse=True)
    if len(distinct) < len(X) / 10:  # with few distinct values, rows are equal by chance
        return _first(rng.permutation(len(X)), n_held_out)
    if len(distinct) == len(X):
        groups = near_copies(X) if n_held_out and look_for_copies else None
        if groups is not None:
            _warn_of_copies(groups.max() + 1)
            return in_groups(groups, n_held_out, rng)
        return _first(rng.permutation(len(X)), n_held_out)
    common = np.bincount(group)[group] > max(n_held_out, 1)
    if common.any():
        group[common] = len(distinct) + np.arange(common.sum())
        group = np.unique(group, return_inverse=True)[1]
    return _whole_groups(group, n_held_out, rng)


def in_groups(groups, n_held_out, rng):
    """Hold out whole groups, of about `n_held_out` rows in total and at least a few groups.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        A label for every row.
    n_held_out : int
    rng : numpy.random.Generator
    """
    groups = _numbered(groups)
    n_groups = groups.max() + 1
    if n_groups < 2:
        raise ValueError(
            "groups must have at least 2 different values; got 1. Leave groups out, or give "
            "validation rows of your own with X_val."
        )
    if n_held_out:
        least = min(_LEAST_GROUPS, n_groups // 4)
        n_held_out = max(n_held_out, least * len(groups) // n_groups)
    held_out = _whole_groups(groups, n_held_out, rng)
    return HeldOut(held_out.rows, held_out.train, groups[held_out.rows])


def _numbered(groups):
    """Number groups from 0; raise an error if a label is missing."""
    groups = column_or_1d(groups)
    missing = np.flatnonzero([is_missing(label) for label in groups.tolist()])
    if len(missing):
        raise ValueError(
            f"groups must have no missing values; got {len(missing)}, the first in row "
            f"{missing[0]}. Drop these rows, or give them groups of their own."
        )
    return np.unique(groups, return_inverse=True)[1]


def by_splitter(splitter, n_samples, wishes):
    """Hold out the test rows of the last split of a scikit-learn splitter."""
    arrays = [value for value in (wishes.y, wishes.groups) if value is not None]
    check_consistent_length(np.empty(n_samples), *arrays)
    last = None
    try:
        for train, test in splitter.split(np.empty((n_samples, 0)), wishes.y, wishes.groups):
            last = np.asarray(train), np.asarray(test)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"validation_fraction={splitter!r} cannot split {n_samples} rows: {error}. A splitter "
            "that reads labels or groups needs fit(X, y) or fit(X, groups=...)."
        ) from error
    if last is None:
        raise ValueError(f"validation_fraction={splitter!r} must make a split; got none.")
    train, rows = last
    groups = None
    if wishes.groups is not None:
        groups = _numbered(wishes.groups)[rows]
    return HeldOut(rows, train, groups)


def near_copies(X):
    """Find groups of rows that are nearly equal; return labels, (n_samples,), or None.

    Such a table is recognised by a gap in the distances of most rows to their neighbours: the
    near-copies are close, and the next row is several times as far away.
    """
    n = len(X)
    if n * X.shape[1] > _MOST_NUMBERS or n < 4 * _LEAST_GROUPS:
        return None
    X = X[:]  # of a sparse table
    with np.errstate(all="ignore"):
        spread = X.std(axis=0, dtype=np.float64)
        rows = (X - X.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1.0)
        if not np.isfinite(rows).all():
            return None
        probes = some_rows(rows, _PROBES)
        # Explicit differences: via inner products, small distances would round to 0.
        distances = np.sqrt([np.square(rows - probe).sum(axis=1) for probe in probes])
        distances.sort(axis=1)
        distances = distances[:, 1 : 2 + n // _LEAST_GROUPS]  # without the distance to itself
        gaps = distances[:, 1:] / np.maximum(distances[:, :-1], 1e-12)
        widest = gaps.argmax(axis=1)[:, None]
        has_gap = np.take_along_axis(gaps, widest, axis=1)[:, 0] >= _GAP
    if not has_gap.mean() >= _WITH_GAP:
        return None
    near, far = (
        np.take_along_axis(distances, widest + more, axis=1)[has_gap, 0] for more in (0, 1)
    )
    radius = np.sqrt(np.median(near) * np.median(far))
    from sklearn.cluster import DBSCAN

    groups = DBSCAN(eps=radius, min_samples=1).fit(rows).labels_
    return groups if _LEAST_COPIED <= groups.max() + 1 <= n / 2 else None


def _warn_of_copies(n_groups):
    warn(
        f"X seems to hold {n_groups} groups of near-copies, such as repeated measurements. Whole "
        "groups are held out to choose the epoch. Say which rows belong together with "
        "fit(X, groups=...), or validation_fraction=ShuffleSplit(1, test_size=0.1) if none do and "
        "these are clusters.",
        UserWarning,
    )


def _whole_groups(groups, n_held_out, rng):
    """Hold out whole groups, numbered from 0, of about `n_held_out` rows in total."""
    rank = rng.permutation(groups.max() + 1)[groups]
    order = np.argsort(rank, kind="stable")
    ends = np.flatnonzero(np.diff(rank[order])) + 1  # where a new group begins
    if n_held_out and len(ends):
        n_held_out = int(ends[np.abs(ends - n_held_out).argmin()])
    return _first(order, n_held_out)


def _first(order, n_held_out):
    return HeldOut(order[:n_held_out], order[n_held_out:])
