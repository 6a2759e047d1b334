"""At max_epochs=0 an estimator is the classical method that it replaces."""

import numpy as np
import pytest
from _sizes import small_memory
from _vae import part_of
from scipy.optimize import minimize
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from skorch.callbacks import Callback

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    VAETransformer,
)
from skae.data.table import Table
from skae.starts.pca import pca
from skae.starts.start import choose_latent_dim


@pytest.mark.parametrize("k", [1, 2, 4])
def test_autoencoder_is_pca(table, k):
    reference = PCA(k).fit(table)
    autoencoder = AutoencoderTransformer(k, max_epochs=0).fit(table)
    codes = reference.transform(table)
    np.testing.assert_allclose(autoencoder.transform(table), codes, rtol=1e-9, atol=1e-9)
    rows = reference.inverse_transform(codes)
    np.testing.assert_allclose(autoencoder.inverse_transform(codes), rows, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(autoencoder.reconstruct(table), rows, rtol=1e-9, atol=1e-9)
    assert autoencoder.score(table) == pytest.approx(reference.explained_variance_ratio_.sum())
    if k < table.shape[1]:
        assert autoencoder.noise_variance_ == pytest.approx(reference.noise_variance_)


def test_autoencoder_is_pca_in_float32(table):
    X = table.astype(np.float32)
    codes = PCA(2).fit(table).transform(table)
    autoencoder = AutoencoderTransformer(2, max_epochs=0).fit(X)
    tolerance = 1e-5 * np.abs(codes).max()
    np.testing.assert_allclose(autoencoder.transform(X), codes, atol=tolerance)


def test_autoencoder_with_all_components_is_lossless(iris):
    autoencoder = AutoencoderTransformer(4, random_state=0).fit(iris)
    assert autoencoder.best_epoch_ == 0
    np.testing.assert_allclose(autoencoder.reconstruct(iris), iris, atol=1e-9)


def test_more_features_than_rows(digits):
    X = digits[0][:40]
    reference = PCA(5).fit(X)
    autoencoder = AutoencoderTransformer(5, max_epochs=0).fit(X)
    np.testing.assert_allclose(autoencoder.transform(X), reference.transform(X), atol=1e-9)
    vae = VAETransformer(5, max_epochs=0).fit(X)
    np.testing.assert_allclose(vae.score_samples(X), reference.score_samples(X), rtol=1e-9)


@pytest.mark.parametrize("share", [0.3, 0.72, 0.9, 0.999])
def test_latent_dim_as_a_share_of_variance(table, share):
    reference = PCA(share, svd_solver="full").fit(table)
    values, _ = Table.of(table).principal_axes(2)
    assert choose_latent_dim(share, values) == reference.n_components_


def test_estimators_take_a_share_of_variance(iris):
    for cls in (
        AdversarialAutoencoder,
        AutoencoderTransformer,
        VAETransformer,
        DenoisingAutoencoder,
    ):
        assert cls(0.9, max_epochs=0).fit(iris).transform(iris).shape == (150, 2)
    assert AutoencoderTransformer(0.9, init="random", max_epochs=1).fit(iris).latent_dim_ == 2


@pytest.mark.parametrize("k", [1, 2, 3])
def test_vae_is_probabilistic_pca(table, k):
    reference = PCA(k).fit(table)
    vae = VAETransformer(k, max_epochs=0).fit(table)
    np.testing.assert_allclose(
        vae.score_samples(table), reference.score_samples(table), rtol=1e-9, atol=1e-9
    )
    assert vae.score(table) == pytest.approx(reference.score(table))
    np.testing.assert_allclose(vae.noise_variance_, reference.noise_variance_)


def test_vae_posterior_is_that_of_probabilistic_pca(table):
    # Tipping & Bishop (1999): M = W'W + s2 I, mean M^-1 W'(x - mu), covariance s2 M^-1.
    k, reference = 3, PCA(3).fit(table)
    noise = reference.noise_variance_
    W = reference.components_.T * np.sqrt(reference.explained_variance_ - noise)
    M = W.T @ W + noise * np.eye(k)
    mean, std = VAETransformer(k, max_epochs=0).fit(table).posterior(table)
    expected = np.linalg.solve(M, W.T @ (table - reference.mean_).T).T
    np.testing.assert_allclose(mean, expected, atol=1e-9)
    np.testing.assert_allclose(std**2, np.tile(np.diag(noise * np.linalg.inv(M)), (len(mean), 1)))


def test_vae_elbo_at_the_start_is_the_log_likelihood(table):
    held_out = []

    class Watch(Callback):
        def on_train_begin(self, net, X=None, **kwargs):
            held_out.extend(X.valid.index.tolist())

    vae = VAETransformer(2, max_epochs=0, random_state=0, callbacks=[Watch()]).fit(table)
    exact = -PCA(2).fit(table).score_samples(table)[held_out].mean()
    # What is left is the noise of 512 draws of a KL and an error of about a nat each.
    assert vae.validation_curve_[0] == pytest.approx(exact, abs=0.15)


def test_vae_keeps_a_table_of_full_rank_exact(iris):
    reference = PCA(4).fit(iris)
    vae = VAETransformer(4, max_epochs=0).fit(iris)
    np.testing.assert_allclose(vae.score_samples(iris), reference.score_samples(iris), rtol=1e-6)


def test_vae_samples_have_the_covariance_of_probabilistic_pca(iris):
    vae = VAETransformer(2, max_epochs=0).fit(iris)
    drawn = vae.sample(100_000, random_state=0)
    np.testing.assert_allclose(np.cov(drawn.T), PCA(2).fit(iris).get_covariance(), atol=0.03)
    assert np.linalg.matrix_rank(np.cov(vae.sample(50, add_noise=False).T), tol=1e-9) == 2


def test_large_mean_costs_no_precision(iris):
    shifted = Table.of(iris + 1e6)
    np.testing.assert_allclose(shifted.covariance() * shifted.scale**2, np.cov(iris.T), rtol=1e-8)
    assert shifted.scale == pytest.approx(Table.of(iris).scale)


@pytest.mark.parametrize("value", [1e14, 2e15, 2.0**60, 1.7e18])
def test_a_large_constant_costs_nothing(iris, value):
    """A time in nanoseconds, say, beside small numbers."""
    X = np.column_stack([iris, np.full(len(iris), value)])
    model = AutoencoderTransformer(2, max_epochs=0).fit(X)
    expected = PCA(2).fit(iris).explained_variance_ratio_.sum()
    assert model.score(X) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(model.reconstruct(X)[:, -1], value)


def test_streamed_moments_are_exact(table, monkeypatch):
    small_memory(monkeypatch, block=100)
    moments = Table.of(table)
    np.testing.assert_allclose(moments.mean, table.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.variance, table.var(axis=0, ddof=1))
    covariance = moments.covariance() * moments.scale**2
    np.testing.assert_allclose(covariance, np.cov(table.T), atol=1e-12)
    np.testing.assert_array_equal([moments.low, moments.high], [table.min(0), table.max(0)])


def test_codes_of_the_linear_path_have_unit_variance(iris):
    start = pca(Table.of(iris), 3)
    codes = (iris - start.mean) / start.scale @ start.encoder
    np.testing.assert_allclose(np.cov(codes.T), np.eye(3), atol=1e-9)


# Bernoulli


def independent_bernoullis(X):
    p = (X.sum(axis=0) + 0.5) / (len(X) + 1)
    return -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1).mean()


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_bernoulli_starts_are_no_worse_than_independent_bernoullis(digits, k, binary):
    X = (digits[0] > 0.5).astype(float) if binary else digits[0]
    p = np.clip(
        AutoencoderTransformer(k, likelihood="bernoulli", max_epochs=0).fit(X).reconstruct(X),
        1e-12,
        1 - 1e-12,
    )
    loss = -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1).mean()
    assert loss < 0.95 * independent_bernoullis(X)
    vae = VAETransformer(k, likelihood="bernoulli", max_epochs=0, random_state=0).fit(X)
    assert -vae.score(X) < independent_bernoullis(X)
    assert vae.validation_curve_[0] < 1.02 * independent_bernoullis(X)


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
def test_bernoulli_start_of_noise_is_independent_bernoullis():
    X = (np.random.default_rng(0).random((500, 5)) < 0.3).astype(float)
    vae = VAETransformer(1, likelihood="bernoulli", max_epochs=0, random_state=0).fit(X)
    assert -vae.score(X) <= independent_bernoullis(X) + 1e-6


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
@pytest.mark.parametrize("k", [1, 5])
def test_start_of_rare_rows_is_better_than_independent_bernoullis(k):
    """Where going all the way of the second order would be worse than going none of it."""
    X = np.zeros((500, 6))
    X[::50] = 1.0
    options = {"validation_fraction": None, "max_epochs": 1, "lr": 1e-12, "random_state": 0}
    vae = VAETransformer(k, likelihood="bernoulli", **options).fit(X)
    assert vae.loss_curve_[0] < independent_bernoullis(X)


