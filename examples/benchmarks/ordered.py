"""Ordered latents: one fit that serves every number of codes, beside a fit of each.

``AutoencoderTransformer(k, ordered=True)`` is fitted once for k = 16 (or one code less than
there are features) to 75 % of the standardised rows of every table with more than 16
features. On the other rows its first j codes are compared, for every j, with ``PCA(j)``, and
for eight j with ``AutoencoderTransformer(j)``, all as they come. The share of the gain is the
mean over these eight of what the first j codes gain over PCA's squared error in units of what
the fit of their own gains; it is 1 where neither gains. Of tables with at most a million
numbers a ``GridSearchCV`` over the eight sizes, with its five folds, is timed too, for one seed.

MNIST (an .npz file with X_train, y_train, ...) has 20,000 training images and one seed.

    python ordered.py --data FOLDER --mnist FILE
"""

import argparse
import time
from pathlib import Path

import _cells
import numpy as np
from _tables import add_arguments, load, split, squared_error
from mnist import load as load_mnist
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV

from skae import AutoencoderTransformer

CODES = 16
SEARCHED = 1_000_000  # numbers of a table up to which a search over sizes is timed too


def sizes_alone(k):
    """Eight numbers of codes up to k, which have a fit of their own."""
    return [size for size in (1, 2, 3, 4, 6, 8, 12) if size < k] + [k]


def measure(parts, options, table, seed):
    train, test = parts(seed)
    k = min(CODES, train.shape[1] - 1)
    row = {"n_train": len(train), "n_features": train.shape[1], "codes": k}
    ordered = AutoencoderTransformer(k, ordered=True, random_state=seed, **options)
    row["seconds"] = seconds_of(lambda: ordered.fit(train))
    row["epoch"] = ordered.best_epoch_
    linear = {j: pca_error(train, test, j, seed) for j in range(1, k + 1)}
    for j in range(1, CODES + 1):
        found = j <= k
        error = squared_error(test, ordered.truncate(j)) / linear[j] if found else None
        row[f"ratio_{j}"] = error
    row["seconds_alone"] = 0.0
    for j in sizes_alone(CODES):
        row[f"alone_{j}"] = None
    for j in sizes_alone(k):
        model = AutoencoderTransformer(j, random_state=seed, **options)
        row["seconds_alone"] += seconds_of(lambda model=model: model.fit(train))
        row[f"alone_{j}"] = squared_error(test, model) / linear[j]
    row["seconds_search"] = None
    if train.size <= SEARCHED and seed == 0:
        model = AutoencoderTransformer(random_state=seed, **options)
        search = GridSearchCV(model, {"latent_dim": sizes_alone(k)}, refit=False)
        row["seconds_search"] = seconds_of(lambda: search.fit(train))
    return row


