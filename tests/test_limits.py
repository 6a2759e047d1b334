"""The far ends of floating point: what comes out is right, or the rows are refused."""

import numpy as np
import pytest
from _estimators import ESTIMATORS
from _sizes import small_memory
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import skae
from skae import (
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SuperResolutionAutoencoder,
    VAETransformer,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*latents have collapsed")
every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
OPTIONS = {"max_epochs": 1, "random_state": 0}
X = np.random.default_rng(0).standard_normal((60, 2)) @ np.array([[1, 2, 0, 1], [0, 1, -1, 3]])
X = X + 0.3 * np.random.default_rng(1).standard_normal(X.shape)
WITHOUT_UNITS = ("VAETransformer", "ConditionalVAE", "AdversarialAutoencoder")  # of codes


@every_estimator
@pytest.mark.parametrize(
    ("dtype", "exponents"),
    [(np.float64, (-460, -130, 130, 490)), (np.float32, (-118, -70, 70, 110))],
)
def test_a_power_of_two_changes_units_alone(cls, dtype, exponents):
    rows = X.astype(dtype)
    model = cls(2, **OPTIONS).fit(rows)
    codes, density = model.transform(rows), cls.__name__ in WITHOUT_UNITS[:2]
    expected = [codes, model.inverse_transform(codes), model.sample(3, random_state=0)]
    for exponent in exponents:
        other = cls(2, **OPTIONS).fit(np.ldexp(rows, exponent))
        units = 0 if cls.__name__ in WITHOUT_UNITS else exponent
        found = [
            np.ldexp(other.transform(np.ldexp(rows, exponent)), -units),
            np.ldexp(other.inverse_transform(np.ldexp(codes, units)), -exponent),
            np.ldexp(other.sample(3, random_state=0), -exponent),
        ]
        for numbers, wanted in zip(found, expected, strict=True):
            assert np.abs(numbers - wanted).max() < 1e-6 * np.abs(wanted).max()
        scores = other.score_samples(np.ldexp(rows, exponent))
        volume = X.shape[1] * exponent * np.log(2) if density else 0.0
        np.testing.assert_allclose(scores + volume, model.score_samples(rows), rtol=1e-4)
        assert np.isfinite(other.loss_curve_).all()
        assert np.isfinite(other.noise_variance_).all()


@every_estimator
@pytest.mark.parametrize(
    ("dtype", "exponent", "message"),
    [
        (np.float64, -1070, r"values of X must differ by 1e-140 at least; got .* Divide X by"),
        (np.float64, -700, r"values of X must differ by 1e-140 at least; got"),
        (np.float64, -538, r"values of X must differ by 1e-140 at least; got .*e-16\d as the"),
        (np.float64, 515, r"variance of X must be finite in float64, .*; got inf\. Divide X by"),
        (np.float64, 1020, r"variance of X must be finite in float64, .*; got inf\. Divide X by"),
        (np.float32, -147, r"X must be of dtype float64 where .*; got float32\. Convert it with"),
        (np.float32, -130, r"X must be of dtype float64 where .*; got float32\. Convert it with"),
        (np.float32, 120, r"X must be of dtype float64 where .*; got float32\. Convert it with"),
    ],
)
def test_tables_that_cannot_be_squared(cls, dtype, exponent, message):
    rows = np.ldexp(X.astype(dtype), exponent)
    model = cls(2, **OPTIONS).fit(X)
    before = model.transform(X)
    for fit in (model.fit, cls(2).partial_fit):
        with pytest.raises(ValueError, match=message):
            fit(rows)
    np.testing.assert_array_equal(model.transform(X), before)


@pytest.mark.parametrize("shape", ["wide", "read by blocks"])
def test_other_ways_to_moments(shape, monkeypatch):
    rows = X[:10].T if shape == "wide" else X
    if shape == "read by blocks":
        small_memory(monkeypatch, resident=10)
    for factor, message in (
        (1e-170, "must differ by 1e-140"),
        (1e170, "must be finite in float64"),
    ):
        with pytest.raises(ValueError, match=message):
            AutoencoderTransformer(2).fit(rows * factor)


def test_the_advice_helps():
    for factor in (1e-310, 1e-165, 1e160, 1e300):
        rows = X * factor
        model = AutoencoderTransformer(2, max_epochs=0).fit(rows / np.abs(rows).max())
        expected = AutoencoderTransformer(2, max_epochs=0).fit(X).score(X)
        assert model.score(rows / np.abs(rows).max()) == pytest.approx(expected)
    rows = np.ldexp(X.astype(np.float32), -130)
    for better in (rows.astype(np.float64), StandardScaler().fit_transform(rows)):
        assert AutoencoderTransformer(2, max_epochs=0).fit(better).score(better) > 0.9


def test_pairs_name_the_table():
    with pytest.raises(ValueError, match="values of X_clean must differ by 1e-140 at least"):
        DenoisingAutoencoder(2).fit(X, X_clean=X * 1e-170)
    with pytest.raises(ValueError, match="values of X must differ by 1e-140 at least"):
        DenoisingAutoencoder(2).fit(X * 1e-170, X_clean=X)


@pytest.mark.parametrize("small", [1e-200, 1e-310])
def test_one_small_column_is_as_in_pca(small):
    rows = np.column_stack([X, small * X[:, 0]])
    pca, model = PCA(2).fit(rows), AutoencoderTransformer(2, max_epochs=0).fit(rows)
    np.testing.assert_allclose(np.abs(model.transform(rows)), np.abs(pca.transform(rows)))
    rows = np.column_stack([X, 1e-40 * X[:, 0]]).astype(np.float32)
    codes = AutoencoderTransformer(2, max_epochs=0).fit_transform(rows)
    np.testing.assert_allclose(np.abs(codes), np.abs(pca.transform(rows)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 7e-300, 7.0, 1e200])
def test_what_does_not_vary_is_no_matter_of_size(value):
    rows = np.full((20, 3), value)
    model = AutoencoderTransformer(2, **OPTIONS).fit(rows)
    np.testing.assert_allclose(model.reconstruct(rows), rows)
    np.testing.assert_allclose(model.sample(5), rows[:5], atol=1e-302)


@every_estimator
def test_further_rows_that_are_too_far(cls):
    model = cls(2, warm_start=True, **OPTIONS).fit(X)
    before = model.transform(X)
    for factor in (1e20, 1e38, 1e100, 1e150):
        message = r"values of X must be within 1e\+15 times the scale .*; got .* in column \d"
        with pytest.raises(ValueError, match=message):
            model.fit(X * factor)
    np.testing.assert_array_equal(model.transform(X), before)
    model.fit(X * 1e-200)
    assert np.isfinite(model.transform(X)).all()


@every_estimator
@pytest.mark.parametrize("factor", [1e20, 1e38, 1e100, 1e150, 1e-200])
def test_a_chunk_of_another_size(cls, factor):
    """What standardises rows goes with it, and what was learned is given up."""
    rows = np.concatenate([X, X * factor])
    model = cls(2, **OPTIONS).partial_fit(X).partial_fit(X * factor)
    np.testing.assert_allclose(model.mean_, rows.mean(axis=0))
    assert np.isfinite(model.transform(rows)).all()
    assert np.isfinite(model.score(rows))
    if cls.__name__ == "AutoencoderTransformer":
        pca = PCA(2).fit(rows)
        explained = pca.explained_variance_ratio_.sum()
        assert model.score(rows) == pytest.approx(explained, abs=1e-3)


@every_estimator
@pytest.mark.parametrize(("dtype", "largest"), [(np.float64, 1e307), (np.float32, 1e38)])
def test_rows_far_from_those_of_fit(cls, dtype, largest):
    """Of a model of small units, so that nearly nothing fits into floats."""
    model = cls(2, max_epochs=0, random_state=0).fit((1e-4 * X).astype(dtype))
    far = np.full((3, 4), largest, dtype=dtype)
    far[:2] = 1e-4 * X[:2]
    message = (
        r"values of (X|X_low|Z) must be nearer to those that fit has seen; got 1e\+\d+ in column"
    )
    if cls.__name__ in WITHOUT_UNITS[:2]:  # so far out there is no density
        assert model.score_samples(far)[-1] == -np.inf
    else:
        with pytest.raises(ValueError, match=message):
            model.score_samples(far)
    if cls.__name__ == "ConditionalVAE":  # conditions of rows without any are another matter
        return
    with pytest.raises(ValueError, match=message):
        model.transform(far)
    with pytest.raises(ValueError, match=message):
        model.reconstruct(far)


def test_codes_far_from_those_of_fit():
    model = AutoencoderTransformer(2, max_epochs=0).fit((1e-20 * X).astype(np.float32))
    with pytest.raises(
        ValueError, match=r"values of Z must be nearer .* float32 .*, or use float64"
    ):
        model.inverse_transform(np.full((1, 2), 1e30, dtype=np.float32))
    assert np.isfinite(model.inverse_transform(np.full((1, 2), 1e30))).all()


def test_a_dtype_that_does_not_hold_the_units_of_a_model():
    for factor in (1e-100, 1e100):
        model = AutoencoderTransformer(2, max_epochs=0).fit(factor * X)
        zeros = np.zeros((2, 4), dtype=np.float32)
        for function in (model.transform, model.reconstruct, model.score_samples):
            with pytest.raises(ValueError, match=r"X must be of dtype float64 .*; got float32"):
                function(zeros)
        with pytest.raises(ValueError, match=r"Z must be of dtype float64 .*; got float32"):
            model.inverse_transform(zeros[:, :2])
        assert np.isfinite(model.inverse_transform(np.zeros((2, 2)))).all()


@pytest.mark.parametrize("value", [1e20, 1e80, 1e140])
def test_images_of_pixels_that_cannot_be_mixed(value):
    message = r"values of X must be within 1e\+15 times .*; got 1e\+\d+ in column 0"
    for rows in (np.full((20, 5), value), np.column_stack([np.full(60, value), X])):
        with pytest.raises(ValueError, match=message):
            SuperResolutionAutoencoder(2, **OPTIONS).fit(rows)


@pytest.mark.parametrize("factor", [1e-310, 1e-170, 1e160, 1e300])
def test_numbers_as_conditions(factor):
    y = X[:, 0] + X[:, 2] + 0.1
    models = [skae.ConditionalVAE(1, **OPTIONS).fit(X, values) for values in (y, factor * y)]
    scores = models[0].score_samples(X, y), models[1].score_samples(X, factor * y)
    np.testing.assert_allclose(*scores, rtol=1e-4)
    assert models[1].score(X, factor * y) > VAETransformer(1, **OPTIONS).fit(X).score(X) + 0.5


def test_numbers_that_are_too_far():
    y = X[:, 0] + 0.1
    model = skae.ConditionalVAE(1, **OPTIONS).fit(X, y)
    message = r"values of y must be within 1e\+15 times the scale .*; got .* in column 0"
    for function in (model.transform, model.score_samples, model.partial_fit):
        with pytest.raises(ValueError, match=message):
            function(X, 1e160 * y)
    with pytest.raises(ValueError, match=message):
        model.sample(2, y=1e160)