def test_logit_pca_is_close_to_the_best_logits_of_rank_one():
    """Against a direct optimisation of the Bernoulli likelihood (exponential-family PCA)."""
    rng = np.random.default_rng(0)
    logits = np.outer(rng.standard_normal(300), [1.0, -0.5, 0.7, 0.2]) + [0.3, 0.0, -0.4, 0.1]
    X = 1 / (1 + np.exp(-logits))

    def loss(parameters):
        z, b, c = parameters[:300], parameters[300:304], parameters[304:]
        t = np.outer(z, b) + c
        residual = 1 / (1 + np.exp(-t)) - X
        gradient = np.concatenate([residual @ b, z @ residual, residual.sum(axis=0)])
        return (np.logaddexp(0, t) - X * t).sum(), gradient

    best = minimize(loss, rng.standard_normal(308), jac=True, method="L-BFGS-B").fun / 300
    model = AutoencoderTransformer(1, likelihood="bernoulli", max_epochs=0).fit(X)
    p = model.reconstruct(X)
    reached = -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1).mean()
    assert reached - best < 0.1 * (independent_bernoullis(X) - best)


# The linear denoiser


def reduced_rank_regression(corrupted, clean, k):
    """Least squares, then its predictions' best rank-k projection (Izenman 1975)."""
    fitted = LinearRegression().fit(corrupted, clean)
    axes = PCA(k).fit(fitted.predict(corrupted)).components_
    return lambda X: (fitted.predict(X) - clean.mean(axis=0)) @ axes.T @ axes + clean.mean(axis=0)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    ("corruption", "level"),
    [("gaussian", 0.7), ("masking", 0.3), ("salt_and_pepper", 0.2), ("swap", 0.3)],
)
def test_denoiser_is_the_best_linear_one(iris, corruption, level, k):
    """Against a regression on 600 corrupted copies of the table."""
    rng = np.random.default_rng(0)
    clean = np.tile(iris, (600, 1))
    shape = clean.shape
    if corruption == "gaussian":
        corrupted = clean + level * rng.standard_normal(shape) * np.sqrt(iris.var(0, ddof=1).mean())
    else:
        value = {
            "masking": lambda: iris.mean(axis=0) + np.zeros(shape),
            "salt_and_pepper": lambda: np.where(rng.random(shape) < 0.5, iris.min(0), iris.max(0)),
            "swap": lambda: iris[rng.integers(150, size=shape), np.arange(4)],
        }[corruption]()
        corrupted = np.where(rng.random(shape) < level, value, clean)
    reference = reduced_rank_regression(corrupted, clean, k)
    denoiser = DenoisingAutoencoder(
        k, corruption=corruption, corruption_level=level, max_epochs=0
    ).fit(iris)
    np.testing.assert_allclose(denoiser.denoise(iris), reference(iris), atol=0.02)
    error = np.square(denoiser.denoise(corrupted) - clean).mean()
    assert error == pytest.approx(np.square(reference(corrupted) - clean).mean(), rel=1e-3)
    left = np.square(denoiser.denoise(iris) - iris).sum() / (149 * (4 - k))
    assert denoiser.noise_variance_ == pytest.approx(left)


