"""`net_` is a NeuralNet of skorch: what it offers works on standardised rows."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from skorch import NeuralNet
from skorch.callbacks import EpochScoring

import skae
from skae import ConditionalVAE, SuperResolutionAutoencoder, VAETransformer

PUBLIC = [getattr(skae, name) for name in skae.__all__ if name not in ("__version__", "VAEImputer")]
X, y = load_iris(return_X_y=True)


@pytest.fixture(scope="module", params=PUBLIC, ids=lambda cls: cls.__name__)
def fitted(request):
    given = (y,) if request.param is ConditionalVAE else ()
    return request.param(2, max_epochs=3, random_state=0).fit(X, *given)


def standardised(model):
    """Rows as the networks read them, and what their codes decode to in units of X."""
    if isinstance(model, SuperResolutionAutoencoder):
        small = model.downsample(X)
        expected = model.inverse_transform(model.transform(X))
        pixels = model.downsample(X)
        return (small - pixels.mean(axis=0)) / np.sqrt(pixels.var(axis=0, ddof=1).mean()), expected
    rows = (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0, ddof=1).mean())
    if isinstance(model, ConditionalVAE):
        return np.hstack([rows, np.eye(3)[y]]), model.reconstruct(X, y)
    return rows, model.reconstruct(X)


@pytest.mark.parametrize("method", ["predict", "forward"])
def test_rows_are_decoded(fitted, method):
    rows, expected = standardised(fitted)
    for model in (fitted, pickle.loads(pickle.dumps(fitted))):
        decoded = np.asarray(getattr(model.net_, method)(rows.astype(np.float32)))
        scale = np.sqrt(X.var(axis=0, ddof=1).mean())
        np.testing.assert_allclose(decoded * scale + X.mean(axis=0), expected, atol=1e-4)


def test_parameters_and_history(fitted):
    net = fitted.net_
    assert isinstance(net, NeuralNet)
    assert net.get_params()["lr"] == 0.015
    assert not clone(net).initialized_
    np.testing.assert_array_equal(net.history[:, "train_loss"], fitted.loss_curve_)
    held_out = fitted.validation_curve_[1:]
    np.testing.assert_array_equal(net.history[:, "valid_loss"], held_out)


def test_callbacks_may_predict():
    def largest(net, split, y=None):
        return float(np.abs(net.predict(split.x[:5].numpy())).max())

    callback = EpochScoring(largest, name="largest", on_train=True, use_caching=False)
    model = VAETransformer(2, max_epochs=3, callbacks=[callback], random_state=0).fit(X)
    assert all(value > 0 for value in model.net_.history[:, "largest"])
