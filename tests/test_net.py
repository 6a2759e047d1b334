"""Epochs: which one is kept, when training stops, and what a user sees of it."""

import io
import os
import signal
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import numpy as np
import pytest
import torch
from _estimators import ESTIMATORS, OF_CODES
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, GradientNormClipping, LRScheduler

from skae import (
    AutoencoderTransformer,
    DenoisingAutoencoder,
    VAETransformer,
)
from skae.data.batches import Rows
from skae.nn.fitted import inference_module
from skae.training.judge import Judge

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)


class FakeModule(torch.nn.Module):
    """Per-row losses that a script says, by the number of steps taken."""

    stochastic = False
    noise_varies = False

    def keep_aside(self, accepts, before):
        """There is nothing aside."""

    def __init__(self, script):
        super().__init__()
        self.script = script
        self.steps = torch.nn.Parameter(torch.zeros(()))

    def forward(self, batch, generator):
        x = batch.x
        if self.training:
            return torch.zeros(len(x)) - self.steps
        return torch.as_tensor(self.script[round(float(self.steps.detach()))])[: len(x)]


def scripted(script, **options):
    """A net on a script of held-out losses, one step an epoch, each adding 1 to `steps`."""
    from skae.data.batches import Split
    from skae.random import Streams
    from skae.training.net import AutoencoderNet

    n_valid = len(script[0])
    x = torch.zeros(n_valid + 10, 1)
    split = Split(
        Rows(x, x, torch.arange(n_valid, n_valid + 10)), Rows(x, x, torch.arange(n_valid))
    )
    options = {"resolution": 1e-5, "early_stopping": False, "n_iter_no_change": 3, **options}
    net = AutoencoderNet(
        lambda: FakeModule(script),
        streams=Streams(0),
        optimizer=torch.optim.SGD,
        lr=1.0,
        max_epochs=len(script) - 1,
        batch_size=10,
        verbose=0,
        callbacks=[LRScheduler(policy="LambdaLR", lr_lambda=lambda epoch: 1.0)],
        optimizer__momentum=0.0,
        **options,
    )
    net.initialize()
    net.optimizer_ = torch.optim.SGD(net.module_.parameters(), lr=1.0)
    return net, split


def run(script, **options):
    """Train on a script, which says what the weights after each epoch are worth."""
    net, split = scripted(script, **options)
    with mock.patch("skae.training.epochs._AVERAGED", 0.0):
        net.partial_fit(split)
    assert net.module_.steps.item() == pytest.approx(net.best_epoch_)
    return net


ROWS = np.random.default_rng(0).uniform(1, 2, 40)
NOISE = np.random.default_rng(1).standard_normal(40)
NOISE -= NOISE.mean()


def test_rounding_is_not_amplified(bent):
    """What differs in the seventh digit, as between machines, ends up as good as the same."""
    noise = 1.0 + 1e-7 * np.random.default_rng(0).standard_normal(bent.shape)
    codes = [
        AutoencoderTransformer(2, max_epochs=20, random_state=0).fit(X).transform(bent)
        for X in (bent, bent * noise)
    ]
    np.testing.assert_allclose(codes[0], codes[1], atol=1e-3 * np.abs(codes[0]).max())


