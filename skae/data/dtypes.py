"""In which precision the columns of a table hold numbers."""

import numpy as np


def float_dtype(X):
    """float32 for a table of nothing wider, whatever it comes in; else float64.

    Columns of several dtypes are what numpy makes of them together, and float16 is float64,
    as scikit-learn has it.
    """
    dtypes = {values for _, _, values in _columns(X)}
    single = dtypes and all(values.kind in "biuf" for values in dtypes)
    return np.dtype(np.float32 if single and np.result_type(*dtypes) == np.float32 else np.float64)


def _columns(X):
    """Triples of a column's name, its dtype, and numpy's dtype for its values.

    An array has one for all columns, whose name is None.
    """
    if hasattr(X, "dtype"):
        # Of tensors, say, a numpy array is asked, of no rows.
        values = _of_values(X.dtype) if hasattr(X.dtype, "kind") else np.asarray(X[:0]).dtype
        return [(None, X.dtype, values)]
    if hasattr(X, "iloc"):
        distinct = {dtype: _of_values(dtype) for dtype in set(X.dtypes)}
        return [(name, dtype, distinct[dtype]) for name, dtype in X.dtypes.items()]
    if hasattr(X, "slice"):  # of Arrow and polars, whose dtypes are not numpy's
        part = X.slice(0, 0)
        if hasattr(part, "iter_columns"):
            return [
                (column.name, column.dtype, _of_polars(column)) for column in part.iter_columns()
            ]
        columns = zip(part.column_names, part.itercolumns(), strict=True)
        return [(name, column.type, np.asarray(column).dtype) for name, column in columns]
    return []


def _of_polars(column):
    """The numpy dtype of a column of polars, where times of the day are objects."""
    return np.dtype("m8") if str(column.dtype) == "Time" else np.asarray(column).dtype


def _of_values(dtype):
    """The numpy dtype of the values of pandas' dtype: nullable, of Arrow, sparse, categories."""
    if hasattr(dtype, "categories"):
        return _of_values(dtype.categories.dtype)
    values = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))
    return values if isinstance(values, np.dtype) else np.dtype(values.kind)
