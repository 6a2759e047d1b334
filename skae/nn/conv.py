"""Convolutional networks for images.

Both networks map images to images by convolutions. Linear maps lead from images to codes and
back. They are those of the initial model and stay fixed; with ``init="random"`` they are learned.
Other layers are convolutions, but for one of conditions. So the number of learned weights does not
depend on the size of an image, and what is learned at one position holds at all of them.
"""

import itertools
import math

import numpy as np
import torch
from torch import nn

from .autoencoder import LinearPath
from .init import Conv2d, ConvTranspose2d, Linear, drawn, linear_layer, with_zero_output
from .mlp import ACTIVATIONS

_LEAST_UNIT = 0.1  # least unit of what the linear model leaves, in standard deviations of x


class Unet(nn.Module):
    """Convolutions with stride 2, and transposed ones back, with skip connections.

    This is a small U-Net (Ronneberger et al. 2015). Every stage halves height and width, rounded
    up. On the way back, a residual convolution (He et al. 2016) precedes each transposed one.
    The kernel of a transposed convolution is twice as wide as its stride, so every pixel
    receives equally many contributions. Images of odd height or width are cropped.

    Shape: (batch, n_in, H, W) and (batch, n_extra) -> (batch, n_out, H, W).

    Parameters
    ----------
    size : tuple of int
        Height and width of an image.
    n_in, n_out : int
        Channels of the input and of the output.
    channels : tuple of int
        Channels after every stage.
    n_extra : int
        Number of further inputs, which are the same for all pixels.
    activation : str
    generator : torch.Generator

    Examples
    --------
    >>> import torch
    >>> from skae.nn.conv import Unet
    >>> net = Unet((7, 5), 6, 3, (8, 16), 2, "silu", torch.Generator().manual_seed(0))
    >>> net(torch.ones(4, 6, 7, 5), torch.ones(4, 2)).shape
    torch.Size([4, 3, 7, 5])
    """

    def __init__(self, size, n_in, n_out, channels, n_extra, activation, generator):
        super().__init__()
        self.images = halvings((n_in, *size), channels)
        self.activation = ACTIVATIONS[activation]()
        self.down, self.same, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for (c_in, *_), (c_out, height, width) in itertools.pairwise(self.images):
            layer = Conv2d(c_in, c_out, 3, stride=2, padding=1)
            self.down.append(_at(height * width, layer, generator))
        deepest = self.images[-1][0]
        self.extra = linear_layer(n_extra, deepest, generator) if n_extra else None
        targets = [(n_out, *size), *self.images[1:]][::-1]
        for (c_in, height, width), (c_out, *_) in itertools.pairwise(targets):
            positions = height * width
            self.same.append(_at(positions, Conv2d(c_in, c_in, 3, padding=1), generator))
            upwards = ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1)
            self.up.append(_at(positions, upwards, generator))
        if not channels:
            self.up.append(_at(math.prod(size), Conv2d(n_in, n_out, 3, padding=1), generator))

    @property
    def output(self):
        """The last layer."""
        return self.up[-1]

    def forward(self, image, extra):
        """Map images to images."""
        features = [image]
        for layer in self.down:
            features.append(self.activation(layer(features[-1])))
        x = features.pop()
        if self.extra is not None:
            x = x + self.extra(extra)[..., None, None]
        if not self.down:
            return self.output(x)
        for same, up in zip(self.same, self.up, strict=True):
            x = x + self.activation(same(x))
            skipped = features.pop()
            x = up(x)[..., : skipped.shape[-2], : skipped.shape[-1]]
            x = self.activation(x + skipped) if features else x
        return x


def _at(positions, layer, generator):
    """Initialise a layer that is applied at so many positions of an image, and return it."""
    layer.positions = positions
    return drawn(layer, generator)


