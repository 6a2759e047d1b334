"""Never worse than PCA: reconstruction and likelihood of held-out rows.

Every cell is a table, a number of latents and a seed. The table is split 75 to 25 and
standardised; ``AutoencoderTransformer`` is compared with ``PCA`` by the squared error
of its reconstruction, ``VAETransformer`` by the log-likelihood of a row in nats. Both
are as they come. Three further methods are compared with PCA by their squared error:

- ``KernelPCA`` with radial basis functions, whose gamma and alpha are those of a small grid
  that reconstruct a quarter of the training rows best; up to 3,000 training rows.
- ``FastICA``, which spans the subspace of PCA, so that its error is PCA's.
- ``NMF`` where no feature is negative: of features divided by their standard deviations,
  but not centred, so that its error is in the same units.

Where a method does not apply its fields in the CSV are empty.

    python never_worse.py --data FOLDER
"""

import argparse
import itertools
import time

import _cells
import numpy as np
from _tables import KERNEL_ROWS, add_arguments, grid, split, squared_error, standardised
from sklearn.decomposition import NMF, PCA, FastICA, KernelPCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer, VAETransformer

OTHERS = {"kernel_pca": "KernelPCA", "fast_ica": "FastICA", "nmf": "NMF"}


def measure(X, options, table, latents, seed):
    train, test = split(X, seed)
    pca = PCA(latents, random_state=seed).fit(train)
    pca_error, pca_nats = squared_error(test, pca), pca.score(test)
    row = {"n_train": len(train), "n_features": X.shape[1]}

    began = time.perf_counter()
    autoencoder = AutoencoderTransformer(latents, random_state=seed, **options).fit(train)
    row["autoencoder_seconds"] = time.perf_counter() - began
    row["autoencoder_epoch"] = autoencoder.best_epoch_
    row["error_ratio"] = squared_error(test, autoencoder) / pca_error

    for name, error in other_errors(X, train, test, latents, seed):
        row[f"{name}_ratio"] = None if error is None else error / pca_error

    began = time.perf_counter()
    vae = VAETransformer(latents, random_state=seed, **options).fit(train)
    row["vae_seconds"] = time.perf_counter() - began
    row["vae_epoch"] = vae.best_epoch_
    row["pca_nats"] = pca_nats
    row["gain_nats"] = vae.score(test) - pca_nats
    return row


def other_errors(X, train, test, latents, seed):
    small = len(train) <= KERNEL_ROWS
    yield "kernel_pca", squared_error(test, kernel_pca(train, latents, seed)) if small else None
    ica = FastICA(latents, whiten="unit-variance", random_state=seed)
    yield "fast_ica", squared_error(test, ica.fit(train))
    if X.min() < 0:
        yield "nmf", None
    else:
        parts = train_test_split(X, test_size=0.25, random_state=seed)
        train, test = standardised(*parts, with_mean=False)
        nmf = NMF(latents, init="nndsvda", max_iter=1000, random_state=seed)
        yield "nmf", squared_error(test, nmf.fit(train))


def kernel_pca(train, latents, seed):
    """The one of a small grid that reconstructs training rows best which it has not seen."""
    seen, unseen = train_test_split(train, test_size=0.25, random_state=seed)

    def model(gamma, alpha):
        gamma = gamma / train.shape[1]
        options = {"kernel": "rbf", "fit_inverse_transform": True, "random_state": seed}
        return KernelPCA(latents, gamma=gamma, alpha=alpha, **options)

    grid = list(itertools.product((0.01, 0.1, 1.0), (1e-6, 1e-4, 1e-2)))
    errors = [squared_error(unseen, model(*point).fit(seen)) for point in grid]
    return model(*grid[int(np.argmin(errors))]).fit(train)


def describe(row):
    return (
        f"{row['table']:<15} {row['latents']:>2} latents, seed {row['seed']}: error over PCA's "
        f"{row['error_ratio']:.4f} (epoch {row['autoencoder_epoch']}), nats {row['pca_nats']:.2f} "
        f"{row['gain_nats']:+.3f} (epoch {row['vae_epoch']}), "
        f"{row['autoencoder_seconds']:.1f} and {row['vae_seconds']:.1f} s"
    )


