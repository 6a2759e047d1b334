"""Estimators on a GPU, with a device that is simulated on the CPU: see `_ghost`.

Only one process knows the device, and tests have it call the functions of this module.
"""

import copy
import functools
import multiprocessing
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from torch import nn
from torch.utils import backend_registration

import skae
from skae import devices
from skae.data import sources
from skae.data.batches import gram_on

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this version of torch knows no device that is written in Python",
)


def begin():
    import _ghost

    _ghost.register()
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", ConvergenceWarning)  # of latents that say nothing


def simulated(**options):
    """The device, in the process that knows it."""
    from _ghost import Ghost

    return Ghost(**options)


@pytest.fixture(scope="module")
def there():
    """Calls a function of this module in the process that knows the device."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning, initializer=begin) as executor:
        yield lambda function, *args: executor.submit(function, *args).result()


# Cases


@dataclass
class Case:
    cls: Any
    X: np.ndarray
    options: dict = field(default_factory=dict)
    given: dict = field(default_factory=dict)  # beside X, to `fit`
    beside: tuple = ()  # which of these the verbs take, too
    is_captured: bool = True

    def model(self, **options):
        plain = {"max_epochs": 2, "batch_size": 40, "lr": 5e-3, "random_state": 0}
        return self.cls(2, **{**plain, **self.options, **options})

    def rows(self, some):
        """X and what is given with it, of some rows."""
        return self.X[some], {name: value[some] for name, value in self.given.items()}


def level(X, level, rng):
    return X + level * rng.standard_normal(X.shape)


def own(input_shape, n_codes, latent_dim):
    n = int(np.prod(input_shape))
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(n, 8), nn.Tanh(), nn.Linear(8, n_codes))
    return encoder, nn.Linear(latent_dim, n)


def _cases():
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-2, 2, (2, 200))
    X = np.column_stack([u, v, u**2, v**2, u * v, np.sin(2 * u)])
    X += 0.05 * rng.standard_normal(X.shape)
    P = (X - X.min(0)) / np.ptp(X, axis=0)
    images = rng.random((200, 1, 6, 6)).astype(np.float32)
    bins = np.digitize(np.column_stack([u, v, u + v, u - v]), [-0.7, 0.7])
    steps = np.eye(3)[bins]
    of_steps = {"network": "recurrent", "likelihood": "categorical", "hidden_layer_sizes": (8,)}
    ae, vae, den = skae.AutoencoderTransformer, skae.VAETransformer, skae.DenoisingAutoencoder
    aae, sr, cvae = (
        skae.AdversarialAutoencoder,
        skae.SuperResolutionAutoencoder,
        skae.ConditionalVAE,
    )
    conv = {"network": "conv", "hidden_layer_sizes": (4, 4)}
    return {
        "ae": Case(ae, X),
        "ae float32": Case(ae, X.astype(np.float32)),
        "ae ordered": Case(ae, X, {"ordered": True}),
        "ae bernoulli": Case(ae, P, {"likelihood": "bernoulli"}),
        "ae random": Case(ae, X, {"init": "random"}),
        "ae sgd": Case(ae, X, {"optimizer": "sgd", "lr": 0.02}),
        "ae adam": Case(ae, X, {"optimizer": "adam"}),
        "ae own": Case(ae, X, {"network": own, "input_shape": (6,)}),
        "ae conv": Case(ae, images, conv),
        "ae recurrent": Case(ae, steps, of_steps),
        "vae": Case(vae, X),
        "vae warm": Case(vae, X, {"beta_warmup": 2}),
        "vae bernoulli": Case(vae, P, {"likelihood": "bernoulli"}),
        "vae recurrent": Case(vae, steps, of_steps),
        "vae hierarchical": Case(vae, steps, {**of_steps, "network": "hierarchical"}),
        "vae conv": Case(vae, images, conv),
        "vae bf16": Case(vae, X, {"precision": "bf16"}),
        "cvae": Case(cvae, X, {}, {"y": (u > 0).astype(int)}, ("y",)),
        "cvae numbers": Case(cvae, X, {}, {"y": u}, ("y",)),
        "den gaussian": Case(den, X),
        "den masking": Case(den, X, {"corruption": "masking"}),
        "den salt": Case(den, X, {"corruption": "salt_and_pepper"}),
        "den swap": Case(den, X, {"corruption": "swap"}),
        "den own": Case(den, X, {"corruption": level}, is_captured=False),
        "den pairs": Case(den, X, {}, {"X_clean": 0.9 * X}),
        "aae": Case(aae, X),
        "aae all rows": Case(aae, X, {"validation_fraction": None}),
        "aae swiss roll": Case(aae, X, {"prior": "swiss_roll"}),
        "sr": Case(sr, X),
        "sr conv": Case(sr, images, {"network": "conv", "hidden_layer_sizes": (4, 4)}),
    }


CASES = _cases()
every_case = pytest.mark.parametrize("name", CASES)
# Of the cases that differ in a loss or a distribution alone there is one.
OF_DATA = (
    *("ae float32", "ae ordered", "ae own", "ae conv", "ae recurrent", "vae hierarchical"),
    *("vae bf16", "cvae", "cvae numbers", "den salt", "den own", "den pairs", "aae", "sr conv"),
)


def whole(case, **options):
    return case.model(**options).fit(case.X, **case.given)


def large(case, **options):
    """A fit of a table that counts as too large to copy."""
    with mock.patch.object(sources, "RESIDENT", 500):
        return whole(case, **options)


def in_chunks(case, **options):
    model = case.model(**options)
    for some in np.array_split(np.arange(len(case.X)), 2):
        X, given = case.rows(some)
        model.partial_fit(X, **given)
    return model


def warm_start(case, **options):
    return whole(case, max_epochs=1, warm_start=True, **options).fit(case.X, **case.given)


def results(case, model):
    """What can be asked of a model, by name."""
    X, given = case.rows(slice(50))
    beside = [given[name] for name in case.beside]
    target = {"X_clean": given["X_clean"]} if "X_clean" in given else {}
    conditions = {name: given[name][:3] for name in case.beside}
    return {
        "codes": model.transform(X, *beside),
        "rows": model.reconstruct(X, *beside),
        "scores": model.score_samples(X, *beside, **target),
        "samples": model.sample(3, random_state=1, **conditions),
        "losses": model.loss_curve_,
        "held out": model.validation_curve_,
    }


@functools.cache
def on_the_cpu(name, fit):
    return results(CASES[name], fit(CASES[name]))


def is_half(name):
    return CASES[name].options.get("precision") == "bf16"


def agree(name, found, expected):
    """Whether two models say the same, and have learned something that they could differ in."""
    tolerance = 2e-4 if is_half(name) else 1e-5
    curve = expected["held out"] if len(expected["held out"]) else expected["losses"]
    assert np.ptp(curve) > 10 * tolerance
    for what, value in expected.items():
        np.testing.assert_allclose(found[what], value, rtol=0, atol=tolerance, err_msg=what)


def compare(name, fit, **options):
    """Fit on the device and on the CPU; returns the device."""
    with simulated(**options) as device:
        model = fit(CASES[name], device="ghost")
        assert model.device_ == "ghost"
        agree(name, results(CASES[name], model), on_the_cpu(name, fit))
    assert (torch.bfloat16 in device.dtypes) == is_half(name)
    return device


# Training and the verbs


def eager(name):
    assert not compare(name, whole, captures=False).n_captures


def captured(name):
    case, device = CASES[name], compare(name, whole)
    n_train = 200 if case.options.get("validation_fraction", 0.1) is None else 150
    n_epochs = 2 - (case.options.get("beta_warmup", 1) - 1)  # before that the loss changes
    n_replays = n_epochs * (n_train // 40) if case.is_captured else 0
    assert (device.n_captures, device.n_replays) == (case.is_captured, n_replays)


def without_float64(name):
    compare(name, whole, float64=False, free_memory=None, captures=False)


@every_case
@pytest.mark.parametrize("how", [eager, captured, without_float64])
def test_a_fit_agrees_with_one_on_the_cpu(how, name, there):
    there(how, name)


def streamed(name):
    assert not compare(name, large, free_memory=0).n_captures


def chunks(name):
    assert not compare(name, in_chunks).n_captures


def warm(name):
    assert compare(name, warm_start).n_captures == 2 * CASES[name].is_captured


@pytest.mark.parametrize("name", OF_DATA)
@pytest.mark.parametrize("how", [streamed, chunks, warm])
def test_other_ways_to_train_agree_with_the_cpu(how, name, there):
    there(how, name)


def kept_whole(name):
    plain = devices.KINDS["cpu"]
    roomy = devices.Kind(count=plain.count, free_memory=lambda device: 2**40)
    with mock.patch.dict(devices.KINDS, {"cpu": roomy}):
        on_the_cpu(name, large)
    assert compare(name, large).n_replays == 6  # so rows are there, and are not streamed
    on_the_cpu.cache_clear()


@pytest.mark.parametrize("name", ["ae", "cvae"])
def test_a_large_table_is_kept_on_the_device_where_it_fits(name, there):
    there(kept_whole, name)


# What is asked of a device


def memory_and_products():
    X = np.random.default_rng(0).standard_normal((30, 4))
    n_bytes = 2 * 4 * X.size + 2 * 4 * X.size  # in float32, and as much to spare
    with simulated(free_memory=n_bytes) as device:
        assert not devices.fits_on("ghost:0", X)
        device.free_memory += 1
        assert devices.fits_on("ghost:0", X)
        np.testing.assert_allclose(gram_on("ghost")(X), X.T @ X, rtol=1e-14)
        assert device.n_reads == 2  # there and back
    with simulated(float64=False):
        assert gram_on("ghost") is None
        assert devices.float64_device("ghost") == "cpu"
    assert not devices.is_available("ghost")
    assert not devices.fits_on("cpu", X)
    assert gram_on("cpu") is None


def test_memory_and_products(there):
    there(memory_and_products)


def reads_of_a_fit(batch_size, captures):
    options = {"batch_size": batch_size, "validation_fraction": None, "device": "ghost"}
    with simulated(captures=captures) as device:
        CASES["vae"].model(**options).fit(CASES["vae"].X)
    return device.n_reads


@pytest.mark.parametrize("captures", [False, True])
def test_the_host_waits_as_often_however_many_batches_there_are(captures, there):
    few, many = (there(reads_of_a_fit, size, captures) for size in (100, 20))
    assert few == many


# Files


def fitted_there(name):
    """A model, which comes back pickled, with what it says there and what its copies say."""
    case = CASES[name]
    with simulated():
        model = whole(case, device="ghost")
        before = results(case, model)
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert again.device_ == "ghost"
            agree(name, results(case, again), before)
        return pickle.dumps(model), before


@pytest.mark.parametrize("name", ["ae", "ae own", "vae recurrent", "cvae", "den salt", "aae", "sr"])
def test_a_file_is_read_where_the_device_is_not(name, there):
    file, before = there(fitted_there, name)
    model = pickle.loads(file)
    assert model.device_ == "cpu"
    agree(name, results(CASES[name], model), before)


# Graphs


def hardly_a_batch(batch_size):
    case = CASES["ae"]
    expected = case.model(batch_size=batch_size).fit(case.X)
    with simulated() as device:
        model = case.model(batch_size=batch_size, device="ghost").fit(case.X)
    assert device.n_replays == 2 * (150 // batch_size)
    np.testing.assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [75, 149, 150, 151, 1000])
def test_replays_with_hardly_a_batch(batch_size, there):
    there(hardly_a_batch, batch_size)


def compares_rows(input_shape, n_codes, latent_dim):
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, n_codes))
    return encoder, nn.Linear(latent_dim, 6)


def of_compared_rows(batch_size, n_replays):
    case, options = CASES["ae"], {"batch_size": batch_size, "network": compares_rows}
    X = case.X[:196]  # of which 147 are trained on: a last one alone joins the batch before
    expected = case.model(**options).fit(X)
    with simulated() as device:
        model = case.model(device="ghost", **options).fit(X)
        mean, variance = (
            [
                m.net_.module_.state_dict()[f"encoder.module.1.{name}"].cpu()
                for m in (model, expected)
            ]
            for name in ("running_mean", "running_var")
        )
    assert device.n_replays == n_replays
    np.testing.assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-5)
    torch.testing.assert_close(*mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(*variance, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("batch_size", "n_replays"), [(2, 144), (73, 2), (146, 0), (1000, 0)])
def test_replays_of_networks_that_compare_rows(batch_size, n_replays, there):
    there(of_compared_rows, batch_size, n_replays)


class Hook(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


def not_replayed():
    case = CASES["ae"]
    with simulated() as device:
        options = {"device": "ghost", "max_epochs": 1}
        case.model(callbacks=[Hook()], **options).fit(case.X)
        case.model(optimizer=torch.optim.Adagrad, **options).fit(case.X)
        case.model(network=drops, **options).fit(case.X)
    assert not device.n_captures


def test_what_cannot_be_replayed_is_not(there):
    there(not_replayed)


class ReadsANumber(nn.Module):
    """Counts its steps, too, and learns something else in each."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.register_buffer("n_steps", torch.zeros(()), persistent=False)

    def forward(self, x):
        out = self.layer(x)
        if self.training:
            self.n_steps += 1
            out = out * self.n_steps
        return out / max(1.0, out.abs().max().item())


