"""Categories: an indicator for each level."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ._column import Column, level_of

_TEXTS = 0.5  # fraction of different values from which a column is text
_FEW = 20  # values, which are never taken for text


@dataclass(frozen=True, kw_only=True)
class Categorical(Column):
    """Text, booleans or categories.

    Parameters
    ----------
    levels : ndarray
        Those that occur.
    """

    chosen_for: ClassVar[str | None] = "categories"

    levels: np.ndarray

    @classmethod
    def find(cls, given, there, asked):
        """Find the levels of a column."""
        if given.categories is not None:
            occurs = np.isin(given.categories, there.unique())
            return cls(given=given, levels=given.categories[occurs])
        try:
            levels = np.sort(np.asarray(there.unique()))
        except TypeError:
            raise TypeError(
                f"The categories of a column must be of one type; got several in column "
                f"{given.name!r}. Use X[{given.name!r}].astype(str)."
            ) from None
        if not asked and len(levels) > max(_FEW, _TEXTS * len(there)):
            raise ValueError(
                f"X must have categories or numbers; got column {given.name!r} with {len(levels)} "
                f"different texts in {len(there)} rows. Leave it out with "
                f"X.drop(columns={given.name!r}), or give "
                f"likelihood={{{given.name!r}: 'categorical'}} if these are categories."
            )
        return cls(given=given, levels=levels)

    @property
    def width(self):
        """Number of levels."""
        return len(self.levels)

    def encode(self, values):
        """Return indicators of levels."""
        index = level_of(self.given.name, self.levels, values)[:, None]
        return np.where(index < 0, np.nan, index == np.arange(self.width))

    def decode(self, encoded, rng):
        """Return the most probable levels."""
        return self.given.as_given(self.levels[encoded.argmax(axis=1)])

    @staticmethod
    def likelihood(columns):
        """Return the likelihood of several such columns."""
        from ..likelihoods._levels import CategoriesLikelihood

        return CategoriesLikelihood(tuple(column.width for column in columns))


COLUMN = Categorical
