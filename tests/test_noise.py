"""Normal noise of a VAE's decoder that depends on the code, learned aside."""

import pickle

import numpy as np
import pytest
import torch
from _vae import decoded, part_of
from scipy import stats
from scipy.spatial import cKDTree
from sklearn.model_selection import PredefinedSplit
from skorch.callbacks import Callback

from skae import ConditionalVAE, VAETransformer
from skae.nn.fitted import inference_module

SLOPE = 1.2


def fanned(n, seed=0, slope=SLOPE):
    """Rows around a curve whose noise grows along it, and what the noise is, (n, 8) each."""
    rng = np.random.default_rng(seed)
    along = rng.standard_normal((n, 1))
    std = np.broadcast_to(0.2 * np.exp(0.5 * slope * along), (n, 8))
    curve = 3.0 * along * np.linspace(-1, 1, 8) + np.square(along) * np.linspace(1, 0, 8)
    return curve + std * rng.standard_normal((n, 8)), std


@pytest.fixture(scope="module")
def fan():
    return fanned(2000)


@pytest.fixture(scope="module")
def vae(fan):
    return VAETransformer(1, random_state=0).fit(fan[0])


def alike(model):
    """A copy whose noise is the same for every row."""
    model = pickle.loads(pickle.dumps(model))
    for value in model.net_.module_.noise.parameters():
        torch.nn.init.zeros_(value)
    return pickle.loads(pickle.dumps(model))


def test_noise_of_rows_is_found(vae):
    X, std = fanned(500, seed=1)
    assert vae.noise_varies_
    _, found = decoded(vae, vae.transform(X))
    assert found.shape == X.shape
    assert np.corrcoef(np.log(found).ravel(), np.log(std).ravel())[0, 1] > 0.9
    assert np.abs(np.log(found / std)).mean() < 0.25  # it has errors of the mean in it


def test_rows_are_likelier_by_what_their_noise_explains(vae):
    """Normal noise with this much less on average of the logarithm of its variance."""
    X, std = fanned(4000, seed=2)
    gain = vae.score(X) - alike(vae).score(X)
    best = 8 * (0.5 * np.log(np.square(std).mean()) - np.log(std).mean())
    assert 0.7 * best < gain < 1.3 * best


class AlikeNoise(Callback):
    """Keeps noise from learning how it varies."""

    def on_train_begin(self, net, **kwargs):
        net.module_.noise.requires_grad_(False)


CODERS = {
    "plain": lambda X, y, **options: VAETransformer(1, **options).fit(X),
    "chunks": lambda X, y, **options: VAETransformer(1, **options).partial_fit(X).partial_fit(X),
    "conditions": lambda X, y, **options: ConditionalVAE(1, **options).fit(X, y),
}


@pytest.mark.parametrize("how", CODERS)
def test_noise_changes_nothing_else(how, fan):
    X, y = fan[0][:600], np.arange(600) % 2
    options = {"random_state": 0, "max_epochs": 40}
    model = CODERS[how](X, y, **options)
    without = CODERS[how](X, y, callbacks=[AlikeNoise()], **options)
    assert not without.noise_varies_
    assert model.noise_varies_ or how == "chunks"
    codes = model.transform(X)
    np.testing.assert_array_equal(without.transform(X), codes)
    np.testing.assert_array_equal(without.posterior(X), model.posterior(X))
    np.testing.assert_array_equal(without.inverse_transform(codes), model.inverse_transform(codes))
    np.testing.assert_array_equal(without.reconstruct(X), model.reconstruct(X))
    np.testing.assert_array_equal(without.loss_curve_, model.loss_curve_)
    np.testing.assert_array_equal(without.validation_curve_, model.validation_curve_)
    np.testing.assert_array_equal(without.noise_variance_, model.noise_variance_)


