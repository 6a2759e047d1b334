"""Pictures of codes, of what they decode to and of training, as scikit-learn's displays.

A display keeps the data that it draws; `from_estimator` computes them and draws, and
`plot` draws again. Estimators may be any fitted transformer with an `inverse_transform`,
such as `PCA`, a Pipeline or a search; only :class:`TrainingCurveDisplay` needs an
autoencoder. ``pip install "skae[plot]"`` brings the matplotlib that they draw with.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _get_feature_names, check_is_fitted

from ._sources import Stream, is_stream
from ._validation import as_table

# Petroff's ten colours (arXiv:2107.02270), for all kinds of colour vision. Their number
# and that of the markers share no divisor, so that 90 pairs differ.
_COLORS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"]
_COLORS += ["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"]
_MARKERS = "os^Dv<P>X"
_MISSING = "#c8c8c8"
_BANDS = {"input": "black", "corrupted": _COLORS[1], "output": _COLORS[0]}
_MAX_CLASSES = 20  # numbers with more values than this are values, not labels
_NAMED_CLASSES = 5  # more are also named in the plot, for eyes that go to and fro
_MAX_LATENTS = 5  # in panels for pairs, where nobody says which
_MAX_BARS = 40  # features; more are a line
_MIN_PIXELS = 64  # a square number of features from which on they are taken for an image


@dataclass(eq=False, repr=False)
class LatentSpaceDisplay:
    """Codes as points, by label or value.

    Two latents are one scatter plot, more are one for each pair. A single latent is a
    histogram, or where `y` holds values a plot of these over the code.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_latents)
    y : ndarray of shape (n_samples,) or None, default=None
        Labels, each with a colour and a marker; or values, shown by a colour bar, which
        are numbers that are not whole, or of which more than 20 differ.
    latents : sequence of int or None, default=None
        What the columns of `codes` are numbered. None counts from 0.
    target_name : str, default="y"
        What y is called.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of `axes_`.
    axes_ : ndarray of Axes of shape (n_latents - 1, n_latents - 1), at least (1, 1)
        ``axes_[i, j]`` shows column ``i + 1`` of the codes over column ``j <= i``.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoencoderTransformer
    >>> from skae.displays import LatentSpaceDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(2, max_epochs=5, random_state=0).fit(X)
    >>> display = LatentSpaceDisplay.from_estimator(autoencoder, X, y, target_name="species")
    >>> display.ax_.get_xlabel(), display.codes.shape
    ('latent 0', (150, 2))
    """

    codes: np.ndarray
    y: Any = None
    _: KW_ONLY
    latents: Sequence[int] | None = None
    target_name: str = "y"

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, max_points=5000, random_state=0, ax=None, **options
    ):
        """Encode rows and draw their codes.

        Parameters
        ----------
        estimator : fitted transformer
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        y : array-like of shape (n_samples,) or None, default=None
        max_points : int, default=5000
            Of more rows, so many are encoded and drawn, chosen at random.
        random_state : int, numpy.random.Generator or None, default=0
            Of that choice.
        ax, **options
            As in `from_codes`.

        Returns
        -------
        display : LatentSpaceDisplay

        Raises
        ------
        ValueError
            If y has not one entry per row, or there is no such latent.
        """
        rows = _sample(X, y, max_points, random_state)
        codes = _encode(estimator, _pick(X, rows))
        return cls.from_codes(codes, _pick(y, rows), max_points=len(codes), ax=ax, **options)

    @classmethod
    def from_codes(
        cls,
        codes,
        y=None,
        *,
        latents=None,
        target_name=None,
        max_points=5000,
        random_state=0,
        ax=None,
        **scatter_kw,
    ):
        """Draw codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_latents)
        latents : sequence of int or None, default=None
            Which to draw. None draws all, and of more than 5 the first 5.
        target_name : str or None, default=None
            What y is called. None asks a Series for its name.
        y, max_points, random_state
            As in `from_estimator`.
        ax, **scatter_kw
            As in `plot`.

        Returns
        -------
        display : LatentSpaceDisplay

        Raises
        ------
        ValueError
            If y has not one entry per row, or there is no such latent.
        """
        rows = _sample(codes, y, max_points, random_state)
        codes = np.asarray(_pick(codes, rows))
        if latents is None:
            latents = range(min(codes.shape[1], _MAX_LATENTS))
        latents = _check_latents(latents, codes.shape[1])
        target_name = target_name or getattr(y, "name", None) or "y"
        y = None if y is None else np.asarray(_pick(y, rows)).ravel()
        display = cls(codes[:, latents], y, latents=latents, target_name=target_name)
        return display.plot(ax, **scatter_kw)

    def plot(self, ax=None, **scatter_kw):
        """Draw the codes.

        Parameters
        ----------
        ax : matplotlib Axes, array of Axes or None, default=None
            Where to draw, as many as `axes_` has. None opens a figure.
        **scatter_kw
            For `matplotlib.axes.Axes.scatter`: `s`, `alpha`, `cmap` and so on.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        n_latents = self.codes.shape[1]
        n = max(1, n_latents - 1)
        width, height = (6.0, 4.8) if n == 1 else (1.2 + 2.2 * n, 0.4 + 2.2 * n)
        size = (width + 1.3 * (self._n_columns() - 1), height)
        self.figure_, self.axes_ = _panels(ax, (n, n), size, sharex="col", sharey="row")
        self.ax_ = self.axes_[0, 0]
        if n_latents == 1:
            self._plot_one(scatter_kw)
        else:
            self._plot_pairs(scatter_kw)
        names = [f"latent {i}" for i in _numbers(self.latents, n_latents)]
        for ax, name in zip(self.axes_[-1], names, strict=False):
            ax.set_xlabel(name)
        for ax, name in zip(self.axes_[:, 0], names[1:], strict=False):
            ax.set_ylabel(name)
        self._add_legend()
        return self

    def _plot_one(self, scatter_kw):
        if self._has_values():
            pairs = np.column_stack([self.codes, self.y])
            _scatter(self.ax_, pairs, scatter_kw, color=_COLORS[0])
            self.ax_.set_ylabel(self.target_name)
            return
        labels, masks, colors, _ = zip(*self._groups(), strict=True)
        bins = np.histogram_bin_edges(self.codes, bins=min(50, 10 + len(self.codes) // 20))
        codes = [self.codes[mask, 0] for mask in masks]
        self.ax_.hist(codes, bins=bins, stacked=True, color=colors, label=labels)
        self.ax_.set_ylabel("number of rows")

    def _plot_pairs(self, scatter_kw):
        values = self._has_values()
        for (i, j), ax in np.ndenumerate(self.axes_):
            pairs = self.codes[:, [j, i + 1]]
            if j > i:
                ax.set_axis_off()
            elif values:
                points = _scatter(ax, pairs, scatter_kw, c=self.y)
            else:
                self._scatter_groups(ax, pairs, scatter_kw)
        if values:
            bar = self.figure_.colorbar(points, ax=list(self.axes_.flat), label=self.target_name)
            bar.solids.set_alpha(1)

    def _scatter_groups(self, ax, pairs, scatter_kw):
        groups = self._groups()
        for label, mask, color, marker in groups:
            _scatter(ax, pairs[mask], scatter_kw, color=color, marker=marker, label=label)
        if len(self.axes_) == 1 and _NAMED_CLASSES < len(groups) <= _MAX_CLASSES:
            for label, mask, _, _ in groups:
                _name(ax, label, np.median(pairs[mask], axis=0))

    def _has_values(self):
        """Whether y is a quantity, not labels."""
        if self.y is None or self.y.dtype.kind not in "fiu":
            return False
        known = self.y[np.isfinite(self.y)]
        return len(np.unique(known)) > _MAX_CLASSES or bool((known % 1 != 0).any())

    def _groups(self):
        """For each label its name, which rows have it, its colour and its marker."""
        if self.y is None:
            return [(None, np.ones(len(self.codes), dtype=bool), _COLORS[0], "o")]
        y = self.y.astype(str) if self.y.dtype.kind == "O" else self.y
        missing = np.isnan(y) if y.dtype.kind == "f" else np.zeros(len(y), dtype=bool)
        groups = [
            (str(label), y == label, _COLORS[i % len(_COLORS)], _MARKERS[i % len(_MARKERS)])
            for i, label in enumerate(np.unique(y[~missing]))
        ]
        return [("missing", missing, _MISSING, "o"), *groups] if missing.any() else groups

    def _add_legend(self):
        """Beside a single plot, or where the pairs leave room."""
        handles, labels = self.ax_.get_legend_handles_labels()
        if not labels:
            return
        n = len(self.axes_)
        inside = len(labels) <= 12 * (n - 1)
        if inside:
            place = {"loc": "upper right", "ncols": math.ceil(len(labels) / 6)}
        else:
            place = {"loc": "upper left", "bbox_to_anchor": (1, 1), "ncols": self._n_columns()}
        style = {"title": self.target_name, "frameon": False, "markerscale": 1.5, **place}
        legend = self.axes_[0, -1].legend(handles, labels, **style)
        # It may reach into the empty panel on its left, and needs no room of its own.
        legend.set_in_layout(not inside or n == 2)

    def _n_columns(self):
        """Of a legend beside the plot."""
        return 1 if self.y is None or self._has_values() else math.ceil(len(self._groups()) / 20)


@dataclass(eq=False, repr=False)
class LatentManifoldDisplay:
    """A grid of images, decoded over two latents.

    Parameters
    ----------
    images : ndarray of shape (n_steps, n_steps, height, width) or (..., 3)
        ``images[i, j]`` has value i of the first latent and value j of the second.
    values : ndarray of shape (2, n_steps)
        The values of both latents.
    latents : pair of int, default=(0, 1)
        Their numbers.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

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
        X : array-like of shape (n_samples, n_features) or (n_samples, ...), default=None
            Rows whose codes give the quantiles, the other latents being at their mean.
            None takes a VAE's prior, the standard normal distribution, and 0.
        latents : pair of int, default=(0, 1)
            The latent that varies from left to right and the one from bottom to top.
        n_steps : int, default=20
            Number of images in a row and in a column.
        quantiles : pair of float in (0, 1), default=(0.05, 0.95)
            The first and the last quantile.
        image_shape : tuple of int or None, default=None
            (height, width), (channels, height, width) or (height, width, channels) with 1 or 3
            channels. None takes that of X, or the estimator's `input_shape`, or else a square.
        ax, **plot_kw
            As in `plot`.

        Returns
        -------
        display : LatentManifoldDisplay

        Raises
        ------
        ValueError
            If there are no such latents, decoded rows do not have `image_shape`, or X is
            None and the codes have no prior.
        """
        values, center = _grid(estimator, X, n_steps, quantiles)
        if len(latents) != 2:
            raise ValueError(f"latents must be two numbers, however: latents={latents}.")
        first, second = _check_latents(latents, len(values))
        codes = np.tile(center, (n_steps, n_steps, 1))
        codes[:, :, first] = values[first][:, None]
        codes[:, :, second] = values[second]
        decoded = _decode(estimator, codes.reshape(-1, len(center)))
        images = _pictures(decoded, _row_shape(image_shape, X, estimator))
        images = images.reshape(n_steps, n_steps, *images.shape[1:])
        return cls(images, values[[first, second]], (first, second)).plot(ax, **plot_kw)

    def plot(self, ax=None, *, cmap=None):
        """Draw the images side by side.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw. None opens a figure.
        cmap : str or Colormap or None, default=None
            Of images with one channel. None is "gray".

        Returns
        -------
        display : LatentManifoldDisplay
        """
        n_steps, height, width = self.images.shape[1:4]
        shape = height / width
        self.figure_, axes = _panels(ax, (1, 1), (6.5, 0.3 + 6.2 * min(shape, 2)))
        self.ax_ = axes[0, 0]
        # Rows of an image count downwards, the second latent upwards.
        columns = [np.concatenate(list(column[::-1])) for column in self.images]
        extent = (0, n_steps, 0, n_steps)
        options = {"extent": extent, "aspect": shape, "limits": _middle(self.images)}
        _show(self.ax_, np.concatenate(columns, axis=1), cmap, **options)
        for step in range(1, n_steps):
            self.ax_.axvline(step, color="gray", linewidth=1)
            self.ax_.axhline(step, color="gray", linewidth=1)
        for axis, values in zip((self.ax_.xaxis, self.ax_.yaxis), self.values, strict=True):
            _step_ticks(axis, values, 7)
        self.ax_.set(xlabel=f"latent {self.latents[0]}", ylabel=f"latent {self.latents[1]}")
        return self


@dataclass(eq=False, repr=False)
class LatentTraversalDisplay:
    """What changes when one latent does: for each, decoded rows from left to right.

    Parameters
    ----------
    decoded : ndarray of shape (n_latents, n_steps, n_features)
        Rows decoded with one latent varied.
    values : ndarray of shape (n_latents, n_steps)
        The values that it took.
    center : ndarray of shape (n_features,)
        The row decoded with no latent varied, from which changes are counted.
    latents : sequence of int or None, default=None
        The numbers of the latents. None counts from 0.
    image_shape, kind, feature_names
        As in `from_estimator`.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_latents, 1)
    figure_ : matplotlib Figure

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
        """Vary one latent after another, decode and draw.

        Parameters
        ----------
        estimator : fitted transformer
        X : array-like of shape (n_samples, n_features) or (n_samples, ...), default=None
            Rows whose codes give the quantiles. None takes a VAE's prior.
        row : array-like of shape (n_features,) or None, default=None
            The row whose code is held where latents are not varied. None holds them at
            the mean code of X or of the prior.
        latents : sequence of int or None, default=None
            Which latents to vary. None varies all.
        n_steps : int, default=11
        quantiles : pair of float in (0, 1), default=(0.05, 0.95)
            The first and the last quantile.
        image_shape : tuple of int or None, default=None
            As in :class:`ReconstructionDisplay`; None takes that of X first, or the
            estimator's `input_shape`.
        kind : {"auto", "image", "piano_roll", "heat_map"}, default="auto"
            How to draw a row, as there; "heat_map" is for the features of other tables.
        feature_names : sequence of str or None, default=None
            None takes those that the estimator saw.
        axes, **plot_kw
            As in `plot`.

        Returns
        -------
        display : LatentTraversalDisplay

        Raises
        ------
        ValueError
            If there are no such latents, rows do not have `image_shape`, or X is None and
            the codes have no prior.
        """
        values, center = _grid(estimator, X, n_steps, quantiles)
        if row is not None:
            center = _encode(estimator, _as_rows(row))[0]
        latents = _check_latents(_numbers(latents, len(values)), len(values))
        codes = np.tile(center, (len(latents), n_steps, 1))
        for steps, latent in zip(codes, latents, strict=True):
            steps[:, latent] = values[latent]
        decoded = _decode(estimator, codes.reshape(-1, len(center)))
        if feature_names is None:
            feature_names = getattr(estimator, "feature_names_in_", None)
        display = cls(
            decoded.reshape(len(latents), n_steps, -1),
            values[latents],
            _decode(estimator, center[None])[0],
            latents=latents,
            image_shape=_row_shape(image_shape, X, estimator),
            kind=kind,
            feature_names=feature_names,
        )
        return display.plot(axes, **plot_kw)

    def plot(self, axes=None, *, cmap=None, max_features=8):
        """Draw a line of steps for each latent.

        Parameters
        ----------
        axes : array of matplotlib Axes or None, default=None
            Where to draw, one for each latent. None opens a figure.
        cmap : str or Colormap or None, default=None
            None is "gray" for images, "Greys" for piano rolls and "RdBu_r" for changes.
        max_features : int, default=8
            How many features of a table to draw, for each latent those that change most.

        Returns
        -------
        display : LatentTraversalDisplay
        """
        n_latents, n_steps, n_features = self.decoded.shape
        kinds = ("image", "piano_roll", "heat_map")
        kind = _kind(self.kind, kinds, self.image_shape, n_features, self.feature_names)
        if kind == "heat_map":
            size = (6.4, 0.6 + n_latents * (0.5 + 0.2 * min(max_features, n_features)))
            self.figure_, self.axes_ = _panels(axes, (n_latents, 1), size)
            self._heat_maps(cmap or "RdBu_r", max_features)
        else:
            pictures = [_pictures(steps, self.image_shape, kind) for steps in self.decoded]
            height, width = pictures[0].shape[1:3]
            cell = min(1.0 if kind == "image" else 1.6, 12 / n_steps)
            size = (0.8 + cell * n_steps, 0.5 + n_latents * (0.3 + cell * height / width))
            self.figure_, self.axes_ = _panels(axes, (n_latents, 1), size)
            self._strips(pictures, kind, cmap)
        latents = _numbers(self.latents, n_latents)
        for ax, latent, values in zip(self.axes_.flat, latents, self.values, strict=True):
            _step_ticks(ax.xaxis, values, 7 if kind == "heat_map" else 12)
            ax.set_ylabel(f"latent {latent}")
        self.axes_[-1, 0].set_xlabel("value of the latent")
        self.figure_.align_ylabels(list(self.axes_.flat))
        return self

    def _strips(self, pictures, kind, cmap):
        limits = _middle(self.decoded)
        for ax, steps in zip(self.axes_.flat, pictures, strict=True):
            n_steps, height, width = steps.shape[:3]
            extent, strip = (0, n_steps, 0, 1), np.concatenate(list(steps), axis=1)
            _show(ax, strip, cmap, kind, limits=limits, extent=extent, aspect=height / width)
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
            heat = _show(ax, steps[:, most].T, cmap, limits=(-limit, limit), **options)
            ax.set_yticks(np.arange(len(most)) + 0.5, names[most])
        self.figure_.colorbar(heat, ax=list(self.axes_.flat), label="change of the feature")


@dataclass(eq=False, repr=False)
class ReconstructionDisplay:
    """Rows as they are and as they come back.

    Parameters
    ----------
    X, X_reconstructed : ndarrays of shape (n_rows, n_features)
    X_corrupted : ndarray of shape (n_rows, n_features) or None, default=None
        What the estimator was given, where that is not X.
    image_shape : tuple of int or None, default=None
        (height, width), (channels, height, width) or (height, width, channels) of an image,
        with 1 or 3 channels, or the numbers of time steps and of pitches of a piano roll. None
        stands for a square image, and for as many pitches as `pitch_names`.
    kind : {"auto", "image", "piano_roll", "bar"}, default="auto"
        How to draw a row. "auto" takes a piano roll where there are `pitch_names`; an
        image where there is an `image_shape`, or features without names are a square of
        8 x 8 or more; else bars, which from 41 features on are a line.
    feature_names : sequence of str or None, default=None
    pitch_names : sequence of str or None, default=None
        Of a piano roll, from low to high.

    Attributes
    ----------
    axes_ : ndarray of Axes
        Of images (2, n_rows), inputs above outputs, or with corrupted rows (3, n_rows);
        of piano rolls (n_rows, 2) or (n_rows, 3), side by side; of bars (n_rows, 1).
    figure_ : matplotlib Figure

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
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        X_corrupted : array-like of the shape of X or None, default=None
            Rows to reconstruct instead of X.
        n_rows : int, default=8
            How many of the first rows to reconstruct and draw.
        image_shape : tuple of int or None, default=None
            None takes that of X, or the estimator's `input_shape`.
        feature_names : sequence of str or None, default=None
            None takes those of X.
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
            If rows do not have `image_shape`, or `X_corrupted` not the shape of X.
        """
        if X_corrupted is not None and np.shape(X_corrupted) != np.shape(X):
            raise ValueError(
                "X_corrupted must have the shape of X, however: X_corrupted.shape="
                f"{np.shape(X_corrupted)} and X.shape={np.shape(X)}."
            )
        first = np.arange(min(n_rows, np.shape(X)[0]))
        rows, corrupted = (_pick(table, first) for table in (X, X_corrupted))
        display = cls(
            np.asarray(_flat(rows)),
            _reconstruct(estimator, rows if corrupted is None else corrupted),
            None if corrupted is None else np.asarray(_flat(corrupted)),
            image_shape=_row_shape(image_shape, X, estimator),
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
            Where to draw, as many as `axes_` has. None opens a figure.
        cmap : str or Colormap or None, default=None
            None is "gray" for images and "Greys" for piano rolls. Colours reach from the
            least to the greatest value of X.

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
        kind = _kind(kind, kinds, shape, n_features, self.feature_names)
        if kind == "bar":
            self._bars(axes, bands)
            return self
        pictures = {name: _pictures(rows, shape, kind) for name, rows in bands.items()}
        draw = self._images if kind == "image" else self._piano_rolls
        draw(axes, pictures, {"cmap": cmap, "kind": kind, "limits": _ends(self.X)})
        return self

    def _images(self, axes, bands, options):
        height, width = bands["input"].shape[1:3]
        size = (0.6 + 1.1 * len(self.X), len(bands) * 1.1 * height / width)
        self.figure_, self.axes_ = _panels(axes, (len(bands), len(self.X)), size)
        for line, (name, images) in zip(self.axes_, bands.items(), strict=True):
            for ax, image in zip(line, images, strict=True):
                _show(ax, image, **options)
                ax.set(xticks=[], yticks=[])
            line[0].set_ylabel(name)

    def _piano_rolls(self, axes, bands, options):
        shape = (len(self.X), len(bands))
        size = (0.8 + 3.4 * len(bands), 0.6 + 1.3 * len(self.X))
        self.figure_, self.axes_ = _panels(axes, shape, size, sharex=True, sharey=True)
        for column, (name, rolls) in zip(self.axes_.T, bands.items(), strict=True):
            for ax, roll in zip(column, rolls, strict=True):
                shown = _show(ax, roll, aspect="auto", **options)
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
        self.figure_, self.axes_ = _panels(axes, (n_rows, 1), size, sharex=True, sharey=True)
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


@dataclass(eq=False, repr=False)
class TrainingCurveDisplay:
    """The losses of training rows and of held-out rows, by epoch.

    Parameters
    ----------
    loss_curve : ndarray of shape (n_epochs,)
        From epoch 1 on.
    validation_curve : ndarray of shape (n_epochs + 1,) or (0,)
        From epoch 0, the start, on. NaN, where a loss is not known, leaves a gap.
    best_epoch : int
        The epoch that was kept.
    loss_name : str, default="loss"
    start_name : str, default="classical start"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import VAETransformer
    >>> from skae.displays import TrainingCurveDisplay
    >>> vae = VAETransformer(2, max_epochs=5, random_state=0).fit(load_iris().data)
    >>> display = TrainingCurveDisplay.from_estimator(vae)
    >>> display.ax_.get_ylabel()
    'minus the ELBO of a row (nats)'
    """

    loss_curve: np.ndarray
    validation_curve: np.ndarray
    best_epoch: int
    _: KW_ONLY
    loss_name: str = "loss"
    start_name: str = "classical start"

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the curves of a fitted autoencoder.

        Parameters
        ----------
        estimator : fitted autoencoder, or Pipeline or search that ends in one
        ax : matplotlib Axes or None, default=None
            As in `plot`.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        model = _autoencoder(estimator)
        if hasattr(model, "posterior"):
            loss_name = "minus the ELBO of a row (nats)"
        elif model.likelihood != "gaussian":
            loss_name = "cross-entropy of a row (nats)"
        else:
            loss_name = "squared error of a row (units of X squared)"
        start_name = "random start" if model.init == "random" else "classical start"
        curves = model.loss_curve_, model.validation_curve_
        display = cls(*curves, model.best_epoch_, loss_name=loss_name, start_name=start_name)
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw the curves, the start's level and the epoch that was kept.

        The scale is logarithmic where all losses are positive and span a factor of 5.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw. None opens a figure.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        self.figure_, axes = _panels(ax, (1, 1), (6.4, 4.0))
        self.ax_ = ax = axes[0, 0]
        train, valid, best = self.loss_curve, self.validation_curve, self.best_epoch
        style: dict[str, Any] = {"marker": ".", "markersize": 4}
        if len(train):
            epochs = np.arange(1, 1 + len(train))
            ax.plot(epochs, train, "--", color=_COLORS[1], label="training rows", **style)
        else:
            ax.set(xlim=(-1, 1), xticks=[0])
        if len(valid):
            ax.plot(valid, color=_COLORS[0], label="held-out rows", **style)
            if np.isfinite(valid[0]):
                ax.axhline(valid[0], color="gray", linestyle=":", label=self.start_name)
        ax.axvline(best, color="gray", linewidth=0.8, label=f"kept: epoch {best}")
        if best < len(valid):
            ax.plot(best, valid[best], "o", color=_COLORS[0])
        losses = np.concatenate([train, valid])
        losses = losses[np.isfinite(losses)]
        if len(losses) and losses.min() > 0 and losses.max() > 5 * losses.min():
            ax.set_yscale("log")
        if len(train):
            ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="epoch", ylabel=self.loss_name)
        ax.legend()
        return self


# Rows and codes


def _autoencoder(estimator):
    """What encodes, at the end of a search and of a Pipeline; it must be fitted."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    check_is_fitted(estimator)
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def _has_prior(model):
    """Whether codes have the standard normal distribution as their prior."""
    return hasattr(model, "posterior") or getattr(model, "prior", None) == "normal"


def _flat(X):
    """Rows of any shape as flat ones; a data frame stays one."""
    if X is None:
        return None
    X = as_table(X)
    return np.reshape(X, (len(X), -1)) if len(X.shape) > 2 else X


def _pick(X, rows):
    """Those rows of an array, a data frame or a table too large to copy; None is all."""
    if X is None or rows is None:
        return X
    if hasattr(X, "iloc") or hasattr(X, "slice"):
        return _safe_indexing(X, rows)
    return Stream(X)[rows] if is_stream(X) else np.asarray(as_table(X))[rows]


def _sample(X, y, max_points, random_state):
    """Sorted numbers of the rows to draw, or None for all."""
    n_rows = np.shape(X)[0]
    if y is not None and len(y) != n_rows:
        raise ValueError(
            f"y must have one entry per row, however: len(y)={len(y)} and there are {n_rows} rows."
        )
    if n_rows <= max_points:
        return None
    return np.sort(np.random.default_rng(random_state).choice(n_rows, max_points, replace=False))


def _as_rows(row):
    """A single row, whatever its shape, as rows."""
    if hasattr(row, "to_frame"):
        return row.to_frame().T
    row = np.asarray(row)
    return row if row.ndim > 1 and len(row) == 1 else row[None]


def _taken(estimator, X):
    """Rows in the shape that the estimator takes: flat, unless its networks know one."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    return X if getattr(estimator, "_input_shape", None) else _flat(X)


def _encode(estimator, X):
    return np.asarray(estimator.transform(_taken(estimator, X)))


def _decode(estimator, Z):
    if not hasattr(estimator, "inverse_transform"):
        _name_what_cannot_decode(estimator)
    return _flat(np.asarray(estimator.inverse_transform(Z)))


def _name_what_cannot_decode(estimator):
    estimator = getattr(estimator, "best_estimator_", estimator)
    check_is_fitted(estimator)
    what = f"{type(estimator).__name__} has none."
    for name, step in getattr(estimator, "steps", []):
        if step != "passthrough" and not hasattr(step, "inverse_transform"):
            what = f"step {name!r} of the Pipeline, a {type(step).__name__}, has none."
            what += " Show pipeline[-1] with rows of pipeline[:-1].transform(X)."
    raise AttributeError(f"Displays of decoded rows need an inverse_transform; {what}")


def _reconstruct(estimator, X):
    if hasattr(estimator, "reconstruct"):
        return _flat(np.asarray(estimator.reconstruct(_taken(estimator, X))))
    return _decode(estimator, _encode(estimator, X))


def _grid(estimator, X, n_steps, quantiles):
    """Values (n_latents, n_steps) of each latent at quantiles, and the mean code."""
    model = _autoencoder(estimator)
    first, last = quantiles
    shares: np.ndarray = np.linspace(first, last, n_steps)
    if X is not None:
        codes = _encode(estimator, X)
        return np.quantile(codes, shares, axis=0).T, codes.mean(axis=0)
    if not _has_prior(model):
        raise ValueError(
            "X must be given where codes have no normal prior, however: X=None and the "
            f"estimator is a {type(model).__name__}. Give the training rows."
        )
    return np.tile(ndtri(shares), (model.latent_dim_, 1)), np.zeros(model.latent_dim_)


def _numbers(latents, n_latents):
    return range(n_latents) if latents is None else latents


def _check_latents(latents, n_latents):
    latents = list(latents)
    if not latents or not set(latents) <= set(range(n_latents)):
        raise ValueError(
            f"latents must be numbers from 0 to {n_latents - 1}, however: latents={latents}."
        )
    return latents


# Pictures of rows


def _row_shape(image_shape, X, estimator=None):
    """The shape of a row as far as anything says it, or None."""
    if image_shape is None and X is not None and len(np.shape(X)) > 2:
        image_shape = np.shape(X)[1:]
    if image_shape is None and estimator is not None:
        image_shape = getattr(_autoencoder(estimator), "input_shape", None)
    return None if image_shape is None else tuple(image_shape)


def _kind(kind, kinds, image_shape, n_features, feature_names):
    """How to draw rows; the last of `kinds` is for tables."""
    if kind not in ("auto", *kinds):
        raise ValueError(f"kind must be one of {('auto', *kinds)}, however: kind={kind!r}.")
    if kind != "auto":
        return kind
    square = math.isqrt(n_features) ** 2 == n_features >= _MIN_PIXELS
    return "image" if image_shape or (square and feature_names is None) else kinds[-1]


def _pictures(rows, shape, kind="image"):
    """Flat rows as images (n, height, width), (n, height, width, 3), or (n, pitch, time)."""
    n_features = rows.shape[1]
    side = math.isqrt(n_features)
    if shape is None and (kind == "piano_roll" or side**2 != n_features):
        raise ValueError(
            "Without image_shape a row must be an image with as many rows as columns, however: "
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


# Drawing


def _panels(axes, shape, size, **options):
    """A figure and an array of its axes: those given, or new ones."""
    from sklearn.utils._optional_dependencies import check_matplotlib_support

    check_matplotlib_support("plot")
    import matplotlib.pyplot as plt

    if axes is None:
        options |= {"squeeze": False, "layout": "constrained", "figsize": size}
        return plt.subplots(*shape, **options)
    axes = np.asarray(axes, dtype=object)
    if axes.size != math.prod(shape):
        raise ValueError(
            f"There must be axes in the shape {shape}, however: {axes.size} were given. Leave "
            "them out for a new figure."
        )
    axes = axes.reshape(shape)
    return axes[0, 0].figure, axes


def _ends(values):
    """The least and the greatest number, which differ."""
    low, high = np.nanmin(values), np.nanmax(values)
    return low, high if high > low else low + 1


def _middle(values):
    """The ends of all but a few numbers: codes far out may decode to values far out."""
    return _ends(np.nanquantile(values, [0.005, 0.995]))


def _show(ax, picture, cmap, kind="image", *, limits, **options):
    """An image; of a piano roll the lowest pitch is at the bottom."""
    low, high = limits
    if picture.ndim == 3:  # matplotlib takes colours as they are
        picture = np.clip((picture - low) / (high - low), 0, 1)
    if kind == "piano_roll":
        options, cmap = {"origin": "lower", **options}, cmap or "Greys"
    return ax.imshow(picture, cmap=cmap or "gray", vmin=low, vmax=high, **options)


def _scatter(ax, pairs, scatter_kw, **options):
    options = {"s": 16, "alpha": 0.7, "linewidths": 0, **options, **scatter_kw}
    return ax.scatter(*pairs.T, **options)


def _name(ax, label, place):
    """A label in the plot, with a white rim so that it can be read on points."""
    from matplotlib.patheffects import withStroke

    rim = [withStroke(linewidth=3, foreground="white")]
    style = {"ha": "center", "va": "center", "weight": "bold", "size": "large"}
    ax.text(*place, label, path_effects=rim, **style)


def _step_ticks(axis, values, most):
    """In the middle of a step the value of the latent, at `most` so many times."""
    values = np.asarray(values, dtype=np.float64)
    digits = max(0, 1 - math.floor(math.log10(np.abs(values).max() or 1)))
    names = [f"{value:.{digits}f}" for value in values.round(digits) + 0.0]
    some = slice(0, None, math.ceil(len(values) / most))
    axis.set_ticks(np.arange(len(values))[some] + 0.5, names[some])
