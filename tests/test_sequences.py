"""Rows made of steps: categories, and recurrent networks."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from _estimators import OF_CODES, never_trained
from _sizes import small_memory
from scipy import special, stats
from torch import nn

import skae
from skae import AutoencoderTransformer, DenoisingAutoencoder, VAETransformer
from skae.likelihoods.categorical import Autoregressive, Categorical, CategoricalLikelihood
from skae.nn.fitted import inference_module
from skae.nn.networks import Sizes, largest_product, widest_layer
from skae.nn.recurrent import recurrent_networks

VAES = [cls for cls in OF_CODES if issubclass(cls, VAETransformer)]
every_estimator = pytest.mark.parametrize("cls", [AutoencoderTransformer, *VAES])
every_vae = pytest.mark.parametrize("cls", VAES)
recurrent_and_hierarchical = pytest.mark.parametrize("network", ["recurrent", "hierarchical"])
pytestmark = pytest.mark.filterwarnings("ignore:.*latents have collapsed")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def one_hot(steps, n_categories):
    return np.eye(n_categories)[steps]


@pytest.fixture(scope="module")
def tunes():
    return rising_or_falling(400)


def rising_or_falling(n_rows):
    """Rows of 6 steps in 4 categories: a first note, and whether it rises or falls."""
    rng = np.random.default_rng(0)
    first, direction = rng.integers(4, size=(n_rows, 1)), rng.choice([-1, 1], (n_rows, 1))
    wrong = (rng.random((n_rows, 6)) < 0.05) * rng.integers(4, size=(n_rows, 6))
    return one_hot((first + direction * np.arange(6) + wrong) % 4, 4)


@pytest.fixture(scope="module")
def waves():
    """400 rows of 18 steps in 2 features: waves of any phase, which PCA of 1 code cannot do."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (400, 1))
    angle = phase + np.linspace(0, 2 * np.pi, 18)
    X = np.stack([np.sin(angle), np.cos(2 * angle)], axis=2)
    return X + 0.05 * rng.standard_normal(X.shape)


def cross_entropy(X, probabilities):
    return -(X * np.log(probabilities)).reshape(len(X), -1).sum(axis=1).mean()


def independent(X):
    """Cross-entropy of categories with the frequencies that each step has."""
    p = X.mean(axis=0)
    return -special.xlogy(p, p).sum()


# The distributions


def test_categorical_is_that_of_torch():
    logits = draw(7, 3, 4)
    reference = torch.distributions.OneHotCategorical(logits=logits)
    ours = Categorical(logits.flatten(1), 4)
    x = torch.eye(4).double()[torch.randint(4, (7, 3), generator=generator())]
    torch.testing.assert_close(ours.log_prob(x.flatten(1)), reference.log_prob(x).sum(-1))
    torch.testing.assert_close(ours.mean, reference.mean.flatten(1))
    torch.testing.assert_close(ours.likeliest().view(7, 3, 4), reference.mode)
    soft = draw(7, 3, 4, seed=1).softmax(-1)
    expected = nn.functional.cross_entropy(
        logits.flatten(0, 1), soft.flatten(0, 1), reduction="none"
    )
    torch.testing.assert_close(ours.error(soft.flatten(1)), expected.view(7, 3).sum(1))
    crossed = ours.cross_log_prob(x.flatten(1)[:5])
    rows = [ours.log_prob(row.expand(7, -1)) for row in x.flatten(1)[:5]]
    torch.testing.assert_close(crossed, torch.stack(rows))


def test_categorical_samples_have_the_distribution():
    logits = draw(6).expand(20_000, 6)
    state = torch.get_rng_state()
    drawn = Categorical(logits, 3).sample(generator())
    assert torch.equal(torch.get_rng_state(), state)
    assert (drawn.view(-1, 2, 3).sum(-1) == 1).all()
    torch.testing.assert_close(drawn.mean(0), Categorical(logits, 3).mean[0], atol=0.02, rtol=0)


