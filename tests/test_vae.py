"""Densities, posteriors and latents of the VAE."""

import pickle

import numpy as np
import pytest
import torch
from _vae import decoded, part_of, standardised, unit
from scipy import integrate, special, stats
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from skae import VAETransformer
from skae.density.evidence import Proposal, evidence_bounds
from skae.nn.fitted import inference_module
from skae.points import normal_points

GRID = np.linspace(-7, 7, 281)


def log_evidence_by_integration(vae, X):
    """log p(x) by summing p(x | z) p(z) over a fine grid of one or two latents."""
    axes = np.meshgrid(*[GRID] * vae.latent_dim_)
    codes = np.column_stack([axis.ravel() for axis in axes])
    log_prior = stats.norm.logpdf(codes).sum(axis=1) + vae.latent_dim_ * np.log(GRID[1] - GRID[0])
    mean, std = decoded(vae, codes)
    return np.array(
        [special.logsumexp(stats.norm.logpdf(x, mean, std).sum(axis=1) + log_prior) for x in X]
    )


ignore_collapse = pytest.mark.filterwarnings("ignore:.*latents have collapsed")


@pytest.fixture(scope="module", params=[1, 2])
def trained(request, bent):
    """A VAE that is far from its start."""
    vae = VAETransformer(request.param, random_state=0).fit(bent)
    assert vae.best_epoch_ > 50
    return vae


def test_score_samples_against_integration(trained, bent):
    exact = log_evidence_by_integration(trained, bent[:40])
    bound = part_of(trained, "decoder").score_samples(bent[:40])
    assert bound.mean() == pytest.approx(exact.mean(), abs=0.02)
    assert np.median(np.abs(bound - exact)) < 0.02
    assert (bound - exact).max() < 0.3  # an estimate of a bound may be above for a row


def test_score_samples_is_tighter_than_the_elbo(trained, bent):
    assert -trained.validation_curve_[trained.best_epoch_] < trained.score(bent) + 0.5
    elbo = -elbo_loss(trained, bent)
    exact = log_evidence_by_integration(trained, bent[:40]).mean()
    assert elbo[:40].mean() < trained.score_samples(bent[:40]).mean()
    assert trained.score_samples(bent[:40]).mean() < exact + 0.02


def elbo_loss(vae, X):
    """Minus the ELBO from posterior, decoder and noise alone, by Gauss-Hermite sampling."""
    rng = np.random.default_rng(0)
    module, _ = inference_module(vae.net_, np.float64)
    posterior = module.encode(standardised(vae, X))
    mean, std = posterior.mean.detach().numpy(), posterior.std.detach().numpy()
    total = np.zeros(len(X))
    for _ in range(200):
        x, noise = decoded(vae, mean + std * rng.standard_normal(mean.shape))
        total += stats.norm.logpdf(X, x, noise).sum(axis=1) / 200
    kl = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
    return kl.sum(axis=1) - total


def test_training_minimises_minus_the_elbo(bent):
    vae = VAETransformer(2, random_state=0, validation_fraction=None, max_epochs=40).fit(bent)
    assert vae.loss_curve_[-1] == pytest.approx(elbo_loss(vae, bent).mean(), abs=0.3)
    X, X_val = 1000 * bent[:300], 1000 * bent[300:]
    vae = VAETransformer(2, random_state=0, max_epochs=40).fit(X, X_val=X_val)
    best = vae.validation_curve_[vae.best_epoch_]
    assert best == pytest.approx(elbo_loss(vae, X_val).mean(), abs=0.3)


def test_density_of_a_trained_model_integrates_to_one():
    rng = np.random.default_rng(0)
    u = rng.uniform(-2, 2, 500)
    X = np.column_stack([u, 0.5 * u**2]) + 0.2 * rng.standard_normal((500, 2))
    vae = VAETransformer(1, random_state=0).fit(X)
    assert vae.best_epoch_ > 50
    x, y = np.linspace(-5, 5, 101), np.linspace(-3, 6, 91)
    grid = np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])
    density = np.exp(vae.score_samples(grid)).reshape(91, 101)
    total = integrate.trapezoid(integrate.trapezoid(density, x), y)
    assert total == pytest.approx(1.0, abs=0.02)