@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_bfloat16_trains_nearly_as_well_and_leaves_the_start_exact(cls, bent):
    options = {"max_epochs": 40, "random_state": 0}
    single = cls(2, **options).fit(bent)
    half = cls(2, precision="bf16", **options).fit(bent)
    start = cls(2, max_epochs=0).fit(bent)
    assert half.score(bent) - start.score(bent) > 0.7 * (single.score(bent) - start.score(bent))
    assert (half.transform(bent) != single.transform(bent)).any()
    untrained = cls(2, precision="bf16", max_epochs=0).fit(bent)
    np.testing.assert_array_equal(untrained.transform(bent), start.transform(bent))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_make_the_steps_of_torch(name):
    from skae.training.optimizers import OPTIMIZERS, optimizer_arguments

    bare = OPTIMIZERS[name]
    options = optimizer_arguments(name, 0.3, 0.1, "cpu")
    options = {k.partition("__")[2]: v for k, v in options.items() if "__" in k}
    del options["param_groups"]
    torch_random = torch.Generator().manual_seed(0)
    both = []
    for cls in (getattr(torch.optim, bare.__name__), bare):
        weights = [torch.nn.Parameter(torch.ones(3, 4)), torch.nn.Parameter(torch.ones(5))]
        both.append((weights, cls(weights, lr=0.1, **options)))
    for number in range(6):
        gradients = [torch.randn(shape, generator=torch_random) for shape in ((3, 4), (5,))]
        frozen = {3: 1, 5: 0}.get(number)  # which has no gradient in this step
        for weights, optimizer in both:
            optimizer.zero_grad()
            assert all(weight.grad is None for weight in weights)
            for which, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
                weight.grad = None if which == frozen else gradient.clone()
            assert optimizer.step(lambda: torch.tensor(7.0)) == 7.0
        both[1][1].load_state_dict(both[1][1].state_dict())
    (expected, _), (weights, optimizer) = both
    assert all(map(torch.equal, expected, weights))
    optimizer.zero_grad()
    optimizer.step()  # without a gradient nothing moves
    assert all(map(torch.equal, expected, weights))


def test_lowest_epoch_is_kept():
    net = run([ROWS, ROWS - 0.2, ROWS - 0.4, ROWS - 0.3])
    assert net.best_epoch_ == 2
    assert net.validation_curve_ == pytest.approx(
        [ROWS.mean() - d for d in (0, 0.2, 0.4, 0.3)], rel=1e-6
    )


def test_start_is_kept_when_nothing_is_better():
    assert run([ROWS, ROWS, ROWS + 0.1]).best_epoch_ == 0


@pytest.mark.parametrize(("factor", "epoch"), [(1.9, 0), (2.1, 1)])
def test_improvement_has_to_be_clear_of_its_noise(factor, epoch):
    standard_error = NOISE.std(ddof=1) / np.sqrt(40)
    assert run([ROWS, ROWS + NOISE - factor * standard_error]).best_epoch_ == epoch