def decoder_of(row, *, hierarchical=False, widths=(5, 3), last_zero=False, reads_past=True):
    sizes = Sizes(row, n_codes=4, latent_dim=2, n_conditions=1, reads_past=reads_past)
    networks = recurrent_networks(sizes, widths, "silu", generator(), last_zero, hierarchical)
    return networks[1].double()


def stepwise(decoder, z, n_categories):
    linear = draw(*z.shape[:-1], int(np.prod(decoder.sequence)), seed=9)
    return Autoregressive(linear, n_categories, lambda x: decoder(z, x), lambda: decoder.steps(z))


every_kind = pytest.mark.parametrize(
    ("n_steps", "hierarchical"), [(1, False), (5, False), (7, True), (16, True), (35, True)]
)


@every_kind
@pytest.mark.parametrize("widths", [(), (5,), (5, 3)])
def test_likelihood_is_the_product_of_conditionals(n_steps, hierarchical, widths):
    """All steps at once, as they are trained, against one after the other, as they are drawn."""
    decoder = decoder_of((n_steps, 3), hierarchical=hierarchical, widths=widths)
    z = draw(4, 3)
    x = torch.eye(3).double()[torch.randint(3, (4, n_steps), generator=generator())]
    ours = stepwise(decoder, z, 3)
    advance, before, total = decoder.steps(z), torch.zeros(4, 3).double(), 0.0
    for number in range(n_steps):
        logits = ours.linear.view(4, -1, 3)[:, number] + advance(before)
        before = x[:, number]
        total = total + (before * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(ours.log_prob(x.flatten(1)), total)


@every_kind
def test_a_step_depends_on_the_steps_before_it_alone(n_steps, hierarchical):
    decoder = decoder_of((n_steps, 3), hierarchical=hierarchical)
    z, x = draw(1, 3), draw(1, n_steps, 3, seed=1).requires_grad_()
    for number in range(n_steps):
        (gradient,) = torch.autograd.grad(
            decoder(z, x.flatten(1)).view(n_steps, 3)[number].sum(), x, allow_unused=True
        )
        reached = gradient.abs().sum(-1)[0] > 0
        assert not reached[number:].any()
        assert number == 0 or reached[number - 1]


def test_drawn_steps_have_the_likelihood():
    """The frequencies of all 27 rows against their probabilities, which sum to 1."""
    decoder, every = (
        decoder_of((3, 3)),
        torch.eye(3).double()[torch.tensor(list(itertools.product(range(3), repeat=3)))],
    )
    rows = every.flatten(1)
    p = stepwise(decoder, draw(1, 3).expand(27, 3), 3)
    p.linear = p.linear[:1].expand(27, -1)
    probabilities = p.log_prob(rows).exp().detach().numpy()
    assert probabilities.sum() == pytest.approx(1.0)
    many = stepwise(decoder, draw(1, 3).expand(20_000, 3), 3)
    many.linear = p.linear[:1].expand(20_000, -1)
    drawn = many.sample(generator()).numpy()
    counts = (drawn @ rows.numpy().T == 3).sum(axis=0)
    assert counts.sum() == 20_000
    assert stats.chisquare(counts, 20_000 * probabilities).pvalue > 0.001


def test_mean_follows_the_likeliest_steps():
    decoder, z = decoder_of((5, 3)), draw(4, 3)
    ours = stepwise(decoder, z, 3)
    mean = ours.mean
    steps = mean.view(4, 5, 3)
    torch.testing.assert_close(steps.sum(-1), torch.ones(4, 5).double())
    path = nn.functional.one_hot(steps.argmax(-1), 3).double().flatten(1)
    told = Categorical(ours.linear + decoder(z, path), 3)
    torch.testing.assert_close(told.mean, mean)


@pytest.mark.parametrize("hierarchical", [False, True])
@pytest.mark.parametrize("reads_past", [False, True])
@pytest.mark.parametrize("n_steps", [1, 4, 18, 33])
def test_networks_of_any_length(n_steps, reads_past, hierarchical):
    state = torch.get_rng_state()
    sizes = Sizes((n_steps, 3), 4, 2, 1, reads_past)
    x, z = draw(5, n_steps * 3 + 1).float(), draw(2, 5, 3).float()
    told = [draw(5, n_steps * 3, seed=3).float()] if reads_past else []
    for widths in [(), (6,), (6, 4)]:
        make = (sizes, widths, "relu", generator())
        encoder, decoder = recurrent_networks(*make, False, hierarchical)
        assert encoder(x).shape == (5, 4)
        assert decoder(z, *told).shape == (2, 5, n_steps * 3)
        one = [rows[:1] for rows in told]
        torch.testing.assert_close(decoder(z[0, :1], *one), decoder(z, *told)[0, :1])
        encoder, decoder = recurrent_networks(*make, True, hierarchical)
        assert not encoder(x).any()
        assert not decoder(z, *told).any()
    assert torch.equal(torch.get_rng_state(), state)


def test_recurrent_networks_against_the_layers_of_torch():
    sizes = Sizes((4, 3), n_codes=2, latent_dim=2)
    encoder, decoder = recurrent_networks(sizes, (6, 5), "tanh", generator(), False)
    assert [layer.hidden_size for layer in encoder.layers] == [6, 5]
    assert [layer.hidden_size for layer in decoder.layers] == [5, 6]
    x, z = draw(7, 12).float(), draw(7, 2).float()
    states = x.view(7, 4, 3)
    for layer in encoder.layers:
        states = layer(states)[0]
    torch.testing.assert_close(encoder(x), encoder.output(states.flatten(1)))
    states = decoder.reader(z).tanh().view(7, 4, 5)
    for layer in decoder.layers:
        states = layer(states)[0]
    torch.testing.assert_close(decoder(z), decoder.output(states).flatten(1))


def test_layers_start_as_those_of_torch():
    state = torch.get_rng_state()
    try:
        torch.manual_seed(3)
        first, linear = nn.GRU(3, 6, bidirectional=True), nn.Linear(4 * 12, 2)
    finally:
        torch.set_rng_state(state)
    encoder, _ = recurrent_networks(Sizes((4, 3), 2, 2), (6,), "silu", generator(3), False)
    for ours, theirs in ((encoder.layers[0], first), (encoder.output, linear)):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_the_conductor_leads_through_segments():
    """With the same embedding all segments are the same; without a past they know no other."""
    decoder = decoder_of((40, 3), hierarchical=True, reads_past=False)
    assert (decoder.n_segments, decoder.length) == (3, 14)
    nn.init.zeros_(decoder.conductor.weight_hh_l0)
    nn.init.zeros_(decoder.conductor.weight_ih_l0)
    nn.init.zeros_(decoder.conductor.bias_hh_l0)
    new = slice(decoder.conductor.hidden_size, 2 * decoder.conductor.hidden_size)
    nn.init.constant_(decoder.conductor.bias_ih_l0[new], -30.0)  # no memory, in every segment
    rows = decoder(draw(2, 3)).view(2, 40, 3)
    torch.testing.assert_close(rows[:, :14], rows[:, 14:28])
    torch.testing.assert_close(rows[:, :12], rows[:, 28:])


def test_work_and_width():
    encoder, _ = recurrent_networks(Sizes((32, 22), 2, 2), (8,), "silu", generator(), False)
    assert largest_product(encoder) == max(32 * 16 * 2 + 2, 6 * 8 * (22 + 8 + 2))
    assert widest_layer("recurrent", (32, 22), (8, 16)) == 32 * 96


# The classical starts


@pytest.mark.parametrize("cls", [AutoencoderTransformer, *VAES])
def test_two_categories_are_a_bernoulli(cls, digits):
    """Both likelihoods, closed forms and all, of whether a pixel is dark."""
    X = (digits[0][:400, 17:31] > 0.5).astype(float)
    pairs = np.stack([X, 1 - X], axis=2)
    options = {"max_epochs": 0, "random_state": 0}
    binary = cls(3, likelihood="bernoulli", **options).fit(X)
    categorical = cls(3, likelihood="categorical", **options).fit(pairs)
    codes, others = binary.transform(X), categorical.transform(pairs)
    signs = np.sign((codes * others).sum(axis=0))
    np.testing.assert_allclose(others, codes * signs, atol=1e-6)
    np.testing.assert_allclose(
        categorical.inverse_transform(others)[:, :, 0], binary.inverse_transform(codes), atol=1e-6
    )
    if cls in VAES:  # by quasi-random draws, whose points a sign moves
        np.testing.assert_allclose(
            categorical.score_samples(pairs), binary.score_samples(X), atol=0.2
        )


def test_two_categories_are_a_bernoulli_to_the_denoiser(digits):
    X = (digits[0][:, 16:40] > 0.5).astype(float)
    noisy = np.where(np.random.default_rng(0).random(X.shape) < 0.2, 1 - X, X)
    options = {"max_epochs": 0, "random_state": 0}
    binary = DenoisingAutoencoder(3, likelihood="bernoulli", **options).fit(noisy, X_clean=X)
    pairs, noisy_pairs = np.stack([X, 1 - X], axis=2), np.stack([noisy, 1 - noisy], axis=2)
    categorical = DenoisingAutoencoder(3, likelihood="categorical", **options)
    denoised = categorical.fit(noisy_pairs, X_clean=pairs).denoise(noisy_pairs)
    np.testing.assert_allclose(denoised[:, :, 0], binary.denoise(noisy), atol=0.01)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_starts_are_better_than_independent_categories(k, tunes):
    options = {"likelihood": "categorical", "max_epochs": 0, "random_state": 0}
    for cls in (AutoencoderTransformer, DenoisingAutoencoder):
        model = cls(k, **options).fit(tunes)
        assert cross_entropy(tunes, model.reconstruct(tunes)) < independent(tunes)
    assert -VAETransformer(k, **options).fit(tunes).score(tunes) < independent(tunes)


def test_start_of_noise_is_independent_categories():
    X = one_hot(np.random.default_rng(0).integers(3, size=(1000, 4)), 3)
    vae = VAETransformer(1, likelihood="categorical", max_epochs=0, random_state=0).fit(X)
    assert -vae.score(X) <= independent(X) + 1e-3
    assert -vae.score(X) == pytest.approx(4 * np.log(3), rel=0.01)


def test_smoothed_frequencies_sum_to_one():
    p = CategoricalLikelihood(3).smoothed(np.array([0.0, 0.25, 0.75]), 4)
    np.testing.assert_allclose(p, [1 / 15, 4 / 15, 10 / 15])


def test_a_category_that_never_comes_and_a_row_of_one_step():
    X = one_hot(np.random.default_rng(0).choice(4, 500, p=[0.5, 0.3, 0.2, 0.0]), 4)
    vae = VAETransformer(1, likelihood="categorical", max_epochs=3, random_state=0).fit(X)
    every = np.eye(4)
    p = np.exp(vae.score_samples(every))
    np.testing.assert_allclose(p, X.mean(axis=0), atol=0.05)
    assert p.sum() == pytest.approx(1.0, abs=0.01)
    assert 0 < p[3] < 0.01


@every_estimator
@recurrent_and_hierarchical
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "categorical"])
def test_recurrent_networks_start_as_the_classical_method(cls, network, likelihood, tunes):
    options = {"likelihood": likelihood, "max_epochs": 0, "random_state": 0}
    plain = cls(2, input_shape=(6, 4), **options).fit(tunes)
    model = cls(2, network=network, **options).fit(tunes)
    np.testing.assert_allclose(model.transform(tunes), plain.transform(tunes), atol=1e-10)
    np.testing.assert_allclose(model.reconstruct(tunes), plain.reconstruct(tunes), atol=1e-10)
    scores = model.score_samples(tunes[:50]), plain.score_samples(tunes[:50])
    np.testing.assert_allclose(*scores, rtol=1e-8)