def test_denoiser_of_pairs_is_reduced_rank_regression(table):
    k = min(3, table.shape[1])
    noisy = table + np.random.default_rng(0).standard_normal(table.shape) + 5.0
    denoiser = DenoisingAutoencoder(k, max_epochs=0).fit(noisy, X_clean=table)
    if np.linalg.matrix_rank(noisy - noisy.mean(axis=0)) == table.shape[1]:
        reference = reduced_rank_regression(noisy, table, k)
        np.testing.assert_allclose(denoiser.denoise(noisy), reference(noisy), atol=1e-7)
    np.testing.assert_allclose(denoiser.mean_, table.mean(axis=0), atol=1e-12)


def test_denoiser_with_a_callable_agrees_with_the_built_in(iris):
    def noise(X, level, rng):
        assert X.shape[1] == 4
        return X + level * rng.standard_normal(X.shape)

    X = iris + 10.0
    level = 0.5 * np.sqrt(iris.var(axis=0, ddof=1).mean())
    custom = DenoisingAutoencoder(
        2, corruption=noise, corruption_level=level, max_epochs=0, random_state=0
    ).fit(X)
    built_in = DenoisingAutoencoder(2, corruption_level=0.5, max_epochs=0).fit(X)
    np.testing.assert_allclose(custom.denoise(X), built_in.denoise(X), atol=0.15)


