"""The distributions against torch's own, and against sampling."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import integrate

from skae.likelihoods.bernoulli import Bernoulli
from skae.likelihoods.categorical import Categorical
from skae.likelihoods.gaussian import Gaussian, GaussianHead
from skae.likelihoods.poisson import Poisson


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("per_row", [False, True])
def test_gaussian_log_prob(per_row):
    mean, x = draw(7, 3), draw(7, 3, seed=1)
    log_std = draw(7, 3, seed=2) if per_row else draw(3, seed=2)
    reference = torch.distributions.Normal(mean, log_std.exp().expand(7, 3))
    ours = Gaussian(mean, log_std)
    torch.testing.assert_close(ours.log_prob(x), reference.log_prob(x).sum(-1))
    torch.testing.assert_close(ours.std.expand(7, 3), reference.stddev)


def test_gaussian_density_integrates_to_one():
    ours = Gaussian(torch.tensor([[0.3]]).double(), torch.tensor([-1.2]).double())

    def density(x):
        return float(ours.log_prob(torch.tensor([[x]]).double()).exp())

    assert integrate.quad(density, -5, 5, points=[0.3])[0] == pytest.approx(1.0, abs=1e-8)


def test_bernoulli_log_prob():
    logits, x = draw(7, 3), (draw(7, 3, seed=1) > 0).double()
    reference = torch.distributions.Bernoulli(logits=logits)
    ours = Bernoulli(logits)
    torch.testing.assert_close(ours.log_prob(x), reference.log_prob(x).sum(-1))
    torch.testing.assert_close(ours.mean, reference.mean)


def test_error_is_log_prob_up_to_a_constant():
    mean, log_std = draw(7, 3), draw(3, seed=1)
    ours = Gaussian(mean, log_std)
    total = ours.error(draw(7, 3, seed=2)) + ours.log_prob(draw(7, 3, seed=2))
    torch.testing.assert_close(total, total[:1].expand(7))


def test_kl_against_torch_and_sampling(generator):
    mean, log_std = draw(4, 2), draw(4, 2, seed=1)
    ours = Gaussian(mean, log_std)
    prior = torch.distributions.Normal(torch.zeros(4, 2).double(), 1.0)
    exact = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, log_std.exp()), prior
    )
    torch.testing.assert_close(ours.kl_from_standard_normal(), exact)
    wide = Gaussian(mean.expand(100_000, 4, 2), log_std.expand(100_000, 4, 2))
    z = wide.sample(generator)
    sampled = (wide.log_prob(z) - prior.log_prob(z).sum(-1)).mean(0)
    torch.testing.assert_close(sampled, exact.sum(-1), atol=0.05, rtol=0.01)


def test_learned_noise_begins_at_the_start_and_stays_above_its_floor():
    start = SimpleNamespace(mean=np.zeros(3), noise_variance=4.0)
    head = GaussianHead(start, floor=0.01)
    assert torch.equal(head.log_std(), torch.full((3,), head.start_log_std))
    with torch.no_grad():
        head.log_ratio.copy_(torch.tensor([-50.0, -1.0, 1.0]))
    shares = 0.01 + 0.99 * np.exp([-100.0, -2.0, 2.0])
    np.testing.assert_allclose(head.log_std().exp().detach(), 2 * np.sqrt(shares), rtol=1e-6)


def test_samples_have_the_distribution(generator):
    gaussian = Gaussian(torch.full((100_000, 1), 2.0), torch.tensor([-0.5]))
    drawn = gaussian.sample(generator)
    assert float(drawn.mean()) == pytest.approx(2.0, abs=0.01)
    assert float(drawn.std()) == pytest.approx(np.exp(-0.5), rel=0.01)


def test_sampling_leaves_the_global_generator_alone(generator):
    before = torch.get_rng_state()
    Gaussian(torch.zeros(2, 2), torch.zeros(2)).sample(generator)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("per_row", [False, True])
def test_every_row_under_every_distribution(per_row):
    x, mean = draw(5, 3), draw(7, 3, seed=1)
    gaussian = Gaussian(mean, draw(7, 3, seed=2) if per_row else draw(3, seed=2))
    for ours in (gaussian, Bernoulli(mean)):
        crossed = ours.cross_log_prob(x.abs().clamp(max=1.0))
        expected = [ours.log_prob(row.abs().clamp(max=1.0).expand(7, 3)) for row in x]
        torch.testing.assert_close(crossed, torch.stack(expected))


@pytest.mark.parametrize("kind", ["gaussian", "bernoulli", "poisson", "categorical"])
def test_derivatives_by_the_location(kind):
    """The score is that of finite differences, the Fisher information its second moment."""
    make = {
        "gaussian": lambda value: Gaussian(value, torch.full((6,), -0.5).double()),
        "bernoulli": Bernoulli,
        "poisson": Poisson,
        "categorical": lambda value: Categorical(value, 3),
    }[kind]
    parameter, step = draw(1, 6, seed=3), draw(1, 6, seed=4)
    draws = [make(parameter).sample(torch.Generator().manual_seed(n)) for n in range(4000)]
    rows = torch.cat(draws)
    score, information = make(parameter.expand_as(rows)).derivatives(rows)
    # How the location and the density change; log-probabilities do not change as they please.
    up, down = (make((parameter + h * step).expand_as(rows)) for h in (1e-5, -1e-5))
    change = (up.location - down.location) / 2e-5
    expected = (up.log_prob(rows) - down.log_prob(rows)) / 2e-5
    along = (score * change).sum(-1)
    torch.testing.assert_close(along, expected, rtol=1e-5, atol=1e-6)
    variance = float((information * change.square()).sum(-1).mean())
    assert float(along.square().mean()) == pytest.approx(variance, rel=0.1)
