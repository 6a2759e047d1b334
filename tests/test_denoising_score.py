"""What a denoiser is scored by: clean rows that are given, or corruption at a fixed level."""

import pickle

import numpy as np
import pytest
import sklearn
from _sizes import small_memory
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_methods_sample_order_invariance,
    check_methods_subset_invariance,
)

from skae import DenoisingAutoencoder

BUILT_IN = ["gaussian", "masking", "salt_and_pepper", "swap"]


def noise(X, level, rng):
    return X + level * rng.standard_normal(X.shape)


def poisson(X, level, rng):
    return rng.poisson(np.exp(X)) * (1.0 - level)


def expected_score(model, X, values, noise=0.0, level=0.3):
    """Of a linear denoiser, by its matrix: noise is added or entries replaced by values."""
    offset = model.denoise(np.zeros((1, X.shape[1])))
    matrix = model.denoise(np.eye(X.shape[1])) - offset
    mean, variance = X, np.full_like(X, noise**2)
    if values is not None:
        mean = (1 - level) * X + level * values.mean(axis=0)
        square = (1 - level) * X**2 + level * np.square(values).mean(axis=0)
        variance = square - mean**2
    error = np.square(X - mean @ matrix - offset).sum(axis=1)
    error += variance @ np.square(matrix).sum(axis=1)
    return 1 - error.mean() / X.var(axis=0).sum()


@pytest.mark.parametrize("corruption", BUILT_IN)
@pytest.mark.parametrize("corruption_level", [0.05, 0.3, 0.8])
def test_score_of_the_linear_denoiser_is_the_closed_form(corruption, corruption_level, bent):
    X = 3 * bent + 5
    options = {"corruption": corruption, "corruption_level": corruption_level, "max_epochs": 0}
    model = DenoisingAutoencoder(3, **options).fit(X)
    ends = np.array([X.min(axis=0), X.max(axis=0)])
    values = {"masking": X.mean(axis=0)[None], "salt_and_pepper": ends, "swap": X}
    scale = np.sqrt(X.var(axis=0, ddof=1).mean())
    expected = expected_score(model, X, values.get(corruption), 0.3 * scale)
    # The spread of the mean over 400 rows of 8 copies; swapped values are those of 64 rows.
    tolerance = 0.05 if corruption == "swap" else 0.02
    assert model.score(X) == pytest.approx(expected, abs=tolerance * (1 - expected))


@pytest.mark.parametrize("corruption", [*BUILT_IN, noise])
def test_a_search_over_levels_is_not_led_to_the_least(corruption, bent):
    """The linear denoiser for level 0.3 is the best at level 0.3."""
    X = bent / bent.std()
    model = DenoisingAutoencoder(4, corruption=corruption, max_epochs=0)
    search = GridSearchCV(model, {"corruption_level": [0.03, 0.3, 0.9]}, cv=4)
    assert search.fit(X).best_params_ == {"corruption_level": 0.3}


def test_scores_with_clean_rows(bent):
    noisy = bent + np.random.default_rng(0).standard_normal(bent.shape)
    for X_clean in (None, bent[:300]):
        model = DenoisingAutoencoder(3, max_epochs=3, random_state=0)
        model.fit(noisy[:300], X_clean=X_clean)
        error = np.square(model.denoise(noisy[300:]) - bent[300:]).sum(axis=1)
        variance = np.square(bent[:300] - bent[:300].mean(axis=0)).sum(axis=1).mean()
        if X_clean is None:
            variance = np.square(noisy[:300] - noisy[:300].mean(axis=0)).sum(axis=1).mean()
        scores = model.score_samples(noisy[300:], bent[300:])
        np.testing.assert_allclose(scores, 1 - error / variance)
        assert model.score(noisy[300:], X_clean=bent[300:]) == pytest.approx(scores.mean())


def test_clean_rows_in_a_search(bent):
    """Each fold's own, by metadata routing."""
    noisy = noise(bent, 0.5, np.random.default_rng(0))
    with sklearn.config_context(enable_metadata_routing=True):
        model = DenoisingAutoencoder(max_epochs=0).set_fit_request(X_clean=True)
        search = GridSearchCV(model.set_score_request(X_clean=True), {"latent_dim": [1, 4]}, cv=4)
        assert search.fit(noisy, X_clean=bent).best_params_ == {"latent_dim": 4}
        scores = cross_val_score(search.best_estimator_, noisy, params={"X_clean": bent}, cv=4)
    assert scores.mean() == pytest.approx(search.best_score_)


