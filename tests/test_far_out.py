"""Rows far out of what was seen: finite answers, and no harm to the rows beside them."""

import numpy as np
import pytest
import torch
from _vae import part_of
from scipy.special import logsumexp
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.preprocessing import scale

from skae import ConditionalVAE, VAETransformer
from skae.data.batches import Batch
from skae.nn.fitted import inference_module

VERBS = ["transform", "reconstruct", "posterior", "score_samples"]


def answers(model, verb, X, *y):
    """What a method returns, side by side."""
    found = getattr(model, verb)(X, *y)
    return np.hstack(found) if isinstance(found, tuple) else found


@pytest.fixture(scope="module")
def tumours():
    data = load_breast_cancer()
    X = scale(data.data)
    return X, data.target, ConditionalVAE(2, max_epochs=20, random_state=0).fit(X, data.target)


@pytest.fixture(scope="module")
def flowers():
    """Iris, and models whose networks have learned something."""
    X, y = scale(load_iris().data), load_iris().target
    options = {"max_epochs": 20, "validation_fraction": None, "random_state": 0}
    return X, VAETransformer(2, **options).fit(X), ConditionalVAE(2, **options).fit(X, y)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("far", "dtype"),
    [(3e5, np.float64), (3e5, np.float32), (1e10, np.float64), (1e10, np.float32), (1e100, float)],
)
def test_one_entry_far_out_spoils_no_other_row(verb, far, dtype, tumours):
    X, y, model = tumours
    X, y = X[:40].astype(dtype), y[:40]
    bad = X.copy()
    bad[7, 3] = far
    for labels in ([], [y]):
        found, expected = answers(model, verb, bad, *labels), answers(model, verb, X, *labels)
        assert np.isfinite(found).all()
        others = np.arange(len(X)) != 7
        np.testing.assert_allclose(found[others], expected[others], rtol=1e-6, atol=1e-6)
        alone = answers(model, verb, bad[7:8], *(some[7:8] for some in labels))
        np.testing.assert_allclose(found[7:8], alone, rtol=1e-4)


@pytest.mark.parametrize("far", [1e160, 1e200])
def test_a_row_that_no_class_explains_is_encoded_all_the_same(far):
    """Squares of its values are beyond float64."""
    X, y = load_iris(return_X_y=True)
    model = ConditionalVAE(1, max_epochs=0).fit(X, y)
    bad = X.copy()
    bad[3, 1] = far
    with np.errstate(all="raise"):
        codes, rows = model.transform(bad), model.reconstruct(bad)
    assert np.isfinite(codes).all()
    assert np.isfinite(rows).all()
    others = np.arange(len(X)) != 3
    np.testing.assert_allclose(codes[others], model.transform(X)[others])
    np.testing.assert_allclose(rows[others], model.reconstruct(X)[others])


@pytest.mark.parametrize(
    ("factor", "dtype"),
    [(3e4, np.float64), (3e3, np.float32), (1e8, np.float64), (1e8, np.float32)],
)
@pytest.mark.parametrize("number", [1, 2])
def test_posteriors_far_out(number, factor, dtype, flowers):
    X, model = flowers[0].astype(dtype), flowers[number]
    bad = X.copy()
    bad[[0, 149]] *= dtype(factor)
    mean, std = model.posterior(bad)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert (std > 0).all()
    assert std.max() < 1e7
    expected = model.posterior(X)
    for found, of_rows in zip((mean, std), expected, strict=True):
        np.testing.assert_allclose(found[1:149], of_rows[1:149], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_rows_far_out_of_a_random_start(likelihood, flowers):
    X = flowers[0]
    X = (X - X.min()) / np.ptp(X)
    options = {"init": "random", "likelihood": likelihood, "max_epochs": 3, "random_state": 0}
    for model in (VAETransformer(2, **options), ConditionalVAE(2, **options)):
        model.fit(X, np.arange(150) % 3)
        bad = X.copy()
        bad[5] = 1e6
        for verb in ("transform", "reconstruct", "posterior"):
            assert np.isfinite(answers(model, verb, bad)).all()


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
def test_scores_far_out_are_finite_without_a_classical_density(curve):
    """Gauss-Newton steps fail, or weights differ by less than their digits."""
    X, _, _ = curve
    model = VAETransformer(2, init="random", max_epochs=15, random_state=0).fit(X)
    for factor in (1e3, 1e6, 1e9, 1e20, 1e100):
        assert np.isfinite(model.score_samples(factor * X)).all()
    digits = scale(load_digits().data)
    model = VAETransformer(16, max_epochs=30, random_state=0).fit(digits[:600])
    for factor in (1e4, 1e9):
        scores = part_of(model, "decoder").score_samples(factor * digits)
        assert np.isfinite(scores).all()


# Numbers for conditions, that are not given


@pytest.fixture(scope="module")
def curve():
    rng = np.random.default_rng(0)
    y, u = rng.standard_normal((2, 500))
    X = np.column_stack([y, y**2, u, u * y, np.sin(2 * y)]) + 0.2 * rng.standard_normal((500, 5))
    return X, y, ConditionalVAE(2, max_epochs=20, random_state=0).fit(X[:400], y[:400])


def test_numbers_that_are_not_given_share_256_draws(curve):
    X, _, model = curve
    module, _ = inference_module(model.net_, np.float64)
    decoded = []
    hook = module.decoder.output.register_forward_hook(
        lambda layer, inputs, out: decoded.append(out[..., 0].numel())
    )
    model.score_samples(X)
    hook.remove()
    assert model.best_epoch_ > 0
    # Beside them steps to posterior modes, with two derivatives each.
    assert 256 * 500 <= sum(decoded) < 4 * 256 * 500


def test_few_draws_for_each_number_are_enough(curve):
    """Beside the mixture over 32 of them, with 256 draws for each."""
    X, y, model = curve
    rows = X[400:]
    kept = np.sort(y[:400])[((np.arange(32) + 0.5) * 400 / 32).astype(int)]
    each = [model.score_samples(rows, value) for value in kept]
    expected = logsumexp(each, axis=0) - np.log(32)
    assert model.score(rows) == pytest.approx(expected.mean(), abs=0.15)


def test_a_posterior_that_is_too_wide_is_led_back_in_training():
    flowers = scale(load_iris().data)
    module = VAETransformer(1, max_epochs=0).fit(flowers).net_.module_.train()
    bias = module.encoder.output.bias  # of the mean and the log standard deviation
    torch.nn.init.constant_(bias, 20.0)
    x = torch.tensor(flowers, dtype=torch.float32)
    module(Batch(x, x), torch.Generator().manual_seed(0)).mean().backward()
    assert bias.grad[-1] > 0.0
