"""What codes of a VAE are distributed like in its density, once it is trained."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from _programs import InterruptedAt
from _vae import decoded, part_of, standardised, unit
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from skorch.callbacks import Callback
from torch import nn

from skae import AutoencoderTransformer, ConditionalVAE, VAETransformer
from skae.data.table import Table
from skae.density.codes import CodeDensity
from skae.density.evidence import PriorDraws, evidence_bounds
from skae.density.mixture import likeliest_shares
from skae.nn.fitted import inference_module
from skae.points import normal_points


@pytest.fixture(scope="module")
def clusters():
    """2,000 codes of three unlike normals, and where they are."""
    rng = np.random.default_rng(0)
    turn = np.array([[1.0, 0.4], [0.0, 0.3]])
    means = np.array([[-2.0, 0.0], [1.0, 1.0], [1.0, -2.0]])
    return means[rng.integers(3, size=2000)] + rng.standard_normal((2000, 2)) @ turn


@pytest.fixture(scope="module")
def ring():
    """900 points near a circle in three dimensions: codes of a plane are far from normal."""
    rng = np.random.default_rng(1)
    angle = rng.uniform(0.0, 2.0 * np.pi, 900)
    flat = np.column_stack([np.cos(angle), np.sin(angle), 0.5 * np.cos(2.0 * angle)])
    return flat + 0.05 * rng.standard_normal(flat.shape)


@pytest.fixture(scope="module")
def trained(ring):
    return VAETransformer(2, max_epochs=60, random_state=0).fit(ring[:600])


def of_prior(vae, X):
    """Log-density of rows that the decoder would have, if codes were from the prior."""
    module, _ = inference_module(vae.net_, np.float64)
    with torch.inference_mode():
        x = standardised(vae, X)
        prior = PriorDraws.of(module, normal_points(2048, 2), x)
        bounds = evidence_bounds(module, x, x, normal_points(256, 2), prior, [None], False)
    return bounds[:, 0].numpy() - X.shape[1] * np.log(unit(vae))


def in_the_middle(vae, n):
    """Rows that the decoder draws where the prior is densest, and a mixture on a ring is not."""
    rng = np.random.default_rng(0)
    mean, std = decoded(vae, 0.3 * rng.standard_normal((n, 2)))
    return mean + std * rng.standard_normal(mean.shape)


def test_density_is_that_of_the_mixture_of_lowest_bic(clusters):
    found = CodeDensity.of(clusters, np.random.default_rng(0))
    assert len(found.weights) == 4  # a power of two, and one of them is needed for nothing
    covariances = [np.linalg.inv(factor @ factor.T) for factor in found.factors]
    parts = zip(found.weights, found.means, covariances, strict=True)
    expected = sum(w * multivariate_normal(m, c).pdf(clusters) for w, m, c in parts)
    log_prob = found.log_prob(torch.tensor(clusters))
    np.testing.assert_allclose(log_prob, np.log(expected), rtol=1e-9)
    three = GaussianMixture(3, random_state=0).fit(clusters)
    assert float(log_prob.mean()) == pytest.approx(three.score(clusters), abs=0.02)


def test_draws_are_from_the_mixture(clusters):
    found = CodeDensity.of(clusters, np.random.default_rng(0))
    drawn = found.draw(20_000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.mean(axis=0), clusters.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(clusters.T), atol=0.1)
    # The mean of another density over this one is 1, whatever the other is.
    wide = replace(found, factors=0.5 * found.factors)
    drawn = torch.tensor(wide.draw(20_000, np.random.default_rng(2)))
    ratio = (found.log_prob(drawn) - wide.log_prob(drawn)).exp()
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.05)


def test_few_codes_are_one_normal():
    codes = np.random.default_rng(0).standard_normal((50, 3))
    assert len(CodeDensity.of(codes, np.random.default_rng(0)).weights) == 1


def test_one_code_is_where_draws_are():
    found = CodeDensity.of(np.array([[3.0, -4.0]]), np.random.default_rng(0))
    drawn = found.draw(100, np.random.default_rng(0))
    np.testing.assert_allclose(drawn, np.tile([3.0, -4.0], (100, 1)), atol=0.01)
    chunks = AutoencoderTransformer(1, validation_fraction=None, random_state=0)
    chunks.partial_fit(np.random.default_rng(0).standard_normal((20, 2))).partial_fit([[1.0, 2.0]])
    assert chunks.sample(3).shape == (3, 2)


def test_codes_may_be_of_any_scale_and_far_out(clusters):
    found = CodeDensity.of(clusters, np.random.default_rng(0))
    scale, shift = np.array([1e-6, 1e7]), np.array([5.0, -1e9])
    other = CodeDensity.of(clusters * scale + shift, np.random.default_rng(0))
    log_prob = other.log_prob(torch.tensor(clusters * scale + shift)) + np.log(scale).sum()
    np.testing.assert_allclose(log_prob, found.log_prob(torch.tensor(clusters)), rtol=1e-4)
    far = np.vstack([np.zeros((200, 3)), [[1e12, 1e12, -1e12]]])
    found = CodeDensity.of(far, np.random.default_rng(0))
    assert np.isfinite(found.draw(10, np.random.default_rng(0))).all()


def test_held_out_rows_are_likelier_with_it(trained, ring):
    assert trained.n_code_components_ >= 2
    gain = part_of(trained, "decoder").score_samples(ring[600:]) - of_prior(trained, ring[600:])
    assert gain.mean() > 0.1
    assert trained.score(ring[600:]) > PCA(2).fit(ring[:600]).score(ring[600:])


def test_classical_shares_are_learned_beside_it(ring):
    X, X_val = ring[:700], ring[700:]
    vae = VAETransformer(2, max_epochs=3, random_state=0).fit(X, X_val=X_val)
    assert vae.n_code_components_ >= 2
    parts = [part_of(vae, name).score_samples(X_val) for name in vae.density_shares_]
    expected = likeliest_shares(np.array(parts))
    np.testing.assert_allclose(list(vae.density_shares_.values()), expected, rtol=0.02)
    beside_prior = likeliest_shares(np.array([of_prior(vae, X_val), *parts[1:]]))
    assert (beside_prior[1:] > 1.3 * expected[1:]).all()


def test_nothing_but_the_density_is_changed(ring):
    weights = []

    class Watch(Callback):
        def on_epoch_end(self, net, **kwargs):
            weights.append({k: v.clone() for k, v in net.module_.state_dict().items()})

    vae = VAETransformer(2, max_epochs=10, random_state=0, callbacks=[Watch()]).fit(ring)
    assert vae.n_code_components_ >= 2
    best = weights[vae.best_epoch_ - 1]
    for name, value in vae.net_.module_.state_dict().items():
        assert torch.equal(value, best[name]), name
    module, _ = inference_module(vae.net_, np.float64)
    codes = module.embed(standardised(vae, ring)).detach()
    np.testing.assert_allclose(vae.transform(ring), codes, atol=1e-12)


def test_the_density_is_one_and_samples_are_from_it(trained):
    axis = np.linspace(-2.0, 2.0, 45)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    density = np.exp(trained.score_samples(grid)) * (axis[1] - axis[0]) ** 3
    assert density.sum() == pytest.approx(1.0, abs=0.03)
    drawn = trained.sample(20_000, random_state=0)
    mean = density @ grid
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.03)
    covariance = (grid * density[:, None]).T @ grid - np.outer(mean, mean)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.03)
    # Codes from the prior would fill the ring.
    middle = np.hypot(*drawn[:, :2].T) < 0.5
    assert middle.mean() == pytest.approx(density[np.hypot(*grid[:, :2].T) < 0.5].sum(), abs=0.02)


def test_a_classical_density_draws_codes_from_its_own_prior(trained, ring):
    start = PCA(2).fit(ring[:600])
    drawn = part_of(trained, "probabilistic_pca").sample(50_000, random_state=0)
    np.testing.assert_allclose(np.cov(drawn.T), start.get_covariance(), atol=0.01)
    fourth = np.mean((drawn - drawn.mean(axis=0)) ** 4, axis=0) / drawn.var(axis=0) ** 2
    np.testing.assert_allclose(fourth, 3.0, atol=0.1)  # a normal's


def test_it_is_kept_and_forgotten_as_the_rest_of_the_density(trained, ring):
    copy = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(copy.score_samples(ring), trained.score_samples(ring))
    np.testing.assert_array_equal(copy.sample(20), trained.sample(20))
    copy.set_params(max_epochs=0).fit(ring)
    assert copy.n_code_components_ == 0
    start = PCA(2).fit(ring)
    np.testing.assert_allclose(copy.score_samples(ring), start.score_samples(ring), rtol=1e-6)


@pytest.fixture(scope="module")
def briefly_trained(ring):
    return VAETransformer(2, max_epochs=10, random_state=0).fit(ring)


class Far(nn.Module):
    """An encoder that goes far for rows with much of the last feature, once it is trained."""

    def __init__(self, n_codes, much, far):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, n_codes))
        self.much, self.far = much, torch.tensor(far)

    def forward(self, x):
        out = self.network(x)
        return torch.where((x[:, -1:] < self.much) | self.training, out, self.far.to(out))


def trained_to_go_far(ring, n_far, far):
    """A VAE that encodes so many of its training rows far out, these rows, and validation rows."""
    mark = np.random.default_rng(0).uniform(0.01, 0.03, (900, 1))
    mark[n_far:] *= -1.0
    X, X_val = np.split(np.hstack([ring, mark]), [700])
    much = -X[:, -1].mean() / Table.of(X).scale  # 0 once rows are standardised

    def network(shape, n_codes, latent_dim):
        decoder = nn.Sequential(nn.Linear(latent_dim, 32), nn.SiLU(), nn.Linear(32, 4))
        return Far(n_codes, much, far), decoder

    model = VAETransformer(2, network=network, max_epochs=10, random_state=0)
    return model.fit(X, X_val=X_val), X, X_val


@pytest.mark.parametrize("far", [(1e13, 1e13, 0.0, 0.0), (0.0, 0.0, 1e13, 1e13)])
def test_rows_that_are_encoded_anywhere_do_not_matter(ring, far):
    """As by a network that has gone far for rows far out, in the mean or in the spread."""
    (near, *_), (found, X, X_val) = (trained_to_go_far(ring, n, far) for n in (0, 3))
    assert np.abs(found.posterior(X[:3])).max() > 1e4
    assert found.n_code_components_ == near.n_code_components_ >= 2
    assert found.score(X_val) == pytest.approx(near.score(X_val), abs=0.05)


def test_no_density_where_all_codes_are_far_out(ring):
    vae, X, X_val = trained_to_go_far(ring, 700, (1e13, 1e13, 0.0, 0.0))
    assert np.abs(vae.transform(X)).min() > 1e4
    assert vae.n_code_components_ == 0
    assert np.isfinite(vae.score_samples(X_val)).all()


def test_an_interrupt_while_it_is_learned_keeps_the_fit(briefly_trained, ring):
    vae = clone(briefly_trained)
    sys.settrace(InterruptedAt(CodeDensity.of, 1))
    try:
        with pytest.raises(KeyboardInterrupt):
            vae.fit(ring)
    finally:
        sys.settrace(None)
    assert vae.n_iter_ == 10
    assert vae.n_code_components_ == 0
    assert vae.density_shares_ == {"decoder": 1 - 1 / 901, "probabilistic_pca": 1 / 901}
    assert vae.score(ring) > PCA(2).fit(ring).score(ring)
    np.testing.assert_array_equal(vae.transform(ring), briefly_trained.transform(ring))


def test_warm_starts_and_chunks_keep_it_until_held_out_rows_are_less_likely_with_it(ring):
    vae = VAETransformer(2, max_epochs=40, random_state=0, warm_start=True).fit(ring[:600])
    learned, drawn = vae.n_code_components_, vae.sample(50, add_noise=False)
    assert learned >= 2
    vae.set_params(max_epochs=0).fit(ring[300:])  # rows of which another would be learned
    np.testing.assert_array_equal(vae.sample(50, add_noise=False), drawn)
    vae.set_params(max_epochs=2).fit(ring[:600])
    assert vae.n_code_components_ == learned
    for chunk in (ring[600:601], ring[601:604], ring[604:]):  # a row or three say nothing
        vae.partial_fit(chunk)
        assert vae.n_code_components_ == learned
    for outlive in (
        lambda model: model.partial_fit(in_the_middle(vae, 300)),
        lambda model: model.fit(ring[:600], X_val=in_the_middle(vae, 300)),
    ):
        model = outlive(pickle.loads(pickle.dumps(vae)))
        assert model.n_code_components_ == 0
        # Shares were learned beside it.
        assert model.density_shares_["probabilistic_pca"] == 1 / (model.n_samples_ + 1)


def test_a_warm_start_keeps_it_where_features_are_too_many_for_factor_analysis(ring):
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((150, 3)))[0]
    wide = ring @ turn.T + 0.01 * np.random.default_rng(3).standard_normal((900, 150))
    vae = VAETransformer(2, max_epochs=30, random_state=0, warm_start=True).fit(wide)
    learned = vae.n_code_components_
    assert learned >= 2
    assert "factor_analysis" not in vae.density_shares_
    assert vae.set_params(max_epochs=2).fit(wide).n_code_components_ == learned


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
def test_there_is_none_where_nothing_was_held_out_or_conditions_are(ring):
    options = {"max_epochs": 5, "random_state": 0}
    models = [
        VAETransformer(2, validation_fraction=None, **options).fit(ring),
        VAETransformer(2, init="random", **options).fit(ring),
        VAETransformer(2, **options).partial_fit(ring),
        ConditionalVAE(2, **options).fit(ring, np.arange(900) % 2),
        VAETransformer(1, **options).fit(ring[:2]),  # one row to train with
    ]
    for model in models:
        assert model.n_code_components_ == 0


def test_it_is_found_with_array_api_dispatch():
    program = """
import numpy as np
from sklearn import config_context
from skae import AutoencoderTransformer, VAETransformer
angle = np.random.default_rng(0).uniform(0.0, 2.0 * np.pi, 600)
X = np.column_stack([np.cos(angle), np.sin(angle), 0.5 * np.cos(2.0 * angle)])
with config_context(array_api_dispatch=True):
    vae = VAETransformer(2, max_epochs=40, random_state=0).fit(X)
    assert vae.n_code_components_ > 1
    AutoencoderTransformer(2, max_epochs=1).fit(X).sample(3)
"""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
