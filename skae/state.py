"""The version of skae, and whether it can read what another one saved."""

import warnings

from sklearn.exceptions import InconsistentVersionWarning

__version__ = "0.1.0"


# Counts up whenever a fitted state means something else than before.
_FORMAT = 1


class InconsistentSkaeVersionWarning(InconsistentVersionWarning):
    """A fitted estimator is loaded by another version of skae than saved it."""

    def __str__(self):
        return (
            f"{self.estimator_name} was saved by skae {self.original_sklearn_version} and is "
            f"loaded by skae {self.current_sklearn_version}. Results may differ or be wrong. "
            "Load it with the version that saved it, or fit it again."
        )


def stamp():
    """What a saved state says of the version that saved it."""
    return {"_skae_version": __version__, "_skae_format": _FORMAT}


def check_stamp(name, state, stacklevel):
    """Take the stamp off a fitted state; refuse what this version cannot read.

    Parameters
    ----------
    name : str
        Of the estimator's class.
    state : dict
        It loses its stamp.
    stacklevel : int
        Of the warning, where another version saved the state.

    Raises
    ------
    ValueError
        If fitted states were different then.
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