def test_binary_probabilities_sum_to_one():
    rng = np.random.default_rng(0)
    X = (rng.random((300, 1)) < 0.5) ^ (rng.random((300, 4)) < 0.1)
    vae = VAETransformer(1, likelihood="bernoulli", random_state=0).fit(X)
    every = np.array([[i >> b & 1 for b in range(4)] for i in range(16)], dtype=float)
    assert np.exp(vae.score_samples(every)).sum() == pytest.approx(1.0, abs=0.02)


def test_density_is_in_the_units_of_x(bent):
    small = VAETransformer(2, random_state=0, max_epochs=20).fit(bent)
    large = VAETransformer(2, random_state=0, max_epochs=20).fit(1000 * bent)
    shift = 6 * np.log(1000)
    assert large.score(1000 * bent) == pytest.approx(small.score(bent) - shift, abs=0.05)
    np.testing.assert_allclose(large.noise_variance_, 1e6 * small.noise_variance_, rtol=0.02)


def test_score_does_not_depend_on_beta_or_batches(bent):
    vae = VAETransformer(2, random_state=0, max_epochs=20).fit(bent)
    score = vae.score(bent)
    vae.set_params(beta=7.0, batch_size=3)
    assert vae.score(bent) == score


@ignore_collapse
def test_larger_beta_means_less_kl(bent):
    kl = [
        VAETransformer(2, beta=beta, random_state=0, max_epochs=40, validation_fraction=None).fit(
            bent
        )
        for beta in (0.3, 1.0, 3.0)
    ]
    kl = [vae.kl_per_latent_.sum() for vae in kl]
    assert kl[0] > 1.1 * kl[1] > 1.2 * kl[2]


@ignore_collapse
def test_beta_warmup_rises_to_beta(bent):
    class Watch(Callback):
        seen = []

        def on_batch_begin(self, net, training, **kwargs):
            self.seen += [net.module_.warmup] * training

    Watch.seen.clear()
    options = {"max_epochs": 6, "batch_size": 400, "random_state": 0, "callbacks": [Watch]}
    VAETransformer(2, beta_warmup=4, **options).fit(bent)
    assert Watch.seen == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    plain = VAETransformer(2, init="random", **options).fit(bent)
    warmed = VAETransformer(2, init="random", beta_warmup=6, **options).fit(bent)
    assert warmed.loss_curve_[0] < plain.loss_curve_[0]
    assert warmed.validation_curve_[0] == plain.validation_curve_[0]


def test_posterior(trained, bent):
    mean, std = trained.posterior(bent)
    assert mean.shape == std.shape == (400, trained.latent_dim_)
    np.testing.assert_array_equal(mean, trained.transform(bent))
    assert (std > 0).all()
    assert (std < 1.5).all()
    # On average over rows the posterior is the prior.
    np.testing.assert_allclose(mean.mean(axis=0), 0.0, atol=0.2)
    np.testing.assert_allclose(mean.var(axis=0) + (std**2).mean(axis=0), 1.0, atol=0.3)


def test_kl_per_latent_is_that_of_the_posterior(trained, bent):
    mean, std = trained.posterior(bent)
    kl = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
    np.testing.assert_allclose(trained.kl_per_latent_, kl.mean(axis=0), rtol=1e-5)
    assert trained.n_active_latents_ == trained.latent_dim_


def test_collapsed_latents_are_announced():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 1)) @ np.ones((1, 6)) + 0.5 * rng.standard_normal((500, 6))
    with pytest.warns(ConvergenceWarning, match="of 3 latents have collapsed.*smaller beta"):
        vae = VAETransformer(3, beta=10.0, validation_fraction=None, random_state=0).fit(X)
    assert vae.n_active_latents_ == (vae.kl_per_latent_ > 0.01).sum() < 3


