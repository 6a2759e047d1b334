"""Numbers that users give, and what their functions return: checked before training."""

import itertools
import os

from ..codec import plain

_OF_PCA = {"copy", "iterated_power", "n_oversamples", "power_iteration_normalizer"}


_OF_PCA |= {"svd_solver", "tol"}


def is_auto(value):
    return isinstance(value, str) and value == "auto"


def refuse_options_of_pca(cls, names):
    """Raise a TypeError if options of PCA's solvers are among the names of parameters."""
    left_over = sorted(_OF_PCA.intersection(names).difference(cls._get_param_names()))
    if left_over:
        raise TypeError(
            f"{cls.__name__} has no parameter {left_over[0]!r}, which chooses how PCA is computed; "
            f"got {', '.join(left_over)}. Leave {'it' if len(left_over) == 1 else 'them'} out: the "
            "size of X decides how, and X is never overwritten."
        )


LIMIT = 2**63  # what no parameter may reach: torch counts in 64 bits
# Copies of a weight while it is trained: itself, its gradient, two moments, the best and a spare.
_BYTES_PER_WEIGHT = 6 * 4


def check_limits(estimator):
    """Refuse numbers that are within their range, but too large to count with."""
    for name, value in estimator.get_params(deep=False).items():
        value = plain(value)
        if name != "random_state" and isinstance(value, (int, float)) and value >= LIMIT:
            is_long = isinstance(value, int) and value.bit_length() > 128
            shown = "an int of more than 128 bits" if is_long else repr(value)
            raise ValueError(f"{name} must be less than 2**63; got {shown}.")


def check_memory(what, network, sizes):
    """Refuse layers whose weights alone would not fit in this machine's memory.

    Parameters
    ----------
    what : str
        The parameters that give the sizes, with their values.
    network : str
    sizes : tuple of int
        Widths or channels, from what the first layer reads to what the last one returns.
    """
    n_weights = sum(a * b for a, b in itertools.pairwise(sizes))
    if network == "conv":
        n_weights *= 9
    elif network != "mlp":  # three gates, which read their own state too
        n_weights = 3 * (n_weights + sum(size**2 for size in sizes[1:]))
    needed, memory = n_weights * _BYTES_PER_WEIGHT, _memory_of_machine()
    if needed > memory:
        raise ValueError(
            f"Layers must fit in memory; {what} needs at least {needed / 1e9:.3g} GB for training, "
            f"and this machine has {memory / 1e9:.3g} GB. Use fewer or smaller layers."
        )


def _memory_of_machine():
    """Bytes, or infinity where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, for one
        return float("inf")
