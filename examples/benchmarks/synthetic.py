"""Synthetic rows of mixed tables: how like the real ones they are.

Every cell is a table, a seed and a method. Nine tenths of the rows are the training rows, of which
as many synthetic rows are made. Gaps of a table are left out, with their rows, for the metrics.

- shape: mean over columns of 1 minus the Kolmogorov-Smirnov distance of numbers, or the total
  variation distance of categories. (These and the next are SDMetrics' definitions.)
- trend: mean over pairs of columns of 1 minus half the difference of correlations of two numbers,
  or the total variation distance of the frequencies of pairs, with numbers in ten intervals.
- detection: 2 - 2 AUC of gradient boosting that tells synthetic from training rows, in three folds.
  It is 1 if it cannot tell them apart, and 0 if it always can.
- closer: the fraction of synthetic rows closer to a training row than 99 % of the held-out
  rows are. 0.01 is expected of new rows.
- utility: the F1 score, on held-out rows, of gradient boosting that is trained on synthetic rows to
  predict the last column, if that has two values. "real" is trained on the training rows.

Methods are `VAETransformer(8, likelihood="auto")` ("vae"), the same without training ("start"),
columns drawn independently, a Gaussian copula of numbers beside independent categories, and a
mixture of normals, by BIC, of numbers and indicators. CTGAN and TVAE run where ctgan is installed.

The folder also has mixed/NAME.csv.gz, with a header.

    python synthetic.py --data FOLDER
"""

import argparse
import importlib.util
import itertools
import time
import warnings
from pathlib import Path

import _cells
import _plots
import numpy as np
import pandas as pd
import torch
from _tables import add_arguments
from scipy.stats import norm
from sklearn.datasets import load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from skae import VAETransformer

METHODS = ("vae", "start", "independent", "copula", "mixture", "tvae", "ctgan", "real")
OF_CTGAN = {"tvae": "TVAE", "ctgan": "CTGAN"}
METRICS = ("shape", "trend", "detection", "closer", "utility")
CLOSEST_ROWS = 5000


def bundled(load):
    data = load(as_frame=True)
    return data.data.assign(kind=pd.Series(data.target_names)[data.target].to_numpy())


def tables(arguments):
    """Pairs of a name and a table."""
    found = {"iris": lambda: bundled(load_iris), "wine": lambda: bundled(load_wine)}
    if arguments.data is not None:
        for path in sorted(Path(arguments.data).glob("mixed/*.csv.gz")):
            found[path.name.removesuffix(".csv.gz")] = lambda path=path: pd.read_csv(path)
    for name in arguments.tables or found:
        yield name, found[name]()


def numbers_of(table):
    """Columns of numbers, of more than two values."""
    return [name for name in table if table[name].dtype.kind in "iuf" and table[name].nunique() > 2]


# Contenders


def synthetic(method, train, seed, options):
    """As many synthetic rows as training rows."""
    rng, n = np.random.default_rng(seed), len(train)
    if method in ("vae", "start"):
        epochs = {"max_epochs": 0} if method == "start" else options
        k = min(8, train.shape[1] - 1)
        model = VAETransformer(k, likelihood="auto", random_state=seed, **epochs).fit(train)
        return model.sample(n, random_state=seed)
    train = train.dropna().reset_index(drop=True)
    if method == "real":
        return train
    if method == "independent":
        return train.apply(lambda column: rng.permutation(column.to_numpy()))
    if method == "copula":
        return copula(train, rng)
    if method == "mixture":
        return mixture(train, rng, seed)
    import ctgan

    categories = [name for name in train if name not in numbers_of(train)]
    torch.manual_seed(seed)
    model = getattr(ctgan, OF_CTGAN[method])()
    model.fit(train, categories)
    return model.sample(n).astype(train.dtypes)