# Training


@every_vae
@pytest.mark.parametrize("network", ["mlp", "recurrent", "hierarchical"])
def test_probabilities_of_all_rows_sum_to_one(cls, network):
    rng = np.random.default_rng(0)
    steps = (rng.integers(3, size=(300, 1)) + rng.integers(2, size=(300, 1)) * [0, 1, 2]) % 3
    X = one_hot(steps, 3)
    options = {"network": network, "likelihood": "categorical", "random_state": 0}
    options |= {"hidden_layer_sizes": 16, "validation_fraction": None}
    vae = cls(1, max_epochs=20, **options).fit(X)
    every = one_hot(np.array(list(itertools.product(range(3), repeat=3))), 3)
    p = np.exp(vae.score_samples(every))
    assert p.sum() == pytest.approx(1.0, abs=0.03)


def test_score_samples_of_steps_against_integration(tunes):
    """log p(x) by summing p(x | z) p(z) over a grid of the one latent."""
    vae = VAETransformer(
        1, network="recurrent", likelihood="categorical", max_epochs=20, random_state=0
    ).fit(tunes)
    assert vae.best_epoch_ > 0  # something was learned
    module, _ = inference_module(vae.net_, np.float64)
    grid = torch.linspace(-7, 7, 281).double()[:, None, None]
    rows = torch.from_numpy(tunes[:40].reshape(40, -1))
    with torch.no_grad():
        joint = module.decode(grid.expand(-1, 40, 1)).log_prob(rows)
    log_prior = stats.norm.logpdf(grid[..., 0].numpy()) + np.log(14 / 280)
    exact = special.logsumexp(joint.numpy() + log_prior, axis=0)
    bound = vae.score_samples(tunes[:40])
    assert bound.mean() == pytest.approx(exact.mean(), abs=0.05)
    assert (bound - exact).max() < 0.3


