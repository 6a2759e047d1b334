"""Validation of probabilities."""

ROUNDING = 1e-6  # tolerance for rounding errors, such as those of MinMaxScaler


def check_probabilities(likelihood, X, name, ends, advice):
    """Raise an error for values outside [0, 1]; `ends` are the minimum and maximum, if known."""
    low, high = ends or (X.min(), X.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"likelihood={likelihood!r} needs values in [0, 1]; got {name} with values from "
            f"{low:.6g} to {high:.6g}. {advice}"
        )
