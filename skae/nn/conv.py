"""Convolutional networks for images."""

import itertools
import math

import torch
from torch import nn

from .init import Conv2d, ConvTranspose2d, drawn, linear_layer, with_zero_output
from .mlp import ACTIVATIONS


class ConvEncoder(nn.Module):
    """Convolutions with stride 2, then a linear layer.

    Every convolution halves height and width, rounded up.

    Shape: (batch, C * H * W + q) -> (batch, n_codes).

    Examples
    --------
    >>> import torch
    >>> from skae.nn.conv import ConvEncoder
    >>> from skae.nn.networks import Sizes
    >>> sizes = Sizes((1, 28, 28), n_codes=4, latent_dim=2)
    >>> net = ConvEncoder(sizes, (8, 16), "silu", torch.Generator().manual_seed(0))
    >>> net(torch.ones(5, 784)).shape
    torch.Size([5, 4])
    """

    def __init__(self, sizes, channels, activation, generator):
        super().__init__()
        self.image = sizes.row
        layers, images = [], halvings(sizes.row, channels)
        for (c_in, *_), (c_out, height, width) in itertools.pairwise(images):
            layer = Conv2d(c_in, c_out, 3, stride=2, padding=1)
            layer.positions = height * width
            layers += [drawn(layer, generator), ACTIVATIONS[activation]()]
        self.stages = nn.Sequential(*layers)
        n_in = math.prod(images[-1]) + sizes.n_conditions
        self.output = linear_layer(n_in, sizes.n_codes, generator)

    def forward(self, x):
        """Encode flat images."""
        n_features = math.prod(self.image)
        image = x[:, :n_features].unflatten(1, self.image)
        features = self.stages(image).flatten(1)
        if x.shape[1] > n_features:
            features = torch.cat([features, x[:, n_features:]], dim=1)
        return self.output(features)


class ConvDecoder(nn.Module):
    """Linear layer, then transposed convolutions: :class:`ConvEncoder` in reverse.

    The kernel is twice as wide as the stride, so every pixel receives equally many
    contributions. Images of odd height or width are cropped.

    Shape: (..., k + q) -> (..., C * H * W).
    """

    def __init__(self, sizes, channels, activation, generator):
        super().__init__()
        self.images = halvings(sizes.row, channels)[::-1]
        n_in = sizes.latent_dim + sizes.n_conditions
        self.first = linear_layer(n_in, math.prod(self.images[0]), generator)
        self.stages = nn.ModuleList()
        for (c_in, height, width), (c_out, *_) in itertools.pairwise(self.images):
            layer = ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1)
            layer.positions = height * width
            self.stages.append(drawn(layer, generator))
        self.activation = ACTIVATIONS[activation]()

    @property
    def output(self):
        """The last layer."""
        return self.stages[-1] if len(self.stages) else self.first

    def forward(self, z):
        """Decode codes to flat images."""
        image = self.first(z.flatten(0, -2)).unflatten(1, self.images[0])
        for stage, (_, height, width) in zip(self.stages, self.images[1:], strict=True):
            image = stage(self.activation(image))[..., :height, :width]
        return image.flatten(1).unflatten(0, z.shape[:-1])


def conv_networks(sizes, hidden_layer_sizes, activation, generator, last_zero):
    """Build a convolutional encoder and decoder; `hidden_layer_sizes` are channels."""
    encoder = ConvEncoder(sizes, hidden_layer_sizes, activation, generator)
    decoder = ConvDecoder(sizes, hidden_layer_sizes, activation, generator)
    if last_zero:
        return with_zero_output(encoder), with_zero_output(decoder)
    return encoder, decoder


def halvings(image, channels):
    """Return the shape of an image, and of the output of every stage of the encoder."""
    images = [image]
    for c in channels:
        _, height, width = images[-1]
        images.append((c, -(-height // 2), -(-width // 2)))
    return images
