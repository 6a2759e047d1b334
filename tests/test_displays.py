"""What the displays draw is what the estimators say."""

import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skae import AutoencoderTransformer, DenoisingAutoencoder, VAETransformer
from skae.displays import (
    LatentManifoldDisplay,
    LatentSpaceDisplay,
    LatentTraversalDisplay,
    ReconstructionDisplay,
    TrainingCurveDisplay,
)


@pytest.fixture(autouse=True)
def drawn_and_closed():
    """Every figure can be laid out and drawn, with nothing to warn of."""
    yield
    try:
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
    finally:
        plt.close("all")


@pytest.fixture(scope="module")
def vae(digits):
    return VAETransformer(3, likelihood="bernoulli", max_epochs=2, random_state=0).fit(digits[0])


class Images(TransformerMixin, BaseEstimator):
    """Codes are the first two features; decoded rows have the shape that it was made with."""

    def __init__(self, input_shape):
        self.input_shape = input_shape

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        assert X.ndim == 2
        return X[:, :2]

    def inverse_transform(self, Z):
        n_features = np.prod(self.input_shape)
        rows = Z[:, :1] + Z[:, 1:2] * np.arange(n_features)
        return rows.reshape(-1, *self.input_shape)


def offsets(ax):
    return np.concatenate([points.get_offsets() for points in ax.collections])


# LatentSpaceDisplay


