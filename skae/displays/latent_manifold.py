"""Images decoded from a grid of codes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._drawing import as_pictures, make_panels, middle_of, shape_of_row, show_picture, step_ticks
from ._models import decode_codes, latent_grid
from ._rows import check_latents


@dataclass(eq=False, repr=False)
class LatentManifoldDisplay:
    """Grid of images decoded over two latent dimensions.

    Parameters
    ----------
    images : ndarray of shape (n_steps, n_steps, height, width) or (..., 3)
        ``images[i, j]`` has value i of the first latent dimension and value j of the second.
    values : ndarray of shape (2, n_steps)
        Values of both latent dimensions.
    latents : pair of int, default=(0, 1)
        Indices of the two latent dimensions.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the grid.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import VAETransformer
    >>> from skae.displays import LatentManifoldDisplay
    >>> X = load_digits().data / 16
    >>> vae = VAETransformer(2, likelihood="bernoulli", max_epochs=5, random_state=0).fit(X)
    >>> display = LatentManifoldDisplay.from_estimator(vae, n_steps=10)
    >>> display.images.shape
    (10, 10, 8, 8)
    """

    images: np.ndarray
    values: np.ndarray
    latents: Sequence[int] = (0, 1)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        *,
        latents=(0, 1),
        n_steps=20,
        quantiles=(0.05, 0.95),
        image_shape=None,
        ax=None,
        **plot_kw,
    ):
        """Decode a grid of codes and draw the images.

        Parameters
        ----------
        estimator : fitted transformer
            Transformer with an `inverse_transform`.
        X : array-like of shape (n_samples, n_features) or (n_samples, ...), default=None
            Rows whose codes determine the quantiles, and the mean at which the other latent
            dimensions are held. If None, quantiles and mean are those of the prior, a standard
            normal distribution.
        latents : pair of int, default=(0, 1)
            Latent dimensions that vary from left to right and from bottom to top.
        n_steps : int, default=20
            Number of images per row and per column.
        quantiles : pair of float in (0, 1), default=(0.05, 0.95)
            The first and the last quantile.
        image_shape : tuple of int or None, default=None
            (height, width), (channels, height, width) or (height, width, channels) with 1 or 3
            channels. If None, the shape of X, the estimator's `input_shape`, or a square.
        ax, **plot_kw
            As in `plot`.

        Returns
        -------
        display : LatentManifoldDisplay

        Raises
        ------
        ValueError
            If `latents` do not exist, decoded rows do not fit `image_shape`, or X is None and
            the codes have no normal prior.
        """
        values, center = latent_grid(estimator, X, n_steps, quantiles)
        if len(latents) != 2:
            raise ValueError(f"latents must be two numbers; got latents={latents}.")
        first, second = check_latents(latents, len(values))
        codes = np.tile(center, (n_steps, n_steps, 1))
        codes[:, :, first] = values[first][:, None]
        codes[:, :, second] = values[second]
        decoded = decode_codes(estimator, codes.reshape(-1, len(center)))
        images = as_pictures(decoded, shape_of_row(image_shape, X, estimator))
        images = images.reshape(n_steps, n_steps, *images.shape[1:])
        return cls(images, values[[first, second]], (first, second)).plot(ax, **plot_kw)

    def plot(self, ax=None, *, cmap=None):
        """Draw the images side by side.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None creates a figure.
        cmap : str or Colormap or None, default=None
            Colormap of images with one channel. None is "gray".

        Returns
        -------
        display : LatentManifoldDisplay
        """
        n_steps, height, width = self.images.shape[1:4]
        shape = height / width
        self.figure_, axes = make_panels(ax, (1, 1), (6.5, 0.3 + 6.2 * min(shape, 2)))
        self.ax_ = axes[0, 0]
        # The rows of an image run downwards, but the second latent dimension runs upwards.
        columns = [np.concatenate(list(column[::-1])) for column in self.images]
        extent = (0, n_steps, 0, n_steps)
        options = {"extent": extent, "aspect": shape, "limits": middle_of(self.images)}
        show_picture(self.ax_, np.concatenate(columns, axis=1), cmap, **options)
        for step in range(1, n_steps):
            self.ax_.axvline(step, color="gray", linewidth=1)
            self.ax_.axhline(step, color="gray", linewidth=1)
        for axis, values in zip((self.ax_.xaxis, self.ax_.yaxis), self.values, strict=True):
            step_ticks(axis, values, 7)
        self.ax_.set(xlabel=f"latent {self.latents[0]}", ylabel=f"latent {self.latents[1]}")
        return self
