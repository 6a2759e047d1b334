"""Initialisation with random weights: a linear path that is zero."""

import numbers
from dataclasses import replace

import numpy as np

from .conditional import with_conditions
from .scores import independent
from .start import choose_latent_dim, linear


def no_start(table, inputs, latent_dim, likelihood):
    """Return a linear path with zero weights, for networks that have random weights.

    Rows of `inputs` may be those of `table`, followed by conditions.
    """
    if not isinstance(latent_dim, numbers.Integral):
        latent_dim = choose_latent_dim(latent_dim, table.principal_axes(latent_dim)[0])
    n_features = len(table.mean)
    empty = np.zeros((n_features, latent_dim))
    start = linear(table, empty, empty, np.ones(latent_dim), 1.0)
    if not likelihood.is_normal:
        bias = independent(table, likelihood)[0]
        start = replace(start, decoder_bias=bias, dispersion=likelihood.dispersion)
    start = replace(start, code_scale=np.ones(latent_dim), explained=np.zeros(latent_dim))
    n_conditions = len(inputs.mean) - n_features
    if not n_conditions:
        return start
    nothing = np.zeros((n_conditions, n_features))
    return with_conditions(start, table, nothing, nothing, np.zeros(n_conditions))