def seconds_of(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def pca_error(train, test, j, seed):
    return squared_error(test, PCA(j, random_state=seed).fit(train))


def ratios(row):
    return np.array([row[f"ratio_{j}"] for j in range(1, int(row["codes"]) + 1)], dtype=float)


def share_of_gain(row):
    shares = []
    for j in sizes_alone(int(row["codes"])):
        gain, alone = 1.0 - row[f"ratio_{j}"], 1.0 - row[f"alone_{j}"]
        shares.append(gain / alone if alone > 1e-3 else 1.0 if gain > -1e-3 else 0.0)
    return np.mean(shares)


def full_over_alone(row):
    k = int(row["codes"])
    return row[f"ratio_{k}"] / row[f"alone_{k}"]


def describe(row):
    return (
        f"{row['table']:<14} seed {row['seed']}: error over PCA's at most {ratios(row).max():.4f}, "
        f"mean {ratios(row).mean():.3f}; share of the gain {share_of_gain(row):.2f}; with all "
        f"codes over a fit of its own {full_over_alone(row):.3f}; {row['seconds']:.1f} s, "
        f"the eight {row['seconds_alone']:.1f} s"
    )


def print_summary(rows):
    print()
    for table in dict.fromkeys(row["table"] for row in rows):
        here = [row for row in rows if row["table"] == table]
        worst = max(ratios(row).max() for row in here)
        print(
            f"{table:<14} at most {worst:.4f}  share {np.median([*map(share_of_gain, here)]):.2f}  "
            f"all codes {np.median([*map(full_over_alone, here)]):.3f}"
        )
    worst = max(ratios(row).max() for row in rows)
    shares = [share_of_gain(row) for row in rows]
    full = [full_over_alone(row) for row in rows]
    time_alone = np.median([row["seconds"] / row["seconds_alone"] for row in rows])
    searches = [row["seconds"] / row["seconds_search"] for row in rows if row["seconds_search"]]
    aims = [
        (f"no size above 1.01 of PCA's error: {worst:.4f}", worst <= 1.01),
        (f"half of the gain in every cell: at least {min(shares):.2f}", min(shares) >= 0.5),
        (f"all codes within 10 % of a fit of their own: {max(full):.3f}", max(full) <= 1.1),
        (f"a quarter of the time of eight fits: {time_alone:.2f} (median)", time_alone <= 0.25),
    ]
    if searches:
        longest = max(searches)
        aims.append((f"a quarter of a search over eight sizes: {longest:.2f}", longest <= 0.25))
    _cells.report(aims)


def plot(rows, path):
    from _plots import STYLES, plt, save

    tables = list(dict.fromkeys(row["table"] for row in rows))
    n_columns = min(4, len(tables))
    shape = (-(-len(tables) // n_columns), n_columns)
    figure, axes = plt.subplots(
        *shape, figsize=(3.2 * n_columns, 2.9 * shape[0] + 0.6), squeeze=False, sharey=True
    )
    for axis, table in zip(axes.flat, tables, strict=False):
        here = [row for row in rows if row["table"] == table]
        k = int(here[0]["codes"])
        ordered = np.median([ratios(row) for row in here], axis=0)
        axis.plot(range(1, k + 1), ordered, label="ordered, one fit", ms=4, **STYLES[0])
        alone = [np.median([row[f"alone_{j}"] for row in here]) for j in sizes_alone(k)]
        label = "a fit of each size"
        axis.plot(sizes_alone(k), alone, ls="", label=label, ms=5, **STYLES[1])
        axis.axhline(1.0, color="0.3", lw=1, label="PCA")
        axis.set_title(table, fontsize=10)
        axis.grid(color="0.9")
    axes.flat[0].set_ylim(0, None)
    for axis in list(axes.flat)[len(tables) :]:
        axis.remove()
    figure.supxlabel("number of codes")
    figure.supylabel("held-out squared error over PCA's")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    save(figure, path)


def cells_of(arguments):
    options = {"max_epochs": 2} if arguments.tiny else {}
    if arguments.tiny:
        arguments.tables, arguments.seeds = ["breast_cancer"], [0]
    for name, read in load(arguments).items():
        X = read()
        if X.shape[1] > CODES:
            for seed in arguments.seeds:
                inputs = (lambda seed, X=X: split(X, seed), options)
                yield _cells.Cell({"table": name, "seed": seed}, inputs, X.size)
    if arguments.mnist is not None:
        X, _, X_test, _ = load_mnist(arguments.mnist, tiny=False)
        parts = X[:20000].reshape(20000, -1), X_test.reshape(len(X_test), -1)
        yield _cells.Cell({"table": "MNIST", "seed": 0}, (lambda seed: parts, options), X.size)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--mnist", type=Path, help="an .npz file with X_train, y_train, ...")
    _cells.add_arguments(parser, seeds=(0, 1, 2))
    arguments = parser.parse_args()
    path = _cells.path_of(arguments, "ordered")
    rows = _cells.run(measure, list(cells_of(arguments)), path, describe, arguments.jobs)
    print_summary(rows)
    plot(rows, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
