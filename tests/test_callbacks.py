"""Every callback of skorch: it works as there, or is refused with a reason before training."""

import itertools

import numpy as np
import pytest
import torch
from skorch import callbacks as of_skorch

from skae import AutoencoderTransformer

N_EPOCHS = 4


class Run:
    """What a logger writes to."""

    def __init__(self):
        self.calls = []
        self.info = {}

    def log_scalar(self, name, value, step):  # of Sacred
        self.calls.append(name)

    def add_scalar(self, tag, scalar_value, global_step=None):  # of TensorBoard
        self.calls.append(tag)

    def log_metric(self, run_id, key, value, **kwargs):  # of MLflow
        self.calls.append(key)

    def log_param(self, *args, **kwargs):
        pass

    log_artifact = set_tag = log_param


def fit(X, *callbacks, **options):
    options = {"max_epochs": N_EPOCHS, "random_state": 0, "batch_size": 32, **options}
    return AutoencoderTransformer(2, callbacks=list(callbacks), **options).fit(X)


def history(X, *callbacks, **options):
    return fit(X, *callbacks, **options).net_.history


def rates(X, scheduler):
    """The learning rate of every step."""
    seen = []

    class Watch(of_skorch.Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            seen.append(net.optimizer_.param_groups[0]["lr"])

    fit(X, scheduler, Watch(), lr=0.01)
    return seen


def epoch_timer(X, folder):
    assert min(history(X, of_skorch.EpochTimer())[:, "dur"]) > 0


def print_log(X, folder):
    lines = []
    fit(X, of_skorch.PrintLog(sink=lines.append))
    assert lines[0].split() == ["epoch", "train_loss", "valid_loss"]
    assert [line.split()[0] for line in lines[2:]] == list("1234")


def progress_bar(X, folder):
    bar = of_skorch.ProgressBar(detect_notebook=False)
    counts = []

    class Watch(of_skorch.Callback):
        def on_epoch_end(self, net, **kwargs):
            counts.append(bar.pbar_.n)

    fit(X, Watch(), bar)
    assert counts == [11 + 1] * N_EPOCHS  # batches of rows to train on, and of those held out


def passthrough_scoring(X, folder):
    class Watch(of_skorch.Callback):
        def on_batch_end(self, net, **kwargs):
            net.history.record_batch("one", 1.0)

    rows = history(X, Watch(), of_skorch.PassthroughScoring("one", on_train=True))
    assert rows[:, "one"] == [1.0] * N_EPOCHS


def epoch_scoring(X, folder):
    def codes_vary(net, X, y=None):
        assert sum(map(len, y)) == 6 * len(X)  # the rows that are to be reconstructed
        return net.module_.encode(next(iter(X.batches(32)))[0]).std().item()

    for on_train in (True, False):
        scoring = of_skorch.EpochScoring(codes_vary, on_train=on_train, lower_is_better=False)
        rows = history(X, scoring)
        assert min(rows[:, "codes_vary"]) > 0
        assert rows[0]["codes_vary_best"]


def lr_scheduler(X, folder):
    scheduler = of_skorch.LRScheduler("StepLR", step_size=1, gamma=0.5)
    per_epoch = np.reshape(rates(X, scheduler), (N_EPOCHS, -1)).T
    np.testing.assert_allclose(per_epoch, np.tile(0.01 * 0.5 ** np.arange(N_EPOCHS), (11, 1)))
    plateau = of_skorch.LRScheduler("ReduceLROnPlateau", monitor="valid_loss")
    assert len(rates(X, plateau)) > N_EPOCHS


def warm_restart_lr(X, folder):
    scheduler = of_skorch.LRScheduler("WarmRestartLR", min_lr=0.001, max_lr=0.02, base_period=2)
    per_epoch = np.reshape(rates(X, scheduler), (N_EPOCHS, -1))[:, 0]
    assert per_epoch[0] == pytest.approx(0.02)
    assert per_epoch[1] < per_epoch[0]


def gradient_norm_clipping(X, folder):
    norms = []

    class Watch(of_skorch.Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            norms.append(torch.nn.utils.get_total_norm([p.grad for _, p in named_parameters]))

    fit(X, of_skorch.GradientNormClipping(1e-3), Watch())
    assert max(norms) <= 1.001e-3


def early_stopping(X, folder):
    for monitor in ("valid_loss", "train_loss"):
        stop = of_skorch.EarlyStopping(monitor, patience=3, threshold=1e6, threshold_mode="abs")
        assert fit(X, stop, max_epochs=20).n_iter_ == 4
    assert fit(X, of_skorch.EarlyStopping(load_best=True)).score(X) > 0


def checkpoint(X, folder):
    keep = of_skorch.Checkpoint(dirname=folder, load_best=True)
    model = fit(X, keep)
    assert any(model.net_.history[:, "event_cp"])
    assert torch.load(folder / "params.pt").keys() == model.net_.module_.state_dict().keys()


def train_end_checkpoint(X, folder):
    fit(X, of_skorch.TrainEndCheckpoint(dirname=folder))
    assert (folder / "train_end_params.pt").exists()


def weights_in_training(X, *callbacks):
    seen = []

    class Watch(of_skorch.Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append([p.detach().clone() for p in net.module_.encoder.parameters()])

    fit(X, *callbacks, Watch())
    return [
        [not torch.equal(a, b) for a, b in zip(*two, strict=True)]
        for two in itertools.pairwise(seen)
    ]


def freezer(X, folder):
    assert not np.any(weights_in_training(X, of_skorch.Freezer("encoder.*")))


def unfreezer(X, folder):
    callbacks = of_skorch.Freezer("encoder.*"), of_skorch.Unfreezer("encoder.*", at=3)
    changed = weights_in_training(X, *callbacks)
    assert not np.any(changed[0])
    assert np.any(changed[-1])


def param_mapper(X, folder):
    seen = []
    mapper = of_skorch.ParamMapper("encoder.*", fn=lambda p: seen.append(p.shape) or p, at=2)
    fit(X, mapper)
    assert seen


def initializer(X, folder):
    weights = []

    class Watch(of_skorch.Callback):
        def on_batch_begin(self, net, **kwargs):
            weights.append(net.module_.encoder.output.bias.detach().clone())

    fit(X, of_skorch.Initializer("encoder.*bias", torch.nn.init.ones_), Watch())
    assert (weights[0] == 1).all()


def a_callback(X, folder):
    fit(X, of_skorch.Callback(), ("named", of_skorch.EpochTimer()), of_skorch.EpochTimer)


def sacred(X, folder):
    run = Run()
    fit(X, of_skorch.SacredLogger(run))
    assert {"train_loss", "valid_loss"} <= set(run.calls)


def tensor_board(X, folder):
    run = Run()
    fit(X, of_skorch.TensorBoard(run, close_after_train=False))
    assert {"Loss/train_loss", "Loss/valid_loss"} <= set(run.calls)


WORKS = {
    "Callback": a_callback,
    "Checkpoint": checkpoint,
    "EarlyStopping": early_stopping,
    "EpochScoring": epoch_scoring,
    "EpochTimer": epoch_timer,
    "Freezer": freezer,
    "GradientNormClipping": gradient_norm_clipping,
    "Initializer": initializer,
    "LRScheduler": lr_scheduler,
    "ParamMapper": param_mapper,
    "PassthroughScoring": passthrough_scoring,
    "PrintLog": print_log,
    "ProgressBar": progress_bar,
    "SacredLogger": sacred,
    "TensorBoard": tensor_board,
    "TrainEndCheckpoint": train_end_checkpoint,
    "Unfreezer": unfreezer,
    "WarmRestartLR": warm_restart_lr,
}
REFUSED = {
    "BatchScoring": of_skorch.BatchScoring(lambda net, X, y: 0.0, name="zero"),
    "InputShapeSetter": of_skorch.InputShapeSetter(),
    "LoadInitState": of_skorch.LoadInitState(of_skorch.Checkpoint()),
}
NEED_A_PACKAGE = {"MlflowLogger", "NeptuneLogger", "WandbLogger"}


def test_no_callback_of_skorch_is_missing():
    assert {*WORKS, *REFUSED, *NEED_A_PACKAGE} == set(of_skorch.__all__)


@pytest.mark.parametrize("name", WORKS)
def test_it_works_as_in_skorch(name, bent, tmp_path):
    WORKS[name](bent, tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name, bent):
    with pytest.raises(ValueError, match=f"callbacks holds {name}, which "):
        fit(bent, REFUSED[name])


def mean(net, X, y=None):
    return 0.0


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (of_skorch.EarlyStopping(), "EarlyStopping, which needs .* Use monitor='train_loss', or"),
        (of_skorch.EarlyStopping, "EarlyStopping, which needs rows that are held out"),
        (("name", of_skorch.Checkpoint()), "Checkpoint, which needs rows"),
        (of_skorch.LRScheduler("ReduceLROnPlateau", monitor="valid_loss"), "LRScheduler, which"),
        (of_skorch.EpochScoring(mean), "EpochScoring, which needs .* Use on_train=True, or"),
    ],
)
def test_without_rows_that_are_held_out(callback, message, bent, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a checkpoint is written to
    with pytest.raises(ValueError, match=message):
        fit(bent, callback, validation_fraction=None)
    fit(bent, callback, max_epochs=1)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (of_skorch.EpochScoring("r2"), "scoring='r2', of predictions of labels"),
        (of_skorch.EpochScoring(None), "scoring=None"),
        (of_skorch.EarlyStopping("train_loss", load_best=True), "leave load_best out"),
        (of_skorch.EarlyStopping("valid_acc"), "watches 'valid_acc', .*'train_loss' and 'valid_lo"),
        (1, "must be a list of skorch callbacks.*; got 1"),
        (print, "must be a list of skorch callbacks.*; got <built-in function print>"),
        (int, "must be a list of skorch callbacks"),
        (("a", "b", of_skorch.EpochTimer()), "must be a list of skorch callbacks"),
    ],
)
def test_what_cannot_work(callback, message, bent):
    with pytest.raises((TypeError, ValueError), match=message):
        fit(bent, callback)


def test_verbose_is_for_the_progress_bar(bent, capsys):
    fit(bent, of_skorch.EarlyStopping(patience=2, threshold=1e6, threshold_mode="abs"))
    assert capsys.readouterr() == ("", "")
    fit(bent, of_skorch.PrintLog())
    assert "valid_loss" in capsys.readouterr().out


def test_a_chunk_of_one_row_has_those_held_out_before(bent):
    model = AutoencoderTransformer(2, callbacks=[of_skorch.EarlyStopping()], random_state=0)
    assert model.partial_fit(bent).partial_fit(bent[:1]).n_iter_ == 2
