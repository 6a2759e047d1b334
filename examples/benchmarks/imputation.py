"""Imputation beside scikit-learn's imputers: entries of complete tables are hidden and filled in.

Every cell is a table, a mechanism, a fraction of hidden entries, a seed and a method. Entries are
hidden completely at random ("mcar"), or at random given observed columns ("mar"): a third of the
columns is complete, and an entry of another column is hidden with a probability that is logistic
in a random combination of those (Muzellec et al. 2020). Tables have at most 2,000 rows; of others
these are drawn. Their target is a column like the others. The error is the mean absolute error of
hidden entries, on the scale on which each column goes from 0 to 1. Columns are standardised
before. ``VAEImputer`` has its default parameters, or is not trained ("start").

MissForest is ``IterativeImputer`` with random forests of 100 trees, in five rounds. miceforest and
hyperimpute are compared where they are installed. Seconds are of the processor, on one thread.

The folder also has missing/NAME.csv.gz, with a header.

    python imputation.py --data FOLDER
"""

import argparse
import functools
import importlib.util
import operator
import time
from pathlib import Path

import _cells
import _plots
import numpy as np
import pandas as pd
import torch
from _tables import add_arguments, load
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from threadpoolctl import threadpool_limits

from skae import VAEImputer

METHODS = ("vae", "start", "mean", "neighbours", "ridge", "missforest", "miceforest", "hyperimpute")
OPTIONAL = {"miceforest", "hyperimpute"}
COSTS = {"vae": 1.0, "missforest": 1.0, "start": 0.05, "miceforest": 1.0, "hyperimpute": 10.0}
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
    found = load(argparse.Namespace(data=arguments.data, tables=None, keep_target=True))
    if arguments.data is not None:
        found = {name: found[name] for name in TABLES}
        for path in Path(arguments.data).glob("missing/*.csv.gz"):
            name = path.name.removesuffix(".csv.gz")
            found[name] = functools.partial(np.loadtxt, path, delimiter=",", skiprows=1)
    for name in arguments.tables or sorted(found):
        X = found[name]()
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
    if method == "mean":
        return SimpleImputer()
    if method == "neighbours":
        return KNNImputer()
    if method == "ridge":
        return IterativeImputer(random_state=seed)
    if method == "missforest":
        forest = RandomForestRegressor(n_estimators=100, random_state=seed)
        return IterativeImputer(forest, max_iter=5, random_state=seed)
    if method == "start":
        return VAEImputer(max_epochs=0, random_state=seed)
    return VAEImputer(random_state=seed)


def filled_in(method, X, seed):
    """Return the table filled in, and a fitted VAEImputer or None."""
    if method == "miceforest":
        import miceforest

        frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
        kernel = miceforest.ImputationKernel(frame, random_state=seed)
        kernel.mice(5)
        return kernel.complete_data(0).to_numpy(), None
    if method == "hyperimpute":
        from hyperimpute.plugins.imputers import Imputers

        plugin = Imputers().get("hyperimpute", random_state=seed)
        return np.asarray(plugin.fit_transform(pd.DataFrame(X))), None
    model = imputer(method, seed)
    filled = model.fit_transform(X)
    return filled, model if isinstance(model, VAEImputer) else None


def measure(X, table, mechanism, rate, seed, method):
    hidden = hide(X, mechanism, rate, seed)
    seen = np.where(hidden, np.nan, X)
    mean, std = np.nanmean(seen, axis=0), np.nanstd(seen, axis=0)
    std[std == 0] = 1.0
    standardised = (seen - mean) / std
    with threadpool_limits(1):
        torch.set_num_threads(1)
        began = time.process_time()
        filled, model = filled_in(method, standardised, seed)
        seconds = time.process_time() - began
    error = np.abs(filled * std + mean - X) / np.ptp(X, axis=0)
    row = {"n_rows": len(X), "n_columns": X.shape[1], "error": error[hidden].mean()}
    row["coverage"] = None
    if model is not None:
        draws = model.impute(standardised, n_draws=40, random_state=seed) * std + mean
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        edge = 1e-9 * np.ptp(X, axis=0)
        row["coverage"] = ((low - edge <= X) & (high + edge >= X))[hidden].mean()
    return {**row, "seconds": seconds}


def describe(row):
    return (
        f"{row['table']:<12} {row['mechanism']} {row['rate']:.0%}, seed {row['seed']}, "
        f"{row['method']:<11} error {row['error']:.4f}, {row['seconds']:.1f} s"
    )


def ratios(rows, name, other, field="error"):
    """Pairs of a row of one method and its value over that of another, on the same cell."""
    key = operator.itemgetter("table", "mechanism", "rate", "seed")
    others = {key(row): row[field] for row in rows if row["method"] == other}
    return [
        (row, row[field] / others[key(row)])
        for row in rows
        if row["method"] == name and key(row) in others
    ]


