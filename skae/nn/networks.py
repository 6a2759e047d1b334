"""Networks for the encoder and the decoder.

A pair of networks is built by a callable
``networks(sizes, hidden_layer_sizes, activation, generator, last_zero)``. Both work on
flat rows: the encoder is (batch, d + q) -> (batch, n_codes), the decoder
(..., k + q) -> (..., d), with the q conditions of :class:`Sizes` last. With
``last_zero`` the output is 0 for every input until it is trained, which is what leaves
the classical start untouched; ``output`` is the layer that sees to it.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from .conv import conv_networks, halvings
from .mlp import mlp_networks
from .own import own_networks
from .recurrent import recurrent_networks


class Sizes(NamedTuple):
    """What goes in and out of a pair of networks."""

    row: tuple  # (d,), or the shape of an image (C, H, W) or of a sequence (T, F)
    n_codes: int  # what the encoder answers
    latent_dim: int  # what the decoder reads
    n_conditions: int = 0  # numbers that follow a row, and a code
    reads_past: bool = False  # whether a decoder of sequences is told the step before


class Nothing(nn.Module):
    """What there is to learn where there are no codes: zeros, whatever it reads.

    Shape: (..., n_in) -> (..., n_out).
    """

    def __init__(self, n_out):
        super().__init__()
        self.n_out = n_out
        unused = torch.zeros(1, dtype=torch.float32)  # an optimiser wants a parameter
        self.output = nn.ParameterList([unused])

    def forward(self, x, *rest):
        """Zeros for every row."""
        return x.new_zeros((*x.shape[:-1], self.n_out))


NETWORKS: dict[Any, Callable] = {
    "mlp": mlp_networks,
    "conv": conv_networks,
    "recurrent": recurrent_networks,
    "hierarchical": functools.partial(recurrent_networks, hierarchical=True),
}
DEFAULT_SIZES: dict[Any, tuple[int, ...]] = {
    "mlp": (128, 64),
    "conv": (32, 64),
    "recurrent": (64,),
    "hierarchical": (64,),
}


def make_networks(network, sizes, hidden_layer_sizes, activation, generator, last_zero):
    """Encoder and decoder by name, or from a user's callable."""
    if sizes.latent_dim == 0:
        return Nothing(sizes.n_codes), Nothing(math.prod(sizes.row))
    if callable(network):
        return own_networks(network, sizes, generator, last_zero)
    return NETWORKS[network](sizes, hidden_layer_sizes, activation, generator, last_zero)


def widest_layer(network, row, hidden_layer_sizes):
    """Numbers of the widest layer, for one row."""
    if callable(network):
        return 16 * math.prod(row)  # a guess
    if network == "conv":
        return max(math.prod(image) for image in halvings(row, hidden_layer_sizes))
    if network in ("recurrent", "hierarchical"):  # three gates, in both directions
        return row[0] * max((6 * width for width in hidden_layer_sizes), default=row[1])
    return max(hidden_layer_sizes, default=0)


def largest_product(module):
    """Multiply-adds of the largest matrix product that one row takes."""
    return max(
        sum(value.numel() for value in layer.parameters(recurse=False))
        * getattr(layer, "positions", 1)
        for layer in module.modules()
    )
