"""Networks for the encoder and the decoder.

A network is built by a callable ``network(n_in, n_out, hidden_layer_sizes, activation,
generator, last_zero)``. With ``last_zero`` its output is 0 for every input until it is
trained, which is what leaves the classical start untouched.
"""

import itertools
import math
from collections.abc import Callable

import torch
from torch import nn

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


def mlp(n_in, n_out, hidden_layer_sizes, activation, generator, last_zero):
    """A multilayer perceptron.

    Shape: (batch, n_in) -> (batch, n_out).

    Examples
    --------
    >>> import torch
    >>> from skae.networks import mlp
    >>> net = mlp(64, 2, (128, 32), "relu", torch.Generator().manual_seed(0), False)
    >>> net(torch.ones(5, 64)).shape
    torch.Size([5, 2])
    """
    sizes = [n_in, *hidden_layer_sizes, n_out]
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [_linear(fan_in, fan_out, generator), ACTIVATIONS[activation]()]
    last = layers[-2]
    if last_zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers[:-1])


class _Linear(nn.Linear):
    """`nn.Linear` that is left uninitialised, so as not to draw from the global generator.

    `torch.nn.utils.skip_init` does the same at the cost of importing sympy.
    """

    def reset_parameters(self):
        pass


def _linear(fan_in, fan_out, generator):
    """`nn.Linear` with its usual start, drawn from `generator` alone."""
    layer = _Linear(fan_in, fan_out, dtype=torch.float32)
    bound = 1.0 / math.sqrt(fan_in)
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
