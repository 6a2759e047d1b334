"""The likelihoods: the distribution of a row given its code, one per file.

Every module of this package whose name does not begin with an underscore defines a likelihood.
Estimators accept it by the name of the module. Its ``LIKELIHOOD`` is a subclass of
:class:`~skae.likelihoods.Likelihood`.
"""

import importlib
import pkgutil

from ._likelihood import Likelihood

__all__ = ["NAMES", "Likelihood", "as_likelihood"]

Likelihood.__module__ = __name__  # its public place

NAMES = {module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"}


def as_likelihood(likelihood):
    """Return the likelihood with a given name, or the likelihood itself."""
    if not isinstance(likelihood, str):
        return likelihood
    return importlib.import_module(f"{__name__}.{likelihood}").LIKELIHOOD()
