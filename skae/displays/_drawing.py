"""Axes, colours and images of displays."""

import math

import numpy as np

from ._models import autoencoder_of

# Petroff's ten colours (arXiv:2107.02270) suit all kinds of colour vision. Ten colours and nine
# markers have no common divisor, so 90 pairs of them differ.
COLORS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"]
COLORS += ["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"]
MARKERS = "os^Dv<P>X"
MISSING = "#c8c8c8"
MIN_PIXELS = 64  # smallest square number of features that is treated as an image


def shape_of_row(image_shape, X, estimator=None):
    """Return the shape of a row, from the first source that has one, or None."""
    if image_shape is None and X is not None and len(np.shape(X)) > 2:
        image_shape = np.shape(X)[1:]
    if image_shape is None and estimator is not None:
        image_shape = getattr(autoencoder_of(estimator), "input_shape", None)
    return None if image_shape is None else tuple(image_shape)


def kind_of_picture(kind, kinds, image_shape, n_features, feature_names):
    """Return how to draw rows; the last of `kinds` is for tables."""
    if kind not in ("auto", *kinds):
        raise ValueError(f"kind must be one of {('auto', *kinds)}; got kind={kind!r}.")
    if kind != "auto":
        return kind
    square = math.isqrt(n_features) ** 2 == n_features >= MIN_PIXELS
    return "image" if image_shape or (square and feature_names is None) else kinds[-1]


def as_pictures(rows, shape, kind="image"):
    """Reshape flat rows to (n, height, width), (n, height, width, 3) or (n, pitch, time)."""
    n_features = rows.shape[1]
    side = math.isqrt(n_features)
    if shape is None and (kind == "piano_roll" or side**2 != n_features):
        raise ValueError(
            "Without image_shape a row must be an image with as many rows as columns; got "
            f"kind={kind!r} and n_features={n_features}. Give image_shape=(height, width), "
            "(channels, height, width) or, for a piano roll, (time steps, pitches)."
        )
    shape = shape or (side, side)
    of_image = kind == "image" and len(shape) == 3
    channels_first, channels_last = (of_image and shape[axis] in (1, 3) for axis in (0, 2))
    colored = channels_first or channels_last
    if math.prod(shape) != n_features or not (colored or len(shape) == 2):
        raise ValueError(
            "image_shape must be (height, width), (channels, height, width) or (height, width, "
            "channels) with 1 or 3 channels, or, for a piano roll, (time steps, pitches), with "
            f"n_features entries in all; got image_shape={shape}, n_features={n_features} and "
            f"kind={kind!r}."
        )
    pictures = rows.reshape(-1, *shape)
    if colored:
        pictures = np.moveaxis(pictures, 1, -1) if channels_first else pictures
        return pictures if pictures.shape[-1] == 3 else pictures[..., 0]
    return pictures.swapaxes(1, 2) if kind == "piano_roll" else pictures


def make_panels(axes, shape, size, **options):
    """Return a figure and an array of its axes: the given ones, or new ones."""
    from sklearn.utils._optional_dependencies import check_matplotlib_support

    check_matplotlib_support("plot")
    import matplotlib.pyplot as plt

    if axes is None:
        options |= {"squeeze": False, "layout": "constrained", "figsize": size}
        return plt.subplots(*shape, **options)
    axes = np.asarray(axes, dtype=object)
    if axes.size != math.prod(shape):
        raise ValueError(
            f"There must be axes in the shape {shape}; got {axes.size}. Leave "
            "them out for a new figure."
        )
    axes = axes.reshape(shape)
    return axes[0, 0].figure, axes


def ends_of(values):
    """Return the minimum and the maximum, or the minimum plus 1 if they are equal."""
    low, high = np.nanmin(values), np.nanmax(values)
    return low, high if high > low else low + 1


def middle_of(values):
    """Return the ends of the central 99 % of values, as outlying codes decode to outliers."""
    return ends_of(np.nanquantile(values, [0.005, 0.995]))


def show_picture(ax, picture, cmap, kind="image", *, limits, **options):
    """Draw an image, or a piano roll with the lowest pitch at the bottom."""
    low, high = limits
    if picture.ndim == 3:  # matplotlib does not rescale RGB values
        picture = np.clip((picture - low) / (high - low), 0, 1)
    if kind == "piano_roll":
        options, cmap = {"origin": "lower", **options}, cmap or "Greys"
    return ax.imshow(picture, cmap=cmap or "gray", vmin=low, vmax=high, **options)


def scatter_points(ax, pairs, scatter_kw, **options):
    options = {"s": 16, "alpha": 0.7, "linewidths": 0, **options, **scatter_kw}
    return ax.scatter(*pairs.T, **options)


def name_panel(ax, label, place):
    """Write a label into the plot, with a white outline to be legible on points."""
    from matplotlib.patheffects import withStroke

    rim = [withStroke(linewidth=3, foreground="white")]
    style = {"ha": "center", "va": "center", "weight": "bold", "size": "large"}
    ax.text(*place, label, path_effects=rim, **style)


def step_ticks(axis, values, most):
    """Label the middles of at most `most` steps with the values of the latent dimension."""
    values = np.asarray(values, dtype=np.float64)
    digits = max(0, 1 - math.floor(math.log10(np.abs(values).max() or 1)))
    names = [f"{value:.{digits}f}" for value in values.round(digits) + 0.0]
    some = slice(0, None, math.ceil(len(values) / most))
    axis.set_ticks(np.arange(len(values))[some] + 0.5, names[some])
