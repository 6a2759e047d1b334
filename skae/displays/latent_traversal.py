"""The effect of each latent dimension on decoded rows."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from ._drawing import (
    as_pictures,
    kind_of_picture,
    make_panels,
    middle_of,
    shape_of_row,
    show_picture,
    step_ticks,
)
from ._models import decode_codes, encode_rows, latent_grid
from ._rows import as_rows, check_latents, latent_numbers


@dataclass(eq=False, repr=False)
class LatentTraversalDisplay:
    """Latent traversal: decoded rows as one latent dimension varies, for each of them.

    Parameters
    ----------
    decoded : ndarray of shape (n_latents, n_steps, n_features)
        Rows decoded with one latent dimension varied.
    values : ndarray of shape (n_latents, n_steps)
        Values of this latent dimension.
    center : ndarray of shape (n_features,)
        Row decoded without variation, from which changes are measured.
    latents : sequence of int or None, default=None
        Indices of the latent dimensions. None counts from 0.
    image_shape, kind, feature_names
        As in `from_estimator`.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_latents, 1)
        One for each latent dimension.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import VAETransformer
    >>> from skae.displays import LatentTraversalDisplay
    >>> X = load_iris(as_frame=True).data
    >>> vae = VAETransformer(2, max_epochs=5, random_state=0).fit(X)
    >>> display = LatentTraversalDisplay.from_estimator(vae, row=X.iloc[0])
    >>> display.decoded.shape
    (2, 11, 4)
    """

    decoded: np.ndarray
    values: np.ndarray
    center: np.ndarray
    _: KW_ONLY
    latents: Sequence[int] | None = None
    image_shape: tuple | None = None
    kind: str = "auto"
    feature_names: Any = None

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        *,
        row=None,
        latents=None,
        n_steps=11,
        quantiles=(0.05, 0.95),
        image_shape=None,
        kind="auto",
        feature_names=None,
        axes=None,
        **plot_kw,
    ):
        """Vary the latent dimensions one by one, decode and draw.

        Parameters
        ----------
        estimator : fitted transformer
            Transformer with an `inverse_transform`.
        X : array-like of shape (n_samples, n_features) or (n_samples, ...), default=None
            Rows whose codes determine the quantiles. If None, those of the prior.
        row : array-like of shape (n_features,) or None, default=None
            Row whose code is the fixed value of the other latent dimensions. If None, it is
            the mean code of X or of the prior.
        latents : sequence of int or None, default=None
            Latent dimensions to vary. None varies all.
        n_steps : int, default=11
            Number of values of each latent dimension.
        quantiles : pair of float in (0, 1), default=(0.05, 0.95)
            The first and the last quantile.
        image_shape : tuple of int or None, default=None
            As in :class:`ReconstructionDisplay`. If None, the shape of X, or the estimator's
            `input_shape`.
        kind : {"auto", "image", "piano_roll", "heat_map"}, default="auto"
            How to draw a row, as in :class:`ReconstructionDisplay`. "heat_map" is for the
            features of other tables.
        feature_names : sequence of str or None, default=None
            Names of the features. None takes those seen in `fit`.
        axes, **plot_kw
            As in `plot`.

        Returns
        -------
        display : LatentTraversalDisplay

        Raises
        ------
        ValueError
            If `latents` do not exist, rows do not fit `image_shape`, or X is None and the codes
            have no normal prior.
        """
        values, center = latent_grid(estimator, X, n_steps, quantiles)
        if row is not None:
            center = encode_rows(estimator, as_rows(row))[0]
        latents = check_latents(latent_numbers(latents, len(values)), len(values))
        codes = np.tile(center, (len(latents), n_steps, 1))
        for steps, latent in zip(codes, latents, strict=True):
            steps[:, latent] = values[latent]
        decoded = decode_codes(estimator, codes.reshape(-1, len(center)))
        if feature_names is None:
            feature_names = getattr(estimator, "feature_names_in_", None)
        display = cls(
            decoded.reshape(len(latents), n_steps, -1),
            values[latents],
            decode_codes(estimator, center[None])[0],
            latents=latents,
            image_shape=shape_of_row(image_shape, X, estimator),
            kind=kind,
            feature_names=feature_names,
        )
        return display.plot(axes, **plot_kw)

    def plot(self, axes=None, *, cmap=None, max_features=8):
        """Draw one panel of decoded rows for each latent dimension.

        Parameters
        ----------
        axes : array of matplotlib Axes or None, default=None
            Axes to draw on, one for each latent dimension. None creates a figure.
        cmap : str or Colormap or None, default=None
            Colormap. None is "gray" for images, "Greys" for piano rolls and "RdBu_r" for the
            changes of a table.
        max_features : int, default=8
            Maximum number of features of a table to draw for each latent dimension: those that
            change most.

        Returns
        -------
        display : LatentTraversalDisplay
        """
        n_latents, n_steps, n_features = self.decoded.shape
        kinds = ("image", "piano_roll", "heat_map")
        kind = kind_of_picture(self.kind, kinds, self.image_shape, n_features, self.feature_names)
        if kind == "heat_map":
            size = (6.4, 0.6 + n_latents * (0.5 + 0.2 * min(max_features, n_features)))
            self.figure_, self.axes_ = make_panels(axes, (n_latents, 1), size)
            self._heat_maps(cmap or "RdBu_r", max_features)
        else:
            pictures = [as_pictures(steps, self.image_shape, kind) for steps in self.decoded]
            height, width = pictures[0].shape[1:3]
            cell = min(1.0 if kind == "image" else 1.6, 12 / n_steps)
            size = (0.8 + cell * n_steps, 0.5 + n_latents * (0.3 + cell * height / width))
            self.figure_, self.axes_ = make_panels(axes, (n_latents, 1), size)
            self._strips(pictures, kind, cmap)
        latents = latent_numbers(self.latents, n_latents)
        for ax, latent, values in zip(self.axes_.flat, latents, self.values, strict=True):
            step_ticks(ax.xaxis, values, 7 if kind == "heat_map" else 12)
            ax.set_ylabel(f"latent {latent}")
        self.axes_[-1, 0].set_xlabel("value of the latent")
        self.figure_.align_ylabels(list(self.axes_.flat))
        return self

    def _strips(self, pictures, kind, cmap):
        limits = middle_of(self.decoded)
        for ax, steps in zip(self.axes_.flat, pictures, strict=True):
            n_steps, height, width = steps.shape[:3]
            extent, strip = (0, n_steps, 0, 1), np.concatenate(list(steps), axis=1)
            show_picture(ax, strip, cmap, kind, limits=limits, extent=extent, aspect=height / width)
            for step in range(1, n_steps):
                ax.axvline(step, color="gray", linewidth=1)
            ax.set_yticks([])

    def _heat_maps(self, cmap, max_features):
        names = self.feature_names
        if names is None:
            names = [f"feature {i}" for i in range(self.decoded.shape[2])]
        names = np.asarray(names)
        change = self.decoded - self.center
        limit = np.abs(change).max() or 1.0
        for ax, steps in zip(self.axes_.flat, change, strict=True):
            most = np.argsort(-np.abs(steps).max(axis=0), kind="stable")[:max_features]
            options = {"extent": (0, len(steps), len(most), 0), "aspect": "auto"}
            heat = show_picture(ax, steps[:, most].T, cmap, limits=(-limit, limit), **options)
            ax.set_yticks(np.arange(len(most)) + 0.5, names[most])
        self.figure_.colorbar(heat, ax=list(self.axes_.flat), label="change of the feature")