def reads_a_number(*sizes):
    encoder, decoder = compares_rows(*sizes)
    return ReadsANumber(encoder), decoder


def failed_capture(optimizer):
    """Fits of a VAE whose capture fails in its step, and before anything is done; and without."""
    case = CASES["vae"]
    options = {"network": reads_a_number, "optimizer": optimizer, "device": "ghost"}
    found = []
    for capture in (None, failing):
        with simulated() as device, warnings.catch_warnings(record=True) as warned:
            if capture is not None:
                devices.KINDS["ghost"] = replace(devices.KINDS["ghost"], capture=capture)
            warnings.simplefilter("always", UserWarning)
            model = case.model(**options).fit(case.X)
            state = {k: v.cpu().numpy() for k, v in model.net_.module_.state_dict().items()}
            (warning,) = warned
            assert warning.filename == __file__
            found.append((str(warning.message), {**results(case, model), **state}))
        assert not device.n_captures
    with simulated(captures=False):
        found.append(results(case, case.model(**options).fit(case.X)))
    return found


def failing(trial, step, generator):
    raise RuntimeError("no graphs today\nsecond line")


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_a_capture_that_fails_changes_nothing(optimizer, there):
    (message, found), (other, expected), eager = there(failed_capture, optimizer)
    assert "captured in a CUDA graph: operation not permitted when a step" in message
    assert "Have the network read no numbers on the host" in message
    assert "graph: no graphs today. Have" in other
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    agree("vae", found, eager)  # but for rounding, as its optimiser has a number for its rate


