"""Validation of X, with messages that help.

Messages name the rule, what was given, the column if there is one, and the remedy.
"""

import datetime
import os
import reprlib
import sys

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite

from .dtypes import float_dtype
from .frames import is_frame

_NAMED = 5  # the most columns that a message names
_FEW_CHANNELS = 4  # the most channels of a photograph: grey or RGB, with or without alpha
_TYPES = {
    "text": (str, bytes),
    "dates": (datetime.date, datetime.time, np.datetime64),
    "durations": (datetime.timedelta, np.timedelta64),
    "sequences": (np.ndarray, list, tuple),
}
_PANDAS_TYPES = {"Period": "dates", "Interval": "intervals", "NAType": "missing values"}
_REMEDIES = {
    "text": "One-hot encode nominal text: make_column_transformer((OneHotEncoder("
    "sparse_output=False), {columns}), remainder='passthrough') in front of the estimator in a "
    "Pipeline. Do not use OrdinalEncoder for nominal text: it makes up an order. VAETransformer "
    "and ConditionalVAE take text as it is with likelihood='auto'.",
    "text among numbers": "Make such entries NaN, for example with pandas.to_numeric(..., "
    "errors='coerce'), and fill them in, for example with SimpleImputer.",
    "dates": "Turn dates into numbers, such as the days since the first of them, or the year, "
    "the month and the day of the week.",
    "durations": "Turn durations into numbers, such as seconds.",
    "intervals": "Turn intervals into numbers, such as their middles; pandas.cut(..., "
    "labels=False) numbers them.",
    "sequences": "Give sequences of one length as an array of shape (n_samples, n_steps, "
    "n_features) with network='recurrent', or compute features of them.",
    "complex numbers": "Complex data not supported: give real and imaginary parts as features "
    "of their own.",
    "missing values": "Convert the columns with astype('Float64') and fill them in, for example "
    "with SimpleImputer.",
}


def is_plain(X):
    """Return whether X is a 2D array of floats already, so that no conversion is needed."""
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype in (np.float64, np.float32)


def holds_sparse(X):
    """Return whether X is a sparse matrix, or a data frame of sparse columns."""
    return issparse(X) or (len(getattr(X, "shape", ())) == 2 and hasattr(X, "sparse"))


def as_table(X, name="X", gaps=False, sparse=False):
    """Return X itself if it has a shape, or lists of rows as an array; refuse anything else.

    If `gaps`, masked entries become NaN, and so do pandas' missing values. `sparse` says whether
    sparse matrices are accepted.
    """
    X = _plain_tensor(X, name)
    is_table = hasattr(X, "dtype") or hasattr(X, "columns") or hasattr(X, "iloc")
    if not is_table and len(getattr(X, "shape", ())) < 2:
        X = _from_rows(X, name)
    if isinstance(X, np.ma.MaskedArray):
        if np.ma.is_masked(X) and gaps:
            return np.ma.filled(X.astype(float_dtype(X)), np.nan)
        if np.ma.is_masked(X):
            raise ValueError(
                f"{name} must be complete; got a masked array with {np.ma.count_masked(X)} masked "
                f"entries. Fill them in, for example {name}.astype(float).filled(np.nan) with "
                "SimpleImputer."
            )
        return X.data
    if holds_sparse(X):
        if sparse:
            return X
        dense = "toarray()" if issparse(X) else "sparse.to_dense()"
        raise TypeError(
            f"{name} must be dense; got a sparse {type(X).__name__} of shape {X.shape}. Use "
            f"{name}.{dense}, or OneHotEncoder(sparse_output=False) where an encoder made it. "
            "AutoencoderTransformer (with ordered=False) and VAETransformer read sparse matrices."
        )
    if hasattr(X, "iloc") and len(X.shape) == 2 and not X.columns.is_unique:
        label = X.columns[X.columns.duplicated()][0]
        raise ValueError(
            f"{name} must have columns of different names; got {label!r} more than once. Rename "
            f"them, for example {name}.columns = [...]."
        )
    if gaps and hasattr(X, "iloc") and len(X.shape) == 2:
        X = _with_nan(X)
    if gaps and isinstance(X, np.ndarray) and X.dtype == object and X.ndim > 1:
        X = np.where(np.frompyfunc(_is_gap, 1, 1)(X).astype(bool), np.nan, X)
    if len(X.shape) == 1 and _kind(X) == "O":
        rows = list(np.asarray(X))
        if rows and _type_of(rows[0]) == "sequences":
            _check_one_shape(rows, name)
            raise ValueError(
                f"{name} must be one array of numbers; got {len(rows)} arrays of shape "
                f"{_shape(rows[0])} in an array of objects. Use np.stack({name})."
            )
    return X


