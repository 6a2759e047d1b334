"""Images at two resolutions: bicubic interpolation, and what is learned on top of it."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from _sizes import small_memory
from scipy.optimize import minimize_scalar
from sklearn.decomposition import PCA
from torch import nn
from torch.nn import functional as F

from skae import SuperResolutionAutoencoder
from skae.data.batches import Rows
from skae.data.table import Table
from skae.nn.fitted import inference_module
from skae.nn.init import is_zero
from skae.nn.upscaler import ConvUpscaler, upscaler


@pytest.fixture(scope="module")
def images():
    """400 images of 2 x 10 x 7: sharp discs, which interpolation blurs, and a ramp."""
    rng = np.random.default_rng(0)
    row, column, radius = (
        rng.uniform(*ends, 400)[:, None, None] for ends in ((3, 7), (2, 5), (1, 3))
    )
    y, x = np.mgrid[:10, :7] + 0.5
    disc = np.hypot(y - row, x - column) < radius
    ramp = rng.uniform(0, 1, (400, 1, 1)) * (x / 7)
    return np.stack([disc, 0.5 * disc + ramp], axis=1) + 0.01 * rng.standard_normal((400, 2, 10, 7))


@pytest.fixture(scope="module")
def trained(images):
    model = SuperResolutionAutoencoder(
        3, network="conv", upscaler_layer_sizes=(16, 16), max_epochs=15, random_state=0
    )
    return model.fit(images[:300])


def resized(X, size, **options):
    return F.interpolate(
        torch.tensor(X), size, mode="bicubic", align_corners=False, **options
    ).numpy()


def squared_error(a, b):
    return np.square(a - b, dtype=np.float64).sum()


# The start


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("factor", "shape", "low"),
    [
        (2, (2, 10, 7), (2, 5, 4)),
        (3, (2, 10, 7), (2, 4, 3)),
        (8, (2, 10, 7), (2, 2, 2)),
        (2, (1, 8, 1), (1, 4, 1)),
    ],
)
def test_starts_as_bicubic_interpolation(network, dtype, factor, shape, low):
    X = np.random.default_rng(0).random((30, *shape)).astype(dtype) * 3 + 10
    model = SuperResolutionAutoencoder(
        2, network=network, scale_factor=factor, input_shape=shape, max_epochs=0
    ).fit(X)
    tolerance = {"rtol": 1e-12} if dtype == np.float64 else {"rtol": 1e-6}
    X_low = model.downsample(X)
    assert model.low_shape_ == low == X_low.shape[1:]
    assert X_low.dtype == dtype
    np.testing.assert_allclose(X_low, resized(X, low[1:], antialias=True), **tolerance)
    expected = resized(X_low, shape[1:])
    for rows in (X_low, X_low.reshape(30, -1)):
        answer = model.upscale(rows)
        assert answer.dtype == dtype
        assert answer.shape == (X.shape if rows.ndim > 2 else (30, X[0].size))
        np.testing.assert_allclose(answer.reshape(X.shape), expected, **tolerance)
    np.testing.assert_allclose(model.reconstruct(X), expected, **tolerance)


def test_codes_start_as_pca_of_small_images(images):
    model = SuperResolutionAutoencoder(3, network="conv", max_epochs=0).fit(images)
    low = model.downsample(images)
    pca = PCA(3).fit(low.reshape(400, -1))
    codes = model.transform(low)
    signs = np.sign((codes * pca.transform(low.reshape(400, -1))).sum(axis=0))
    np.testing.assert_allclose(codes * signs, pca.transform(low.reshape(400, -1)), atol=1e-10)
    decoded = pca.inverse_transform(codes * signs).reshape(low.shape)
    answer = model.inverse_transform(codes)
    np.testing.assert_allclose(answer, resized(decoded, (10, 7)), atol=1e-10)


def test_rows_without_a_shape_are_lines(bent):
    model = SuperResolutionAutoencoder(2, max_epochs=0).fit(bent)
    low = resized(bent[:, None, None], (1, 3), antialias=True)
    np.testing.assert_allclose(model.downsample(bent), low[:, 0, 0], rtol=1e-12)
    assert model.low_shape_ == (1, 1, 3)
    assert SuperResolutionAutoencoder(2, max_epochs=0).fit(bent[:, :3]).low_shape_ == (1, 1, 2)
    with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 6"):
        model.transform(bent[:, :3])


def test_the_loss_is_the_error_of_what_is_upscaled(images):
    """With steps too small to change anything it is bicubic's, in units of X squared."""
    options = {"network": "conv", "lr": 1e-12, "max_epochs": 1, "random_state": 0}
    model = SuperResolutionAutoencoder(3, validation_fraction=None, **options).fit(images)
    error = squared_error(images, resized(model.downsample(images), (10, 7)))
    assert model.loss_curve_[0] == pytest.approx(error / 400, rel=1e-5)
    assert model.noise_variance_ == pytest.approx(error / images.size, rel=1e-5)
    half = SuperResolutionAutoencoder(3, validation_fraction=0.5, **options).fit(images)
    assert half.validation_curve_[0] == pytest.approx(error / 400, rel=0.05)


