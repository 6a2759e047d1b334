"""Warnings that point to the line of user code that caused them."""

import sys
import warnings

_LIBRARIES = {"joblib", "skae", "sklearn", "skorch", "torch"}


def warn(message, category):
    """Issue a warning at the user's call of skae, also if it was made through scikit-learn."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