def _with_nan(X):
    """Return a data frame with NaN for missing values in columns of objects or nullable types."""
    odd = [dtype for dtype in X.dtypes if getattr(dtype, "kind", "O") not in "biuf"]
    odd += [dtype for dtype in X.dtypes if not isinstance(dtype, np.dtype)]
    if not odd:
        return X
    X = X.copy(deep=False)
    for label in X.columns:
        values = X[label]
        nullable = not isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf"
        if nullable and values.hasnans:
            X[label] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        elif values.dtype == object and values.hasnans:
            X[label] = values.where(values.notna(), np.nan)
    return X


def _plain_tensor(X, name):
    """Convert a torch tensor to one that numpy can read; return anything else unchanged."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(X, torch.Tensor):
        return X
    if X.layout != torch.strided:
        raise TypeError(
            f"{name} must be dense; got a sparse tensor of shape {tuple(X.shape)}. Use "
            f"{name}.to_dense()."
        )
    X = X.detach()
    return X.float() if X.dtype == torch.bfloat16 else X


def _from_rows(X, name):
    """Convert a list of rows, or anything else that numpy accepts, to an array."""
    is_file = hasattr(X, "read")
    if is_file or isinstance(X, (str, bytes, os.PathLike)):
        what = "an open file" if is_file else f"the path {reprlib.repr(os.fspath(X))}"
        raise TypeError(
            f"{name} must be an array of rows; got {what}. Read it first, for example with "
            "pandas.read_csv, pandas.read_parquet or numpy.load(..., mmap_mode='r')."
        )
    if hasattr(X, "keys"):
        keys = ", ".join(repr(key) for key in list(X.keys())[:_NAMED])
        raise TypeError(
            f"{name} must be an array of rows; got a {type(X).__name__} with the keys {keys}. Give "
            f"the array under one of them, or columns of numbers as pandas.DataFrame({name})."
        )
    kind = type(X).__name__
    if hasattr(X, "batch_size"):
        raise TypeError(
            f"{name} must be an array of rows; got a {kind}. Put its batches together with "
            f"np.concatenate(list({name})), for example."
        )
    is_dataset = hasattr(X, "__getitem__") and not isinstance(X, (list, tuple))
    if is_dataset and len(X) and isinstance(X[0], tuple):
        raise TypeError(
            f"{name} must be an array of rows; got a {kind}, whose items are tuples. Use "
            f"np.stack([item[0] for item in {name}])."
        )
    if isinstance(X, (list, tuple)) and any(isinstance(row, np.ma.MaskedArray) for row in X):
        return np.ma.array(X)  # np.asarray would drop the masks
    try:
        rows = np.asarray(X)
    except ValueError:
        _check_one_shape(X, name)
        raise
    if rows.ndim == 0 and rows.dtype == object and X is not None:
        raise TypeError(
            f"{name} must be an array of rows; got {'an' if kind[0] in 'aeio' else 'a'} {kind}. "
            f"Put its rows together with np.stack(list({name})), for example."
        )
    return rows


def _check_one_shape(rows, name):
    """Raise an error that names the first row with another shape, if there is one."""
    shapes = [_shape(row) for row in rows]
    for number, shape in enumerate(shapes):
        if shape is None or shape != shapes[0]:
            what = "parts of different lengths" if shape is None else f"shape {shape}"
            first = "" if number == 0 else f" and row 0 shape {shapes[0]}"
            raise ValueError(
                f"{name} must have rows of one shape; got inhomogeneous ones: row {number} has "
                f"{what}{first}. Pad sequences to one length, for example with zeros, or cut them."
            )


def _shape(row):
    try:
        return np.shape(row)
    except ValueError:
        return None


def check_numbers(X, name):
    """Raise an error for text, dates and other entries that are not numbers, with their column.

    In a column of objects, text that spells a number is accepted, as in scikit-learn.
    """
    dtype = getattr(X, "dtype", None)
    names = getattr(dtype, "names", None)
    if names:
        raise TypeError(
            f"{name} must be a plain array; got one with the fields {names}. Use "
            f"numpy.lib.recfunctions.structured_to_unstructured({name})."
        )
    faults: dict[str, list] = {}
    for label, values in _odd_columns(X):
        fault = _fault(values)
        if fault is not None:
            faults.setdefault(fault[0], []).append((label, fault[1]))
    for what, columns in faults.items():
        labels = [label for label, _ in columns if label is not None]
        such_as = f" (such as {reprlib.repr(columns[0][1])})" if "text" in what else ""
        few = 0 < len(labels) <= _NAMED
        remedy = _REMEDIES[what].format(columns=labels if few else "columns")
        raise ValueError(
            f"{name} must hold real numbers; got {what}{_in_columns(labels)}{such_as}. {remedy}"
        )
    if _kind(X) in tuple("UST"):
        raise ValueError(
            f"{name} must hold real numbers; got strings (dtype {dtype}). Use {name}.astype(float)."
        )


def _odd_columns(X):
    """Yield label and values of the columns (or of all) that may hold other things than numbers."""
    if is_frame(X):
        labels = X.columns.tolist()
        for number, dtype in enumerate(X.dtypes):
            if getattr(dtype, "kind", "O") not in "biuf":
                yield labels[number], np.asarray(X.iloc[:, number])
    elif hasattr(X, "column_names") or hasattr(X, "get_columns"):  # Arrow or polars
        labels = X.column_names if hasattr(X, "column_names") else X.columns
        columns = X.get_columns() if hasattr(X, "get_columns") else X.columns
        for label, column in zip(labels, columns, strict=True):
            if np.asarray(column.slice(0, 0)).dtype.kind not in "biuf":
                yield label, np.asarray(column)
    elif _kind(X) in tuple("OUST") and isinstance(X, np.ndarray) and X.ndim == 2:
        yield from enumerate(X.T)
    elif _kind(X) in tuple("OUSTMmc"):
        yield None, np.asarray(X if _kind(X) in tuple("OUST") else X[:1])


def _fault(values):
    """Return the kind of entries that are no numbers and the first of them, or None."""
    kind = values.dtype.kind
    if kind in "biuf":
        return None
    if kind in "Mmc":
        return {"M": "dates", "m": "durations", "c": "complex numbers"}[kind], None
    try:
        values.astype(np.float64)
        return None
    except (TypeError, ValueError, OverflowError):
        odd = [(what, value) for value in values.ravel().tolist() if (what := _type_of(value))]
    # Missing values are only reported if nothing else is wrong.
    what, value = min(odd, key=lambda fault: fault[0] == "missing values", default=(None, None))
    if what == "text" and 2 * len(odd) < values.size:
        what = "text among numbers"
    return what and (what, value)


def _kind(X):
    """Return the kind of an array's numpy dtype, or "" if it has none."""
    dtype = getattr(X, "dtype", None)
    if dtype is not None and not hasattr(dtype, "kind"):  # a tensor
        dtype = np.asarray(X[:0]).dtype
    return getattr(dtype, "kind", "")


