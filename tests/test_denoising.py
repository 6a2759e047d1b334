"""Training the denoiser, and pairs of noisy and clean rows."""

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skae import AutoencoderTransformer, DenoisingAutoencoder


def noisy_version(X, level, seed=0):
    noise = np.random.default_rng(seed).standard_normal(X.shape)
    return X + level * np.sqrt(X.var(axis=0).mean()) * noise


def test_denoises_better_than_its_start_and_than_an_autoencoder(bent):
    train, test = bent[:300], bent[300:]
    noisy = noisy_version(test, 0.4)
    models = [
        DenoisingAutoencoder(4, corruption_level=0.4, random_state=0),
        DenoisingAutoencoder(4, corruption_level=0.4, random_state=0, max_epochs=0),
        AutoencoderTransformer(4, random_state=0),
    ]
    ours, start, plain = (
        np.square(model.fit(train).reconstruct(noisy) - test).sum() for model in models
    )
    assert ours < 0.9 * start
    assert ours < 0.9 * plain


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper", "swap"])
def test_corruption_is_fresh_in_every_batch(corruption, bent):
    seen = []

    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            corrupt = net.module_.corruption

            def watched(x, generator):
                out = corrupt(x, generator)
                seen.append((out - x if corruption == "gaussian" else out != x).numpy())
                return out

            net.module_.corruption = watched

    options = {"max_epochs": 2, "batch_size": 400, "validation_fraction": None, "random_state": 0}
    DenoisingAutoencoder(2, corruption=corruption, callbacks=[Watch()], **options).fit(bent)
    assert len(seen) == 2
    assert np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1] < 0.1


def test_held_out_noise_is_the_same_in_every_epoch(bent):
    """With a step too small to change anything the held-out loss does not move."""
    model = DenoisingAutoencoder(2, lr=1e-12, max_epochs=5, random_state=0).fit(bent)
    np.testing.assert_allclose(model.validation_curve_, model.validation_curve_[0], rtol=1e-5)


def test_validation_curve_begins_at_the_expected_error_of_the_linear_denoiser(bent):
    model = DenoisingAutoencoder(2, max_epochs=0, validation_fraction=0.5, random_state=0).fit(bent)
    errors = [
        np.square(model.denoise(noisy_version(bent, 0.3, seed)) - bent).sum(axis=1).mean()
        for seed in range(20)
    ]
    assert model.validation_curve_[0] == pytest.approx(np.mean(errors), rel=0.1)


def test_transform_knows_no_noise(bent):
    model = DenoisingAutoencoder(3, max_epochs=10, random_state=0).fit(bent)
    np.testing.assert_array_equal(model.transform(bent), model.transform(bent))
    error = np.square(bent - model.reconstruct(bent)).sum()
    variance = np.square(bent - bent.mean(axis=0)).sum()
    assert model.score(bent, X_clean=bent) == pytest.approx(1 - error / variance)
    np.testing.assert_array_equal(model.denoise(bent), model.reconstruct(bent))


def test_pairs(bent):
    """Noise that no built-in corruption makes: every feature doubled or not."""
    factor = np.random.default_rng(0).choice([1.0, 2.0], (400, 1))
    noisy = factor * bent
    model = DenoisingAutoencoder(4, random_state=0).fit(noisy[:300], X_clean=bent[:300])
    start = DenoisingAutoencoder(4, max_epochs=0).fit(noisy[:300], X_clean=bent[:300])
    ours, linear = (np.square(m.denoise(noisy[300:]) - bent[300:]).sum() for m in (model, start))
    assert model.best_epoch_ > 0
    assert ours < 0.8 * linear


def test_pairs_through_a_pipeline(bent):
    noisy = noisy_version(bent, 0.5) * 10 + 3
    clean = bent * 10 + 3
    with sklearn.config_context(enable_metadata_routing=True):
        model = DenoisingAutoencoder(3, max_epochs=5, random_state=0).set_fit_request(X_clean=True)
        pipe = Pipeline(
            [("scale", StandardScaler()), ("ae", model)], transform_input=["X_clean"]
        ).fit(noisy, X_clean=clean)
    scaler = StandardScaler().fit(noisy)
    alone = DenoisingAutoencoder(3, max_epochs=5, random_state=0)
    alone.fit(scaler.transform(noisy), X_clean=scaler.transform(clean))
    np.testing.assert_array_equal(pipe.transform(noisy), alone.transform(scaler.transform(noisy)))


def test_a_callable_trains(digits):
    X = digits[0][:300]

    def flip(X, level, rng):
        return np.where(rng.random(X.shape) < level, 1 - X, X)

    model = DenoisingAutoencoder(8, corruption=flip, corruption_level=0.1, random_state=0)
    flipped = flip(X, 0.1, np.random.default_rng(1))
    denoised = model.fit(X).denoise(flipped)
    assert np.square(denoised - X).sum() < 0.5 * np.square(flipped - X).sum()
    again = DenoisingAutoencoder(8, corruption=flip, corruption_level=0.1, random_state=0).fit(X)
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
