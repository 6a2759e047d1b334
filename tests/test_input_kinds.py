"""Tables of every kind that PCA takes, and odd ones."""

import numpy as np
import pandas as pd
import pytest
from _estimators import ESTIMATORS, LIKELIHOODS, OF_CODES
from sklearn.preprocessing import MinMaxScaler

pytestmark = [
    pytest.mark.parametrize("cls", ESTIMATORS),
    pytest.mark.filterwarnings("ignore:.*latents have collapsed"),
]


def fit(cls, X, **parameters):
    model = cls(2, max_epochs=2, random_state=0, **parameters).fit(X)
    for result in (model.transform(X), model.reconstruct(X), model.score_samples(X)):
        assert np.isfinite(result).all()
    assert np.isfinite(model.sample(3)).all()
    return model


def test_integers_and_booleans(cls, digits):
    X = (digits[0][:200] * 16).astype(int)
    reference = fit(cls, X.astype(float)).transform(X.astype(float))
    for kind in (np.int8, np.uint8, np.int64):
        codes = fit(cls, X.astype(kind)).transform(X.astype(kind))
        assert codes.dtype == np.float64
        np.testing.assert_array_equal(codes, reference)
    fit(cls, X > 8)
    if (cls, "bernoulli") in LIKELIHOODS:
        fit(cls, X > 8, likelihood="bernoulli")


def test_data_frames(cls, bent):
    frame = pd.DataFrame(bent, columns=list("abcdef"), index=np.arange(400) * 3)
    model = fit(cls, frame)
    assert list(model.feature_names_in_) == list("abcdef")
    codes = cls(2, max_epochs=2, random_state=0).fit_transform(bent)
    np.testing.assert_allclose(model.transform(frame), codes, rtol=1e-6)
    codes = model.set_output(transform="pandas").transform(frame)
    assert list(codes.columns) == [f"{cls.__name__.lower()}{i}" for i in range(2)]
    assert codes.index.equals(frame.index)
    back = model.inverse_transform(codes)
    assert isinstance(back, np.ndarray)
    if cls in OF_CODES and cls.__name__ != "ConditionalVAE":  # which knows the condition too
        np.testing.assert_allclose(model.reconstruct(frame), back, rtol=1e-12)
    assert list(model.get_feature_names_out()) == list(codes.columns)


def test_read_only_memory_maps(cls, bent, tmp_path):
    for dtype in (np.float32, np.float64):
        np.save(tmp_path / "X.npy", bent.astype(dtype))
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
        model = fit(cls, X)
        np.testing.assert_array_equal(
            model.transform(X), cls(2, max_epochs=2, random_state=0).fit_transform(np.array(X))
        )


@pytest.mark.parametrize("layout", ["F", "strided", "reversed", "big-endian"])
def test_memory_layouts(cls, layout, bent):
    X = {
        "F": np.asfortranarray(bent),
        "strided": np.repeat(bent, 2, axis=0)[::2],
        "reversed": bent[::-1, ::-1][::-1, ::-1],
        "big-endian": bent.astype(">f8"),
    }[layout]
    np.testing.assert_allclose(fit(cls, X).transform(X), fit(cls, bent).transform(bent), rtol=1e-6)


def test_input_is_left_as_it_was(cls, bent):
    X = bent.copy()
    fit(cls, X)
    np.testing.assert_array_equal(X, bent)


def test_constant_and_duplicated_columns(cls, bent):
    X = np.column_stack([bent, np.zeros(400), np.full(400, 1e6), bent[:, 0], bent])
    fit(cls, X)
    if (cls, "bernoulli") in LIKELIHOODS:
        fit(cls, MinMaxScaler().fit_transform(X), likelihood="bernoulli")


def test_nothing_but_constants(cls):
    X = np.full((10, 3), 7.0)
    model = fit(cls, X)
    np.testing.assert_allclose(model.reconstruct(X), X, rtol=1e-5)


def test_one_row_at_transform_and_two_in_fit(cls, bent):
    model = fit(cls, bent)
    assert model.transform(bent[:1]).shape == (1, 2)
    assert model.inverse_transform(np.zeros((1, 2))).shape == (1, 6)
    fit(cls, bent[:2])


def test_one_feature(cls):
    X = np.random.default_rng(0).standard_normal((50, 1))
    assert cls(1, max_epochs=3, random_state=0).fit_transform(X).shape == (50, 1)


def test_outliers_stay_finite(cls, bent):
    X = bent.copy()
    X[0, 0] = 1e7
    fit(cls, X)
