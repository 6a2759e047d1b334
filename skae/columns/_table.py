"""A table as its columns, side by side."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse

from ..codec import Plain
from . import NAMES, kind
from ._column import Given


@dataclass(frozen=True)
class Columns(Plain):
    """How each column of a table is encoded.

    Columns with the same likelihood are encoded side by side, in the order of the first of them.

    Parameters
    ----------
    names : list
        Labels of the columns.
    kinds : list of str
        Their kinds: modules of this package.
    columns : list of Column
    is_frame : bool
        Whether rows were given as a data frame.
    """

    names: list
    kinds: list
    columns: list
    is_frame: bool

    @classmethod
    def find(cls, frame, wishes, is_frame=True):
        """Choose the kind of every column of a pandas data frame.

        `wishes` are kinds by column, for some of them.
        """
        for name, wish in wishes.items():
            if name not in frame.columns:
                raise ValueError(
                    f"likelihood must have columns of X as keys; got {name!r}, and X has the "
                    f"columns {list(frame.columns)}."
                )
            if wish not in NAMES:
                raise ValueError(
                    f"The likelihood of a column must be one of {', '.join(map(repr, NAMES))}; got "
                    f"{wish!r} for column {name!r}."
                )
        chosen = {kind(name).chosen_for: name for name in NAMES}
        kinds, columns = [], []
        for name in frame.columns:
            given, there = Given.of(name, frame[name])
            kinds.append(wishes.get(name, chosen[given.holds]))
            columns.append(kind(kinds[-1]).find(given, there, asked=name in wishes))
        return cls(list(frame.columns), kinds, columns, is_frame)

    def to_arrays(self):
        columns = [column.to_arrays() for column in self.columns]
        return {**super().to_arrays(), "columns": columns}

    @classmethod
    def from_arrays(cls, arrays):
        pairs = zip(arrays["kinds"], arrays["columns"], strict=True)
        columns = [kind(name).from_arrays(column) for name, column in pairs]
        return cls(**{**arrays, "columns": columns})

    @property
    def likelihoods(self):
        """Kind of every column."""
        return dict(zip(self.names, self.kinds, strict=True))

    @property
    def groups(self):
        """Lists of the indices of columns with the same likelihood."""
        found: dict = {}
        for number, column in enumerate(self.columns):
            found.setdefault(column.likelihood, []).append(number)
        return list(found.values())

    @property
    def slices(self):
        """Slices of the encoded row, by index of a column."""
        found, first = {}, 0
        for number in itertools.chain(*self.groups):
            found[number] = slice(first, first + self.columns[number].width)
            first = found[number].stop
        return found

    @property
    def width(self):
        """Length of an encoded row."""
        return sum(column.width for column in self.columns)

    @property
    def names_read(self):
        """Names of the columns that encoded numbers belong to."""
        widths = ((self.names[number], self.columns[number].width) for number in self.slices)
        return [str(name) for name, width in widths for _ in range(width)]

    def likelihood(self):
        """Return the likelihood of encoded rows."""
        from ..likelihoods._mixed import MixedLikelihood

        groups = [[self.columns[number] for number in group] for group in self.groups]
        parts = tuple(group[0].likelihood(group) for group in groups)
        widths = tuple(sum(column.width for column in group) for group in groups)
        return MixedLikelihood(parts, widths)

    def encode(self, frame):
        """Return a data frame as floats, (n, width), with NaN for missing entries."""
        out = np.empty((len(frame), self.width))
        for number, part in self.slices.items():
            out[:, part] = self.columns[number].encode(frame.iloc[:, number])
        return out

    def log_volume(self, frame):
        """Return what densities of rows have in addition to those of encoded rows, (n,)."""
        columns = enumerate(self.columns)
        return sum(column.log_volume(frame.iloc[:, number]) for number, column in columns)

    def fill(self, X, decoded):
        """Return a table like X, with missing entries from decoded rows."""
        frame, is_frame = as_columns(X)
        out, values = frame.copy(), as_columns(decoded)[0]
        for number in range(len(self.names)):
            column = frame.iloc[:, number]
            gaps = column.isna()
            if gaps.any():
                there = values.iloc[:, number].set_axis(frame.index)
                try:
                    filled = column.where(~gaps, there.astype(column.dtype))
                except (TypeError, ValueError):  # such as fractions in a column of whole numbers
                    filled = column.astype(object).where(~gaps, there).infer_objects()
                out.isetitem(number, filled)
        return out if is_frame else out.to_numpy()

    def decode(self, rows, rng=None):
        """Return encoded rows, (n, width), as a data frame, or as an array of objects or floats.

        With `rng`, values are drawn within intervals.
        """
        import pandas as pd

        slices, rows = self.slices, rows.astype(np.float64)
        pairs = enumerate(self.columns)
        values = [column.decode(rows[:, slices[number]], rng) for number, column in pairs]
        # With the dtype given, texts of a column of objects stay objects.
        frame = pd.concat([pd.Series(of, dtype=of.dtype) for of in values], axis=1)
        frame.columns = self.names
        return frame if self.is_frame else frame.to_numpy()


def as_columns(X, name="X"):
    """Return a table as a pandas data frame, and whether it was a data frame."""
    import pandas as pd

    if issparse(X) or isinstance(X, Mapping):
        advice = "Use pd.DataFrame(X)."
        if issparse(X):
            advice = (
                "Give one likelihood for all columns, such as likelihood='poisson', with which "
                "AutoencoderTransformer and VAETransformer read sparse matrices; or X.toarray()."
            )
        raise TypeError(f"{name} must be a table; got {type(X).__name__}. {advice}")
    if hasattr(X, "to_pandas"):
        X = X.to_pandas()
    if isinstance(X, list) and np.ndim(X[0] if X else 0) == 1:
        X, is_frame = pd.DataFrame(X), False
    elif isinstance(X, pd.DataFrame):
        is_frame = True
    else:
        X = np.ma.filled(X.astype(float), np.nan) if np.ma.is_masked(X) else np.asarray(X)
        is_frame = X.dtype.names is not None
        if X.ndim != 2 and not is_frame:
            raise ValueError(
                f"Expected 2D array, got {X.ndim}D array instead: {name} must be a table, with a "
                "row for each sample. Reshape your data with X.reshape(-1, 1) if it has one "
                "feature."
            )
        if X.dtype.kind == "c":
            raise ValueError("Complex data not supported: give real and imaginary parts apart.")
        X = pd.DataFrame(X)
    if not X.shape[1]:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required."
        )
    if not X.columns.is_unique:
        label = X.columns[X.columns.duplicated()][0]
        raise ValueError(
            f"{name} must have columns of different names; got {label!r} more than once. Rename "
            f"them, for example {name}.columns = [...]."
        )
    return X, is_frame
