"""Layers drawn from a generator, and networks whose output begins at 0."""

import math

import torch
from torch import nn


def is_zero(network):
    """Whether the output of a network built with `last_zero` is still 0."""
    return not any(bool(value.any()) for value in network.output.parameters())


class _Uninitialised:
    """A layer of float32 that is left uninitialised: nothing global has a say in it.

    `torch.nn.utils.skip_init` draws nothing either, at the cost of importing sympy.
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
    """A layer with torch's usual start, drawn from `generator` alone."""
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
    """The same network, which answers 0 from now on, until it is trained."""
    for value in network.output.parameters():
        nn.init.zeros_(value)
    return network
