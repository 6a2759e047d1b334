"""Codes that pass as the prior, and what that costs: AdversarialAutoencoder as it comes.

Every cell is a table, a number of latents, a prior and a seed. Rows that were not trained
on are encoded; classifiers learn on half of these codes and as many draws from the prior
to tell one from the other, and what counts is how often the better of them is right on
the other half (Lopez-Paz & Oquab 2017): 0.5 is chance. Of few rows that is averaged over
several draws. Beside it stand the same of whitened PCA, and the squared error of the
reconstruction over PCA's.

    python adversarial.py --mnist mnist.npz
"""

import argparse
import time
from pathlib import Path

import _rows
import numpy as np
from _tables import squared_error
from joblib import Parallel, delayed
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from skae import AdversarialAutoencoder
from skae.priors import draw

CELLS = [(2, "normal"), (8, "normal"), (2, "uniform"), (2, "swiss_roll")]
_ENOUGH = 2000  # rows from which on one set of draws will do


def digits(arguments, seed):
    X = datasets.load_digits().data / 16
    return train_test_split(X, test_size=0.4, random_state=seed)


def breast_cancer(arguments, seed):
    X = datasets.load_breast_cancer().data
    train, test = train_test_split(X, test_size=0.4, random_state=seed)
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def mnist(arguments, seed):
    with np.load(arguments.mnist) as file:
        train, test = (file[name].reshape(-1, 784) / 255 for name in ("X_train", "X_test"))
    chosen = np.random.default_rng(seed).permutation(len(train))[: arguments.rows]
    return train[chosen], test


TABLES = {"digits": digits, "breast_cancer": breast_cancer, "mnist": mnist}


def two_sample_accuracy(codes, prior, seed):
    """How often the better of two classifiers is right, averaged over sets of draws."""
    n, k = codes.shape
    accuracies = []
    for repetition in range(1 if n >= _ENOUGH else 5):
        rng = np.random.default_rng([seed, repetition])
        order = rng.permutation(2 * n)
        X = np.concatenate([codes, draw(prior, n, k, rng)])[order]
        y = np.repeat([0, 1], n)[order]
        classifiers = (
            KNeighborsClassifier(max(5, round(n**0.5))),
            HistGradientBoostingClassifier(random_state=seed, early_stopping=True),
        )
        accuracies.append([c.fit(X[:n], y[:n]).score(X[n:], y[n:]) for c in classifiers])
    return np.mean(accuracies, axis=0).max()


def run_cell(name, latents, prior, seed, arguments):
    train, test = TABLES[name](arguments, seed)
    row = {"table": name, "latents": latents, "prior": prior, "seed": seed}
    row.update(n_train=len(train), n_test=len(test))
    pca = PCA(latents, whiten=True, svd_solver="full").fit(train)
    began = time.perf_counter()
    model = AdversarialAutoencoder(
        latents, prior=prior, random_state=seed, **arguments.options
    ).fit(train)
    row.update(seconds=time.perf_counter() - began, epoch=model.best_epoch_)
    row["accuracy"] = two_sample_accuracy(model.transform(test), prior, seed)
    row["pca_accuracy"] = two_sample_accuracy(pca.transform(test), prior, seed)
    row["error_ratio"] = squared_error(test, model) / squared_error(test, pca)
    return row


def print_cell(row):
    print(
        f"{row['table']:<13} {row['latents']} latents, {row['prior']:<10} seed {row['seed']}: told "
        f"from the prior {row['accuracy']:.3f} (whitened PCA {row['pca_accuracy']:.3f}), error "
        f"over PCA's {row['error_ratio']:.3f}, epoch {row['epoch']}, {row['seconds']:.0f} s",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="mnist.npz with X_train and X_test")
    parser.add_argument("--rows", type=int, default=20_000, help="of MNIST to train on")
    parser.add_argument("--tables", nargs="+", choices=TABLES, help="only these")
    parser.add_argument("--priors", nargs="+", help="only these")
    parser.add_argument("--latents", nargs="+", type=int, help="only so many")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="one small table, a few epochs")
    arguments = parser.parse_args()
    names = [name for name in TABLES if name != "mnist" or arguments.mnist]
    arguments.options = {}
    if arguments.tiny:
        names, arguments.seeds, arguments.options = ["breast_cancer"], [0], {"max_epochs": 5}
    cells = [
        (name, latents, prior, seed, arguments)
        for name in arguments.tables or names
        for latents, prior in CELLS
        if prior in (arguments.priors or [prior]) and latents in (arguments.latents or [latents])
        for seed in arguments.seeds
    ]
    rows = []
    parallel = Parallel(n_jobs=arguments.jobs, return_as="generator")
    for row in parallel(delayed(run_cell)(*cell) for cell in cells):
        print_cell(row)
        rows.append(row)
    _rows.save(rows, arguments.out / "adversarial.csv")


if __name__ == "__main__":
    main()
