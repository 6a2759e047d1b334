"""Moments of all rows that came in chunks, and the start that follows them."""

import pickle

import numpy as np
import pytest
from _estimators import ESTIMATORS, LIKELIHOODS, ConditionalVAE
from scipy.stats import multivariate_normal
from sklearn import datasets
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.preprocessing import scale
from skorch.callbacks import LRScheduler

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    VAETransformer,
)

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)


def in_chunks(model, X, *sizes, **arguments):
    """A model after chunks of these sizes, and one of the rest."""
    for chunk in np.split(X, np.cumsum(sizes)):
        model.partial_fit(chunk, **arguments)
    return model


def incremental(k, X, *sizes):
    return in_chunks(IncrementalPCA(k), X, *sizes)


def error(model, X):
    return np.square(X - model.inverse_transform(model.transform(X)), dtype=np.float64).sum()


def log_loss(p, X):
    return -(X * np.log(p) + (1 - X) * np.log1p(-p)).sum()


def drifting(n_rows, n_features, seed=0):
    """Rows whose mean, scale and axes change as they come."""
    rng = np.random.default_rng(seed)
    when = np.linspace(0, 1, n_rows)[:, None]
    rows = rng.standard_normal((n_rows, n_features)) @ rng.standard_normal((n_features,) * 2)
    turned = rng.standard_normal((n_rows, n_features)) * np.arange(1, n_features + 1)
    return (1 - when) * rows + when * turned + 5 * when


@pytest.mark.parametrize("max_epochs", [0, 100])
@pytest.mark.parametrize("shape", [(60, 7), (40, 90)])
def test_the_start_is_incremental_pca(shape, max_epochs):
    X, sizes = drifting(*shape), (9, 1, 20, 3)
    options = {"max_epochs": max_epochs, "lr": 1e-12, "random_state": 0}
    model = in_chunks(AutoencoderTransformer(4, **options), X, *sizes)
    pca = incremental(4, X, *sizes)
    np.testing.assert_allclose(model.mean_, pca.mean_, rtol=1e-12)
    np.testing.assert_allclose(model.transform(X), pca.transform(X), atol=1e-9)
    axes = model.inverse_transform(np.eye(4)) - model.inverse_transform(np.zeros((4, 4)))
    np.testing.assert_allclose(axes, pca.components_, atol=1e-10)  # signs, too
    np.testing.assert_allclose(model.explained_variance_, pca.explained_variance_)
    assert model.n_samples_ == len(X)
    assert model.best_epoch_ == 0


def test_whitened_codes_of_chunks_are_those_of_incremental_pca():
    X, sizes = drifting(60, 7), (9, 1, 20, 3)
    model = in_chunks(AdversarialAutoencoder(3, max_epochs=0), X, *sizes)
    pca = in_chunks(IncrementalPCA(3, whiten=True), X, *sizes)
    np.testing.assert_allclose(model.transform(X), pca.transform(X), atol=1e-10)


@pytest.mark.parametrize("shape", [(60, 7), (40, 90)])
def test_the_density_of_chunks_is_the_normal_one(shape):
    X, sizes = drifting(*shape), (9, 1, 20, 3)
    model = in_chunks(VAETransformer(4, lr=1e-12, random_state=0), X, *sizes)
    pca = incremental(4, X, *sizes)
    # Noise is what the axes leave of the variance of all rows, what was cut off included.
    left = X.var(axis=0, ddof=1).sum() - pca.explained_variance_.sum()
    noise = left / (min(X.shape) - 4)
    covariance = (pca.components_.T * (pca.explained_variance_ - noise)) @ pca.components_
    covariance += noise * np.eye(X.shape[1])
    expected = multivariate_normal(X.mean(axis=0), covariance).logpdf(X)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-8)
    np.testing.assert_allclose(model.noise_variance_, noise)


def test_iris_in_the_order_of_its_file():
    X = datasets.load_iris().data
    total = np.square(X - X.mean(axis=0)).sum()
    explained = 1 - error(incremental(2, X, 50, 50), X) / total  # .978
    model = in_chunks(AutoencoderTransformer(2, random_state=0), X, 50, 50)
    assert model.score(X) == pytest.approx(explained, abs=1e-3)
    vae = in_chunks(VAETransformer(2, random_state=0), X, 50, 50)
    assert vae.score(X) == pytest.approx(PCA(2).fit(X).score(X), abs=0.01)