def test_few_pairs_call_for_a_ridge(digits):
    """With about as many pairs as features plain least squares is worse than nothing."""
    X = digits[0]
    noisy = X + 0.5 * np.random.default_rng(0).standard_normal(X.shape)
    for n in (40, 64, 70, 100):
        model = DenoisingAutoencoder(5, max_epochs=0).fit(noisy[:n], X_clean=X[:n])
        error = np.square(model.denoise(noisy[1000:]) - X[1000:]).mean()
        pca = PCA(5).fit(noisy[:n])
        plain = pca.inverse_transform(pca.transform(noisy[1000:]))
        assert error < np.square(plain - X[1000:]).mean()


def test_pairs_with_an_offset_are_no_harder(bent):
    noisy = bent + 0.3 * np.random.default_rng(0).standard_normal(bent.shape)
    options = {"max_epochs": 20, "random_state": 0}
    plain = DenoisingAutoencoder(3, **options).fit(noisy, X_clean=bent).denoise(noisy)
    X = 1000 * noisy + 1e6
    far = DenoisingAutoencoder(3, **options).fit(X, X_clean=bent).denoise(X)
    np.testing.assert_allclose(far, plain, atol=0.05)


def test_the_same_rows_as_pairs_are_pairs(iris):
    def fail(X, level, rng):
        raise AssertionError("corrupted what came in pairs")

    model = DenoisingAutoencoder(2, corruption=fail, max_epochs=1).fit(iris, X_clean=iris)
    np.testing.assert_allclose(
        model.denoise(iris),
        PCA(2).fit(iris).inverse_transform(PCA(2).fit_transform(iris)),
        atol=0.05,
    )


def test_mixed_units_have_an_exact_density():
    X = np.random.default_rng(0).standard_normal((500, 5)) * [1e7, 1.0, 2.0, 0.1, 1.0]
    for k in (1, 2, 3):
        reference = PCA(k).fit(X)
        vae = VAETransformer(k, random_state=0, max_epochs=3).fit(X)
        assert vae.best_epoch_ == 0
        # Row by row PCA's precision matrix is rounded: its condition number is 1e15.
        assert part_of(vae, "decoder").score(X) == pytest.approx(reference.score(X), abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 7.0, 1e6 + 0.1])
def test_constants_are_reconstructed(value):
    X = np.full((10, 3), value)
    for cls in (AutoencoderTransformer, DenoisingAutoencoder):
        assert cls(2, random_state=0).fit(X).score(X) == pytest.approx(1.0)


def test_a_little_corruption_is_pca(iris):
    denoiser = DenoisingAutoencoder(2, corruption_level=1e-6, max_epochs=0).fit(iris)
    np.testing.assert_allclose(denoiser.transform(iris), PCA(2).fit_transform(iris), atol=1e-6)


