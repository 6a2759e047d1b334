"""Warnings that point to the line of the user's that they are about."""

import sys
import warnings

_LIBRARIES = {"joblib", "skae", "sklearn", "skorch", "torch"}


def warn(message, category):
    """Warn at the call into skae, also where it came by way of scikit-learn."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