def test_after_pairs_there_is_no_corruption_to_draw(bent):
    noisy = noise(bent, 0.5, np.random.default_rng(0))
    model = DenoisingAutoencoder(2, max_epochs=1).fit(noisy, X_clean=bent)
    for verb in (model.score, model.score_samples, pickle.loads(pickle.dumps(model)).score):
        message = r"fitted on pairs, so score must be given X_clean; got None.*set_score_request"
        with pytest.raises(ValueError, match=message):
            verb(bent)
    assert np.isfinite(model.fit(bent).score(bent))
    with pytest.raises(ValueError, match="fitted on pairs"):
        model.partial_fit(noisy, X_clean=bent).score(bent)


def test_bad_clean_rows(bent):
    model = DenoisingAutoencoder(2, max_epochs=0).fit(bent)
    with pytest.raises(ValueError, match="X_clean must have the shape of X"):
        model.score(bent, X_clean=bent[:5])
    with pytest.raises(ValueError, match="Input X_clean contains NaN"):
        model.score(bent, X_clean=np.full_like(bent, np.nan))
    hole = bent.copy()
    hole[3, 2] = np.inf
    for X_clean in (None, bent):
        with pytest.raises(ValueError, match="Input X contains infinity"):
            model.score(hole, X_clean=X_clean)


@pytest.mark.parametrize("corruption", BUILT_IN)
def test_a_row_has_one_score(corruption, bent, monkeypatch):
    model = DenoisingAutoencoder(2, corruption=corruption, max_epochs=2, random_state=0).fit(bent)
    scores = model.score_samples(bent)
    np.testing.assert_array_equal(model.score_samples(bent), scores)
    order = np.random.default_rng(0).permutation(400)
    np.testing.assert_allclose(model.score_samples(bent[order]), scores[order], rtol=1e-10)
    np.testing.assert_allclose(model.score_samples(bent[7:9]), scores[7:9], rtol=1e-10)
    single = model.score_samples(bent.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, scores, rtol=1e-3, atol=1e-4)
    check_methods_sample_order_invariance(
        "DenoisingAutoencoder", DenoisingAutoencoder(corruption=corruption, max_epochs=1)
    )
    check_methods_subset_invariance(
        "DenoisingAutoencoder", DenoisingAutoencoder(corruption=corruption, max_epochs=1)
    )


def test_a_callable_is_called_with_rows_in_their_shape_at_the_level_of_scores(digits):
    X, seen = digits[0][:100].reshape(-1, 8, 8), []

    def function(images, level, rng):
        seen.append((images.shape[1:], level))
        images[:, :2] = rng.random((len(images), 2, 8))
        return images

    model = DenoisingAutoencoder(
        2, corruption=function, corruption_level=0.7, network="conv", max_epochs=0
    ).fit(X)
    assert {level for _, level in seen} == {0.7}
    seen.clear()
    before = X.copy()
    scores = model.score_samples(X)
    assert set(seen) == {((8, 8), 0.3)}
    np.testing.assert_array_equal(X, before)
    order = np.random.default_rng(0).permutation(100)
    np.testing.assert_allclose(model.score_samples(X[order]), scores[order], rtol=1e-10)
    model.set_params(corruption="gaussian", corruption_level=0.1)  # of the next fit
    np.testing.assert_array_equal(model.score_samples(X), scores)


def test_a_callable_for_counts(bent):
    model = DenoisingAutoencoder(2, corruption=poisson, max_epochs=0, random_state=0).fit(bent)
    assert 0 < model.score(bent) < 1


def test_larger_than_memory(bent, tmp_path, monkeypatch):
    tables = [np.memmap(tmp_path / name, np.float64, "w+", shape=bent.shape) for name in "ab"]
    tables[0][:], tables[1][:] = noise(bent, 0.5, np.random.default_rng(0)), bent
    model = DenoisingAutoencoder(2, max_epochs=0).fit(bent)
    whole = model.score_samples(bent), model.score_samples(np.array(tables[0]), bent)
    small_memory(monkeypatch, resident=1000, block=300)
    np.testing.assert_allclose(model.score_samples(tables[1]), whole[0], rtol=1e-10)
    np.testing.assert_allclose(model.score_samples(*tables), whole[1], rtol=1e-10)


def test_within_a_pipeline(bent):
    pipeline = make_pipeline(StandardScaler(), DenoisingAutoencoder(3, max_epochs=0))
    scores = cross_val_score(pipeline, bent, cv=3)
    assert (scores > 0.2).all()
