"""Training steps that are captured in a CUDA graph and replayed.

Rows, their order, the learning rates and the counters are tensors on the device, and a step reads
everything from them. So a replay is a single launch, and the host reads the loss once per epoch.
"""

from typing import Any

import torch

from ..devices import kind_of

# Optimizers whose steps can be replayed.
REPLAYED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)


class GraphedSteps:
    """Steps of one net on resident rows, in batches of one size.

    A step is captured in the constructor. If that fails, the error is raised, and the weights, the
    optimizer's state and the generator are restored.

    Parameters
    ----------
    net : skae.training.net.AutoencoderNet
        Initialised, with an optimizer whose learning rate is a tensor.
    rows : skae.data.batches.Rows
    rates : Tensor of shape (n_steps,)
        Learning rate of every step, on the device.
    taken : int
        Number of steps taken so far.
    """

    def __init__(self, net, rows, rates, taken):
        self.net = net
        self.rows = rows
        self.rates = rates
        self.size = net.batch_size
        self.order = rows.index.clone()
        device = rows.index.device
        self.taken = torch.full((1,), taken, dtype=torch.int64, device=device)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self.within = torch.arange(min(self.size, len(self.order)), device=device)
        self.n_whole = len(self.order) // self.size
        if (
            0 < len(self.order) % self.size < net.least_rows_
        ):  # these rows are part of the last batch
            self.n_whole -= 1
        self.replay: Any = self._captured() if self.n_whole else None

    def epoch(self, order):
        """Run one pass in this order; return the mean loss of a row."""
        self.order.copy_(order)
        self.position.zero_()
        self.total.zero_()
        for _ in range(self.n_whole):
            self.replay()
        if self.n_whole * self.size < len(order):
            self._step(self.order[self.n_whole * self.size :])
        return float(self.total) / len(order)

    def _next(self):
        """Run the step that is captured."""
        self._step(self.order.index_select(0, self.position + self.within))
        self.position.add_(self.size)

    def _step(self, index):
        rate = self.rates.index_select(0, self.taken)[0]
        optimizer, module = self.net.optimizer_, self.net.module_
        for group in optimizer.param_groups:
            group["lr"].copy_(rate)
        optimizer.zero_grad(set_to_none=True)
        loss = module(self.rows.at(index), self.net.noise_).mean()
        loss.backward()
        optimizer.step()
        self.total.add_(loss.detach(), alpha=len(index))
        self.taken.add_(1)

    def _captured(self):
        """Capture a step; return a function that replays it."""
        net, optimizer = self.net, self.net.optimizer_
        state, taken = net.noise_.get_state(), self.taken.clone()
        before = {
            parameter: {name: torch.clone(value) for name, value in memory.items()}
            for parameter, memory in optimizer.state.items()
        }
        values = [*net.module_.parameters(), *net.module_.buffers()]
        copies = [value.detach().clone() for value in values]

        def trial():
            self._next()
            self.position.zero_()
            self.taken.copy_(taken)

        capture: Any = kind_of(net.device).capture
        try:
            return capture(trial, self._next, net.noise_)
        except BaseException:
            # In some versions of torch, a generator remains part of a failed capture.
            net.noise_ = torch.Generator(net.device)
            raise
        finally:
            with torch.no_grad():
                torch._foreach_copy_(values, copies)
                for parameter, memory in optimizer.state.items():
                    for name, value in memory.items():  # state that was new is set to 0
                        value.copy_(before.get(parameter, {}).get(name, torch.zeros_like(value)))
            net.noise_.set_state(state)
