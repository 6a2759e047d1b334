"""PCA's parameters and attributes: code that was written for PCA goes on to be right."""

import sys
import warnings

import numpy as np
import pytest
from _estimators import ESTIMATORS
from _programs import InterruptedAt
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.decomposition import NMF, PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    ConditionalVAE,
    DenoisingAutoencoder,
    VAETransformer,
)

BOTH = pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
EVERY = pytest.mark.parametrize("cls", ESTIMATORS)
ATTRIBUTES = [
    "components_",
    "explained_variance_",
    "explained_variance_ratio_",
    "singular_values_",
    "mean_",
    "noise_variance_",
    "n_components_",
    "n_samples_",
]


@pytest.fixture(scope="module", params=[AutoencoderTransformer, VAETransformer])
def trained(request, bent):
    return request.param(3, max_epochs=30, random_state=0).fit(bent)


@BOTH
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("whiten", [False, True])
def test_at_the_start_they_are_those_of_pca(cls, k, whiten, table):
    reference = PCA(k, whiten=whiten).fit(table)
    model = cls(n_components=k, whiten=whiten, max_epochs=0).fit(table)
    for name in ATTRIBUTES:
        assert_allclose(getattr(model, name), getattr(reference, name), rtol=1e-9, atol=1e-12)
    plain = PCA(k).fit(table)  # whitening changes no covariance
    assert_allclose(model.get_covariance(), plain.get_covariance(), rtol=1e-9, atol=1e-12)
    assert_allclose(model.get_precision(), plain.get_precision(), rtol=1e-7, atol=1e-9)
    if whiten or cls is AutoencoderTransformer:
        assert_allclose(model.transform(table), reference.transform(table), atol=1e-9)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (30, 30)])
def test_wide_and_long_tables(shape):
    X = np.random.default_rng(0).standard_normal(shape) @ np.diag(np.arange(1, shape[1] + 1))
    for k in (0, 2, None):
        reference = PCA(k).fit(X)
        model = AutoencoderTransformer(k, max_epochs=0).fit(X)
        for name in ATTRIBUTES:
            ours, theirs = getattr(model, name), getattr(reference, name)
            if name == "components_":  # the last axis of a wide table has no variance
                ours, theirs = ours[: min(shape) - 1], theirs[: min(shape) - 1]
            assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@EVERY
def test_two_names_of_one_parameter(cls, bent):
    options = {"max_epochs": 1, "random_state": 0}
    reference = cls(3, **options).fit(bent)
    for model in (
        cls(n_components=3, **options),
        cls(3, n_components=3, **options),
        cls(2, **options).set_params(n_components=3),
        cls(n_components=2, **options).set_params(latent_dim=3),
        clone(cls(n_components=np.int64(3), **options)),
    ):
        codes = clone(model).fit(bent)
        assert codes.n_components_ == codes.latent_dim_ == 3
        assert_array_equal(codes.transform(bent), reference.transform(bent))
    assert cls(n_components=3).n_components == 3
    assert cls().fit(bent[:20]).n_components_ == 2


@EVERY
def test_two_different_sizes_are_an_error(cls, bent):
    model = cls(3, max_epochs=0).fit(bent)
    model.n_components = 2
    message = r"two names of one parameter.*latent_dim=3 and n_components=2. Give one of them"
    with pytest.raises(ValueError, match=message):
        model.fit(bent)
    with pytest.raises(ValueError, match=r"n_components=9 must be between 0 and min\(n_samples"):
        cls(n_components=9).fit(bent[:, :2])


@EVERY
@pytest.mark.parametrize("name", ["svd_solver", "tol", "copy", "iterated_power"])
def test_options_of_solvers_are_to_be_left_out(cls, name):
    with pytest.raises(TypeError, match=rf"{cls.__name__} has no parameter '{name}'.*Leave it out"):
        cls(2, **{name: 1})
    with pytest.raises(TypeError, match=f"no parameter '{name}'"):
        cls(2).set_params(**{name: 1})
    with pytest.raises(TypeError, match=r"got svd_solver, tol\. Leave them out"):
        cls(2, svd_solver="full", tol=0.0)