def test_steps_hang_together_beyond_the_code():
    """The code says when a tune begins to fall; the steps alone know that each goes on."""
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.integers(-1, 2, (600, 12)), axis=1) % 6
    X = one_hot(steps, 6)
    options = {"likelihood": "categorical", "random_state": 0, "max_epochs": 20}
    options |= {"hidden_layer_sizes": 24, "lr": 0.01}
    alone = VAETransformer(2, network="mlp", **options).fit(X[:450])
    told = VAETransformer(2, network="recurrent", **options).fit(X[:450])
    score = told.score(X[550:])
    assert score > alone.score(X[550:]) + 2
    assert score < -11.5 * np.log(3)  # as likely as they are

    def leaps(rows):
        across = np.diff(rows.argmax(axis=2), axis=1) % 6
        return np.isin(across, [2, 3, 4]).mean()

    assert leaps(told.sample(300)) < 0.5 * leaps(alone.sample(300))


@every_estimator
@pytest.mark.parametrize("likelihood", ["gaussian", "categorical"])
def test_every_weight_is_trained(cls, likelihood, tunes):
    options = {"network": "hierarchical", "likelihood": likelihood, "random_state": 0}
    options |= {"hidden_layer_sizes": (6, 5), "validation_fraction": None}
    before = cls(2, max_epochs=0, **options).fit(tunes).net_.module_.state_dict()
    for name, value in cls(2, max_epochs=2, **options).fit(tunes).net_.module_.named_parameters():
        assert not torch.equal(before[name], value), name


