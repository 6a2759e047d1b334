"""The version of skae, and its check when a fitted state is loaded."""

import warnings

from sklearn.exceptions import InconsistentVersionWarning

__version__ = "0.1.0"


# Increased whenever the meaning of a fitted state changes.
_FORMAT = 2


class InconsistentSkaeVersionWarning(InconsistentVersionWarning):
    """Warning that a fitted estimator was saved by another version of skae."""

    def __str__(self):
        return (
            f"{self.estimator_name} was saved by skae {self.original_sklearn_version} and is "
            f"loaded by skae {self.current_sklearn_version}. Results may differ or be wrong. "
            "Load it with the version that saved it, or fit it again."
        )


def stamp():
    """Return the entries of a saved state that identify the version."""
    return {"_skae_version": __version__, "_skae_format": _FORMAT}


def check_stamp(name, state, stacklevel):
    """Check the version of a fitted state, and remove it from the state.

    Parameters
    ----------
    name : str
        Name of the estimator's class.
    state : dict
        Fitted state, which is modified in place.
    stacklevel : int
        Level of the warning that is issued if another version saved the state.

    Raises
    ------
    ValueError
        If the format of the state is not that of this version.
    """
    version = state.pop("_skae_version", "before 0.1.0")
    if state.pop("_skae_format", 0) != _FORMAT:
        raise ValueError(
            f"{name} was saved by skae {version}, whose fitted states skae {__version__} cannot "
            "read. Load it with the version that saved it, or fit it again."
        )
    if version != __version__:
        warnings.warn(
            InconsistentSkaeVersionWarning(
                estimator_name=name,
                current_sklearn_version=__version__,
                original_sklearn_version=version,
            ),
            stacklevel=stacklevel + 1,
        )
