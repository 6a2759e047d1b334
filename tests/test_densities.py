"""What the density of a VAE is made of: its decoder, probabilistic PCA, factor analysis."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from _vae import part_of
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import scale

from skae import ConditionalVAE, VAETransformer
from skae.data.table import Table
from skae.density.classical import log_evidence, without
from skae.density.mixture import likeliest_shares, mixed
from skae.starts.factor_analysis import factor_analysis, has_factors, with_noise
from skae.starts.probabilistic_pca import probabilistic_pca


@pytest.fixture(scope="module")
def factors():
    """600 rows of 12 features with very different noises around 3 factors, in odd units."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 3)) @ rng.standard_normal((3, 12))
    return 7.0 * (X + np.geomspace(0.5, 5.0, 12) * rng.standard_normal(X.shape)) - 30.0


def exact_factor_analysis(k, X):
    return FactorAnalysis(k, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(X)


def log_volume(table):
    """What turns a log-density of standardised rows into one of X."""
    return -len(table.mean) * np.log(table.scale)


def test_density_around_a_mean_of_its_own(factors):
    table = Table.of(factors)
    start = probabilistic_pca(table, 3)
    shift, x = np.linspace(-1.0, 1.0, 12), table.standard(factors)
    moved = replace(start, encoder_bias=-shift @ start.encoder, decoder_bias=shift)
    expected = log_evidence(start, x)
    np.testing.assert_allclose(log_evidence(moved, x + shift), expected)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_density_of_probabilistic_pca(factors, k):
    table = Table.of(factors)
    start = probabilistic_pca(table, k)
    found = log_evidence(start, table.standard(factors)) + log_volume(table)
    np.testing.assert_allclose(found, PCA(k).fit(factors).score_samples(factors), rtol=1e-10)


def test_density_of_factor_analysis(factors):
    table = Table.of(factors)
    start = probabilistic_pca(table, 3)
    found = factor_analysis(table, start)
    reference = exact_factor_analysis(3, factors)
    noise = found.noise_variance * table.scale**2
    np.testing.assert_allclose(noise, reference.noise_variance_, rtol=0.02)
    log_density = log_evidence(found, table.standard(factors)) + log_volume(table)
    np.testing.assert_allclose(log_density, reference.score_samples(factors), atol=0.02)
    assert log_density.mean() == pytest.approx(reference.score(factors), abs=1e-5)
    # It is the density of a normal distribution with this covariance.
    covariance = found.decoder.T @ found.decoder + np.diag(found.noise_variance)
    exact = multivariate_normal(np.zeros(12), covariance).logpdf(table.standard(factors))
    np.testing.assert_allclose(log_density - log_volume(table), exact, rtol=1e-10)


@pytest.mark.parametrize(("load", "k"), [(load_iris, 2), (load_wine, 5)])
def test_factor_analysis_is_the_likeliest_of_several_maxima(load, k):
    X = scale(load().data)
    variances = np.sort(np.linalg.eigvalsh(np.cov(X.T, bias=True)))[::-1]
    equal = np.full(X.shape[1], variances[k:].mean())
    # What the other features do not tell of each.
    alone = 1.0 / np.linalg.inv(np.cov(X.T, bias=True)).diagonal()
    options = {"tol": 1e-5, "max_iter": 20_000, "svd_method": "lapack"}
    scores = [
        FactorAnalysis(k, noise_variance_init=begin, **options).fit(X).score(X)
        for begin in (equal, alone)
    ]
    assert abs(scores[0] - scores[1]) > 0.004  # EM ends in different places
    table = Table.of(X)
    found = factor_analysis(table, probabilistic_pca(table, k))
    log_density = log_evidence(found, table.standard(X)) + log_volume(table)
    assert log_density.mean() >= max(scores) - 1e-3


def test_least_noise_of_factor_analysis(factors):
    X = np.column_stack([factors, np.full(600, 3.0), factors[:, :2]])
    table = Table.of(X)
    start = probabilistic_pca(table, 3)
    found = factor_analysis(table, start)
    assert found.noise_variance.min() == pytest.approx(1e-12)
    assert np.isfinite(log_evidence(found, table.standard(X))).all()


def test_densities_of_rows_that_were_left_out(factors):
    table = Table.of(factors)
    rows, others = factors[:90], factors[90:]
    start = probabilistic_pca(table, 3)
    found = without(table, start, *2 * [table.standard(rows)])
    of_pca, of_factors = np.add(found, log_volume(table))
    # Over the number of rows, as maximum likelihood has it, not over one less.
    covariance = PCA(3).fit(others).get_covariance() * (509 / 510)
    exact = multivariate_normal(others.mean(axis=0), covariance).logpdf(rows)
    np.testing.assert_allclose(of_pca, exact, rtol=1e-9)
    reference = exact_factor_analysis(3, others)
    np.testing.assert_allclose(of_factors, reference.score_samples(rows), atol=0.03)


def test_rows_left_out_may_be_all_that_varies():
    X = np.random.default_rng(0).standard_normal((80, 4))
    X[1:, 3] = 0.0
    X[0, 3] = 5.0
    table = Table.of(X)
    start = probabilistic_pca(table, 3)
    found = without(table, start, *2 * [table.standard(X[:1])])
    assert np.isfinite(found).all()
    assert np.max(found) < -1e3


def test_codes_of_less_variance_than_noise():
    X = np.random.default_rng(0).standard_normal((40, 8)) * np.arange(1, 9)
    table = Table.of(X)
    found = factor_analysis(table, probabilistic_pca(table, 7))
    log_density = log_evidence(found, table.standard(X)) + log_volume(table)
    assert log_density.mean() >= PCA(7).fit(X).score(X) - 1e-3
    covariance = np.full((3, 3), 0.1) + 0.9 * np.eye(3)
    found = with_noise(replace(found, mean=np.zeros(3)), covariance, np.full(3, 2.0))
    assert (found.log_variance == 0.0).all()  # nothing is left for codes to explain
    assert (found.decoder == 0.0).all()


def test_likeliest_shares():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(500) < 0.3, rng.standard_normal(500), 2 + rng.standard_normal(500))
    log_densities = norm.logpdf(x, np.array([[0.0], [2.0]]))

    def loss(share):  # half a row more in each
        mixture = mixed(log_densities, [share, 1 - share])
        return -mixture.sum() - 0.5 * np.log(share * (1 - share))

    best = minimize_scalar(loss, bounds=(1e-6, 1 - 1e-6), method="bounded").x
    shares = likeliest_shares(log_densities)
    np.testing.assert_allclose(shares, [best, 1 - best], atol=1e-4)
    assert best == pytest.approx(0.3, abs=0.07)
    never = np.vstack([log_densities[:1], np.full((1, 500), -np.inf)])
    np.testing.assert_allclose(likeliest_shares(never), np.array([500.5, 0.5]) / 501)


