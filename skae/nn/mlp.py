"""Fully connected networks."""

import itertools
import math
from collections.abc import Callable

from torch import nn

from .init import linear_layer, with_zero_output

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,  # exact: on a CPU the tanh approximation takes twice as long
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "logistic": nn.Sigmoid,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


class Mlp(nn.Sequential):
    """A multilayer perceptron."""

    @property
    def output(self):
        """The last layer."""
        return self[-1]

    def hidden(self, x):
        """Return the input of the last layer."""
        for layer in list(self)[:-1]:
            x = layer(x)
        return x


def mlp(n_in, n_out, hidden_layer_sizes, activation, generator, last_zero):
    """Build a multilayer perceptron.

    Shape: (batch, n_in) -> (batch, n_out).

    Examples
    --------
    >>> import torch
    >>> from skae.nn.mlp import mlp
    >>> net = mlp(64, 2, (128, 32), "relu", torch.Generator().manual_seed(0), False)
    >>> net(torch.ones(5, 64)).shape
    torch.Size([5, 2])
    """
    sizes = [n_in, *hidden_layer_sizes, n_out]
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [linear_layer(fan_in, fan_out, generator), ACTIVATIONS[activation]()]
    network = Mlp(*layers[:-1])
    return with_zero_output(network) if last_zero else network


def mlp_networks(sizes, hidden_layer_sizes, *rest):
    """Build a fully connected encoder, and a decoder with its layers in reverse."""
    n_features, q = math.prod(sizes.row), sizes.n_conditions
    encoder = mlp(n_features + q, sizes.n_codes, hidden_layer_sizes, *rest)
    return encoder, mlp(sizes.latent_dim + q, sizes.n_decoded, hidden_layer_sizes[::-1], *rest)
