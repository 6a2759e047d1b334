"""Recurrent networks for sequences."""

import itertools
import math

import torch
from torch import nn

from .init import GRU, drawn, linear_layer, with_zero_output
from .mlp import ACTIVATIONS


class RecurrentEncoder(nn.Module):
    """Bidirectional GRU layers, then a linear layer that reads the states of all steps.

    As all states are read, and not only the last ones, the layers need not remember the whole
    sequence.

    Shape: (batch, T * F + q) -> (batch, n_codes).

    Examples
    --------
    >>> import torch
    >>> from skae.nn.networks import Sizes
    >>> from skae.nn.recurrent import RecurrentEncoder
    >>> sizes = Sizes((32, 22), n_codes=4, latent_dim=2)
    >>> net = RecurrentEncoder(sizes, (16,), "silu", torch.Generator().manual_seed(0))
    >>> net(torch.ones(5, 32 * 22)).shape
    torch.Size([5, 4])
    """

    def __init__(self, sizes, widths, activation, generator):
        super().__init__()
        self.sequence = sizes.row
        n_steps, n_features = sizes.row
        self.layers, n_states = _gru_layers(n_features, widths, generator, bidirectional=True)
        self.output = linear_layer(
            n_steps * n_states + sizes.n_conditions, sizes.n_codes, generator
        )

    def forward(self, x):
        """Encode flat sequences."""
        n_features = math.prod(self.sequence)
        states = x[:, :n_features].unflatten(1, self.sequence)
        for layer in self.layers:
            states, _ = layer(states)
        return self.output(torch.cat([states.flatten(1), x[:, n_features:]], dim=1))


class RecurrentDecoder(nn.Module):
    """GRU layers whose input at every step is a different function of the code.

    With ``sizes.reads_past`` the input also contains the previous step. ``decoder(z, x)`` then
    decodes with teacher forcing, from the known rows x. :meth:`steps` decodes step by step.

    Shape: (..., k + q) -> (..., T * F).

    Parameters
    ----------
    sizes : Sizes
    widths : tuple of int
    activation : str
        Activation of the layer that reads the code.
    generator : torch.Generator
    hierarchical : bool, default=False
        Whether a conductor reads the code (Roberts et al. 2018). The conductor is a recurrent
        layer with one step for each segment of at most 16 steps of the sequence. The states of
        the other layers are reset in every segment, and their input is the conductor's output.

    Notes
    -----
    In training the previous step is set to 0 at a random quarter of the steps (Bowman et al.
    2016). Otherwise the decoder could ignore the code.
    """

    def __init__(self, sizes, widths, activation, generator, hierarchical=False):
        super().__init__()
        self.sequence = sizes.row
        self.reads_past = sizes.reads_past
        n_steps, n_features = sizes.row
        self.n_segments = -(-n_steps // _SEGMENT) if hierarchical else 1
        self.length = -(-n_steps // self.n_segments)
        n_in, width = sizes.latent_dim + sizes.n_conditions, next(iter(widths), n_features)
        self.conductor = None
        if hierarchical:
            self.first = linear_layer(n_in, self.n_segments * width, generator)
            self.conductor = drawn(GRU(width, width, batch_first=True), generator)
            n_in = width
        self.reader = linear_layer(n_in, self.length * width, generator)
        self.activation = ACTIVATIONS[activation]()
        if self.reads_past:
            self.previous = linear_layer(n_features, width, generator)
        self.layers, n_states = _gru_layers(width, widths, generator)
        self.output = linear_layer(n_states, n_features, generator)

    def forward(self, z, x=None, generator=None):
        """Decode codes to flat sequences, with teacher forcing if rows x are given."""
        inputs = self._read(z.flatten(0, -2))
        if x is not None:
            inputs = inputs + self._told(x, generator).expand(*z.shape[:-1], -1, -1).flatten(0, -3)
        states = inputs.reshape(-1, self.length, inputs.shape[-1])
        for layer in self.layers:
            states, _ = layer(states)
        out = self.output(states).reshape(len(inputs), -1, self.sequence[1])
        return out[:, : self.sequence[0]].flatten(1).unflatten(0, z.shape[:-1])

    def steps(self, z):
        """Return a function from the previous step, (..., F), to the next; the first is 0."""
        inputs = self._read(z.flatten(0, -2))
        states = [None] * len(self.layers)
        numbers = itertools.count()

        def advance(before):
            number = next(numbers)
            if number % self.length == 0:
                states[:] = [None] * len(states)
            out = (inputs[:, number] + self.previous(before.flatten(0, -2)))[:, None]
            for place, layer in enumerate(self.layers):
                out, states[place] = layer(out, states[place])
            return self.output(out[:, 0]).view_as(before)

        return advance

    def _read(self, z):
        """Return the code's input to every step, (batch, n_segments * length, width)."""
        if self.conductor is not None:
            z, _ = self.conductor(self.first(z).unflatten(1, (self.n_segments, -1)))
        read = self.reader(z).reshape(len(z), self.n_segments * self.length, -1)
        return self.activation(read)

    def _told(self, x, generator):
        """Return the previous step's input to every step, (..., n_segments * length, width)."""
        before = x.unflatten(-1, self.sequence)[..., :-1, :]
        if generator is not None:
            there = {"device": before.device, "dtype": torch.float32}
            chance = torch.rand((*before.shape[:-1], 1), generator=generator, **there)
            before = before * (chance < _TOLD)
        n_missing = self.n_segments * self.length - self.sequence[0]
        return self.previous(nn.functional.pad(before, (0, 0, 1, n_missing)))


def recurrent_networks(
    sizes, hidden_layer_sizes, activation, generator, last_zero, hierarchical=False
):
    """Build a recurrent encoder and decoder; `hidden_layer_sizes` are widths of layers."""
    rest = activation, generator
    encoder = RecurrentEncoder(sizes, hidden_layer_sizes, *rest)
    decoder = RecurrentDecoder(sizes, hidden_layer_sizes[::-1], *rest, hierarchical)
    if last_zero:
        return with_zero_output(encoder), with_zero_output(decoder)
    return encoder, decoder


_TOLD = 0.75  # fraction of steps with teacher forcing in training
_SEGMENT = 16  # largest number of steps in a segment: a bar of sixteenth notes


def _gru_layers(n_in, widths, generator, bidirectional=False):
    """Build a stack of GRU layers; return it and the size of its output."""
    layers = nn.ModuleList()
    for width in widths:
        layer = GRU(n_in, width, batch_first=True, bidirectional=bidirectional)
        layers.append(drawn(layer, generator))
        n_in = width * (1 + bidirectional)
    return layers, n_in
