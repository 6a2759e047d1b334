"""Codes that follow a prior, and the discriminator and the statistic that see to it."""

import pickle

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from sklearn.datasets import make_swiss_roll
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from skae import AdversarialAutoencoder, priors
from skae.data.batches import Batch
from skae.data.table import Table
from skae.nn.adversarial import AdversarialModule, Discriminator, Features
from skae.nn.fitted import inference_module
from skae.nn.mlp import mlp


def drawn(prior, n_samples=20_000, latent_dim=2, seed=0):
    return priors.draw(prior, n_samples, latent_dim, np.random.default_rng(seed))


def two_sample_accuracy(codes, draws, seed=0):
    """How often a classifier can tell codes from as many draws that it has not seen."""
    X = np.concatenate([codes, draws[: len(codes)]])
    y = np.repeat([0, 1], len(codes))
    order = np.random.default_rng(seed).permutation(len(X))
    train, test = np.array_split(order, 2)
    return KNeighborsClassifier(15).fit(X[train], y[train]).score(X[test], y[test])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Priors


@pytest.mark.parametrize("prior", ["normal", "uniform", "swiss_roll"])
def test_priors_are_standardised(prior):
    z = drawn(prior, 200_000)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.01)
    np.testing.assert_allclose(z.var(axis=0), 1.0, rtol=0.01)
    mean, spread = priors.moments(prior, 2, np.random.default_rng(0))
    np.testing.assert_array_equal([mean, spread], [[0, 0], [1, 1]])


def test_normal_and_uniform_priors():
    assert stats.kstest(drawn("normal")[:, 0], stats.norm.cdf).pvalue > 0.01
    uniform = stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))
    assert stats.kstest(drawn("uniform")[:, 1], uniform.cdf).pvalue > 0.01
    assert drawn("uniform", 5, 7).shape == (5, 7)


def test_the_roll_is_that_of_scikit_learn():
    """Less its mean, in units of its standard deviation; both by integration."""
    roll = make_swiss_roll(4000, noise=0.5, random_state=0)[0][:, [0, 2]]
    a, b = 1.5 * np.pi, 4.5 * np.pi

    def moment(turn, power):
        return integrate.quad(lambda t: (t * turn(t)) ** power, a, b)[0] / (b - a)

    for column, turn in zip(roll.T, (np.cos, np.sin), strict=True):
        mean, square = moment(turn, 1), moment(turn, 2)
        column[:] = (column - mean) / np.sqrt(square - mean**2 + 0.25)
    assert two_sample_accuracy(roll, drawn("swiss_roll")) < 0.53
    assert two_sample_accuracy(roll, drawn("normal")) > 0.8


# The statistic and the discriminator


def test_divergence_is_unbiased_and_its_rows_have_the_right_spread():
    """Against its own spread over many samples, under the prior and away from it."""
    features = Features(2, generator())
    white = features.whitening(torch.from_numpy(drawn("normal")).float())
    for shift in (0.0, 0.7):
        values, errors = [], []
        for seed in range(200):
            z = torch.randn(150, 2, generator=generator(seed)) + shift
            rows = features.divergence(z, *white)
            values.append(rows.mean().item())
            errors.append(rows.std().item() / np.sqrt(150))
        spread = np.std(values)
        if shift == 0.0:
            assert abs(np.mean(values)) < 4 * spread / np.sqrt(200)
        else:
            assert np.mean(errors) == pytest.approx(spread, rel=0.25)
            assert np.mean(values) > 3 * spread


def test_divergence_is_near_that_of_jensen_and_shannon():
    """Of two normal distributions whose means differ a little, by integration."""
    shift = 0.4

    def share(x):
        p, q = stats.norm.pdf(x), stats.norm.pdf(x, shift)
        return 0.5 * (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)))

    exact = integrate.quad(share, -8, 8)[0]
    features = Features(1, generator())
    white = features.whitening(torch.from_numpy(drawn("normal", 50_000, 1)).float())
    z = torch.randn(20_000, 1, generator=generator(1)) + shift
    assert features.divergence(z, *white).mean().item() == pytest.approx(exact, rel=0.35)


def test_divergence_of_a_single_row_is_nothing():
    features = Features(2, generator())
    white = features.whitening(torch.from_numpy(drawn("normal")).float())
    assert features.divergence(torch.ones(1, 2), *white).item() == 0.0


def test_pace_does_not_change_what_the_discriminator_starts_as():
    """Its answers begin as those of an ordinary network of the same weights."""
    discriminator = Discriminator(2, generator(3))
    seeded = generator(3)
    features = Features(2, seeded)
    reference = mlp(2 + 128, 1, (128, 64), "leaky_relu", seeded, False)
    z = torch.randn(9, 2, generator=generator())
    expected = reference(torch.cat([z, features(z)], dim=1))[:, 0]
    torch.testing.assert_close(discriminator(z), expected)


