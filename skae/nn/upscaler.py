"""Networks that increase the resolution of images."""

import itertools
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .init import Conv2d, drawn, with_zero_output
from .mlp import ACTIVATIONS, mlp


class ConvUpscaler(nn.Module):
    """Convolutions at the low resolution, followed by a pixel shuffle.

    The last layer has `factor` squared outputs per pixel and channel (sub-pixel convolution,
    Shi et al. 2016). If the image is not exactly `factor` times as large, the result is resized
    linearly. A hidden layer with as many channels as its input has a residual connection (He et
    al. 2016).

    Shape: (batch, C * h * w) -> (batch, C * H * W).

    Examples
    --------
    >>> import torch
    >>> from skae.nn.upscaler import ConvUpscaler
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
            layer = Conv2d(c_in, c_out, 3, padding=1)
            layer.positions = low[1] * low[2]
            self.stages.append(drawn(layer, generator))
        self.activation = ACTIVATIONS[activation]()
        self.fits = image[1:] == (factor * low[1], factor * low[2])
        if not self.fits:  # matrices, since the gradient of F.interpolate is nondeterministic
            for name, n_in, n_out in zip(("rows", "columns"), low[1:], image[1:], strict=True):
                eye = torch.eye(factor * n_in, dtype=torch.float64)[None]
                matrix = F.interpolate(eye, n_out, mode="linear", align_corners=False)[0]
                self.register_buffer(f"to_{name}", matrix, persistent=False)

    @property
    def output(self):
        """The last layer."""
        return self.stages[-1]

    def forward(self, x):
        """Return flat high-resolution images of flat low-resolution ones."""
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
    """Build the upscaler: an MLP if `network` is "mlp", else convolutions."""
    if network == "mlp":
        return mlp(math.prod(low), math.prod(image), sizes, activation, generator, last_zero)
    made = ConvUpscaler(low, image, factor, sizes, activation, generator)
    return with_zero_output(made) if last_zero else made


UPSCALER_SIZES: dict[Any, tuple[int, ...]] = {"mlp": (128, 128), "conv": (32, 32, 32)}