def test_what_is_added_is_in_units_of_the_error_of_bicubic_interpolation(images):
    model = SuperResolutionAutoencoder(3, network="conv", max_epochs=0).fit(images)
    low = model.downsample(images)
    bicubic = resized(low, (10, 7))
    module, _ = inference_module(model.net_, np.float64)
    torch.nn.init.ones_(module.upscaler.output.bias)
    unit = np.sqrt(squared_error(images, bicubic) / images.size)
    np.testing.assert_allclose(model.upscale(low) - bicubic, np.full(images.shape, unit))


# What is learned


def test_better_than_bicubic(images, trained):
    test = images[300:]
    low = trained.downsample(test)
    bicubic = squared_error(test, resized(low, (10, 7)))
    assert trained.best_epoch_ > 0
    assert squared_error(test, trained.upscale(low)) < 0.7 * bicubic
    dense = SuperResolutionAutoencoder(3, input_shape=(2, 10, 7), max_epochs=30, random_state=0)
    answer = dense.fit(images[:300]).upscale(low)
    assert squared_error(test, answer) < 0.8 * bicubic


def test_score_is_that_of_what_is_upscaled(images, trained):
    test = images[300:]
    answer = trained.upscale(trained.downsample(test))
    np.testing.assert_array_equal(trained.reconstruct(test), answer)
    variance = squared_error(images[:300], images[:300].mean(axis=0)) / 300
    score = 1 - squared_error(test, answer) / 100 / variance
    assert trained.score(test) == pytest.approx(score, rel=1e-10)
    left = squared_error(images[:300], trained.reconstruct(images[:300]))
    assert trained.noise_variance_ == pytest.approx(left / images[:300].size)


def test_codes_of_small_and_of_large_images(images, trained):
    low = trained.downsample(images[:20])
    codes = trained.transform(images[:20])
    for rows in (low, low.reshape(20, -1), low.reshape(20, -1).tolist(), images[:20]):
        np.testing.assert_allclose(trained.transform(rows), codes, rtol=1e-12)
    frame = pd.DataFrame(low.reshape(20, -1))
    np.testing.assert_allclose(trained.transform(frame), codes, rtol=1e-12)
    np.testing.assert_array_equal(trained.upscale(frame), trained.upscale(frame.to_numpy()))


def test_codes_learn_and_decode_to_large_images(images, trained):
    test = images[300:]
    pca = SuperResolutionAutoencoder(3, network="conv", max_epochs=0).fit(images[:300])
    ours, theirs = (
        squared_error(test, model.inverse_transform(model.transform(test)))
        for model in (trained, pca)
    )
    assert ours < 0.8 * theirs


