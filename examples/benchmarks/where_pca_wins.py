"""Where PCA wins: time, tiny tables, linear data, rows far out, and what a component says.

Every row of the CSV is one figure of PCA's and one of the autoencoder's (or the VAE's) with
as many codes; estimators are as they come. Rows to test are those not trained on, and
tables are standardised.

    python where_pca_wins.py
"""

import argparse
import functools
import itertools
import statistics
import time
import warnings
from pathlib import Path

import _rows
import numpy as np
from _tables import BUNDLED, split, squared_error, standardised
from _timing import alternate
from sklearn.decomposition import PCA, SparsePCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, VAETransformer

ESTIMATORS = (AutoencoderTransformer, VAETransformer)
STRETCHES = (1, 2, 4, 16, 256)  # how many times as far out test rows are


def add(rows, part, case, measure, estimator, pca, ours):
    rows.append(
        {
            "part": part,
            "case": case,
            "measure": measure,
            "estimator": estimator,
            "pca": pca,
            "estimator_value": ours,
            "ratio": ours / pca if abs(pca) > 1e-9 else "",
        }
    )


def fitted(cls, X, k, seed, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # collapsed latents
        return cls(k, random_state=seed, **options).fit(X)


def seconds_of(cls, X, options, times=1):
    """Of a fit, the mean of so many."""
    began = time.perf_counter()
    for _ in range(times):
        fitted(cls, X, 2, 0, options)
    return (time.perf_counter() - began) / times


def fit_time(rows, options, repeats):
    """Seconds of a fit, in turns."""
    rng = np.random.default_rng(0)
    tables = {name: StandardScaler().fit_transform(read().data) for name, read in BUNDLED.items()}
    latent = rng.standard_normal((20_000, 8))
    bent = np.tanh(latent @ rng.standard_normal((8, 64))) + 0.1 * rng.standard_normal((20_000, 64))
    tables["20,000 x 64"] = bent
    if repeats == 1:
        tables = {"iris": tables["iris"]}
    for name, X in tables.items():
        contenders = {
            cls.__name__: functools.partial(seconds_of, cls, X, options) for cls in ESTIMATORS
        }
        contenders["PCA"] = functools.partial(seconds_of, PCA, X, {}, times=20)
        seconds = alternate(contenders, repeats if len(X) < 10_000 else 1)
        for cls in ESTIMATORS:
            own = seconds[cls.__name__]
            add(rows, "fit time", name, "seconds", cls.__name__, seconds["PCA"], own)
            print(
                f"fit of {name}: PCA {1e3 * seconds['PCA']:.2f} ms, {cls.__name__} {own:.2f} s, "
                f"{own / seconds['PCA']:,.0f} times as long",
                flush=True,
            )


def beside_pca(rows, part, case, cls, X, X_test, k, seed, options, name=None):
    """Nats of a test row over PCA's for a VAE, else the error over PCA's; and the epoch."""
    pca, model = PCA(k).fit(X), fitted(cls, X, k, seed, options)
    if cls is VAETransformer:
        measure, least, own = "nats of a test row", pca.score(X_test), model.score(X_test)
    else:
        measure = "squared error of test rows"
        least, own = squared_error(X_test, pca), squared_error(X_test, model)
    add(rows, part, case, measure, name or cls.__name__, least, own)
    rows[-1]["epoch"] = model.best_epoch_
    return own - least if cls is VAETransformer else own / least, model.best_epoch_


def print_found(what, cls, found):
    values, epochs = zip(*found, strict=True)
    print(
        f"{what}, {len(values)} fits of {cls.__name__}: PCA itself in "
        f"{np.mean(np.array(epochs) == 0):.0%}, "
        f"{'nats' if cls is VAETransformer else 'error'} over PCA's {min(values):.4f} to "
        f"{max(values):.4f}, median {statistics.median(values):.4f}",
        flush=True,
    )


def tiny_tables(rows, options, sizes, seeds):
    """Two codes of a few rows of each table; all other rows test."""
    textbook = {**options, "init": "random", "validation_fraction": None}
    for size in sizes:
        found, random = {cls: [] for cls in ESTIMATORS}, []
        for name, read in BUNDLED.items():
            table = read().data
            for seed in seeds:
                order = np.random.default_rng(seed).permutation(len(table))
                parts = standardised(table[order[:size]], table[order[size:]])
                of = rows, "tiny tables", f"{size} rows of {name}, seed {seed}"
                for cls in ESTIMATORS:
                    found[cls].append(beside_pca(*of, cls, *parts, 2, seed, options))
                own = AutoencoderTransformer, *parts, 2, seed, textbook
                random.append(beside_pca(*of, *own, name="textbook autoencoder")[0])
        for cls in ESTIMATORS:
            print_found(f"{size} rows", cls, found[cls])
        print(
            f"{size} rows, textbook autoencoder: error over PCA's {min(random):.2f} to "
            f"{max(random):.2f}, worse than PCA in {np.mean(np.array(random) > 1):.0%}",
            flush=True,
        )


def linear_data(rows, options, seeds, n):
    """A linear factor model with normal noise: 20 features, 3 codes, which PCA knows."""
    found = {cls: [] for cls in ESTIMATORS}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        weights = rng.standard_normal((3, 20))

        def draw(n_rows, weights=weights, rng=rng):
            noise = 0.5 * rng.standard_normal((n_rows, 20))
            return rng.standard_normal((n_rows, 3)) @ weights + noise

        parts = draw(n), draw(10_000)
        of = rows, "linear data", f"{n} x 20, seed {seed}"
        for cls in ESTIMATORS:
            found[cls].append(beside_pca(*of, cls, *parts, 3, seed, options))
    for cls in ESTIMATORS:
        print_found(f"linear data, {n} rows", cls, found[cls])


def far_rows(rows, options, tables, seeds):
    """Test rows moved away from the mean, or from PCA's plane, for two codes of a table."""
    found = {}
    for name in tables:
        X = BUNDLED[name]().data
        for seed in seeds:
            train, test = split(X, seed)
            pca = PCA(2).fit(train)
            plane = pca.inverse_transform(pca.transform(test))
            for cls in ESTIMATORS:
                model = fitted(cls, train, 2, seed, options)
                for times, (near, what) in itertools.product(
                    STRETCHES, ((pca.mean_, "the mean"), (plane, "the plane"))
                ):
                    far = near + times * (test - near)
                    least, own = squared_error(far, pca), squared_error(far, model)
                    case = f"{name}, seed {seed}, {times} times as far from {what}"
                    part = "rows far out", case, "squared error of test rows", cls.__name__
                    add(rows, *part, least, own)
                    rows[-1]["epoch"] = model.best_epoch_
                    found.setdefault((cls, what, times), []).append(own / least)
    for (cls, what, times), ratios in found.items():
        print(
            f"test rows {times} times as far from {what}, {cls.__name__}: error over PCA's "
            f"{statistics.median(ratios):.3f} in the median, {min(ratios):.3f} to "
            f"{max(ratios):.3f}, more than PCA's in {np.mean(np.array(ratios) > 1.001):.0%}",
            flush=True,
        )


def interpretability(rows, options, names):
    """How much has to be read to know what a code is, for two codes."""
    for name in names:
        X = StandardScaler().fit_transform(BUNDLED[name]().data)
        pca = PCA(2).fit(X)
        model = fitted(AutoencoderTransformer, X, 2, 0, options)
        case, cls = name, "AutoencoderTransformer"
        numbers = pca.components_.size
        # Of the encoder, beside its linear path.
        weights = sum(value.numel() for value in model.net_.module_.encoder.parameters())
        add(rows, "interpretability", case, "numbers that make codes", cls, numbers, weights)
        sparse = SparsePCA(2, alpha=2, random_state=0).fit(X).components_
        kept = int((sparse != 0).sum())
        add(rows, "interpretability", case, "of these not zero", "SparsePCA", numbers, kept)
        same = agreement(model, X)
        add(rows, "interpretability", case, "agreement of directions", cls, agreement(pca, X), same)
        told = {label: codes_correlation(m, X) for label, m in (("PCA", pca), (cls, model))}
        add(rows, "interpretability", case, "correlation of codes", cls, told["PCA"], told[cls])
        print(
            f"{name}, 2 codes (epoch {model.best_epoch_}): PCA has {numbers} loadings, SparsePCA "
            f"{kept} that are not 0, the encoder {weights:,} weights; the direction of a code at "
            f"a row has a cosine of {same:.2f} with its mean over rows (PCA {agreement(pca, X):.2f}"
            f"); correlation of the codes {told[cls]:.2f} (PCA {told['PCA']:.2f})",
            flush=True,
        )


def agreement(model, X, step=1e-3):
    """Mean cosine between what a code does to a reconstruction here, and on average."""
    Z = np.asarray(model.transform(X), dtype=np.float64)
    cosines = []
    for shift in step * Z.std(axis=0) * np.eye(Z.shape[1]):
        change = model.inverse_transform(Z + shift) - model.inverse_transform(Z - shift)
        change /= np.linalg.norm(change, axis=1, keepdims=True)
        average = change.mean(axis=0)
        cosines.append((change @ (average / np.linalg.norm(average))).mean())
    return float(np.mean(cosines))


def codes_correlation(model, X):
    return float(abs(np.corrcoef(model.transform(X).T)[0, 1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="of timings")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for the CSV")
    parser.add_argument("--tiny", action="store_true", help="one table, a few epochs")
    arguments = parser.parse_args()
    options, sizes, n, names = {}, [30, 60, 120], 1000, ["breast_cancer", "digits"]
    if arguments.tiny:
        options, sizes, n, names = {"max_epochs": 3}, [30], 100, ["wine"]
        arguments.repeats, arguments.seeds = 1, [0]
    rows = []
    fit_time(rows, options, arguments.repeats)
    tiny_tables(rows, options, sizes, arguments.seeds)
    linear_data(rows, options, arguments.seeds, n)
    far_rows(rows, options, names if arguments.tiny else BUNDLED, arguments.seeds)
    interpretability(rows, options, names)
    _rows.save(rows, arguments.out / "where_pca_wins.csv")


if __name__ == "__main__":
    main()
