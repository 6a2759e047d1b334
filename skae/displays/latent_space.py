"""Codes as points."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from ._drawing import COLORS, MARKERS, MISSING, make_panels, name_panel, scatter_points
from ._models import encode_rows
from ._rows import check_latents, latent_numbers, pick_rows, sample_rows

_BANDS = {"input": "black", "corrupted": COLORS[1], "output": COLORS[0]}
_MAX_CLASSES = 20  # numbers with more values than this are values, not labels
_NAMED_CLASSES = 5  # more are also named in the plot, for eyes that go to and fro
_MAX_LATENTS = 5  # in panels for pairs, where nobody says which
_MAX_BARS = 40  # features; more are a line


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
        """Whether y is a quantity, not labels."""
        if self.y is None or self.y.dtype.kind not in "fiu":
            return False
        known = self.y[np.isfinite(self.y)]
        return len(np.unique(known)) > _MAX_CLASSES or bool((known % 1 != 0).any())

    def _groups(self):
        """For each label its name, which rows have it, its colour and its marker."""
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
