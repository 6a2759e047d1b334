"""Counts that vary more than Poisson counts: against scipy, and PCA of standardised columns."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats
from scipy.special import logsumexp
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, VAETransformer
from skae.likelihoods.negative_binomial import NegativeBinomial, NegativeBinomialLikelihood

OPTIONS = {"likelihood": "negative_binomial", "random_state": 0}


@pytest.fixture(scope="module")
def counts():
    """Counts of 10 features, whose rates are lognormal and have noise from a gamma distribution."""
    rng = np.random.default_rng(0)
    rates = np.exp(rng.standard_normal((800, 2)) @ rng.uniform(-0.5, 0.5, (2, 10)) + 1.5)
    return rng.poisson(rates * rng.gamma(2.0, 0.5, rates.shape)).astype(float)


@pytest.fixture(scope="module")
def strong():
    """Counts of 4 features that one number determines, but for Poisson noise."""
    rng = np.random.default_rng(0)
    t = rng.standard_normal((800, 1))
    return rng.poisson(np.exp(t @ [[0.8, 0.9, -0.8, 0.7]] + 1.0)).astype(float)


def of_scipy(x, log_mean, log_size):
    size = np.exp(log_size)
    return stats.nbinom.logpmf(x, size, size / (size + np.exp(log_mean)))


def test_log_probabilities_are_those_of_scipy():
    generator = torch.Generator().manual_seed(0)
    log_mean, log_size = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((7, 3), (3,))
    )
    x = torch.arange(15, dtype=torch.float64).reshape(5, 3)
    expected = of_scipy(x.numpy()[:, None], log_mean.numpy(), log_size.numpy()).sum(axis=2)
    crossed = NegativeBinomial(log_mean, log_size).cross_log_prob(x)
    np.testing.assert_allclose(crossed, expected, rtol=1e-10)
    rows = NegativeBinomial(log_mean[:5], log_size)
    np.testing.assert_allclose(rows.log_prob(x), expected.diagonal(), rtol=1e-10)
    seen = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64).expand(5, 3)
    each = of_scipy(x.numpy(), log_mean[:5].numpy(), log_size.numpy())
    np.testing.assert_allclose(rows.log_prob(x, seen), each[:, ::2].sum(axis=1), rtol=1e-10)
    crossed = NegativeBinomial(log_mean, log_size).cross_log_prob(x, seen)
    np.testing.assert_allclose(crossed.diagonal(), each[:, ::2].sum(axis=1), rtol=1e-10)


def test_loss_of_starts_is_that_of_scipy():
    x, log_mean = np.array([[0.0, 3.0, 7.0]]), np.array([[0.3, -1.0, 2.0]])
    dispersion = np.array([0.5, 2.0, 1.0])
    likelihood = NegativeBinomialLikelihood(dispersion=dispersion)
    expected = -of_scipy(x, log_mean, -np.log(dispersion)).sum(axis=1)
    np.testing.assert_allclose(likelihood.loss(x, log_mean), expected, rtol=1e-12)


def test_derivatives_are_those_of_the_log_probability():
    log_mean = torch.tensor([0.4, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    log_size = torch.tensor([0.1, -0.7, 1.5], dtype=torch.float64)
    x = torch.tensor([0.0, 2.0, 9.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(NegativeBinomial(log_mean, log_size).log_prob(x), log_mean)
    score, information = NegativeBinomial(log_mean, log_size).derivatives(x)
    torch.testing.assert_close(score, gradient)
    for j in range(3):  # the Fisher information is the variance of the score
        values = np.arange(3000.0)
        mean, size = log_mean[j].exp().item(), log_size[j].exp().item()
        chance = stats.nbinom.pmf(values, size, size / (size + mean))
        scores = (values - mean) * size / (size + mean)
        assert information[j].item() == pytest.approx(chance @ scores**2, rel=1e-8)


def test_draws_have_their_mean_and_variance():
    log_mean = torch.tensor([0.5, 20.0]).log().expand(100_000, 2)
    drawn = NegativeBinomial(log_mean, torch.tensor([1.0, 0.5]).log())
    drawn = drawn.sample(torch.Generator().manual_seed(0))
    np.testing.assert_allclose(drawn.mean(dim=0), [0.5, 20.0], rtol=0.03)
    np.testing.assert_allclose(drawn.var(dim=0), [0.75, 820.0], rtol=0.05)


@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_start_is_pca_of_standardised_columns(cls, counts):
    """A feature with variance m + a m^2 has scores that are divided by that variance's root."""
    codes = cls(2, max_epochs=0, **OPTIONS).fit_transform(counts)
    assert (counts.var(axis=0) > counts.mean(axis=0)).all()
    expected = PCA(2).fit_transform(StandardScaler().fit_transform(counts))
    together = np.corrcoef(codes.T, expected.T)[:2, 2:]
    np.testing.assert_allclose(np.abs(together), np.eye(2), atol=1e-9)


