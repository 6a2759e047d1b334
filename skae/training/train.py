"""Training of a module by `fit` or `partial_fit`, and the fitted attributes about it."""

from typing import Any, NamedTuple

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


def make_net(spec, device, **options):
    """Build an untrained net for the module of a spec."""
    # Per feature. The relative rounding error of standardised float32 values is about 3e-7.
    resolution = len(spec.start.mean) * (1e-5 + 1e-13 / spec.start.noise_variance)
    named = {name: options.pop(name, None) for name in ("optimizer", "weight_decay")}
    if named["optimizer"] is not None:
        options.update(optimizer_arguments(**named, lr=options["lr"], device=device))
    units = {"units": spec.loss_units(), "resolution": resolution}
    return AutoencoderNet(spec.build, device=device, **units, **options)


def train(spec, split, data, options, previous):
    """Train from the initial model, or from the weights of `previous` if it is a net."""
    net = make_net(spec, data.device, **options).initialize()
    if previous is not None:
        net.begin_from(previous.module_)
    net.module_.corruption = data.corruption
    interrupt = None
    try:
        net.partial_fit(split)
    except KeyboardInterrupt as error:
        if net.best_epoch_ is None:  # nothing to keep yet
            raise
        net.settle(split.valid)
        interrupt = error
    net.module_.corruption = None
    return Trained(net, spec, split, previous is None, interrupt)


def train_chunk(spec, split, data, options, previous, former, keep_latest):
    """Train on a chunk; return a Trained and the choice of `AutoencoderNet.train_chunk`."""
    net = make_net(spec, data.device, **options).initialize()
    if previous is not None:
        net.go_on_from(previous)
    net.module_.corruption = data.corruption
    kept = net.train_chunk(split, former, keep_latest)
    net.module_.corruption = None
    return Trained(net, spec, split, False), kept


def progress_of_fit(net, n_samples):
    """Return fitted attributes about the course of training, by name."""
    n_iter, validation = len(net.loss_curve_), np.array(net.validation_curve_)
    if len(validation):  # an interrupted epoch has no validation loss
        validation = np.append(validation, [np.nan] * (n_iter + 1 - len(validation)))
    return {
        "n_samples_": n_samples,
        "n_samples_seen_": n_samples,
        "n_iter_": n_iter,
        "best_epoch_": net.best_epoch_,
        "loss_curve_": np.array(net.loss_curve_),
        "validation_curve_": validation,
    }


def progress_of_chunk(net, n_samples, kept, before):
    """Return the same attributes after a chunk of `n_samples` rows.

    `before` are the attributes after the previous chunks; it is empty for the first.
    """
    n_samples += before.get("n_samples_", 0)
    n_iter = len(net.loss_curve_) + before.get("n_iter_", 0)
    curve: Any = before.get("validation_curve_", np.empty(0))
    new = net.validation_curve_[1 if before else 0 :]
    if len(curve) or len(new):  # missing losses are NaN
        old, curve = curve, np.full(n_iter + 1, np.nan)
        curve[: len(old)] = old
        curve[len(curve) - len(new) :] = new
    if kept in ("start", "latest"):
        best_epoch = n_iter if kept == "latest" else 0
    else:
        best_epoch = before["best_epoch_"]
    net.best_epoch_ = best_epoch
    return {
        "n_samples_": n_samples,
        "n_samples_seen_": n_samples,
        "n_iter_": n_iter,
        "best_epoch_": best_epoch,
        "loss_curve_": np.append(before.get("loss_curve_", np.empty(0)), net.loss_curve_),
        "validation_curve_": curve,
    }
