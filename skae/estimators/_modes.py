"""Modes of torch and numpy that a caller may have set, and that we reset while we compute."""

import contextlib
import functools
import inspect
from typing import Any

import numpy as np

from ..devices import KINDS
from ..training.imports import import_torch


@contextlib.contextmanager
def ordinary_modes():
    """Enter a context in which torch and numpy compute as they do by default.

    Gradients are on, inference mode, autocasting and a default device are off, and numpy does
    not raise. All of these belong to the calling thread and are restored. (torch's default
    dtype belongs to the whole process: we name dtypes instead.)
    """
    import_torch()
    import torch

    gradients = torch.is_grad_enabled()
    try:
        with contextlib.ExitStack() as stack:
            for mode in _away_from_others():
                stack.enter_context(mode)
            yield
    finally:
        # An interrupt may have hit between the last line of a `no_grad` block and its exit.
        torch.set_grad_enabled(gradients)


def _away_from_others():
    """Return contexts that reset the caller's modes; none if all are at their defaults."""
    import torch

    modes: list[Any] = []
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        modes.append(torch.inference_mode(False))
    if torch.empty(0).device.type != "cpu":
        modes.append(torch.device("cpu"))
    for kind in KINDS:
        if torch.is_autocast_enabled(kind):
            modes.append(torch.autocast(kind, enabled=False))
    errors = np.geterr()
    if errors["under"] != "ignore" or "raise" in errors.values():
        calm: Any = {kind: "warn" if how == "raise" else how for kind, how in errors.items()}
        calm["under"] = "ignore"
        modes.append(np.errstate(**calm))
    return modes


class InOrdinaryModes:
    """Mixin that calls the methods of a fitted estimator in :func:`ordinary_modes`.

    Training enters this context itself.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_") and "fit" not in name:
                setattr(cls, name, _in_ordinary_modes(method))


def _in_ordinary_modes(method):
    @functools.wraps(method)
    def called(self, *args, **kwargs):
        # An estimator that is not fitted computes nothing, so torch need not be imported.
        if "net_" not in vars(self) or not _away_from_others():
            return method(self, *args, **kwargs)
        with ordinary_modes():
            return method(self, *args, **kwargs)

    return called
