"""Networks for the encoder and the decoder.

A pair of networks is built by a callable
``networks(sizes, hidden_layer_sizes, activation, generator, last_zero)``. Both work on
flat rows: the encoder is (batch, d + q) -> (batch, n_codes), the decoder
(..., k + q) -> (..., d), with the q conditions of :class:`Sizes` last. With
``last_zero`` the output is 0 for every input until it is trained, which is what leaves
the classical start untouched; ``output`` is the layer that sees to it.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ._own import own_networks

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


class Sizes(NamedTuple):
    """What goes in and out of a pair of networks."""

    row: tuple  # (d,), or the shape of an image (C, H, W) or of a sequence (T, F)
    n_codes: int  # what the encoder answers
    latent_dim: int  # what the decoder reads
    n_conditions: int = 0  # numbers that follow a row, and a code
    reads_past: bool = False  # whether a decoder of sequences is told the step before


class Mlp(nn.Sequential):
    """A multilayer perceptron."""

    @property
    def output(self):
        """The last layer."""
        return self[-1]

    def hidden(self, x):
        """What the last layer reads."""
        for layer in list(self)[:-1]:
            x = layer(x)
        return x


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
    network = Mlp(*layers[:-1])
    return with_zero_output(network) if last_zero else network


def mlp_networks(sizes, hidden_layer_sizes, *rest):
    """An encoder of fully connected layers, and its mirror image."""
    n_features, q = math.prod(sizes.row), sizes.n_conditions
    encoder = mlp(n_features + q, sizes.n_codes, hidden_layer_sizes, *rest)
    return encoder, mlp(sizes.latent_dim + q, n_features, hidden_layer_sizes[::-1], *rest)


class ConvEncoder(nn.Module):
    """Convolutions with stride 2, each halving the image (rounded up), then a linear layer.

    Shape: (batch, C * H * W + q) -> (batch, n_codes).

    Examples
    --------
    >>> import torch
    >>> from skae.networks import ConvEncoder, Sizes
    >>> sizes = Sizes((1, 28, 28), n_codes=4, latent_dim=2)
    >>> net = ConvEncoder(sizes, (8, 16), "silu", torch.Generator().manual_seed(0))
    >>> net(torch.ones(5, 784)).shape
    torch.Size([5, 4])
    """

    def __init__(self, sizes, channels, activation, generator):
        super().__init__()
        self.image = sizes.row
        layers, images = [], _halvings(sizes.row, channels)
        for (c_in, *_), (c_out, height, width) in itertools.pairwise(images):
            layer = _Conv2d(c_in, c_out, 3, stride=2, padding=1)
            layer.positions = height * width
            layers += [_drawn(layer, generator), ACTIVATIONS[activation]()]
        self.stages = nn.Sequential(*layers)
        n_in = math.prod(images[-1]) + sizes.n_conditions
        self.output = _linear(n_in, sizes.n_codes, generator)

    def forward(self, x):
        """Codes of flat images."""
        n_features = math.prod(self.image)
        image = x[:, :n_features].unflatten(1, self.image)
        features = self.stages(image).flatten(1)
        if x.shape[1] > n_features:
            features = torch.cat([features, x[:, n_features:]], dim=1)
        return self.output(features)


class ConvDecoder(nn.Module):
    """The mirror image of :class:`ConvEncoder`: a linear layer, then transposed convolutions.

    Their kernels are as wide as two strides, which every pixel then gets equally much
    of, and what goes beyond an odd edge is cut off.

    Shape: (..., k + q) -> (..., C * H * W).
    """

    def __init__(self, sizes, channels, activation, generator):
        super().__init__()
        self.images = _halvings(sizes.row, channels)[::-1]
        n_in = sizes.latent_dim + sizes.n_conditions
        self.first = _linear(n_in, math.prod(self.images[0]), generator)
        self.stages = nn.ModuleList()
        for (c_in, height, width), (c_out, *_) in itertools.pairwise(self.images):
            layer = _ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1)
            layer.positions = height * width
            self.stages.append(_drawn(layer, generator))
        self.activation = ACTIVATIONS[activation]()

    @property
    def output(self):
        """The last layer."""
        return self.stages[-1] if len(self.stages) else self.first

    def forward(self, z):
        """Flat images of codes."""
        image = self.first(z.flatten(0, -2)).unflatten(1, self.images[0])
        for stage, (_, height, width) in zip(self.stages, self.images[1:], strict=True):
            image = stage(self.activation(image))[..., :height, :width]
        return image.flatten(1).unflatten(0, z.shape[:-1])


def conv_networks(sizes, hidden_layer_sizes, activation, generator, last_zero):
    """A convolutional encoder and decoder; `hidden_layer_sizes` are channels."""
    encoder = ConvEncoder(sizes, hidden_layer_sizes, activation, generator)
    decoder = ConvDecoder(sizes, hidden_layer_sizes, activation, generator)
    if last_zero:
        return with_zero_output(encoder), with_zero_output(decoder)
    return encoder, decoder


class ConvUpscaler(nn.Module):
    """Convolutions at the low resolution, whose channels are shuffled into pixels at last.

    The last layer has `factor` squared numbers per pixel and channel (sub-pixel convolution,
    Shi et al. 2016). Where an image is not `factor` times as large they are interpolated
    linearly. Hidden layers of as many channels as the one before add to it (He et al. 2016).

    Shape: (batch, C * h * w) -> (batch, C * H * W).

    Examples
    --------
    >>> import torch
    >>> from skae.networks import ConvUpscaler
    >>> generator = torch.Generator().manual_seed(0)
    >>> net = ConvUpscaler((3, 4, 4), (3, 8, 7), 2, (16, 16), "silu", generator)
    >>> net(torch.ones(5, 48)).shape
    torch.Size([5, 168])
    """

    to_rows: torch.Tensor
    to_columns: torch.Tensor

    def __init__(self, low, image, factor, channels, activation, generator):
        super().__init__()
        self.low = low
        self.factor = factor
        sizes = [low[0], *channels, image[0] * factor**2]
        self.stages = nn.ModuleList()
        for c_in, c_out in itertools.pairwise(sizes):
            layer = _Conv2d(c_in, c_out, 3, padding=1)
            layer.positions = low[1] * low[2]
            self.stages.append(_drawn(layer, generator))
        self.activation = ACTIVATIONS[activation]()
        self.fits = image[1:] == (factor * low[1], factor * low[2])
        if not self.fits:  # as matrices, since the gradient of F.interpolate is not reproducible
            for name, n_in, n_out in zip(("rows", "columns"), low[1:], image[1:], strict=True):
                eye = torch.eye(factor * n_in, dtype=torch.float64)[None]
                matrix = F.interpolate(eye, n_out, mode="linear", align_corners=False)[0]
                self.register_buffer(f"to_{name}", matrix, persistent=False)

    @property
    def output(self):
        """The last layer."""
        return self.stages[-1]

    def forward(self, x):
        """Flat high-resolution images of flat low-resolution ones."""
        image = x.unflatten(1, self.low)
        for number, stage in enumerate(self.stages):
            features = stage(self.activation(image) if number else image)
            hidden = 0 < number < len(self.stages) - 1
            image = features + image if hidden and features.shape == image.shape else features
        image = F.pixel_shuffle(image, self.factor)
        if not self.fits:
            image = self.to_rows.T.to(image) @ image @ self.to_columns.to(image)
        return image.flatten(1)


def upscaler(network, low, image, factor, sizes, activation, generator, last_zero):
    """What is added to bicubic interpolation: an MLP for one, convolutions for others."""
    if network == "mlp":
        return mlp(math.prod(low), math.prod(image), sizes, activation, generator, last_zero)
    made = ConvUpscaler(low, image, factor, sizes, activation, generator)
    return with_zero_output(made) if last_zero else made


class RecurrentEncoder(nn.Module):
    """Bidirectional layers of gated recurrent units, all of whose states a code is read from.

    Reading every state, and not the last ones alone, spares the code from having to be
    remembered over the whole sequence.

    Shape: (batch, T * F + q) -> (batch, n_codes).

    Examples
    --------
    >>> import torch
    >>> from skae.networks import RecurrentEncoder, Sizes
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
        self.output = _linear(n_steps * n_states + sizes.n_conditions, sizes.n_codes, generator)

    def forward(self, x):
        """Codes of flat sequences."""
        n_features = math.prod(self.sequence)
        states = x[:, :n_features].unflatten(1, self.sequence)
        for layer in self.layers:
            states, _ = layer(states)
        return self.output(torch.cat([states.flatten(1), x[:, n_features:]], dim=1))