def test_each_side_follows_a_gradient_of_its_own(bent):
    """The sum of both losses is what two optimisers would minimise separately."""
    model = AdversarialAutoencoder(2, max_epochs=2, random_state=0).fit(bent)
    module = model.net_.module_.float().train()
    assert isinstance(module, AdversarialModule)
    x = torch.from_numpy((bent - model.mean_) / Table.of(bent).scale).float()
    module.zero_grad()
    module(Batch(x, x), generator()).mean().backward()
    got = {name: value.grad.clone() for name, value in module.named_parameters()}

    draws = module.prior(x)[0]
    chosen = torch.randint(len(draws), (len(x),), generator=generator())
    drawn_codes = draws[chosen].requires_grad_()
    discriminator, softplus = module.discriminator, torch.nn.functional.softplus
    real, fake = discriminator(drawn_codes), discriminator(module.encode(x).detach())
    slope = torch.autograd.grad(real.sum(), drawn_codes, create_graph=True)[0]
    told = softplus(-fake) + softplus(real) + 0.015 * slope.square().sum(1)
    parameters = dict(discriminator.named_parameters())
    for name, grad in zip(
        parameters, torch.autograd.grad(told.mean(), parameters.values()), strict=True
    ):
        torch.testing.assert_close(got["discriminator." + name], grad)

    z = module.encode(x)
    loss = module.decode(z).error(x) + 0.5 * 6 * softplus(discriminator(z))
    for part in ("encoder", "decoder"):
        parameters = dict(getattr(module, part).named_parameters())
        grads = torch.autograd.grad(loss.mean(), parameters.values(), retain_graph=True)
        for name, grad in zip(parameters, grads, strict=True):
            torch.testing.assert_close(got[f"{part}.{name}"], grad)
    # Its value is the error and, weighed, what the discriminator can tell of the divergence.
    told = np.log(2) - 0.5 * (softplus(-fake) + softplus(real))
    expected = module.decode(z).error(x) + 0.5 * 6 * told
    torch.testing.assert_close(module(Batch(x, x), generator()), expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_held_out_rows_weigh_an_error_above_that_of_the_start_tenfold(sign, bent):
    """And the divergence, less where fewer than 1,000 of them show it."""
    options = {"max_epochs": 20, "validation_fraction": None, "random_state": 0}
    model = AdversarialAutoencoder(2, **options).fit(bent)
    pca = PCA(2).fit(bent)
    left = np.square(bent - pca.inverse_transform(pca.transform(bent))).sum() / len(bent)
    linear = left / (2 * pca.noise_variance_)
    module, table = model.net_.module_.float().eval(), Table.of(bent)
    with torch.no_grad():
        module.decoder.output.weight *= sign  # so that what was learned is wrong
        for copies, weight in ((1, 0.4), (2, 0.8), (3, 1.0)):
            x = torch.from_numpy(table.standard(bent)).float().tile(copies, 1)
            z = module.encode(x)
            error = module.decode(z).error(x)
            excess = error.mean() - linear
            assert (excess > 0) == (sign < 0)
            divergence = module.discriminator.features.divergence(z, *module.prior(z)[1:])
            expected = error + 10 * weight * 3 * divergence + 10 * max(excess, 0)
            torch.testing.assert_close(module(Batch(x, x), None), expected, rtol=1e-4, atol=1e-4)


# The estimator


@pytest.mark.parametrize(
    ("likelihood", "options"),
    [("bernoulli", {}), ("bernoulli", {"init": "random"}), ("categorical", {})],
)
def test_the_divergence_weighs_as_much_as_the_error_that_the_start_leaves(
    likelihood, options, digits
):
    """Half the deviance of its probabilities; of normal noise it is half a nat per feature."""
    X = digits[0][:300]
    if likelihood == "categorical":  # 4 shades of every second pixel
        X = np.eye(4)[(3.9 * X[:, ::2]).astype(int)].reshape(300, -1)
        options = {**options, "input_shape": (32, 4)}
    model = AdversarialAutoencoder(
        3, likelihood=likelihood, adversarial_weight=2.0, max_epochs=0, random_state=0, **options
    ).fit(X)
    p = model.reconstruct(X)
    error = special.rel_entr(X, p).sum()
    if likelihood == "bernoulli":
        error += special.rel_entr(1 - X, 1 - p).sum()
    # With random weights the networks add a little to it.
    assert model.net_.module_.weight == pytest.approx(2.0 * error / 300, rel=2e-3)


@pytest.mark.parametrize("n_rows", [400, 5])
def test_with_normal_noise_half_a_nat_is_left_per_dimension(n_rows, bent):
    """The 6 of the features, or as many as there are rows."""
    model = AdversarialAutoencoder(2, adversarial_weight=3.0, max_epochs=0).fit(bent[:n_rows])
    assert model.net_.module_.weight == 3.0 * 0.5 * min(6, n_rows)


def test_codes_of_binary_images_follow_the_prior_too(digits):
    X = np.random.default_rng(0).permutation(digits[0] > 0.5).astype(float)
    train, test = X[:1200], X[1200:]
    options = {"likelihood": "bernoulli", "random_state": 0}
    start = AdversarialAutoencoder(2, max_epochs=0, **options).fit(train)
    model = AdversarialAutoencoder(2, max_epochs=60, **options).fit(train)
    losses, accuracies = [], []
    for m in (model, start):
        p = m.reconstruct(test)
        losses.append(-np.log(np.where(test == 1, p, 1 - p)).sum(axis=1).mean())
        draws = [drawn("normal", seed=seed) for seed in range(3)]
        codes = m.transform(test)
        accuracies.append(np.mean([two_sample_accuracy(codes, some) for some in draws]))
    # With much less weight codes can be told from the prior, with much more there is no gain.
    assert losses[0] < losses[1] - 3
    assert accuracies[0] < min(0.59, accuracies[1] - 0.01)


def test_starts_as_whitened_pca(table):
    k = 3
    model = AdversarialAutoencoder(k, max_epochs=0).fit(table)
    codes = model.transform(table)
    np.testing.assert_allclose(codes.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(k), atol=1e-8)
    pca = PCA(k, whiten=True, svd_solver="full").fit(table)
    np.testing.assert_allclose(np.abs(codes), np.abs(pca.transform(table)), atol=1e-7)
    expected = pca.inverse_transform(pca.transform(table))
    np.testing.assert_allclose(model.reconstruct(table), expected, atol=1e-8)
    error = np.square(table - expected).sum() / ((len(table) - 1) * (table.shape[1] - k))
    assert model.noise_variance_ == pytest.approx(error)


def shifted(n_samples, latent_dim, rng):
    """Exponential codes far from 0, on a scale of their own."""
    return 300.0 + 50.0 * rng.exponential(size=(n_samples, latent_dim))


def test_a_callable_prior_has_a_scale_of_its_own(bent):
    start = AdversarialAutoencoder(2, prior=shifted, max_epochs=0, random_state=0).fit(bent)
    codes = start.transform(bent)
    np.testing.assert_allclose(codes.mean(axis=0), 350.0, atol=1.0)
    np.testing.assert_allclose(np.cov(codes.T), 2500 * np.eye(2), rtol=0.05, atol=1e-5)
    pca = PCA(2).fit(bent)
    expected = pca.inverse_transform(pca.transform(bent))
    np.testing.assert_allclose(start.inverse_transform(codes), expected, atol=1e-8)
    model = AdversarialAutoencoder(2, prior=shifted, random_state=0).fit(bent)
    assert model.best_epoch_ > 0
    draws = drawn(shifted)
    before, after = (two_sample_accuracy(m.transform(bent), draws) for m in (start, model))
    assert after < before - 0.05
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.sample(5), model.sample(5))


