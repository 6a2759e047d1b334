"""Whether rows are what a likelihood is of."""

import numpy as np

from ..data.sources import blocks

_ROUNDING = 1e-6  # by which MinMaxScaler, say, may miss the ends of [0, 1]
_ADVICE = {  # where values are not what a likelihood is of
    "bernoulli": "Scale X with MinMaxScaler(clip=True), or use likelihood='gaussian'.",
    "categorical": "One-hot encode X, for example with OneHotEncoder, and give "
    "input_shape=(n_steps, n_categories) where a row has more than one step.",
}


def check_values(X, likelihood, input_shape, ends=None, name="X"):
    """Whether rows are what a likelihood is of; `ends` are X's lowest and highest value."""
    if likelihood == "gaussian":
        return
    low, high = ends or (X.min(), X.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f"likelihood={likelihood!r} needs values in [0, 1]; got {name} with values from "
            f"{low:.6g} to {high:.6g}. {_ADVICE[likelihood]}"
        )
    if likelihood == "categorical":
        n_categories = (input_shape or X.shape[1:])[-1]
        for _, rows in blocks(X):
            total = rows.reshape(len(rows), -1, n_categories).sum(axis=2, dtype=np.float64)
            worst = total.flat[np.abs(total - 1).argmax()]
            if abs(worst - 1) > (_ROUNDING if X.dtype == np.float64 else 100 * _ROUNDING):
                advice = _ADVICE[likelihood]
                if worst > 1.5 and np.abs(total - worst.round()).max() < _ROUNDING:
                    advice = _advice_for_columns(int(worst.round()), n_categories)
                raise ValueError(
                    f"With likelihood='categorical' the {n_categories} values of a step must sum "
                    f"to 1; got a step whose sum is {worst:.6g}. {advice}"
                )


def _advice_for_columns(n_columns, n_entries):
    """Where every step is made of several one-hot encoded columns."""
    alike = ""
    if n_entries % n_columns == 0:
        shape = n_columns, n_entries // n_columns
        alike = f"If they have {shape[1]} categories each, give input_shape={shape}. "
    return (
        f"X seems to hold {n_columns} one-hot encoded columns. {alike}Columns with different "
        "numbers of categories are not supported by likelihood='categorical': use 'bernoulli', "
        "which takes every indicator for itself."
    )
