"""Whether rows are probabilities."""

ROUNDING = 1e-6  # by which MinMaxScaler, say, may miss the ends of [0, 1]


def check_probabilities(likelihood, X, name, ends, advice):
    """Refuse values that are not in [0, 1]; `ends` are the lowest and the highest, if known."""
    low, high = ends or (X.min(), X.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"likelihood={likelihood!r} needs values in [0, 1]; got {name} with values from "
            f"{low:.6g} to {high:.6g}. {advice}"
        )
