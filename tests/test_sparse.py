"""Sparse matrices: the same results as for dense ones, without making all of it dense."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skae import AutoencoderTransformer, VAETransformer

both = pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
SHAPES = {"narrow": (300, 40), "short": (80, 300), "long": (1100, 2100)}


def table(n, d, likelihood="gaussian", density=0.2, n_factors=3):
    """Rows of a few factors in which most entries are 0, and one column is far from it."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, n_factors)) @ rng.standard_normal((n_factors, d))
    rows = np.abs(rows + 0.3 * rng.standard_normal((n, d))) * (rng.random((n, d)) < density)
    if likelihood == "bernoulli":
        return (rows > 0).astype(float)
    rows[:, 5] += 20.0
    return np.round(rows) if likelihood == "poisson" else rows


def assert_close(got, expected, tolerance):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


def assert_same_model(got, expected, X, tolerance=1e-9):
    for rows in (X, sparse.csr_array(X)):
        assert_close(got.transform(rows), expected.transform(X), tolerance)
        assert_close(got.score_samples(rows[:50]), expected.score_samples(X[:50]), tolerance)
    for name in ("mean_", "explained_variance_"):
        assert_close(getattr(got, name), getattr(expected, name), tolerance)


@both
@pytest.mark.parametrize("shape", SHAPES)
def test_start_equals_pca(cls, shape):
    X = table(*SHAPES[shape])
    model = cls(3, max_epochs=0).fit(sparse.csr_array(X))
    assert_same_model(model, cls(3, max_epochs=0).fit(X), X)
    pca = PCA(3, svd_solver="full").fit(X)
    np.testing.assert_allclose(model.explained_variance_, pca.explained_variance_, rtol=1e-6)
    overlap = np.abs(model.components_ @ pca.components_.T)
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-5)


@both
@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
@pytest.mark.parametrize("shape", SHAPES)
def test_start_of_other_likelihoods(cls, likelihood, shape):
    X = table(*SHAPES[shape], likelihood)
    options = {"likelihood": likelihood, "max_epochs": 0}
    model = cls(2, **options).fit(sparse.csr_array(X))
    assert_same_model(model, cls(2, **options).fit(X), X)


@both
@pytest.mark.parametrize("dim", [0.5, "mle", None])
def test_choice_of_the_size(cls, dim):
    X = table(200, 60) if dim == "mle" else table(60, 200)
    options = {"n_components": dim, "max_epochs": 0}
    model, dense = cls(**options).fit(sparse.csr_array(X)), cls(**options).fit(X)
    assert model.n_components_ == dense.n_components_
    np.testing.assert_allclose(model.explained_variance_, dense.explained_variance_, atol=1e-8)


@both
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_training_is_the_same(cls, likelihood):
    X = table(400, 50, likelihood)
    options = {"likelihood": likelihood, "max_epochs": 5, "random_state": 0}
    model = cls(2, **options).fit(sparse.csr_array(X))
    dense = cls(2, **options).fit(X)
    assert_close(model.validation_curve_, dense.validation_curve_, 1e-5)
    assert_close(model.loss_curve_, dense.loss_curve_, 1e-5)
    options["validation_fraction"] = None  # which keeps the last epoch
    model = cls(2, **options).fit(sparse.csr_array(X))
    assert model.best_epoch_ == 5
    assert_same_model(model, cls(2, **options).fit(X), X, 1e-3)


