"""Counts: the distribution against scipy's, the start against PCA of Pearson residuals."""

import numpy as np
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats
from scipy.special import logsumexp
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer, ConditionalVAE, DenoisingAutoencoder, VAETransformer
from skae.likelihoods.poisson import Poisson, PoissonLikelihood


@pytest.fixture(scope="module")
def counts():
    """Counts of 12 features, whose rates bend with two numbers."""
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-1, 1, (2, 600))
    directions = 0.7 * rng.standard_normal((4, 12))
    return rng.poisson(np.exp(np.column_stack([u, v, u * v, u**2]) @ directions + 1.0)).astype(
        float
    )


def residuals(X):
    """Pearson residuals around independent features, none of which has a rate of 0."""
    mean = (len(X) * X.mean(axis=0) + 0.5) / (len(X) + 1)
    return (X - X.mean(axis=0)) / np.sqrt(mean)


def test_log_probabilities_are_those_of_scipy():
    log_rate = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.arange(15, dtype=torch.float64).reshape(5, 3)
    expected = stats.poisson.logpmf(x.numpy()[:, None], log_rate.exp().numpy()).sum(axis=2)
    crossed = Poisson(log_rate).cross_log_prob(x).numpy()
    np.testing.assert_allclose(crossed, expected, rtol=1e-12)
    np.testing.assert_allclose(Poisson(log_rate[:5]).log_prob(x), expected.diagonal(), rtol=1e-12)
    np.testing.assert_allclose(Poisson(log_rate[:5]).error(x), -expected.diagonal(), rtol=1e-12)


def test_losses_of_starts_are_those_of_scipy():
    x, log_rate = np.array([[0.0, 3.0, 7.0]]), np.array([[0.3, -1.0, 2.0]])
    likelihood = PoissonLikelihood()
    expected = -stats.poisson.logpmf(x, np.exp(log_rate)).sum(axis=1)
    np.testing.assert_allclose(likelihood.loss(x, log_rate), expected, rtol=1e-12)
    lowest = -stats.poisson.logpmf(x, x).sum(axis=1)
    np.testing.assert_allclose(likelihood.least(x), lowest, rtol=1e-12)


def test_draws_have_the_mean_and_the_variance_of_their_rate():
    rate = torch.tensor([0.5, 20.0]).expand(50_000, 2)
    drawn = Poisson(rate.log()).sample(torch.Generator().manual_seed(0))
    np.testing.assert_allclose(drawn.mean(dim=0), rate[0], rtol=0.02)
    np.testing.assert_allclose(drawn.var(dim=0), rate[0], rtol=0.03)


@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_the_start_is_pca_of_pearson_residuals(cls, counts):
    codes = cls(2, likelihood="poisson", max_epochs=0).fit_transform(counts)
    expected = PCA(2).fit_transform(residuals(counts))
    together = np.corrcoef(codes.T, expected.T)[:2, 2:]
    np.testing.assert_allclose(np.abs(together), np.eye(2), atol=1e-9)


def test_codes_of_the_start_are_scores_of_residuals(counts):
    codes = AutoencoderTransformer(2, likelihood="poisson", max_epochs=0).fit_transform(counts)
    expected = PCA(2).fit_transform(residuals(counts))
    np.testing.assert_allclose(np.abs(codes), np.abs(expected), rtol=1e-6, atol=1e-9)


def test_rates_of_the_start_are_linear_above_the_mean_and_positive(counts):
    model = AutoencoderTransformer(2, likelihood="poisson", max_epochs=0).fit(counts)
    pca = PCA(2).fit(residuals(counts))
    there = pca.inverse_transform(pca.transform(residuals(counts)))
    mean = (len(counts) * counts.mean(axis=0) + 0.5) / (len(counts) + 1)
    effect, relative = there / np.sqrt(mean), model.reconstruct(counts) / mean
    step = np.median((relative - 1)[effect > 0] / effect[effect > 0])
    expected = np.where(effect > 0, 1 + step * effect, np.exp(step * effect))
    np.testing.assert_allclose(relative, expected, rtol=1e-5)

    def loss(step):
        rates = mean * np.where(effect > 0, 1 + step * effect, np.exp(step * effect))
        return -stats.poisson.logpmf(counts, rates).sum()

    assert loss(step) < min(loss(0.98 * step), loss(1.02 * step))


def test_scores_are_log_likelihoods_by_quadrature(counts):
    """The bound of one latent, against Gauss-Hermite quadrature over it."""
    X = counts[:, :4]
    vae = VAETransformer(1, likelihood="poisson", max_epochs=20, random_state=0).fit(X)
    nodes, weights = hermegauss(60)
    rates = vae.inverse_transform(nodes[:, None])
    log_prob = stats.poisson.logpmf(X[:, None], rates).sum(axis=2)
    expected = logsumexp(log_prob, b=weights / weights.sum(), axis=1)
    np.testing.assert_allclose(vae.score_samples(X), expected, atol=0.01)


@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer, DenoisingAutoencoder])
def test_training_gains_on_rows_that_were_not_seen(cls, counts):
    options = {"likelihood": "poisson", "random_state": 0}
    start = cls(2, max_epochs=0, **options).fit(counts[:450])
    trained = cls(2, max_epochs=60, **options).fit(counts[:450])
    assert trained.score(counts[450:]) > start.score(counts[450:])


def test_draws_are_counts(counts):
    vae = VAETransformer(2, likelihood="poisson", max_epochs=0, random_state=0).fit(counts)
    drawn = vae.sample(500)
    assert (drawn >= 0).all()
    assert (drawn == drawn.round()).all()
    np.testing.assert_allclose(drawn.mean(axis=0), counts.mean(axis=0), rtol=0.25)


def test_counts_given_a_class(counts):
    y = np.repeat([0, 1], 300)
    X = counts + 5 * y[:, None]
    vae = ConditionalVAE(1, likelihood="poisson", max_epochs=0).fit(X, y)
    means = vae.inverse_transform(np.zeros((2, 1)), y=[0, 1])
    np.testing.assert_allclose(means, [X[:300].mean(axis=0), X[300:].mean(axis=0)], rtol=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_far_out_have_finite_reconstructions(counts, dtype):
    """The exponential of what is extrapolated would overflow."""
    X = counts.astype(dtype)
    model = AutoencoderTransformer(2, likelihood="poisson", max_epochs=0).fit(X)
    far = model.reconstruct(1000 * X[:20])
    assert far.dtype == dtype
    assert np.isfinite(far).all()


def test_missing_values_are_named_as_such(counts):
    fitted = VAETransformer(2, likelihood="poisson", max_epochs=0).fit(counts)
    X = counts.copy()
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fitted.score_samples(X)


def test_a_likelihood_that_is_no_dataclass_is_equal_to_itself_alone():
    class Mine(PoissonLikelihood):
        def __init__(self, level=1):
            object.__setattr__(self, "level", level)

    one = Mine(1)
    assert one == one
    assert one != Mine(2)
    assert PoissonLikelihood() == PoissonLikelihood()


@pytest.mark.parametrize("wrong", [-1.0, 0.5])
def test_other_numbers_are_refused(wrong, counts):
    X = counts.copy()
    X[7, 3] = wrong
    message = (
        rf"likelihood='poisson' needs whole numbers from 0; got {wrong:.6g} in row 7, column 3"
    )
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(2, likelihood="poisson").fit(X)
    fitted = VAETransformer(2, likelihood="poisson", max_epochs=0).fit(counts)
    with pytest.raises(ValueError, match="row 2, column 3 of X"):
        fitted.score_samples(X[5:9])
