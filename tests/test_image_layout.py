"""Images whose channels come last: never read as others without a word."""

import matplotlib
import numpy as np
import pytest
from _estimators import ESTIMATORS
from _sizes import small_memory
from sklearn.decomposition import PCA
from zarr import array

from skae import AutoencoderTransformer, DenoisingAutoencoder, SuperResolutionAutoencoder
from skae.displays import (
    LatentManifoldDisplay,
    LatentSpaceDisplay,
    LatentTraversalDisplay,
    ReconstructionDisplay,
)

matplotlib.use("Agg")
every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
TURN = r"Put the channels first: X\.transpose\(0, 3, 1, 2\)"
CHANNELS_LAST = [
    *[(8, 8, 3), (8, 8, 1), (6, 10, 4), (7, 7, 2)],
    (9, 9, 6),  # bands of a satellite
    (30, 1, 3),  # signals of three sensors
]
CHANNELS_FIRST = [
    *[(3, 8, 8), (1, 8, 8), (3, 8, 3), (1, 8, 1), (4, 4, 4), (2, 9, 9)],
    *[(24, 8, 8), (16, 4, 6), (8, 4, 4), (8, 3, 3), (8, 1, 1), (8, 1, 8), (8, 8, 8)],
]


def images(shape, n=12):
    return np.random.default_rng(0).random((n, *shape))


@pytest.fixture(scope="module")
def colored():
    return images((3, 16, 16))


@pytest.fixture(scope="module")
def fitted(colored):
    return AutoencoderTransformer(2, network="conv", max_epochs=0).fit(colored)


@every_estimator
@pytest.mark.parametrize("shape", CHANNELS_LAST)
def test_channels_last_are_refused_with_the_line_that_turns_them(cls, shape):
    X = images(shape)
    rows = rf"got rows of shape \({shape[0]}, {shape[1]}, {shape[2]}\), which seems to be"
    for rows_of_kind in (X, X.tolist(), X.astype(np.float32)):
        with pytest.raises(ValueError, match=rows + r" \(height, width, channels\)\. " + TURN):
            cls(2, network="conv").fit(rows_of_kind)


@pytest.mark.parametrize("shape", CHANNELS_LAST)
def test_the_line_of_the_message_works(shape):
    X = images(shape).transpose(0, 3, 1, 2)
    model = AutoencoderTransformer(2, network="conv", max_epochs=0).fit(X)
    assert model.reconstruct(X).shape == X.shape


@every_estimator
def test_input_shape_with_channels_last(cls):
    X, flat = images((8, 8, 3)), images((192,))
    line = r"X\.reshape\(-1, 8, 8, 3\)\.transpose\(0, 3, 1, 2\) and input_shape=\(3, 8, 8\)"
    for rows in (X, flat):
        with pytest.raises(ValueError, match=r"got input_shape=\(8, 8, 3\), which seems.*" + line):
            cls(2, network="conv", input_shape=(8, 8, 3)).fit(rows)
    with pytest.raises(ValueError, match=r"X must have rows of shape \(3, 8, 8\).*" + TURN):
        cls(2, network="conv", input_shape=(3, 8, 8)).fit(X)


@pytest.mark.parametrize("shape", CHANNELS_FIRST)
def test_channels_first_and_feature_maps_go_on(shape):
    X = images(shape)
    model = AutoencoderTransformer(2, network="conv", max_epochs=0).fit(X)
    assert model.sample(2).shape == (2, *shape)


def test_the_other_line_of_the_message_works_too():
    """Of feature maps that are taken for images with channels last."""
    X = images((16, 8, 1))
    with pytest.raises(ValueError, match=r"If there are 16 channels, .*X\.swapaxes\(2, 3\)"):
        AutoencoderTransformer(2, network="conv").fit(X)
    AutoencoderTransformer(2, network="conv", max_epochs=0).fit(X.swapaxes(2, 3))


def test_a_dense_network_has_no_order_of_axes():
    X = images((8, 8, 3))
    model = AutoencoderTransformer(2, input_shape=(8, 8, 3), max_epochs=0).fit(X)
    assert model.inverse_transform(model.transform(X)).shape == X.shape
    pca = PCA(2).fit(X.reshape(12, -1))
    expected = pca.inverse_transform(pca.transform(X.reshape(12, -1))).reshape(X.shape)
    np.testing.assert_allclose(model.reconstruct(X), expected, atol=1e-10)


def test_channels_last_after_fit(colored, fitted):
    X = colored.transpose(0, 2, 3, 1)
    for method in (fitted.transform, fitted.reconstruct, fitted.score, fitted.partial_fit):
        with pytest.raises(ValueError, match=TURN):
            method(X)
    with pytest.raises(ValueError, match=r"first: X\[None\]\.transpose\(0, 3, 1, 2\)"):
        fitted.transform(X[0])
    grey = AutoencoderTransformer(2, network="conv", max_epochs=0).fit(images((8, 8)))
    with pytest.raises(ValueError, match=TURN):
        grey.transform(images((8, 8, 1)))
    with pytest.raises(ValueError, match=r"X_clean must .*first: X_clean\.transpose\(0, 3, 1, 2\)"):
        DenoisingAutoencoder(2, network="conv").fit(colored, X_clean=X)