def copula(train, rng):
    out = train.apply(lambda column: rng.permutation(column.to_numpy()))
    names = numbers_of(train)
    ranks = train[names].rank(method="average").to_numpy()
    scores = norm.ppf((ranks - 0.5) / len(train))
    drawn = rng.multivariate_normal(np.zeros(len(names)), np.corrcoef(scores.T), len(train))
    for name, share in zip(names, norm.cdf(drawn).T, strict=True):
        out[name] = np.quantile(train[name], share, method="inverted_cdf")
    return out


def mixture(train, rng, seed):
    names = numbers_of(train)
    others = [name for name in train if name not in names]
    indicators = pd.get_dummies(train[others].astype(str))
    spread = train[names].std()
    X = np.hstack([train[names] / spread, indicators]).astype(float)
    fits = [
        GaussianMixture(k, covariance_type="diag", random_state=seed, reg_covar=1e-4).fit(X)
        for k in (8, 32, 128)
        if k < len(X) / 10
    ]
    best = min(fits, key=lambda fit: fit.bic(X))
    drawn, _ = best.sample(len(X))
    out = pd.DataFrame(drawn[:, : len(names)] * spread.to_numpy(), columns=names)
    for name in names:
        out[name] = out[name].clip(train[name].min(), train[name].max())
        if train[name].dtype.kind in "iu":
            out[name] = out[name].round()
    first = len(names)
    for name in others:
        levels = np.sort(train[name].astype(str).unique())
        chosen = levels[drawn[:, first : first + len(levels)].argmax(axis=1)]
        out[name] = chosen == "True" if train[name].dtype == bool else chosen
        first += len(levels)
    return out[list(train)].astype(train.dtypes)


# Metrics


def shape(real, made):
    numbers, found = numbers_of(real), []
    for name in real:
        if name in numbers:
            grid = np.unique(np.concatenate([real[name], made[name]]))
            below = [
                np.searchsorted(np.sort(t[name]), grid, "right") / len(t) for t in (real, made)
            ]
            found.append(1.0 - np.abs(below[0] - below[1]).max())
        else:
            found.append(1.0 - distance(real[name].astype(str), made[name].astype(str)))
    return np.mean(found)


def distance(a, b):
    """Total variation distance of frequencies."""
    shares = [column.value_counts(normalize=True) for column in (a, b)]
    return 0.5 * shares[0].sub(shares[1], fill_value=0.0).abs().sum()


def trend(real, made):
    numbers, found = numbers_of(real), []
    edges = {name: np.histogram_bin_edges(real[name], 10)[1:-1] for name in numbers}

    def label(table, name):
        values = np.digitize(table[name], edges[name]) if name in edges else table[name]
        return pd.Series(values).astype(str)

    for a, b in itertools.combinations(real, 2):
        if a in numbers and b in numbers:
            rho = [t[a].corr(t[b]) for t in (real, made)]
            found.append(1.0 - abs(rho[0] - rho[1]) / 2)
        else:
            pairs = [label(t, a).str.cat(label(t, b), sep="|") for t in (real, made)]
            found.append(1.0 - distance(*pairs))
    return np.nanmean(found)


def prepared(*frames):
    """Tables in which texts are categories, with the same levels."""
    both = pd.concat(frames, ignore_index=True)
    for name in both:
        if both[name].dtype.kind not in "iuf":
            both[name] = both[name].astype(str).astype("category")
    ends = np.cumsum([0, *map(len, frames)])
    return [both.iloc[a:b].reset_index(drop=True) for a, b in itertools.pairwise(ends)]


def booster(seed):
    return HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed)


def detection(real, made, seed):
    X = pd.concat(prepared(real, made), ignore_index=True)
    y = np.repeat([1, 0], [len(real), len(made)])
    share = cross_val_predict(booster(seed), X, y, cv=3, method="predict_proba")[:, 1]
    return 2.0 - 2.0 * max(roc_auc_score(y, share), 0.5)


