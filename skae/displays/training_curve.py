"""Training and validation loss by epoch."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from ..likelihoods import as_likelihood
from ._drawing import COLORS, make_panels
from ._models import autoencoder_of


@dataclass(eq=False, repr=False)
class TrainingCurveDisplay:
    """Training and validation loss by epoch.

    Parameters
    ----------
    loss_curve : ndarray of shape (n_epochs,)
        Training loss from epoch 1 on.
    validation_curve : ndarray of shape (n_epochs + 1,) or (0,)
        Validation loss from epoch 0, the initial model, on. NaN marks an unknown loss and leaves
        a gap.
    best_epoch : int
        Epoch whose weights were kept.
    loss_name : str, default="loss"
        Label of the loss axis.
    start_name : str, default="classical start"
        Name of the initial model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains the axes.

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
            Model whose losses are drawn.
        ax : matplotlib Axes or None, default=None
            As in `plot`.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        model = autoencoder_of(estimator)
        if hasattr(model, "posterior"):
            loss_name = "minus the ELBO of a row (nats)"
        elif not as_likelihood(model.likelihood).is_normal:
            loss_name = "cross-entropy of a row (nats)"
        else:
            loss_name = "squared error of a row (units of X squared)"
        start_name = "random start" if model.init == "random" else "classical start"
        curves = model.loss_curve_, model.validation_curve_
        display = cls(*curves, model.best_epoch_, loss_name=loss_name, start_name=start_name)
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw the curves, the loss of the initial model and the epoch that was kept.

        The loss axis is logarithmic if all losses are positive and span more than a factor of 5.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None creates a figure.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        self.figure_, axes = make_panels(ax, (1, 1), (6.4, 4.0))
        self.ax_ = ax = axes[0, 0]
        train, valid, best = self.loss_curve, self.validation_curve, self.best_epoch
        style: dict[str, Any] = {"marker": ".", "markersize": 4}
        if len(train):
            epochs = np.arange(1, 1 + len(train))
            ax.plot(epochs, train, "--", color=COLORS[1], label="training rows", **style)
        else:
            ax.set(xlim=(-1, 1), xticks=[0])
        if len(valid):
            ax.plot(valid, color=COLORS[0], label="held-out rows", **style)
            if np.isfinite(valid[0]):
                ax.axhline(valid[0], color="gray", linestyle=":", label=self.start_name)
        ax.axvline(best, color="gray", linewidth=0.8, label=f"kept: epoch {best}")
        if best < len(valid):
            ax.plot(best, valid[best], "o", color=COLORS[0])
        losses = np.concatenate([train, valid])
        losses = losses[np.isfinite(losses)]
        if len(losses) and losses.min() > 0 and losses.max() > 5 * losses.min():
            ax.set_yscale("log")
        if len(train):
            ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="epoch", ylabel=self.loss_name)
        ax.legend()
        return self
