"""Validation of probabilities."""

from ..data.sources import ends

ROUNDING = 1e-6  # tolerance for rounding errors, such as those of MinMaxScaler


def check_probabilities(likelihood, X, name, known, advice):
    """Raise an error for values outside [0, 1]; `known` are the minimum and maximum, if known."""
    low, high = known or ends(X)
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"likelihood={likelihood!r} needs values in [0, 1]; got {name} with values from "
            f"{low:.6g} to {high:.6g}. {advice}"
        )