class ConvEncoder(nn.Module):
    """A U-Net on an image and on what the linear model leaves of it.

    Its output, an image, is projected on the directions that the linear encoder reads. With more
    outputs than codes, as in a VAE, there is one image for each block of them.

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

    factor: torch.Tensor
    shift: torch.Tensor
    axes: torch.Tensor

    def __init__(self, sizes, channels, activation, generator):
        super().__init__()
        self.image, n_features = sizes.row, math.prod(sizes.row)
        start = sizes.start
        self.learns_axes = start is None
        n_images = n_inputs = 1
        if start is None:
            projection = Linear(n_features, sizes.n_codes, bias=False)
            self.projection = drawn(projection, generator)
        else:
            n_images, n_inputs = sizes.n_codes // start.latent_dim, 2
            self.linear_encoder = LinearPath(start.encoder, start.encoder_bias)
            self.linear_images = LinearImages(start, sizes.likelihood, sizes.n_samples)
            self.unit = self.linear_images.unit
            axes = start.encoder[:n_features]
            axes = axes / np.maximum(np.linalg.norm(axes, axis=0), np.finfo(np.float32).tiny)
            # In the same units as in the images of the linear model.
            factor = (start.input_scale * np.ones(len(start.encoder)))[:n_features]
            shift = start.input_mean[:n_features] - self.linear_images.centre
            shift = shift / self.linear_images.contrast
            for name, value in (("axes", axes), ("factor", factor), ("shift", shift)):
                value = value if name == "axes" else value / self.linear_images.scale
                self.register_buffer(name, torch.tensor(value), persistent=False)
        c = self.image[0]
        self.unet = Unet(
            self.image[1:],
            n_inputs * c,
            n_images * c,
            channels,
            sizes.n_conditions,
            activation,
            generator,
        )

    @property
    def output(self):
        """The last layer of convolutions."""
        return self.unet.output

    def forward(self, x):
        """Encode flat images."""
        n_features = math.prod(self.image)
        rows, conditions = x[:, :n_features], x[:, n_features:]
        if self.learns_axes:
            image = self.unet(rows.unflatten(1, self.image), conditions)
            return self.projection(image.flatten(1))
        rows = torch.addcmul(self.shift, rows, self.factor)
        codes = torch.cat([self.linear_encoder(x), conditions], dim=1)
        left = (rows - self.linear_images(codes)) / self.unit
        both = [part.unflatten(1, self.image) for part in (rows, left)]
        images = self.unet(torch.cat(both, dim=1), conditions)
        mean, *more = images.unflatten(1, (-1, self.image[0])).flatten(2).unbind(1)
        # A mean moves with the sum over pixels, as it does in the linear encoder.
        more = [rows / math.sqrt(n_features) for rows in more]
        return torch.cat([rows @ self.axes for rows in (mean, *more)], dim=1)


class ConvDecoder(nn.Module):
    """A U-Net on the image that the linear decoder returns.

    Shape: (..., k + q) -> (..., C * H * W).

    Examples
    --------
    >>> import torch
    >>> from skae.nn.conv import ConvDecoder
    >>> from skae.nn.networks import Sizes
    >>> sizes = Sizes((1, 28, 28), n_codes=4, latent_dim=2)
    >>> net = ConvDecoder(sizes, (8, 16), "silu", torch.Generator().manual_seed(0))
    >>> net(torch.ones(5, 2)).shape
    torch.Size([5, 784])
    """

    def __init__(self, sizes, channels, activation, generator):
        super().__init__()
        self.image = sizes.row
        n_in, start = sizes.latent_dim + sizes.n_conditions, sizes.start
        self.n_linear, self.n_codes = n_in, sizes.latent_dim
        self.linear_images: nn.Module
        if start is None:
            self.linear_images = linear_layer(n_in, math.prod(self.image), generator)
        else:
            self.n_linear, self.n_codes = len(start.decoder), start.latent_dim
            self.linear_images = LinearImages(start, sizes.likelihood, sizes.n_samples)
        c, *size = self.image
        n_extra = n_in - self.n_codes
        self.unet = Unet(size, c, c, channels, n_extra, activation, generator)

    @property
    def output(self):
        """The last layer."""
        return self.unet.output

    def forward(self, z):
        """Decode codes to flat images."""
        codes = z.flatten(0, -2)
        image = self.linear_images(codes[:, : self.n_linear]).unflatten(1, self.image)
        image = self.unet(image, codes[:, self.n_codes :])
        return image.flatten(1).unflatten(0, z.shape[:-1])


class LinearImages(nn.Module):
    """The images that the initial model makes of codes, to first order.

    They are centred and scaled to a variance of about 1 around their mean. All pixels have the
    same centre, so the mean image is part of them, unlike in standardised rows. Its standard
    deviation over pixels is at most 1. Natural parameters, as of a
    Bernoulli likelihood, become means by their derivative at the mean image, which is the
    variance of a pixel. So nothing of the codes is lost where probabilities are near 0 or 1.

    Shape: (..., k + q) -> (..., C * H * W).

    Parameters
    ----------
    start : skae.starts.start.Start
    likelihood : skae.likelihoods.Likelihood
    n_samples : int
        Number of rows that the initial model was computed from.
    """

    def __init__(self, start, likelihood, n_samples):
        super().__init__()
        self.scale, self.centre = float(np.mean(start.scale)), float(start.mean.mean())
        bias, slope, self.unit = start.decoder_bias, 1.0, 1.0
        if likelihood.is_normal:
            self.unit = max(float(np.sqrt(np.mean(start.noise_variance))), _LEAST_UNIT)
        else:
            mean = likelihood.smoothed(start.mean, n_samples)
            bias = bias - likelihood.natural(mean)
            slope = np.square(likelihood.spread(mean)) / self.scale
        shift = (start.mean - self.centre) / self.scale
        # A mean image that varies more than rows do would drown them.
        self.contrast = max(1.0, float(np.std(shift)))
        self.path = LinearPath(start.decoder * slope, bias * slope + shift / self.contrast)

    def forward(self, z):
        """Return flat images of codes."""
        return self.path(z)


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