def test_without_codes_it_is_the_fit_of_moments(counts):
    model = VAETransformer(0, max_epochs=0, **OPTIONS).fit(counts)
    mean = counts.mean(axis=0)
    size = mean**2 / (counts.var(axis=0, ddof=1) - mean)
    expected = stats.nbinom.logpmf(counts, size, size / (size + mean)).sum(axis=1)
    np.testing.assert_allclose(model.score_samples(counts), expected, rtol=1e-9)


def test_probabilities_sum_to_1(strong):
    vae = VAETransformer(1, max_epochs=20, **OPTIONS).fit(strong[:, :2])
    grid = np.stack(np.meshgrid(np.arange(200.0), np.arange(200.0)), axis=-1).reshape(-1, 2)
    assert np.exp(vae.score_samples(grid)).sum() == pytest.approx(1.0, abs=0.02)


def test_scores_are_log_likelihoods_by_quadrature(strong):
    vae = VAETransformer(1, max_epochs=20, **OPTIONS).fit(strong)
    assert vae.best_epoch_ > 0
    nodes, weights = hermegauss(80)
    log_mean = np.log(vae.inverse_transform(nodes[:, None]))
    log_size = vae.net_.module_.head.log_size().detach().double().numpy()
    log_prob = of_scipy(strong[:, None], log_mean, log_size).sum(axis=2)
    expected = logsumexp(log_prob, b=weights / weights.sum(), axis=1)
    np.testing.assert_allclose(vae.score_samples(strong), expected, atol=0.01)


def test_higher_likelihood_than_poisson_and_than_the_start(counts):
    train, test = counts[:600], counts[600:]
    start = VAETransformer(2, max_epochs=0, **OPTIONS).fit(train)
    trained = VAETransformer(2, **OPTIONS).fit(train)
    poisson = VAETransformer(2, likelihood="poisson", random_state=0).fit(train)
    assert trained.score(test) >= start.score(test)
    assert trained.score(test) > poisson.score(test) + 1.0
    drawn = trained.sample(4000, random_state=0)
    assert (drawn == np.round(drawn)).all()
    assert (drawn >= 0).all()
    np.testing.assert_allclose(drawn.var(axis=0), counts.var(axis=0), rtol=0.5)


def test_in_chunks_and_with_random_weights(counts):
    model = VAETransformer(2, **OPTIONS)
    for rows in np.array_split(counts, 2):
        model.partial_fit(rows)
    assert np.isfinite(model.score(counts))
    model = VAETransformer(2, init="random", max_epochs=3, **OPTIONS).fit(counts)
    assert np.isfinite(model.score(counts))


def test_columns_of_a_table(counts):
    frame = pd.DataFrame(counts[:, :3].astype(int), columns=["a", "b", "c"])
    frame["kind"] = np.where(counts[:, 3] > 4, "many", "few")
    frame.loc[::7, "a"] = np.nan
    likelihood = {"a": "negative_binomial", "b": "negative_binomial", "c": "poisson"}
    start = VAETransformer(2, likelihood=likelihood, max_epochs=0, random_state=0).fit(frame)
    assert start.likelihoods_["a"] == "negative_binomial"
    drawn = start.sample(2000, random_state=0)
    assert (drawn["b"] >= 0).all()
    np.testing.assert_allclose(drawn["b"].mean(), frame["b"].mean(), rtol=0.1)
    np.testing.assert_allclose(drawn["b"].var(), frame["b"].var(), rtol=0.35)
    assert not start.impute(frame)["a"].isna().any()
    alone = VAETransformer(0, likelihood=likelihood, max_epochs=0).fit(frame[["b", "a", "c"]])
    mean, variance = frame["b"].mean(), frame["b"].var()
    size = mean**2 / (variance - mean)
    other = frame[["b", "a", "c"]].assign(a=np.nan, c=0)
    scores = alone.score_samples(other) - alone.score_samples(other.assign(b=3))
    expected = stats.nbinom.logpmf(frame["b"], size, size / (size + mean))
    expected = expected - stats.nbinom.logpmf(3, size, size / (size + mean))
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-9)
    with pytest.raises(ValueError, match=r"'negative_binomial' needs numbers.*column 'kind'"):
        VAETransformer(2, likelihood={"kind": "negative_binomial"}).fit(frame)


def test_other_numbers_are_refused(counts):
    with pytest.raises(ValueError, match="likelihood='negative_binomial' needs whole numbers"):
        VAETransformer(2, **OPTIONS).fit(counts + 0.5)
