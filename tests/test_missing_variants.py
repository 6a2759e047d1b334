"""Missing entries in denoisers and conditional models."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp, softmax
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.preprocessing import scale

from skae import ConditionalVAE, DenoisingAutoencoder, VAETransformer


def with_gaps(X, rate, seed=0):
    """Hide entries at random, but the first rows are complete."""
    hidden = np.random.default_rng(seed).random(X.shape) < rate
    hidden[:2] = False
    return np.where(hidden, np.nan, X)


# Denoising

CORRUPTIONS = {"gaussian": 0.5, "masking": 0.3, "salt_and_pepper": 0.3, "swap": 0.2}
every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS)


@pytest.fixture(scope="module")
def cells():
    return scale(load_breast_cancer().data[:, :8])


def moments_of_corrupted(corruption, X, covariance, mean):
    """Mean of corrupted rows, their covariance with clean rows, and their covariance."""
    level, d, variance = CORRUPTIONS[corruption], len(mean), np.diag(covariance)
    if corruption == "gaussian":
        unit = np.nanvar(X, axis=0, ddof=1).mean()
        return np.zeros(d), covariance, covariance + level**2 * unit * np.eye(d)
    low, high = np.nanmin(X, axis=0) - mean, np.nanmax(X, axis=0) - mean
    replaced = {
        "masking": (0.0, 0.0),
        "swap": (0.0, variance),
        "salt_and_pepper": ((low + high) / 2, (low**2 + high**2) / 2),
    }
    of_values, squares = replaced[corruption]
    shift, kept = level * of_values * np.ones(d), 1.0 - level
    corrupted = kept**2 * covariance
    np.fill_diagonal(corrupted, kept * variance + level * squares - shift**2)
    return shift, kept * covariance, corrupted


@every_corruption
def test_the_start_is_the_best_linear_denoiser_of_what_is_there(corruption, cells):
    X, k = with_gaps(cells, 0.3), 3
    level = CORRUPTIONS[corruption]
    model = DenoisingAutoencoder(k, corruption=corruption, corruption_level=level, max_epochs=0)
    found = model.fit(X).denoise(X)
    clean = VAETransformer(k, max_epochs=0).fit(X)
    shift, cross, corrupted = moments_of_corrupted(
        corruption, X, clean.get_covariance(), clean.mean_
    )
    _, axes = np.linalg.eigh(cross @ np.linalg.solve(corrupted, cross.T))
    for row, of_row in zip(X[:60], found, strict=False):
        there = ~np.isnan(row)
        deviation = np.linalg.solve(
            corrupted[np.ix_(there, there)], (row - model.mean_ - shift)[there]
        )
        expected = model.mean_ + axes[:, -k:] @ axes[:, -k:].T @ cross[:, there] @ deviation
        np.testing.assert_allclose(of_row, expected, atol=1e-8)


@every_corruption
def test_denoisers_are_trained_with_gaps(corruption, cells):
    X, level = with_gaps(cells, 0.3), CORRUPTIONS[corruption]
    options = {"corruption": corruption, "corruption_level": level, "random_state": 0}
    trained = DenoisingAutoencoder(3, max_epochs=20, **options).fit(X)
    start = DenoisingAutoencoder(3, max_epochs=0, **options).fit(X)
    assert trained.best_epoch_ > 0
    assert start.score(X) < trained.score(X) < 1.0
    chunks = DenoisingAutoencoder(3, max_epochs=0, **options)
    chunks.partial_fit(X[:300]).partial_fit(X[300:])
    assert chunks.score(X) == pytest.approx(start.score(X), abs=0.02)


def test_values_are_swapped_with_gaps_too():
    """Then they are missing."""
    rng = np.random.default_rng(0)
    X = with_gaps(rng.standard_normal((300, 2)) * [1.0, 10.0] + [0.0, 1000.0], 0.5)
    model = DenoisingAutoencoder(1, corruption="swap", max_epochs=0).fit(X)
    assert np.isfinite(model.score_samples(X)).all()


def test_where_denoisers_refuse_gaps(cells):
    X = with_gaps(cells, 0.2)
    with pytest.raises(ValueError, match="contains NaN"):
        DenoisingAutoencoder(2).fit(X, X_clean=cells)
    with pytest.raises(ValueError, match="contains NaN"):
        DenoisingAutoencoder(2, corruption=lambda X, level, rng: X).fit(X)
    pairs = DenoisingAutoencoder(2, max_epochs=0).fit(cells, X_clean=cells)
    with pytest.raises(ValueError, match="contains NaN"):
        pairs.transform(X)
    assert DenoisingAutoencoder(2).__sklearn_tags__().input_tags.allow_nan


# Conditions


@pytest.fixture(scope="module")
def flowers():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order], y[order]


def normals_of(model, k):
    """Means of the classes and the covariance within them, of an untrained model."""
    codes = np.vstack([np.zeros(k), np.eye(k)])
    decoded = [model.inverse_transform(codes, y=label) for label in model.classes_]
    weights = decoded[0][1:] - decoded[0][0]
    noise = np.broadcast_to(model.noise_variance_, decoded[0].shape[1])
    return [rows[0] for rows in decoded], weights.T @ weights + np.diag(noise)


def given_conditions(X, means, covariance):
    """Log-densities of what is there and rows with conditional means, for every class."""
    log_densities, filled = np.zeros((len(means), len(X))), np.tile(X, (len(means), 1, 1))
    for number, mean in enumerate(means):
        for row, x in enumerate(X):
            there = ~np.isnan(x)
            seen = covariance[np.ix_(there, there)]
            normal = stats.multivariate_normal(mean[there], seen)
            log_densities[number, row] = normal.logpdf(x[there]) if there.any() else 0.0
            shift = np.linalg.solve(seen, (x - mean)[there])
            filled[number, row, ~there] = (mean + covariance[:, there] @ shift)[~there]
    return log_densities, filled


def test_the_conditional_start_is_a_normal_for_each_class(flowers):
    X, y = with_gaps(flowers[0], 0.3), flowers[1]
    model = ConditionalVAE(2, max_epochs=0).fit(X, y)
    log_densities, filled = given_conditions(X, *normals_of(model, 2))
    rows = np.arange(len(X))
    np.testing.assert_allclose(model.score_samples(X, y), log_densities[y, rows], atol=1e-8)
    joint = log_densities + np.log(np.bincount(y) / len(y))[:, None]
    np.testing.assert_allclose(model.score_samples(X), logsumexp(joint, axis=0), atol=1e-8)
    np.testing.assert_allclose(model.impute(X, y=y), filled[y, rows], atol=1e-8)
    shares = softmax(joint, axis=0)
    codes = [model.transform(X, label) for label in model.classes_]
    expected = (shares[:, :, None] * codes).sum(axis=0)
    np.testing.assert_allclose(model.transform(X), expected, atol=1e-6)
    expected = (shares[:, :, None] * filled).sum(axis=0)
    np.testing.assert_allclose(model.impute(X), expected, atol=1e-8)
    draws = model.impute(X, n_draws=4000, random_state=0)
    assert draws.shape == (4000, *X.shape)
    np.testing.assert_array_equal(draws[:, ~np.isnan(X)], np.tile(X[~np.isnan(X)], (4000, 1)))
    np.testing.assert_allclose(draws.mean(axis=0), expected, atol=0.08)
    of_class = model.impute(X, y=y, n_draws=4000, random_state=0)
    np.testing.assert_allclose(of_class.mean(axis=0), filled[y, rows], atol=0.08)


def test_the_conditional_start_has_the_highest_likelihood(flowers):
    """A change of a mean of a class or of the covariance lowers it."""
    X, y = with_gaps(flowers[0], 0.3), flowers[1]
    means, covariance = normals_of(ConditionalVAE(2, max_epochs=0).fit(X, y), 2)
    covariance = covariance * (len(X) - 1) / len(X)
    rng, rows = np.random.default_rng(0), np.arange(len(X))

    def likelihood(means, covariance):
        return given_conditions(X, means, covariance)[0][y, rows].mean()

    best = likelihood(means, covariance)
    for _ in range(5):
        moved = [mean + 0.01 * rng.standard_normal(4) for mean in means]
        assert likelihood(moved, covariance) < best
    for factor in (0.98, 1.02):
        assert likelihood(means, factor * covariance) < best


def test_gaps_that_depend_on_the_class_leave_its_mean(flowers):
    """Without the condition, the mean of the rows that are there would be another."""
    X, y = flowers
    gaps = X.copy()
    gaps[(y == 2) & (np.arange(len(X)) % 3 > 0), 2] = np.nan
    model = ConditionalVAE(3, max_epochs=0).fit(gaps, y)
    means, _ = normals_of(model, 3)
    assert means[2][2] == pytest.approx(X[y == 2, 2].mean(), abs=0.08)


def test_gaps_that_depend_on_a_number_leave_the_mean():
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, 3000)
    X = rng.standard_normal((3000, 3)) * 0.3
    X[:, 0] += 2 * y
    X[(y > 0) & (rng.random(3000) < 0.9), 0] = np.nan
    model = ConditionalVAE(1, condition="number", max_epochs=0).fit(X, y)
    decoded = model.inverse_transform(np.zeros((3, 1)), y=np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(decoded[:, 0], [-2.0, 0.0, 2.0], atol=0.1)


@pytest.mark.parametrize("condition", ["class", "number"])
def test_conditional_models_are_trained_with_gaps(condition, flowers):
    rng = np.random.default_rng(0)
    t, y = rng.uniform(-2, 2, 600), rng.integers(3, size=600)
    X = np.column_stack([t, t**2 + y, np.sin(2 * t) * (y - 1), t - y])
    X += 0.1 * rng.standard_normal(X.shape)
    gaps = with_gaps(X, 0.2)
    model = ConditionalVAE(1, condition=condition, max_epochs=30, random_state=0).fit(gaps, y)
    start = ConditionalVAE(1, condition=condition, max_epochs=0).fit(gaps, y)
    assert model.best_epoch_ > 0
    assert model.score(gaps, y) > start.score(gaps, y) + 0.2
    missing = np.isnan(gaps)
    errors = [np.abs(of.impute(gaps, y=y) - X)[missing].mean() for of in (model, start)]
    assert errors[0] < errors[1]
    for rows in (model.transform(gaps), model.transform(gaps, y), model.reconstruct(gaps)):
        assert np.isfinite(rows).all()
    complete = ConditionalVAE(1, condition=condition, max_epochs=10, random_state=0).fit(X, y)
    assert np.isfinite(complete.impute(gaps)).all()
    frame = pd.DataFrame(gaps)
    assert isinstance(complete.impute(frame, y=y), pd.DataFrame)


@pytest.mark.parametrize("condition", ["class", "number"])
def test_conditional_chunks_with_gaps(condition, flowers):
    X, y = with_gaps(flowers[0], 0.2), flowers[1]
    whole = ConditionalVAE(2, condition=condition, max_epochs=0).fit(X, y)
    chunks = ConditionalVAE(2, condition=condition, max_epochs=0)
    chunks.partial_fit(X[:75], y[:75]).partial_fit(X[75:], y[75:])
    assert chunks.score(X, y) == pytest.approx(whole.score(X, y), abs=0.05)


def test_a_class_without_any_value_of_a_column(flowers):
    X, y = with_gaps(flowers[0], 0.1), flowers[1]
    X[y == 1, 3] = np.nan
    model = ConditionalVAE(2, max_epochs=2, random_state=0).fit(X, y)
    assert np.isfinite(model.impute(X, y=y)).all()
    assert 0.0 < model.impute(X, y=y)[y == 1, 3].mean() < 2.5