def test_codes_that_held_out_images_do_not_like_are_forgotten():
    """One code for two directions: PCA cannot be improved, and details go with the other one."""
    y, x = np.mgrid[:8, :8]
    smooth, other, details = np.cos(np.pi * x / 8), np.cos(np.pi * y / 8), (-1.0) ** (x + y)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 400, 1, 1))
    X = 3 * a * smooth + b * (other + details) + 0.05 * rng.standard_normal((400, 8, 8))
    start = SuperResolutionAutoencoder(1, network="conv", max_epochs=0).fit(X)
    options = {"network": "conv", "max_epochs": 5, "random_state": 0}
    model = SuperResolutionAutoencoder(1, **options).fit(X)
    assert model.best_epoch_ > 0
    codes = model.transform(X)
    np.testing.assert_allclose(codes, start.transform(X), atol=1e-10)
    np.testing.assert_allclose(model.inverse_transform(codes), start.inverse_transform(codes))
    everything = SuperResolutionAutoencoder(1, validation_fraction=None, **options).fit(X)
    assert not is_zero(everything.net_.module_.encoder)
    assert everything.net_.module_.share == 1.0


def test_gain_of_codes_and_share_of_detail(images, trained):
    """Both against the errors of rows decoded one way and the other."""
    module, _ = inference_module(trained.net_, np.float64)
    large, small = images.reshape(400, -1), trained.downsample(images).reshape(400, -1)
    large_table, small_table = Table.of(large[:300]), Table.of(small[:300])
    x = torch.tensor(small_table.standard(small[300:]))
    target = torch.tensor(large_table.standard(large[300:]))
    rows = Rows(x, target, torch.arange(100))
    pca = PCA(3).fit(small[:300])
    linear = np.square(small[300:] - pca.inverse_transform(pca.transform(small[300:])))
    in_units = small_table.scale**2 / (2 * pca.noise_variance_)
    bicubic = resized(trained.downsample(images[:300]), (10, 7))
    noise = squared_error(images[:300], bicubic) / images[:300].size / large_table.scale**2
    with torch.no_grad():
        decoded = module.decode(module.encode(x)).mean
        learned = (decoded - x).square().sum(1).numpy()
        gain = in_units * (linear.sum(axis=1) / small_table.scale**2 - learned)
        np.testing.assert_allclose(module.gain_of_codes(rows), gain, rtol=1e-8)

        def error(share):
            answer = module.upscale(decoded, share).mean
            return ((answer - target).square().sum(1) / (2 * noise)).numpy()

        before = float(module.share)
        gain = module.fit_share(rows)
        best = minimize_scalar(lambda share: error(share).mean(), bounds=(0, 1), method="bounded")
        assert 0.05 < best.x < 1
        assert float(module.share) == pytest.approx(best.x, abs=1e-4)
        np.testing.assert_allclose(gain, error(0.0) - error(float(module.share)), atol=1e-4)
        module.share.fill_(before)
        # Detail that is too weak is not exaggerated, nor what is wrong turned around.
        for factor, share in ((best.x / 3, 1.0), (-1.0, 0.0)):
            other = copy.deepcopy(module)
            for value in other.upscaler.output.parameters():
                value *= factor
            other.fit_share(rows)
            assert float(other.share) == share


# Networks


