"""Bad input: an error before any training, that names the rule and the value."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from _estimators import ESTIMATORS, TAKE_GAPS, TAKE_SPARSE, never_trained
from scipy import sparse

from skae import (
    AdversarialAutoencoder,
    DenoisingAutoencoder,
    SuperResolutionAutoencoder,
    VAETransformer,
)

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
X = np.random.default_rng(0).standard_normal((20, 4))


def put(value):
    bad = X.astype(np.result_type(X, type(value)) if not isinstance(value, str) else object)
    bad[1, 2] = value
    return bad


@every_estimator
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (put(np.nan), r"Input X contains NaN"),  # unless they are missing entries
        (put(np.inf), r"Input X contains infinity"),
        (put("blue"), r"got text among numbers in column 2 \(such as 'blue'\)"),
        (X.astype(str), r"X must hold real numbers; got strings \(dtype <U\d+\)"),
        (pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}), r"got text in column 'a' \(such as 'x'\)"),
        (put(1j), r"Complex data not supported"),
        (X[0], r"Expected 2D array, got 1D array instead(.|\n)*Reshape your data"),
        (X[None], r"rows of shape \(\d+, \d+\)\. Give input_shape=.*X\.reshape\(len\(X\), -1\)"),
        (sparse.csr_array(X), r"X must be dense; got a sparse csr_array .*X\.toarray\(\)"),
        (X[:0], r"Found array with 0 sample\(s\).* minimum of 2 is required"),
        (X[:1], r"Found array with 1 sample\(s\).* minimum of 2 is required"),
        (X[:, :0], r"Found array with 0 feature\(s\)"),
    ],
)
def test_bad_rows(cls, bad, message):
    if "sparse" in message and cls in TAKE_SPARSE:
        bad = bad * np.nan
        message = r"Input X contains NaN in columns 0, 1.*first in row 0\."
    elif "NaN" in message and cls in TAKE_GAPS:
        bad, message = np.where(np.arange(X.shape[1]) == 2, np.nan, X), "got none in column 2"
    with pytest.raises((ValueError, TypeError), match=message):
        never_trained(cls).fit(bad)


@every_estimator
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"latent_dim": -3},
            r"'latent_dim' parameter .* int in the range \[(0|1), inf\).* Got -3",
        ),
        ({"n_components": -1}, r"'n_components' parameter .* Got -1"),
        ({"n_components": True}, r"n_components must be a number; got n_components=True"),
        ({"latent_dim": True}, r"latent_dim must be a number; got latent_dim=True"),
        ({"batch_size": True}, r"batch_size must be a number; got batch_size=True"),
        ({"latent_dim": 0.0}, r"'latent_dim' parameter .* float in the range \(0.*1.*\)"),
        ({"latent_dim": 1.0}, r"'latent_dim' parameter .* Got 1.0"),
        ({"latent_dim": 1.5}, r"'latent_dim' parameter .* Got 1.5"),
        ({"latent_dim": "all"}, r"'latent_dim' parameter .* Got 'all'"),
        (
            {"latent_dim": 5},
            r"latent_dim=5 must be between 0 and min\(n_samples, n_features\)=(4|2); "
            r"X has 20 samples and (4|2) features",  # 2 are left at half the resolution
        ),
        ({"lr": 0.0}, r"'lr' parameter .* \(0.0, inf\). Got 0.0"),
        ({"lr": -1}, r"'lr' parameter .* Got -1"),
        ({"lr": np.inf}, r"'lr' parameter .* Got inf"),
        ({"lr": np.nan}, r"'lr' parameter .* Got nan"),
        ({"batch_size": 0}, r"'batch_size' parameter .* \[1, inf\). Got 0"),
        ({"batch_size": "big"}, r"'batch_size' parameter .*'auto'.* Got 'big'"),
        ({"max_epochs": -1}, r"'max_epochs' parameter .* \[0, inf\). Got -1"),
        ({"hidden_layer_sizes": 0}, r"'hidden_layer_sizes' parameter .* Got 0"),
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes must be positive ints; .*\(8, 0\)"),
        ({"hidden_layer_sizes": (8, -2)}, r"hidden_layer_sizes must be positive ints; .*-2"),
        ({"hidden_layer_sizes": (2.5,)}, r"hidden_layer_sizes must be positive ints; .*2.5"),
        ({"hidden_layer_sizes": (True,)}, r"hidden_layer_sizes must be positive ints; .*True"),
        ({"activation": "swish"}, r"'activation' parameter .*'gelu'.* Got 'swish'"),
        ({"init": "zeros"}, r"'init' parameter .* Got 'zeros'"),
        ({"likelihood": "student"}, r"'likelihood' parameter .*'gaussian'.* Got 'student'"),
        ({"optimizer": "lion"}, r"'optimizer' parameter .*'adamw'.* Got 'lion'"),
        ({"optimizer": torch.nn.Linear}, r"optimizer must be .* torch.optim.Optimizer subclass"),
        ({"weight_decay": -0.1}, r"'weight_decay' parameter .* Got -0.1"),
        ({"validation_fraction": 0.0}, r"'validation_fraction' parameter .* Got 0.0"),
        ({"validation_fraction": 1.0}, r"'validation_fraction' parameter .* Got 1.0"),
        ({"n_iter_no_change": 0}, r"'n_iter_no_change' parameter .* Got 0"),
        ({"callbacks": "all"}, r"'callbacks' parameter .* Got 'all'"),
        ({"random_state": "seed"}, r"'random_state' parameter .* Got 'seed'"),
        ({"device": "gpu"}, r"device must be 'auto', 'cpu', 'cuda', .*device='gpu'"),
        ({"device": "cuda:99"}, r"device='cuda:99' is not available.*device='cpu'"),
        ({"device": 0}, r"'device' parameter .* Got 0"),
    ],
)
def test_bad_parameters(cls, parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        never_trained(cls, **parameters).fit(X)


@every_estimator
def test_more_latents_than_rows(cls):
    message = r"latent_dim=4 must be .*=(3|2); X has 3 samples and (4|2) features"
    with pytest.raises(ValueError, match=message):
        never_trained(cls, 4).fit(X[:3])


@every_estimator
def test_a_device_that_is_not_there(cls):
    message = r"device='cuda:99' is not available: torch finds no such device.*device='auto'"
    with pytest.raises(ValueError, match=message):
        never_trained(cls, device="cuda:99").fit(X)


@pytest.mark.parametrize(
    "cls", [cls for cls in ESTIMATORS if cls is not SuperResolutionAutoencoder]
)
def test_values_outside_0_1_for_bernoulli(cls):
    low, high = X.min(), X.max()
    message = f"needs values in [0, 1]; got X with values from {low:.6g} to {high:.6g}"
    with pytest.raises(ValueError, match=re.escape(message)):
        never_trained(cls, likelihood="bernoulli").fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"corruption": "blur"}, r"'corruption' parameter .*'masking'.* Got 'blur'"),
        ({"corruption_level": 0.0}, r"'corruption_level' parameter .* Got 0.0"),
        ({"corruption_level": -1}, r"'corruption_level' parameter .* Got -1"),
        (
            {"corruption": "masking", "corruption_level": 1.0},
            r"corruption_level must be in \(0, 1\).* corruption_level=1.0",
        ),
        (
            {"corruption": "swap", "corruption_level": 2.0, "init": "random"},
            r"corruption_level must be in \(0, 1\).* corruption_level=2.0",
        ),
        (
            {"corruption": lambda X, level, rng: X[:, :2]},
            r"corruption must return an array of shape \(8, 4\); got shape \(8, 2\)",
        ),
        (
            {"corruption": lambda X, level, rng: X * np.nan},
            r"corruption must return finite numbers",
        ),
    ],
)
def test_bad_corruption(parameters, message):
    with pytest.raises(ValueError, match=message):
        never_trained(DenoisingAutoencoder, **parameters).fit(X)


def test_bad_clean_rows():
    with pytest.raises(ValueError, match=r"X_clean must have the shape of X; .*\(19, 4\).*\(20, 4"):
        never_trained(DenoisingAutoencoder).fit(X, X_clean=X[:19])
    with pytest.raises(ValueError, match="Input X_clean contains NaN"):
        never_trained(DenoisingAutoencoder).fit(X, X_clean=put(np.nan))
    with pytest.raises(ValueError, match="X_clean must hold real numbers; got strings"):
        never_trained(DenoisingAutoencoder).fit(X, X_clean=X.astype(str))
    frame = pd.DataFrame(X, columns=list("abcd"))
    with pytest.raises(ValueError, match="names must be in the same order"):
        never_trained(DenoisingAutoencoder).fit(frame, X_clean=frame[list("dcba")])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"beta": 0.0}, r"'beta' parameter .* Got 0.0"),
        ({"beta": -1.0}, r"'beta' parameter .* Got -1.0"),
        ({"beta_warmup": -1}, r"'beta_warmup' parameter .* Got -1"),
    ],
)
def test_bad_vae_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        never_trained(VAETransformer, **parameters).fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"prior": "cauchy"}, r"'prior' parameter .*'normal'.* Got 'cauchy'"),
        ({"adversarial_weight": 0.0}, r"'adversarial_weight' parameter .* Got 0.0"),
        (
            {"latent_dim": 3, "prior": "swiss_roll"},
            r"prior='swiss_roll' is two-dimensional; got latent_dim=3",
        ),
        (
            {"prior": lambda n, k, rng: rng.random(n), "init": "random"},
            r"prior must return an array of shape \(65536, 2\); got shape \(65536,\)",
        ),
        (
            {"prior": lambda n, k, rng: np.full((n, k), np.inf)},
            r"prior must return finite numbers; got NaN or infinity",
        ),
        (
            {"prior": lambda n, k, rng: np.full((n, k), "a")},
            r"prior must return finite numbers; got ndarray of dtype <U1",
        ),
        (
            {"prior": lambda n, k, rng: np.ones((n, k))},
            r"prior must vary in every latent; got standard deviations \[0. 0.\]",
        ),
    ],
)
def test_bad_priors(parameters, message):
    with pytest.raises(ValueError, match=message):
        never_trained(AdversarialAutoencoder, **parameters).fit(X)


@every_estimator
def test_variance_that_overflows(cls):
    with pytest.raises(ValueError, match=r"variance of X must be finite .*StandardScaler"):
        never_trained(cls).fit(X * 1e200)


# After fitting


@pytest.fixture
def fitted(request):
    frame = pd.DataFrame(X, columns=list("abcd"))
    return request.param(2, max_epochs=1).fit(frame)


every_fitted = pytest.mark.parametrize("fitted", ESTIMATORS, indirect=True)


@every_fitted
@pytest.mark.parametrize("verb", ["transform", "reconstruct", "score_samples", "score"])
def test_other_features(fitted, verb):
    frame = pd.DataFrame(X, columns=list("abcd"))
    method, name = getattr(fitted, verb), type(fitted).__name__
    with (
        pytest.raises(ValueError, match=f"X has 3 features, but {name} is expecting 4 features"),
        pytest.warns(UserWarning, match="X does not have valid feature names"),
    ):
        method(X[:, :3])
    with pytest.raises(ValueError, match=r"feature names should match(.|\n)*- z\n(.|\n)*- d"):
        method(frame.rename(columns={"d": "z"}))
    with pytest.raises(ValueError, match=r"names must be in the same order"):
        method(frame[list("dcba")])
    if type(fitted) not in TAKE_GAPS:
        with pytest.raises(ValueError, match="NaN"):
            method(frame.assign(a=np.nan))
    with pytest.raises(ValueError, match="infinity"):
        method(frame.assign(a=np.inf))
    with pytest.raises(ValueError, match="0 sample"):
        method(frame[:0])


@every_fitted
def test_codes_of_the_wrong_width(fitted):
    message = r"X must hold codes, with latent_dim_=2 columns; got 3"
    with pytest.raises(ValueError, match=message):
        fitted.inverse_transform(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        fitted.inverse_transform(np.zeros(2))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fitted.inverse_transform(np.full((1, 2), np.nan))


@every_fitted
@pytest.mark.parametrize("n_samples", [0, -1, 2.5, None, True])
def test_bad_number_of_samples(fitted, n_samples):
    message = rf"n_samples must be a positive int; got n_samples={n_samples}"
    with pytest.raises(ValueError, match=message):
        fitted.sample(n_samples)


def test_likelihood_of_rows_outside_0_1():
    with pytest.warns(match="latents have collapsed"):
        vae = VAETransformer(2, likelihood="bernoulli", max_epochs=1).fit(np.abs(X) / 5)
    with pytest.raises(ValueError, match=r"needs values in \[0, 1\]"):
        vae.score_samples(X)
    assert np.isfinite(vae.transform(X)).all()