def test_the_step_before_is_told_most_of_the_time_in_training(tunes):
    options = {"network": "recurrent", "likelihood": "categorical", "validation_fraction": None}
    module = VAETransformer(2, max_epochs=2, **options).fit(tunes).net_.module_
    z, x = torch.zeros(400, 2), torch.from_numpy(tunes.reshape(400, -1)).float()

    def loss(seed):
        return module.decode(z, generator(seed)).log_prob(x).detach()

    module.train()
    assert not torch.equal(loss(0), loss(1))
    assert torch.equal(loss(0), loss(0))
    module.eval()
    assert torch.equal(loss(0), loss(1))
    told = []
    module.decoder.previous.register_forward_pre_hook(lambda layer, rows: told.extend(rows))
    module.train()
    loss(0)
    (steps,) = told  # zeros where there is none before, or it is not told
    assert (steps.sum(-1) > 0)[:, 1:].float().mean() == pytest.approx(0.75, abs=0.05)
    assert not steps[:, 0].any()


@pytest.mark.parametrize("likelihood", ["gaussian", "categorical"])
@recurrent_and_hierarchical
def test_learns_what_the_start_cannot(likelihood, network, waves):
    X = waves if likelihood == "gaussian" else rising_or_falling(1200)
    train, test = X[:-100], X[-100:]
    options = {"likelihood": likelihood, "network": network, "random_state": 0}
    options |= {"hidden_layer_sizes": 24, "max_epochs": 25, "lr": 0.01}
    start = AutoencoderTransformer(2, **(options | {"max_epochs": 0})).fit(train)
    model = AutoencoderTransformer(2, **options).fit(train)
    left, before = (np.square(test - m.reconstruct(test)).sum() for m in (model, start))
    assert left < 0.6 * before


