"""Training by epochs: training steps, validation, selection of an epoch, early stopping."""

import functools
import math
import sys
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from tqdm.auto import tqdm

from ..data.batches import Rows, n_batches
from ..devices import kind_of
from ..nn.networks import largest_product
from ..nn.own import check_rows, draw_from, own_parts, try_own_networks
from ..threads import suitable_threads, tensor_floats
from ..warn import warn
from .graph import REPLAYED, GraphedSteps
from .judge import Judge
from .schedule import Schedule

_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")
_VALIDATION_BATCH = 1024
_LEAST_BATCH = 32
_VALIDATION_VALUES = 2**21  # the most values of a batch of wide rows
_AVERAGED = 0.05  # fraction of the epochs that weights are averaged over
_VALIDATION_DRAWS = 512  # least number of rows, with repeats, that average a stochastic loss


class _Stop(Exception):
    """Signal to leave skorch's loop of epochs early."""


class EpochNet(NeuralNet):
    """Net that trains a module whose ``forward(batch, generator)`` returns the loss of every row.

    It is fitted on a :class:`~skae.data.batches.Split`. The weights of an epoch are a moving
    average over those after this and earlier epochs; training goes on from the latest. The epoch
    with the lowest validation loss (of squared errors: the lowest mean distance) is kept, if it
    clearly beats epoch 0, the module as it was built: see :class:`~skae.training.judge.Judge`.
    However training ends, be it an exception, Ctrl-C or a loss that is no longer finite, the
    weights of the best epoch are restored.

    Parameters
    ----------
    module : callable
        Called without arguments. Returns a new module with the same weights at every call.
    streams : skae.random.Streams
        Random streams for shuffling and noise.
    units : tuple of two floats
        Factor and offset from the module's losses to the reported losses.
    resolution : float
        Least improvement of a row's loss that exceeds rounding errors.
    start_share : float
        Mixture weight of the initial model in the density of validation rows. It applies if
        losses are minus log-densities, at least approximately (as with ``beta != 1``).
    squared : bool
        Whether losses are squared distances, for the judge.
    early_stopping : bool
        Whether to stop after `n_iter_no_change` epochs without a lower validation loss (of
        squared errors: a lower mean distance).
    n_iter_no_change : int
    beta : float
        Weight of the KL term, for modules that have one.
    beta_warmup : int
        Epochs over which the module's `warmup` rises to 1.
    precision : {"float32", "tf32", "bf16"}
        Precision of matrix products, convolutions and recurrent layers in training.
    progress : bool
        Whether to show a progress bar; `verbose` is for callbacks that print.
    **kwargs
        As in skorch.

    Attributes
    ----------
    best_epoch_ : int
        Epoch whose weights the module has.
    loss_curve_, validation_curve_ : list of float
        Mean loss of training and validation rows per epoch. The second begins with epoch 0. It
        is empty if there is no validation set.
    """

    def __init__(
        self,
        module,
        *,
        streams=None,
        units=(1.0, 0.0),
        resolution=0.0,
        start_share=0.0,
        squared=False,
        criterion=torch.nn.Identity,
        optimizer=torch.optim.AdamW,
        train_split=None,
        early_stopping=True,
        n_iter_no_change=20,
        beta=1.0,
        beta_warmup=0,
        precision="float32",
        progress=False,
        lr=0.01,
        device="cpu",
        **kwargs,
    ):
        self.streams = streams
        self.units = units
        self.resolution = resolution
        self.start_share = start_share
        self.squared = squared
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.beta = beta
        self.beta_warmup = beta_warmup
        self.precision = precision
        self.progress = progress
        super().__init__(
            module,
            criterion=criterion,
            optimizer=optimizer,
            lr=lr,
            device=device,
            train_split=train_split,
            **kwargs,
        )

    def get_default_callbacks(self):
        return []

    def initialize_module(self):
        self.module_ = self.module().float()
        self.inference_cache_ = {}  # for skae.nn.fitted
        self.best_epoch_: Any = None
        self.working_: Any = None  # weights that training on further chunks continues from
        self.loaded_memory_: Any = None  # the optimizer's state as arrays, of a loaded net
        self.n_steps_on_chunks_ = 0
        # Whether the initial model changed with the last chunk; whether learned weights were
        # rejected then.
        self.start_moved_ = self.gave_up_ = False
        self.is_warm_ = False
        self.module_.beta = self.beta
        self.module_.autocast = self.precision == "bf16"
        return self

    def get_split_datasets(self, X, y=None, **fit_params):
        return X.train, X.valid

    def get_iterator(self, dataset, training=False):
        if not isinstance(dataset, Rows):  # skorch's `predict` and `forward`
            return super().get_iterator(dataset, training)
        if training:
            return dataset.batches(self.batch_size, self.shuffle_, least=self.least_rows_)
        times = math.ceil(_VALIDATION_DRAWS / len(dataset)) if self.module_.stochastic else 1
        # Batches of about one size, since some modules compare the rows of a batch.
        n_rows = times * len(dataset)
        most = max(self.batch_size, _VALIDATION_BATCH)
        most = min(most, max(_LEAST_BATCH, _VALIDATION_VALUES // dataset.width))
        size = math.ceil(n_rows / math.ceil(n_rows / most))
        return dataset.batches(size, times=times)

    def infer(self, x, **fit_params):
        """Reconstruct standardised rows x, for skorch's `forward` and `predict`."""
        return self.module_.reconstruct(x)

    def train_step_single(self, batch, **fit_params):
        loss = self.module_(batch, self.noise_).mean()
        loss.backward()
        return {"loss": loss, "y_pred": None}

    def train_step(self, batch, **fit_params):
        self._schedule()
        if self.hooked_:
            return super().train_step(batch, **fit_params)

        def closure():
            self.optimizer_.zero_grad(set_to_none=True)
            return self.train_step_single(batch)["loss"]

        return {"loss": self.optimizer_.step(closure)}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run one pass of training or validation.

        Work per batch, such as notifying callbacks, is done only if a callback has a batch hook.
        """
        if training:
            self._train(iterator, step_fn)
        elif iterator is not None and not self.stopping_:
            self._validate(iterator)

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train on a Split, and restore the best weights even if training is interrupted.

        Unlike skorch's method, it does not catch KeyboardInterrupt.
        """
        self._prepare(X)
        try:
            with self.threads():
                self._epochs(X, self.max_epochs)
        finally:
            self.settle(X.valid)
        return self

    def settle(self, held_out):
        """Restore the best weights; call it again if an interrupt came in between."""
        if self.best_ is not None:
            weights, self.best_epoch_ = self.best_
            self._leave(weights, held_out)

    def threads(self):
        """Return a context that sets the number of threads for training."""
        return suitable_threads(self.batch_size * largest_product(self.module_))

    def _epochs(self, split, epochs):
        """Run skorch's loop, which early stopping, a callback or divergence may end."""
        if self.progress:
            no_console = sys.stderr is None
            self.progress_ = tqdm(total=epochs, unit="epoch", disable=no_console)
        try:
            self.notify("on_train_begin", X=split, y=None)
            self.fit_loop(split, None, epochs=epochs)
        except _Stop:
            pass
        self.notify("on_train_end", X=split, y=None)

    def _leave(self, weights, held_out):
        """Load weights into the module, and release what only training needs."""
        copy_weights(weights, self._weights())
        self.optimizer_.zero_grad(set_to_none=True)
        self._set_training(False)
        draw_from(self.module_, None)
        if self.progress_ is not None:
            self.progress_.close()
        before = self.aside_before_
        self.module_.keep_aside(functools.partial(self._accepts, held_out, before), before)
        losses = "of_start_", "start_losses_", "latest_losses_", "best_losses_"
        others = "progress_", "graphed_", "shuffle_", "noise_"
        for name in ("best_", "spare_", "average_", "latest_", *others, *losses):
            setattr(self, name, None)

    def _accepts(self, held_out, kept_before, **options):
        """Return whether a separately trained part of the module should be kept.

        `options` of the module's `forward` switch the part on. A new part must clearly reduce
        the validation loss. A part that was kept before is dropped only if it clearly increases
        the validation loss.
        """
        if held_out is None:
            return kept_before
        losses = self._held_out_losses(self.get_iterator(held_out), **options)
        with np.errstate(invalid="ignore"):  # NaN is never clear
            gain = self.best_losses_ - self.beside_start(losses)
        return not self.judge.is_clear(-gain) if kept_before else self.judge.is_clear(gain)

    def notify(self, method_name, **cb_kwargs):
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:
            # skorch's EarlyStopping raises KeyboardInterrupt to stop; otherwise it is Ctrl-C.
            callbacks = [cb for _, cb in self.callbacks_ if isinstance(cb, EarlyStopping)]
            if method_name == "on_epoch_end" and any(cb.misses_ == cb.patience for cb in callbacks):
                raise _Stop from None
            raise

    def on_epoch_begin(self, net, **kwargs):
        if self.stopping_:
            raise _Stop
        if self.latest_ is not None:
            self._go_on_from_latest()
        super().on_epoch_begin(net, **kwargs)
        if self.beta_warmup:
            self.module_.warmup = min(1.0, len(self.history) / self.beta_warmup)

    def on_epoch_end(self, net, **kwargs):
        if self.progress_ is not None:
            losses = {k: v for k, v in self.history[-1].items() if k.endswith("_loss")}
            self.progress_.set_postfix(losses, refresh=False)
            self.progress_.update()

    def _prepare(self, split):
        """Initialise random streams, counters and the validation loss at epoch 0."""
        callbacks = [cb for _, cb in self.callbacks_]
        self.hooked_ = any(
            getattr(type(cb), hook) is not getattr(Callback, hook)
            for cb in callbacks
            for hook in _BATCH_HOOKS
        )
        self.scheduled_ = not any(isinstance(cb, LRScheduler) for cb in callbacks)
        self.shuffle_ = self.streams.torch("shuffle")
        self.noise_ = self.streams.torch("noise", self.device)
        self.least_rows_, self.own_draw_ = 1, False
        if own_parts(self.module_):
            self._prepare_own_networks(split.train)
        n_steps = self.max_epochs * self._steps_of_pass(split.train)
        self.schedule_ = Schedule(self.lr, n_steps)
        self.n_steps_taken_ = 0
        self.stopping_ = False
        self.groups_ = split.groups
        self.progress_ = self.graphed_ = None
        self.captures_ = True  # False after a failed capture
        # Weights: the moving average, and those after all steps.
        self.average_: Any = None
        self.latest_: Any = None
        self.loss_curve_, self.validation_curve_ = [], []
        self.lowest_, self.lowest_epoch_ = math.inf, 0
        self.start_losses_ = self.of_start_ = self.latest_losses_ = np.empty(0)
        self.best_losses_ = np.empty(0)
        self.aside_before_ = self.module_.noise_varies
        start = [value.clone() for value in self._weights()]
        self.best_ = start, 0  # weights, and their epoch
        self.spare_ = [value.clone() for value in start]
        if split.valid is not None:
            losses = self.of_start_ = self._held_out_losses(self.get_iterator(split.valid))
            if self.is_warm_:
                try:
                    copy_weights(self._start_weights(), self._weights())
                    self.of_start_ = self._held_out_losses(self.get_iterator(split.valid))
                finally:
                    copy_weights(start, self._weights())
                losses = self.beside_start(losses)
            self.start_losses_ = self.best_losses_ = losses
            self.lowest_ = self.judge.level(losses)
            self.validation_curve_.append(self._in_units(losses.mean()))
        self.best_epoch_ = 0  # set last: from here on an interrupted fit has a result

    def _prepare_own_networks(self, rows):
        """Check user-defined networks, and let them draw from this net's noise stream."""
        batch = next(iter(rows.batches(self.batch_size, self.streams.torch("trial"))))
        trial = self.streams.torch("trial", self.device)
        least, draws = try_own_networks(self.module_, self.module, batch, trial)
        check_rows(least, self.batch_size, len(rows))
        self.least_rows_, self.own_draw_ = least, draws
        if draws:
            draw_from(self.module_, self.noise_)

    def _steps_of_pass(self, rows):
        return n_batches(len(rows), self.batch_size, self.least_rows_)

    @property
    def judge(self):
        """The judge of validation losses."""
        return Judge(self.resolution, self.start_share, self.squared, self.groups_)

    def beside_start(self, losses):
        """Return losses of the mixture with the initial model: see `Judge.beside_start`."""
        return self.judge.beside_start(self.of_start_, losses)

    def _start_weights(self):
        """Return the weights of the initial model, in the order of `_weights`."""
        return list(self.module().float().to(self.device).state_dict().values())

    def _schedule(self):
        """Set the learning rate of the next step."""
        if self.scheduled_:
            rate = self.schedule_.rate(self.n_steps_taken_)
            for group in self.optimizer_.param_groups:
                if isinstance(group["lr"], torch.Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
        self.n_steps_taken_ += 1

    def _train(self, iterator, step_fn):
        self._set_training(True)
        with tensor_floats(self.precision == "tf32", self.device):
            steps = self._graphed(iterator.rows)
            if steps is None:
                mean, n_rows = self._step_by_step(iterator, step_fn)
            else:
                mean, n_rows = self._replay(steps, iterator), len(iterator.rows)
        if not self.hooked_:
            self._record_batch("train", mean, n_rows)
        self.loss_curve_.append(self._record("train_loss", mean))
        if self.schedule_.n_steps is not None:  # chunks go on from the latest weights
            self._average()
        if not math.isfinite(mean):
            self._diverge()
        elif not self.validation_curve_:
            self._keep_while_finite()

    def _average(self):
        """Replace the latest weights by the moving average (Polyak & Juditsky 1992)."""
        weights = self._weights()
        if self.latest_ is None:
            self.latest_ = [value.clone() for value in weights]
            self.average_ = [value.clone() for value in weights]
            return
        copy_weights(weights, self.latest_)
        share = max(1.0 / len(self.history), 1.0 / (1.0 + _AVERAGED * self.max_epochs))
        for average, value in zip(self.average_, weights, strict=True):
            if value.is_floating_point():  # what stays the same may be infinite, as in a mask
                value = torch.where(average == value, value, torch.lerp(average, value, share))
            average.copy_(value)
        copy_weights(self.average_, weights)

    def _go_on_from_latest(self):
        """Replace averages by the latest weights, but for what callbacks have changed since."""
        weights = zip(self._weights(), self.average_, self.latest_, strict=True)
        for value, average, latest in weights:
            if torch.equal(value, average):
                value.copy_(latest)
            else:
                average.copy_(value)

    def _can_replay(self, rows):
        """Return whether training steps can be replayed as a CUDA graph."""
        return (
            kind_of(self.device).capture is not None
            and type(rows) is Rows
            and isinstance(self.optimizer_, REPLAYED)
            and isinstance(self.optimizer_.param_groups[0]["lr"], torch.Tensor)
            and self.scheduled_
            and not self.hooked_
            and self.schedule_.n_steps is not None
            and getattr(self.module_, "warmup", 1.0) == 1.0
            and getattr(self.module_.corruption, "can_be_captured", True)
            and not self.own_draw_
        )

    def _graphed(self, rows):
        """Return the graph of training steps, or None if they run one by one."""
        if self.graphed_ is not None or not self.captures_ or not self._can_replay(rows):
            return self.graphed_
        rates = [self.schedule_.rate(taken) for taken in range(self.schedule_.n_steps or 0)]
        rates_there = torch.tensor(rates, dtype=torch.float32, device=self.device)
        try:
            self.graphed_ = GraphedSteps(self, rows, rates_there, self.n_steps_taken_)
        except Exception as error:
            self.captures_ = False
            cause = str(error.__context__ or error).partition("\n")[0]  # the first error
            warn(
                "Training goes on step by step, which is slower, as a step could not be captured "
                f"in a CUDA graph: {cause}. Have the network read no numbers on the host, as "
                "`x.item()`, `float(x)` and `if x > 0` do, or ignore this warning.",
                UserWarning,
            )
        return self.graphed_

    def _replay(self, steps, iterator):
        order = iterator.rows.shuffled(iterator.generator)
        self.n_steps_taken_ += self._steps_of_pass(order)
        return steps.epoch(order)

    def _step_by_step(self, iterator, step_fn):
        losses, sizes = [], []
        for batch in iterator:
            if self.hooked_:
                self.notify("on_batch_begin", batch=batch, training=True)
            step = step_fn(batch)
            losses.append(step["loss"].detach())
            sizes.append(len(batch[0]))
            if self.hooked_:
                self._record_batch("train", losses[-1].item(), sizes[-1], new=False)
                self.notify("on_batch_end", batch=batch, training=True, **step)
        mean = np.average(torch.stack(losses).cpu().double().numpy(), weights=sizes)
        return mean, sum(sizes)

    def _validate(self, iterator):
        losses = self._held_out_losses(iterator, notify=self.hooked_)
        is_finite = np.isfinite(losses).all()
        losses = self.latest_losses_ = self.beside_start(losses)
        self._record_batch("valid", losses.mean(), len(losses), new=False)
        self.validation_curve_.append(self._record("valid_loss", losses.mean()))
        if not is_finite:
            self._diverge()
        elif self.schedule_.n_steps is not None:  # `train_chunk` judges chunks itself
            self._judge(losses)

    def _noticed(self, iterator):
        """Yield validation batches, with callbacks before and after each."""
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=False)
            yield batch
            self.notify("on_batch_end", batch=batch, training=False, loss=None, y_pred=None)

    def _held_out_losses(self, iterator, module=None, notify=False, **options):
        """Return the loss of every validation row, with the same noise at every call, (n_valid,).

        Modules with several losses per row return (n_valid, n_losses). `module` is the net's own
        if None. If `notify`, callbacks are called for every batch. `options` are passed to the
        module.
        """
        self._set_training(False)
        module = module or self.module_
        generator = self.streams.torch("validation", self.device)
        with torch.no_grad(), tensor_floats(False, self.device):
            noticed = self._noticed(iterator) if notify else iterator
            batches = torch.cat([module(batch, generator, **options) for batch in noticed])
        # With a stochastic loss the rows are repeated: see get_iterator.
        losses = batches.cpu().double().numpy()
        return losses.reshape(-1, len(iterator.rows), *losses.shape[1:]).mean(axis=0)

    def _judge(self, losses):
        """Keep this epoch if it is the best so far and clearly beats epoch 0: see `Judge`."""
        epoch, level = len(self.history), self.judge.level(losses)
        is_lowest = level < self.judge.level(self.best_losses_)
        if is_lowest and self.judge.beats(losses, self.start_losses_):
            self._keep()
            self.best_losses_ = losses
        if level < self.lowest_:
            self.lowest_, self.lowest_epoch_ = level, epoch
        elif self.early_stopping and epoch - self.lowest_epoch_ >= self.n_iter_no_change:
            self.stopping_ = True

    def _keep(self):
        # Copy first, then swap in one assignment, so an interrupt never leaves half a copy.
        copy_weights(self._weights(), self.spare_)
        (before, _), self.best_ = self.best_, (self.spare_, len(self.history))
        self.spare_, self.best_epoch_ = before, self.best_[1]

    def _weights(self):
        """Return the values of the state dict, which training changes."""
        return list(self.module_.state_dict().values())

    def _keep_while_finite(self):
        norms = torch._foreach_norm([w for w in self._weights() if w.is_floating_point()], math.inf)
        if math.isfinite(torch.stack(norms).sum()):
            self._keep()
        else:
            self._diverge()

    def _diverge(self):
        self.stopping_ = True
        warn(
            f"The loss was no longer finite in epoch {len(self.history)}: training stopped, "
            f"and the state after epoch {self.best_epoch_} is kept. Use a learning rate lower "
            f"than lr={self.lr}.",
            ConvergenceWarning,
        )

    def _record(self, name, value):
        """Record an epoch's mean loss in skorch's history, and whether it is the best."""
        value = self._in_units(value)
        previous = [row[name] for row in self.history[:-1] if name in row]
        self.history.record(name, value)
        self.history.record(f"{name}_best", all(value < other for other in previous))
        return value

    def _record_batch(self, prefix, loss, size, *, new=True):
        """Record a batch, or an epoch as a single batch, where callbacks look for it."""
        if new:
            self.history.new_batch()
        self.history.record_batch(f"{prefix}_loss", self._in_units(loss))
        self.history.record_batch(f"{prefix}_batch_size", size)

    def _in_units(self, loss):
        factor, offset = self.units
        return float(loss * factor + offset)


def copy_weights(values, into):
    """Copy tensors into others of the same shapes, with one operation."""
    with torch.no_grad():
        torch._foreach_copy_(into, values)
