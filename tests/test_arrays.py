"""Arrays as numpy has them: any strides and byte order, masks, and shapes with nothing in them."""

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from _estimators import ESTIMATORS, TAKE_GAPS, ConditionalVAE
from _sizes import small_memory
from sklearn.decomposition import PCA

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SuperResolutionAutoencoder,
)
from skae.displays import LatentSpaceDisplay

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
OPTIONS = {"max_epochs": 1, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore:.*latents have collapsed")


@pytest.fixture(scope="module", params=ESTIMATORS)
def fitted(request, bent):
    return request.param(2, **OPTIONS).fit(bent)


def test_one_row_of_a_reversed_table(fitted, bent):
    row = bent[::-1][:1]
    assert row.strides[0] < 0
    for method in (fitted.transform, fitted.reconstruct, fitted.score_samples):
        np.testing.assert_array_equal(method(row), method(row.copy()))
    codes = fitted.transform(bent)[::-1][:1]
    expected = fitted.inverse_transform(codes.copy())
    np.testing.assert_array_equal(fitted.inverse_transform(codes), expected)


def test_a_last_block_of_one_row_of_a_reversed_table(fitted, bent, monkeypatch):
    expected = fitted.transform(bent[:65])
    small_memory(monkeypatch, array=64 * 256)  # of networks that are 128 wide
    for step in (-1, 1):
        codes = fitted.transform(bent[:65][::step])
        np.testing.assert_allclose(codes, expected[::step], atol=1e-12)


def test_a_reversed_table_of_more_rows_than_a_block():
    X = np.random.default_rng(0).standard_normal((32_769, 3))
    model = AutoencoderTransformer(2, **OPTIONS).fit(X[:100])
    np.testing.assert_allclose(model.transform(X[::-1]), model.transform(X)[::-1], atol=1e-12)


def test_a_single_reversed_column(bent):
    column = bent[:, :1]
    model = AutoencoderTransformer(1, **OPTIONS).fit(column[:, ::-1])
    np.testing.assert_array_equal(model.transform(column[:, ::-1]), model.transform(column))


def test_one_reversed_small_image(digits):
    X = digits[0][:60].reshape(-1, 8, 8)
    model = SuperResolutionAutoencoder(2, network="conv", max_epochs=0).fit(X)
    low = model.downsample(X)[::-1][:1]
    np.testing.assert_array_equal(model.upscale(low), model.upscale(low.copy()))
    np.testing.assert_array_equal(model.downsample(X[::-1][:1]), low)


@every_estimator
@pytest.mark.parametrize("dtype", [">f8", ">f4"])
def test_data_frames_in_another_byte_order(cls, dtype, bent):
    native = pd.DataFrame(bent.astype(np.dtype(dtype).newbyteorder("=")))
    frame, expected = pd.DataFrame(bent.astype(dtype)), cls(2, **OPTIONS).fit(native)
    model = cls(2, **OPTIONS).fit(frame)
    codes = model.transform(frame)
    assert codes.dtype == native[0].dtype
    np.testing.assert_array_equal(codes, expected.transform(native))
    np.testing.assert_array_equal(model.score_samples(frame), expected.score_samples(native))
    back = model.inverse_transform(pd.DataFrame(codes.astype(dtype)))
    np.testing.assert_array_equal(back, expected.inverse_transform(codes))
    assert model.sample(2).dtype == native[0].dtype
    model.partial_fit(frame)


def test_clean_rows_in_another_byte_order(bent):
    model = DenoisingAutoencoder(2, **OPTIONS).fit(bent, X_clean=pd.DataFrame(bent.astype(">f8")))
    expected = DenoisingAutoencoder(2, **OPTIONS).fit(bent, X_clean=pd.DataFrame(bent))
    np.testing.assert_array_equal(model.denoise(bent), expected.denoise(bent))


@every_estimator
def test_masked_entries_are_not_read_as_what_lies_beneath(cls, bent):
    masked = np.ma.masked_array(bent, bent > 3)
    n = masked.mask.sum()
    for X in (masked, np.ma.masked_array(bent.astype(int), bent > 3), list(masked)):
        if cls in TAKE_GAPS:
            with_nan = np.ma.filled(np.ma.array(X).astype(float), np.nan)
            codes = cls(2, max_epochs=0).fit_transform(X)
            np.testing.assert_array_equal(codes, cls(2, max_epochs=0).fit_transform(with_nan))
            continue
        with pytest.raises(ValueError, match=rf"X must be complete; .* {n} masked .*SimpleImputer"):
            cls(2).fit(X)
    whole = np.ma.masked_array(bent)
    model = cls(2, **OPTIONS).fit(whole)
    np.testing.assert_array_equal(model.transform(whole), model.transform(bent))
    if cls in TAKE_GAPS:
        with_nan = masked.filled(np.nan)
        np.testing.assert_array_equal(model.transform(masked), model.transform(with_nan))
    else:
        with pytest.raises(ValueError, match="masked"):
            model.transform(masked)
    with pytest.raises(ValueError, match="X must be complete"):
        model.inverse_transform(np.ma.masked_array(np.zeros((3, 2)), np.eye(3, 2)))


def test_masked_entries_of_other_arguments(bent):
    masked = np.ma.masked_array(bent, bent > 3)
    with pytest.raises(ValueError, match="X_clean must be complete"):
        DenoisingAutoencoder(2).fit(bent, X_clean=masked)
    model = SuperResolutionAutoencoder(2, max_epochs=0).fit(bent)
    with pytest.raises(ValueError, match="X_low must be complete"):
        model.upscale(masked[:, :3])
    with pytest.raises(ValueError, match="must be complete"):
        LatentSpaceDisplay.from_estimator(PCA(2).fit(bent), masked, max_points=10)
    images = np.ma.masked_array(np.ones((9, 4, 4)), np.zeros((9, 4, 4)))
    images[3, 2, 1] = np.ma.masked
    with pytest.raises(ValueError, match="1 masked"):
        AdversarialAutoencoder(2, network="conv").fit(images)


@every_estimator
@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"input_shape": ()}, (9, 5), r"input_shape must be positive ints; got input_shape=\(\)"),
        ({"input_shape": []}, (9, 5), r"input_shape must be positive ints; got input_shape=\[\]"),
        (
            {"network": "conv", "input_shape": ()},
            (9, 5),
            r"needs input_shape=\(channels, height, width\); got input_shape=\(\)",
        ),
        ({"network": "conv"}, (9, 3, 0, 5), r"got rows of shape \(3, 0, 5\), which are empty"),
        ({"network": "conv"}, (0, 3, 4, 5), r"Found array with 0 sample"),
    ],
)
def test_shapes_with_nothing_in_them(cls, options, shape, message):
    with pytest.raises(ValueError, match=message):
        cls(2, **options).fit(np.zeros(shape))


def test_no_classes(bent):
    with pytest.raises(ValueError, match=r"classes must hold at least one label; got classes=\[\]"):
        ConditionalVAE(2).partial_fit(bent, np.arange(400) % 2, classes=[])


def test_a_model_whose_arrays_are_mapped_goes_on(bent, tmp_path):
    """`joblib.load` may give arrays that cannot be written to."""
    model = AutoencoderTransformer(2, random_state=0).partial_fit(bent)
    joblib.dump(model, tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped = joblib.load(tmp_path / "model", mmap_mode="r")
        mapped.partial_fit(bent)
    np.testing.assert_array_equal(mapped.transform(bent), model.partial_fit(bent).transform(bent))
