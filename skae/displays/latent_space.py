"""Scatter plots of codes."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from ._drawing import COLORS, MARKERS, MISSING, make_panels, name_panel, scatter_points
from ._models import encode_rows
from ._rows import check_latents, latent_numbers, pick_rows, sample_rows

_BANDS = {"input": "black", "corrupted": COLORS[1], "output": COLORS[0]}
_MAX_CLASSES = 20  # numbers with more distinct values are continuous, not labels
_NAMED_CLASSES = 5  # more classes than this are also named in the plot, beside the legend
_MAX_LATENTS = 5  # latent dimensions drawn in pairs by default
_MAX_BARS = 40  # features drawn as bars; more are drawn as a line


@dataclass(eq=False, repr=False)
class LatentSpaceDisplay:
    """Scatter plot of codes, coloured by label or value.

    Two latent dimensions give one scatter plot, and more give one for each pair. A single one
    gives a histogram, or, if `y` is continuous, a scatter plot of `y` over the code.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_latents)
        Codes to draw.
    y : ndarray of shape (n_samples,) or None, default=None
        Labels, each shown by a colour and a marker, or a continuous variable, shown by a colour
        bar. Numbers are continuous if they are not whole or have more than 20 distinct values.
    latents : sequence of int or None, default=None
        Indices of the latent dimensions in the columns of `codes`. None counts from 0.
    target_name : str, default="y"
        Name of y, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of `axes_`.
    axes_ : ndarray of Axes of shape (n_latents - 1, n_latents - 1), at least (1, 1)
        ``axes_[i, j]`` shows column ``i + 1`` of the codes over column ``j <= i``.
    figure_ : matplotlib Figure
        Figure that contains the axes.

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
            Transformer that computes the codes.
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Rows to encode.
        y : array-like of shape (n_samples,) or None, default=None
            Labels, or values of a continuous variable.
        max_points : int, default=5000
            Maximum number of rows to encode and draw. Of more, a random subset is used.
        random_state : int, numpy.random.Generator or None, default=0
            Seed of this subset.
        ax, **options
            As in `from_codes`.

        Returns
        -------
        display : LatentSpaceDisplay

        Raises
        ------
        ValueError
            If y does not have one entry per row, or a latent dimension does not exist.
        """
        rows = sample_rows(X, y, max_points, random_state)
        codes = encode_rows(estimator, pick_rows(X, rows))
        return cls.from_codes(codes, pick_rows(y, rows), max_points=len(codes), ax=ax, **options)

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
            Codes to draw.
        latents : sequence of int or None, default=None
            Latent dimensions to draw. None draws the first 5 at most.
        target_name : str or None, default=None
            Name of y. None takes the name of a Series, or else "y".
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
            If y does not have one entry per row, or a latent dimension does not exist.
        """
        rows = sample_rows(codes, y, max_points, random_state)
        codes = np.asarray(pick_rows(codes, rows))
        if latents is None:
            latents = range(min(codes.shape[1], _MAX_LATENTS))
        latents = check_latents(latents, codes.shape[1])
        target_name = target_name or getattr(y, "name", None) or "y"
        y = None if y is None else np.asarray(pick_rows(y, rows)).ravel()
        display = cls(codes[:, latents], y, latents=latents, target_name=target_name)
        return display.plot(ax, **scatter_kw)

    def plot(self, ax=None, **scatter_kw):
        """Draw the codes.

        Parameters
        ----------
        ax : matplotlib Axes, array of Axes or None, default=None
            Axes to draw on, as many as `axes_` has. None creates a figure.
        **scatter_kw
            Passed to `matplotlib.axes.Axes.scatter`, such as `s`, `alpha` or `cmap`.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        n_latents = self.codes.shape[1]
        n = max(1, n_latents - 1)
        width, height = (6.0, 4.8) if n == 1 else (1.2 + 2.2 * n, 0.4 + 2.2 * n)
        size = (width + 1.3 * (self._n_columns() - 1), height)
        self.figure_, self.axes_ = make_panels(ax, (n, n), size, sharex="col", sharey="row")
        self.ax_ = self.axes_[0, 0]
        if n_latents == 1:
            self._plot_one(scatter_kw)
        else:
            self._plot_pairs(scatter_kw)
        names = [f"latent {i}" for i in latent_numbers(self.latents, n_latents)]
        for ax, name in zip(self.axes_[-1], names, strict=False):
            ax.set_xlabel(name)
        for ax, name in zip(self.axes_[:, 0], names[1:], strict=False):
            ax.set_ylabel(name)
        self._add_legend()
        return self

    def _plot_one(self, scatter_kw):
        if self._has_values():
            pairs = np.column_stack([self.codes, self.y])
            scatter_points(self.ax_, pairs, scatter_kw, color=COLORS[0])
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
                points = scatter_points(ax, pairs, scatter_kw, c=self.y)
            else:
                self._scatter_groups(ax, pairs, scatter_kw)
        if values:
            bar = self.figure_.colorbar(points, ax=list(self.axes_.flat), label=self.target_name)
            bar.solids.set_alpha(1)

    def _scatter_groups(self, ax, pairs, scatter_kw):
        groups = self._groups()
        for label, mask, color, marker in groups:
            scatter_points(ax, pairs[mask], scatter_kw, color=color, marker=marker, label=label)
        if len(self.axes_) == 1 and _NAMED_CLASSES < len(groups) <= _MAX_CLASSES:
            for label, mask, _, _ in groups:
                name_panel(ax, label, np.median(pairs[mask], axis=0))

    def _has_values(self):
        """Return whether y is a continuous variable, not labels."""
        if self.y is None or self.y.dtype.kind not in "fiu":
            return False
        known = self.y[np.isfinite(self.y)]
        return len(np.unique(known)) > _MAX_CLASSES or bool((known % 1 != 0).any())

    def _groups(self):
        """Return, for each label, its name, a mask of its rows, its colour and its marker."""
        if self.y is None:
            return [(None, np.ones(len(self.codes), dtype=bool), COLORS[0], "o")]
        y = self.y.astype(str) if self.y.dtype.kind == "O" else self.y
        missing = np.isnan(y) if y.dtype.kind == "f" else np.zeros(len(y), dtype=bool)
        groups = [
            (str(label), y == label, COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)])
            for i, label in enumerate(np.unique(y[~missing]))
        ]
        return [("missing", missing, MISSING, "o"), *groups] if missing.any() else groups

    def _add_legend(self):
        """Add a legend beside a single plot, or in the empty corner of a grid of pairs."""
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
        # It may extend into the empty panel on its left, so the layout need not reserve room.
        legend.set_in_layout(not inside or n == 2)

    def _n_columns(self):
        """Return the number of columns of a legend beside the plot."""
        return 1 if self.y is None or self._has_values() else math.ceil(len(self._groups()) / 20)