def test_density_integrates_to_one():
    """The mean of it over a wide normal density, under draws of the wide one."""
    X = fanned(1500)[0][:, ::3]
    model = VAETransformer(1, random_state=0).fit(X)
    assert model.noise_varies_
    wide = stats.multivariate_normal(X.mean(axis=0), 1.5 * np.cov(X.T))
    drawn = wide.rvs(4000, random_state=0)
    ratio = np.exp(model.score_samples(drawn) - wide.logpdf(drawn))
    assert ratio.mean() == pytest.approx(1.0, abs=4 * ratio.std() / np.sqrt(len(drawn)))
    assert ratio.std() < 5.0


def test_draws_have_the_noise_of_their_codes(vae):
    model = part_of(vae, "decoder")
    drawn, means = (
        model.sample(20_000, random_state=1, add_noise=noise) for noise in (True, False)
    )
    grid, std = decoded(model, np.linspace(-6.0, 6.0, 4001)[:, None])
    codes = cKDTree(grid).query(means)[1]  # numbers of the nearest in the grid
    left = (drawn - means) / std[codes]
    for part in np.array_split(np.argsort(codes), 10):
        np.testing.assert_allclose(left[part].std(axis=0), 1.0, atol=0.08)


def test_noise_is_kept_in_pickles_and_bounded(vae, fan):
    copy = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(copy.score_samples(fan[0]), vae.score_samples(fan[0]))
    np.testing.assert_array_equal(copy.sample(50), vae.sample(50))
    ratio = decoded(vae, np.array([[-50.0], [50.0]]))[1] / np.sqrt(vae.noise_variance_)
    assert ratio.max() == pytest.approx(np.exp(3.0))
    assert ratio.min() >= np.exp(-3.0) * 0.999


# Held-out rows judge it


@pytest.mark.parametrize("slope", [SLOPE, -SLOPE])
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_new_noise_has_to_be_better_for_rows_held_out(how, slope):
    """These are noisy at the same end of the curve as the others, or at the other one."""
    n = 400 if how == "fit" else 4000  # one pass has to learn as much as many
    rows = np.vstack([fanned(n)[0], fanned(200, 5, slope)[0]])
    options = {"validation_fraction": PredefinedSplit([-1] * n + [0] * 200), "random_state": 0}
    model = VAETransformer(1, max_epochs=30, batch_size=16, lr=5e-3, **options)
    getattr(model, how)(rows)
    assert model.best_epoch_ > 0
    assert model.noise_varies_ == (slope > 0)


@pytest.mark.parametrize(("n", "kept"), [(300, False), (1, True)])
def test_what_was_accepted_goes_if_it_is_clearly_worse(n, kept, vae, fan):
    """And its shares with it, as they were learned beside it. One row says nothing."""
    model = pickle.loads(pickle.dumps(vae)).set_params(warm_start=True, max_epochs=0)
    model.fit(fan[0], X_val=fanned(n, 5, -SLOPE)[0])
    assert model.noise_varies_ == kept
    assert len(vae.density_shares_) == 3
    if kept:
        assert model.density_shares_ == vae.density_shares_
    else:
        assert list(model.density_shares_) == ["decoder", "probabilistic_pca"]


