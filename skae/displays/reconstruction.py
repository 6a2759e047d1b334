"""Rows beside their reconstructions."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import _get_feature_names

from ._drawing import as_pictures, ends_of, kind_of_picture, make_panels, shape_of_row, show_picture
from ._models import reconstruct_rows
from ._rows import flat_rows, pick_rows
from .latent_space import _BANDS, _MAX_BARS


@dataclass(eq=False, repr=False)
class ReconstructionDisplay:
    """Rows and their reconstructions.

    Parameters
    ----------
    X, X_reconstructed : ndarrays of shape (n_rows, n_features)
        Rows and their reconstructions.
    X_corrupted : ndarray of shape (n_rows, n_features) or None, default=None
        Input of the estimator, if it is not X.
    image_shape : tuple of int or None, default=None
        (height, width), (channels, height, width) or (height, width, channels) of an image,
        with 1 or 3 channels, or (time steps, pitches) of a piano roll. None is a square image,
        or the number of `pitch_names` for a piano roll.
    kind : {"auto", "image", "piano_roll", "bar"}, default="auto"
        How to draw a row. "auto" is a piano roll if there are `pitch_names`, and an image if
        there is an `image_shape`, or if at least 8 x 8 features without names form a square.
        Otherwise it is bars, or a line for more than 40 features.
    feature_names : sequence of str or None, default=None
        Names of the features.
    pitch_names : sequence of str or None, default=None
        Names of the pitches of a piano roll, from low to high.

    Attributes
    ----------
    axes_ : ndarray of Axes
        Images have shape (2, n_rows), with inputs above outputs. Piano rolls have shape
        (n_rows, 2), side by side. With corrupted rows, the 2 is a 3. Bars have shape (n_rows, 1).
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.displays import ReconstructionDisplay
    >>> X = load_digits().data
    >>> autoencoder = AutoencoderTransformer(8, max_epochs=5, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(autoencoder, X)
    >>> display.axes_.shape, display.X_reconstructed.shape
    ((2, 8), (8, 64))
    """

    X: np.ndarray
    X_reconstructed: np.ndarray
    X_corrupted: np.ndarray | None = None
    _: KW_ONLY
    image_shape: tuple | None = None
    kind: str = "auto"
    feature_names: Any = None
    pitch_names: Any = None

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        X_corrupted=None,
        n_rows=8,
        image_shape=None,
        kind="auto",
        feature_names=None,
        pitch_names=None,
        axes=None,
        **plot_kw,
    ):
        """Reconstruct rows and draw them.

        Parameters
        ----------
        estimator : fitted transformer
            Transformer with a `reconstruct` or an `inverse_transform`.
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Rows to draw.
        X_corrupted : array-like of the shape of X or None, default=None
            Rows to reconstruct instead of X.
        n_rows : int, default=8
            Number of rows to reconstruct and draw, from the first one.
        image_shape : tuple of int or None, default=None
            As in the class. If None, the shape of X, or the estimator's `input_shape`.
        feature_names : sequence of str or None, default=None
            Names of the features. None takes those of X.
        kind, pitch_names
            As in the class.
        axes, **plot_kw
            As in `plot`.

        Returns
        -------
        display : ReconstructionDisplay

        Raises
        ------
        ValueError
            If rows do not fit `image_shape`, or `X_corrupted` does not have the shape of X.
        """
        if X_corrupted is not None and np.shape(X_corrupted) != np.shape(X):
            raise ValueError(
                "X_corrupted must have the shape of X; got X_corrupted.shape="
                f"{np.shape(X_corrupted)} and X.shape={np.shape(X)}."
            )
        first = np.arange(min(n_rows, np.shape(X)[0]))
        rows, corrupted = (pick_rows(table, first) for table in (X, X_corrupted))
        display = cls(
            np.asarray(flat_rows(rows)),
            reconstruct_rows(estimator, rows if corrupted is None else corrupted),
            None if corrupted is None else np.asarray(flat_rows(corrupted)),
            image_shape=shape_of_row(image_shape, X, estimator),
            kind=kind,
            feature_names=_get_feature_names(X) if feature_names is None else feature_names,
            pitch_names=pitch_names,
        )
        return display.plot(axes, **plot_kw)

    def plot(self, axes=None, *, cmap=None):
        """Draw the rows.

        Parameters
        ----------
        axes : array of matplotlib Axes or None, default=None
            Axes to draw on, as many as `axes_` has. None creates a figure.
        cmap : str or Colormap or None, default=None
            Colormap. None is "gray" for images and "Greys" for piano rolls. It spans the range
            from the minimum to the maximum of X.

        Returns
        -------
        display : ReconstructionDisplay
        """
        bands = {"input": self.X, "corrupted": self.X_corrupted, "output": self.X_reconstructed}
        bands = {name: rows for name, rows in bands.items() if rows is not None}
        kind, shape, n_features = self.kind, self.image_shape, self.X.shape[1]
        if self.pitch_names is not None:
            kind = "piano_roll" if kind == "auto" else kind
            shape = shape or (n_features // len(self.pitch_names), len(self.pitch_names))
        kinds = ("image", "piano_roll", "bar")
        kind = kind_of_picture(kind, kinds, shape, n_features, self.feature_names)
        if kind == "bar":
            self._bars(axes, bands)
            return self
        pictures = {name: as_pictures(rows, shape, kind) for name, rows in bands.items()}
        draw = self._images if kind == "image" else self._piano_rolls
        draw(axes, pictures, {"cmap": cmap, "kind": kind, "limits": ends_of(self.X)})
        return self

    def _images(self, axes, bands, options):
        height, width = bands["input"].shape[1:3]
        size = (0.6 + 1.1 * len(self.X), len(bands) * 1.1 * height / width)
        self.figure_, self.axes_ = make_panels(axes, (len(bands), len(self.X)), size)
        for line, (name, images) in zip(self.axes_, bands.items(), strict=True):
            for ax, image in zip(line, images, strict=True):
                show_picture(ax, image, **options)
                ax.set(xticks=[], yticks=[])
            line[0].set_ylabel(name)

    def _piano_rolls(self, axes, bands, options):
        shape = (len(self.X), len(bands))
        size = (0.8 + 3.4 * len(bands), 0.6 + 1.3 * len(self.X))
        self.figure_, self.axes_ = make_panels(axes, shape, size, sharex=True, sharey=True)
        for column, (name, rolls) in zip(self.axes_.T, bands.items(), strict=True):
            for ax, roll in zip(column, rolls, strict=True):
                shown = show_picture(ax, roll, aspect="auto", **options)
            column[0].set_title(name)
            column[-1].set_xlabel("time step")
        for i, ax in enumerate(self.axes_[:, 0]):
            ax.set_ylabel(f"row {i}\npitch")
            if self.pitch_names is not None:
                some = range(0, len(self.pitch_names), math.ceil(len(self.pitch_names) / 8))
                ax.set_yticks(some, [self.pitch_names[i] for i in some])
        self.figure_.colorbar(shown, ax=list(self.axes_.flat), label="value")

    def _bars(self, axes, bands):
        n_rows, n_features = self.X.shape
        names = self.feature_names if n_features <= _MAX_BARS else None
        upright = names is not None and sum(map(len, names)) > 70
        size = (6.4, (2.2 if upright else 1.2) + 1.1 * n_rows)
        self.figure_, self.axes_ = make_panels(axes, (n_rows, 1), size, sharex=True, sharey=True)
        features, width = np.arange(n_features), 0.8 / len(bands)
        for i, ax in enumerate(self.axes_.flat):
            for j, (name, rows) in enumerate(bands.items()):
                style = {"color": _BANDS[name], "label": name}
                if n_features > _MAX_BARS:
                    ax.plot(features, rows[i], linewidth=1, **style)
                else:
                    shift = (j - (len(bands) - 1) / 2) * width
                    ax.bar(features + shift, rows[i], width, **style)
            ax.axhline(0, color="gray", linewidth=0.5)
            ax.set_ylabel(f"row {i}\nvalue")
        last = self.axes_[-1, 0]
        last.set_xlabel("feature")
        if names is not None:
            last.set_xticks(features, names, rotation=90 if upright else 0)
        self.axes_[0, 0].legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
