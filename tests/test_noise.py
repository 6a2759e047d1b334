"""Normal noise of a VAE's decoder that depends on the code, learned aside."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from skae import ConditionalVAE, VAETransformer
from skae.nn import vae as module
from skae.nn.init import with_zero_output
from skae.training.net import AutoencoderNet

SLOPE = 1.2


def fanned(n, seed=0):
    """Rows around a curve whose noise grows along it, and what the noise is, (n, 8) each."""
    rng = np.random.default_rng(seed)
    along = rng.standard_normal((n, 1))
    std = np.broadcast_to(0.2 * np.exp(0.5 * SLOPE * along), (n, 8))
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
    model.net_.inference_modules_ = {}
    model.noise_varies_ = False
    return model


def test_noise_of_rows_is_found(vae):
    X, std = fanned(500, seed=1)
    assert vae.noise_varies_
    found = vae._noise(vae.transform(X))
    assert found.shape == X.shape
    assert np.corrcoef(np.log(found).ravel(), np.log(std).ravel())[0, 1] > 0.9
    assert np.abs(np.log(found / std)).mean() < 0.25  # it has errors of the mean in it


def test_rows_are_likelier_by_what_their_noise_explains(vae):
    """Normal noise with this much less on average of the logarithm of its variance."""
    X, std = fanned(4000, seed=2)
    gain = vae.score(X) - alike(vae).score(X)
    best = 8 * (0.5 * np.log(np.square(std).mean()) - np.log(std).mean())
    assert 0.7 * best < gain < 1.3 * best


CODERS = {
    "plain": lambda X, y, **options: VAETransformer(1, **options).fit(X),
    "chunks": lambda X, y, **options: VAETransformer(1, **options).partial_fit(X).partial_fit(X),
    "conditions": lambda X, y, **options: ConditionalVAE(1, **options).fit(X, y),
}


@pytest.mark.parametrize("how", CODERS)
def test_noise_changes_nothing_else(how, fan, monkeypatch):
    X, y = fan[0][:600], np.arange(600) % 2
    options = {"random_state": 0, "max_epochs": 40}
    model = CODERS[how](X, y, **options)
    with monkeypatch.context() as patch:
        patch.setattr(module, "Mlp", type(None))  # no decoder has a readout then
        without = CODERS[how](X, y, **options)
    assert model.net_.module_.noise is not None
    assert without.net_.module_.noise is None
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


def test_draws_have_the_noise_of_their_codes(vae, monkeypatch):
    codes = []
    decode = VAETransformer._decode
    monkeypatch.setattr(
        VAETransformer, "_decode", lambda self, Z: codes.append(Z) or decode(self, Z)
    )
    model = pickle.loads(pickle.dumps(vae))
    model.density_shares_ = {"decoder": 1.0}
    drawn = model.sample(20_000, random_state=1)
    left = (drawn - decode(model, codes[0])) / model._noise(codes[0])
    for part in np.array_split(np.argsort(codes[0][:, 0]), 10):
        np.testing.assert_allclose(left[part].std(axis=0), 1.0, atol=0.08)


def test_noise_is_kept_in_pickles_and_bounded(vae, fan):
    copy = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(copy.score_samples(fan[0]), vae.score_samples(fan[0]))
    np.testing.assert_array_equal(copy.sample(50), vae.sample(50))
    ratio = vae._noise(np.array([[-50.0], [50.0]])) / np.sqrt(vae.noise_variance_)
    assert ratio.max() == pytest.approx(np.exp(3.0))
    assert ratio.min() >= np.exp(-3.0) * 0.999


def judged(alike, varying, varied=False, share=0.0):
    """Whether a net keeps noise with these losses of held-out rows."""
    net = VAETransformer(1, random_state=0, max_epochs=2).fit(fanned(100)[0]).net_
    torch.nn.init.ones_(net.module_.noise.output.weight)
    net.noise_varied_, net.start_share = varied, share
    net.of_start_, net.best_losses_ = alike + 1.0, alike
    net.get_iterator = lambda rows: rows
    net._held_out_losses = lambda rows, varying: rows
    net._judge_noise(varying)
    return net.module_.noise_varies


LOSSES = np.random.default_rng(0).uniform(1, 2, 100)
UNCLEAR = np.random.default_rng(1).standard_normal(100)
FAR_OUT = np.where(np.arange(100) == 7, 1e6, -0.3)
NOT_A_NUMBER = np.where(np.arange(100) == 7, np.nan, -0.3)


@pytest.mark.parametrize(
    ("change", "new", "accepted"),
    [
        (UNCLEAR / 10 - 0.3, True, True),
        (UNCLEAR / 10 + 0.3, False, False),
        (UNCLEAR - UNCLEAR.mean() - 0.01, False, True),
        (UNCLEAR - UNCLEAR.mean() + 0.01, False, True),
        (NOT_A_NUMBER, False, True),
    ],
    ids=["better", "worse", "unclear", "unclearly worse", "not a number"],
)
def test_held_out_rows_judge_it(change, new, accepted):
    """New noise has to be clearly better; what was accepted goes if it is clearly worse."""
    assert judged(LOSSES, LOSSES + change) == new
    assert judged(LOSSES, LOSSES + change, varied=True) == accepted


def test_a_row_far_out_has_the_share_of_the_start():
    assert not judged(LOSSES, LOSSES + FAR_OUT)
    assert judged(LOSSES, LOSSES + FAR_OUT, share=1e-3)


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
    np.testing.assert_array_equal(model._noise(np.zeros((3, 1))), np.sqrt(model.noise_variance_))


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


def refuse(net, held_out):
    """In place of judging noise."""
    with_zero_output(net.module_.noise)


def test_shares_go_with_the_noise_that_they_were_learned_with(vae, fan, monkeypatch):
    model = pickle.loads(pickle.dumps(vae))
    model.partial_fit(fan[0][:60])  # few, so that the start stays
    assert model.density_shares_ == vae.density_shares_
    assert len(model.density_shares_) == 3

    monkeypatch.setattr(AutoencoderNet, "_judge_noise", refuse)
    model.partial_fit(fan[0][60:120])
    assert not model.noise_varies_
    assert list(model.density_shares_) == ["decoder", "probabilistic_pca"]
    assert model._factors == {}


def test_a_chunk_keeps_shares_of_noise_that_is_alike(monkeypatch):
    monkeypatch.setattr(AutoencoderNet, "_judge_noise", refuse)
    model = VAETransformer(1, max_epochs=30, random_state=0).fit(quiet(300))
    assert not model.noise_varies_
    shares = model.density_shares_
    assert len(shares) == 3
    assert model.partial_fit(quiet(300)[::3]).density_shares_ == shares  # the start stays
    assert model.net_.inference_module(np.float64)[0].noise is None  # which nothing needs


def test_a_fit_anew_learns_its_own_shares(fan):
    model = VAETransformer(1, max_epochs=30, random_state=0).fit(quiet(300))
    other = VAETransformer(1, max_epochs=30, random_state=0).fit(fan[0])
    assert model.density_shares_ != other.density_shares_
    assert model.fit(fan[0]).density_shares_ == other.density_shares_


@pytest.mark.parametrize("how", ["fit", "warm", "chunks"])
def test_noise_is_judged_beside_the_losses_of_the_weights_kept(how, fan, monkeypatch):
    X, judged = fan[0][:600], []

    def judge(net, held_out):
        if held_out is not None:
            losses = net._beside_start(net._held_out_losses(net.get_iterator(held_out)))
            np.testing.assert_allclose(net.best_losses_, losses, rtol=1e-5)
            judged.append(net.best_losses_)

    monkeypatch.setattr(AutoencoderNet, "_judge_noise", judge)
    model = VAETransformer(1, max_epochs=30, random_state=0, warm_start=how == "warm")
    if how == "chunks":
        for _ in range(20):
            for rows in np.split(X, 3):
                model.partial_fit(rows)
    else:
        model.fit(X)
        assert model.best_epoch_ > 0
        if how == "warm":
            model.fit(X)
    assert len(judged) == {"fit": 1, "warm": 2, "chunks": 60}[how]


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