def test_a_row_far_out_does_not_outvote_the_others():
    worse = ROWS - 0.9
    worse[7] += 1e6
    assert run([ROWS, worse]).best_epoch_ == 0
    net = run([ROWS, worse], start_share=1e-3)
    assert net.best_epoch_ == 1
    density = 0.999 * np.exp(-worse) + 1e-3 * np.exp(-ROWS)
    assert net.validation_curve_[1] == pytest.approx(-np.log(density).mean(), rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_share_of_the_start_hides_no_loss_that_is_not_finite(value):
    lost = ROWS - 0.5
    lost[3] = value
    with pytest.warns(ConvergenceWarning, match="no longer finite in epoch 2"):
        net = run([ROWS, ROWS - 0.2, lost, ROWS - 0.9], start_share=1e-3)
    assert net.best_epoch_ == 1


def test_one_held_out_row_decides_nothing():
    assert run([np.array([2.0]), np.array([1.0])]).best_epoch_ == 0


def test_rounding_is_no_improvement():
    assert run([ROWS, ROWS - 5e-6]).best_epoch_ == 0


@pytest.mark.parametrize(
    ("kept", "latest", "choice"),
    [
        (ROWS - 0.2, ROWS - 0.3, "latest"),
        (ROWS - 0.2, ROWS - 0.1, "carried"),
        (ROWS - 0.2, ROWS - 0.25 + 0.3 * NOISE, "latest"),  # clear of the start is enough
        (ROWS - 0.2, ROWS - 0.3 + 9.0 * NOISE, "carried"),
        (ROWS + 0.2, ROWS + 0.1, "start"),
        (ROWS + 0.2, ROWS - 0.1, "latest"),
        (ROWS + 0.01 + NOISE, ROWS + 0.1, "carried"),  # not clearly worse than the start
    ],
)
def test_choice_of_chunks(kept, latest, choice):
    losses = {"carried": kept, "latest": latest}
    chosen, of_chosen = Judge(resolution=1e-5).choose(losses, ROWS, start_moved=False)
    assert (chosen, of_chosen is {"start": ROWS, **losses}[choice]) == (choice, True)


def test_of_chunks_the_start_the_kept_or_the_latest_weights_stay():
    unclear = ROWS + NOISE
    script = [ROWS, ROWS - 0.2, ROWS - 0.1, ROWS - 0.4, unclear - 1e-3, ROWS, ROWS]
    net, split = scripted(script)

    def chunk():
        return net.train_chunk(split), round(net.module_.steps.item())

    # Training goes on from the latest weights, whichever were kept.
    chosen = [("latest", 1), ("carried", 1), ("latest", 3), ("carried", 3)]
    assert [chunk() for _ in range(4)] == chosen
    script[3] = unclear + 1e-3  # to rows of further chunks, it may be
    assert chunk() == ("carried", 3)
    script[3] = ROWS + 0.1
    assert chunk() == ("start", 0)


def test_a_noisy_loss_is_the_mean_over_draws_of_the_same_row():
    net, _ = scripted([ROWS])
    module, x = net.module_, 100 * torch.arange(40.0)[:, None]
    module.stochastic = True
    module.forward = lambda rows, noise: rows.x[:, 0] + torch.randn(len(rows.x), generator=noise)
    losses = net._held_out_losses(net.get_iterator(Rows(x, x, torch.arange(40))))
    np.testing.assert_allclose(losses, x[:, 0], atol=5 / np.sqrt(512 / 40))


def test_early_stopping_waits_for_the_mean():
    script = [ROWS, ROWS - 0.1, ROWS, ROWS, ROWS, ROWS - 1]
    stopped = run(script, early_stopping=True)
    assert (stopped.best_epoch_, len(stopped.history)) == (1, 4)
    patient = run(script, early_stopping=True, n_iter_no_change=4)
    assert (patient.best_epoch_, len(patient.history)) == (5, 5)
    assert run(script).best_epoch_ == 5


def test_early_stopping_of_an_estimator(iris):
    model = AutoencoderTransformer(2, lr=1e-12, n_iter_no_change=4, random_state=0).fit(iris)
    assert model.n_iter_ < 10
    model = AutoencoderTransformer(
        2, lr=1e-12, n_iter_no_change=4, random_state=0, early_stopping=False, max_epochs=30
    ).fit(iris)
    assert model.n_iter_ == 30


@pytest.mark.parametrize("n_samples", [2, 3, 10, 100, 130, 1000])
def test_number_of_rows_held_out(n_samples):
    X = np.random.default_rng(0).standard_normal((n_samples, 3))
    sizes = []

    class Watch(Callback):
        def on_train_begin(self, net, X=None, **kwargs):
            sizes.append((len(X.train), len(X.valid)))
            assert len(set(X.train.index.tolist()) | set(X.valid.index.tolist())) == n_samples

    AutoencoderTransformer(1, max_epochs=1, callbacks=[Watch()]).fit(X)
    expected = {2: 1, 3: 1, 10: 2, 100: 25, 130: 32, 1000: 100}[n_samples]
    assert sizes == [(n_samples - expected, expected)]


def test_no_rows_held_out(bent):
    model = AutoencoderTransformer(2, max_epochs=5, validation_fraction=None, random_state=0)
    model.fit(bent)
    assert model.best_epoch_ == model.n_iter_ == 5
    assert model.validation_curve_.shape == (0,)


def test_curves_are_squared_errors_in_the_units_of_x(bent):
    X = 1000 * bent + 7
    held_out = []

    class Watch(Callback):
        def on_train_begin(self, net, X=None, **kwargs):
            held_out.extend(X.valid.index.tolist())

    model = AutoencoderTransformer(2, random_state=0, max_epochs=30, callbacks=[Watch()]).fit(X)
    error = np.square(X - model.reconstruct(X)).sum(axis=1)[held_out].mean()
    assert model.best_epoch_ > 0
    assert model.validation_curve_[model.best_epoch_] == pytest.approx(error, rel=1e-4)
    whole = AutoencoderTransformer(
        2, lr=1e-12, max_epochs=1, validation_fraction=None, random_state=0
    ).fit(X)
    start = np.square(X - whole.reconstruct(X)).sum(axis=1).mean()
    assert whole.loss_curve_[0] == pytest.approx(start, rel=1e-4)


def test_bernoulli_curve_is_cross_entropy(digits):
    X = digits[0]
    model = AutoencoderTransformer(
        5, likelihood="bernoulli", lr=1e-12, max_epochs=1, validation_fraction=None
    ).fit(X)
    p = np.clip(model.reconstruct(X), 1e-12, 1 - 1e-12)
    loss = -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1).mean()
    assert model.loss_curve_[0] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("n_samples", [17, 33, 5])