def print_summary(rows):
    methods = list(dict.fromkeys(row["method"] for row in rows))
    conditions = dict.fromkeys((row["mechanism"], row["rate"]) for row in rows)
    print(f"\n{'mean of the error over MissForest':<36}", *(f"{m:>11}" for m in methods))
    for mechanism, rate in conditions:
        of = [r for r in rows if (r["mechanism"], r["rate"]) == (mechanism, rate)]
        means = [np.mean([v for _, v in ratios(of, m, "missforest")] or [np.nan]) for m in methods]
        print(f"{mechanism} {rate:<31.0%}", *(f"{mean:>11.3f}" for mean in means))
    over_start = [value for _, value in ratios(rows, "vae", "start")]
    times = [value for _, value in ratios(rows, "vae", "missforest", "seconds")]
    seconds = {
        m: sum(r["seconds"] for r in rows if r["method"] == m) for m in ("vae", "missforest")
    }
    coverage = np.mean([row["coverage"] for row in rows if row["method"] == "vae"])
    print(f"\nseconds over MissForest's: {np.median(times):.2f} (median of cells)")
    _cells.report(
        [
            (
                f"mcar 20 %: at most 0.95 of MissForest: {_mean(rows, 'mcar', 0.2):.3f}",
                _mean(rows, "mcar", 0.2) <= 0.95,
            ),
            *(
                (
                    f"{of[0]} {of[1]:.0%}: at most MissForest: {_mean(rows, *of):.3f}",
                    _mean(rows, *of) <= 1.0,
                )
                for of in conditions
                if of != ("mcar", 0.2)
            ),
            (
                f"no cell above 1.01 of its start: {max(over_start):.3f}",
                max(over_start) <= 1.01,
            ),
            (
                f"coverage of 90 % intervals from 88 to 92 %: {coverage:.1%}",
                0.88 <= coverage <= 0.92,
            ),
            (
                f"a fifth of MissForest's time: {seconds['vae'] / seconds['missforest']:.2f}",
                seconds["vae"] <= 0.2 * seconds["missforest"],
            ),
        ]
    )


def _mean(rows, mechanism, rate):
    of = [r for r in rows if (r["mechanism"], r["rate"]) == (mechanism, rate)]
    return np.mean([value for _, value in ratios(of, "vae", "missforest")] or [np.nan])


def _over_seeds(pairs):
    """Pairs of a table and the geometric mean of its ratios."""
    tables = dict.fromkeys(row["table"] for row, _ in pairs)
    logs = {name: [np.log(v) for row, v in pairs if row["table"] == name] for name in tables}
    return [(name, np.exp(np.mean(of))) for name, of in logs.items()]


def plot(rows, path):
    names = list(dict.fromkeys(row["table"] for row in rows))
    methods = {
        "vae": "VAEImputer",
        "start": "its start",
        "ridge": "ridge",
        "neighbours": "neighbours",
    }
    conditions = list(dict.fromkeys((row["mechanism"], row["rate"]) for row in rows))
    figure, axes = _plots.panels(len(conditions), len(names), width=2.6)
    for axis, (mechanism, rate) in zip(np.atleast_1d(axes), conditions, strict=True):
        of = [r for r in rows if (r["mechanism"], r["rate"]) == (mechanism, rate)]
        series = {
            title: _over_seeds(ratios(of, method, "missforest"))
            for method, title in methods.items()
        }
        _plots.dots(axis, names, series, 1.0, "MissForest")
        _plots.ratio_log(axis)
        axis.set(xlabel="error over MissForest's", title=f"{mechanism}, {rate:.0%}")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    _plots.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument(
        "--conditions",
        nargs="+",
        default=[f"{mechanism}-{rate}" for mechanism, rate in CONDITIONS],
        help="mechanism and fraction, such as mcar-0.2",
    )
    _cells.add_arguments(parser, seeds=(0, 1, 2))
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.data, arguments.tables, arguments.seeds = None, ["iris"], [0]
        arguments.conditions = ["mcar-0.2", "mar-0.3"]
    cells = []
    for name, X in tables(arguments):
        for condition in arguments.conditions:
            mechanism, rate = condition.split("-")
            for seed in arguments.seeds:
                for method in arguments.methods:
                    if method in OPTIONAL and importlib.util.find_spec(method) is None:
                        continue
                    key = {"table": name, "mechanism": mechanism, "rate": float(rate)}
                    key |= {"seed": seed, "method": method}
                    cells.append(_cells.Cell(key, (X,), X.size * COSTS.get(method, 0.01)))
    rows = _cells.run(
        measure, cells, _cells.path_of(arguments, "imputation"), describe, arguments.jobs
    )
    print_summary(rows)
    plot(rows, arguments.out / "imputation.png")


if __name__ == "__main__":
    main()