def test_a_quiet_first_chunk_is_no_yardstick():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((600, 2)) @ rng.standard_normal((2, 6))
    rows += 0.3 * rng.standard_normal((600, 6))
    rows[:100] *= 0.05
    model = in_chunks(AutoencoderTransformer(2, random_state=0), rows, 100, 250)
    total = np.square(rows - rows.mean(axis=0)).sum()
    assert model.score(rows) >= 1 - 1.01 * error(incremental(2, rows, 100, 250), rows) / total
    np.testing.assert_allclose(model.mean_, rows.mean(axis=0), atol=1e-14)


@pytest.mark.parametrize("order", ["shuffled", "label", "feature"])
@pytest.mark.parametrize(
    ("name", "n_chunks", "k"), [("wine", 4, 2), ("wine", 8, 5), ("digits", 4, 10)]
)
def test_the_order_of_rows_costs_nothing(name, n_chunks, k, order):
    data = getattr(datasets, f"load_{name}")()
    X, index = scale(data.data), np.random.default_rng(0).permutation(len(data.data))
    if order != "shuffled":
        by = data.target if order == "label" else X[:, 2]
        index = index[np.argsort(by[index], kind="stable")]
    model, pca = AutoencoderTransformer(k, random_state=0), IncrementalPCA(k)
    for chunk in np.array_split(X[index], n_chunks):
        model.partial_fit(chunk)
        pca.partial_fit(chunk)
    assert error(model, X) < 1.01 * error(pca, X)


def test_what_was_learned_goes_where_the_start_has_left_it_behind(bent):
    model = AutoencoderTransformer(2, max_epochs=20, random_state=0).fit(bent)
    assert model.best_epoch_ > 0
    far = 3 * drifting(400, 6, seed=1) + 20
    model.partial_fit(far)
    both = np.concatenate([bent, far])
    assert error(model, both) < 1.01 * error(incremental(2, both, 400), both)


def test_what_was_learned_stays_where_the_start_stays(bent):
    model = AutoencoderTransformer(2, max_epochs=20, random_state=0).fit(bent)
    before = error(model, bent)
    model.partial_fit(bent[::2]).partial_fit(bent[1::2])
    assert error(model, bent) < 1.05 * before
    assert model.best_epoch_ > 0


@every_estimator
def test_without_epochs_nothing_is_trained(cls, bent):
    model = cls(2, max_epochs=0, random_state=0)
    for chunk in np.array_split(bent, 4):
        model.partial_fit(chunk)
    assert model.best_epoch_ == model.n_iter_ == len(model.loss_curve_) == 0
    assert model.n_samples_ == 400
    trained = cls(2, random_state=0, lr=1e-12)
    for chunk in np.array_split(bent, 4):
        trained.partial_fit(chunk)
    np.testing.assert_allclose(model.transform(bent), trained.transform(bent), atol=1e-10)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper", "swap"])
