"""Modes of torch and numpy that a caller is in change nothing, and are there afterwards."""

import contextlib
import inspect
import pickle

import numpy as np
import pytest
import torch
from _estimators import ESTIMATORS
from torch import nn

from skae import AutoencoderTransformer, VAETransformer
from skae.points import normal_points


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def default_device():
    torch.set_default_device("meta")
    try:
        yield
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def several():
    with torch.inference_mode(), np.errstate(all="raise"), torch.autocast("cpu", torch.float16):
        yield
        assert torch.is_autocast_enabled("cpu")
        assert torch.is_inference_mode_enabled()


MODES = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "errstate": lambda: np.errstate(all="raise"),
    "deterministic": deterministic,
    "default_device": default_device,
    "device": lambda: torch.device("meta"),
    "several": several,
}


@pytest.fixture(scope="module")
def rows(iris):
    return iris[::3]


@pytest.fixture(scope="module")
def results(rows):
    """What every estimator answers, in no mode at all."""
    return {cls: everything(cls, rows) for cls in ESTIMATORS}


def everything(cls, X, mode=contextlib.nullcontext, **options):
    """All that is fitted and answered, everything in a mode of its own."""

    def call(method, *args, **kwargs):
        with mode():
            return method(*args, **kwargs)

    model = call(cls(2, max_epochs=2, random_state=0, **options).fit, X)
    chunks = cls(2, max_epochs=2, random_state=0, **options)
    for chunk in (X[::2], X[1::2]):
        call(chunks.partial_fit, chunk)
    copied = call(pickle.loads, pickle.dumps(chunks))
    names = "loss_curve_", "noise_variance_", "components_", "explained_variance_ratio_"
    out = {name: getattr(model, name) for name in names if hasattr(model, name)}
    for name, fitted in (("fit", model), ("chunks", chunks), ("copied", copied)):
        weights = fitted.net_.module_.state_dict().values()
        assert not any(value.is_inference() for value in weights)
        Z = call(fitted.transform, X)
        out[name, "transform"] = Z
        out[name, "transform float32"] = call(fitted.transform, X[:5].astype(np.float32))
        out[name, "inverse_transform"] = call(fitted.inverse_transform, Z)
        out[name, "interpolate"] = call(fitted.interpolate, X[:3], X[3:6])
        out[name, "sample"] = call(fitted.sample, 5, random_state=1)
        for method in ("reconstruct", "score_samples", "score", "posterior", "downsample"):
            if hasattr(fitted, method):
                out[name, method] = call(getattr(fitted, method), X)
        if cls in (AutoencoderTransformer, VAETransformer):
            out[name, "get_precision"] = call(fitted.get_precision)
        if hasattr(fitted, "upscale"):
            out[name, "upscale"] = call(fitted.upscale, fitted.downsample(X))
    out["goes on"] = call(copied.partial_fit, X).loss_curve_
    assert copied.fit(X).n_iter_ == 2
    return out


@pytest.mark.parametrize(
    ("cls", "mode"),
    [(VAETransformer, mode) for mode in MODES]
    + [(cls, mode) for cls in ESTIMATORS for mode in ("float16", "several")],
)
def test_modes_change_nothing(cls, mode, rows, results):
    normal_points.cache_clear()
    for name, value in everything(cls, rows, MODES[mode]).items():
        np.testing.assert_array_equal(value, results[cls][name], err_msg=str(name))
    normal_points.cache_clear()


def own(input_shape, n_codes, latent_dim):
    n = int(np.prod(input_shape))
    encoder = nn.Sequential(
        nn.LazyLinear(8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, n_codes)
    )
    return encoder, nn.Sequential(nn.Linear(latent_dim, 8), nn.Tanh(), nn.Linear(8, n))


@pytest.mark.parametrize("mode", ["no_grad", "default_device", "several"])
def test_nor_with_a_network_of_ones_own(mode, rows):
    options = {"network": own, "batch_size": 16}
    expected = everything(AutoencoderTransformer, rows, **options)
    for name, value in everything(AutoencoderTransformer, rows, MODES[mode], **options).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=str(name))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_ones_own_may_be_made_in_another_dtype(dtype, rows):
    """Its weights are drawn in that dtype, as the code of its author asks for."""
    with default_dtype(dtype):
        model = AutoencoderTransformer(2, network=own, max_epochs=2, random_state=0).fit(rows)
        Z = model.transform(rows)
    assert all(value.dtype != dtype for value in model.net_.module_.parameters())
    np.testing.assert_array_equal(model.transform(rows), Z)


@pytest.mark.parametrize("network", ["conv", "recurrent", "hierarchical"])
@pytest.mark.parametrize("mode", ["float16", "several"])
def test_nor_with_other_networks(mode, network, digits):
    X = digits[0][:40].reshape(-1, 8, 8)
    options = {"network": network, "max_epochs": 1, "random_state": 0}
    expected = AutoencoderTransformer(2, **options).fit(X)
    with MODES[mode]():
        model = AutoencoderTransformer(2, **options).fit(X)
        Z = model.transform(X)
    np.testing.assert_array_equal(Z, expected.transform(X))


@pytest.mark.parametrize("mode", ["float16", "several", "device"])
def test_nor_with_ordered_codes(mode, rows):
    options = {"ordered": True, "max_epochs": 1, "random_state": 0}
    expected = AutoencoderTransformer(3, **options).fit(rows)
    with MODES[mode]():
        model = AutoencoderTransformer(3, **options).fit(rows)
        first = model.truncate(1)
        assert first.transform(rows).shape == (50, 1)
    np.testing.assert_array_equal(model.transform(rows), expected.transform(rows))
    ratios = expected.explained_variance_ratio_
    np.testing.assert_array_equal(model.explained_variance_ratio_, ratios)
    assert first.set_params(max_epochs=1).partial_fit(rows).n_iter_ == 2


def test_inference_mode_that_an_interrupt_has_left_on(rows):
    """As Ctrl-C may, between torch's entry into the mode and Python's into the block."""
    mode = torch.inference_mode()
    mode.__enter__()
    try:
        model = AutoencoderTransformer(2, max_epochs=2, random_state=0).fit(rows)
        assert torch.is_inference_mode_enabled()
    finally:
        mode.__exit__(None, None, None)
    assert not any(value.is_inference() for value in model.net_.module_.state_dict().values())
    assert model.partial_fit(rows).n_iter_ == 3


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_modes_are_put_back_after_an_error(cls, rows):
    model = cls(2, max_epochs=1, random_state=0).fit(rows)
    with several():
        for method in (model.fit, model.partial_fit, model.transform, model.reconstruct):
            with pytest.raises(ValueError, match="X"):
                method([["a"]])
            assert torch.is_inference_mode_enabled()
            assert torch.is_autocast_enabled("cpu")
            assert set(np.geterr().values()) == {"raise"}


def test_methods_are_what_they_were():
    for cls in ESTIMATORS:
        assert str(inspect.signature(cls.interpolate)) == "(self, X_a, X_b, steps=8)"
        assert cls.interpolate.__doc__.startswith("Interpolate between rows")


def test_what_is_not_fitted_says_so_without_torch():
    with pytest.raises(ValueError, match="not fitted"):
        AutoencoderTransformer().transform([[1.0, 2.0]])