def test_last_batch_of_one_row_and_fewer_rows_than_a_batch(n_samples):
    X = np.random.default_rng(0).standard_normal((n_samples, 3))
    for cls in (AutoencoderTransformer, DenoisingAutoencoder, VAETransformer):
        options = {"batch_size": 16, "validation_fraction": None, "random_state": 0}
        model = cls(1, max_epochs=2, **options).fit(X)
        assert model.n_iter_ == 2
        start = cls(1, max_epochs=0, **options).fit(X)
        assert not np.array_equal(model.transform(X), start.transform(X))


def test_every_row_is_seen_once_an_epoch(bent):
    seen = []

    class Watch(Callback):
        def on_batch_begin(self, net, batch, training, **kwargs):
            seen.append(batch[0].clone())

    AutoencoderTransformer(
        2, batch_size=64, max_epochs=2, validation_fraction=None, callbacks=[Watch()]
    ).fit(bent)
    assert [len(x) for x in seen] == [64] * 6 + [16] + [64] * 6 + [16]
    epochs = [torch.cat(seen[:7]), torch.cat(seen[7:])]
    assert not torch.equal(*epochs)
    ordered = [np.sort(x.numpy(), axis=0) for x in epochs]
    np.testing.assert_array_equal(*ordered)


# Divergence, interrupts, errors


@pytest.mark.parametrize("validation_fraction", [0.1, None])
@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_divergence_keeps_the_best_finite_state(cls, validation_fraction, bent):
    model = cls(2, lr=1e18, optimizer="sgd", random_state=0)
    model.set_params(validation_fraction=validation_fraction)
    with pytest.warns(ConvergenceWarning, match=r"no longer finite.*lower than lr=1e\+18"):
        model.fit(bent)
    assert model.n_iter_ < 5
    assert len(model.validation_curve_) in (0, model.n_iter_ + 1)
    assert np.isfinite(model.transform(bent)).all()
    assert np.isfinite(model.score(bent))


