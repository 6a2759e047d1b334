"""
3. Super-resolution
===================

How would a small image look if it were larger? Bicubic interpolation, which every image
viewer has, draws smooth curves through the pixels and knows nothing about images.
``SuperResolutionAutoencoder`` begins as bicubic interpolation and learns what edges of
*such* images look like. It is fitted on large images alone, and makes the small ones
itself.
"""

import matplotlib.pyplot as plt
import numpy as np
from _lesson import epochs, images, options, save, show
from sklearn.datasets import load_sample_images

from skae import SuperResolutionAutoencoder

arguments = options("3_super_resolution")
X, y, X_test, y_test = images(arguments)


def psnr(X, X_hat):
    """Peak signal-to-noise ratio in decibels: 10 more is a tenth of the error."""
    return -10 * np.log10(np.square(X - np.clip(X_hat, 0, 1)).mean())


# %%
# Digits
# ------

model = SuperResolutionAutoencoder(network="conv", random_state=0, **epochs(arguments, 60))
X_low = model.fit(X).downsample(X_test)
bicubic = SuperResolutionAutoencoder(network="conv", max_epochs=0).fit(X).upscale(X_low)
ours = model.upscale(X_low)
print(f"digits       bicubic {psnr(X_test, bicubic):5.2f} dB, ours {psnr(X_test, ours):5.2f} dB")

# %%
# Photographs in colour
# ---------------------
# The model learns from patches of the upper part of a photograph and is tried on the
# lower part. A network of convolutions needs no more than patches to learn what edges do.

size, china = 24, load_sample_images().images[0].astype(np.float32) / 255
china = china[: 17 * size, : 26 * size].transpose(2, 0, 1)


def patches(image):
    """Patches side by side, (n, channels, size, size)."""
    channels, height, width = image.shape
    cut = image.reshape(channels, height // size, size, width // size, size)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, channels, size, size)


def joined(rows):
    """Patches of a line as one image, (height, width, channels)."""
    return np.concatenate(list(rows.transpose(0, 2, 3, 1)), axis=1)


upper, lower = patches(china[:, : 9 * size]), patches(china[:, 9 * size :])
painter = SuperResolutionAutoencoder(network="conv", random_state=0, **epochs(arguments, 60))
lower_low = painter.fit(upper).downsample(lower)
start = SuperResolutionAutoencoder(network="conv", max_epochs=0).fit(upper)
lower_bicubic, lower_ours = start.upscale(lower_low), painter.upscale(lower_low)
print(f"photograph   bicubic {psnr(lower, lower_bicubic):5.2f} dB, ", end="")
print(f"ours {psnr(lower, lower_ours):5.2f} dB")

# %%

figure = plt.figure(figsize=(11, 9), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.25])
lines = {"small": X_low, "bicubic": bicubic, "autoencoder": ours, "original": X_test}
for axes, (name, rows) in zip(top.subplots(4, 12), lines.items(), strict=True):
    show(axes, np.clip(rows[:12], 0, 1), name)
line = slice(26 * 2 + 4, 26 * 2 + 13)
shown = {"small": lower_low, "bicubic": lower_bicubic, "autoencoder": lower_ours}
shown["original"] = lower
for axis, (name, rows) in zip(bottom.subplots(4, 1), shown.items(), strict=True):
    axis.imshow(np.clip(joined(rows[line]), 0, 1), interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.set_ylabel(name, rotation=0, ha="right", va="center")
save(figure, arguments)
