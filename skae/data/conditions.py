"""Conditions of rows, classes or numbers, in the form that networks read."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import assert_all_finite, check_array, check_consistent_length
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from ..codec import Plain
from ..warn import warn
from .limits import check_near
from .sources import Mapped, is_small
from .validation import check_numbers, is_missing

# More distinct whole numbers than this look like quantities, unless they are 0, 1, 2, ... or
# 1, 2, 3, ... with at least this many rows each.
_MANY_CLASSES, _ROWS_OF_CLASS = 20, 10
_N_CONDITIONS = 32  # representative training conditions, if conditions are numbers


@dataclass(frozen=True)
class Conditions(Plain):
    """The kind of the conditions, and their frequencies.

    Parameters
    ----------
    names : list of str or None
        Columns of `y`, if that was a data frame.
    classes : ndarray of shape (n_classes,) or None
        The sorted labels. None for numbers.
    mean, scale : ndarrays of shape (n_conditions,) or None
        Standardisation of numbers.
    rows : ndarray of shape (m, q) or None
        Conditions that represent those of all rows, as networks read them.
    counts : ndarray of shape (m,) or None
        Number of rows that each of them represents.
    """

    names: list | None
    classes: Any = None
    mean: Any = None
    scale: Any = None
    rows: Any = None
    counts: Any = None

    @classmethod
    def find(cls, y, kind, classes, n_samples):
        """Infer the kind of the conditions from `y`.

        Parameters
        ----------
        y : array-like
        kind : {"auto", "class", "number"}
        classes : array-like or None
            All labels that will occur.
        n_samples : int
        """
        if classes is not None and np.size(classes) == 0:
            raise ValueError(f"classes must hold at least one label; got classes={classes}.")
        names, y, asked = _names(y), _as_array(y), kind
        if y.dtype.kind == "f":
            assert_all_finite(y, input_name="y")
        if kind == "auto":
            kind = "class" if classes is not None else _kind_of(y)
        if kind == "class":
            y = column_or_1d(y)
            labels = np.unique(y if classes is None else _as_array(classes, "classes"))
            if asked == "auto" and classes is None:
                _warn_of_numbers(labels, n_samples)
            return cls(names, classes=labels)
        if classes is not None:
            raise ValueError(
                "classes must be None where conditions are numbers; got condition='number' "
                f"and classes={labels_of(classes)}."
            )
        y = _numbers(y, n_samples)
        # Scaled by a power of two, so that squares neither overflow nor underflow.
        unit = 2.0 ** np.frexp(np.abs(y).max(axis=0))[1].clip(-1000, 1000)
        spread = (y / unit).std(axis=0) * unit
        mean = (y / unit).mean(axis=0) * unit
        return cls(names, mean=mean, scale=np.where(spread > 0, spread, 1.0))

    @property
    def are_classes(self):
        """Whether conditions are classes, not numbers."""
        return self.classes is not None

    def after(self, y, n_samples):
        """Return conditions whose frequencies include those of further rows."""
        if self.are_classes:
            counts = np.bincount(self._numbers_of(y, n_samples), minlength=len(self.classes))
            counts = counts if self.counts is None else counts + self.counts
            return replace(self, rows=np.eye(len(counts)), counts=counts)
        rows, counts = self.as_read(y, n_samples), np.ones(n_samples)
        if self.rows is not None:
            rows = np.concatenate([self.rows, rows])
            counts = np.append(self.counts, counts)
        # Representatives are evenly spaced quantiles of the first condition.
        order, total = np.argsort(rows[:, 0], kind="stable"), counts.sum()
        m = min(_N_CONDITIONS, len(counts))
        places = (np.arange(m) + 0.5) * total / m
        places = np.searchsorted(np.cumsum(counts[order]), places, side="right")
        return replace(self, rows=rows[order[places]], counts=np.full(m, total / m))

    def log_weights(self):
        """Return the logarithms of the frequencies of `rows`, (m,)."""
        if not self.are_classes:
            return np.full(len(self.rows), -np.log(len(self.rows)))
        # A class that has not occurred yet counts as half a row.
        return np.log(np.maximum(self.counts, 0.5) / np.maximum(self.counts, 0.5).sum())

    def as_read(self, y, n_samples):
        """Return conditions as networks read them, (n_samples, q).

        `y` has one condition per row, or one for all rows. Large tables of class indicators are
        computed block by block.
        """
        names, known = _names(y), self.names
        if None not in (names, known) and names != known:
            raise ValueError(
                f"The column names of y must be those of fit, in the same order, {known}; got "
                f"{names}. Use y[{known}]."
            )
        if self.are_classes:
            shape = np.asarray(y).shape
            if len(shape) == 2:
                warn(
                    "y must be a column of labels, of shape (n_samples,); got one of shape "
                    f"{shape}. Use y.ravel().",
                    DataConversionWarning,
                )
            numbers = np.arange(len(self.classes))
            column = self._numbers_of(y, n_samples)[:, None]
            indicators = Mapped(lambda some: some == numbers, len(numbers), column)
            return indicators[:] if is_small(indicators) else indicators
        y, n_numbers = _as_array(y), len(self.mean)
        if y.shape in ((), (n_numbers,)) and (y.ndim == 0 or n_numbers > 1):  # one for all
            y = np.broadcast_to(y, (n_samples, n_numbers))
        y = _numbers(y, n_samples)
        if y.shape[1] != n_numbers:
            raise ValueError(
                f"y must have {n_numbers} conditions for a row, as in fit; got {y.shape[1]}."
            )
        check_near(y.min(axis=0), y.max(axis=0), self.mean, self.scale, "y")
        return (y - self.mean) / self.scale

    def _numbers_of(self, y, n_samples):
        """Return the index of the class of every row, (n_samples,)."""
        y = _as_array(y)
        y = np.repeat(y, n_samples) if y.ndim == 0 else y
        y = column_or_1d(y)
        check_consistent_length(y, np.empty(n_samples))
        if (y.dtype.kind in "US") == (self.classes.dtype.kind in "US"):
            index = np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)
            unknown = np.unique(y[self.classes[index] != y])
        else:
            unknown = np.unique(y)
        if len(unknown):
            raise ValueError(
                f"y must hold classes that fit has seen, {_shortened(self.classes)}; got "
                f"{_shortened(unknown)}."
            )
        return index


def labels_of(classes):
    """Return the distinct labels, as a list."""
    return np.unique(_as_array(classes, "classes")).tolist()


def _kind_of(y):
    """Return "class" or "number", by the type of the labels."""
    with np.errstate(invalid="ignore"):  # numbers may not fit into int64
        target = type_of_target(y)
    continuous = target.startswith("continuous") or (y.ndim == 2 and y.shape[1] > 1)
    return "number" if continuous else "class"


def _numbers(y, n_samples):
    check_numbers(y, "y")
    y = y.reshape(-1, 1) if y.ndim == 1 else y
    y = check_array(y, dtype=np.float64, input_name="y")
    check_consistent_length(y, np.empty(n_samples))
    return y


def _names(y):
    """Return the column names of a data frame, if they are strings."""
    names = list(getattr(y, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None


def _as_array(y, name="y"):
    """Return labels or numbers as an array, with objects as strings; refuse missing ones."""
    mask = np.ma.getmask(y)
    # numpy would turn a missing label in a list of strings into the string "nan".
    y = np.asarray(y, dtype=None if hasattr(y, "__array__") else object)
    if y.dtype.kind in "OT":
        missing = np.array([is_missing(value) for value in y.flat], dtype=bool).reshape(y.shape)
    else:
        missing = y != y  # NaN and NaT
    rows = np.flatnonzero((missing | mask).reshape(len(y) if y.ndim else 1, -1).any(axis=1))
    if len(rows):
        raise ValueError(
            f"{name} must have no missing values (NaN, None, NA or NaT); got {len(rows)}, the "
            f"first in row {rows[0]}. Drop these rows, or give them a label of their own."
        )
    return np.asarray(y.tolist()) if y.dtype.kind in "OT" else y


def _warn_of_numbers(classes, n_samples):
    """Warn if labels look like quantities: many distinct numbers that do not count from 0 or 1."""
    n = len(classes)
    if classes.dtype.kind not in "iuf" or n <= _MANY_CLASSES:
        return
    are_codes = classes[0] in (0, 1) and classes[-1] - classes[0] == n - 1
    if not are_codes or n_samples < _ROWS_OF_CLASS * n:
        warn(
            f"y holds {n} distinct whole numbers in {n_samples} rows, and each is taken for a "
            "class of its own. Use condition='number' if they are quantities, as ages are, or "
            "condition='class' if they are labels.",
            UserWarning,
        )


def _shortened(values):
    """Return the first of some values as text for a message."""
    names = [repr(value) for value in values[:10].tolist()]
    return f"[{', '.join(names)}{', ...' if len(values) > 10 else ''}]"
