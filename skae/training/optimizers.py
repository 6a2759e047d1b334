"""Optimisers by name, and an AdamW whose step is little more than its kernel."""

import inspect

import torch

from .devices import kind_of


class LeanAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW(fused=True)` without its bookkeeping; the numbers are the same.

    For small networks, sorting parameters by device and counting steps in a tensor for
    each takes longer than the arithmetic. Here all that begin together share one counter.
    """

    # As in torch, without the wrapper that imports its compiler (88 MB, more than a second).
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)

    def step(self, closure=None):
        """One step, as in torch."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                self._step(group)
        return loss

    def _step(self, group):
        params = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not params:
            return
        first = torch.zeros((), dtype=torch.float32, device=params[0].device)
        states = [self.state[parameter] or self._begin(parameter, first) for parameter in params]
        counts = [state["step"] for state in states]
        for count in {id(count): count for count in counts}.values():
            count.add_(1)
        torch._fused_adamw_(
            params,
            [parameter.grad for parameter in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            counts,
            amsgrad=False,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _begin(self, parameter, count):
        state = self.state[parameter]
        state["step"] = count
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state

    def zero_grad(self, set_to_none=True):
        """Forget all gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


# Below this an average gradient is taken for the rounding that it may be. With torch's
# 1e-8 Adam makes full steps of it, and results differ by per cents between machines.
_EPS = 1e-5
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": LeanAdamW, "sgd": torch.optim.SGD}


def optimizer_arguments(optimizer, weight_decay, lr, device):
    """Skorch's parameters for an optimiser given by name or class.

    On CUDA one that is given by name has its learning rate in a tensor on the device, so
    that its steps can be captured in a graph.
    """
    named = isinstance(optimizer, str)
    captured = named and kind_of(device).capture is not None
    if named:
        optimizer = OPTIMIZERS[optimizer]
        optimizer = torch.optim.AdamW if captured and optimizer is LeanAdamW else optimizer
    if not issubclass(optimizer, torch.optim.Optimizer):
        raise ValueError(
            "optimizer must be 'adam', 'adamw', 'sgd' or a torch.optim.Optimizer subclass, "
            f"however: optimizer={optimizer!r}."
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
