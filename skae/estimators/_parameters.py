"""The parameters of an autoencoder: names, defaults and constraints."""

import inspect
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions

from ..codec import plain
from ..likelihoods import NAMES, TABLES, Likelihood
from ._docs import PCA_ATTRIBUTES, SHARED_ATTRIBUTES, SHARED_PARAMETERS

LATENT_DIMS = [  # constraints of `latent_dim` and `n_components`
    Interval(Integral, 0, None, closed="left"),
    Interval(RealNotInt, 0, 1, closed="neither"),
    StrOptions({"auto", "mle"}),
    None,
]


# Parameters of PCA that choose the solver, and that are refused by name.
_OF_PCA = {"copy", "iterated_power", "n_oversamples", "power_iteration_normalizer"}
_OF_PCA |= {"svd_solver", "tol"}


@dataclass(eq=False, repr=False)
class Parameters(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Parameters as the fields of a dataclass, whose constructor only assigns."""

    # Target of the link in the HTML diagram of an estimator.
    _doc_link_module: ClassVar[str] = "skae"
    _doc_link_template: ClassVar[str] = (
        "https://skae.readthedocs.io/en/stable/generated/skae.{estimator_name}.html"
    )

    _parameter_constraints: ClassVar[dict] = {
        "latent_dim": LATENT_DIMS,
        "n_components": LATENT_DIMS,
        "network": [StrOptions({"mlp", "conv", "recurrent", "hierarchical"}), callable],
        "input_shape": ["array-like", None],
        "hidden_layer_sizes": [
            StrOptions({"auto"}),
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "activation": [
            StrOptions(
                {"elu", "gelu", "identity", "leaky_relu", "logistic"}
                | {"relu", "selu", "silu", "softplus", "tanh"}
            )
        ],
        "init": [StrOptions({"pca", "random"})],
        "likelihood": [StrOptions(NAMES.union(TABLES)), Mapping, Likelihood],
        "lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions({"adam", "adamw", "sgd"}), type],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [
            None,
            Interval(Real, 0, 1, closed="neither"),
            HasMethods(["split", "get_n_splits"]),
        ],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "precision": [StrOptions({"float32", "tf32", "bf16"})],
        "callbacks": [None, list],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    latent_dim: int | float | str | None = "auto"
    _: KW_ONLY
    n_components: int | float | str | None = "auto"
    network: str | Callable = "mlp"
    input_shape: Sequence[int] | None = None
    hidden_layer_sizes: str | int | Sequence[int] = "auto"
    activation: str = "silu"
    init: str = "pca"
    likelihood: str | Mapping | Likelihood = "gaussian"
    lr: float | str = "auto"
    max_epochs: int = 100
    batch_size: int | str = "auto"
    optimizer: str | type = "adamw"
    weight_decay: float = 0.01
    early_stopping: bool = True
    validation_fraction: Any = 0.1
    n_iter_no_change: int = 20
    device: str = "auto"
    precision: str = "float32"
    callbacks: list | None = None
    warm_start: bool = False
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    def _doc_link_url_param_generator(self):
        return {"estimator_name": type(self).__name__}

    def __new__(cls, *args, **kwargs):
        """Raise a helpful error for parameters that only PCA has."""
        refuse_options_of_pca(cls, kwargs)
        return super().__new__(cls)

    def __init_subclass__(cls, **kwargs):
        """Insert the shared parameters and attributes into the docstring of a subclass."""
        super().__init_subclass__(**kwargs)
        if cls.__doc__:
            doc = inspect.cleandoc(cls.__doc__)
            doc = doc.replace("{shared_parameters}", inspect.cleandoc(SHARED_PARAMETERS))
            doc = doc.replace("{shared_attributes}", inspect.cleandoc(SHARED_ATTRIBUTES))
            cls.__doc__ = doc.replace("{pca_attributes}", inspect.cleandoc(PCA_ATTRIBUTES))

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params : dict
            Parameters by name. `latent_dim` and `n_components` are two names of one parameter:
            setting one replaces the other.

        Returns
        -------
        self : object
            The estimator.
        """
        refuse_options_of_pca(type(self), params)
        for name in params:
            if name.startswith("callbacks__"):
                raise ValueError(
                    f"{name} cannot be set, as callbacks is a list; give the callbacks themselves, "
                    "callbacks=[...]. A search may go over several such lists."
                )
        for one, other in (("latent_dim", "n_components"), ("n_components", "latent_dim")):
            if one in params and other not in params:
                params = {**params, other: "auto"}
        return super().set_params(**params)


def is_auto(value):
    return isinstance(value, str) and value == "auto"


def refuse_options_of_pca(cls, names):
    """Raise a TypeError if options of PCA's solvers are among the parameter names."""
    left_over = sorted(_OF_PCA.intersection(names).difference(cls._get_param_names()))
    if left_over:
        raise TypeError(
            f"{cls.__name__} has no parameter {left_over[0]!r}, which chooses how PCA is computed; "
            f"got {', '.join(left_over)}. Leave {'it' if len(left_over) == 1 else 'them'} out: the "
            "size of X decides how, and X is never overwritten."
        )


LIMIT = 2**63  # bound on numerical parameters, as torch uses 64-bit integers
# Arrays per weight in training: weight, gradient, two moments, best weights and a spare copy.
_BYTES_PER_WEIGHT = 6 * 4


def check_limits(estimator):
    """Raise an error for numerical parameters that overflow 64-bit integers."""
    for name, value in estimator.get_params(deep=False).items():
        value = plain(value)
        if name != "random_state" and isinstance(value, (int, float)) and value >= LIMIT:
            is_long = isinstance(value, int) and value.bit_length() > 128
            shown = "an int of more than 128 bits" if is_long else repr(value)
            raise ValueError(f"{name} must be less than 2**63; got {shown}.")


def check_memory(what, network, sizes):
    """Raise an error if the weights of layers would not fit in this machine's memory.

    Parameters
    ----------
    what : str
        Parameters that determine the sizes, with their values, for the message.
    network : str
    sizes : tuple of int
        Widths or numbers of channels, from the input of the first layer to the output of the
        last one.
    """
    n_weights = sum(a * b for a, b in itertools.pairwise(sizes))
    if network == "conv":
        n_weights *= 9
    elif network != "mlp":  # three gates, with weights for the input and for the state
        n_weights = 3 * (n_weights + sum(size**2 for size in sizes[1:]))
    needed, memory = n_weights * _BYTES_PER_WEIGHT, _memory_of_machine()
    if needed > memory:
        raise ValueError(
            f"Layers must fit in memory; {what} needs at least {needed / 1e9:.3g} GB for training, "
            f"and this machine has {memory / 1e9:.3g} GB. Use fewer or smaller layers."
        )


def _memory_of_machine():
    """Return the memory of this machine in bytes, or infinity if it is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, for one
        return float("inf")
