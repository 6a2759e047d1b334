"""The floating point precision of a table."""

import numpy as np


def float_dtype(X):
    """Return float32 if numpy combines the dtypes of all columns to float32, else float64.

    So float16 becomes float64, as in scikit-learn.
    """
    dtypes = {values for _, _, values in _columns(X)}
    single = dtypes and all(values.kind in "biuf" for values in dtypes)
    return np.dtype(np.float32 if single and np.result_type(*dtypes) == np.float32 else np.float64)


def _columns(X):
    """Return triples of a column's name, its dtype, and the numpy dtype of its values.

    For an array there is a single triple, whose name is None.
    """
    if hasattr(X, "dtype"):
        # A tensor has no numpy dtype, so that of an empty array made from it is used.
        values = _of_values(X.dtype) if hasattr(X.dtype, "kind") else np.asarray(X[:0]).dtype
        return [(None, X.dtype, values)]
    if hasattr(X, "iloc"):
        distinct = {dtype: _of_values(dtype) for dtype in set(X.dtypes)}
        return [(name, dtype, distinct[dtype]) for name, dtype in X.dtypes.items()]
    if hasattr(X, "slice"):  # Arrow and polars, whose dtypes are not numpy's
        part = X.slice(0, 0)
        if hasattr(part, "iter_columns"):
            return [
                (column.name, column.dtype, _of_polars(column)) for column in part.iter_columns()
            ]
        columns = zip(part.column_names, part.itercolumns(), strict=True)
        return [(name, column.type, np.asarray(column).dtype) for name, column in columns]
    return []


def _of_polars(column):
    """Return the numpy dtype of a polars column, with "m8" for times, which would be objects."""
    return np.dtype("m8") if str(column.dtype) == "Time" else np.asarray(column).dtype


def _of_values(dtype):
    """Return the numpy dtype of the values of a pandas dtype, also of an extension dtype."""
    if hasattr(dtype, "categories"):
        return _of_values(dtype.categories.dtype)
    values = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))
    return values if isinstance(values, np.dtype) else np.dtype(values.kind)
