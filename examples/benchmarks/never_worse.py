"""Never worse than PCA: reconstruction and likelihood of held-out rows.

Every cell is a table, a number of latents and a seed. The table is split 75 to 25 and
standardised; ``AutoencoderTransformer`` is compared with ``PCA`` by the squared error
of its reconstruction, ``VAETransformer`` by the log-likelihood of a row in nats. All
estimators are as they come.

    python never_worse.py --data FOLDER
"""

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
from _tables import add_arguments, load, split
from joblib import Parallel, delayed
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, VAETransformer


def run_cell(name, X, latents, seed, options):
    train, test = split(X, seed)
    pca = PCA(latents, random_state=seed).fit(train)
    row = {"table": name, "n_train": len(train), "n_features": X.shape[1]}
    row.update(latents=latents, seed=seed)

    began = time.perf_counter()
    autoencoder = AutoencoderTransformer(latents, random_state=seed, **options).fit(train)
    row["autoencoder_seconds"] = time.perf_counter() - began
    row["autoencoder_epoch"] = autoencoder.best_epoch_
    row["error_ratio"] = squared_error(test, autoencoder) / squared_error(test, pca)

    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # collapsed latents are the table's
        vae = VAETransformer(latents, random_state=seed, **options).fit(train)
    row["vae_seconds"] = time.perf_counter() - began
    row["vae_epoch"] = vae.best_epoch_
    row["pca_nats"] = pca.score(test)
    row["gain_nats"] = vae.score(test) - row["pca_nats"]
    return row


def squared_error(X, model):
    return np.square(X - model.inverse_transform(model.transform(X))).sum()


def print_cell(row):
    print(
        f"{row['table']:<15} {row['latents']:>2} latents, seed {row['seed']}: error over PCA's "
        f"{row['error_ratio']:.4f} (epoch {row['autoencoder_epoch']}), nats {row['pca_nats']:.2f} "
        f"{row['gain_nats']:+.3f} (epoch {row['vae_epoch']}), "
        f"{row['autoencoder_seconds']:.1f} and {row['vae_seconds']:.1f} s",
        flush=True,
    )


def print_summary(rows):
    ratios = np.array([row["error_ratio"] for row in rows])
    gains = np.array([row["gain_nats"] for row in rows])
    print(
        f"\n{len(rows)} cells\n"
        "squared error over PCA's:  "
        f"at most 1.00 in {np.mean(ratios <= 1.0 + 1e-9):.1%}, largest {ratios.max():.4f}, "
        f"median {np.median(ratios):.4f}\n"
        "nats over PCA's:           "
        f"at least 0 in {np.mean(gains >= -1e-9):.1%}, smallest {gains.min():+.4f}, "
        f"median {np.median(gains):+.3f}"
    )


def plot(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["table"] for row in rows))
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.32 * len(names) + 1.5), sharey=True)
    for field, axis, reference in (("error_ratio", axes[0], 1.0), ("gain_nats", axes[1], 0.0)):
        latents = sorted({row["latents"] for row in rows})
        for shift, k in enumerate(latents):
            chosen = [row for row in rows if row["latents"] == k]
            heights = [names.index(row["table"]) + 0.3 * (shift - 0.5) for row in chosen]
            axis.plot([row[field] for row in chosen], heights, "o", ms=4, label=f"{k} latents")
        axis.axvline(reference, color="0.4", lw=1, label="PCA")
        axis.grid(axis="x", color="0.9")
    axes[0].set(yticks=range(len(names)), yticklabels=names, xlim=(0, None))
    axes[0].set_xlabel("held-out squared error over PCA's (left is better)")
    axes[1].set_xlabel("held-out nats per row over PCA's (right is better)")
    axes[1].set_xscale("symlog", linthresh=1)
    axes[0].invert_yaxis()
    axes[1].legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--latents", nargs="+", type=int, default=[2, 8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="two tables, a few epochs")
    arguments = parser.parse_args()
    options = {}
    if arguments.tiny:
        arguments.tables, arguments.seeds, options = ["iris", "wine"], [0], {"max_epochs": 5}
    cells = []
    for name, read in load(arguments).items():
        X = read()
        # With as many latents as features PCA's error is 0, and there is nothing to compare.
        cells += [
            (name, X, k, seed, options)
            for k in arguments.latents
            if k < X.shape[1]
            for seed in arguments.seeds
        ]
    rows = []
    parallel = Parallel(n_jobs=arguments.jobs, return_as="generator")
    for row in parallel(delayed(run_cell)(*cell) for cell in cells):
        print_cell(row)
        rows.append(row)
    print_summary(rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "never_worse.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, arguments.out / "never_worse.png")
    if any(row["error_ratio"] > 1.01 or row["gain_nats"] < -0.05 for row in rows):
        raise SystemExit("a cell is worse than PCA")
    print(f"written: {arguments.out / 'never_worse.csv'}, {arguments.out / 'never_worse.png'}")


if __name__ == "__main__":
    main()