@both
def test_the_whole_matrix_is_never_dense(cls):
    """Arrays of numpy, of which rows of torch are views, take less than half of it in float32."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((2500, 20_000), density=1e-3, rng=rng, format="csr")
    options = {"hidden_layer_sizes": 8, "validation_fraction": 0.03, "random_state": 0}
    model = cls(2, max_epochs=1, **options).fit(X[:100, :20])  # for what is imported
    tracemalloc.start()
    model.fit(X)
    assert model.transform(X).shape == (2500, 2)
    assert np.isfinite(model.score_samples(X[:5])).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2500 * 20_000 * 4 / 2


@both
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_chunks(cls):
    X = table(600, 30)
    model, dense = (cls(2, random_state=0) for _ in range(2))
    for rows in np.array_split(X, 3):
        model.partial_fit(sparse.csr_array(rows))
        dense.partial_fit(rows)
    assert_same_model(model, dense, X, 1e-4)


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "lil", "bsr"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8, bool])
def test_formats_and_dtypes(format, dtype):
    X = table(100, 12, "poisson").astype(dtype)
    model = AutoencoderTransformer(2, max_epochs=0)
    codes = model.fit_transform(sparse.csr_array(X).asformat(format))
    assert codes.dtype == (np.float32 if dtype == np.float32 else np.float64)
    dense = model.fit_transform(X)
    assert_close(codes, dense, 1e-5 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_entries_given_twice_are_added_and_the_matrix_is_not_changed(shape):
    n, d = SHAPES[shape]
    X = table(min(n, 400), d)
    once = sparse.csr_array(X)
    halves = np.repeat(once.data / 2, 2), np.repeat(once.indices, 2), 2 * once.indptr
    twice = sparse.csr_array(halves, shape=X.shape)
    options = {"max_epochs": 2, "random_state": 0}
    model, same = (AutoencoderTransformer(2, **options).fit(rows) for rows in (twice, once))
    np.testing.assert_array_equal(model.loss_curve_, same.loss_curve_)
    assert_same_model(model, same, X)
    assert twice.nnz == 2 * once.nnz


def test_rows_that_are_nearly_copies_are_noticed():
    rng = np.random.default_rng(0)
    X = np.repeat(table(60, 8, density=0.8), 5, axis=0)
    X *= 1.0 + 1e-6 * rng.standard_normal(X.shape)
    for rows in (X, sparse.csr_array(X)):
        with pytest.warns(UserWarning, match="60 groups of near-copies"):
            AutoencoderTransformer(2, max_epochs=1, random_state=0).fit(rows)


@both
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_options(cls):
    X = table(300, 30)
    there, val = sparse.csr_array(X[:250]), sparse.csr_array(X[250:])
    options = {"max_epochs": 3, "random_state": 0, "whiten": True}
    model = cls(2, **options).fit(there, X_val=val)
    dense = cls(2, **options).fit(X[:250], X_val=X[250:])
    assert_same_model(model, dense, X, 1e-3)
    groups = np.arange(250) // 5
    model, dense = cls(2, **options).fit(there, groups=groups), cls(2, **options)
    assert_same_model(model, dense.fit(X[:250], groups=groups), X, 1e-3)
    model.set_params(warm_start=True).fit(there)
    assert_same_model(model, dense.set_params(warm_start=True).fit(X[:250]), X, 1e-2)


def test_data_frames_of_sparse_columns():
    frame = pd.get_dummies(pd.Series(list("abcab") * 10), sparse=True, dtype=float)
    model = AutoencoderTransformer(2, max_epochs=0).fit(frame)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    np.testing.assert_allclose(model.transform(frame), model.transform(frame.sparse.to_dense()))
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame[["b", "a", "c"]])


def test_behind_an_encoder_of_categories():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, (300, 4)).astype(str)
    y = X[:, 0] > "2"
    model = make_pipeline(
        OneHotEncoder(),
        VAETransformer(3, likelihood="bernoulli", max_epochs=0),
        LogisticRegression(),
    )
    assert model.fit(X, y).score(X, y) > 0.5


@both
def test_values_that_are_not_finite(cls):
    X = sparse.csr_array(table(50, 8))
    rows, columns = X.nonzero()
    where = rf"column {columns[3]}, first in row {rows[3]}\."
    for value, what in ((np.nan, "NaN"), (np.inf, "infinity")):
        X.data[3] = value
        with pytest.raises(ValueError, match=f"{what}.*{where}"):
            cls(2).fit(X)
    model = cls(2, max_epochs=0).fit(table(50, 8))
    with pytest.raises(ValueError, match="infinity"):
        model.transform(X)


def test_what_needs_dense_rows():
    X = sparse.csr_array(table(50, 8))
    with pytest.raises(TypeError, match=r"X\.toarray\(\).*ordered=False"):
        AutoencoderTransformer(2, ordered=True).fit(X)
    with pytest.raises(TypeError, match=r"X\.toarray\(\)"):
        VAETransformer(2, likelihood="auto").fit(X)
    with pytest.raises(ValueError, match="poisson"):
        VAETransformer(2, likelihood="poisson").fit(-X)


def test_number_of_columns():
    model = AutoencoderTransformer(2, max_epochs=0).fit(sparse.csr_array(table(50, 8)))
    with pytest.raises(ValueError, match="8 features"):
        model.transform(sparse.csr_array(table(50, 7)))
