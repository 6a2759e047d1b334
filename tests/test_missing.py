"""Rows with missing entries: initial models, scores, training and imputation."""

import itertools

import numpy as np
import pandas as pd
import pytest
from _sizes import small_memory
from _vae import decoded, part_of
from scipy import special, stats
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.preprocessing import scale

from skae import AdversarialAutoencoder, AutoencoderTransformer, VAETransformer

CLASSES = [AutoencoderTransformer, VAETransformer]
every_class = pytest.mark.parametrize("cls", CLASSES)
every_rate = pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])


def with_gaps(X, rate, seed=0):
    """Hide entries at random, but at least one value of every column stays."""
    hidden = np.random.default_rng(seed).random(X.shape) < rate
    hidden[:2] = False
    return np.where(hidden, np.nan, X)


def normal_of(vae):
    """Mean and covariance of rows under an untrained VAE."""
    return vae.mean_, vae.get_covariance()


def log_density(rows, mean, covariance):
    """The log-densities of what is there, by scipy on parts of the covariance."""
    out = []
    for row in rows:
        there = ~np.isnan(row)
        part = covariance[np.ix_(there, there)]
        out.append(stats.multivariate_normal(mean[there], part).logpdf(row[there]))
    return np.array(out)


def conditional_mean(row, mean, covariance):
    gaps = np.isnan(row)
    slopes = covariance[np.ix_(gaps, ~gaps)] @ np.linalg.inv(covariance[np.ix_(~gaps, ~gaps)])
    left = covariance[np.ix_(gaps, gaps)] - slopes @ covariance[np.ix_(~gaps, gaps)]
    return mean[gaps] + slopes @ (row - mean)[~gaps], left


@every_rate
def test_scores_at_the_start_are_those_of_the_entries_that_are_there(table, rate):
    X = 3.0 * with_gaps(table, rate) + 5.0
    vae = VAETransformer(min(4, X.shape[1] - 1), max_epochs=0).fit(X)
    rows = X[~np.isnan(X).all(axis=1)][:40]
    np.testing.assert_allclose(vae.score_samples(rows), log_density(rows, *normal_of(vae)))


@every_rate
def test_imputations_at_the_start_are_conditional_means(table, rate):
    X = 3.0 * with_gaps(table, rate)[:400] + 5.0
    k = min(4, X.shape[1] - 1)
    vae = VAETransformer(k, max_epochs=0).fit(X)
    filled = vae.impute(X)
    there = ~np.isnan(X)
    np.testing.assert_array_equal(filled[there], X[there])
    for row, of_row in zip(X[2:30], filled[2:30], strict=True):
        gaps = np.isnan(row)
        if gaps.any() and not gaps.all():
            mean, _ = conditional_mean(row, *normal_of(vae))
            np.testing.assert_allclose(of_row[gaps], mean, rtol=1e-6, atol=1e-6)
    autoencoder = AutoencoderTransformer(k, max_epochs=0).fit(X)
    np.testing.assert_allclose(autoencoder.impute(X), filled, rtol=1e-6, atol=1e-6)


def test_the_start_has_the_highest_likelihood(iris):
    """Of what is there: a change of any parameter lowers it."""
    X = with_gaps(iris, 0.3)
    vae = VAETransformer(2, max_epochs=0).fit(X)
    # The covariance is unbiased, as PCA's.
    mean, covariance = vae.mean_, vae.get_covariance() * (len(X) - 1) / len(X)
    values, axes = np.linalg.eigh(covariance)
    weights, noise = axes[:, -2:] * np.sqrt(values[-2:] - values[0]), values[0]

    def likelihood(weights, mean, noise):
        return log_density(X, mean, weights @ weights.T + noise * np.eye(4)).mean()

    best = likelihood(weights, mean, noise)
    step, rng = 1e-2, np.random.default_rng(0)
    for _ in range(10):
        direction = step * rng.standard_normal((4, 2))
        assert likelihood(weights + direction, mean, noise) < best
        assert likelihood(weights, mean + step * rng.standard_normal(4), noise) < best
    for factor in (1.0 - step, 1.0 + step):
        assert likelihood(weights, mean, factor * noise) < best