@pytest.mark.parametrize("paired", [False, True])
def test_denoiser_in_logit_space(digits, paired):
    X = digits[0]
    noisy = np.clip(X + 0.3 * np.random.default_rng(0).standard_normal(X.shape), 0, 1)
    options = {"likelihood": "bernoulli", "max_epochs": 0}
    model = DenoisingAutoencoder(10, corruption_level=1.0, **options)
    model.fit(noisy, X_clean=X) if paired else model.fit(X)

    def loss(model):
        p = np.clip(model.reconstruct(noisy), 1e-12, 1 - 1e-12)
        return -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1).mean()

    assert loss(model) < loss(AutoencoderTransformer(10, **options).fit(X))
    assert loss(model) < 0.9 * independent_bernoullis(X)


def test_bernoulli_vae_start_is_its_closed_form():
    """Around independent Bernoullis the ELBO is probabilistic PCA's, with unit noise."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((5_000, 1)) @ [[0.8, -0.6, 0.7, 0.5, 0.9]] + [
        0.4,
        0.1,
        -1.0,
        0,
        1,
    ]
    X = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    vae = VAETransformer(1, likelihood="bernoulli", max_epochs=0, random_state=0).fit(X)

    p = X.mean(axis=0)
    spread = np.sqrt(p * (1 - p))
    pca = PCA(1).fit((X - p) / spread)
    value, axis = pca.explained_variance_, pca.components_
    logits_of_one = np.log(np.divide(*(q := vae.inverse_transform([[1.0]]), 1 - q)))
    slope = logits_of_one - np.log(p / (1 - p))
    share = slope / (np.sqrt(value - 1) * axis / spread)  # how far the line search went
    np.testing.assert_allclose(share, share[0, 0], rtol=5e-3)
    assert 0.85 < share[0, 0] < 1.01
    weight = share[0, 0] * np.sqrt(value - 1)
    mean, std = vae.posterior(X)
    np.testing.assert_allclose(std**2, np.full((len(X), 1), 1 / (1 + weight**2)), rtol=1e-3)
    expected = pca.transform((X - p) / spread) * weight / (1 + weight**2)
    np.testing.assert_allclose(mean, expected, atol=1e-3)
    # With that posterior the ELBO is close to the evidence.
    assert -vae.validation_curve_[0] == pytest.approx(vae.score(X[:500]), abs=0.1)


def test_denoiser_in_logit_space_is_centred(digits):
    """Corruption that shifts the mean of a row does not shift what is made of it."""
    X = digits[0][:, 10:30]
    rng = np.random.default_rng(0)
    clean = np.tile(X, (50, 1))
    ends = np.where(rng.random(clean.shape) < 0.5, X.min(axis=0), X.max(axis=0))
    corrupted = np.where(rng.random(clean.shape) < 0.4, ends, clean)
    assert np.abs(corrupted.mean(axis=0) - X.mean(axis=0)).max() > 0.1
    options = {"corruption": "salt_and_pepper", "corruption_level": 0.4, "max_epochs": 0}
    q = DenoisingAutoencoder(5, likelihood="bernoulli", **options).fit(X).denoise(corrupted)
    p = (X.sum(axis=0) + 0.5) / (len(X) + 1)
    shift = (np.log(q / (1 - q)) - np.log(p / (1 - p))).mean(axis=0)
    np.testing.assert_allclose(shift, 0.0, atol=0.02)


@pytest.mark.parametrize("k", [2, 10])
def test_logit_pca_goes_as_far_as_helps(digits, k):
    X = digits[0]
    q = AutoencoderTransformer(k, likelihood="bernoulli", max_epochs=0).fit(X).reconstruct(X)
    p = (X.sum(axis=0) + 0.5) / (len(X) + 1)
    origin = np.log(p / (1 - p))
    q = np.clip(q, 1e-15, 1 - 1e-15)
    direction = np.log(q / (1 - q)) - origin

    def loss(step):
        logits = origin + step * direction
        return (np.logaddexp(0, logits) - X * logits).sum(axis=1).mean()

    assert loss(1.0) < min(loss(0.95), loss(1.05))
    assert loss(1.0) == pytest.approx(min(map(loss, np.linspace(0, 4, 401))), rel=1e-5)
