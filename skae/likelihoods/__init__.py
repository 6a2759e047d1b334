"""What a decoded value means: one likelihood a file.

Each module of this package that does not begin with an underscore is a likelihood that estimators
know by the module's name. Its ``LIKELIHOOD`` is a subclass of
:class:`~skae.likelihoods.Likelihood`.
"""

import importlib
import pkgutil

from ._likelihood import Likelihood

__all__ = ["NAMES", "Likelihood", "as_likelihood"]

NAMES = {module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"}


def as_likelihood(likelihood):
    """The likelihood that a parameter means: one by its name, or as it is."""
    if not isinstance(likelihood, str):
        return likelihood
    return importlib.import_module(f"{__name__}.{likelihood}").LIKELIHOOD()
