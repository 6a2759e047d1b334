"""Images between two resolutions: bicubic interpolation."""

import numpy as np
from torch.nn import functional as F

from ..data.batches import as_tensor
from ..data.limits import check_finite
from ..data.sources import blocks
from ..data.validation import check_all_finite


def low_shape(image, factor):
    """The shape (C, h, w) of an image (C, H, W) at low resolution.

    Sizes are rounded up; between fewer than two pixels there is nothing to interpolate.
    """
    return image[0], *(max(-(-size // factor), min(size, 2)) for size in image[1:])


def downsampled(rows, image, low, names=None):
    """Flat low-resolution rows of flat rows; ndarrays of one dtype.

    Bicubic interpolation with its kernel as wide as a low-resolution pixel (antialiased).
    `names` are those of the features, for messages.
    """
    images = as_tensor(rows).unflatten(1, image)
    resized = F.interpolate(images, low[1:], mode="bicubic", antialias=True, align_corners=False)
    small = resized.flatten(1).numpy()
    if not np.isfinite(small).all():  # an infinity may be NaN by now, so look at what it was
        check_all_finite(rows, "X", names)
        check_finite(small, rows, "X")
    return small


def bicubic_error(rows, image, low):
    """Mean squared error per pixel of large images that were small in between."""
    total = 0.0
    for _, block in blocks(rows):
        small = as_tensor(downsampled(block, image, low))
        total += np.square(bicubic(small, low, image).numpy() - block, dtype=np.float64).sum()
    return total / rows.size


def bicubic(x, low, image):
    """Flat rows, (batch, C * h * w) -> (batch, C * H * W), by bicubic interpolation."""
    images = F.interpolate(x.unflatten(1, low), image[1:], mode="bicubic", align_corners=False)
    return images.flatten(1)
