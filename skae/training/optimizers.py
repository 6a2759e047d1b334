"""Optimisers by name: torch's own, without what slows down small steps."""

import inspect
from typing import Any

import torch

from ..devices import kind_of


class _Bare(torch.optim.Optimizer):
    """Mixin that leaves out of torch's optimisers what takes longer than a small step.

    That is the import of torch's compiler (88 MB, more than a second), marks for a profiler, and
    hooks around steps, which are not called. What is computed is the same.
    """

    def __init_subclass__(cls):
        for name in ("add_param_group", "state_dict", "load_state_dict"):
            setattr(cls, name, inspect.unwrap(getattr(cls, name)))
        step: Any = torch.no_grad()(inspect.unwrap(cls.step))
        step.hooked = True  # or torch puts hooks around it
        setattr(cls, "step", step)  # noqa: B010 (mypy sees a method)

    def zero_grad(self, set_to_none=True):
        """Forget all gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


class Adam(_Bare, torch.optim.Adam):
    """As in torch."""


class AdamW(_Bare, torch.optim.AdamW):
    """As in torch."""


class SGD(_Bare, torch.optim.SGD):
    """As in torch."""


# Below this an average gradient is taken for the rounding that it may be. With torch's
# 1e-8 Adam makes full steps of it, and results differ by per cents between machines.
_EPS = 1e-5
OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def optimizer_arguments(optimizer, weight_decay, lr, device):
    """Skorch's parameters for an optimiser given by name or class.

    On CUDA one that is given by name has its learning rate in a tensor on the device, so
    that its steps can be captured in a graph.
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
    """Refuse a class that cannot take one step for dense parameters in float32."""
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
