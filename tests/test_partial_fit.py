"""Rows that come in chunks."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from _estimators import ESTIMATORS, OF_CODES
from _sizes import small_memory
from sklearn.decomposition import PCA
from skorch.callbacks import Callback, EarlyStopping

from skae import (
    AutoencoderTransformer,
    DenoisingAutoencoder,
    VAETransformer,
)
from skae.training.chunks import Chunks
from skae.training.train import Progress

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)


def surface(n_rows, seed):
    """Rows on a bent surface, as those of the fixture `bent`."""
    rng = np.random.default_rng(seed)
    u, v = rng.uniform(-2, 2, (2, n_rows))
    X = np.column_stack([u, v, u**2, v**2, u * v, np.sin(2 * u)])
    return X + 0.05 * rng.standard_normal(X.shape)


@every_estimator
def test_the_first_chunk_gives_the_closed_form(cls, bent):
    model = cls(2, lr=1e-12, random_state=0).partial_fit(bent)
    start = cls(2, max_epochs=0, random_state=0).fit(bent)
    np.testing.assert_allclose(model.transform(bent), start.transform(bent), atol=1e-12)
    assert model.best_epoch_ == 0


@every_estimator
def test_chunks_teach(cls, bent):
    model = cls(2, random_state=0)
    first = surface(200, 0)
    for seed in range(60):
        model.partial_fit(first if seed == 0 else surface(200, seed))
    start = cls(2, max_epochs=0, random_state=0).fit(first)
    whole = cls(2, max_epochs=20, random_state=0).fit(surface(2000, 60))
    gain, possible = (m.score(bent) - start.score(bent) for m in (model, whole))
    share = {"VAETransformer": 0.2, "ConditionalVAE": 0.1}.get(cls.__name__, 0.5)
    assert gain > share * possible > 0
    assert model.n_samples_ == 60 * 200
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_curve_) - 1 == 60
    assert 0 < model.best_epoch_ <= 60
    assert model.sample(3).shape == (3, 6)


@every_estimator
def test_same_seed_same_bits(cls):
    def codes():
        model = cls(2, random_state=3)
        for seed in range(4):
            model.partial_fit(surface(100, seed))
        return model.transform(surface(50, 9))

    np.testing.assert_array_equal(codes(), codes())


def test_each_chunk_has_randomness_of_its_own():
    chunks = Chunks(seed=5)
    first = chunks.streams().integer("noise")
    assert first == Chunks(seed=5).streams().integer("noise")
    assert first != chunks.after(None, None).streams().integer("noise")


@every_estimator
def test_a_pickle_goes_on_where_it_was(cls):
    model = cls(2, random_state=0)
    for seed in range(3):
        model.partial_fit(surface(200, seed))
    loaded = pickle.loads(pickle.dumps(model))
    scores = []
    for one in (model, loaded):
        for seed in range(3, 10):
            one.partial_fit(surface(200, seed))
        scores.append(one.score(surface(500, 99)))
    assert loaded.n_iter_ == model.n_iter_ == 10
    assert scores[0] == scores[1]
    # Held-out rows of the chunks before are judged by, too.
    np.testing.assert_array_equal(loaded.validation_curve_, model.validation_curve_)


def test_fit_forgets_chunks(bent):
    options = {"max_epochs": 3, "random_state": 0}
    model = AutoencoderTransformer(2, **options).partial_fit(surface(100, 0)).fit(bent)
    fresh = AutoencoderTransformer(2, **options).fit(bent)
    np.testing.assert_array_equal(model.transform(bent), fresh.transform(bent))
    assert model.n_samples_ == 400
    assert model.n_iter_ == 3


@pytest.mark.parametrize("cls", OF_CODES)  # the other chooses its codes after training
def test_a_chunk_after_fit_goes_on_from_it(cls, bent):
    model = cls(2, random_state=0, max_epochs=30).fit(bent)
    before, weights = model.score(bent), model.net_.module_.state_dict()
    weights = {name: value.clone() for name, value in weights.items()}
    model.set_params(lr=1e-12).partial_fit(surface(300, 1))
    for name, value in model.net_.module_.state_dict().items():
        np.testing.assert_allclose(value, weights[name], atol=1e-6)
    assert 1 - model.score(bent) < 1.01 * (1 - before)  # the start has moved a little
    assert model.n_iter_ == 31
    assert model.n_samples_ == 700


@every_estimator
@pytest.mark.parametrize("n_rows", [1, 8])
def test_a_small_chunk_does_not_undo_a_fit(cls, n_rows, bent):
    model = cls(2, random_state=0, max_epochs=30).fit(bent)
    before, best = model.score(bent), model.best_epoch_
    model.partial_fit(bent[:n_rows])
    start = cls(2, max_epochs=0).fit(bent).score(bent)
    assert model.score(bent) - start > 0.9 * (before - start)
    assert model.best_epoch_ >= best > 0


def test_curves_are_as_long_as_the_chunks_are_many(bent):
    model = AutoencoderTransformer(2, validation_fraction=None, random_state=0).partial_fit(bent)
    model.set_params(validation_fraction=0.1).partial_fit(bent)
    assert model.n_iter_ + 1 == len(model.validation_curve_) == 3
    np.testing.assert_array_equal(np.isnan(model.validation_curve_), [True, True, False])


def test_chunks_of_pairs_and_of_rows_do_not_mix(bent):
    def halve(X, level, rng):
        return X / 2

    model = DenoisingAutoencoder(2, corruption=halve, random_state=0)
    model.partial_fit(bent).partial_fit(bent / 2, X_clean=bent).partial_fit(bent)
    losses = model.validation_curve_
    assert losses[1:].max() < 2 * losses[0]


def test_a_single_row_is_a_chunk_but_not_the_first(bent):
    model = AutoencoderTransformer(2, random_state=0)
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        model.partial_fit(bent[:1])
    with pytest.raises(ValueError, match=r"latent_dim=4 must be between 0 and .*=3"):
        AutoencoderTransformer(4).partial_fit(bent[:3])
    model.partial_fit(bent[:50]).partial_fit(bent[50:51])
    assert model.n_samples_ == 51


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((5, 6), np.inf), "contains infinity"),
        (np.full((5, 6), np.nan), "must have a value; got none in columns 0"),
        (np.ones((5, 4)), "4 features"),
        (np.ones(6), "Expected 2D"),
    ],
)
def test_a_chunk_that_is_wrong_changes_nothing(X, message, bent):
    model = AutoencoderTransformer(2, random_state=0).partial_fit(bent[:100])
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X)
    assert pickle.dumps(model) == before
    with pytest.raises(ValueError, match="hidden_layer_sizes was"):
        model.set_params(hidden_layer_sizes=(5,)).partial_fit(bent)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_chunk_changes_nothing(error, bent):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise error

    model = VAETransformer(2, random_state=0, callbacks=[Interrupt()]).partial_fit(bent[:200])
    before = pickle.dumps(model.set_params(callbacks=None))
    model.set_params(callbacks=[Interrupt()])
    with pytest.raises(error):
        model.partial_fit(bent[200:])
    assert pickle.dumps(model.set_params(callbacks=None)) == before


def test_the_learning_rate_on_chunks_rises_and_then_falls_as_the_root_of_the_steps(bent):
    rates = []

    class Watch(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    options = {"batch_size": 1, "hidden_layer_sizes": 1, "validation_fraction": None}
    model = AutoencoderTransformer(2, lr=0.01, callbacks=[Watch()], **options)
    for _ in range(3):
        model.partial_fit(bent)
    taken = np.arange(len(rates)) + 0.5
    assert len(rates) == 1200
    expected = 0.01 * np.minimum(1, np.minimum(taken / 100, np.sqrt(1000 / taken)))
    np.testing.assert_allclose(rates, expected)


def test_callbacks_see_every_chunk(bent):
    seen = []

    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.append("train")

        def on_epoch_end(self, net, **kwargs):
            seen.append(sorted(set(net.history[-1]) & {"train_loss", "valid_loss"}))

    stop = EarlyStopping(patience=1)
    model = AutoencoderTransformer(2, random_state=0, callbacks=[Watch(), stop])
    for seed in range(3):
        model.partial_fit(surface(100, seed))
    assert seen == ["train", ["train_loss", "valid_loss"]] * 3
    assert len(model.net_.history) == 3


def test_a_loss_that_is_not_finite_keeps_what_there_was(bent):
    model = AutoencoderTransformer(2, random_state=0, optimizer="sgd", lr=1e-3)
    model.partial_fit(bent[:200])
    with pytest.warns(UserWarning, match="no longer finite"):
        model.set_params(lr=1e18).partial_fit(bent)
    assert np.isfinite(model.score(bent))
    model.set_params(lr=1e-3).partial_fit(bent)
    assert np.isfinite(model.loss_curve_[-1])


def test_no_rows_held_out_keeps_the_latest(bent):
    model = AutoencoderTransformer(2, validation_fraction=None, random_state=0)
    model.partial_fit(bent).partial_fit(bent)
    assert model.best_epoch_ == model.n_iter_ == 2
    assert len(model.validation_curve_) == 0


def test_the_held_out_rows_are_a_fair_sample_of_all_chunks(monkeypatch):
    small_memory(monkeypatch, kept_rows=100)
    chunks, counts = Chunks(seed=0), np.zeros(8)
    for repeat in range(60):
        chunks = Chunks(seed=repeat)
        for number in range(8):
            size = 20 if number % 2 else 60
            x = number + np.linspace(0, 0.9, size)[:, None]
            chunks = chunks.after((x, 2 * x), chunks.streams())
            assert len(chunks.x) <= 100
            np.testing.assert_array_equal(chunks.target, 2 * chunks.x)  # pairs stay pairs
        counts += np.bincount(chunks.x[:, 0].astype(int), minlength=8)
    assert chunks.n_held_out == 320
    np.testing.assert_allclose(counts / counts.sum(), np.tile([60, 20], 4) / 320, rtol=0.1)


def test_pairs(bent):
    noisy = bent + np.random.default_rng(0).normal(0, 1.0, bent.shape)
    model = DenoisingAutoencoder(2, random_state=0)
    for low in range(0, 400, 100):
        here = slice(low, low + 100)
        model.partial_fit(noisy[here], X_clean=bent[here])
    assert np.square(model.denoise(noisy) - bent).mean() < np.square(noisy - bent).mean()
    assert model.mean_ == pytest.approx(PCA(2).fit(bent).mean_)


@pytest.mark.parametrize(
    ("kept", "best_epoch"), [("start", 0), ("latest", 4), ("carried", 2), ("former", 2)]
)
def test_progress_of_chunks(kept, best_epoch):
    """Curves grow by a chunk's epoch, and the best epoch is that of the weights kept."""
    before = Progress(30, 3, 2, np.array([3.0, 2.0, 1.5]), np.array([5.0, 4.0, 3.0, 3.5]))
    net = SimpleNamespace(loss_curve_=[1.0], validation_curve_=[3.2, 2.5])
    after = before.after_chunk(net, 10, kept)
    assert (after.n_samples, after.n_iter, after.best_epoch) == (40, 4, best_epoch)
    np.testing.assert_array_equal(after.loss_curve, [3.0, 2.0, 1.5, 1.0])
    np.testing.assert_array_equal(after.validation_curve, [5.0, 4.0, 3.0, 3.5, 2.5])