@pytest.mark.parametrize("channels", [(), (5,), (8, 8), (5, 6, 6)])
@pytest.mark.parametrize(
    ("factor", "low", "image"),
    [(2, (2, 4, 3), (2, 8, 6)), (2, (2, 4, 3), (2, 7, 5)), (3, (1, 1, 4), (1, 1, 10))],
)
def test_upscaler_of_any_size(channels, factor, low, image):
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(0)
    net = ConvUpscaler(low, image, factor, channels, "tanh", generator)
    x = torch.randn(5, int(np.prod(low)), generator=generator)
    h = x.reshape(5, *low)
    for number, stage in enumerate(net.stages):
        before = h
        h = F.conv2d(h.tanh() if number else h, stage.weight, stage.bias, padding=1)
        if 0 < number < len(channels) and h.shape == before.shape:
            h = h + before
    c, height, width = image[0], low[1], low[2]
    h = h.reshape(5, c, factor, factor, height, width).permute(0, 1, 4, 2, 5, 3)
    h = h.reshape(5, c, factor * height, factor * width)
    h = F.interpolate(h, image[1:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(net(x), h.flatten(1), rtol=1e-5, atol=1e-6)
    for network in ("mlp", "conv"):
        zero = upscaler(network, low, image, factor, channels, "silu", generator, True)
        assert not zero(x).any()
    assert torch.equal(torch.get_rng_state(), state)


def test_convolutions_see_the_image_itself():
    """The mean image is no part of the contrast between two pixels."""
    rng = np.random.default_rng(0)
    X = 10 * np.linspace(0, 1, 64).reshape(1, 1, 8, 8) + rng.random((50, 1, 8, 8))
    model = SuperResolutionAutoencoder(2, network="conv", max_epochs=0).fit(X)
    module = model.net_.module_
    low = model.downsample(X).reshape(50, -1)
    x = Table.of(low).standard(low)
    seen = (x + module.context.double().numpy()) * module.contrast
    slope, shift = np.polyfit(low.ravel(), seen.ravel(), 1)
    np.testing.assert_allclose(seen, slope * low + shift, atol=1e-5)
    assert np.square(seen).mean() == pytest.approx(1, rel=0.05)
    dense = SuperResolutionAutoencoder(2, input_shape=(1, 8, 8), max_epochs=0).fit(X)
    assert not dense.net_.module_.context.any()
    assert dense.net_.module_.contrast == 1.0


def own(input_shape, n_codes, latent_dim):
    assert input_shape == (2, 5, 4)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(40, n_codes))
    return encoder, nn.Sequential(nn.Linear(latent_dim, 40), nn.Unflatten(1, input_shape))


def test_a_network_of_ones_own_sees_small_images(images):
    model = SuperResolutionAutoencoder(2, network=own, max_epochs=2, random_state=0).fit(images)
    assert isinstance(model.net_.module_.upscaler, ConvUpscaler)
    assert model.best_epoch_ > 0


# The rest of the contract


def test_single_and_double_precision_agree(images, trained):
    low = trained.downsample(images[:20])
    single = trained.upscale(low.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, trained.upscale(low), atol=1e-4)


def test_pickle_upscales_the_same(images, trained):
    low, codes = trained.downsample(images[:20]), trained.transform(images[:20])
    copied = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(copied.upscale(low), trained.upscale(low))
    np.testing.assert_array_equal(copied.inverse_transform(codes), trained.inverse_transform(codes))


def test_grey_images_need_no_channel(digits):
    X = digits[0].reshape(-1, 8, 8)[:200]
    for network in ("conv", own_of_grey):
        model = SuperResolutionAutoencoder(2, network=network, max_epochs=1).fit(X)
        low = model.downsample(X)
        assert low.shape == (200, 4, 4)
        assert model.upscale(low).shape == model.reconstruct(X).shape == X.shape
        assert model.upscale(low[:, None]).shape == (200, 1, 8, 8)


def own_of_grey(input_shape, n_codes, latent_dim):
    assert input_shape == (1, 4, 4)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, n_codes)), nn.Linear(latent_dim, 16)


def test_chunks(images):
    options = {"network": "conv", "upscaler_layer_sizes": (8, 8), "random_state": 0}
    model = SuperResolutionAutoencoder(2, **options)
    for low in [0, 100, 200] * 4:
        model.partial_fit(images[low : low + 100])
    test = images[300:]
    small = model.downsample(test)
    bicubic = squared_error(test, resized(small, (10, 7)))
    assert model.best_epoch_ > 0
    assert squared_error(test, model.upscale(small)) < 0.95 * bicubic
    copied = pickle.loads(pickle.dumps(model))
    for goes_on in (model, copied):
        goes_on.partial_fit(images[:100])
    np.testing.assert_array_equal(copied.upscale(small), model.upscale(small))


