"""Randomness comes from `random_state` alone and disturbs no one."""

import hashlib
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from _estimators import ESTIMATORS
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skae import AdversarialAutoencoder, AutoencoderTransformer, VAETransformer
from skae.random import Streams

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def everything(model, X):
    # Matrix products of few rows may be summed in another order by more threads.
    drawn = model.sample(5).round(10)
    return digest(model.transform(X), model.score_samples(X), drawn, model.loss_curve_)


PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
from sklearn.datasets import load_digits
from _estimators import ESTIMATORS
from test_random import everything
X = load_digits().data[:150]
for cls in ESTIMATORS:
    model = cls(3, max_epochs=2, random_state=7).fit(X)
    print(everything(model, X))
"""


def test_same_bits_in_two_processes():
    folder = str(__import__("pathlib").Path(__file__).parent)
    program = PROGRAM.format(folder=folder)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**__import__("os").environ, "OMP_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == len(ESTIMATORS)


@every_estimator
def test_same_bits_in_four_threads(cls, digits):
    X = digits[0][:300]
    results = []

    def work():
        results.append(everything(cls(3, max_epochs=2, random_state=7).fit(X), X))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work()
    assert len(results) == 5
    assert len(set(results)) == 1


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("cls", ESTIMATORS[::2])
def test_search_is_the_same_serial_with_processes_and_with_threads(cls, digits):
    X, y = digits[0][:300], digits[1][:300]
    pipe = Pipeline([("ae", cls(max_epochs=2, random_state=0)), ("clf", LogisticRegression())])
    search = GridSearchCV(pipe, {"ae__latent_dim": [1, 3]}, cv=2)
    found = []
    for backend, n_jobs in (("sequential", 1), ("loky", 2), ("threading", 2)):
        with parallel_backend(backend, n_jobs=n_jobs):
            fitted = clone(search).set_params(n_jobs=n_jobs).fit(X, y)
        codes = fitted.best_estimator_["ae"].transform(X)
        found.append(digest(codes, fitted.cv_results_["mean_test_score"]))
    assert len(set(found)) == 1


@every_estimator
def test_no_global_state_is_read_or_written(cls, bent):
    def state():
        _, keys, *rest = np.random.get_state()
        return digest(torch.get_rng_state().numpy(), keys), rest, random.getstate()

    before = state()
    model = cls(2, max_epochs=3, random_state=0).fit(bent)
    results = [everything(model, bent)]
    model.reconstruct(bent), model.score(bent), model.sample(3, random_state=1)
    assert state() == before
    np.random.seed(1)
    torch.manual_seed(1)
    random.seed(1)
    results.append(everything(cls(2, max_epochs=3, random_state=0).fit(bent), bent))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (AutoencoderTransformer, {"network": "mlp"}),
        (AutoencoderTransformer, {"network": "conv", "input_shape": (1, 8, 8)}),
        (AutoencoderTransformer, {"network": "recurrent", "input_shape": (8, 8)}),
        (VAETransformer, {}),
        (AdversarialAutoencoder, {}),
    ],
)
def test_the_default_dtype_of_torch_has_no_say(cls, options, digits):
    X, dtype = digits[0][:200], torch.get_default_dtype()
    results = []
    for other in (torch.float32, torch.float64):
        torch.set_default_dtype(other)
        try:
            model = cls(2, init="random", max_epochs=2, random_state=0, **options).fit(X)
            results.append(everything(model, X) if cls is VAETransformer else model.transform(X))
        finally:
            torch.set_default_dtype(dtype)
    np.testing.assert_array_equal(*results)


@every_estimator
def test_random_state_as_in_scikit_learn(cls, bent):
    options = {"max_epochs": 3, "validation_fraction": None}

    def fit(random_state):
        return cls(2, random_state=random_state, **options).fit_transform(bent)

    np.testing.assert_array_equal(fit(3), fit(3))
    assert not np.array_equal(fit(3), fit(4))
    shared = np.random.RandomState(0)
    first, second = fit(shared), fit(shared)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, fit(np.random.RandomState(0)))
    np.random.seed(5)
    first = fit(None)
    np.random.seed(5)
    np.testing.assert_array_equal(first, fit(None))


def test_streams_are_separate():
    streams = Streams(0)
    names = ["init", "shuffle", "noise", "validation", "split", "sampling", "start"]
    assert len({streams.integer(name) for name in names}) == len(names)
    first = streams.torch("noise")
    torch.rand(10, generator=first)
    assert torch.equal(
        torch.rand(3, generator=streams.torch("noise")),
        torch.rand(3, generator=Streams(0).torch("noise")),
    )
    drawn = streams.numpy("split").random(3)
    np.testing.assert_array_equal(drawn, Streams(0).numpy("split").random(3))
    assert Streams(1).integer("init") != streams.integer("init")


def test_longer_training_begins_alike(bent):
    """Streams do not shift each other: the first epochs are the same, but for the schedule."""
    options = {"random_state": 0, "batch_size": 400, "validation_fraction": None}
    short = VAETransformer(2, max_epochs=1, **options).fit(bent)
    long = VAETransformer(2, max_epochs=5, **options).fit(bent)
    assert short.loss_curve_[0] == long.loss_curve_[0]


def test_weights_begin_by_the_seed(bent):
    """Where nothing is trained the same seed gives the same first layer, and another another."""
    first, same, other = (
        AutoencoderTransformer(2, max_epochs=0, random_state=seed).fit(bent).net_.module_.encoder[0]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.weight, same.weight)
    assert not torch.equal(first.weight, other.weight)
