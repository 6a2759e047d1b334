"""VAEImputer: scikit-learn's habits, exact results of the initial model, accepted training."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skae import VAEImputer


@parametrize_with_checks([VAEImputer(max_epochs=1, random_state=0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def bent():
    """Rows on a curved surface, complete."""
    rng = np.random.default_rng(0)
    t = rng.standard_normal((500, 2))
    x = np.column_stack([t, np.sin(2 * t), t[:, 0] * t[:, 1], np.square(t[:, 0])])
    return x + 0.05 * rng.standard_normal(x.shape)


@pytest.fixture(scope="module")
def missing(bent):
    return np.random.default_rng(1).random(bent.shape) < 0.2


@pytest.fixture(scope="module")
def gappy(bent, missing):
    return np.where(missing, np.nan, bent)


@pytest.fixture(scope="module")
def fitted(gappy):
    return VAEImputer(max_epochs=60, random_state=0).fit(gappy)


def conditional_mean(row, mean, covariance):
    seen = ~np.isnan(row)
    weights = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, ~seen)])
    out = row.copy()
    out[~seen] = mean[~seen] + (row[seen] - mean[seen]) @ weights
    return out


# The initial model


@pytest.mark.parametrize("latent_dim", ["auto", 2])
def test_initial_model_is_the_conditional_normal_mean(gappy, latent_dim):
    imputer = VAEImputer(latent_dim, max_epochs=0, scale="values", random_state=0).fit(gappy)
    mean, std = np.nanmean(gappy, axis=0), np.nanstd(gappy, axis=0)
    model = imputer.models_["values"]
    covariance = model.get_covariance() * std[:, None] * std
    centre = model.mean_ * std + mean
    expected = [conditional_mean(row, centre, covariance) for row in gappy]
    np.testing.assert_allclose(imputer.transform(gappy), expected, atol=1e-6)
    assert not imputer.uses_training_
    assert imputer.hidden_error_ == {}


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_initial_model_of_many_normal_rows_is_the_truth(rate):
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((2, 5))
    X = rng.standard_normal((20_000, 2)) @ weights + 0.3 * rng.standard_normal((20_000, 5)) + 1
    covariance = weights.T @ weights + 0.3**2 * np.eye(5)
    X = np.where(rng.random(X.shape) < rate, np.nan, X)
    filled = VAEImputer(max_epochs=0, scale="values").fit(X).transform(X[:200])
    expected = [conditional_mean(row, np.ones(5), covariance) for row in X[:200]]
    np.testing.assert_allclose(filled, expected, atol=0.15)


def test_moments_of_complete_rows_are_unbiased():
    X = np.random.default_rng(0).multivariate_normal(np.zeros(4), 0.5 * np.eye(4) + 0.5, 30)
    model = VAEImputer(3, max_epochs=0, scale="values").fit(X).models_["values"]
    standardised = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(model.get_covariance(), np.cov(standardised.T), rtol=1e-3, atol=1e-3)


def test_normal_scores_do_not_depend_on_monotone_transformations(gappy):
    options = {"max_epochs": 0, "scale": "normal_scores", "random_state": 0}
    filled = VAEImputer(**options).fit_transform(gappy)
    of_powers = VAEImputer(**options).fit_transform(np.exp(gappy))
    # Between two values of a column the curve differs, so by less than their distance.
    here, order = np.isnan(gappy), np.sort(gappy, axis=0)
    for j in range(gappy.shape[1]):
        below = np.searchsorted(order[:, j], filled[here[:, j], j])
        of_power = np.searchsorted(order[:, j], np.log(of_powers[here[:, j], j]))
        assert np.abs(below - of_power).max() <= 1


def test_skewed_columns_are_met_as_normal_scores():
    rng = np.random.default_rng(3)
    cov = 0.3 * np.eye(4) + 0.7
    X = np.exp(rng.multivariate_normal(np.zeros(4), cov, 2000))
    hidden = rng.random(X.shape) < 0.2
    seen = np.where(hidden, np.nan, X)
    imputer = VAEImputer(max_epochs=0, random_state=0).fit(seen)
    assert imputer.initial_scale_ == "normal_scores"
    more = np.where(hidden, np.nan, X**2)
    assert list(VAEImputer(max_epochs=1, random_state=0).fit(more).models_) == ["normal_scores"]
    others = [VAEImputer(max_epochs=0, scale="values").fit(seen), IterativeImputer().fit(seen)]
    error, *errors = (np.abs(i.transform(seen) - X)[hidden].mean() for i in (imputer, *others))
    assert error < 0.97 * min(errors)


def test_normal_columns_keep_their_values():
    rng = np.random.default_rng(4)
    X = rng.multivariate_normal(np.zeros(4), 0.3 * np.eye(4) + 0.7, 600)
    X[rng.random(X.shape) < 0.2] = np.nan
    assert VAEImputer(max_epochs=0, random_state=0).fit(X).initial_scale_ == "values"
    both = VAEImputer(max_epochs=1, random_state=0).fit(X).models_
    assert sorted(both) == ["normal_scores", "values"]


# Training


def test_a_gain_that_may_be_chance_is_not_used():
    """Epochs are kept for the likelihood, but the error of hidden entries hardly changes."""
    X = load_wine().data
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    options = {"scale": "values", "strategy": "mean", "max_epochs": 60, "random_state": 0}
    imputer = VAEImputer(2, **options).fit(X)
    assert imputer.models_["values"].best_epoch_ > 0
    assert imputer.hidden_error_["trained"] < imputer.hidden_error_["initial"]
    assert not imputer.uses_training_


def test_training_lowers_the_error_of_what_is_missing(bent, missing, gappy, fitted):
    start = VAEImputer(max_epochs=0, random_state=0).fit(gappy)
    errors = [np.abs(i.transform(gappy) - bent)[missing].mean() for i in (fitted, start)]
    assert fitted.uses_training_
    assert fitted.hidden_error_["trained"] < fitted.hidden_error_["initial"]
    assert errors[0] < 0.8 * errors[1]


def test_training_that_gains_nothing_is_not_used():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200, 5))  # independent columns
    X[rng.random(X.shape) < 0.2] = np.nan
    imputer = VAEImputer(max_epochs=20, random_state=0).fit(X)
    start = VAEImputer(max_epochs=0, random_state=0).fit(X)
    assert not imputer.uses_training_
    np.testing.assert_allclose(imputer.transform(X), start.transform(X), atol=1e-6)


def test_what_is_there_stays(gappy, fitted):
    filled = fitted.transform(gappy)
    seen = ~np.isnan(gappy)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[seen], gappy[seen])


def test_complete_rows_come_back(bent, fitted):
    np.testing.assert_array_equal(fitted.transform(bent), bent)


def test_a_row_does_not_depend_on_the_others(gappy, fitted):
    filled = fitted.transform(gappy[:50])
    np.testing.assert_allclose(fitted.transform(gappy[:50][::-1]), filled[::-1], rtol=1e-9)
    one_by_one = np.vstack([fitted.transform(row[None]) for row in gappy[:20]])
    np.testing.assert_allclose(one_by_one, filled[:20], rtol=1e-9)


def test_a_model_of_complete_rows_fills_gaps(bent, missing):
    imputer = VAEImputer(max_epochs=60, random_state=0).fit(bent[:400])
    X = np.where(missing, np.nan, bent)[400:]
    error = np.abs(imputer.transform(X) - bent[400:])[missing[400:]].mean()
    of_medians = np.abs(np.median(bent[:400], axis=0) - bent[400:])[missing[400:]].mean()
    assert error < 0.7 * of_medians


def test_the_same_seed_gives_the_same_results(gappy, fitted):
    again = VAEImputer(max_epochs=60, random_state=0).fit(gappy)
    np.testing.assert_array_equal(again.transform(gappy), fitted.transform(gappy))
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.transform(gappy), fitted.transform(gappy))


def test_float32(gappy):
    imputer = VAEImputer(max_epochs=2, random_state=0).fit(gappy.astype(np.float32))
    assert imputer.transform(gappy.astype(np.float32)).dtype == np.float32


# Draws


def test_draws_cover_what_is_missing(bent, missing, gappy, fitted):
    draws = fitted.impute(gappy, n_draws=100, random_state=0)
    assert draws.shape == (100, *gappy.shape)
    np.testing.assert_array_equal(draws[:, ~missing], np.tile(bent[~missing], (100, 1)))
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    covered = ((low <= bent) & (bent <= high))[missing].mean()
    assert 0.85 < covered < 0.95


def test_medians_and_means_are_those_of_the_draws(missing, gappy, fitted):
    rows, here = gappy[:100], missing[:100]
    draws = fitted.impute(rows, n_draws=400, random_state=0)[:, here]
    below = (draws < fitted.transform(rows)[here]).mean(axis=0)
    assert below.mean() == pytest.approx(0.5, abs=0.02)
    assert np.abs(below - 0.5).mean() < 0.08
    averaging = pickle.loads(pickle.dumps(fitted)).set_params(strategy="mean")
    away = averaging.transform(rows)[here] - draws.mean(axis=0)
    assert np.abs(away / draws.std(axis=0)).mean() < 0.15


@pytest.mark.parametrize("max_epochs", [0, 30])
def test_draws_of_a_hidden_block_are_correlated(max_epochs):
    """Given nothing but a first column, two others still go together."""
    rng = np.random.default_rng(6)
    cov = np.array([[1.0, 0.3, 0.3], [0.3, 1.0, 0.9], [0.3, 0.9, 1.0]])
    X = rng.multivariate_normal(np.zeros(3), cov, 1000)
    imputer = VAEImputer(max_epochs=max_epochs, random_state=0).fit(X)
    row = np.array([[0.0, np.nan, np.nan]])
    draws = imputer.impute(row, n_draws=4000, random_state=0)[:, 0, 1:]
    cov = np.cov(X.T)
    given = cov[1:, 1:] - np.outer(cov[1:, 0], cov[0, 1:]) / cov[0, 0]
    np.testing.assert_allclose(np.cov(draws.T), given, atol=0.05)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.1)


def test_seeds_of_draws(gappy, fitted):
    draws = fitted.impute(gappy, n_draws=3, random_state=1)
    np.testing.assert_array_equal(fitted.impute(gappy, n_draws=3, random_state=1), draws)
    assert (fitted.impute(gappy, n_draws=3, random_state=2) != draws).any()


def test_sample_posterior_fills_in_draws(gappy, missing, fitted):
    drawing = clone(fitted).set_params(sample_posterior=True).fit(gappy)
    drawn, medians = drawing.transform(gappy), fitted.transform(gappy)
    assert (drawn[missing] != medians[missing]).mean() > 0.9
    np.testing.assert_array_equal(drawing.transform(gappy), drawn)
    np.testing.assert_array_equal(drawn[~missing], gappy[~missing])


# Columns


@pytest.mark.parametrize("scale", ["values", "normal_scores"])
def test_columns_of_few_values_get_values_that_occur(scale):
    rng = np.random.default_rng(7)
    t = rng.standard_normal(400)
    X = np.column_stack([t + 0.1 * rng.standard_normal(400), t > 0, np.clip(t * 2, 0, 3).round()])
    hidden = rng.random(X.shape) < 0.2
    seen = np.where(hidden, np.nan, X)
    imputer = VAEImputer(scale=scale, max_epochs=10, random_state=0).fit(seen)
    for filled in (imputer.transform(seen), *imputer.impute(seen, n_draws=3)):
        assert set(filled[:, 1]) == {0, 1}
        assert set(filled[:, 2]) == {0, 1, 2, 3}
    assert (imputer.transform(seen)[:, 1] == X[:, 1])[hidden[:, 1]].mean() > 0.8
    means = VAEImputer(scale=scale, strategy="mean", max_epochs=0).fit_transform(seen)
    assert scale == "normal_scores" or len(set(means[:, 1])) > 10


def test_units_of_columns_do_not_matter(gappy):
    units = np.array([1e-6, 1.0, 1e6, 1.0, 1e3, 1.0])
    filled = VAEImputer(max_epochs=0, random_state=0).fit_transform(gappy)
    of_units = VAEImputer(max_epochs=0, random_state=0).fit_transform(gappy * units)
    np.testing.assert_allclose(of_units, filled * units, rtol=1e-6)


def test_empty_and_constant_columns(gappy):
    X = np.column_stack([gappy, np.full(len(gappy), np.nan), np.full(len(gappy), 7.0)])
    X[3, -1] = np.nan
    imputer = VAEImputer(max_epochs=1, random_state=0)
    with pytest.warns(UserWarning, match=r"without any value in fit are left out: \['x6'\]"):
        filled = imputer.fit_transform(X)
    assert filled.shape == (len(X), 7)
    assert filled[3, -1] == 7
    assert imputer.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3", "x4", "x5", "x7"]
    kept = VAEImputer(max_epochs=1, random_state=0, keep_empty_features=True).fit_transform(X)
    expected = SimpleImputer(keep_empty_features=True).fit_transform(X)
    np.testing.assert_array_equal(kept[:, 6], expected[:, 6])
    np.testing.assert_array_equal(np.delete(kept, 6, axis=1), filled)
    X[5] = np.nan  # a row without any entry
    assert np.isfinite(imputer.transform(X)).all()


def test_one_column():
    x = np.array([[1.0], [np.nan], [2.0], [6.0]])
    assert VAEImputer(random_state=0).fit_transform(x)[1, 0] == pytest.approx(3)


# scikit-learn's habits


def test_indicator_is_that_of_scikit_learn(gappy):
    imputer = VAEImputer(max_epochs=0, add_indicator=True).fit(gappy)
    out = imputer.transform(gappy)
    np.testing.assert_array_equal(out[:, 6:], MissingIndicator().fit_transform(gappy))
    expected = SimpleImputer(add_indicator=True).fit(gappy).get_feature_names_out()
    np.testing.assert_array_equal(imputer.get_feature_names_out(), expected)


@pytest.mark.parametrize("placeholder", [-1, 0, np.nan, None, pd.NA])
def test_placeholders(gappy, placeholder):
    X = gappy.copy()
    if isinstance(placeholder, int):
        X = np.nan_to_num(X, nan=placeholder)
    imputer = VAEImputer(max_epochs=0, missing_values=placeholder, random_state=0)
    expected = VAEImputer(max_epochs=0, random_state=0).fit_transform(gappy)
    np.testing.assert_array_equal(imputer.fit_transform(X), expected)


def test_nan_beside_another_placeholder_is_refused(gappy):
    with pytest.raises(ValueError, match="contains NaN beside the placeholder missing_values=-1"):
        VAEImputer(missing_values=-1).fit(gappy)


def test_data_frames(gappy):
    frame = pd.DataFrame(gappy, columns=list("abcdef")).convert_dtypes()
    imputer = VAEImputer(max_epochs=0, random_state=0).fit(frame)
    plain = VAEImputer(max_epochs=0, random_state=0).fit_transform(gappy)
    np.testing.assert_array_equal(imputer.transform(frame), plain)
    filled = imputer.impute(frame)
    assert isinstance(filled, pd.DataFrame)
    assert filled.columns.tolist() == list("abcdef")
    as_frame = imputer.set_output(transform="pandas").transform(frame)
    pd.testing.assert_frame_equal(as_frame, filled, check_dtype=False)


def test_search_in_a_pipeline(gappy, bent):
    labels = bent[:, 0] > 0
    pipeline = make_pipeline(
        VAEImputer(max_epochs=0, add_indicator=True, random_state=0), LogisticRegression()
    )
    search = GridSearchCV(pipeline, {"vaeimputer__latent_dim": [1, 3]}, cv=2).fit(gappy, labels)
    assert search.best_score_ > 0.85


def test_a_failed_fit_changes_nothing(gappy, fitted):
    before, state = fitted.transform(gappy), vars(fitted).copy()
    for X in (np.full((5, 6), np.nan), np.full((5, 6), np.inf), [["a"] * 6] * 4):
        with pytest.raises(ValueError, match=r"got none|infinity|text"):
            fitted.fit(X)
    assert vars(fitted) == state
    np.testing.assert_array_equal(fitted.transform(gappy), before)


def test_too_many_codes_are_refused(gappy):
    with pytest.raises(ValueError, match=r"got latent_dim=6, 6 columns and 500 rows.*'auto'"):
        VAEImputer(6).fit(gappy)


# What a review found


def test_rows_do_not_depend_on_others_where_codes_are_equally_likely(gappy):
    """As at the start of training, where all draws of codes have nearly the same weight."""
    imputer = VAEImputer(max_epochs=1, lr=1e-5, random_state=0).fit(gappy)
    imputer.uses_training_ = True
    filled = imputer.transform(gappy[:60])
    one_by_one = np.vstack([imputer.transform(row[None]) for row in gappy[:60]])
    np.testing.assert_allclose(one_by_one, filled, rtol=1e-9)


def test_a_rare_column_of_a_large_table():
    X = np.random.default_rng(8).standard_normal((5000, 4))
    X[:, 0] = np.nan
    X[7, 0] = 1.0
    filled = VAEImputer(max_epochs=0, random_state=0).fit_transform(X)
    assert (filled[:, 0] == 1).all()


def test_means_and_medians_of_skewed_columns():
    """Of a log-normal column that depends on nothing."""
    rng = np.random.default_rng(9)
    X = np.exp(rng.standard_normal((4000, 2)))
    X[:1000, 0] = np.nan
    options = {"scale": "normal_scores", "max_epochs": 0, "random_state": 0}
    mean, median = (
        VAEImputer(strategy=strategy, **options).fit_transform(X)[:1000, 0]
        for strategy in ("mean", "median")
    )
    np.testing.assert_allclose(median, 1.0, atol=0.2)
    np.testing.assert_allclose(mean, np.exp(0.5), atol=0.3)


def test_a_column_far_from_0_leaves_the_others_as_they_are(gappy):
    options = {"scale": "values", "max_epochs": 0, "random_state": 0}
    far = gappy + np.array([1e9, 0, 0, 0, 0, 0])
    filled, of_far = (VAEImputer(**options).fit_transform(X) for X in (gappy, far))
    np.testing.assert_allclose(of_far[:, 1:], filled[:, 1:], atol=1e-5)


def test_huge_values_are_refused(gappy):
    with pytest.raises(ValueError, match=r"variance of every column of X must be finite"):
        VAEImputer(max_epochs=0).fit(gappy * 1e200)


def test_an_extreme_that_occurs_often_is_a_limit():
    """Also a low one: draws are not below it."""
    rng = np.random.default_rng(0)
    t = rng.standard_normal(1500)
    X = np.column_stack([t, np.maximum(t + 0.5 * rng.standard_normal(1500), -0.5), t**2])
    X[:, 2] = np.minimum(X[:, 2], 1.0)
    X[rng.random(X.shape) < 0.2] = np.nan
    draws = VAEImputer(1, max_epochs=0, scale="values").fit(X).impute(X, n_draws=20)
    assert draws[..., 1].min() == -0.5
    assert draws[..., 2].max() == 1.0


def test_an_extreme_that_occurs_twice_is_no_limit():
    x = np.random.default_rng(10).standard_normal(500)
    x = np.append(x, x.max())
    imputer = VAEImputer(max_epochs=0, scale="values").fit(np.column_stack([x, x]))
    assert imputer.transform([[np.nan, 6.0]])[0, 0] > 5


def test_whole_numbers_stay_whole():
    rng = np.random.default_rng(11)
    x = np.sort(rng.choice(1000, 200, replace=False)).astype(float)
    X = np.column_stack([x, x + rng.standard_normal(200)])
    X[::7, 0] = np.nan
    filled = VAEImputer(max_epochs=0, random_state=0).fit_transform(X)[:, 0]
    np.testing.assert_array_equal(filled, filled.round())


def test_frames_keep_their_dtypes():
    rng = np.random.default_rng(12)
    frame = pd.DataFrame(
        {
            "int": np.arange(50),
            "float32": rng.standard_normal(50).astype(np.float32),
            "Int64": pd.array(rng.integers(0, 3, 50), dtype="Int64"),
            "float64": rng.standard_normal(50),
        }
    )
    frame.loc[3, "float32"] = np.nan
    frame.loc[4, "Int64"] = pd.NA
    filled = VAEImputer(max_epochs=0, random_state=0).fit(frame).impute(frame)
    assert filled.dtypes.astype(str).tolist() == ["int64", "float32", "Int64", "float64"]
    assert not filled.isna().any(axis=None)


def test_frames_with_another_placeholder_are_filled(gappy):
    frame = pd.DataFrame(np.nan_to_num(gappy, nan=-1.0))
    imputer = VAEImputer(max_epochs=0, missing_values=-1, random_state=0).fit(frame)
    expected = VAEImputer(max_epochs=0, random_state=0).fit(gappy).impute(gappy)
    np.testing.assert_array_equal(imputer.impute(frame), expected)


def test_a_placeholder_is_compared_in_the_dtype_of_X(gappy):
    X = np.nan_to_num(gappy, nan=0.1).astype(np.float32)
    filled = VAEImputer(max_epochs=0, missing_values=np.float64(0.1)).fit_transform(X)
    assert ((filled != X) == np.isnan(gappy)).all()