def closer(real, held_out, made):
    """Fraction of synthetic rows closer to a training row than 99 % of held-out rows are."""
    numbers = numbers_of(real)
    spread = real[numbers].std()
    frames = [
        pd.get_dummies(t.assign(**t[numbers] / spread), dtype=float)
        for t in prepared(real, held_out, made)
    ]
    near = NearestNeighbors(n_neighbors=1).fit(frames[0])
    held, new = (near.kneighbors(f.iloc[:CLOSEST_ROWS])[0][:, 0] for f in frames[1:])
    return np.mean(new < np.quantile(held, 0.01))


def utility(held_out, made, seed):
    target = made.columns[-1]
    labels = np.sort(held_out[target].astype(str).unique())
    if len(labels) != 2 or made[target].nunique() < 2:
        return None
    train, test = prepared(made, held_out)
    rare = min(labels, key=lambda label: (held_out[target].astype(str) == label).mean())
    y, expected = (t[target] == rare for t in (train, test))
    model = booster(seed).fit(train.drop(columns=target), y)
    return f1_score(expected, model.predict(test.drop(columns=target)))


def measure(table, options, name, seed, method):
    train, held_out = train_test_split(table, test_size=0.1, random_state=seed)
    train, held_out = train.reset_index(drop=True), held_out.reset_index(drop=True)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        began = time.process_time()
        made = synthetic(method, train, seed, options)
        seconds = time.process_time() - began
        real, held_out = (t.dropna().reset_index(drop=True) for t in (train, held_out))
        of_real = method == "real"
        return {
            "shape": shape(real, made),
            "trend": trend(real, made),
            "detection": None if of_real else detection(real, made, seed),
            "closer": None if of_real else closer(real, held_out, made),
            "utility": utility(held_out, made, seed),
            "seconds": seconds,
        }


def describe(row):
    values = ", ".join(f"{m} {row[m]:.3f}" for m in METRICS if row[m] is not None)
    return f"{row['name']}, seed {row['seed']}, {row['method']}: {values}, {row['seconds']:.0f} s"


def print_summary(rows):
    for name in dict.fromkeys(row["name"] for row in rows):
        print(f"\n{name:<14}", *(f"{metric:>10}" for metric in (*METRICS, "seconds")))
        for method in dict.fromkeys(row["method"] for row in rows):
            of = [row for row in rows if (row["name"], row["method"]) == (name, method)]
            values = [
                np.mean([row[metric] for row in of if row[metric] is not None] or [np.nan])
                for metric in (*METRICS, "seconds")
            ]
            if of:
                print(f"{method:<14}", *(f"{value:>10.3f}" for value in values))


def plot(rows, path):
    names = list(dict.fromkeys(row["name"] for row in rows))
    methods = [m for m in dict.fromkeys(row["method"] for row in rows) if m != "real"]
    figure, axes = _plots.panels(3, len(names) + 1, width=2.8)
    for axis, metric in zip(np.atleast_1d(axes), ("shape", "trend", "detection"), strict=True):
        series = {
            method: [(row["name"], row[metric]) for row in rows if row["method"] == method]
            for method in methods
        }
        _plots.dots(axis, names, series, 1.0, "another sample")
        axis.set(xlabel=metric)
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    _plots.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    _cells.add_arguments(parser, seeds=(0, 1, 2))
    arguments = parser.parse_args()
    options = {}
    if arguments.tiny:
        arguments.data, arguments.tables, arguments.seeds = None, ["iris"], [0]
        options = {"max_epochs": 3}
    cells = []
    for name, table in tables(arguments):
        for seed, method in itertools.product(arguments.seeds, arguments.methods):
            if method in OF_CTGAN and importlib.util.find_spec("ctgan") is None:
                continue
            key = {"name": name, "seed": seed, "method": method}
            cost = table.size * (1.0 if method in ("vae", *OF_CTGAN) else 0.1)
            cells.append(_cells.Cell(key, (table, options), cost))
    path = _cells.path_of(arguments, "synthetic")
    rows = _cells.run(measure, cells, path, describe, arguments.jobs)
    print_summary(rows)
    plot(rows, arguments.out / "synthetic.png")


if __name__ == "__main__":
    main()
