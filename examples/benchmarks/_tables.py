"""The tables that benchmarks run on: scikit-learn's own, and a folder of others."""

import os
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

BUNDLED = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}


# Rows up to which a method is run whose cost grows as their cube.
KERNEL_ROWS = 3000


def add_arguments(parser):
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("SKAE_DATA"),
        help="folder with tables/NAME.csv.gz: numbers, no header, the target in the last "
        "column (default: the environment variable SKAE_DATA; scikit-learn's tables alone "
        "where neither is given)",
    )
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--keep-target", action="store_true", help="the target is a feature too")


def load(arguments):
    """Pairs of a name and a function that answers the table."""
    tables = {
        name: lambda read=read: _with_target(read(), arguments.keep_target)
        for name, read in BUNDLED.items()
    }
    if arguments.data is not None:
        for path in sorted(Path(arguments.data, "tables").glob("*.csv.gz")):
            name = path.name.removesuffix(".csv.gz")
            tables[name] = lambda path=path: _read(path, arguments.keep_target)
    if arguments.tables:
        tables = {name: tables[name] for name in arguments.tables}
    return tables


def grid(arguments):
    """Names, tables, numbers of latents and seeds of all cells.

    With as many latents as features nothing is left out of a row, and there is nothing to
    compare.
    """
    for name, read in load(arguments).items():
        X = read()
        name += " with target" if arguments.keep_target else ""
        for k in arguments.latents:
            if k < X.shape[1]:
                yield from ((name, X, k, seed) for seed in arguments.seeds)


def _with_target(bunch, keep_target):
    return np.column_stack([bunch.data, bunch.target]) if keep_target else bunch.data


def _read(path, keep_target):
    table = np.loadtxt(path, delimiter=",")
    return table if keep_target else table[:, :-1]


def squared_error(X, model):
    return np.square(X - model.inverse_transform(model.transform(X)), dtype=np.float64).sum()


def split(X, seed):
    """Standardised training and held-out rows, 75 to 25."""
    return standardised(*train_test_split(X, test_size=0.25, random_state=seed))


def standardised(train, test, with_mean=True):
    """Rows in units of the standard deviations of those for training."""
    scaler = StandardScaler(with_mean=with_mean).fit(train)
    return scaler.transform(train), scaler.transform(test)