# Rows in and out


@every_estimator
@recurrent_and_hierarchical
@pytest.mark.parametrize("likelihood", ["gaussian", "categorical"])
def test_flat_and_shaped_rows_are_the_same(cls, network, likelihood, tunes):
    X = tunes.astype(np.float32)
    flat = X.reshape(400, -1)
    options = {"network": network, "likelihood": likelihood, "max_epochs": 2, "random_state": 0}
    shaped = cls(2, hidden_layer_sizes=8, **options).fit(X)
    other = cls(2, hidden_layer_sizes=8, input_shape=(6, 4), **options).fit(flat)
    codes = shaped.transform(X)
    for rows in (X, flat):
        np.testing.assert_array_equal(shaped.transform(rows), codes)
        np.testing.assert_array_equal(other.transform(rows), codes)
        assert shaped.reconstruct(rows).shape == X.shape
        assert other.reconstruct(rows).shape == flat.shape
    assert shaped.inverse_transform(codes).dtype == np.float32
    assert shaped.sample(3, random_state=0).shape == (3, 6, 4)
    assert shaped.sample(3).dtype == np.float32
    assert shaped.interpolate(X[:4], flat[4:8], 5).shape == (4, 5, 6, 4)
    copied = pickle.loads(pickle.dumps(shaped))
    np.testing.assert_array_equal(copied.reconstruct(X), shaped.reconstruct(X))
    np.testing.assert_array_equal(copied.score_samples(X), shaped.score_samples(X))
    np.testing.assert_array_equal(copied.sample(4), shaped.sample(4))
    assert b"torch" not in pickle.dumps(shaped)


