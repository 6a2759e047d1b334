"""Golden results: what seeded fits of every estimator and network give, bit for bit.

A redesign may not change a bit. Before a step and after it, on one machine:

    python tests/golden.py write before.json
    python tests/golden.py compare before.json

It prints every result that differs, and ends with an error if there is one. The file is of no use
to another machine, whose matrix products are summed in another order.
"""

import hashlib
import json
import pickle
import re
import sys
import warnings

import numpy as np
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import scale

import skae

IRIS = scale(load_iris().data)
LABELS = load_iris().target
IMAGES = load_digits().images[:200, None] / 16.0
COUNTS = load_digits().data[:200, 2:30:3]
STEPS = np.eye(4)[np.random.default_rng(0).integers(4, size=(150, 6))]


def cases():
    """Names, and functions that return a fitted model, its rows and its further arguments."""
    plain = {"max_epochs": 4, "random_state": 0}
    for estimator in sorted(set(skae.__all__) - {"__version__"}):
        cls = getattr(skae, estimator)
        if not hasattr(cls, "reconstruct"):  # the imputer
            continue
        given = (LABELS,) if cls is skae.ConditionalVAE else ()
        for name, options in {
            "defaults": {},
            "start": {"max_epochs": 0},
            "random": {"init": "random"},
            "no rows held out": {"validation_fraction": None},
            "adam": {"optimizer": "adam", "hidden_layer_sizes": (8,), "activation": "tanh"},
        }.items():
            yield f"{cls.__name__}, {name}", fitted(cls, {**plain, **options}, IRIS, given)
        yield f"{cls.__name__}, float32", fitted(cls, plain, IRIS.astype(np.float32), given)
        yield f"{cls.__name__}, chunks", in_chunks(cls, plain, IRIS, given)
        given = given and (load_digits().target[:200],)
        options = {**plain, "max_epochs": 2, "network": "conv"}
        yield f"{cls.__name__}, images", fitted(cls, options, IMAGES, given)
    bernoulli = {**plain, "likelihood": "bernoulli"}
    poisson = {**plain, "likelihood": "poisson"}
    flat = IMAGES.reshape(200, -1)
    categorical = {**plain, "likelihood": "categorical", "network": "recurrent"}
    for cls in (skae.AutoencoderTransformer, skae.VAETransformer):
        yield f"{cls.__name__}, bernoulli", fitted(cls, bernoulli, flat, ())
        yield f"{cls.__name__}, categorical", fitted(cls, categorical, STEPS, ())
        yield f"{cls.__name__}, poisson", fitted(cls, poisson, COUNTS, ())
        yield f"{cls.__name__}, whiten", fitted(cls, {**plain, "whiten": True}, IRIS, ())
    ordered = {**plain, "latent_dim": 3, "ordered": True}
    yield "ordered", fitted(skae.AutoencoderTransformer, ordered, IRIS, ())
    for corruption in ("gaussian", "masking", "salt_and_pepper", "swap"):
        options = {**plain, "corruption": corruption}
        yield f"denoising, {corruption}", fitted(skae.DenoisingAutoencoder, options, IRIS, ())
    numbers = IRIS[:, 0]
    yield "numbers as conditions", fitted(skae.ConditionalVAE, plain, IRIS[:, 1:], (numbers,))


def fitted(cls, options, X, given):
    def fit():
        return cls(**{"latent_dim": 2, **options}).fit(X, *given), X, given

    return fit


def in_chunks(cls, options, X, given):
    def fit():
        model = cls(2, **options)
        order = np.random.default_rng(0).permutation(len(X))
        for here in np.array_split(order, 3):
            model.partial_fit(X[here], *(value[here] for value in given))
        return model, X, given

    return fit


def results(model, X, given):
    """What can be asked of a model, by name."""
    conditions = {"y": given[0][:3]} if given else {}
    found = {
        "codes": model.transform(X, *given),
        "rows": model.reconstruct(X, *given),
        "scores": model.score_samples(X, *given),
        "samples": model.sample(3, random_state=1, **conditions),
        "losses": model.loss_curve_,
        "held out": model.validation_curve_,
    }
    again = pickle.loads(pickle.dumps(model))
    found["pickle"] = again.transform(X, *given)
    for name in dir(model):
        value = getattr(model, name, None) if re.fullmatch("[a-z].*_", name) else None
        if isinstance(value, (np.ndarray, float, int)):
            found[name] = np.asarray(value)
    return found


def digests():
    found = {}
    for name, fit in cases():
        for part, value in results(*fit()).items():
            value = np.ascontiguousarray(value)
            found[f"{name}: {part}"] = hashlib.sha256(value.tobytes()).hexdigest()[:16]
    return found


def main(verb, path):
    warnings.simplefilter("ignore")
    now = digests()
    if verb == "write":
        with open(path, "w") as file:
            json.dump(now, file, indent=0)
        print(f"{len(now)} results are in {path}")
        return
    with open(path) as file:
        before = json.load(file)
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    print("\n".join(changed) or f"all {len(now)} results are the same")
    if changed:
        raise SystemExit(f"{len(changed)} of {len(now)} results differ")


if __name__ == "__main__":
    main(*sys.argv[1:])