def test_images_larger_than_memory(images, tmp_path, monkeypatch):
    whole = SuperResolutionAutoencoder(2, network="conv", max_epochs=0).fit(images)
    small_memory(monkeypatch, resident=1000)
    X = np.memmap(tmp_path / "X", np.float64, "w+", shape=images.shape)
    X[:] = images
    options = {"network": "conv", "upscaler_layer_sizes": (8,), "random_state": 0}
    model = SuperResolutionAutoencoder(2, max_epochs=2, **options).fit(X)
    assert model.best_epoch_ > 0
    low = model.downsample(X)
    np.testing.assert_allclose(low, whole.downsample(images), rtol=1e-12)
    start = SuperResolutionAutoencoder(2, max_epochs=0, **options).fit(X)
    np.testing.assert_allclose(start.upscale(low), resized(low, (10, 7)), atol=1e-10)
    np.testing.assert_allclose(start.transform(X), whole.transform(images), atol=1e-8)
    X_low = np.memmap(tmp_path / "low", np.float64, "w+", shape=low.shape)
    X_low[:] = low
    np.testing.assert_allclose(model.upscale(X_low), model.reconstruct(X), rtol=1e-12)
    np.testing.assert_allclose(model.transform(X_low), model.transform(X), rtol=1e-12)


def test_warm_start_goes_on(images):
    model = SuperResolutionAutoencoder(
        2, network="conv", max_epochs=2, warm_start=True, random_state=0
    ).fit(images)
    first = model.score(images)
    assert model.fit(images).validation_curve_[0] < 1.001 * model.validation_curve_.max()
    assert model.score(images) > first
    model.set_params(scale_factor=3)
    with pytest.raises(ValueError, match="same kind; scale_factor was 2 and is 3"):
        model.fit(images)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scale_factor": 1}, r"'scale_factor' parameter .* \[2, inf\). Got 1"),
        ({"scale_factor": 1.5}, r"'scale_factor' parameter .* Got 1.5"),
        ({"likelihood": "bernoulli"}, r"'likelihood' parameter .* Got 'bernoulli'"),
        ({"upscaler_layer_sizes": 0}, r"'upscaler_layer_sizes' parameter .* Got 0"),
        (
            {"upscaler_layer_sizes": (8, 0)},
            r"upscaler_layer_sizes must be positive ints; got upscaler_layer_sizes=\(8, 0\)",
        ),
        (
            {"latent_dim": 41},
            r"latent_dim=41 must be between 0 and min\(n_samples, n_features\)=40; X has 400",
        ),
        (
            {"network": "mlp", "input_shape": (20, 7)},
            r"needs input_shape=\(channels, height, width\); got input_shape=\(20, 7\) and "
            r"rows of shape \(140,\)",
        ),
    ],
)
def test_bad_parameters(parameters, message, images):
    X = images.reshape(400, -1) if parameters.get("network") == "mlp" else images
    with pytest.raises(ValueError, match=message):
        SuperResolutionAutoencoder(**{"network": "conv", **parameters}).fit(X)


def test_bad_small_images(trained):
    low = np.zeros((3, 2, 5, 4))
    for bad, shape in ((low[:, :, :4], r"\(2, 4, 4\)"), (np.zeros((3, 39)), r"\(39,\)")):
        message = rf"rows of shape \(2, 5, 4\) or of 40 features; got rows of shape {shape}"
        with pytest.raises(ValueError, match=message):
            trained.upscale(bad)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        trained.upscale(np.zeros(40))
    low[1, 0, 2, 2] = np.nan
    with pytest.raises(ValueError, match="X_low contains NaN"):
        trained.upscale(low)
    with pytest.raises(ValueError, match="X_low must hold real numbers; got strings"):
        trained.upscale(low.astype(str))