@pytest.fixture
def interrupted():
    """SIGINT raises KeyboardInterrupt, also where the tests are a job in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupt(Callback):
    """Ctrl-C at the end of an epoch, or in the middle of one."""

    def __init__(self, epoch, how):
        self.epoch = epoch
        self.how = how

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            if self.how == "raise":
                raise KeyboardInterrupt
            if self.how == "error":
                raise RuntimeError("a callback's own")
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize("how", ["raise", "signal"])
@pytest.mark.parametrize("cls", OF_CODES)  # the other chooses its codes after training
def test_interrupt_is_raised_and_leaves_the_best_epoch(cls, how, bent):
    model = cls(2, random_state=0, max_epochs=12, callbacks=[Interrupt(6, how)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(bent)
    assert 0 < model.best_epoch_ <= model.n_iter_ <= 7
    assert model.n_iter_ >= 6

    # The weights are those of the same epoch in a fit that no one interrupted.
    class Keep(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == model.best_epoch_:
                self.weights = {k: v.clone() for k, v in net.module_.state_dict().items()}

    keep = Keep()
    cls(2, random_state=0, max_epochs=12, callbacks=[keep]).fit(bent)
    for name, value in model.net_.module_.state_dict().items():
        if not name.startswith("noise") or model.noise_varies_:  # noise is learned aside
            assert torch.equal(value, keep.weights[name])
    assert np.isfinite(model.score(bent))


def test_a_failed_fit_leaves_the_fitted_estimator_as_it_was(bent, iris):
    model = AutoencoderTransformer(2, random_state=0, max_epochs=3).fit(bent)
    before, codes = vars(model).copy(), model.transform(bent)
    model.set_params(callbacks=[Interrupt(2, "error")])
    before["callbacks"] = model.callbacks
    with pytest.raises(RuntimeError, match="a callback's own"):
        model.fit(iris)
    bad = iris.copy()
    bad[3, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.fit(bad)
    assert vars(model) == before
    np.testing.assert_array_equal(model.transform(bent), codes)


def test_a_failed_first_fit_leaves_nothing(iris):
    model = AutoencoderTransformer(2, callbacks=[Interrupt(1, "error")])
    before = vars(model).copy()
    with pytest.raises(RuntimeError):
        model.fit(iris)
    assert vars(model) == before


# warm_start


def test_warm_start_goes_on(bent):
    options = {"max_epochs": 10, "random_state": 0, "validation_fraction": None}
    model = AutoencoderTransformer(2, warm_start=True, **options).fit(bent)
    first, codes = model.net_, model.transform(bent)
    losses = [model.loss_curve_[-1]]
    for _ in range(3):
        model.fit(bent)
        losses.append(model.loss_curve_[-1])
    assert losses == sorted(losses, reverse=True)
    again = AutoencoderTransformer(2, **options).fit(bent)
    np.testing.assert_array_equal(again.transform(bent), codes)
    assert again.loss_curve_[-1] == losses[0]
    kept = inference_module(first, np.float32)[0]
    assert kept is not model.net_.module_


def test_warm_start_begins_where_the_last_fit_ended(bent):
    model = VAETransformer(2, random_state=0, warm_start=True, max_epochs=30).fit(bent)
    level = model.validation_curve_[model.best_epoch_]
    model.set_params(max_epochs=0).fit(bent)
    assert model.validation_curve_[0] == pytest.approx(level, rel=1e-6)
    trained = model.score(bent)
    model.set_params(max_epochs=1, lr=1e-12, validation_fraction=0.2).fit(bent)
    of_start = VAETransformer(2, max_epochs=1, lr=1e-12, random_state=0).fit(bent).loss_curve_[0]
    assert model.loss_curve_[0] < of_start - 0.1  # what it trains is what was fitted
    assert model.score(bent) == pytest.approx(trained, abs=0.1)


@pytest.mark.parametrize(
    "change", [{"latent_dim": 3}, {"hidden_layer_sizes": (5,)}, {"activation": "relu"}]
)
def test_warm_start_needs_the_same_network(change, bent):
    model = AutoencoderTransformer(2, warm_start=True, max_epochs=1).fit(bent)
    with pytest.raises(ValueError, match=f"{next(iter(change))} was .* and is .*warm_start=False"):
        model.set_params(**change).fit(bent)
    with pytest.raises(ValueError, match="4 features"):
        model.set_params(**{name: getattr(AutoencoderTransformer(), name) for name in change}).fit(
            bent[:, :4]
        )


# skorch callbacks


def test_batch_hooks_are_called_and_change_nothing(bent):
    counts = dict.fromkeys(["on_batch_begin", "on_batch_end", "on_grad_computed"], 0)

    class Count(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            counts["on_batch_begin"] += 1

        def on_batch_end(self, net, batch=None, training=False, **kwargs):
            counts["on_batch_end"] += 1
            assert kwargs["loss"].isfinite()

        def on_grad_computed(self, net, named_parameters, **kwargs):
            counts["on_grad_computed"] += 1
            assert all(value.grad is not None for _, value in named_parameters)

    options = {"max_epochs": 3, "batch_size": 100, "random_state": 0, "validation_fraction": None}
    hooked = AutoencoderTransformer(2, callbacks=[Count()], **options).fit(bent)
    assert set(counts.values()) == {12}
    assert len(hooked.net_.history[0]["batches"]) == 4
    plain = AutoencoderTransformer(2, **options).fit(bent)
    assert len(plain.net_.history[0]["batches"]) == 1
    np.testing.assert_array_equal(hooked.transform(bent), plain.transform(bent))
    np.testing.assert_allclose(hooked.loss_curve_, plain.loss_curve_)


def test_gradient_clipping_clips(bent):
    options = {"optimizer": "sgd", "max_epochs": 2, "random_state": 0, "validation_fraction": None}
    still = AutoencoderTransformer(
        2, callbacks=[GradientNormClipping(1e-12)], weight_decay=0.0, **options
    ).fit(bent)
    start = AutoencoderTransformer(2, **options).set_params(max_epochs=0).fit(bent)
    np.testing.assert_allclose(still.transform(bent), start.transform(bent), atol=1e-8)


def test_learning_rate_rises_then_falls_to_nothing(bent):
    rates = []

    class Watch(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            rates.append([group["lr"] for group in net.optimizer_.param_groups])

    options = {"max_epochs": 10, "batch_size": 20, "validation_fraction": None}
    AutoencoderTransformer(2, lr=0.01, callbacks=[Watch()], **options).fit(bent)
    rates = np.array(rates)
    assert rates.shape[0] == 200
    assert (rates == rates[:, :1]).all()
    assert 8 <= rates[:, 0].argmax() <= 11
    assert 0.009 < rates.max() <= 0.01
    assert rates[0, 0] < 0.001
    assert rates[-1, 0] < 1e-5


def test_a_scheduler_of_the_users_replaces_the_schedule(bent):
    scheduler = LRScheduler(policy="StepLR", step_size=1, gamma=0.5, step_every="epoch")
    rates = []

    class Watch(Callback):
        def on_epoch_begin(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    AutoencoderTransformer(2, lr=0.01, max_epochs=3, callbacks=[scheduler, Watch()]).fit(bent)
    assert rates == [0.01, 0.005, 0.0025]


def test_skorch_early_stopping_is_no_interrupt(bent):
    stop = EarlyStopping(monitor="valid_loss", patience=2, threshold=1e9, threshold_mode="abs")
    model = AutoencoderTransformer(2, callbacks=[stop], random_state=0).fit(bent)
    assert model.n_iter_ == 3


def test_checkpoint(bent, tmp_path):
    checkpoint = Checkpoint(dirname=tmp_path, monitor="valid_loss_best")
    options = {"max_epochs": 5, "random_state": 0}
    model = AutoencoderTransformer(2, callbacks=[checkpoint], **options).fit(bent)
    assert (tmp_path / "params.pt").exists()
    plain = AutoencoderTransformer(2, **options).fit(bent)
    np.testing.assert_array_equal(model.transform(bent), plain.transform(bent))


def test_an_optimizer_class(bent):
    for optimizer in (torch.optim.RMSprop, torch.optim.LBFGS):
        model = AutoencoderTransformer(
            2, optimizer=optimizer, lr=0.005, max_epochs=2, batch_size=400, random_state=0
        ).fit(bent)
        assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_weight_decay_spares_the_noise(bent):
    vae = VAETransformer(2, weight_decay=0.3, max_epochs=1, random_state=0).fit(bent)
    groups = vae.net_.optimizer_.param_groups
    assert sorted(group["weight_decay"] for group in groups) == [0.0, 0.3]
    spared = next(group for group in groups if group["weight_decay"] == 0.0)
    assert [tuple(p.shape) for p in spared["params"]] == [(6,)]


# Progress


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_silence(cls, bent, capfd):
    cls(2, max_epochs=2).fit(bent).sample(3)
    out, err = capfd.readouterr()
    assert out == err == ""


def test_one_progress_bar_with_epoch_and_losses(bent):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        model = AutoencoderTransformer(2, max_epochs=4, verbose=1, random_state=0).fit(bent)
    last = err.getvalue().split("\r")[-1]
    assert "4/4" in last
    assert f"train_loss={model.loss_curve_[-1]:.3g}"[:15] in last
    assert "valid_loss=" in last
    assert err.getvalue().count("\n") == 1
    assert out.getvalue() == ""


# Threads


def test_threads_are_left_as_they_were(bent):
    inside = []

    class Watch(Callback):
        def on_epoch_end(self, net, **kwargs):
            inside.append(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(2)  # workers have one, of which none can be taken away
    try:
        AutoencoderTransformer(2, max_epochs=1, callbacks=[Watch()]).fit(bent)
        assert inside == [1]
        assert torch.get_num_threads() == 2
        AutoencoderTransformer(
            2, max_epochs=1, hidden_layer_sizes=(8192, 8), batch_size=400, callbacks=[Watch()]
        ).fit(bent)
        assert inside[1] == 2
    finally:
        torch.set_num_threads(before)


def test_weights_of_an_epoch_are_a_moving_average():
    """`steps` grows by 1 an epoch; share 1/2 with 20 epochs, and 1/epoch in the first ones."""
    seen = []

    class Watch(Callback):
        def on_epoch_begin(self, net, **kwargs):
            # Training goes on from the latest weights.
            assert round(net.module_.steps.item(), 4) == len(seen)

        def on_epoch_end(self, net, **kwargs):
            seen.append(net.module_.steps.item())

    net, split = scripted([ROWS] * 21)
    net.callbacks_.append(("watch", Watch()))
    net.partial_fit(split)
    average = [1.0]
    for step in range(2, 21):
        average.append(average[-1] + (step - average[-1]) / 2)
    assert seen == pytest.approx(average)


def test_callbacks_may_change_weights_after_an_epoch(bent):
    """As in weight clipping: training goes on from the changed weights."""
    limit, found = 0.02, []

    class Clip(Callback):
        def on_epoch_end(self, net, **kwargs):
            for value in net.module_.encoder.parameters():
                value.data.clamp_(-limit, limit)

        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) > 1:
                found.append(max(v.abs().max().item() for v in net.module_.encoder.parameters()))

    AutoencoderTransformer(2, max_epochs=4, random_state=0, callbacks=[Clip()]).fit(bent)
    assert found
    assert max(found) <= limit


def test_squared_errors_are_compared_as_distances_too():
    """A row far out has most of the squared error, but as many distances as any other."""
    of_start, losses = ROWS.copy(), ROWS * 0.8
    of_start[0], losses[0] = 1e4, 0.99e4
    plain, squared = Judge(1e-5), Judge(1e-5, squared=True)
    assert squared.beats(losses, of_start)
    assert not plain.beats(losses, of_start)
    losses[0] = 1.01e4  # closer rows do not make up for a larger squared error
    assert not squared.beats(losses, of_start)
    losses = ROWS * 1.1  # nor does one row for larger distances
    losses[0] = 0.99e4
    assert losses.mean() < of_start.mean()
    assert not squared.beats(losses, of_start)
    assert squared.level(np.array([4.0, 16.0])) == 3.0
