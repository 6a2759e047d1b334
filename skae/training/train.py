"""Training of a module by `fit` or `partial_fit`, and the fitted attributes about it."""

import contextlib
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..data.batches import Split
from ..nn.spec import Spec
from .net import AutoencoderNet
from .optimizers import optimizer_arguments


class Trained(NamedTuple):
    """Result of training.

    Parameters
    ----------
    net : AutoencoderNet
    spec : Spec
        Specification of the net's module.
    split : Split
        Training and validation set.
    is_first : bool
        Whether training began at the initial model, in `fit`.
    interrupt : KeyboardInterrupt or None
        The interrupt that ended training early, if the result can be kept.
    """

    net: AutoencoderNet
    spec: Spec
    split: Split
    is_first: bool
    interrupt: KeyboardInterrupt | None = None


def make_net(spec, device, optimizer="adamw", weight_decay=0.0, lr=0.01, **options):
    """Build an untrained net for the module of a spec."""
    # Per feature. The relative rounding error of standardised float32 values is about 3e-7.
    resolution = len(spec.start.mean) * (1e-5 + 1e-13 / spec.start.noise_variance)
    return AutoencoderNet(
        spec.make,
        units=spec.loss_units(),
        resolution=resolution,
        squared=spec.losses_are_squares,
        lr=lr,
        device=device,
        **optimizer_arguments(optimizer, weight_decay, lr, device),
        **options,
    )


def train(spec, split, data, options, previous):
    """Train from the initial model, or from the weights of `previous` if it is a net."""
    net = make_net(spec, data.device, **options).initialize()
    if previous is not None:
        net.begin_from(previous.module_)
    interrupt = None
    with _corrupted(net, data.corruption):
        try:
            net.partial_fit(split)
        except KeyboardInterrupt as error:
            if net.best_epoch_ is None:  # nothing to keep yet
                raise
            net.settle(split.valid)
            interrupt = error
    return Trained(net, spec, split, previous is None, interrupt)


def train_chunk(spec, split, data, options, previous, former, keep_latest):
    """Train on a chunk; return a Trained and the choice of `AutoencoderNet.train_chunk`."""
    net = make_net(spec, data.device, **options).initialize()
    if previous is not None:
        net.go_on_from(previous)
    with _corrupted(net, data.corruption):
        kept = net.train_chunk(split, former, keep_latest)
    return Trained(net, spec, split, False), kept


@contextlib.contextmanager
def _corrupted(net, corruption):
    """Corrupt the encoder's rows within the context."""
    net.module_.corruption = corruption
    try:
        yield
    finally:
        net.module_.corruption = None


@dataclass(frozen=True)
class Progress:
    """How far training has come, as the fitted attributes of these names say."""

    n_samples: int = 0
    n_iter: int = 0
    best_epoch: int = 0
    loss_curve: np.ndarray = field(default_factory=lambda: np.empty(0))
    validation_curve: np.ndarray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of_fit(cls, net, n_samples):
        """Return the progress of a fit to so many rows."""
        n_iter, validation = len(net.loss_curve_), np.array(net.validation_curve_)
        if len(validation):  # an interrupted epoch has no validation loss
            validation = np.append(validation, [np.nan] * (n_iter + 1 - len(validation)))
        return cls(n_samples, n_iter, net.best_epoch_, np.array(net.loss_curve_), validation)

    def after_chunk(self, net, n_samples, kept):
        """Return the progress after a further chunk of so many rows.

        `kept` is the choice of `AutoencoderNet.train_chunk`.
        """
        n_iter, curve = len(net.loss_curve_) + self.n_iter, self.validation_curve
        new = net.validation_curve_[1 if self.n_samples else 0 :]
        if len(curve) or len(new):  # missing losses are NaN
            curve = np.full(n_iter + 1, np.nan)
            curve[: len(self.validation_curve)] = self.validation_curve
            curve[len(curve) - len(new) :] = new
        best_epoch = {"start": 0, "latest": n_iter}.get(kept, self.best_epoch)
        losses = np.append(self.loss_curve, net.loss_curve_)
        return Progress(self.n_samples + n_samples, n_iter, best_epoch, losses, curve)