def test_noise_that_is_not_a_number_is_refused(fan):
    class Spoil(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == net.max_epochs:
                torch.nn.init.constant_(net.module_.noise.output.bias, np.nan)

    options = {"batch_size": 600, "lr": 0.02, "random_state": 0, "callbacks": [Spoil()]}
    model = VAETransformer(1, max_epochs=4, **options).fit(fan[0][:600])
    assert model.best_epoch_ == 4
    assert not model.noise_varies_
    assert np.isfinite(model.score(fan[0][:100]))


def test_a_row_far_out_has_the_share_of_the_start(fan):
    X_val = fanned(300, 5)[0]
    X_val[7] *= 1000.0
    model = VAETransformer(1, max_epochs=30, random_state=0).fit(fan[0][:600], X_val=X_val)
    assert model.best_epoch_ > 0
    assert model.noise_varies_


def quiet(n, seed=0):
    """Rows around a curve with noise that is alike, (n, 8)."""
    rng = np.random.default_rng(seed)
    along = rng.standard_normal((n, 1))
    curve = 2.0 * along * np.linspace(-1, 1, 8) + np.square(along) * np.linspace(1, 0, 8)
    return curve + 0.5 * rng.standard_normal((n, 8))


def test_it_is_refused_where_noise_is_alike():
    """Then these fits are of as many nats as without it."""
    models = [VAETransformer(1, random_state=seed).fit(quiet(300)) for seed in range(3)]
    assert min(model.best_epoch_ for model in models) > 10
    assert not all(model.noise_varies_ for model in models)


def test_without_held_out_rows_there_is_none(fan):
    model = VAETransformer(1, validation_fraction=None, max_epochs=20, random_state=0)
    assert not model.fit(fan[0]).noise_varies_
    _, noise = decoded(model, np.array([[-1.0], [0.0], [1.0]]))
    np.testing.assert_allclose(noise, np.tile(np.sqrt(model.noise_variance_), (3, 1)))


def test_a_chunk_without_held_out_rows_leaves_it(vae, fan):
    model = pickle.loads(pickle.dumps(vae)).set_params(validation_fraction=None)
    assert model.partial_fit(fan[0][:50]).noise_varies_


def test_a_start_has_none(fan):
    model = VAETransformer(1, max_epochs=0).fit(fan[0])
    assert not model.noise_varies_


def test_chunks(fan):
    X = fan[0]
    model = VAETransformer(1, random_state=0)
    for rows in np.split(X, 8):
        model.partial_fit(rows)
    for _ in range(10):
        for rows in np.split(X, 8):
            model.partial_fit(rows)
    assert model.noise_varies_
    assert model.score(X) > alike(model).score(X) + 0.5


def test_a_chunk_keeps_shares(vae, fan):
    model = pickle.loads(pickle.dumps(vae))
    model.partial_fit(fan[0][:60])  # few, so that the start stays
    assert model.density_shares_ == vae.density_shares_


def test_a_chunk_keeps_shares_of_noise_that_is_alike():
    model = VAETransformer(1, max_epochs=30, random_state=0, callbacks=[AlikeNoise()])
    model.fit(quiet(300))
    assert not model.noise_varies_
    shares = model.density_shares_
    assert len(shares) == 3
    assert model.partial_fit(quiet(300)[::3]).density_shares_ == shares  # the start stays
    assert inference_module(model.net_, np.float64)[0].noise is None  # which nothing needs


def test_a_fit_anew_learns_its_own_shares(fan):
    model = VAETransformer(1, max_epochs=30, random_state=0).fit(quiet(300))
    other = VAETransformer(1, max_epochs=30, random_state=0).fit(fan[0])
    assert model.density_shares_ != other.density_shares_
    assert model.fit(fan[0]).density_shares_ == other.density_shares_


def test_conditions_are_part_of_it():
    """The noise of one class is ten times that of the other."""
    rng = np.random.default_rng(0)
    y = np.arange(1600) % 2
    along = rng.standard_normal((1600, 1))
    X = along * np.linspace(-1, 1, 6) + np.square(along) * np.linspace(1, 0, 6)
    X += np.where(y, 0.5, 0.05)[:, None] * rng.standard_normal(X.shape)
    model = ConditionalVAE(1, random_state=0).fit(X, y)
    assert model.noise_varies_
    left = [
        model.sample(2000, y=[label] * 2000, random_state=0)
        - model.sample(2000, y=[label] * 2000, random_state=0, add_noise=False)
        for label in (0, 1)
    ]
    quiet, loud = (np.median(np.abs(of)) for of in left)
    assert loud > 1.5 * quiet  # 1 where noise is alike


@pytest.mark.parametrize("parameters", [{"network": "conv"}, {"likelihood": "bernoulli"}])
def test_networks_and_likelihoods_without_it(digits, parameters):
    X = digits[0][:100].reshape(-1, 1, 8, 8) if "network" in parameters else digits[0][:100]
    model = VAETransformer(2, max_epochs=1, random_state=0, **parameters).fit(X)
    assert model.net_.module_.noise is None
    assert not model.noise_varies_
    assert np.isfinite(model.score_samples(X)).all()
