"""The likelihoods: the distribution of a row given its code, one per file.

Every module of this package whose name does not begin with an underscore defines a likelihood.
Estimators accept it by the name of the module. Its ``LIKELIHOOD`` is a subclass of
:class:`~skae.likelihoods.Likelihood`.
"""

import importlib
import pkgutil
from collections.abc import Mapping

from ._likelihood import Likelihood

__all__ = ["NAMES", "TABLES", "Likelihood", "as_likelihood", "of_columns"]

Likelihood.__module__ = __name__  # its public place

TABLES = ("auto",)  # likelihoods of tables whose columns have their own
NAMES = {module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"}


def of_columns(likelihood):
    """Return whether the columns of a table have likelihoods of their own."""
    return isinstance(likelihood, Mapping) or likelihood in TABLES


def as_likelihood(likelihood):
    """Return the likelihood with a given name, or the likelihood itself."""
    if of_columns(likelihood):
        from ._mixed import MixedLikelihood

        return MixedLikelihood()
    if not isinstance(likelihood, str):
        return likelihood
    return importlib.import_module(f"{__name__}.{likelihood}").LIKELIHOOD()