def test_a_subclass_may_have_a_parameter_of_that_name():
    class Own(AutoencoderTransformer):
        def __init__(self, latent_dim=2, *, tol=0.0):
            super().__init__(latent_dim)
            self.tol = tol

    assert Own(tol=1.0).tol == 1.0


@BOTH
def test_grids_are_shared_with_other_decompositions(cls, digits):
    X, y = digits[0][:200], digits[1][:200]
    pipeline = Pipeline([("pca", cls(2)), ("clf", LogisticRegression(max_iter=1000))])
    steps = [cls(max_epochs=0), NMF(init="nndsvda", max_iter=500), KernelPCA()]
    grid = {"pca": steps, "pca__n_components": [2, 6]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 6
    assert search.best_params_["pca__n_components"] == 6


@BOTH
@pytest.mark.parametrize("size", [None, "mle", 0.5, 0.97])
def test_sizes_are_chosen_as_in_pca(cls, size, table):
    model = cls(n_components=size, max_epochs=0).fit(table)
    assert model.n_components_ == PCA(n_components=size).fit(table).n_components_


def test_mle_needs_as_many_rows_as_features(bent):
    with pytest.raises(ValueError, match="'mle' is only supported if n_samples >= n_features"):
        AutoencoderTransformer("mle").fit(bent[:5])


@EVERY
@pytest.mark.parametrize("init", ["pca", "random"])
def test_no_codes_at_all(cls, init, bent):
    if cls is AdversarialAutoencoder:
        with pytest.raises(ValueError, match=r"int in the range \[1, inf\).* Got 0"):
            cls(0).fit(bent)
        return
    model = cls(0, init=init, max_epochs=2, random_state=0).fit(bent)
    codes = model.transform(bent)
    assert codes.shape == (len(bent), 0)
    assert model.inverse_transform(codes).shape == bent.shape
    assert model.sample(3).shape == (3, bent.shape[1])
    assert np.isfinite(model.score_samples(bent)).all()


def test_no_codes_as_in_pca(bent):
    model = AutoencoderTransformer(0).fit(bent)
    assert_allclose(model.inverse_transform(model.transform(bent)), bent.mean(axis=0) + 0 * bent)
    vae, reference = VAETransformer(0).fit(bent), PCA(0).fit(bent)
    assert_allclose(model.get_covariance(), reference.get_covariance())
    start = VAETransformer(0, max_epochs=0).fit(bent)
    assert_allclose(start.score_samples(bent), reference.score_samples(bent))
    assert vae.score(bent) > reference.score(bent)  # factor analysis: a noise for each feature


def test_ratios_divide_what_is_reconstructed(trained, bent):
    ratios = trained.explained_variance_ratio_
    left = np.square(trained.reconstruct(bent) - bent).sum()
    total = np.square(bent - bent.mean(axis=0)).sum()
    assert ratios.sum() == pytest.approx(1 - left / total)
    assert (np.diff(ratios) <= 0).all()
    assert (ratios > 0).all()
    assert_allclose(trained.explained_variance_, ratios * bent.var(axis=0, ddof=1).sum())
    assert_allclose(trained.singular_values_**2, trained.explained_variance_ * (len(bent) - 1))


def test_a_ratio_is_of_its_code(bent):
    """Three codes of a table with three parts: putting in a code gains what its ratio says."""
    rng = np.random.default_rng(1)
    t = rng.uniform(-2, 2, (600, 2)) * [1.0, 1.1]
    X = np.column_stack([t[:, 0], t[:, 0] ** 2, t[:, 1], t[:, 1] ** 2 * 1.5])
    model = AutoencoderTransformer(2, max_epochs=60, random_state=0).fit(X)
    codes = model.transform(X)
    of_code = []
    for j in range(2):
        only = np.tile(codes.mean(axis=0), (len(X), 1))
        only[:, j] = codes[:, j]
        of_code.append(1 - np.square(model.inverse_transform(only) - X).sum())
    assert of_code[0] > of_code[1]


def test_components_are_the_mean_effect_of_a_code(trained, bent):
    codes = trained.transform(bent)
    effects = []
    for step in 1e-4 * np.eye(3):
        change = trained.inverse_transform(codes + step) - trained.inverse_transform(codes - step)
        effects.append(change.mean(axis=0) / 2e-4)
    if isinstance(trained, VAETransformer):  # each in units of a component of its start
        start = VAETransformer(3, max_epochs=0).fit(bent)
        change = start.inverse_transform(np.eye(3)) - start.inverse_transform(np.zeros((1, 3)))
        units = np.linalg.norm(change, axis=1)
        ratios = np.linalg.norm(effects, axis=1) / np.linalg.norm(trained.components_, axis=1)
        assert_allclose(sorted(ratios), sorted(units), rtol=1e-4)
        effects = effects / ratios[:, None]
    assert_allclose(trained.components_, effects, rtol=1e-4, atol=1e-6)


def test_the_order_is_that_of_transform_everywhere(trained, bent):
    if isinstance(trained, VAETransformer):
        mean, std = trained.posterior(bent)
        assert_array_equal(mean, trained.transform(bent))
        kl = 0.5 * (mean**2 + std**2 - 1.0) - np.log(std)
        assert_allclose(trained.kl_per_latent_, kl.mean(axis=0))
    again = trained.inverse_transform(trained.transform(bent))
    assert_allclose(again, trained.reconstruct(bent), atol=1e-9)


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whitened_codes(cls, dtype, bent):
    X = bent.astype(dtype)
    options = {"max_epochs": 5, "random_state": 0}
    plain, white = (cls(3, whiten=whiten, **options).fit(X) for whiten in (False, True))
    codes = white.transform(X)
    assert codes.dtype == dtype
    assert_allclose(codes.mean(axis=0), 0.0, atol=1e-5)
    assert_allclose(np.cov(codes.T), np.eye(3), atol=1e-5)
    there, back = plain.inverse_transform(plain.transform(X)), white.inverse_transform(codes)
    assert_allclose(there, back, atol=1e-4)
    assert_array_equal(white.score_samples(X), plain.score_samples(X))


def test_codes_beside_conditions_are_whitened(bent):
    y = bent[:, 0] > 0
    plain, white = (
        ConditionalVAE(2, whiten=whiten, max_epochs=3, random_state=0).fit(bent, y)
        for whiten in (False, True)
    )
    codes = white.transform(bent, y)
    assert_allclose(np.cov(codes.T), np.eye(2), atol=1e-9)
    expected = plain.inverse_transform(plain.transform(bent, y), y)
    assert_allclose(white.inverse_transform(codes, y), expected, atol=1e-9)
    with pytest.raises(ValueError, match="get_covariance needs an estimator without conditions"):
        white.get_covariance()


def test_ordered_codes_stay_in_order_and_are_whitened_by_themselves(bent):
    options = {"ordered": True, "max_epochs": 3, "random_state": 0}
    plain = AutoencoderTransformer(3, **options).fit(bent)
    white = AutoencoderTransformer(3, whiten=True, **options).fit(bent)
    assert plain.components_.shape == (3, 6)
    for size in (1, 2):
        first, white_first = plain.truncate(size), white.truncate(size)
        assert_array_equal(white_first.transform(bent), white.transform(bent)[:, :size])
        assert first.components_.shape == (size, 6)
        expected = first.inverse_transform(first.transform(bent))
        codes = white.transform(bent)[:, :size]
        assert_allclose(white_first.inverse_transform(codes), expected, atol=1e-9)
        assert_allclose(white.inverse_transform(codes), expected, atol=1e-9)


def test_codes_that_are_copies_of_each_other_are_whitened_too():
    X = np.random.default_rng(0).standard_normal((50, 1)) @ np.ones((1, 4))
    for cls in (AutoencoderTransformer, VAETransformer):
        model = cls(3, whiten=True, max_epochs=0).fit(X)
        codes = model.transform(X)
        assert np.isfinite(codes).all()
        assert_allclose(model.inverse_transform(codes), X, atol=1e-6)


def test_covariance_is_that_of_the_density(bent):
    vae = VAETransformer(2, max_epochs=30, random_state=0).fit(bent)
    assert vae.best_epoch_ > 0
    expected = np.cov(vae.sample(200_000, random_state=0).T)
    assert_allclose(vae.get_covariance(), expected, atol=0.05 * expected.diagonal().max())
    assert_allclose(vae.get_covariance() @ vae.get_precision(), np.eye(6), atol=1e-8)


def test_covariance_of_an_autoencoder(bent):
    model = AutoencoderTransformer(2, max_epochs=30, random_state=0).fit(bent)
    covariance, expected = model.get_covariance(), np.cov(bent.T)
    assert covariance.trace() == pytest.approx(expected.trace(), rel=0.05)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert (
        np.abs(covariance - expected).max()
        < np.abs(PCA(2).fit(bent).get_covariance() - expected).max()
    )


def test_covariance_needs_normal_noise(digits):
    model = VAETransformer(2, likelihood="bernoulli", max_epochs=0).fit(digits[0])
    assert model.components_.shape == (2, 64)
    with pytest.raises(ValueError, match="get_covariance needs likelihood='gaussian'; got"):
        model.get_covariance()


@BOTH
def test_in_single_precision(cls, bent):
    model = cls(2, max_epochs=2, random_state=0).fit(bent.astype(np.float32))
    assert model.components_.dtype == np.float32


@BOTH
def test_where_nothing_is_to_be_learned_there_are_no_epochs(cls):
    rng = np.random.default_rng(0)
    of_low_rank = rng.standard_normal((300, 2)) @ rng.standard_normal((2, 9))
    for X in (rng.standard_normal((300, 2)), of_low_rank, np.ones((50, 3))):
        model = cls(2, random_state=0).fit(X)
        assert model.n_iter_ == model.best_epoch_ == 0
        assert_allclose(model.reconstruct(X), X, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*have collapsed")
def test_where_something_is_to_be_learned_there_are_epochs(bent):
    X = bent[:, :2]
    for model in (
        AutoencoderTransformer(2, ordered=True, max_epochs=1),
        DenoisingAutoencoder(2, max_epochs=1),
        AdversarialAutoencoder(2, max_epochs=1),
        AutoencoderTransformer(2, init="random", max_epochs=1),
        VAETransformer(2, init="random", max_epochs=1, beta=0.1),
    ):
        assert model.set_params(random_state=0).fit(X).n_iter_ == 1


def test_a_mixture_of_codes_is_judged_by_its_own_rounding():
    X = make_moons(1000, noise=0.05, random_state=0)[0]
    vae = VAETransformer(2, random_state=0).fit(X)
    assert vae.n_code_components_ > 1
    assert PCA(2).fit(X).score(X) < -1.8
    assert vae.score(make_moons(1000, noise=0.05, random_state=1)[0]) > -0.6


@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_an_interrupt_at_any_line_finds_the_old_state_or_the_new_one(cls, bent):
    options = {"max_epochs": 1, "random_state": 0}
    finished = cls(2, **options).fit(bent[:100]).fit(bent).transform(bent)
    n_interrupts = 0
    for number in range(1, 30):
        model = cls(2, **options).fit(bent[:100])
        before = model.transform(bent)
        sys.settrace(InterruptedAt(cls.fit, number, below=True))
        try:
            model.fit(bent)
        except KeyboardInterrupt:
            n_interrupts += 1
        finally:
            sys.settrace(None)
        after = model.transform(bent)
        assert np.array_equal(after, before) or np.array_equal(after, finished)
        if n_interrupts < number:
            break
    assert n_interrupts > 5


def test_a_warning_that_is_an_error_changes_nothing():
    X = np.random.default_rng(0).standard_normal((200, 4))
    options = {"beta": 50.0, "init": "random", "max_epochs": 3, "random_state": 0}
    for fit in ("fit", "partial_fit"):
        model = VAETransformer(1, max_epochs=0).fit(X[:100])
        before = model.score_samples(X)
        model.set_params(**options)
        model = VAETransformer(3, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(Warning, match="collapsed"):
                getattr(model, fit)(X)
        assert not hasattr(model, "net_")
        assert before.shape == (200,)
