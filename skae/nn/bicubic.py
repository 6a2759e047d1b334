"""Bicubic interpolation between two resolutions of an image."""

import numpy as np
from torch.nn import functional as F

from ..data.batches import as_tensor
from ..data.limits import check_finite
from ..data.sources import blocks
from ..data.validation import check_all_finite


def low_shape(image, factor):
    """Return the shape (C, h, w) of an image (C, H, W) at low resolution.

    Sizes are rounded up. Sizes of at least two pixels stay at least two, which interpolation
    needs.
    """
    return image[0], *(max(-(-size // factor), min(size, 2)) for size in image[1:])


def downsampled(rows, image, low, names=None):
    """Return flat low-resolution rows of flat rows; both are ndarrays of the same dtype.

    Bicubic interpolation is antialiased: the kernel is scaled to the low-resolution pixels.
    `names` are feature names for error messages.
    """
    images = as_tensor(rows).unflatten(1, image)
    resized = F.interpolate(images, low[1:], mode="bicubic", antialias=True, align_corners=False)
    small = resized.flatten(1).numpy()
    if not np.isfinite(small).all():  # infinities may have become NaN, so check the input
        check_all_finite(rows, "X", names)
        check_finite(small, rows, "X")
    return small


def bicubic_error(rows, image, low):
    """Return the mean squared error per pixel of downsampling and interpolating back."""
    total = 0.0
    for _, block in blocks(rows):
        small = as_tensor(downsampled(block, image, low))
        total += np.square(bicubic(small, low, image).numpy() - block, dtype=np.float64).sum()
    return total / rows.size


def bicubic(x, low, image):
    """Enlarge flat rows by bicubic interpolation, (batch, C * h * w) -> (batch, C * H * W)."""
    images = F.interpolate(x.unflatten(1, low), image[1:], mode="bicubic", align_corners=False)
    return images.flatten(1)
