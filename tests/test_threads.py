"""Settings of a process: threads that a forked child cannot wait for, and the switches of TF32."""

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from _programs import output_of
from skorch.callbacks import Callback
from torch import nn

from skae import AutoencoderTransformer, SuperResolutionAutoencoder, devices
from skae.threads import tensor_floats

FORKED = """
import multiprocessing
import numpy as np
import torch
from skae import AutoencoderTransformer, VAETransformer

X = np.random.default_rng(0).standard_normal((600, 64))
options = {"hidden_layer_sizes": (512, 256), "batch_size": 256, "max_epochs": 1, "random_state": 0}


def fit(part):
    both = AutoencoderTransformer, VAETransformer
    return [cls(2, **options).fit(part).score(part) for cls in both]


if __name__ == "__main__":
    torch.set_num_threads(2)
    model = AutoencoderTransformer(2, **options).fit(X)
    model.sample(2)
    parts = np.array_split(X, 2)
    for function in (model.transform, model.score, model.sample, model.partial_fit, fit):
        arguments = (2, 3) if function == model.sample else parts
        with multiprocessing.get_context("fork").Pool(2) as pool:
            there = pool.map_async(function, arguments).get(100)
        if function == model.transform:
            np.testing.assert_allclose(np.concatenate(there), model.transform(X), atol=1e-5)
    print("done", torch.get_num_threads())
"""


def test_forked_children_return():
    assert output_of(FORKED, OMP_NUM_THREADS="2") == "done 2\n"


EXACT, ROUNDED, DEFAULT = ["ieee"] * 3, ["tf32"] * 3, ["none", "tf32", "tf32"]


def owners():
    """Of the switches for products of matrices, convolutions and recurrent layers."""
    cudnn = torch.backends.cudnn
    return torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn


def switches():
    return [owner.fp32_precision for owner in owners()]


def switch(values):
    for owner, value in zip(owners(), values, strict=True):
        owner.fp32_precision = value


@pytest.fixture
def put_back():
    """The switches are as torch sets them, before and after."""
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this version of torch has the former switches")
    assert switches() == DEFAULT
    yield
    assert switches() == DEFAULT


@pytest.fixture
def as_on_cuda(monkeypatch, put_back):
    """The CPU has the choice that CUDA has."""
    kind = replace(devices.KINDS["cpu"], tensor_floats=True)
    monkeypatch.setitem(devices.KINDS, "cpu", kind)


class Looking(nn.Module):
    """A layer that writes down the switches of every call."""

    seen: ClassVar[list] = []

    def __init__(self, n_in, n_out):
        super().__init__()
        self.layer = nn.Linear(n_in, n_out)

    def forward(self, x):
        self.seen.append(("step" if self.training else "other", switches()))
        return self.layer(x)


def looking(input_shape, n_codes, latent_dim):
    return Looking(*input_shape, n_codes), nn.Linear(latent_dim, *input_shape)


class Forget(Callback):
    """Forgets the calls by which a network is tried before training."""

    def on_train_begin(self, net, **kwargs):
        Looking.seen.clear()


class Nest(Forget):
    """Asks for float32 in the middle of a step, as `transform` does."""

    def on_batch_begin(self, net, batch, training, **kwargs):
        before = switches()
        with tensor_floats(False, "cpu"):
            assert switches() == EXACT
        assert switches() == before


@pytest.mark.usefixtures("as_on_cuda")
@pytest.mark.parametrize("callback", [Forget, Nest])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_precision_is_that_of_training_steps(precision, method, callback, bent):
    options = {"precision": precision, "callbacks": [callback()], "max_epochs": 1}
    model = AutoencoderTransformer(2, network=looking, **options)
    getattr(model, method)(bent)
    assert switches() == DEFAULT
    model.transform(bent)
    seen = {(where, *values) for where, values in Looking.seen}
    of_steps = ROUNDED if precision == "tf32" else EXACT
    assert seen == {("step", *of_steps), ("other", *EXACT)}


@pytest.mark.usefixtures("as_on_cuda")
def test_convolutions_that_torch_rounds_by_default_are_exact(digits, monkeypatch):
    """Also where what was learned is judged after training, and in every method."""
    seen, convolve = set(), nn.Conv2d.forward

    def forward(layer, x):
        seen.add(tuple(switches()))
        return convolve(layer, x)

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    images = digits[0][:100].reshape(-1, 1, 8, 8)
    model = SuperResolutionAutoencoder(2, network="conv", max_epochs=1).fit(images)
    model.upscale(model.downsample(images))
    model.reconstruct(images)
    assert seen == {tuple(EXACT)}


@pytest.mark.usefixtures("as_on_cuda")
@pytest.mark.parametrize("other", [ROUNDED, ["ieee", "none", "tf32"]])
def test_the_switches_are_put_back(other, bent):
    class Fails(Callback):
        def on_batch_end(self, net, **kwargs):
            raise RuntimeError("in the middle of a step")

    try:
        switch(other)
        for precision in ("float32", "tf32"):
            model = AutoencoderTransformer(2, callbacks=[Fails()], precision=precision)
            with pytest.raises(RuntimeError, match="in the middle"):
                model.fit(bent)
            assert switches() == other
    finally:
        switch(DEFAULT)


@pytest.mark.usefixtures("as_on_cuda")
def test_of_two_fits_the_more_precise_one_decides():
    """Wishes of several threads, which begin and end in turn."""

    class Fit(threading.Thread):
        def __init__(self, wanted):
            super().__init__(daemon=True)
            self.wanted, self.may_end, self.began = wanted, threading.Event(), threading.Event()
            self.start()
            self.began.wait()

        def run(self):
            with tensor_floats(self.wanted, "cpu"):
                self.began.set()
                self.may_end.wait()

        def end(self):
            self.may_end.set()
            self.join()

    first, second = Fit(True), Fit(True)
    assert switches() == ROUNDED
    exact = Fit(False)
    assert switches() == EXACT
    first.end()
    with tensor_floats(True, "cpu"):
        assert switches() == EXACT
    exact.end()
    assert switches() == ROUNDED
    second.end()
    assert switches() == DEFAULT


def test_switches_of_former_versions_of_torch(monkeypatch):
    matmul, cudnn = SimpleNamespace(allow_tf32=False), SimpleNamespace(allow_tf32=True)
    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=matmul), cudnn=cudnn)
    monkeypatch.setattr(torch, "backends", backends)
    for wanted in (False, True):
        with tensor_floats(wanted, "cuda:0"):
            assert (matmul.allow_tf32, cudnn.allow_tf32) == (wanted, wanted)
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (False, True)


@pytest.mark.usefixtures("put_back")
def test_a_cpu_has_no_switches():
    with tensor_floats(True, "cpu"):
        assert switches() == DEFAULT
