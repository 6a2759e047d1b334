"""Columns of numbers."""

from dataclasses import dataclass

import numpy as np

from ..warn import warn
from ._column import Column, level_of

_FEW = 20  # rows, in which no number is taken for that of a row


@dataclass(frozen=True, kw_only=True)
class Number(Column):
    """A column of numbers, or of ordered categories, numbered from 0.

    Parameters
    ----------
    whole : bool
        Whether all are whole numbers.
    low, high : float
        The smallest and the largest number that `decode` returns.
    std : float
        Standard deviation, or 1 where that is 0.
    """

    whole: bool
    low: float
    high: float
    std: float

    @classmethod
    def find(cls, given, there, asked):
        if given.holds == "categories":
            raise ValueError(
                f"likelihood={cls.kind()!r} needs numbers, or ordered categories; got column "
                f"{given.name!r} of dtype {there.dtype}. Turn it into one, for example with "
                f"X[{given.name!r}].astype(int), or pd.Categorical(..., ordered=True)."
            )
        x = numbers(given, there)
        whole = bool((x == x.round()).all())
        if not asked and whole and len(np.unique(x)) == len(x) > _FEW and (np.diff(x) > 0).all():
            warn(
                f"Column {given.name!r} has an increasing whole number in every row. If these are "
                f"numbers of the rows, leave it out with X.drop(columns={given.name!r}).",
                UserWarning,
            )
        known = {"whole": whole, "low": float(x.min()), "high": float(x.max())}
        known["std"] = float(x.std()) or 1.0
        return cls(given=given, **known | cls.fitted(given, x, whole))

    @classmethod
    def fitted(cls, given, x, whole):
        """Return further fields, from the values that are there."""
        return {}

    def scores(self, x):
        """Return encoded numbers, (n,)."""
        raise NotImplementedError

    def encode(self, values):
        return self.scores(numbers(self.given, values))[:, None]

    def values(self, scores, rng):
        """Return the numbers of scores, (n,)."""
        raise NotImplementedError

    def decode(self, encoded, rng):
        x = np.clip(self.values(encoded[:, 0], rng), self.low, self.high)
        x = x.round() if self.whole else x
        if self.given.ordered:
            return self.given.as_given(self.given.categories[x.astype(int)])
        return self.given.as_given(x)

    def log_densities(self, x):
        """Do the same as `log_volume` for numbers without gaps."""
        raise NotImplementedError

    def log_volume(self, values):
        x = numbers(self.given, values)
        seen, out = ~np.isnan(x), np.zeros(len(x))
        out[seen] = self.log_densities(x[seen])
        return out


def numbers(given, values):
    """Return a series as float64, with NaN for missing entries."""
    if given.ordered:
        index = level_of(given.name, given.categories, values)
        return np.where(index < 0, np.nan, index)
    try:
        x = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise ValueError(
            f"Column {given.name!r} must have numbers, as in fit; got dtype {values.dtype}."
        ) from None
    if np.isinf(x).any():
        raise ValueError(
            f"X contains infinity or a value too large in column {given.name!r}, first in row "
            f"{np.isinf(x).argmax()}."
        )
    return x