def test_held_out_codes_follow_the_prior_and_reconstruct_better_than_pca(digits):
    X = np.random.default_rng(0).permutation(digits[0])  # the rows come writer by writer
    train, test = X[:1200], X[1200:]
    model = AdversarialAutoencoder(2, random_state=0).fit(train)
    start = AdversarialAutoencoder(2, max_epochs=0).fit(train)
    error = [np.square(test - m.reconstruct(test)).sum() for m in (model, start)]
    assert error[0] < 0.85 * error[1]
    accuracies = []
    for m in (model, start):
        codes, draws = m.transform(test), [drawn("normal", seed=seed) for seed in range(3)]
        accuracies.append(np.mean([two_sample_accuracy(codes, some) for some in draws]))
    assert accuracies[0] < accuracies[1]
    assert accuracies[0] < 0.59


def test_codes_have_mean_0_and_covariance_1(bent):
    """Which the decoder takes back: reconstructions are those of the bare module."""
    model = AdversarialAutoencoder(2, random_state=0).fit(bent)
    assert model.best_epoch_ > 0
    codes, scale = model.transform(bent), Table.of(bent).scale
    x = torch.from_numpy((bent - model.mean_) / scale)
    module = inference_module(model.net_, np.float64)[0]
    with torch.no_grad():
        bare = module.encode(x)
        decoded = module.decode(bare).mean.numpy()
    bare = bare.numpy()
    np.testing.assert_allclose(model.reconstruct(bent), decoded * scale + model.mean_)
    for value, from_bare, wanted in (
        (codes.mean(axis=0), bare.mean(axis=0), 0),
        (np.cov(codes.T), np.cov(bare.T), np.eye(2)),
    ):
        assert np.abs(value - wanted).max() < 0.25 * np.abs(from_bare - wanted).max() + 0.01
    # One row more says next to nothing, and a further fit says it all.
    model.set_params(lr=1e-12).partial_fit(bent[:1])
    np.testing.assert_allclose(model.transform(bent), codes, atol=0.05)
    fresh = AdversarialAutoencoder(2, max_epochs=0, random_state=0).fit(bent)
    model.set_params(max_epochs=0).fit(bent)
    np.testing.assert_array_equal(model.transform(bent), fresh.transform(bent))


