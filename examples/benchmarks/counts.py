"""Counts: how well codes give them back, and how likely rows are that were held out.

Three quarters of the rows are for training. Of the others, encoded and decoded:

- deviance: the mean Poisson deviance of a row from its reconstruction. Lower is better.
- nats: the mean log-probability of a row, for methods that have one. Higher is better.

Methods are the autoencoder and the VAE with ``likelihood="poisson"``, both without training ("start
of ..."), the VAE with ``likelihood="negative_binomial"``, and:

- PCA of Pearson residuals (Townes et al. 2019), back in rates: the mean plus the residual times the
  mean's root, at least 0.001;
- GLM-PCA, where the package glmpca is installed, with the smallest penalty of 1, 10, 100 and 1,000
  with which it converges. It has no `transform`. Here the codes of a held-out row maximise its
  likelihood, given the total of the row. The other methods do not use this total.

The folder also has counts/NAME.npz, whose X is a table of counts.

    python counts.py --data FOLDER
"""

import argparse
import importlib.util
import itertools
import time
from pathlib import Path

import _cells
import _plots
import numpy as np
from _tables import add_arguments
from scipy.special import xlogy
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer, VAETransformer

METHODS = (
    "residual PCA",
    "GLM-PCA",
    "start of autoencoder",
    "autoencoder",
    "start of VAE",
    "VAE",
    "VAE, negative binomial",
)
PENALTIES = (1, 10, 100, 1000)


def tables(arguments):
    """Pairs of a name and a table of counts."""
    found = {"digits": lambda: load_digits().data}
    if arguments.data is not None:
        for path in sorted(Path(arguments.data).glob("counts/*.npz")):
            found[path.stem] = lambda path=path: np.load(path)["X"].astype(float)
    for name in arguments.tables or found:
        X = found[name]()
        yield name, X[:, X.sum(axis=0) > 0]


def deviance(X, rates):
    """Mean Poisson deviance of a row."""
    return 2.0 * (xlogy(X, X) - xlogy(X, rates) - X + rates).sum() / len(X)


def measure(X, options, table, method, latents, seed):
    train, test = train_test_split(X, test_size=0.25, random_state=seed)
    began = time.perf_counter()
    if method == "residual PCA":
        rates, nats, setting = residual_pca(train, test, latents), None, None
    elif method == "GLM-PCA":
        rates, nats, setting = glm_pca(train, test, latents, seed)
    else:
        rates, nats, setting = ours(train, test, latents, seed, method, options)
    return {
        "deviance": deviance(test, rates) if rates is not None else None,
        "nats": nats,
        "setting": setting,
        "seconds": time.perf_counter() - began,
    }


def ours(train, test, latents, seed, method, options):
    cls = AutoencoderTransformer if "autoencoder" in method else VAETransformer
    likelihood = "negative_binomial" if "negative" in method else "poisson"
    options = {"max_epochs": 0} if "start" in method else options
    model = cls(latents, likelihood=likelihood, random_state=seed, **options).fit(train)
    nats = model.score(test) if cls is VAETransformer else None
    return model.reconstruct(test), nats, f"epoch {model.best_epoch_}"


def residual_pca(train, test, latents):
    mean = np.maximum(train.mean(axis=0), 0.5 / len(train))
    root = np.sqrt(mean)
    axes = np.linalg.svd((train - mean) / root, full_matrices=False)[2][:latents]
    return np.maximum(mean + root * ((test - mean) / root @ axes.T @ axes), 1e-3)


def glm_pca(train, test, latents, seed):
    from glmpca.glmpca import GlmpcaError, glmpca

    varies = train.sum(axis=0) > 0  # its loadings of other columns are not finite
    rng, shapes = np.random.default_rng(seed), (len(train), varies.sum())
    first = [1e-5 / latents * rng.standard_normal((size, latents)) for size in shapes]
    options = {
        "sz": train.sum(axis=1),
        "init": dict(zip(("factors", "loadings"), first, strict=True)),
    }
    for penalty in PENALTIES:
        try:
            found = glmpca(train[:, varies].T, latents, penalty=penalty, **options)
            break
        except GlmpcaError:
            continue
    else:
        return None, None, "diverges"
    totals = np.log(np.maximum(test.sum(axis=1, keepdims=True), 1.0))
    rates = np.full(test.shape, 1e-3)
    rates[:, varies] = with_loadings(test[:, varies], totals + found["coefX"][:, 0], found)
    return rates, None, f"penalty {penalty}"


