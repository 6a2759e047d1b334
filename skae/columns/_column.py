"""A column of a data frame."""

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from ..codec import Plain
from ..warn import warn


@dataclass(frozen=True, kw_only=True)
class Given(Plain):
    """What is known of a column before its kind.

    Parameters
    ----------
    name : object
        Its label.
    dtype : str
        That of the values to return.
    categories : ndarray or None
        All categories of a column of pandas' categories.
    ordered : bool
        Whether they have an order.
    holds : {"numbers", "ordered", "categories"}
    """

    name: Any
    dtype: str
    categories: Any = None
    ordered: bool = False
    holds: str = "categories"

    @classmethod
    def of(cls, name, values):
        """Describe a series; return also the values that are there."""
        import pandas as pd

        dtype, there = values.dtype, values[values.notna()]
        if not len(there):
            raise ValueError(
                f"Every column of X must have a value; got none in column {name!r}. Leave it out "
                f"with X.drop(columns={name!r})."
            )
        if pd.api.types.is_datetime64_any_dtype(dtype):
            raise ValueError(
                f"X must have no dates; got column {name!r} of dtype {dtype}. Replace it by "
                f"numbers, for example X[{name!r}].dt.month, or by days since a date."
            )
        if pd.api.types.is_timedelta64_dtype(dtype):
            raise ValueError(
                f"X must have no durations; got column {name!r} of dtype {dtype}. Replace it by "
                f"numbers, for example X[{name!r}].dt.total_seconds()."
            )
        if isinstance(dtype, pd.CategoricalDtype):
            given = cls(
                name=name,
                dtype="category",
                categories=np.asarray(dtype.categories),
                ordered=bool(dtype.ordered),
                holds="ordered" if dtype.ordered else "categories",
            )
            return given, there
        shown = str(dtype)
        try:
            pd.api.types.pandas_dtype(shown)
        except (TypeError, NotImplementedError):  # such as decimals of Arrow
            shown = "float64"
        if shown == "object" and all(isinstance(value, Real) for value in there):
            are_bools = all(isinstance(value, (bool, np.bool_)) for value in there)
            there = there.astype(bool if are_bools else float)
        is_number = pd.api.types.is_numeric_dtype(there.dtype)
        is_number = is_number and not pd.api.types.is_bool_dtype(there.dtype)
        holds = "numbers" if is_number else "categories"
        return cls(name=name, dtype=shown, holds=holds), there

    def as_given(self, values):
        """Return an array of values in the dtype of the column."""
        import pandas as pd

        if self.categories is not None:
            return pd.Categorical(values, categories=self.categories, ordered=self.ordered)
        return pd.Series(values).astype(self.dtype).array


@dataclass(frozen=True, kw_only=True)
class Column(Plain):
    """A column of one kind.

    Methods take series of pandas, and return arrays of floats with NaN for missing entries.
    """

    # What a column holds that likelihood="auto" chooses this kind for: see `Given`.
    chosen_for: ClassVar[str | None] = None

    given: Given

    parts = {"given": Given}

    @classmethod
    def find(cls, given, there, asked):
        """Fit to the values of a column that are there; `asked` if its kind was not chosen."""
        raise NotImplementedError

    @classmethod
    def kind(cls):
        """Return the name of the kind."""
        return cls.__module__.rpartition(".")[2]

    @property
    def width(self):
        """Number of encoded columns."""
        return 1

    def encode(self, values):
        """Return encoded columns, (n, width)."""
        raise NotImplementedError

    def decode(self, encoded, rng):
        """Return values of encoded columns, (n, width); drawn within intervals if `rng`."""
        raise NotImplementedError

    def log_volume(self, values):
        """Return log-densities of values in addition to those of encoded ones, (n,)."""
        return np.zeros(len(values))

    @staticmethod
    def likelihood(columns):
        """Return the likelihood of several columns of kinds with this method, side by side."""
        raise NotImplementedError


def level_of(name, levels, values):
    """Return the index of each value among levels, -1 for missing and unknown ones."""
    import pandas as pd

    index = pd.Index(levels).get_indexer(values.astype(object))
    unknown = (index < 0) & values.notna().to_numpy()
    if unknown.any():
        found = values[unknown].iloc[0]
        warn(
            f"Column {name!r} has categories that were not in fit, such as {found!r}, in "
            f"{unknown.sum()} rows. They count as missing.",
            UserWarning,
        )
    return index