def test_more_weight_means_codes_nearer_to_the_prior(bent):
    options = {"validation_fraction": None, "max_epochs": 40, "random_state": 0}
    accuracies = []
    for weight in (1e-4, 1.0):
        model = AdversarialAutoencoder(2, adversarial_weight=weight, **options).fit(bent)
        accuracies.append(two_sample_accuracy(model.transform(bent), drawn("normal")))
    assert accuracies[1] < accuracies[0] - 0.05


def test_a_worse_reconstruction_is_never_kept(bent):
    """Codes on the prior alone are not worth it, whatever the adversary weighs."""
    start = AdversarialAutoencoder(2, max_epochs=0).fit(bent)
    for seed in range(2):
        model = AdversarialAutoencoder(2, adversarial_weight=1e4, max_epochs=15, random_state=seed)
        assert model.fit(bent).score(bent) > start.score(bent) - 0.02


def test_curves_begin_with_the_error_of_the_start(bent):
    """Beside the error there is only the divergence, of which little is weighed here."""
    options = {"adversarial_weight": 1e-9, "max_epochs": 1, "lr": 1e-12, "random_state": 0}
    model = AdversarialAutoencoder(2, **options).fit(bent)
    errors = np.square(bent - model.reconstruct(bent)).sum(axis=1)
    mean = (60 * model.validation_curve_[0] + 340 * model.loss_curve_[0]) / 400
    assert mean == pytest.approx(errors.mean(), rel=1e-4)


@pytest.mark.parametrize("prior", ["normal", "uniform", "swiss_roll"])
def test_samples_are_decoded_draws(prior, bent):
    model = AdversarialAutoencoder(2, prior=prior, max_epochs=0, random_state=0).fit(bent)
    codes = model.transform(model.sample(4000, random_state=1))
    assert two_sample_accuracy(codes, drawn(prior)) < 0.54
    model.set_params(prior="normal")  # of the next fit
    np.testing.assert_array_equal(model.transform(model.sample(4000, random_state=1)), codes)


def test_interpolation_goes_where_the_prior_is(bent):
    options = {"max_epochs": 0, "random_state": 0}
    for prior, circle in (("normal", True), ("uniform", False)):
        model = AdversarialAutoencoder(2, prior=prior, **options).fit(bent)
        ends = model.transform(bent[:2])
        way = model.transform(model.interpolate(bent[:1], bent[1:2], 3)[0])
        straight = ends.mean(axis=0)
        if circle:
            a, b = (end / np.linalg.norm(end) for end in ends)
            half = np.arccos(a @ b) / 2
            np.testing.assert_allclose(way[1], straight / np.cos(half), atol=1e-10)
            assert not np.allclose(way[1], straight)
        else:
            np.testing.assert_allclose(way[1], straight, atol=1e-10)
        np.testing.assert_allclose(way[[0, 2]], ends, atol=1e-10)


def test_a_fit_forgets_how_the_codes_of_one_before_were_turned(bent):
    options = {"init": "random", "random_state": 0}
    model = AdversarialAutoencoder(2, max_epochs=5, **options).fit(bent)
    model.set_params(max_epochs=0).fit(bent)
    fresh = AdversarialAutoencoder(2, max_epochs=0, **options).fit(bent)
    np.testing.assert_array_equal(model.transform(bent), fresh.transform(bent))
    assert model.set_params(latent_dim=3).fit_transform(bent).shape == (400, 3)


def test_warm_start_keeps_the_prior(bent):
    model = AdversarialAutoencoder(2, max_epochs=1, warm_start=True).fit(bent)
    model.set_params(prior="uniform")
    with pytest.raises(ValueError, match=r"prior was 'normal' and is 'uniform'"):
        model.fit(bent)