class RecurrentDecoder(nn.Module):
    """Layers of gated recurrent units, which read of the code something else in every step.

    With ``sizes.reads_past`` a step also reads the one before it. Rows are then needed to
    decode a code: all of them at once, ``decoder(z, x)``, or one after the other, as
    :meth:`steps` does.

    Shape: (..., k + q) -> (..., T * F).

    Parameters
    ----------
    sizes : Sizes
    widths : tuple of int
    activation : str
        Of the layer that reads the code.
    generator : torch.Generator
    hierarchical : bool, default=False
        Whether a conductor reads the code (Roberts et al. 2018): a recurrent layer that
        goes through segments of at most 16 steps of a long sequence. The other layers
        begin anew in every segment, with what the conductor says of it.

    Notes
    -----
    In training a quarter of the steps are not told the one before them (Bowman et al.
    2016), or they would not need the code; which, is drawn from the generator that comes
    with the rows.
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
            self.first = _linear(n_in, self.n_segments * width, generator)
            self.conductor = _drawn(_GRU(width, width, batch_first=True), generator)
            n_in = width
        self.reader = _linear(n_in, self.length * width, generator)
        self.activation = ACTIVATIONS[activation]()
        if self.reads_past:
            self.previous = _linear(n_features, width, generator)
        self.layers, n_states = _gru_layers(width, widths, generator)
        self.output = _linear(n_states, n_features, generator)

    def forward(self, z, x=None, generator=None):
        """Flat sequences of codes; of rows x that are known, the next steps."""
        inputs = self._read(z.flatten(0, -2))
        if x is not None:
            inputs = inputs + self._told(x, generator).expand(*z.shape[:-1], -1, -1).flatten(0, -3)
        states = inputs.reshape(-1, self.length, inputs.shape[-1])
        for layer in self.layers:
            states, _ = layer(states)
        out = self.output(states).reshape(len(inputs), -1, self.sequence[1])
        return out[:, : self.sequence[0]].flatten(1).unflatten(0, z.shape[:-1])

    def steps(self, z):
        """A function of the step before (..., F), zeros at first, that answers the next."""
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
        """What the code says of every step, (batch, n_segments * length, width)."""
        if self.conductor is not None:
            z, _ = self.conductor(self.first(z).unflatten(1, (self.n_segments, -1)))
        read = self.reader(z).reshape(len(z), self.n_segments * self.length, -1)
        return self.activation(read)

    def _told(self, x, generator):
        """What every step is told of the one before it, (..., n_segments * length, width)."""
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
    """A recurrent encoder and decoder; `hidden_layer_sizes` are widths of their layers."""
    rest = activation, generator
    encoder = RecurrentEncoder(sizes, hidden_layer_sizes, *rest)
    decoder = RecurrentDecoder(sizes, hidden_layer_sizes[::-1], *rest, hierarchical)
    if last_zero:
        return with_zero_output(encoder), with_zero_output(decoder)
    return encoder, decoder


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
UPSCALER_SIZES: dict[Any, tuple[int, ...]] = {"mlp": (128, 128), "conv": (32, 32, 32)}
_TOLD = 0.75  # share of steps that are told the one before them in training
_SEGMENT = 16  # steps that a conductor leads through at most, a bar of sixteenths


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
        return max(math.prod(image) for image in _halvings(row, hidden_layer_sizes))
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


def is_zero(network):
    """Whether the output of a network built with `last_zero` is still 0."""
    return not any(bool(value.any()) for value in network.output.parameters())


def _halvings(image, channels):
    """Shapes of an image and of what every stage makes of it."""
    images = [image]
    for c in channels:
        _, height, width = images[-1]
        images.append((c, -(-height // 2), -(-width // 2)))
    return images


class _Uninitialised:
    """A layer of float32 that is left uninitialised: nothing global has a say in it.

    `torch.nn.utils.skip_init` draws nothing either, at the cost of importing sympy.
    """

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **{"dtype": torch.float32, **options})

    def reset_parameters(self):
        pass


class _Linear(_Uninitialised, nn.Linear):
    pass


class _Conv2d(_Uninitialised, nn.Conv2d):
    pass


class _ConvTranspose2d(_Uninitialised, nn.ConvTranspose2d):
    pass


class _GRU(_Uninitialised, nn.GRU):
    pass


def _gru_layers(n_in, widths, generator, bidirectional=False):
    """Recurrent layers on top of each other, and how many numbers the last one answers."""
    layers = nn.ModuleList()
    for width in widths:
        layer = _GRU(n_in, width, batch_first=True, bidirectional=bidirectional)
        layers.append(_drawn(layer, generator))
        n_in = width * (1 + bidirectional)
    return layers, n_in


def _linear(fan_in, fan_out, generator):
    return _drawn(_Linear(fan_in, fan_out), generator)


def _drawn(layer, generator):
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