def test_constant_and_duplicated_columns_have_a_finite_density(bent):
    X = np.column_stack([bent, np.full(400, 3.0), bent[:, :2]])
    vae = VAETransformer(2, random_state=0).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    assert (vae.noise_variance_ > 0).all()
    start = VAETransformer(2, random_state=0, max_epochs=0).fit(X)
    assert vae.noise_variance_[6] >= 0.999e-6 * start.noise_variance_[6]
    assert vae.score(X) > start.score(X)


def test_noise_falls_at_most_to_a_millionth_of_that_of_the_start(bent):
    model = VAETransformer(2, max_epochs=0).fit(bent)
    module, _ = inference_module(model.net_, np.float64)
    before = module.head.log_std().detach()
    torch.nn.init.constant_(module.head.log_ratio, -50.0)
    ratio = (module.head.log_std().detach() - before).exp()
    np.testing.assert_allclose(ratio**2, 1e-6)


@ignore_collapse
def test_a_table_of_low_rank_has_a_finite_density(iris):
    X = np.column_stack([iris, iris])
    scores = VAETransformer(5, random_state=0, max_epochs=5).fit(X).score_samples(X)
    assert np.isfinite(scores).all()


def test_log_likelihood_beats_pca_on_held_out_rows(bent):
    vae = VAETransformer(2, random_state=0).fit(bent[:300])
    assert vae.score(bent[300:]) > PCA(2).fit(bent[:300]).score(bent[300:]) + 0.5


def test_sample_with_and_without_noise(bent):
    vae = part_of(VAETransformer(2, random_state=0).fit(bent), "decoder")
    noise = vae.sample(4000, random_state=3) - vae.sample(4000, random_state=3, add_noise=False)
    assert vae.noise_varies_
    _, of_rows = decoded(vae, np.random.default_rng(0).standard_normal((4000, 2)))
    np.testing.assert_allclose(noise.var(axis=0), np.square(of_rows).mean(axis=0), rtol=0.1)


def test_bernoulli_samples_are_zeros_and_ones(digits):
    vae = VAETransformer(3, likelihood="bernoulli", random_state=0, max_epochs=3).fit(digits[0])
    drawn = vae.sample(500)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    p = vae.sample(500, add_noise=False)
    assert 0 <= p.min() < p.max() <= 1
    np.testing.assert_allclose(drawn.mean(axis=0), p.mean(axis=0), atol=0.1)
    assert not hasattr(vae, "noise_variance_")


def test_draws_are_standard_normal():
    points = normal_points(128, 3).numpy()
    np.testing.assert_allclose(points.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cov(points.T), np.eye(3), atol=0.12)
    np.testing.assert_array_equal(points, normal_points(128, 3).numpy())


def decoded_codes(vae, X):
    """The number of codes that `score_samples` decodes."""
    module, _ = inference_module(vae.net_, np.float64)
    decoded, layer = [], module.decoder.output
    hook = layer.register_forward_hook(lambda layer, x, out: decoded.append(out[..., 0].numel()))
    vae.score_samples(X)
    hook.remove()
    return sum(decoded)


@ignore_collapse
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson"])
def test_a_row_costs_few_decoded_codes(bent, likelihood):
    X = {
        "gaussian": bent,
        "bernoulli": (bent > 0).astype(float),
        "poisson": (4 * np.exp(bent)).round(),
    }[likelihood]
    options = {"likelihood": likelihood, "random_state": 0}
    vae = VAETransformer(2, max_epochs=20, **options).fit(X)
    assert vae.best_epoch_ > 0
    loaded = pickle.loads(pickle.dumps(vae))
    first, again = decoded_codes(loaded, X), decoded_codes(loaded, X)
    assert first == again + 2048  # draws from the prior are decoded once
    assert again < (40 if likelihood == "gaussian" else 75) * len(X)
    if likelihood == "gaussian":
        assert decoded_codes(VAETransformer(2, max_epochs=0).fit(X), X) == 2 * len(X)


