"""Optimizers by name: those of torch, without overhead that slows down small steps."""

import inspect
from typing import Any

import torch

from ..devices import kind_of


class _Bare(torch.optim.Optimizer):
    """Mixin that removes overhead from torch's optimizers.

    It removes the import of torch's compiler (88 MB, more than a second), marks for the profiler
    and hooks around steps. The numbers are the same.
    """

    def __init_subclass__(cls):
        for name in ("add_param_group", "state_dict", "load_state_dict"):
            setattr(cls, name, inspect.unwrap(getattr(cls, name)))
        step: Any = torch.no_grad()(inspect.unwrap(cls.step))
        step.hooked = True  # otherwise torch wraps it again
        setattr(cls, "step", step)  # noqa: B010 (mypy sees a method)

    def zero_grad(self, set_to_none=True):
        """Set all gradients to None."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


class Adam(_Bare, torch.optim.Adam):
    """The optimizer of torch, with less overhead."""


class AdamW(_Bare, torch.optim.AdamW):
    """The optimizer of torch, with less overhead."""


class SGD(_Bare, torch.optim.SGD):
    """The optimizer of torch, with less overhead."""


# Average gradients below this are treated as rounding errors. With torch's default, 1e-8, Adam
# makes full steps of them, and results differ by several per cent between machines.
_EPS = 1e-5
OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def optimizer_arguments(optimizer, weight_decay, lr, device):
    """Return skorch's parameters for an optimizer given by name or class.

    If given by name, on CUDA its learning rate is a tensor on the device, so that its steps can
    be captured in a graph.
    """
    named = isinstance(optimizer, str)
    captured = named and kind_of(device).capture is not None
    if named:
        optimizer = OPTIMIZERS[optimizer]
    if not issubclass(optimizer, torch.optim.Optimizer):
        raise ValueError(
            "optimizer must be 'adam', 'adamw', 'sgd' or a torch.optim.Optimizer subclass; "
            f"got optimizer={optimizer!r}."
        )
    known = inspect.signature(optimizer).parameters
    arguments = {"optimizer": optimizer}
    if "weight_decay" in known:
        arguments["optimizer__weight_decay"] = weight_decay
        arguments["optimizer__param_groups"] = [("head.*", {"weight_decay": 0.0})]
    if named:
        arguments["optimizer__fused"] = True
        if "momentum" in known:
            arguments["optimizer__momentum"] = 0.9
        if "eps" in known:
            arguments["optimizer__eps"] = _EPS
        if captured:
            arguments["optimizer__lr"] = torch.tensor(lr, dtype=torch.float32, device=device)
            if "capturable" in known:
                arguments["optimizer__capturable"] = True
    return arguments


def check_optimizer(optimizer, weight_decay, lr):
    """Raise an error if a class fails in a step for dense float32 parameters."""
    arguments = optimizer_arguments(optimizer, weight_decay, lr, "cpu")
    options = {
        name.removeprefix("optimizer__"): value
        for name, value in arguments.items()
        if name.startswith("optimizer__") and not name.endswith("param_groups")
    }
    weights = [torch.nn.Parameter(torch.ones(shape, dtype=torch.float32)) for shape in ((2, 2), 2)]

    def closure():
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        return sum(weight.sum() for weight in weights)

    try:
        optimizer(weights, lr=lr, **options).step(closure)
    except Exception as error:
        raise ValueError(
            "optimizer must train dense float32 weights and biases, constructed with lr; got "
            f"{optimizer.__name__}, which fails in its first step: {error}"
        ) from error
