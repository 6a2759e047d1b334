"""Imputation beside scikit-learn's imputers: entries of complete tables are hidden and filled in.

Every cell is a table, a mechanism, a fraction of hidden entries, a seed and a method. Entries are
hidden completely at random ("mcar"), or at random given observed columns ("mar"): a third of the
columns is complete, and an entry of another column is hidden with a probability that is logistic
in a random combination of those (Muzellec et al. 2020). Tables have at most 2,000 rows; others
are cut to a random 2,000. The error is the mean absolute one of hidden entries, on the scale on
which each column goes from 0 to 1. Imputers see standardised columns.

MissForest is ``IterativeImputer`` with random forests of 100 trees, in 10 rounds. miceforest and
hyperimpute are compared where they are installed.

    python imputation.py --data FOLDER
"""

import argparse
import importlib.util
import time
import warnings
from pathlib import Path

import _cells
import numpy as np
from _tables import BUNDLED

METHODS = ("vae", "start", "mean", "neighbours", "ridge", "missforest", "miceforest", "hyperimpute")
MAX_ROWS = 2000
TABLES = (
    "airfoil",
    "concrete",
    "elevators",
    "energy",
    "housing",
    "parkinsons",
    "pendulum",
    "protein",
    "sonar",
    "stock",
)
CONDITIONS = (("mcar", 0.2), ("mcar", 0.1), ("mcar", 0.3), ("mcar", 0.5), ("mar", 0.3))


def tables(arguments):
    """Pairs of a name and a complete table; the target is a column, constant ones are left out."""
    found = {}
    if arguments.data is None:
        for name, read in BUNDLED.items():
            bunch = read()
            found[name] = np.column_stack([bunch.data, bunch.target])
    else:
        folder = Path(arguments.data)
        for path in sorted(folder.glob("missing/*.csv.gz")):
            found[path.name.removesuffix(".csv.gz")] = np.loadtxt(path, delimiter=",", skiprows=1)
        for name in TABLES:
            found[name] = np.loadtxt(folder / "tables" / f"{name}.csv.gz", delimiter=",")
    for name in arguments.tables or found:
        X = found[name]
        if len(X) > MAX_ROWS:
            X = X[np.sort(np.random.default_rng(0).permutation(len(X))[:MAX_ROWS])]
        yield name, X[:, np.ptp(X, axis=0) > 0]


def hide(X, mechanism, rate, seed):
    """Which entries are hidden, (n, d)."""
    rng = np.random.default_rng([seed, 20])
    n, d = X.shape
    if mechanism == "mcar":
        hidden = rng.random((n, d)) < rate
    else:
        order = rng.permutation(d)
        seen, rest = order[: max(1, d // 3)], order[max(1, d // 3) :]
        logits = X[:, seen] @ rng.standard_normal((len(seen), len(rest)))
        logits = 2.0 * (logits - logits.mean(axis=0)) / np.maximum(logits.std(axis=0), 1e-9)
        low, high = np.full(len(rest), -30.0), np.full(len(rest), 30.0)
        for _ in range(60):  # bisection for the intercept that gives the rate
            middle = (low + high) / 2
            too_many = (1 / (1 + np.exp(-logits - middle))).mean(axis=0) > rate
            low, high = np.where(too_many, low, middle), np.where(too_many, middle, high)
        hidden = np.zeros((n, d), dtype=bool)
        hidden[:, rest] = rng.random((n, len(rest))) < 1 / (1 + np.exp(-logits - low))
    hidden[rng.integers(n, size=d), np.arange(d)] = False  # every column has a value
    return hidden


def imputer(method, seed):
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    if method == "mean":
        return SimpleImputer()
    if method == "neighbours":
        return KNNImputer()
    if method == "ridge":
        return IterativeImputer(random_state=seed)
    if method == "missforest":
        forest = RandomForestRegressor(n_estimators=100, random_state=seed)
        return IterativeImputer(forest, random_state=seed)
    raise ValueError(method)