def with_loadings(X, offset, found):
    """Maximise the likelihood of rows over their codes by Newton's method; return their rates."""
    loadings = np.asarray(found["loadings"])
    codes = np.zeros((len(X), loadings.shape[1]))
    for _ in range(200):
        rates = np.exp(np.minimum(offset + codes @ loadings.T, 30.0))
        gradient = (X - rates) @ loadings - 1e-3 * codes
        curvature = np.einsum("nd,dk,dl->nkl", rates, loadings, loadings)
        curvature += 1e-3 * np.eye(codes.shape[1])
        steps = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        length = np.linalg.norm(steps, axis=1, keepdims=True)
        codes += steps * np.minimum(1.0, 2.0 / np.maximum(length, 1e-9))
        if length.max() < 1e-6:
            break
    return np.exp(np.minimum(offset + codes @ loadings.T, 30.0))


def describe(row):
    values = [f"{m} {row[m]:.2f}" for m in ("deviance", "nats") if row[m] is not None]
    return (
        f"{row['table']}, {row['latents']} latents, seed {row['seed']}, {row['method']}: "
        f"{', '.join(values)}, {row['seconds']:.1f} s {row['setting'] or ''}"
    )


def print_summary(rows):
    for name in dict.fromkeys(row["table"] for row in rows):
        sizes = sorted({row["latents"] for row in rows if row["table"] == name})
        print(f"\n{name}: medians of the deviance, nats and seconds, by number of latents")
        print(f"{'':<24}", *(f"{size:>10}" for size in sizes))
        for method in dict.fromkeys(row["method"] for row in rows):
            for metric in ("deviance", "nats", "seconds"):
                values = [
                    [
                        row[metric]
                        for row in rows
                        if (row["table"], row["method"], row["latents"]) == (name, method, size)
                        and row[metric] is not None
                    ]
                    for size in sizes
                ]
                if any(values):
                    shown = [f"{np.median(of):>10.2f}" if of else f"{'-':>10}" for of in values]
                    print(f"{method if metric == 'deviance' else '  ' + metric:<24}", *shown)
    found = {tuple(row[n] for n in ("table", "latents", "seed", "method")): row for row in rows}
    aims = []
    for method, rival in itertools.product(("autoencoder", "VAE"), ("residual PCA", "GLM-PCA")):
        pairs = [
            (row["deviance"], found[(*key[:3], rival)]["deviance"])
            for key, row in found.items()
            if key[3] == method and (*key[:3], rival) in found
        ]
        pairs = [pair for pair in pairs if pair[1] is not None]
        if pairs:
            lower = sum(ours <= theirs for ours, theirs in pairs)
            sentence = f"deviance of the {method} at most that of {rival}: {lower} of {len(pairs)}"
            aims.append((sentence, lower == len(pairs)))
    _cells.report(aims)


def plot(rows, path):
    names = list(dict.fromkeys(row["table"] for row in rows))
    figure, axes = _plots.panels(len(names), 4, width=4.0, sharey=False)
    for axis, name in zip(np.atleast_1d(axes), names, strict=True):
        for style, method in zip(_plots.STYLES, METHODS, strict=False):
            of = [row for row in rows if (row["table"], row["method"]) == (name, method)]
            of = [row for row in of if row["deviance"] is not None]
            sizes = sorted({row["latents"] for row in of})
            medians = [
                np.median([row["deviance"] for row in of if row["latents"] == size])
                for size in sizes
            ]
            if sizes:
                axis.plot(sizes, medians, label=method, **style)
        axis.set(xlabel="latents", ylabel="deviance of a held-out row", title=name)
        axis.set_xticks(sizes)
        axis.set_ylim(bottom=0)
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    _plots.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    _cells.add_arguments(parser, latents=(2, 5, 10, 20), seeds=(0, 1, 2), jobs=1)
    arguments = parser.parse_args()
    options = {}
    if arguments.tiny:
        arguments.data, arguments.tables = None, ["digits"]
        arguments.latents, arguments.seeds, options = [2], [0], {"max_epochs": 3}
    cells = []
    for name, X in tables(arguments):
        for latents, seed in itertools.product(arguments.latents, arguments.seeds):
            for method in METHODS:
                if method == "GLM-PCA" and importlib.util.find_spec("glmpca") is None:
                    continue
                key = {"table": name, "method": method, "latents": latents, "seed": seed}
                cells.append(_cells.Cell(key, (X, options), 0.1 if "start" in method else 1.0))
    path = _cells.path_of(arguments, "counts")
    rows = _cells.run(measure, cells, path, describe, arguments.jobs)
    print_summary(rows)
    plot(rows, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
