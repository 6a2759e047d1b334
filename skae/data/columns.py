"""The columns of a data frame, and the numbers that networks read in their place.

A category becomes one indicator for each of its levels. A number becomes its normal score. Levels,
intervals and frequencies are those of the rows of `fit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.special import ndtri

from ..codec import Plain
from ..warn import warn

KINDS = ("categorical", "ordinal", "histogram", "normal_scores", "gaussian", "poisson")
_MOST_BINS, _FEWEST_BINS = 64, 8
_TEXTS = 0.5  # fraction of different values from which a column is text
_FEW = 20  # values, which are never taken for text
_SPIKE = 0.01  # least fraction of the rows with one value, to be a point mass of real numbers
_TYPICAL = 10.0  # and how often it occurs, relative to other values
_REPEATS = 20  # average number of rows with a value, from which real numbers are discrete
_OUTSIDE = 1e-4  # part of an interval's probability that values beside it have
_KNOTS = 64
_PIECES = 8  # the most pieces of an interval, each with a uniform density
_VALUES_OF_PIECE, _VALUES_AT_ENDS = 20, 5  # the fewest values in a piece


@dataclass(frozen=True)
class Columns(Plain):
    """How each column of a table is encoded.

    Encoded columns with one number come first, and indicators last.

    Parameters
    ----------
    names : list
        Labels of the columns.
    columns : list of dict
        "likelihood", "dtype", and what the likelihood needs: see `_find` and `_bins`.
    is_frame : bool
        Whether rows were given as a data frame.
    """

    names: list
    columns: list
    is_frame: bool

    @classmethod
    def find(cls, frame, wishes, is_frame=True):
        """Choose a likelihood for every column of a pandas data frame.

        `wishes` are likelihoods by column, for some of them.
        """
        unknown = [name for name in wishes if name not in frame.columns]
        if unknown:
            raise ValueError(
                f"likelihood must have columns of X as keys; got {unknown[0]!r}, and X has the "
                f"columns {list(frame.columns)}."
            )
        columns = [_find(name, frame[name], wishes.get(name)) for name in frame.columns]
        return cls(list(frame.columns), columns, is_frame)

    @property
    def likelihoods(self):
        """Likelihood of every column."""
        return {n: c["likelihood"] for n, c in zip(self.names, self.columns, strict=True)}

    @property
    def order(self):
        """Indices of the columns in the order in which they are encoded."""
        return sorted(range(len(self.names)), key=lambda i: KINDS[::-1].index(self._kind(i)))

    def _kind(self, number):
        return self.columns[number]["likelihood"]

    @property
    def slices(self):
        """Slices of the encoded row, by index of a column."""
        found, first = {}, 0
        for number in self.order:
            column = self.columns[number]
            width = len(column["levels"]) if column["likelihood"] == "categorical" else 1
            found[number] = slice(first, first + width)
            first += width
        return found

    @property
    def width(self):
        """Length of an encoded row."""
        return max(part.stop for part in self.slices.values())

    @property
    def names_read(self):
        """Names of the columns that encoded numbers belong to."""
        parts = self.slices.items()
        return [
            str(self.names[number]) for number, part in parts for _ in range(part.stop - part.start)
        ]

    def likelihood(self):
        """Return the likelihood of encoded rows."""
        from ..likelihoods._mixed import MixedLikelihood

        columns = [self.columns[number] for number in self.order]
        kinds = [column["likelihood"] for column in columns]
        return MixedLikelihood(
            n_counts=kinds.count("poisson"),
            n_normal=kinds.count("gaussian") + kinds.count("normal_scores"),
            scored=tuple(c for c in columns if c["likelihood"] in ("histogram", "ordinal")),
            sizes=tuple(len(c["levels"]) for c in columns if c["likelihood"] == "categorical"),
        )

    def encode(self, frame):
        """Return a data frame as floats, (n, width), with NaN for missing entries."""
        out = np.full((len(frame), self.width), np.nan)
        for number, part in self.slices.items():
            name, column = self.names[number], self.columns[number]
            values = frame.iloc[:, number]
            if column["likelihood"] == "categorical":
                index = _levels_of(name, values, column)
                out[:, part] = np.where(
                    index[:, None] < 0, np.nan, index[:, None] == np.arange(len(column["levels"]))
                )
            else:
                out[:, part.start] = _scores(_numbers(name, values, column), column)
        return out

    def log_volume(self, frame):
        """Return what densities of rows have in addition to those of encoded rows, (n,)."""
        total = np.zeros(len(frame))
        for number in self.slices:
            name, column = self.names[number], self.columns[number]
            if column["likelihood"] == "categorical":
                continue
            x = _numbers(name, frame.iloc[:, number], column)
            seen = ~np.isnan(x)
            total[seen] += _log_jacobian(x[seen], column)
        return total

    def fill(self, X, decoded):
        """Return a table like X, with missing entries from decoded rows."""
        frame, is_frame = as_columns(X)
        out = frame.copy()
        values = decoded if hasattr(decoded, "iloc") else type(frame)(decoded)
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

        found: dict = {}
        for number, part in self.slices.items():
            column, values = self.columns[number], rows[:, part].astype(np.float64)
            if column["likelihood"] == "categorical":
                found[number] = _as_dtype(column["levels"][values.argmax(axis=1)], column)
            else:
                found[number] = _as_dtype(_values(values[:, 0], column, rng), column)
        # With the dtype given, texts of a column of objects stay objects.
        parts = [pd.Series(found[number], dtype=found[number].dtype) for number in sorted(found)]
        frame = pd.concat(parts, axis=1)
        frame.columns = self.names
        return frame if self.is_frame else frame.to_numpy()


def _find(name, values, wish):
    """Return what is known of a column."""
    import pandas as pd

    dtype = values.dtype
    column: dict[str, Any] = {"dtype": str(dtype), "ordered": None}
    if isinstance(dtype, pd.CategoricalDtype):
        column.update(dtype="category", ordered=bool(dtype.ordered))
        column["categories"] = np.asarray(dtype.categories)
    there = values[values.notna()]
    if not len(there):
        raise ValueError(f"Every column of X must have a value; got none in column {name!r}.")
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        raise ValueError(
            f"X must have no dates; got column {name!r} of dtype {dtype}. Replace it by numbers, "
            f"for example X[{name!r}].dt.month, or by days since a date."
        )
    try:
        pd.api.types.pandas_dtype(column["dtype"])
    except (TypeError, NotImplementedError):  # such as decimals of Arrow
        column["dtype"] = "float64"
    if column["dtype"] == "object" and all(isinstance(value, Real) for value in there):
        are_bools = all(isinstance(value, (bool, np.bool_)) for value in there)
        there = there.astype(bool if are_bools else float)
    is_number = pd.api.types.is_numeric_dtype(there.dtype)
    is_number = is_number and not pd.api.types.is_bool_dtype(there.dtype)
    kind = wish or ("histogram" if is_number else "ordinal" if column["ordered"] else "categorical")
    if kind not in KINDS:
        raise ValueError(
            f"The likelihood of a column must be one of {', '.join(map(repr, KINDS))}; got "
            f"{kind!r} for column {name!r}."
        )
    column["likelihood"] = kind
    if kind == "categorical":
        return {**column, "levels": _levels(name, there, column, wish)}
    if not is_number and not column["ordered"]:
        raise ValueError(
            f"likelihood={kind!r} needs numbers, or ordered categories; got column {name!r} of "
            f"dtype {dtype}."
        )
    if column["ordered"]:
        column["levels"] = column["categories"]
    x = _numbers(name, there, column)
    column["whole"] = bool((x == x.round()).all())
    if kind == "poisson" and not (column["whole"] and x.min() >= 0):
        raise ValueError(
            f"likelihood='poisson' needs whole numbers from 0; got others in column {name!r}."
        )
    if wish is None:
        _warn_of_ids(name, there, x, column)
    column.update(low=float(x.min()), high=float(x.max()), std=float(x.std()) or 1.0)
    column["mean"] = float(x.mean())
    if kind in ("histogram", "ordinal"):
        column.update(_bins(x, column["whole"], kind == "ordinal"))
    if kind == "normal_scores":
        column.update(_knots(x))
    return column


def _levels(name, there, column, wish):
    """Return the categories of a column, sorted, or in their own order."""
    if column["dtype"] == "category":
        categories = np.asarray(there.cat.categories)
        return categories[np.isin(categories, there.unique())]
    try:
        levels = np.sort(np.asarray(there.unique()))
    except TypeError:
        raise TypeError(
            f"The categories of a column must be of one type; got several in column {name!r}. Use "
            f"X[{name!r}].astype(str)."
        ) from None
    if wish is None and len(levels) > max(_FEW, _TEXTS * len(there)):
        raise ValueError(
            f"X must have categories or numbers; got column {name!r} with {len(levels)} different "
            f"texts in {len(there)} rows. Leave it out with X.drop(columns={name!r}), or give "
            f"likelihood={{{name!r}: 'categorical'}} if these are categories."
        )
    return levels


def _warn_of_ids(name, there, x, column):
    distinct = len(np.unique(x)) == len(x) > _FEW
    if column["whole"] and distinct and (np.diff(x) > 0).all():
        warn(
            f"Column {name!r} has an increasing whole number in every row. If these are numbers "
            f"of the rows, leave it out with X.drop(columns={name!r}).",
            UserWarning,
        )


def _levels_of(name, values, column):
    """Return the index of each value among the categories, -1 for missing and unknown ones."""
    import pandas as pd

    index = pd.Index(column["levels"]).get_indexer(values.astype(object))
    unknown = (index < 0) & values.notna().to_numpy()
    if unknown.any():
        found = values[unknown].iloc[0]
        warn(
            f"Column {name!r} has categories that were not in fit, such as {found!r}, in "
            f"{unknown.sum()} rows. They count as missing.",
            UserWarning,
        )
    return index


def _numbers(name, values, column):
    """Return a column as float64, with NaN for missing entries."""
    if column["ordered"]:
        index = _levels_of(name, values, column)
        return np.where(index < 0, np.nan, index)
    try:
        x = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise ValueError(
            f"Column {name!r} must have numbers, as in fit; got dtype {values.dtype}."
        ) from None
    if np.isinf(x).any():
        raise ValueError(
            f"X contains infinity or a value too large in column {name!r}, first in row "
            f"{np.isinf(x).argmax()}."
        )
    return x


def _bins(x, whole, single):
    """Divide the values of a column into intervals of similar frequency.

    A value that is frequent enough has an interval of its own: it is a point mass. If `single`,
    all have.

    Returns
    -------
    bins : dict
        "low" and "high" values of every interval, "point" whether it is a single value, and their
        "shares". Interval b has normal scores from ``edges[b]`` to ``edges[b + 1]``, and the
        standardised score ``scores[b]``.
    """
    values, counts = np.unique(x, return_counts=True)
    n, m = len(x), len(values)
    most = int(np.clip(2.0 * n ** (1 / 3), _FEWEST_BINS, _MOST_BINS))
    if single or ((whole or n >= _REPEATS * m) and m <= 2 * most):
        point = np.ones(m, dtype=bool)
    elif whole:
        point = counts >= 0.5 * n / most
    else:
        point = (counts >= _SPIKE * n) & (counts >= _TYPICAL * n / m)
    # A new interval begins at a point, after a point, and where enough values have been gathered.
    left = np.where(point, 0.0, counts)
    begins = point | np.append(True, point[:-1])
    gathered = np.cumsum(left) - left  # before each value
    start = 0.0
    for i in range(m):
        if begins[i]:
            start = gathered[i]
        elif gathered[i] - start >= n / most:
            begins[i] = True
            start = gathered[i]
    first = np.flatnonzero(begins)
    last = np.append(first[1:], m) - 1
    shares = np.add.reduceat(counts, first) / n
    low, high, point = values[first], values[last], point[first]
    if not whole:  # intervals meet halfway, or at a point
        meet = (values[last[:-1]] + values[first[1:]]) / 2
        low, high = low.copy(), high.copy()
        low[1:] = np.where(point[1:], low[1:], np.where(point[:-1], high[:-1], meet))
        high[:-1] = np.where(point[:-1], high[:-1], np.where(point[1:], values[first[1:]], meet))
        point = point | (low == high)
    knots, knot_shares = _pieces(values, counts, first, last, low, high, point)
    edges = np.append(0.0, np.cumsum(shares))
    edges[-1] = 1.0
    scores = ndtri((edges[1:] + edges[:-1]) / 2)
    mean = shares @ scores
    std = np.sqrt(shares @ (scores - mean) ** 2)
    std = std if std > 0 else 1.0
    ends = ndtri(np.clip(edges, 0.1 / n, 1 - 0.1 / n))
    return {
        "low_of_bin": low,
        "high_of_bin": high,
        "point": point,
        "knots": knots,
        "knot_shares": knot_shares,
        "shares": shares,
        "edges": (ends - mean) / std,
        "scores": (scores - mean) / std,
    }


def _pieces(values, counts, first, last, low, high, point):
    """Divide every interval into pieces of similar frequency, within which it is uniform.

    Returns
    -------
    knots, shares : ndarrays of shape (n intervals, 9)
        Ends of the pieces, and the part of the interval below them. The last ones are repeated.
    """
    n_bins = len(low)
    knots, shares = np.tile(high[:, None], _PIECES + 1), np.ones((n_bins, _PIECES + 1))
    knots[:, 0], shares[:, 0] = low, 0.0
    for b in np.flatnonzero(~point):
        of = slice(first[b], last[b] + 1)
        n = counts[of].sum()
        each = _VALUES_AT_ENDS if b in (0, n_bins - 1) else _VALUES_OF_PIECE
        m = int(min(_PIECES, n // each, last[b] - first[b]))
        if m < 2:
            continue
        below = np.cumsum(counts[of]) / n
        at = np.unique(np.searchsorted(below, np.arange(1, m) / m))
        at = at[at < last[b] - first[b]]
        inner = (values[of][at] + values[of][at + 1]) / 2
        keep = (inner > low[b]) & (inner < high[b])
        inner, at = inner[keep], at[keep]
        knots[b, 1 : len(inner) + 1] = inner
        shares[b, 1 : len(inner) + 1] = below[at]
    return knots, shares


def _piece_of(number, value, column, name):
    """Return the piece of an interval in which each value is, or each share of the interval."""
    knots = column[name][number]
    inner = knots[:, 1:-1]
    piece = ((inner <= value[:, None]) & (inner < knots[:, -1:])).sum(axis=1)
    rows = np.arange(len(number))
    ends = [
        column[key][number[rows], piece + i] for key in ("knots", "knot_shares") for i in (0, 1)
    ]
    return ends


def _knots(x):
    """Return values of a column and their standardised normal scores, to interpolate between."""
    values, counts = np.unique(x, return_counts=True)
    scores = ndtri((np.cumsum(counts) - counts / 2) / len(x))
    some = np.linspace(0, len(values) - 1, min(_KNOTS, len(values))).round().astype(int)
    mean = np.average(scores, weights=counts)
    std = np.sqrt(np.average((scores - mean) ** 2, weights=counts))
    std = std if std > 0 else 1.0
    return {"knots": values[some], "scores": (scores[some] - mean) / std}


def _scores(x, column):
    """Return the encoded values of a column of numbers."""
    kind = column["likelihood"]
    if kind == "poisson":
        return x
    if kind == "gaussian":
        return (x - column["mean"]) / column["std"]
    if kind == "normal_scores":
        return _interpolated(x, column["knots"], column["scores"])
    number, share = _place(x, column)
    edges = column["edges"]
    score = edges[number] + share * (edges[number + 1] - edges[number])
    return np.where(np.isnan(x), np.nan, score)


def _place(x, column):
    """Return the interval of each value, and where in it the value is, from 0 to 1.

    A value in no interval belongs to the closest one.
    """
    low, high, point = column["low_of_bin"], column["high_of_bin"], column["point"]
    known = np.where(np.isnan(x), low[0], np.clip(x, column["low"], column["high"]))
    number = np.clip(np.searchsorted(low, known, side="right") - 1, 0, len(low) - 1)
    following = np.minimum(number + 1, len(low) - 1)
    closer = (known > high[number]) & (low[following] - known < known - high[number])
    number = np.where(closer, following, number)
    # Intervals may meet at a point, which is an interval of its own.
    before = np.maximum(number - 1, 0)
    back = ~point[number] & point[before] & (known == low[number]) & (high[before] == known)
    number = np.where(back, before, number)
    inside = np.clip(known, low[number], high[number])
    below, above, of_below, of_above = _piece_of(number, inside, column, "knots")
    width = np.where(above > below, above - below, 1.0)
    share = of_below + (of_above - of_below) * (inside - below) / width
    share = np.where(point[number], 0.5, share)
    return number, np.clip(share, 0.001, 0.999)


def _log_jacobian(x, column):
    """Return log-densities of values within their intervals, or of the change of scale."""
    kind = column["likelihood"]
    if kind == "poisson":
        return np.zeros(len(x))
    if kind == "gaussian":
        return np.full(len(x), -np.log(column["std"]))
    if kind == "normal_scores":
        return np.log(_slope(x, column["knots"], column["scores"]))
    number, _ = _place(x, column)
    low, high, point = column["low_of_bin"], column["high_of_bin"], column["point"]
    log_density = np.zeros(len(x))
    if column["whole"]:
        log_density = -np.log(high - low + 1.0)[number]
    else:
        known = np.clip(x, low[number], high[number])
        below, above, of_below, of_above = _piece_of(number, known, column, "knots")
        inside = ~point[number]
        log_density[inside] = np.log((of_above - of_below)[inside])
        log_density[inside] -= np.log((above - below)[inside])
    if column["ordered"]:
        return log_density
    # Densities fall exponentially beside an interval, with a small share of it.
    beside = np.maximum(low[number] - x, 0.0) + np.maximum(x - high[number], 0.0)
    outside = np.log(_OUTSIDE / 2.0 / column["std"]) - beside / column["std"]
    return np.where(beside > 0, outside, log_density + np.log1p(-_OUTSIDE))


def _values(scores, column, rng):
    """Return the values of encoded numbers."""
    kind = column["likelihood"]
    if kind == "poisson":
        return np.round(scores)
    if kind == "gaussian":
        x = scores * column["std"] + column["mean"]
    elif kind == "normal_scores":
        x = _interpolated(scores, column["scores"], column["knots"])
    else:
        edges = column["edges"]
        number = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, len(edges) - 2)
        low, high = column["low_of_bin"][number], column["high_of_bin"][number]
        if rng is None:
            share = (scores - edges[number]) / (edges[number + 1] - edges[number])
        else:
            share = rng.random(len(scores))
        share = np.clip(share, 0.0, 1.0)
        if column["whole"]:
            return np.minimum(low + np.floor(share * (high - low + 1.0)), high)
        below, above, of_below, of_above = _piece_of(number, share, column, "knot_shares")
        width = np.where(of_above > of_below, of_above - of_below, 1.0)
        return below + (share - of_below) / width * (above - below)
    x = np.clip(x, column["low"], column["high"])
    return x.round() if column["whole"] else x


def _interpolated(x, knots, values):
    """Interpolate linearly, and go straight on beyond the ends."""
    if len(knots) == 1:
        return np.where(np.isnan(x), np.nan, values[0])
    out = np.interp(x, knots, values)
    slope = (values[1] - values[0]) / (knots[1] - knots[0])
    out = np.where(x < knots[0], values[0] + (x - knots[0]) * slope, out)
    slope = (values[-1] - values[-2]) / (knots[-1] - knots[-2])
    out = np.where(x > knots[-1], values[-1] + (x - knots[-1]) * slope, out)
    return np.where(np.isnan(x), np.nan, out)


def _slope(x, knots, values):
    if len(knots) == 1:
        return np.ones(len(x))
    number = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    return (np.diff(values) / np.diff(knots))[number]


def _as_dtype(values, column):
    import pandas as pd

    if column["dtype"] == "category":
        if column["ordered"]:
            values = column["levels"][values.astype(int)]
        return pd.Categorical(values, categories=column["categories"], ordered=column["ordered"])
    if column.get("whole") is False and pd.api.types.is_integer_dtype(column["dtype"]):
        return values
    return pd.Series(values).astype(column["dtype"]).array


def as_columns(X, name="X"):
    """Return a table as a pandas data frame, and whether it was a data frame."""
    import pandas as pd

    if issparse(X) or isinstance(X, Mapping):
        advice = "X.toarray()" if issparse(X) else "pd.DataFrame(X)"
        raise TypeError(f"{name} must be a table; got {type(X).__name__}. Use {advice}.")
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