def test_a_row_without_gaps_has_the_codes_of_its_linear_encoder(iris):
    X = with_gaps(iris, 0.3)
    vae = VAETransformer(2, max_epochs=0).fit(X)
    autoencoder = AutoencoderTransformer(2, max_epochs=0).fit(X)
    scores = (iris - autoencoder.mean_) @ autoencoder.components_.T
    np.testing.assert_allclose(autoencoder.transform(iris), scores, atol=1e-6)
    mean, covariance = normal_of(vae)
    weights = (vae.inverse_transform(np.eye(2)) - mean).T
    expected = (iris - mean) @ np.linalg.solve(covariance, weights)
    np.testing.assert_allclose(vae.transform(iris), expected, atol=1e-6)


def test_with_few_gaps_the_start_is_nearly_pca(iris):
    X = iris.copy()
    X[0, 0] = np.nan
    pca, autoencoder = PCA(2).fit(iris), AutoencoderTransformer(2, max_epochs=0).fit(X)
    np.testing.assert_allclose(autoencoder.components_, pca.components_, atol=0.01)
    np.testing.assert_allclose(autoencoder.explained_variance_, pca.explained_variance_, rtol=0.02)
    np.testing.assert_allclose(autoencoder.noise_variance_, pca.noise_variance_, rtol=0.02)


@every_class
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_collinear_columns_are_filled_exactly(cls, rate):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((300, 3))
    X = np.hstack([Z, Z @ rng.standard_normal((3, 5))])
    gaps = with_gaps(X, rate)
    filled = cls(3, max_epochs=0).fit(gaps).impute(gaps)
    determined = (~np.isnan(gaps)).sum(axis=1) >= 3
    np.testing.assert_allclose(filled[determined], X[determined], atol=1e-2)


@every_class
def test_more_columns_than_rows(cls):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 200))
    X += 0.1 * rng.standard_normal(X.shape)
    gaps = with_gaps(X, 0.5)
    filled = cls(3, max_epochs=0).fit(gaps).impute(gaps)
    assert np.sqrt(np.mean((filled - X)[np.isnan(gaps)] ** 2)) < 0.15


@every_class
def test_without_any_entry(cls, bent):
    X = with_gaps(bent, 0.2)
    model = cls(2, max_epochs=3, random_state=0).fit(X)
    empty = np.full((2, 6), np.nan)
    np.testing.assert_array_equal(model.score_samples(empty), np.zeros(2))
    fitted = cls(2, max_epochs=0).fit(X)
    np.testing.assert_array_equal(fitted.transform(empty), np.zeros((2, 2)))
    np.testing.assert_allclose(fitted.reconstruct(empty), [fitted.mean_] * 2)
    np.testing.assert_allclose(fitted.impute(empty), [fitted.mean_] * 2)
    if cls is VAETransformer:
        mean, std = fitted.posterior(empty)
        np.testing.assert_array_equal(mean, np.zeros((2, 2)))
        np.testing.assert_allclose(std, np.ones((2, 2)))


@pytest.fixture(scope="module")
def trained():
    """VAEs of three features with one and two latents, trained on rows with gaps."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-2, 2, 600)
    X = np.column_stack([t, t**2, np.sin(2 * t)]) + 0.2 * rng.standard_normal((600, 3))
    gaps = with_gaps(X, 0.2)
    models = [VAETransformer(k, max_epochs=40, random_state=0).fit(gaps) for k in (1, 2)]
    assert all(model.best_epoch_ > 0 for model in models)
    return X, [part_of(model, "decoder") for model in models]


@pytest.fixture(scope="module")
def bent_curve():
    """A VAE of three features with one latent, and complete rows."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1.7, 1.7, 600)
    X = np.column_stack([t, t**3 / 3, np.sin(2 * t)]) + 0.1 * rng.standard_normal((600, 3))
    return X, VAETransformer(1, max_epochs=60, random_state=0).fit(with_gaps(X, 0.15))