def test_mixture_does_not_underflow():
    found = mixed(np.array([[-5000.0], [-6000.0]]), [0.25, 0.75])
    assert found == pytest.approx(-5000 + np.log(0.25))


@pytest.fixture(scope="module")
def trained(factors):
    X = factors[:400]
    return VAETransformer(3, max_epochs=30, random_state=0).fit(X), X


def test_the_density_is_the_mixture_of_its_parts(trained, factors):
    vae, X = trained
    shares = vae.density_shares_
    assert list(shares) == ["decoder", "probabilistic_pca", "factor_analysis"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["factor_analysis"] > 0.3  # it made them
    pca, factor = PCA(3).fit(X), exact_factor_analysis(3, X)
    parts = [model.score_samples(factors) for model in (part_of(vae, "decoder"), pca, factor)]
    mixture = logsumexp(parts, axis=0, b=np.array(list(shares.values()))[:, None])
    np.testing.assert_allclose(vae.score_samples(factors), mixture, atol=0.02)
    copy = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(copy.score_samples(factors), vae.score_samples(factors))
    np.testing.assert_array_equal(copy.sample(50), vae.sample(50))


def test_vae_is_no_worse_than_factor_analysis_or_pca(trained, factors):
    vae, X = trained
    for reference in (FactorAnalysis(3), PCA(3)):
        assert vae.score(factors[400:]) > reference.fit(X).score(factors[400:]) - 0.05


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_vae_is_no_worse_than_factor_analysis_where_features_are_sums(unit):
    Z = np.random.default_rng(0).standard_normal((600, 6))
    X = np.column_stack([Z, Z[:, 0] + Z[:, 1], Z[:, 2] - Z[:, 3]])
    X /= X.std(axis=0)
    vae = VAETransformer(4, max_epochs=2, random_state=0).fit(unit * X[:400])
    nats = vae.score(unit * X[400:]) + 8 * np.log(unit)
    assert nats > FactorAnalysis(4).fit(X[:400]).score(X[400:]) - 0.05


def test_draws_are_from_the_density(trained):
    """The mean of another density over this one is 1, whatever the other is."""
    vae, X = trained
    drawn = vae.sample(8_000, random_state=1)
    for factor in (0.6, 0.8):
        other = multivariate_normal(X.mean(axis=0), factor * np.cov(X.T))
        ratio = np.exp(other.logpdf(drawn) - vae.score_samples(drawn))
        assert ratio.mean() == pytest.approx(1.0, abs=4 * ratio.std() / np.sqrt(len(drawn)))


@pytest.mark.parametrize(
    ("parameters", "shares"),
    [
        ({"max_epochs": 0}, [1.0]),
        ({"validation_fraction": None, "max_epochs": 2}, [600 / 601, 1 / 601]),
    ],
    ids=["no training", "no held-out rows"],
)
def test_shares_that_nothing_is_learned_of(factors, parameters, shares):
    vae = VAETransformer(3, random_state=0, **parameters).fit(factors)
    assert list(vae.density_shares_.values()) == pytest.approx(shares)


def test_shares_of_chunks_wide_tables_conditions_and_probabilities(factors, digits):
    vae = VAETransformer(3, random_state=0).partial_fit(factors).partial_fit(factors)
    assert list(vae.density_shares_) == ["decoder", "probabilistic_pca"]
    vae.set_params(max_epochs=2).fit(factors)
    assert len(vae.density_shares_) == 3
    vae.fit(np.random.default_rng(0).standard_normal((100, 130)))
    assert list(vae.density_shares_) == ["decoder", "probabilistic_pca"]
    assert np.isfinite(vae.score_samples(np.full((2, 130), 50.0))).all()
    vae.set_params(likelihood="bernoulli").fit(digits[0][:200])
    assert vae.density_shares_ == {"decoder": 1.0}
    model = ConditionalVAE(3, max_epochs=5, random_state=0).fit(factors, np.arange(600) % 2)
    assert list(model.density_shares_) == ["decoder", "probabilistic_pca"]


def test_a_row_far_out_costs_no_more_than_its_share_says(bent):
    X = np.column_stack([bent, np.zeros(400)])
    X[:, 6] += 1e-3 * np.random.default_rng(0).standard_normal(400)
    far = X[:20].copy()
    far[:, 6] = np.linspace(-9, 9, 20)
    vae = VAETransformer(2, random_state=0).fit(X)
    assert vae.best_epoch_ > 0
    pca = PCA(2).fit(X)
    least = pca.score_samples(far) + np.log(vae.density_shares_["probabilistic_pca"])
    score = vae.score_samples(far)
    assert (score > least - 1e-6).all()
    alone = part_of(vae, "decoder").score_samples(far)
    assert (alone[[0, -1]] < least[[0, -1]] - 1000).all()


def test_conditions_are_in_the_share_of_probabilistic_pca(bent):
    """Far out, what is left of the density of a row is that of PCA around its class."""
    y = np.arange(400) % 2
    X = bent + 4.0 * y[:, None]
    X[:, 5] *= 1e-3
    model = ConditionalVAE(2, random_state=0).fit(X, y)
    start = ConditionalVAE(2, max_epochs=0).fit(X, y)
    far = X[:10].copy()
    far[:, 5] += 3.0
    share = model.density_shares_["probabilistic_pca"]
    expected = start.score_samples(far, y[:10]) + np.log(share)
    np.testing.assert_allclose(model.score_samples(far, y[:10]), expected, rtol=1e-6)


def test_a_decoder_that_is_pca_has_as_large_a_share_as_pca(factors):
    vae = VAETransformer(3, max_epochs=1, lr=1e-12, random_state=0).fit(factors)
    assert vae.n_code_components_ == 0  # codes of these rows are normal
    shares = vae.density_shares_
    assert shares["decoder"] == pytest.approx(shares["probabilistic_pca"], rel=0.1)
    assert shares["factor_analysis"] > 0.5


def test_where_a_density_overflows_the_others_have_all_of_it(bent):
    vae = VAETransformer(2, max_epochs=15, random_state=0).fit(bent)
    far = np.array([[1e4, -1e4, 1e4, 1e4, -1e4, 1e4]])
    expected = PCA(2).fit(bent).score_samples(far) + np.log(
        vae.density_shares_["probabilistic_pca"]
    )
    assert vae.score_samples(far) >= expected - 1e-6 * np.abs(expected)
    assert vae.score_samples(1e160 * far) < -1e100
    log_densities = np.array([[np.nan, -1.0], [-2.0, np.nan]])
    found = mixed(log_densities, [0.75, 0.25])
    np.testing.assert_allclose(found, [-2 + np.log(0.25), -1 + np.log(0.75)])
    assert np.isfinite(likeliest_shares(log_densities)).all()


@pytest.mark.parametrize("parameters", [{"max_epochs": 0}, {"max_epochs": 3}])
def test_a_warm_start_keeps_a_share_for_rows_far_out(bent, parameters):
    options = {"max_epochs": 10, "batch_size": 16, "random_state": 0, "warm_start": True}
    vae = VAETransformer(2, **options).fit(bent)
    other = bent[:200] + 5.0
    vae.set_params(**parameters).fit(other)
    shares = list(vae.density_shares_.values())
    assert shares == pytest.approx([200 / 201, 1 / 201])
    pca = PCA(2).fit(bent)
    assert (vae.score_samples(other) > pca.score_samples(other) - np.log(201) - 1e-6).all()


def test_a_warm_start_goes_on_with_the_density_of_a_fit(factors):
    vae = VAETransformer(3, max_epochs=10, random_state=0, warm_start=True).fit(factors)
    shares, before = vae.density_shares_, vae.score_samples(factors)
    assert shares["factor_analysis"] > 0.1
    vae.set_params(max_epochs=0).fit(factors)
    np.testing.assert_array_equal(vae.score_samples(factors), before)
    vae.set_params(max_epochs=2).fit(factors[:300])
    assert vae.density_shares_ == shares


@pytest.mark.parametrize("init", ["pca", "random"])
def test_epochs_are_judged_with_the_share_of_the_start(init):
    """So that a row costs minus the logarithm of that at most, where noise becomes small."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 1)) * np.ones(6) + 0.05 * rng.standard_normal((400, 6))
    beside = [[5.0, -5.0] * 3]
    vae = VAETransformer(1, init=init, max_epochs=20, lr=0.01, random_state=0).fit(X, X_val=beside)
    most = np.max(vae.validation_curve_ - vae.validation_curve_[0])
    if init == "pca":
        assert most == pytest.approx(np.log(401))
    else:  # which is no density to have a share
        assert most > 100.0


def test_the_share_of_chunks_is_by_all_of_their_rows(bent):
    vae = VAETransformer(2, random_state=0)
    for rows in (bent[:50], bent[50:150], bent[150:]):
        vae.partial_fit(rows)
    assert vae.density_shares_["probabilistic_pca"] == pytest.approx(1 / 401)


def test_a_chunk_keeps_the_shares_of_a_fit(bent):
    vae = VAETransformer(2, max_epochs=5, random_state=0).fit(bent)
    shares = vae.density_shares_
    assert vae.partial_fit(bent[:100]).density_shares_ == shares
    assert len(shares) == 3


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
def test_a_random_start_has_no_share(bent):
    vae = VAETransformer(2, init="random", max_epochs=2, random_state=0).fit(bent)
    assert vae.density_shares_ == {"decoder": 1.0}


@pytest.mark.parametrize(
    ("shape", "k", "found"),
    [
        ((200, 128), 3, True),
        ((200, 129), 3, False),
        ((60, 100), 3, False),
        ((200, 5), 4, True),
        ((200, 5), 5, False),
    ],
    ids=["narrow", "wide", "wider than long", "one left", "none left"],
)
def test_tables_that_have_factor_analysis(shape, k, found):
    table = Table.of(np.random.default_rng(0).standard_normal(shape))
    assert has_factors(table, probabilistic_pca(table, k)) == found


def test_no_factor_analysis_where_codes_leave_nothing(iris):
    X = np.column_stack([iris, iris])
    vae = VAETransformer(4, random_state=0, max_epochs=2).fit(X)
    assert "factor_analysis" not in vae.density_shares_
    assert np.isfinite(vae.score_samples(X)).all()


def test_a_decoder_gains_nothing_by_rows_that_its_start_has_seen():
    """A decoder that has learned nothing is PCA, and has as large a share of the density."""
    X = np.random.default_rng(0).standard_normal((60, 12)) * np.linspace(3, 1, 12)
    vae = VAETransformer(4, max_epochs=1, lr=1e-12, random_state=0).fit(X)
    shares = vae.density_shares_
    assert shares["decoder"] == pytest.approx(shares["probabilistic_pca"], rel=0.02)