def test_labels_have_their_points_and_looks(vae, digits):
    X, y = digits
    display = LatentSpaceDisplay.from_estimator(vae, X, y, latents=[2, 0], target_name="digit")
    codes = vae.transform(X)[:, [2, 0]]
    looks = set()
    for digit, points in enumerate(display.ax_.collections):
        np.testing.assert_array_equal(points.get_offsets(), codes[y == digit])
        looks.add((tuple(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes()))
        assert points.get_label() == str(digit)
    assert len(looks) == 10
    legend = display.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [str(i) for i in range(10)]
    assert legend.get_title().get_text() == "digit"
    names = {text.get_text(): text.get_position() for text in display.ax_.texts}
    assert len(names) == 10
    np.testing.assert_allclose(names["4"], np.median(codes[y == 4], axis=0))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("latent 2", "latent 0")


def test_legend_beside_the_points(vae, digits):
    display = LatentSpaceDisplay.from_estimator(vae, *digits, latents=[0, 1])
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    assert legend.x0 >= display.ax_.get_window_extent().x1
    assert legend.x1 <= display.figure_.bbox.x1


@pytest.mark.parametrize("n_classes", [15, 45, 90])
def test_every_class_has_a_look_of_its_own(n_classes):
    y = [f"class {i:02}" for i in range(n_classes)]
    codes = np.random.default_rng(0).standard_normal((n_classes, 2))
    display = LatentSpaceDisplay.from_codes(codes, y)
    np.testing.assert_array_equal(offsets(display.ax_), codes)
    looks = {
        (tuple(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes())
        for points in display.ax_.collections
    }
    assert len(looks) == n_classes


@pytest.mark.parametrize(
    ("y", "values"),
    [
        (np.arange(40) % 20, False),
        (np.arange(40) % 21, True),
        ((np.arange(40) % 3).astype(float), False),
        (np.arange(40) % 3 / 2, True),
        (np.arange(40) % 2 == 0, False),
        (np.array(["a", None] * 20, dtype=object), False),
        (pd.Series(["a", "b"] * 20, dtype="category"), False),
    ],
)
def test_values_and_labels(y, values):
    codes = np.random.default_rng(0).standard_normal((40, 2))
    display = LatentSpaceDisplay.from_codes(codes, y)
    assert (display.ax_.get_legend() is None) == values
    assert len(display.figure_.axes) == 1 + values
    if values:
        np.testing.assert_array_equal(display.ax_.collections[0].get_array(), y)
        np.testing.assert_array_equal(display.ax_.collections[0].get_offsets(), codes)
        assert display.figure_.axes[1].get_ylabel() == "y"


def test_rows_without_a_label_are_grey(vae, digits):
    X, labels = digits[0][:90], np.repeat([0.0, 1.0, np.nan], 30)
    display = LatentSpaceDisplay.from_estimator(vae, X, labels, latents=[0, 1])
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == ["missing", "0.0", "1.0"]
    assert [len(points.get_offsets()) for points in display.ax_.collections] == [30, 30, 30]
    assert len(display.figure_.axes) == 1  # and there is no colour bar


def test_pairs_are_the_lower_triangle(vae, digits):
    X, y = digits
    display = LatentSpaceDisplay.from_estimator(vae, X, pd.Series(y, name="digit"))
    codes = vae.transform(X)
    order = np.argsort(y, kind="stable")
    assert display.axes_.shape == (2, 2)
    for i, j in [(0, 0), (1, 0), (1, 1)]:
        np.testing.assert_array_equal(offsets(display.axes_[i, j]), codes[order][:, [j, i + 1]])
    assert not display.axes_[0, 1].axison
    assert not display.axes_[0, 1].collections
    assert display.axes_[0, 1].get_legend().get_title().get_text() == "digit"
    assert [ax.get_xlabel() for ax in display.axes_[1]] == ["latent 0", "latent 1"]
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["latent 1", "latent 2"]


def test_of_many_latents_the_first_five():
    codes = np.random.default_rng(0).standard_normal((10, 9))
    assert LatentSpaceDisplay.from_codes(codes).axes_.shape == (4, 4)
    assert LatentSpaceDisplay.from_codes(codes, latents=range(6)).axes_.shape == (5, 5)


def test_one_latent_is_a_histogram():
    codes = np.random.default_rng(0).standard_normal((60, 1))
    y = np.arange(60) % 2
    display = LatentSpaceDisplay.from_codes(codes, y)
    for label, container in enumerate(display.ax_.containers):
        assert sum(bar.get_height() for bar in container) == (y == label).sum()
        edges = [container[0].get_x(), *(bar.get_x() + bar.get_width() for bar in container)]
        counts, _ = np.histogram(codes[y == label, 0], bins=edges)
        np.testing.assert_array_equal([bar.get_height() for bar in container], counts)
    assert display.ax_.get_ylabel() == "number of rows"
    display = LatentSpaceDisplay.from_codes(codes, codes[:, 0] ** 2, target_name="square")
    np.testing.assert_allclose(offsets(display.ax_), np.hstack([codes, codes**2]))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("latent 0", "square")


def test_a_large_table_is_sampled():
    codes = np.random.default_rng(0).standard_normal((500, 2))
    y = codes[:, 0] * 2
    state = np.random.get_state()[1].copy()
    draws = [
        LatentSpaceDisplay.from_codes(codes, y, max_points=50, random_state=seed)
        for seed in (0, 0, 1, np.random.default_rng(1))
    ]
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    for display in draws:
        assert display.codes.shape == (50, 2)
        assert len(np.unique(display.codes[:, 0])) == 50
        np.testing.assert_array_equal(display.y, display.codes[:, 0] * 2)
    np.testing.assert_array_equal(draws[0].codes, draws[1].codes)
    np.testing.assert_array_equal(draws[2].codes, draws[3].codes)
    assert not np.array_equal(draws[0].codes, draws[2].codes)


def test_only_the_sample_is_encoded(vae, digits):
    sizes = []

    def watched(X):
        sizes.append(len(X))
        return X

    pipeline = make_pipeline(FunctionTransformer(watched), vae)
    display = LatentSpaceDisplay.from_estimator(pipeline, *digits, max_points=70)
    assert sizes == [70]
    assert len(display.codes) == len(display.y) == 70


def test_data_frames_keep_their_names():
    """An estimator that saw names warns where they are missing."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), AutoencoderTransformer(2, max_epochs=1))
    pipeline.set_output(transform="pandas").fit(X)
    display = LatentSpaceDisplay.from_estimator(pipeline, X, y, max_points=100)
    assert display.codes.shape == (100, 2)
    assert display.target_name == "target"
    display = ReconstructionDisplay.from_estimator(pipeline, X, n_rows=3)
    labels = [text.get_text() for text in display.axes_[-1, 0].get_xticklabels()]
    assert labels == list(X.columns)
    display = LatentTraversalDisplay.from_estimator(pipeline, X, row=X.iloc[5])
    labels = [text.get_text() for text in display.axes_[0, 0].get_yticklabels()]
    assert sorted(labels) == sorted(X.columns)


def test_options_reach_the_points(vae, digits):
    display = LatentSpaceDisplay.from_estimator(vae, digits[0], latents=[0, 1], s=3, color="red")
    points = display.ax_.collections[0]
    assert points.get_sizes() == [3]
    np.testing.assert_array_equal(points.get_facecolor()[0][:3], [1, 0, 0])


# LatentManifoldDisplay


def test_manifold_over_the_prior(vae):
    display = LatentManifoldDisplay.from_estimator(vae, latents=(2, 0), n_steps=4)
    steps = norm.ppf([0.05, 0.35, 0.65, 0.95])
    np.testing.assert_allclose(display.values, [steps, steps])
    drawn = display.ax_.images[0].get_array()
    for i in range(4):
        for j in range(4):
            image = vae.inverse_transform([[steps[j], 0.0, steps[i]]]).reshape(8, 8)
            np.testing.assert_allclose(display.images[i, j], image)
            # The first latent grows to the right, the second upwards.
            top = 8 * (3 - j)
            np.testing.assert_allclose(drawn[top : top + 8, 8 * i : 8 * i + 8], image)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("latent 2", "latent 0")
    np.testing.assert_array_equal(display.ax_.get_xticks(), [0.5, 1.5, 2.5, 3.5])
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == ["-1.6", "-0.4", "0.4", "1.6"]


def test_manifold_over_codes(digits):
    X = digits[0]
    pca = PCA(3, random_state=0).fit(X)
    display = LatentManifoldDisplay.from_estimator(pca, X, n_steps=3, quantiles=(0.1, 0.9))
    codes = pca.transform(X)
    np.testing.assert_allclose(display.values, np.quantile(codes[:, :2], [0.1, 0.5, 0.9], 0).T)
    code = [[*display.values[[0, 1], [2, 0]], codes[:, 2].mean()]]
    np.testing.assert_allclose(
        display.images[2, 0], pca.inverse_transform(code).reshape(8, 8), atol=1e-12
    )
    for axis, values in zip((display.ax_.xaxis, display.ax_.yaxis), display.values, strict=True):
        labels = [float(text.get_text()) for text in axis.get_ticklabels()]
        np.testing.assert_allclose(labels, values, atol=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_of_images(channels):
    shape = (channels, 4, 6)
    X = np.random.default_rng(0).random((20, *shape))
    estimator = Images(shape).fit(X.reshape(20, -1))
    display = LatentManifoldDisplay.from_estimator(estimator, X, n_steps=3)
    image = estimator.inverse_transform(display.values[[0, 1], [2, 1]][None])[0]
    expected = image[0] if channels == 1 else image.transpose(1, 2, 0)
    np.testing.assert_allclose(display.images[2, 1], expected)
    assert display.ax_.images[0].get_array().shape[:2] == (12, 18)
    same = LatentManifoldDisplay.from_estimator(Images(shape).fit(X), X.reshape(20, -1), n_steps=3)
    np.testing.assert_array_equal(same.images, display.images)
    # Pixels are square.
    display.figure_.canvas.draw()
    box = display.ax_.get_window_extent()
    assert box.height / box.width == pytest.approx(4 / 6, rel=0.01)


# LatentTraversalDisplay


def test_traversal_of_images(vae, digits):
    row = digits[0][7]
    display = LatentTraversalDisplay.from_estimator(vae, row=row, latents=[2, 1], n_steps=5)
    held = vae.transform([row])[0]
    for ax, latent in zip(display.axes_.flat, [2, 1], strict=True):
        codes = np.tile(held, (5, 1))
        codes[:, latent] = norm.ppf(np.linspace(0.05, 0.95, 5))
        images = vae.inverse_transform(codes).reshape(5, 8, 8)
        drawn = ax.images[0].get_array()
        np.testing.assert_allclose(drawn, np.concatenate(images, axis=1), rtol=1e-5)
        assert ax.get_ylabel() == f"latent {latent}"
        labels = [text.get_text() for text in ax.get_xticklabels()]
        assert labels == ["-1.6", "-0.6", "0.0", "0.6", "1.6"]


def test_traversal_of_a_table(iris):
    iris = iris + [1, 2, 3, 4]  # the mean row is where changes are counted from
    pca = PCA(2, random_state=0).fit(iris)
    names = ["a", "b", "c", "d"]
    display = LatentTraversalDisplay.from_estimator(
        pca, iris, n_steps=4, feature_names=names, max_features=3
    )
    steps = np.quantile(pca.transform(iris), np.linspace(0.05, 0.95, 4), axis=0).T
    for ax, direction, values in zip(display.axes_.flat, pca.components_, steps, strict=True):
        most = np.argsort(-np.abs(direction))[:3]
        drawn = ax.images[0].get_array()
        np.testing.assert_allclose(drawn, np.outer(direction[most], values), atol=1e-12)
        assert [text.get_text() for text in ax.get_yticklabels()] == [names[i] for i in most]
    # One scale for all latents, with no change in its middle.
    low, high = display.axes_[0, 0].images[0].get_clim()
    assert -low == high == pytest.approx(np.abs(display.decoded - display.center).max())


def test_features_that_fall_change_as_much_as_those_that_rise():
    changes = np.array([[[0.0, 0.0, 0.0], [1.0, 0.0, -5.0]]])
    display = LatentTraversalDisplay(changes, np.array([[0.0, 1.0]]), np.zeros(3))
    ax = display.plot(max_features=2).axes_[0, 0]
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["feature 2", "feature 0"]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0, -5], [0, 1]])


def test_ticks_are_values_of_the_latent_that_is_varied(iris):
    pca = PCA(3, random_state=0).fit(iris)
    display = LatentTraversalDisplay.from_estimator(pca, iris, latents=[2, 0], n_steps=20)
    steps = np.quantile(pca.transform(iris), np.linspace(0.05, 0.95, 20), axis=0).T
    for ax, values in zip(display.axes_.flat, steps[[2, 0]], strict=True):
        np.testing.assert_allclose(ax.get_xticks(), np.arange(0, 20, 3) + 0.5)
        labels = [float(text.get_text()) for text in ax.get_xticklabels()]
        np.testing.assert_allclose(labels, values[::3], atol=0.05)


def test_traversal_of_a_piano_roll():
    estimator = Images((5, 3)).fit(np.zeros((2, 15)))
    X = np.random.default_rng(0).random((9, 15))
    display = LatentTraversalDisplay.from_estimator(estimator, X, n_steps=2, kind="piano_roll")
    drawn = display.axes_[1, 0].images[0]
    mean, values = X[:, 0].mean(), display.values[1]
    rolls = estimator.inverse_transform(np.column_stack([[mean, mean], values]))
    np.testing.assert_allclose(drawn.get_array(), np.hstack([rolls[0].T, rolls[1].T]))
    assert drawn.origin == "lower"


# ReconstructionDisplay


def test_reconstructed_images(digits):
    X, _ = digits
    noisy = np.clip(X + 0.3, 0, 1)
    denoiser = DenoisingAutoencoder(4, max_epochs=1, random_state=0).fit(X)
    display = ReconstructionDisplay.from_estimator(denoiser, X, X_corrupted=noisy, n_rows=5)
    output = denoiser.denoise(noisy[:5])
    assert display.axes_.shape == (3, 5)
    for line, rows in zip(display.axes_, [X, noisy, output], strict=True):
        for ax, row in zip(line, rows, strict=False):
            np.testing.assert_allclose(ax.images[0].get_array(), row.reshape(8, 8))
            assert ax.images[0].get_clim() == (0, 1)
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["input", "corrupted", "output"]
    display = ReconstructionDisplay.from_estimator(denoiser, X[:3])
    assert display.axes_.shape == (2, 3)
    drawn = display.axes_[1, 2].images[0].get_array()
    np.testing.assert_allclose(drawn, denoiser.reconstruct(X[2:3]).reshape(8, 8), atol=1e-12)


def test_colours_are_scaled_to_those_of_the_input():
    X = 255 * np.random.default_rng(0).random((4, 3, 5, 6))
    X[0, 0, 0, :2] = 0, 255
    estimator = Images((3, 5, 6)).fit(X.reshape(4, -1))
    display = ReconstructionDisplay.from_estimator(estimator, X)
    drawn = display.axes_[0, 1].images[0].get_array()
    np.testing.assert_allclose(drawn, X[1].transpose(1, 2, 0) / 255)
    output = estimator.inverse_transform(X.reshape(4, -1)[:, :2])
    drawn = display.axes_[1, 1].images[0].get_array()
    np.testing.assert_allclose(drawn, np.clip(output[1].transpose(1, 2, 0) / 255, 0, 1))


def test_bars(iris):
    pca = PCA(2, random_state=0).fit(iris)
    display = ReconstructionDisplay.from_estimator(pca, iris, X_corrupted=iris + 1, n_rows=3)
    output = pca.inverse_transform(pca.transform(iris + 1))
    assert display.axes_.shape == (3, 1)
    for i, ax in enumerate(display.axes_.flat):
        bands = [iris[i], iris[i] + 1, output[i]]
        for bars, values in zip(ax.containers, bands, strict=True):
            np.testing.assert_allclose([bar.get_height() for bar in bars], values)
        x = np.array([[bar.get_x() for bar in bars] for bars in ax.containers])
        assert (np.diff(x.T.ravel()) > 0).all()  # beside each other
    legend = [text.get_text() for text in display.axes_[0, 0].get_legend().get_texts()]
    assert legend == ["input", "corrupted", "output"]


def test_many_features_are_lines(digits):
    X = digits[0]
    pca = PCA(5, random_state=0).fit(X)
    display = ReconstructionDisplay.from_estimator(pca, X, n_rows=2, kind="bar")
    output = pca.inverse_transform(pca.transform(X[:2]))
    for i, ax in enumerate(display.axes_.flat):
        np.testing.assert_allclose(ax.lines[0].get_ydata(), X[i])
        np.testing.assert_allclose(ax.lines[1].get_ydata(), output[i], atol=1e-12)


def test_piano_rolls():
    rolls = np.eye(6)[np.random.default_rng(0).integers(6, size=(4, 10))]
    X = rolls.reshape(4, 60)
    pca = PCA(2, random_state=0).fit(X)
    pitches = ["C", "D", "E", "F", "G", "A"]
    display = ReconstructionDisplay.from_estimator(pca, X, n_rows=3, pitch_names=pitches)
    output = pca.inverse_transform(pca.transform(X))
    assert display.axes_.shape == (3, 2)
    for i, line in enumerate(display.axes_):
        for ax, roll in zip(line, [rolls[i], output[i].reshape(10, 6)], strict=True):
            np.testing.assert_allclose(ax.images[0].get_array(), roll.T, atol=1e-12)
            assert ax.images[0].origin == "lower"
    left = display.axes_[0, 0]
    assert [text.get_text() for text in left.get_yticklabels()] == pitches
    assert display.axes_[2, 0].get_xlabel() == "time step"
    same = ReconstructionDisplay.from_estimator(pca, X, image_shape=(10, 6), kind="piano_roll")
    np.testing.assert_array_equal(
        same.axes_[1, 0].images[0].get_array(), display.axes_[1, 0].images[0].get_array()
    )


def test_some_of_many_pitches_are_named():
    pitches = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    display = ReconstructionDisplay(np.ones((2, 60)), np.ones((2, 60)), pitch_names=pitches).plot()
    ax = display.axes_[0, 0]
    np.testing.assert_array_equal(ax.get_yticks(), [0, 2, 4, 6, 8, 10])
    assert [text.get_text() for text in ax.get_yticklabels()] == pitches[::2]


def test_a_small_square_or_named_features_are_no_image():
    four, named = np.ones((2, 4)), pd.DataFrame(np.ones((2, 64))).add_prefix("x")
    assert ReconstructionDisplay(four, four).plot().axes_.shape == (2, 1)
    pca = PCA(1).fit(named + np.arange(2)[:, None])
    assert ReconstructionDisplay.from_estimator(pca, named).axes_.shape == (2, 1)
    display = ReconstructionDisplay.from_estimator(pca, named, kind="image")
    assert display.axes_[0, 0].images[0].get_array().shape == (8, 8)


# TrainingCurveDisplay


def test_curves(bent):
    model = AutoencoderTransformer(2, max_epochs=8, random_state=0).fit(bent)
    display = TrainingCurveDisplay.from_estimator(model)
    train, valid, start, best, dot = display.ax_.lines
    np.testing.assert_array_equal(train.get_xydata(), np.c_[1:9, model.loss_curve_])
    np.testing.assert_array_equal(valid.get_xydata(), np.c_[0:9, model.validation_curve_])
    assert start.get_ydata()[0] == model.validation_curve_[0]
    assert best.get_xdata()[0] == model.best_epoch_ > 0
    np.testing.assert_array_equal(
        dot.get_xydata(), [[model.best_epoch_, model.validation_curve_[model.best_epoch_]]]
    )
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[2:] == ["classical start", f"kept: epoch {model.best_epoch_}"]


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
@pytest.mark.parametrize(
    ("model", "loss_name", "start_name"),
    [
        (AutoencoderTransformer(1), "squared error of a row (units of X squared)", "classical"),
        (AutoencoderTransformer(1, init="random"), "squared error", "random"),
        (DenoisingAutoencoder(1, likelihood="bernoulli"), "cross-entropy of a row (nats)", "class"),
        (VAETransformer(1, likelihood="bernoulli"), "minus the ELBO of a row (nats)", "classical"),
    ],
)
def test_names_of_losses(model, loss_name, start_name, bent):
    X = (bent - bent.min()) / np.ptp(bent)
    model.set_params(max_epochs=0, random_state=0)
    pipeline = make_pipeline("passthrough", model).fit(X)
    display = TrainingCurveDisplay.from_estimator(pipeline)
    assert display.ax_.get_ylabel().startswith(loss_name)
    assert display.ax_.lines[1].get_label().startswith(start_name)


def test_no_epochs_and_no_held_out_rows(bent):
    model = VAETransformer(2, max_epochs=0, random_state=0).fit(bent)
    display = TrainingCurveDisplay.from_estimator(model)
    valid, start, _, _ = display.ax_.lines
    np.testing.assert_array_equal(valid.get_xydata(), [[0, model.validation_curve_[0]]])
    assert start.get_ydata()[0] == model.validation_curve_[0]
    np.testing.assert_array_equal(display.ax_.get_xticks(), [0])
    model.set_params(validation_fraction=None).fit(bent)
    assert len(TrainingCurveDisplay.from_estimator(model).ax_.lines) == 1
    model.set_params(max_epochs=3).fit(bent)
    display = TrainingCurveDisplay.from_estimator(model)
    train, best = display.ax_.lines
    np.testing.assert_array_equal(train.get_ydata(), model.loss_curve_)
    assert best.get_xdata()[0] == 3


def test_unknown_losses_are_gaps():
    valid = np.array([np.nan, 5.0, np.nan, 3.0])
    display = TrainingCurveDisplay(np.array([4.0, 3.0, 2.0]), valid, 3).plot()
    _, line, _, dot = display.ax_.lines  # and no level of the start
    np.testing.assert_array_equal(line.get_ydata(), valid)
    assert line.get_marker() == "."  # or a loss between two gaps could not be seen
    np.testing.assert_array_equal(dot.get_xydata(), [[3, 3.0]])


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([60.0, 1.0], "log"), ([4.0, 1.0], "linear"), ([60.0, -1.0], "linear")],
)
def test_scale(losses, scale):
    display = TrainingCurveDisplay(np.array(losses), np.empty(0), 2).plot()
    assert display.ax_.get_yscale() == scale


# All displays


def all_displays(vae, digits):
    X, y = digits
    model = AutoencoderTransformer(2, max_epochs=1, random_state=0).fit(X[:100])
    return [
        LatentSpaceDisplay.from_estimator(model, X, y),
        LatentManifoldDisplay.from_estimator(vae, n_steps=3),
        LatentTraversalDisplay.from_estimator(vae, n_steps=3),
        ReconstructionDisplay.from_estimator(model, X, n_rows=2),
        TrainingCurveDisplay.from_estimator(model),
    ]


def test_drawing_again_and_on_given_axes(vae, digits):
    for display in all_displays(vae, digits):
        first = display.figure_
        assert display.plot() is display
        assert display.figure_ is not first
        axes = display.axes_ if hasattr(display, "axes_") else np.array([[display.ax_]])
        figure, given = plt.subplots(*axes.shape, squeeze=False)
        display.plot(given if given.size > 1 else given[0, 0])
        assert display.figure_ is figure
        assert all(ax.has_data() for ax in given.flat)
        with pytest.raises(ValueError, match=r"axes in the shape .* got 7"):
            display.plot([None] * 7)


def drawn_texts(axis):
    """The name of an axis and the labels of those ticks that are in view."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in (axis.label, *ticks) if text.get_text() and text.get_visible()]


def test_texts_do_not_overlap(vae, digits):
    for display in all_displays(vae, digits):
        display.figure_.canvas.draw()
        axes = [ax for ax in display.figure_.axes if ax.axison]
        texts = [text for ax in axes for axis in (ax.xaxis, ax.yaxis) for text in drawn_texts(axis)]
        boxes = [text.get_window_extent() for text in texts]
        assert len(boxes) >= 2
        for i, box in enumerate(boxes):
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert not any(box.overlaps(other) for other in boxes[:i])


def test_searches(digits):
    X, y = digits
    search = GridSearchCV(
        VAETransformer(max_epochs=1, random_state=0), {"latent_dim": [1, 2]}, cv=2
    ).fit(X[:200])
    codes = search.best_estimator_.transform(X)
    assert LatentSpaceDisplay.from_estimator(search, X, y).codes.shape == codes.shape
    assert len(TrainingCurveDisplay.from_estimator(search).loss_curve) == 1
    assert LatentTraversalDisplay.from_estimator(search).decoded.shape == (codes.shape[1], 11, 64)


def test_an_estimator_must_be_fitted():
    for display in (LatentManifoldDisplay, LatentTraversalDisplay, TrainingCurveDisplay):
        with pytest.raises(NotFittedError):
            display.from_estimator(VAETransformer(2))


def test_errors_say_the_rule(vae, digits, iris):
    X, y = digits
    pca, small = PCA(2).fit(X), PCA(3).fit(iris[:, :3])
    manifold, rows = LatentManifoldDisplay.from_estimator, ReconstructionDisplay.from_estimator
    cases = [
        (lambda: manifold(pca), "X must be given .* got X=None and a PCA"),
        (
            lambda: manifold(small, iris[:, :3]),
            "Without image_shape .* n_features=3. Give image_sh",
        ),
        (lambda: manifold(vae, image_shape=(8, 9)), r"n_features .* image_shape=\(8, 9\), n_f"),
        (lambda: manifold(vae, image_shape=(4, 4, 4)), r"1 or 3 .* image_shape=\(4, 4, 4\)"),
        (lambda: manifold(vae, latents=(0, 3)), r"numbers from 0 to 2; got latents=\[0, 3\]"),
        (lambda: manifold(vae, latents=(0,)), r"two numbers; got latents=\(0,\)"),
        (lambda: rows(pca, X, kind="photo"), "kind must be one of .* got kind='photo'"),
        (lambda: rows(pca, X, kind="piano_roll"), "Without image_shape .* kind='piano_roll'"),
        (lambda: rows(pca, X, X_corrupted=X[:3]), r"X_corrupted must .*=\(3, 64\) and X"),
        (lambda: LatentSpaceDisplay.from_codes(X, y[:5]), r"y must .* got len\(y\)=5"),
        (lambda: LatentSpaceDisplay.from_codes(X, latents=[64]), r"0 to 63; got latents=\[64"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_the_module_imports_neither_matplotlib_nor_torch():
    program = (
        "import sys, skae.displays; print([m for m in ('matplotlib', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