PATTERNS = [list(there) for there in itertools.product([True, False], repeat=3) if any(there)]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("there", PATTERNS)
def test_scores_agree_with_integration_under_every_pattern(trained, number, there):
    X, models = trained
    vae = models[number]
    rows = np.where(there, X[:60], np.nan)
    grid = np.linspace(-7, 7, 281 if number else 20_001)
    codes = np.stack(np.meshgrid(*[grid] * (number + 1)), -1).reshape(-1, number + 1)
    mean, std = decoded(vae, codes)
    std = np.broadcast_to(std, mean.shape)
    if vae._density.codes is None:
        log_code = stats.norm.logpdf(codes).sum(axis=1)
    else:
        import torch

        log_code = vae._density.codes.log_prob(torch.tensor(codes)).numpy()
    log_volume = (number + 1) * np.log(grid[1] - grid[0])
    exact = [
        special.logsumexp(
            stats.norm.logpdf(row[there], mean[:, there], std[:, there]).sum(axis=1) + log_code
        )
        + log_volume
        for row in rows
    ]
    found = vae.score_samples(rows)
    assert np.mean(found) == pytest.approx(np.mean(exact), abs=0.02)
    assert np.median(np.abs(found - exact)) < 0.02


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_posteriors_agree_with_integration(bent_curve, rate):
    X, vae = bent_curve
    rows = with_gaps(X[:300], rate, seed=1)
    grid = np.linspace(-6, 6, 4001)
    mean, std = decoded(vae, grid[:, None])
    std = np.broadcast_to(std, mean.shape)
    log_weights = np.tile(stats.norm.logpdf(grid), (len(rows), 1))
    for of_row, of_code, noise in zip(rows.T, mean.T, std.T, strict=True):
        densities = stats.norm.logpdf(of_row[:, None], of_code, noise)
        log_weights += np.where(np.isnan(densities), 0.0, densities)
    weights = special.softmax(log_weights, axis=1)
    exact_mean = weights @ grid
    exact_std = np.sqrt(weights @ grid**2 - exact_mean**2)
    mean, std = vae.posterior(rows)
    assert 0.8 < np.median(std[:, 0] / exact_std) < 1.25
    assert np.mean(np.abs(mean[:, 0] - exact_mean)) < 0.15 * np.std(exact_mean)


def test_densities_of_parts_integrate_to_one(trained):
    """Also given another entry."""
    X, models = trained
    grid = np.linspace(-8, 10, 4001)
    rows = np.full((len(grid), 3), np.nan)
    rows[:, 1] = grid
    for vae in models:
        total = np.trapezoid(np.exp(vae.score_samples(rows)), grid)
        assert total == pytest.approx(1.0, abs=0.01)
        rows[:, 0] = X[5, 0]
        joint = np.trapezoid(np.exp(vae.score_samples(rows)), grid)
        rows[:, 1] = np.nan
        assert joint == pytest.approx(np.exp(vae.score_samples(rows[:1])[0]), rel=0.03)
        rows[:, 0], rows[:, 1] = np.nan, grid


def test_draws_of_hidden_blocks_have_the_right_correlations(iris):
    X = with_gaps(iris, 0.2)
    vae = VAETransformer(2, max_epochs=0).fit(X)
    row = iris[:1].copy()
    row[0, [1, 3]] = np.nan
    draws = vae.impute(row, n_draws=4000, random_state=0)[:, 0]
    mean, covariance = conditional_mean(row[0], *normal_of(vae))
    np.testing.assert_allclose(draws[:, [1, 3]].mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(draws[:, [1, 3]].T), covariance, atol=0.05)
    np.testing.assert_array_equal(draws[:, [0, 2]], np.tile(row[:, [0, 2]], (4000, 1)))


def test_draws_of_a_bent_sheet(bent):
    """Given all other features, the draws are as uncertain as the noise of the sheet."""
    train, test = with_gaps(bent[:300], 0.2), bent[300:]
    vae = VAETransformer(2, random_state=0).fit(train)
    rows = test.copy()
    rows[:, 4] = np.nan  # u v
    draws = vae.impute(rows, n_draws=200, random_state=0)[:, :, 4]
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    assert 0.75 < np.mean((test[:, 4] > low) & (test[:, 4] < high)) < 1.0
    start = VAETransformer(2, max_epochs=0).fit(train).impute(rows)[:, 4]
    trained = vae.impute(rows)[:, 4]
    np.testing.assert_allclose(draws.mean(axis=0), trained, atol=1.0)
    assert np.mean((trained - test[:, 4]) ** 2) < 0.8 * np.mean((start - test[:, 4]) ** 2)


