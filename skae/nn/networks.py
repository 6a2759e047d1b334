"""Networks for the encoder and the decoder.

A callable ``networks(sizes, hidden_layer_sizes, activation, generator, last_zero)`` builds an
encoder and a decoder. Both work on flat rows. The encoder is (batch, d + q) -> (batch, n_codes),
the decoder is (..., k + q) -> (..., d), and the q conditions of :class:`Sizes` come last. With
``last_zero`` the initial output is 0 for every input, so the initial model is unchanged; the
parameters of the layer ``output`` are then 0.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from ..likelihoods import Likelihood
from ..starts.start import Start
from .conv import conv_networks, halvings
from .mlp import mlp_networks
from .own import own_networks
from .recurrent import recurrent_networks


class Sizes(NamedTuple):
    """Sizes of the inputs and outputs of an encoder and a decoder."""

    row: tuple  # (d,), or the shape of an image (C, H, W) or of a sequence (T, F)
    n_codes: int  # outputs of the encoder
    latent_dim: int  # inputs of the decoder
    n_conditions: int = 0  # further inputs of both, after a row or a code
    reads_past: bool = False  # whether a decoder of sequences uses teacher forcing
    # For networks that read the reconstructions of the initial model: the model (None if there is
    # none), its likelihood, and the number of rows that it was computed from.
    start: Start | None = None
    likelihood: Likelihood | None = None
    n_samples: int = 0

    @property
    def n_decoded(self):
        """Outputs of the decoder."""
        d = math.prod(self.row)
        return d if self.likelihood is None else self.likelihood.n_decoded(d)


class Nothing(nn.Module):
    """A network that returns zeros for any input, used if there are no codes.

    Shape: (..., n_in) -> (..., n_out).
    """

    def __init__(self, n_out):
        super().__init__()
        self.n_out = n_out
        unused = torch.zeros(1, dtype=torch.float32)  # optimizers need a parameter
        self.output = nn.ParameterList([unused])

    def forward(self, x, *rest):
        """Return zeros for every row."""
        return x.new_zeros((*x.shape[:-1], self.n_out))


NETWORKS: dict[Any, Callable] = {
    "mlp": mlp_networks,
    "conv": conv_networks,
    "recurrent": recurrent_networks,
    "hierarchical": functools.partial(recurrent_networks, hierarchical=True),
}
DEFAULT_SIZES: dict[Any, tuple[int, ...]] = {
    "mlp": (128, 64),
    "conv": (32, 32),
    "recurrent": (64,),
    "hierarchical": (64,),
}

# With fewer images, deep stages with many channels learn the training images by heart.
MANY_IMAGES, SIZES_OF_MANY = 10_000, (32, 64, 64)


def make_networks(network, sizes, hidden_layer_sizes, activation, generator, last_zero):
    """Build an encoder and a decoder by name, or from a user's callable."""
    if sizes.latent_dim == 0:
        return Nothing(sizes.n_codes), Nothing(sizes.n_decoded)
    if callable(network):
        return own_networks(network, sizes, generator, last_zero)
    return NETWORKS[network](sizes, hidden_layer_sizes, activation, generator, last_zero)


def widest_layer(network, row, hidden_layer_sizes):
    """Return the size of the widest layer, for one row."""
    if callable(network):
        return 16 * math.prod(row)  # a guess
    if network == "conv":
        images = halvings((2 * row[0], *row[1:]), hidden_layer_sizes)  # the encoder reads two
        return max(math.prod(image) for image in images)
    if network in ("recurrent", "hierarchical"):  # three gates, two directions
        return row[0] * max((6 * width for width in hidden_layer_sizes), default=row[1])
    return max(hidden_layer_sizes, default=0)


def largest_product(module):
    """Return the multiply-adds of the largest matrix product, for one row."""
    return max(
        sum(value.numel() for value in layer.parameters(recurse=False))
        * getattr(layer, "positions", 1)
        for layer in module.modules()
    )
