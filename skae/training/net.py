"""The net of an estimator: training on chunks, and conversion to arrays."""

import math

import numpy as np
import torch
from skorch.history import History

from .epochs import EpochNet, copy_weights
from .schedule import Schedule


class AutoencoderNet(EpochNet):
    """Net that also trains on chunks, and continues the training of another net."""

    def train_chunk(self, split, former=None, always_latest=False):
        """Train for one pass over a chunk of rows, and select weights by validation loss.

        Training continues from the last weights of the previous chunk, even if other weights
        were selected then. If the initial model has changed, training continues from the weights
        with the lowest validation loss.

        Parameters
        ----------
        split : Split
        former : Former or None
            The net kept so far, with its own initial model. None if the initial model is the same.
        always_latest : bool
            Whether to keep the latest weights, good or bad, if there is no validation set.

        Returns
        -------
        choice : {"start", "carried", "former", "latest"}
            "start" is the initial model. "carried" and "former" are the weights kept so far, on
            the current and on the former initial model. "latest" are the latest weights.
        """
        carried = [value.clone() for value in self._weights()]
        start = self._start_weights()
        learned = not all(map(torch.equal, self._learnable(carried), self._learnable(start)))
        self.is_warm_ = True
        self._prepare(split)
        self.schedule_, self.n_steps_taken_ = Schedule(self.lr, None), self.n_steps_on_chunks_
        self.start_moved_, of_former_start = False, None
        losses = {"carried": self.start_losses_} if learned else {}
        if former is not None and split.valid is not None and (learned or self.max_epochs):
            with np.errstate(over="ignore", invalid="ignore"):  # the former may fit badly
                of_former_start, of_former = former.losses(self)
                n_features = self.module_.linear_decoder.bias.numel()
                moved = self.judge.has_moved(of_former_start, self.of_start_, n_features)
                self.start_moved_ = moved
            losses |= {"former": of_former} if learned else {}
        weights = {"start": start, "carried": carried, "former": carried}
        copy_weights(self._begin(start, carried, split.valid), self._weights())
        choice, held_out = "carried", split.valid
        try:
            with self.threads():
                self._epochs(split, min(1, self.max_epochs))
            if self.stopping_:  # the loss was not finite
                self.optimizer_.state.clear()
            elif self.max_epochs:
                self.working_ = weights["latest"] = [value.clone() for value in self._weights()]
                self.n_steps_on_chunks_ = self.n_steps_taken_
                losses["latest"] = self.latest_losses_
            if held_out is not None:
                choice, self.best_losses_ = self.judge.choose(
                    losses, self.of_start_, self.start_moved_
                )
            elif always_latest and "latest" in weights:
                choice = "latest"
            elif learned and former is not None:
                choice = "former"
        finally:
            self.gave_up_ = learned and choice == "start"
            if choice == "former":
                held_out, self.start_moved_ = former.back_in(self, of_former_start), False
            self._leave(weights[choice], held_out)
        return choice if learned or choice == "latest" else "start"

    def _begin(self, start, carried, held_out):
        """Return the weights that training continues from."""
        working = carried if self.working_ is None else self.working_
        if not self.start_moved_:
            return working
        copy_weights(working, self._weights())
        of_working = self.beside_start(self._held_out_losses(self.get_iterator(held_out)))
        all_losses = of_working, self.start_losses_, self.of_start_
        means = [self.judge.level(losses) for losses in all_losses]
        best = int(np.argmin(np.nan_to_num(means, nan=math.inf)))
        if best > 0:
            self.optimizer_.state.clear()
        return (working, carried, start)[best]

    def _learnable(self, weights):
        """Return the parameters among weights in the order of `_weights`."""
        names = {name for name, _ in self.module_.named_parameters()}
        pairs = zip(self.module_.state_dict(), weights, strict=True)
        return [value for name, value in pairs if name in names]

    def begin_from(self, module):
        """Use the weights of another module as epoch 0."""
        self.module_.load_state_dict(module.state_dict())
        self.is_warm_ = True

    def go_on_from(self, other):
        """Continue from another net: its weights, optimizer state, step count and history."""
        self.begin_from(other.module_)
        self.working_ = other.working_
        self.n_steps_on_chunks_ = other.n_steps_on_chunks_
        if self.working_ is not None:
            self.working_ = [value.to(self.device) for value in other.working_]
            name, memory = other._optimizer_memory()
            if name == type(self.optimizer_).__name__:
                groups = self.optimizer_.state_dict()["param_groups"]
                state = {
                    number: {k: torch.tensor(v) for k, v in values.items()}
                    for number, values in memory.items()
                }
                self.optimizer_.load_state_dict({"state": state, "param_groups": groups})
        for group in self.optimizer_.param_groups:  # schedulers need it to resume
            group.setdefault("initial_lr", group["lr"])
        self.history_ = History(other.history)

    def _optimizer_memory(self):
        """Return the optimizer's name and its state for every parameter, as arrays."""
        if self.loaded_memory_ is not None:
            return self.loaded_memory_
        state = self.optimizer_.state_dict()["state"]
        memory = {
            number: {k: _plain(v) for k, v in values.items()} for number, values in state.items()
        }
        return type(self.optimizer_).__name__, memory

    def to_arrays(self):
        """Return the state of this net without torch objects, for `from_arrays`."""
        weights = {name: value.cpu().numpy() for name, value in self.module_.state_dict().items()}
        history = [{k: _plain(v) for k, v in row.items() if k != "batches"} for row in self.history]
        working = (
            None if self.working_ is None else [value.cpu().numpy() for value in self.working_]
        )
        return {
            "weights": weights,
            "history": history,
            "best_epoch": self.best_epoch_,
            "working": working,
            "n_steps_on_chunks": self.n_steps_on_chunks_,
            "optimizer": None if working is None else self._optimizer_memory(),
        }

    def from_arrays(self, arrays):
        self.initialize()
        weights = {name: torch.tensor(value) for name, value in arrays["weights"].items()}
        self.module_.load_state_dict(weights)
        self.module_.eval()
        self.history_ = History(dict(row, batches=[]) for row in arrays["history"])
        self.best_epoch_ = arrays["best_epoch"]
        if arrays["working"] is not None:
            self.working_ = [torch.tensor(value).to(self.device) for value in arrays["working"]]
        self.n_steps_on_chunks_ = arrays["n_steps_on_chunks"]
        self.loaded_memory_ = arrays["optimizer"]
        return self


def _plain(value):
    """Copy a tensor to an array; return anything else unchanged."""
    return value.detach().cpu().numpy().copy() if isinstance(value, torch.Tensor) else value