@every_class
def test_training_lowers_the_error_of_hidden_entries(cls, bent):
    train, test = with_gaps(bent[:300], 0.2), with_gaps(bent[300:], 0.2, seed=1)
    hidden = np.isnan(test)

    def error(model):
        return np.mean((model.fit(train).impute(test) - bent[300:])[hidden] ** 2)

    start, trained = cls(2, max_epochs=0), cls(2, random_state=0)
    assert error(trained) < 0.8 * error(start)
    assert trained.best_epoch_ > 0
    assert trained.score(test) > start.score(test)


@every_class
def test_a_model_of_complete_rows_takes_gaps_later(cls, bent):
    model = cls(2, max_epochs=20, random_state=0).fit(bent[:300])
    test = bent[300:]
    codes, scores = model.transform(test), model.score_samples(test)
    gaps = with_gaps(test, 0.3)
    gaps[50:] = test[50:]
    mixed_codes, mixed_scores = model.transform(gaps), model.score_samples(gaps)
    np.testing.assert_allclose(mixed_codes[50:], codes[50:], atol=1e-5)
    np.testing.assert_allclose(mixed_scores[50:], scores[50:], atol=1e-5)
    assert np.isfinite(mixed_codes).all()
    assert np.isfinite(mixed_scores).all()
    if cls is VAETransformer:
        error = np.mean((model.impute(gaps) - test)[np.isnan(gaps)] ** 2)
        assert error < 0.9 * np.mean((model.mean_ - test)[np.isnan(gaps)] ** 2)
    np.testing.assert_array_equal(model.transform(test), codes)  # nothing is left behind


@every_class
def test_the_same_whatever_rows_come_together(cls, bent):
    X = with_gaps(bent, 0.3)
    model = cls(2, max_epochs=3, random_state=0).fit(X)
    for method in (model.transform, model.score_samples, model.impute):
        alone = np.concatenate([method(X[i : i + 1]) for i in range(20)])
        np.testing.assert_allclose(method(X)[:20], alone, rtol=1e-5, atol=1e-5)


@every_class
def test_kinds_of_missing_values(cls, bent):
    X = with_gaps(bent, 0.2)
    expected = cls(2, max_epochs=2, random_state=0).fit_transform(X)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    nullable = frame.astype("Float64")
    objects = frame.astype(object).where(frame.notna(), None)
    masked = np.ma.masked_invalid(X)
    for kind in (frame, nullable, objects, masked, X.tolist()):
        codes = cls(2, max_epochs=2, random_state=0).fit_transform(kind)
        np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-4)


@every_class
def test_a_data_frame_is_imputed_as_one(cls, bent):
    frame = pd.DataFrame(with_gaps(bent, 0.2), columns=list("abcdef"), index=np.arange(400) + 7)
    filled = cls(2, max_epochs=0).fit(frame).impute(frame)
    assert isinstance(filled, pd.DataFrame)
    pd.testing.assert_index_equal(filled.columns, frame.columns)
    pd.testing.assert_index_equal(filled.index, frame.index)
    assert not filled.isna().any(axis=None)


@every_class
def test_a_column_without_a_value_is_named(cls, bent):
    frame = pd.DataFrame(bent, columns=list("abcdef")).assign(c=np.nan)
    with pytest.raises(ValueError, match="must have a value; got none in column 'c'"):
        cls(2).fit(frame)


@every_class
def test_infinity_is_refused_beside_gaps(cls, bent):
    X = with_gaps(bent, 0.2)
    X[5, 2] = np.inf
    with pytest.raises(ValueError, match=r"contains infinity .* in column 2, first in row 5"):
        cls(2).fit(X)
    model = cls(2, max_epochs=0).fit(with_gaps(bent, 0.2))
    for method in (model.transform, model.score_samples, model.impute):
        with pytest.raises(ValueError, match="contains infinity"):
            method(X)


