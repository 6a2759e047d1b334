"""The columns of a data frame, and the numbers that networks read in their place.

Every module of this package whose name does not begin with an underscore defines a kind of column,
its ``COLUMN``: how it becomes numbers, how it comes back, and its likelihood. `Columns` puts the
columns of a table side by side. A mapping as `likelihood` names kinds by their modules.
"""

import importlib
import pkgutil

NAMES = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_")


def kind(name):
    """Return the class of the columns with this name."""
    return importlib.import_module(f"{__name__}.{name}").COLUMN


from ._table import Columns, as_columns  # noqa: E402 (they need `kind`)

__all__ = ["NAMES", "Columns", "as_columns", "kind"]