def _type_of(value):
    """Return the kind of an entry that is no number, or None; scikit-learn handles the rest."""
    if isinstance(value, (str, bytes)):
        try:
            float(value)
            return None
        except ValueError:
            return "text"
    for what, types in _TYPES.items():
        if isinstance(value, types):
            return what
    return _PANDAS_TYPES.get(type(value).__name__)


def is_missing(label):
    """Return whether a label is None, NaN, NA or NaT."""
    # Comparisons with pandas.NA, of type NAType, are neither true nor false.
    return label is None or type(label).__name__ == "NAType" or bool(label != label)


def _is_gap(entry):
    return entry is None or type(entry).__name__ == "NAType"


def check_all_finite(X, name="X", names=None, first_row=0, gaps=False):
    """Raise an error for NaN and infinity, with their columns.

    `names` are the column names, if there are any. `first_row` is the index of the first of these
    rows in their table. If `gaps`, NaN is accepted, as a missing entry.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # scikit-learn sums X to find NaN
            assert_all_finite(X, allow_nan=gaps)
    except ValueError:
        bad, what = np.isnan(X) & (not gaps), "NaN"
        advice = (
            "Fill in missing values, for example with SimpleImputer in front of the estimator in a "
            "Pipeline, or use VAETransformer, which takes them with likelihood='gaussian' or "
            "'auto'."
        )
        if not bad.any():
            bad, what = np.isinf(X), f"infinity or a value too large for {X.dtype!r}"
            then = "" if gaps else " and then with SimpleImputer"
            advice = f"Replace such values, for example by NaN{then}."
        bad = bad.reshape(len(X), -1)
        numbers = np.flatnonzero(bad.any(axis=0)).tolist()
        where = f", first in row {first_row + bad.any(axis=1).argmax()}"
        names = [] if names is None else list(names)
        labels = [names[number] if number < len(names) else number for number in numbers]
        raise ValueError(
            f"Input {name} contains {what}{_in_columns(labels)}{where}. {advice}"
        ) from None


def refuse_empty(empty, names=None):
    """Raise an error that names columns without any value, given their numbers."""
    labels = [number if names is None else names[number] for number in empty]
    raise ValueError(
        f"Every column of X must have a value; got none{_in_columns(labels)}. Leave such columns "
        "out, or give partial_fit larger chunks."
    )


def native(X):
    """Return floats in the byte order of this machine, as data frames may have another."""
    return X.astype(X.dtype.newbyteorder("="), copy=False)


def _in_columns(labels):
    labels = list(dict.fromkeys(labels))  # indicators of a category have the name of its column
    if not labels:
        return ""
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    names = ", ".join(repr(label) for label in labels[:_NAMED])
    return f" in column{'s' if len(labels) > 1 else ''} {names}{more}"


def check_channels_first(shape, input_shape):
    """Raise an error if the shape (channels, height, width) seems to have its channels last.

    That is if the first axis is too long for the channels of a photograph, and the last axis is
    short enough or the first two axes are equal. Square feature maps are accepted.
    """
    channels, height, width = shape
    seems_last = width <= _FEW_CHANNELS or channels == height
    if channels <= _FEW_CHANNELS or height == width or not seems_last:
        return
    line = f"X.reshape(-1, {channels}, {height}, {width}).transpose(0, 3, 1, 2)"
    if input_shape is None:
        what, line = f"rows of shape {shape}", "X.transpose(0, 3, 1, 2)"
    else:
        what, line = f"input_shape={shape}", f"{line} and input_shape={(width, channels, height)}"
    swapped = ""
    if height > _FEW_CHANNELS:
        swapped = f" If there are {channels} channels, swap height and width: X.swapaxes(2, 3)."
    raise ValueError(
        f"Images must be (channels, height, width); got {what}, which seems to be (height, width, "
        f"channels). Put the channels first: {line}.{swapped}"
    )


def how_to_turn(X, expected, name="X"):
    """Return advice on an array with rows of another shape, if it is clear what it is, or ""."""
    shape, last = tuple(X.shape), (*expected[1:], expected[0])
    if len(expected) == 3 and last in (shape, shape[1:]):
        single = "[None]" if shape == last else ""
        return f" Put the channels first: {name}{single}.transpose(0, 3, 1, 2)."
    if shape in (expected, expected[1:] if expected[0] == 1 else expected):
        return f" A single one is {name}[None]."
    return ""