def test_who_takes_gaps():
    assert AutoencoderTransformer().__sklearn_tags__().input_tags.allow_nan
    assert VAETransformer().__sklearn_tags__().input_tags.allow_nan
    refusing = (
        AutoencoderTransformer(ordered=True),
        VAETransformer(likelihood="bernoulli"),
        AdversarialAutoencoder(),
    )
    for model in refusing:
        assert not model.__sklearn_tags__().input_tags.allow_nan
        with pytest.raises(ValueError, match="Input X contains NaN in column 1"):
            model.fit(np.where(np.arange(4) == 1, np.nan, np.ones((30, 4))))


@every_class
def test_a_table_read_by_blocks(cls, bent, monkeypatch):
    X = with_gaps(bent, 0.2)
    frame = pd.DataFrame(X).astype({0: "Float64"})
    expected = cls(2, max_epochs=0).fit(X)
    small_memory(monkeypatch, resident=10, block=600)
    model = cls(2, max_epochs=0).fit(frame)
    np.testing.assert_allclose(model.transform(X), expected.transform(X), atol=1e-6)
    trained = cls(2, max_epochs=5, random_state=0).fit(frame)
    assert np.isfinite(trained.score(X))


@every_class
def test_chunks_with_gaps(cls, bent):
    X = with_gaps(scale(load_breast_cancer().data), 0.2)
    model = cls(3, max_epochs=0)
    for first in range(0, 569, 100):
        model.partial_fit(X[first : first + 100])
    whole = cls(3, max_epochs=0).fit(X)
    start = cls(3, max_epochs=0).partial_fit(X[:100])
    assert model.score(X) == pytest.approx(whole.score(X), rel=0.05)
    assert abs(model.score(X) - whole.score(X)) < abs(start.score(X) - whole.score(X))
    X = with_gaps(bent, 0.2)
    trained = cls(2, random_state=0)
    for _ in range(5):
        trained.partial_fit(X[:200]).partial_fit(bent[200:])
    assert np.isfinite(trained.score(X))


def test_validation_rows_with_gaps(bent):
    model = VAETransformer(2, max_epochs=3, random_state=0)
    model.fit(bent[:300], X_val=with_gaps(bent[300:], 0.2))
    assert np.isfinite(model.validation_curve_).all()


def test_imputing_needs_a_likelihood_that_takes_gaps(digits):
    model = VAETransformer(2, likelihood="bernoulli", max_epochs=0).fit(digits[0][:100])
    with pytest.raises(ValueError, match="impute needs likelihood='gaussian'"):
        model.impute(digits[0][:5])


@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
@pytest.mark.parametrize("max_epochs", [0, 3])
def test_rows_with_gaps_beside_complete_ones_in_a_model_of_complete_rows(cls, max_epochs):
    X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)
    model = cls(2, max_epochs=max_epochs, random_state=0).fit(X)
    rows = X[:6].copy()
    rows[0, 0] = np.nan
    filled = model.impute(rows)
    np.testing.assert_array_equal(filled[1:], rows[1:])
    np.testing.assert_allclose(filled[:1], model.impute(rows[:1]), rtol=1e-6)
    np.testing.assert_array_equal(model.transform(rows)[1:], model.transform(X[:6])[1:])


def test_draws_far_out_are_those_of_the_classical_parts():
    """A VAE of few rows shares its density with factor analysis, which has wider tails."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-2, 2, 400)
    X = np.column_stack([t, t**2 / 2, np.sin(2 * t), t + rng.standard_normal(400)])
    X += np.array([0.05, 0.05, 0.05, 0.3]) * rng.standard_normal(X.shape)
    vae = VAETransformer(1, max_epochs=40, random_state=0).fit(X)
    assert vae.density_shares_["decoder"] < 1.0
    row = np.full((1, 4), [0.0, 12.0, 0.0, np.nan])
    draws = vae.impute(row, n_draws=4000, random_state=0)[:, 0, 3]
    assert draws.mean() == pytest.approx(vae.impute(row)[0, 3], abs=5 * draws.std() / 60)