def print_summary(rows):
    ratios, gains = column(rows, "error_ratio"), column(rows, "gain_nats")
    print(
        f"\n{len(rows)} cells\n"
        "squared error over PCA's:  "
        f"at most 1.00 in {within(ratios):.1%}, largest {ratios.max():.4f}, "
        f"median {np.median(ratios):.4f}\n"
        "nats over PCA's:           "
        f"at least 0 in {np.mean(gains >= -1e-9):.1%}, smallest {gains.min():+.4f}, "
        f"median {np.median(gains):+.3f}"
    )
    for name, title in OTHERS.items():
        others = column(rows, f"{name}_ratio")
        own, others = ratios[~np.isnan(others)], others[~np.isnan(others)]
        if len(others):
            print(
                f"squared error, {title + ':':<11} {np.median(others):.4f} of PCA's (median of "
                f"{len(others)} cells); the autoencoder's is at most that in "
                f"{np.mean(own <= others + 1e-6):.1%}"
            )
    _cells.report(
        [
            (f"no error above 1.01 of PCA's: {ratios.max():.4f}", ratios.max() <= 1.01),
            (f"98 % at most 1.00: {within(ratios):.1%}", within(ratios) >= 0.98),
            (f"median at most 0.45: {np.median(ratios):.4f}", np.median(ratios) <= 0.45),
            (f"no cell 0.05 nats below PCA: {gains.min():+.4f}", gains.min() >= -0.05),
        ]
    )


def within(ratios):
    return np.mean(ratios <= 1.0 + 1e-9)


def column(rows, field):
    return np.array([row[field] for row in rows], dtype=float)


def plot(rows, path):
    from _plots import dots, legend, panels, ratio_log, save, signed_log

    names = list(dict.fromkeys(row["table"] for row in rows))
    figure, (errors, others, nats) = panels(3, len(names))

    def points(field, chosen=rows):
        return [(row["table"], row[field]) for row in chosen if row[field] is not None]

    by_latents = {
        f"{k} latents": [row for row in rows if row["latents"] == k]
        for k in sorted({row["latents"] for row in rows})
    }
    for axis, field, reference in ((errors, "error_ratio", 1.0), (nats, "gain_nats", 0.0)):
        series = {label: points(field, chosen) for label, chosen in by_latents.items()}
        dots(axis, names, series, reference, "PCA")
    errors.set(xlim=(0, None), title="AutoencoderTransformer\n\n\n")
    errors.set_xlabel("held-out squared error over PCA's (left is better)")
    series = {title: points(f"{name}_ratio") for name, title in OTHERS.items()}
    dots(others, names, series, 1.0, "PCA")
    ratio_log(others)
    others.set(title="other methods, all latents\n\n\n")
    others.set_xlabel("held-out squared error over PCA's (left is better)")
    signed_log(nats)
    nats.set(title="VAETransformer\n\n\n")
    nats.set_xlabel("held-out nats per row over PCA's (right is better)")
    for axis in (errors, others, nats):
        legend(axis)
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    _cells.add_arguments(parser, latents=(2, 4, 8, 16))
    arguments = parser.parse_args()
    options = {}
    if arguments.tiny:
        arguments.tables, arguments.latents, arguments.seeds = ["iris", "wine"], [2, 8], [0]
        options = {"max_epochs": 5}
    cells = [
        _cells.Cell({"table": name, "latents": k, "seed": seed}, (X, options), 500 + len(X))
        for name, X, k, seed in grid(arguments)
    ]
    path = _cells.path_of(arguments, "never_worse")
    rows = _cells.run(measure, cells, path, describe, arguments.jobs)
    print_summary(rows)
    plot(rows, path.with_suffix(".png"))
    if any(row["error_ratio"] > 1.01 or row["gain_nats"] < -0.05 for row in rows):
        raise SystemExit("a cell is worse than PCA")


if __name__ == "__main__":
    main()
