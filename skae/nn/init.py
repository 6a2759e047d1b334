"""Layers initialised from a generator, and networks whose initial output is 0."""

import math

import torch
from torch import nn


def is_zero(network):
    """Return whether the output of a network built with `last_zero` is still 0."""
    return not any(bool(value.any()) for value in network.output.parameters())


class Nothing(nn.Module):
    """A network that always returns 0, with nothing to train.

    Parameters
    ----------
    n_outputs : int
    """

    def __init__(self, n_outputs):
        super().__init__()
        self.n_outputs = n_outputs
        self.output = nn.Module()

    def forward(self, x):
        return x.new_zeros(*x.shape[:-1], self.n_outputs)


class _Uninitialised:
    """A float32 layer that is left uninitialised.

    It depends neither on torch's default dtype nor on its global generator.
    `torch.nn.utils.skip_init` draws no numbers either, but imports sympy.
    """

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **{"dtype": torch.float32, **options})

    def reset_parameters(self):
        pass


class Linear(_Uninitialised, nn.Linear):
    pass


class Conv2d(_Uninitialised, nn.Conv2d):
    pass


class ConvTranspose2d(_Uninitialised, nn.ConvTranspose2d):
    pass


class GRU(_Uninitialised, nn.GRU):
    pass


def linear_layer(fan_in, fan_out, generator):
    return drawn(Linear(fan_in, fan_out), generator)


def drawn(layer, generator):
    """Initialise a layer as torch does, but from `generator`, and return it."""
    if isinstance(layer, nn.RNNBase):
        bound = 1.0 / math.sqrt(layer.hidden_size)
        for value in layer.parameters():
            nn.init.uniform_(value, -bound, bound, generator=generator)
        return layer
    fan_in = layer.weight[0].numel()
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        bound = 1.0 / math.sqrt(fan_in)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


def with_zero_output(network):
    """Set the last layer of a network to zero, so that it returns 0, and return the network."""
    for value in network.output.parameters():
        nn.init.zeros_(value)
    return network
