"""Modes of torch and numpy that a caller may be in, left while we compute."""

import contextlib
import functools
import inspect
from typing import Any

import numpy as np

from ._imports import import_torch

_DEVICES = "cpu", "cuda", "mps"


@contextlib.contextmanager
def ordinary_modes():
    """A context in which torch and numpy compute as they do by default.

    Gradients are on, inference mode, autocasting and a default device are off, and numpy does
    not raise. All of these belong to the calling thread and are put back. (torch's default
    dtype belongs to the whole process: we name dtypes instead.)
    """
    import_torch()
    import torch

    with contextlib.ExitStack() as modes:
        if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
            modes.enter_context(torch.inference_mode(False))
        if torch.empty(0).device.type != "cpu":
            modes.enter_context(torch.device("cpu"))
        for kind in _DEVICES:
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        errors = np.geterr()
        if errors["under"] != "ignore" or "raise" in errors.values():
            calm: Any = {kind: "warn" if how == "raise" else how for kind, how in errors.items()}
            calm["under"] = "ignore"
            modes.enter_context(np.errstate(**calm))
        yield


def _are_ordinary():
    """Whether there is no mode to leave."""
    import torch

    errors = np.geterr()
    return (
        torch.is_grad_enabled()
        and not torch.is_inference_mode_enabled()
        and torch.empty(0).device.type == "cpu"
        and not any(map(torch.is_autocast_enabled, _DEVICES))
        and errors["under"] == "ignore"
        and "raise" not in errors.values()
    )


class InOrdinaryModes:
    """Mixin of estimators, whose methods are called in :func:`ordinary_modes` once fitted.

    Training enters them itself.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_") and "fit" not in name:
                setattr(cls, name, _in_ordinary_modes(method))


def _in_ordinary_modes(method):
    @functools.wraps(method)
    def called(self, *args, **kwargs):
        # Of an estimator that is not fitted nothing is computed, and torch not needed.
        if "net_" not in vars(self) or _are_ordinary():
            return method(self, *args, **kwargs)
        with ordinary_modes():
            return method(self, *args, **kwargs)

    return called