@every_vae
def test_float32_and_float64_agree(cls, tunes):
    options = {"network": "recurrent", "likelihood": "categorical", "random_state": 0}
    vae = cls(2, max_epochs=5, hidden_layer_sizes=16, **options).fit(tunes)
    X = tunes[:50]
    single = X.astype(np.float32)
    np.testing.assert_allclose(vae.transform(single), vae.transform(X), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(vae.score_samples(single), vae.score_samples(X), rtol=1e-5)
    np.testing.assert_allclose(vae.reconstruct(single), vae.reconstruct(X), atol=1e-4)


@every_estimator
def test_results_depend_on_neither_order_nor_blocks(cls, tunes, monkeypatch):
    options = {"network": "recurrent", "likelihood": "categorical", "random_state": 0}
    model = cls(2, max_epochs=3, hidden_layer_sizes=8, **options).fit(tunes)
    X = tunes[:60]
    before = [model.transform(X), model.reconstruct(X), model.score_samples(X)]
    order = np.random.default_rng(0).permutation(60)
    small_memory(monkeypatch, array=5000)
    after = [verb(X[order]) for verb in (model.transform, model.reconstruct, model.score_samples)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(b, a[order], rtol=1e-9, atol=1e-12)


@every_vae
@pytest.mark.parametrize("network", ["mlp", "recurrent"])
def test_samples_of_categories(cls, network, tunes):
    vae = cls(2, network=network, likelihood="categorical", max_epochs=10, random_state=0)
    vae.fit(tunes)
    drawn = vae.sample(1000)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert (drawn.sum(axis=2) == 1).all()
    np.testing.assert_array_equal(drawn, vae.sample(1000))
    assert not np.array_equal(drawn, vae.sample(1000, random_state=1))
    np.testing.assert_allclose(drawn.mean(axis=0), tunes.mean(axis=0), atol=0.1)
    p = vae.sample(100, add_noise=False)
    assert ((p > 0) & (p < 1)).all()
    np.testing.assert_allclose(p.sum(axis=2), 1.0)
    assert not hasattr(vae, "noise_variance_")


def test_chunks_of_sequences(tunes):
    vae = VAETransformer(2, network="hierarchical", likelihood="categorical", random_state=0)
    for low in range(0, 400, 100):
        vae.partial_fit(tunes[low : low + 100])
    assert vae.n_samples_ == 400
    assert vae.sample(2).shape == (2, 6, 4)


def test_conditions_of_sequences(tunes):
    """A class that says the first note leaves the code what comes after it."""
    y = tunes[:, 0].argmax(axis=1)
    options = {"network": "recurrent", "likelihood": "categorical", "random_state": 0}
    vae = skae.ConditionalVAE(1, max_epochs=15, **options).fit(tunes, y)
    for label in range(4):
        drawn = vae.sample(200, y=label)
        assert (drawn[:, 0].argmax(axis=1) == label).mean() > 0.8
    assert vae.score(tunes[:50], y[:50]) > vae.score(tunes[:50])


# Bad input


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        (
            {},
            lambda X: 2 * X,
            r"likelihood='categorical' needs values in \[0, 1\]; got X with values from 0 to "
            r"2. One-hot encode X",
        ),
        (
            {},
            lambda X: 0.5 * X,
            r"the 4 values of a step must sum to 1; got a step whose sum is 0.5. One-hot encode X",
        ),
        (
            {},
            lambda X: X.reshape(len(X), -1),
            r"the 24 values of a step must sum to 1; got a step whose sum is 6. X seems to hold 6 "
            r"one-hot encoded columns. If they have 4 categories each, give input_shape=\(6, 4\)",
        ),
        (
            {"network": "recurrent"},
            lambda X: X.reshape(len(X), -1),
            r"network='recurrent' needs input_shape=\(steps, features\); got "
            r"input_shape=None and rows of shape \(24,\)",
        ),
        (
            {"network": "hierarchical", "input_shape": (6, 2, 2)},
            lambda X: X.reshape(len(X), -1),
            r"network='hierarchical' needs input_shape=\(steps, features\); got "
            r"input_shape=\(6, 2, 2\)",
        ),
        (
            {"input_shape": (5, 4)},
            lambda X: X,
            r"X must have rows of shape \(5, 4\), as input_shape, or of 20 features; got rows of "
            r"shape \(6, 4\)",
        ),
    ],
)
@every_estimator
def test_bad_rows(cls, options, change, message, tunes):
    model = never_trained(cls, likelihood="categorical", **options)
    with pytest.raises(ValueError, match=message):
        model.fit(change(tunes))


def test_sums_in_the_precision_of_the_rows(tunes):
    soft = np.random.default_rng(0).dirichlet([1, 1, 1], (50, 40)).astype(np.float32)
    AutoencoderTransformer(2, likelihood="categorical", max_epochs=0).fit(soft)
    with pytest.raises(ValueError, match=r"whose sum is 1.0000"):
        AutoencoderTransformer(2, likelihood="categorical").fit(
            np.where(np.arange(3) == 1, soft + 1e-5, soft).astype(float)
        )


def test_bad_rows_to_score(tunes):
    vae = VAETransformer(2, likelihood="categorical", max_epochs=1).fit(tunes)
    with pytest.raises(ValueError, match=r"got a step whose sum is 0.9"):
        vae.score_samples(0.9 * tunes)
    assert np.isfinite(vae.transform(0.9 * tunes)).all()