@ignore_collapse
def test_cost_of_wide_rows_and_of_many_codes():
    X = np.random.default_rng(0).standard_normal((90, 4)) @ np.ones((4, 3000))
    X += np.random.default_rng(1).standard_normal(X.shape)
    vae = VAETransformer(65, init="random", lr=0.002, max_epochs=1, random_state=0).fit(X)
    assert decoded_codes(vae, X[:10]) - decoded_codes(vae, X[:10]) == 512  # 2**21 / 3000, at most
    assert decoded_codes(vae, X[:10]) == 256 * 10  # as a step would decode 66


def test_few_draws_around_the_mode_are_enough_wherever_the_encoder_is(trained, bent):
    """Gauss-Newton steps find the mode of the posterior, without draws from the prior."""
    rows, vae = bent[:40], part_of(trained, "decoder")
    exact = log_evidence_by_integration(vae, rows) + rows.shape[1] * np.log(unit(vae))
    module, _ = inference_module(vae.net_, np.float64)
    points, x = normal_points(32, vae.latent_dim_), standardised(vae, rows)
    for bias in (0.0, 2.0):  # in standard deviations of the initial posterior
        module.encoder.output.bias.data[: vae.latent_dim_] += bias
        with torch.inference_mode():
            bounds = evidence_bounds(module, x, x, points, None, [None], True)[:, 0].numpy()
            near = evidence_bounds(module, x, x, points, None, [None], False)[:, 0].numpy()
        assert np.median(np.abs(bounds - exact)) < 0.05
        assert bounds.mean() == pytest.approx(exact.mean(), abs=0.1)
    assert near.mean() < exact.mean() - 0.2


def test_steps_to_the_mode_never_lower_the_joint_density(trained, bent):
    module, _ = inference_module(trained.net_, np.float64)
    x = standardised(trained, bent)

    def joint(codes):
        normal = torch.distributions.Normal(0.0, 1.0)
        return module.decode(codes).log_prob(x) + normal.log_prob(codes).sum(-1)

    before = module.encoder.output.bias.data.clone()
    for bias in (0.0, 2.0, -4.0):
        module.encoder.output.bias.data[: trained.latent_dim_] += bias
        with torch.inference_mode():
            gain = joint(Proposal.around_modes(module, x, x).mean) - joint(module.encode(x).mean)
        module.encoder.output.bias.data.copy_(before)
        assert (gain > -1e-9).all()
    assert gain.mean() > 10.0


def test_codes_of_a_linear_decoder_are_drawn_around_the_exact_posterior(bent):
    """A single step finds it from any mean; the variance is a little wider."""
    vae = VAETransformer(3, max_epochs=0).fit(bent)
    module, _ = inference_module(vae.net_, np.float64)
    torch.nn.init.constant_(module.encoder.output.bias, 1.0)  # of means and log standard deviations
    x = standardised(vae, bent)
    with torch.inference_mode():
        found = Proposal.around_modes(module, x, x)
    weight, noise = module.linear_decoder.weight, module.head.log_std().exp().square()
    precision = np.eye(3) + (weight.T / noise @ weight).detach().numpy()
    left = ((x - module.linear_decoder.bias) / noise @ weight).detach().numpy()
    np.testing.assert_allclose(found.mean, np.linalg.solve(precision, left.T).T, atol=1e-8)
    factor = found.factor / found.std[..., None]
    wider = 1.0 + np.sqrt(0.4 / 3)
    expected = np.broadcast_to(precision / wider, (len(x), 3, 3))
    np.testing.assert_allclose(factor @ factor.mT, expected, atol=1e-8)


def test_interrupt_comes_before_the_warning_of_collapse():
    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    X = np.random.default_rng(0).standard_normal((500, 1)) @ np.ones((1, 6))
    X += 0.5 * np.random.default_rng(1).standard_normal((500, 6))
    vae = VAETransformer(3, beta=10.0, callbacks=[Interrupt()], init="random")
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X)
    assert vae.n_iter_ == 1