def drops(input_shape, n_codes, latent_dim):
    encoder = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, n_codes))
    return encoder, nn.Linear(latent_dim, 6)


def noise_of_a_network():
    """Losses of a network with dropout, which the device lets draw from its generator alone."""
    case = CASES["ae"]
    with simulated():
        seeds = (0, 0, 1)
        options = {"network": drops, "device": "ghost", "lr": 0.1}
        models = [case.model(random_state=seed, **options).fit(case.X) for seed in seeds]
    still = case.model(network=without_dropout, lr=0.1).fit(case.X)
    return [model.loss_curve_ for model in (*models, still)]


def without_dropout(*sizes):
    encoder, decoder = drops(*sizes)
    encoder[1].p = 0.0
    return encoder, decoder


def test_dropout_draws_from_the_generator_of_the_device(there):
    one, same, other, still = there(noise_of_a_network)
    np.testing.assert_array_equal(one, same)
    for different in (other, still):
        assert np.abs(one - different).min() > 1e-5


# The device itself


def refused(error, message, operation):
    with pytest.raises(error, match=message):
        operation()


def strict():
    from _ghost import CaptureError, DeviceMixUp

    with simulated() as device:
        x, here = torch.ones(3, 4, device="ghost"), torch.Generator("ghost").manual_seed(0)
        mixed = "Expected all tensors to be on the same device"
        refused(DeviceMixUp, mixed, lambda: x + torch.ones(3, 4))
        refused(DeviceMixUp, mixed, lambda: torch.cat([x, torch.ones(3, 4)]))
        refused(DeviceMixUp, mixed, lambda: torch.ones(()).add_(x[0, 0]))
        refused(DeviceMixUp, "generator on cpu", lambda: x.normal_(generator=torch.Generator()))
        refused(DeviceMixUp, "global generator", lambda: torch.randn(3, device="ghost"))
        refused(DeviceMixUp, "global generator", lambda: nn.functional.dropout(x))
        refused(RuntimeError, "numpy", lambda: x.numpy())

        waits = "not permitted when a step is captured"
        noise = functools.partial(torch.randn, 3, device="ghost")
        for message, step in (
            (waits, lambda: x.sum().item()),
            (waits, lambda: x[x > 0]),
            (waits, lambda: x.cpu()),
            (waits, lambda: torch.ones(3).to("ghost")),
            ("generator that the capture does not know", lambda: noise(generator=here)),
        ):
            of_capture = torch.Generator("ghost")
            refused(CaptureError, message, functools.partial(device.capture, int, step, of_capture))
            of_failed = functools.partial(noise, generator=of_capture)
            refused(CaptureError, "a capture that failed", of_failed)
    assert torch.Generator is torch._C.Generator
    assert "ghost" not in devices.KINDS
    refused(NotImplementedError, "ghost", lambda: torch.ones(3, device="ghost"))


def test_the_device_is_strict_and_leaves_nothing_behind(there):
    there(strict)


def replayed():
    with simulated() as device:
        total, noise = torch.zeros(2, device="ghost"), torch.Generator("ghost").manual_seed(0)
        calls = []

        def step():
            calls.append(len(calls))
            total.add_(torch.ones(2, device="ghost") + len(calls))
            total.add_(torch.randn(2, device="ghost", generator=noise))

        replay = device.capture(lambda: None, step, noise)
        assert torch.equal(total.cpu(), torch.zeros(2))  # a capture computes nothing
        for _ in range(3):
            replay()
        assert calls == [0]  # Python has no more say
        drawn = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(total.cpu(), 3 * 2.0 + drawn.sum(0))


def test_a_replay_does_what_was_recorded(there):
    there(replayed)