def test_denoisers_of_chunks_are_those_of_all_rows(corruption, likelihood):
    X = datasets.load_iris().data / 8  # in order of their classes
    options = {"max_epochs": 0, "corruption": corruption, "likelihood": likelihood}
    chunks = in_chunks(DenoisingAutoencoder(2, **options), X, 30, 60, 1)
    whole = DenoisingAutoencoder(2, **options).fit(X)
    if likelihood == "gaussian":
        np.testing.assert_allclose(chunks.denoise(X), whole.denoise(X), atol=1e-9)
    else:  # the length of a step was found on other rows, corrupted anew
        losses = [log_loss(model.denoise(X), X) for model in (chunks, whole)]
        assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_denoisers_of_pairs_and_of_own_corruptions_follow_too():
    X = datasets.load_iris().data
    noisy = X + 0.3 * np.random.default_rng(0).standard_normal(X.shape) + 1
    model = DenoisingAutoencoder(2, max_epochs=0)
    for here in (slice(0, 40), slice(40, 41), slice(41, 150)):
        model.partial_fit(noisy[here], X_clean=X[here])
    whole = DenoisingAutoencoder(2, max_epochs=0).fit(noisy, X_clean=X)
    np.testing.assert_allclose(model.denoise(noisy), whole.denoise(noisy), atol=1e-9)

    def halved(X, level, rng):
        return X / 2

    model = in_chunks(DenoisingAutoencoder(2, max_epochs=0, corruption=halved), X, 40, 1, 50)
    whole = DenoisingAutoencoder(2, max_epochs=0, corruption=halved).fit(X)
    np.testing.assert_allclose(model.denoise(X / 2), whole.denoise(X / 2), atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*have collapsed")
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_classes_that_come_one_after_another(likelihood):
    X, y = datasets.load_digits(n_class=3, return_X_y=True)
    X, y = X[:150, 16:40] / 16, y[:150]
    X, y = X[np.argsort(y)], np.sort(y)
    model = ConditionalVAE(1, max_epochs=0, likelihood=likelihood)
    for here in (slice(0, 50), slice(50, 90), slice(90, 150)):
        model.partial_fit(X[here], y[here], classes=[0, 1, 2])
    whole = ConditionalVAE(1, max_epochs=0, likelihood=likelihood).fit(X, y)
    tolerance = {"gaussian": 1e-8, "bernoulli": 0.3}[likelihood]
    np.testing.assert_allclose(model.score_samples(X, y), whole.score_samples(X, y), atol=tolerance)


def test_numbers_as_conditions_may_drift():
    X = datasets.load_iris().data
    index = np.argsort(X[:, 0], kind="stable")
    rows, numbers = X[index, 1:], X[index, 0]
    model = ConditionalVAE(1, max_epochs=0, condition="number")
    for here in (slice(0, 50), slice(50, 90), slice(90, 150)):
        model.partial_fit(rows[here], numbers[here])
    whole = ConditionalVAE(1, max_epochs=0, condition="number").fit(rows, numbers)
    np.testing.assert_allclose(
        model.score_samples(rows, numbers), whole.score_samples(rows, numbers), rtol=1e-8
    )


def test_a_mean_that_drifts_by_a_million_standard_deviations():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 4))
    X += np.repeat([[0.0], [1e6], [-3e5]], 40, axis=0)
    model = in_chunks(AutoencoderTransformer(2, random_state=0), X, 40, 40)
    pca = incremental(2, X, 40, 40)
    np.testing.assert_allclose(model.mean_, pca.mean_, rtol=1e-12)
    assert error(model, X) == pytest.approx(error(pca, X), rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*have collapsed")
def test_rows_that_are_constant_at_first():
    X = drifting(80, 5)
    X[:20] = [1e9, 3.0, 0.0, -2.0, 0.1]
    X[:, 2] = 7.0  # and one feature that stays so
    X[:20, 2] = 7.0
    for cls in (AutoencoderTransformer, VAETransformer):
        model = in_chunks(cls(2, max_epochs=0), X, 20, 30)
        with np.errstate(all="ignore"):  # it divides by the variance of the first
            pca = incremental(2, X, 20, 30)
        np.testing.assert_allclose(model.mean_, pca.mean_, rtol=1e-12)
        assert np.isfinite(model.score(X))
    model = in_chunks(AutoencoderTransformer(2, random_state=0), X, 20, 30)
    assert error(model, X) == pytest.approx(error(pca, X), rel=1e-6)
    assert (model.reconstruct(X)[:, 2] == 7.0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_of_chunks_is_that_of_all_rows(seed):
    X = datasets.load_iris().data
    model = AutoencoderTransformer(1, max_epochs=0, random_state=seed)
    model = in_chunks(model, X, *[10] * 14)
    left = X.var(axis=0, ddof=1).sum() - model.explained_variance_.sum()
    assert model.noise_variance_ == pytest.approx(left / 3)


@pytest.mark.parametrize("policy", ["StepLR", "CosineAnnealingLR", "CyclicLR"])
def test_schedulers_go_on_from_chunk_to_chunk(policy, bent):
    options = {
        "StepLR": {"step_size": 1},
        "CosineAnnealingLR": {"T_max": 5},
        "CyclicLR": {"base_lr": 1e-4, "max_lr": 1e-3, "cycle_momentum": False},
    }[policy]
    callbacks = [LRScheduler(policy, **options)]
    model = AutoencoderTransformer(2, max_epochs=2, callbacks=callbacks, random_state=0)
    for fit in (model.fit, model.partial_fit, model.partial_fit):
        assert np.isfinite(fit(bent).score(bent))


@every_estimator
def test_rows_one_by_one(cls):
    X = scale(datasets.load_iris().data)[::6]
    model = cls(2, max_epochs=0, random_state=0).partial_fit(X[:5])
    for row in X[5:]:
        model.partial_fit(row[None])
    assert model.n_samples_ == len(X)
    np.testing.assert_allclose(model.mean_, X.mean(axis=0), atol=1e-14)
    if cls is AutoencoderTransformer:
        pca = IncrementalPCA(2).partial_fit(X[:5])
        for row in X[5:]:
            pca.partial_fit(row[None])
        np.testing.assert_allclose(model.transform(X), pca.transform(X), atol=1e-9)


def test_single_precision():
    X = drifting(90, 6)
    double = in_chunks(AutoencoderTransformer(2, max_epochs=0), X, 30, 30)
    single = in_chunks(AutoencoderTransformer(2, max_epochs=0), X.astype(np.float32), 30, 30)
    codes = single.transform(X.astype(np.float32))
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes, double.transform(X), atol=1e-4)


@pytest.mark.parametrize(("cls", "likelihood"), LIKELIHOODS)
def test_a_pickle_between_chunks_gives_the_same_bits(cls, likelihood):
    options = {"likelihood": likelihood, "random_state": 0}
    X = datasets.load_digits().data[:150, 16:40] / 16
    model = cls(2, **options).partial_fit(X[:60])
    loaded = pickle.loads(pickle.dumps(model))
    for one in (model, loaded):
        one.partial_fit(X[60:120]).partial_fit(X[120:])
    np.testing.assert_array_equal(model.transform(X), loaded.transform(X))
    assert model.score(X) == loaded.score(X)


@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_a_chunk_after_fit_counts_as_one_after_a_first(cls):
    X = drifting(90, 6)
    fitted = cls(2, max_epochs=0).fit(X[:50]).partial_fit(X[50:])
    chunks = in_chunks(cls(2, max_epochs=0), X, 50)
    np.testing.assert_allclose(fitted.transform(X), chunks.transform(X), atol=1e-9)
    np.testing.assert_allclose(fitted.mean_, X.mean(axis=0), atol=1e-13)
    assert fitted.score(X) == pytest.approx(chunks.score(X))


def test_a_fit_is_no_larger_for_the_chunks_that_may_come():
    X = np.random.default_rng(0).standard_normal((60, 200))
    model = AutoencoderTransformer(2, hidden_layer_sizes=(), max_epochs=0).fit(X)
    assert len(pickle.dumps(model)) < 8 * 200 * 20 + 20_000


def test_a_chunk_without_enough_numbers_for_codes_may_not_be_the_first():
    X = drifting(30, 6)
    model = AutoencoderTransformer(5, max_epochs=0)
    with pytest.raises(ValueError, match=r"latent_dim=5 must be between 0 and .*=4"):
        model.partial_fit(X[:4])
    model.partial_fit(X[:5]).partial_fit(X[5:7]).partial_fit(X[7:])
    pca = incremental(5, X, 5, 2)
    np.testing.assert_allclose(model.transform(X), pca.transform(X), atol=1e-9)


def test_a_share_of_variance_is_turned_into_codes_by_the_first_chunk():
    X = drifting(90, 6)
    model = AutoencoderTransformer(0.7, max_epochs=0).partial_fit(X[:40])
    k = model.latent_dim_
    model.partial_fit(X[40:])
    assert model.latent_dim_ == k
    np.testing.assert_allclose(model.transform(X), incremental(k, X, 40).transform(X), atol=1e-9)