@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_super_resolution_knows_only_channels_first(network, colored):
    X = colored.transpose(0, 2, 3, 1)
    model = SuperResolutionAutoencoder(2, network=network, input_shape=(16, 16, 3), max_epochs=0)
    with pytest.raises(ValueError, match=r"input_shape=\(3, 16, 16\)"):
        model.fit(X)
    model.set_params(input_shape=(3, 16, 16)).fit(colored)
    low = model.downsample(colored).transpose(0, 2, 3, 1)
    with pytest.raises(ValueError, match=r"X_low must .*first: X_low\.transpose\(0, 3, 1, 2\)"):
        model.upscale(low)


def test_channels_last_on_disk(tmp_path, monkeypatch):
    small_memory(monkeypatch, resident=500)
    X = images((8, 8, 3))
    np.save(tmp_path / "X.npy", X)
    zarr = array(X, chunks=(4, 8, 8, 3))
    for table in (np.load(tmp_path / "X.npy", mmap_mode="r"), zarr):
        with pytest.raises(ValueError, match=TURN):
            AutoencoderTransformer(2, network="conv").fit(table)


@every_estimator
def test_one_image_without_its_batch_axis(cls, colored):
    with pytest.raises(
        ValueError, match=r"rows of shape \(8,\).*X\[None\] where X is a single row"
    ):
        cls(2, network="conv").fit(images((8,), 8))
    with pytest.raises(ValueError, match=r"A single one is X\[None\]\."):
        cls(2, network="conv", input_shape=(3, 16, 16)).fit(colored[0])


def test_one_image_without_its_batch_axis_after_fit(colored, fitted):
    for method in (fitted.transform, fitted.reconstruct, fitted.score_samples):
        with pytest.raises(ValueError, match=r"A single one is X\[None\]\."):
            method(colored[0])
        assert len(method(colored[0][None])) == 1
    grey = AutoencoderTransformer(2, network="conv", max_epochs=0).fit(colored[:, 0])
    with pytest.raises(ValueError, match=r"A single one is X\[None\]\."):
        grey.transform(colored[0, 0])
    assert grey.transform(colored[0, 0][None]).shape == (1, 2)


def test_one_sequence_without_its_batch_axis():
    X = images((5, 3))
    model = AutoencoderTransformer(2, network="recurrent", max_epochs=0).fit(X)
    with pytest.raises(ValueError, match=r"A single one is X\[None\]\."):
        model.transform(X[0])
    with pytest.raises(ValueError, match=r"input_shape=\(steps, features\); .*X\[None\]"):
        AutoencoderTransformer(2, network="recurrent").fit(X[0])


# Pictures


def close():
    import matplotlib.pyplot as plt

    plt.close("all")


def test_displays_refuse_images_that_the_estimator_would_misread(colored, fitted):
    X = colored.transpose(0, 2, 3, 1)
    for draw in (
        lambda: LatentSpaceDisplay.from_estimator(fitted, X),
        lambda: LatentManifoldDisplay.from_estimator(fitted, X),
        lambda: LatentTraversalDisplay.from_estimator(fitted, X),
        lambda: LatentTraversalDisplay.from_estimator(fitted, colored, row=X[0]),
        lambda: ReconstructionDisplay.from_estimator(fitted, X),
    ):
        with pytest.raises(ValueError, match=TURN):
            draw()
    for row in (colored[0], colored[:1], colored[0].ravel(), colored[0].tolist()):
        LatentTraversalDisplay.from_estimator(fitted, colored, row=row)
    close()


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("cls", [AutoencoderTransformer, PCA])
def test_displays_show_channels_last_where_the_estimator_takes_them(cls, n_channels, colored):
    """The picture is that of the same images with their channels first."""
    first = colored[:, :n_channels]
    last = first.transpose(0, 2, 3, 1)
    if cls is PCA:
        model = PCA(2, svd_solver="full").fit(last.reshape(12, -1))
    else:
        model = cls(2, input_shape=last.shape[1:], max_epochs=0).fit(last)
    shown = ReconstructionDisplay.from_estimator(model, last)
    expected = ReconstructionDisplay.from_estimator(
        AutoencoderTransformer(2, network="conv", max_epochs=0).fit(first), first
    )
    assert shown.axes_.shape == expected.axes_.shape
    for ax, other in zip(shown.axes_.flat, expected.axes_.flat, strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), other.images[0].get_array(), atol=1e-9)
    manifold = LatentManifoldDisplay.from_estimator(model, last, n_steps=3)
    assert manifold.images.shape == ((3, 3, 16, 16, 3) if n_channels == 3 else (3, 3, 16, 16))
    LatentTraversalDisplay.from_estimator(model, last, row=last[0])
    close()
