"""How well classifiers do on the codes: accuracy on rows that nothing has seen.

Codes are made without labels, from standardised training rows alone (75 %, as many of
every class), by ``PCA``, ``KernelPCA`` (radial basis functions; up to 3,000 training rows),
``AutoencoderTransformer``, ``VAETransformer`` and, where installed, ``UMAP``, all as they
come. ``LogisticRegression`` and ``KNeighborsClassifier`` are trained on the standardised
codes, and for comparison on the rows themselves ("raw").

Tables are those whose target is made of at most 20 integers, with at least ten rows each.
MNIST (an .npz file with X_train, y_train, ...) keeps its own test set and its scale of 0
to 1; our estimators are told that its values are probabilities, ``likelihood="bernoulli"``,
and get 30 epochs; one seed of it is run.

"The better" of VAE and autoencoder is reported twice: as chosen by 5-fold cross-validation of
the classifier on the codes of training rows, which a user can do too, and in hindsight.

    python downstream.py --data FOLDER --mnist FILE
"""

import argparse
import importlib.util
import time
from pathlib import Path

import _cells
import numpy as np
from _tables import KERNEL_ROWS, add_arguments, load, standardised
from mnist import load as load_mnist
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, VAETransformer

CLASSIFIERS = {
    "logistic": lambda: LogisticRegression(max_iter=1000),
    "neighbors": KNeighborsClassifier,
}
OURS = {"autoencoder": AutoencoderTransformer, "vae": VAETransformer}
TITLES = {"autoencoder": "AutoencoderTransformer", "vae": "VAETransformer"}


def measure(data, options, table, method, latents, seed):
    train, test, y, y_test = parts(*data, seed)
    row = {"n_train": len(train), "n_test": len(test), "n_features": train.shape[1]}
    row["n_classes"] = len(np.unique(y))
    began = time.perf_counter()
    codes = codes_of(method, train, test, latents, seed, options)
    row["seconds"] = time.perf_counter() - began
    for name, make in CLASSIFIERS.items():
        row[name] = row[f"{name}_cv"] = None
        if codes is not None:
            classifier = make_pipeline(StandardScaler(), make())
            if method != "raw":
                row[f"{name}_cv"] = cross_val_score(classifier, codes[0], y).mean()
            row[name] = classifier.fit(codes[0], y).score(codes[1], y_test)
    return row


def parts(X, y, n_train, seed):
    """Rows for training and testing, and their labels; the first `n_train` where given."""
    if n_train is not None:
        return X[:n_train], X[n_train:], y[:n_train], y[n_train:]
    split = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
    return *standardised(*split[:2]), *split[2:]


def codes_of(method, train, test, latents, seed, options):
    """Codes of both, or None where the method is not for so many rows."""
    if method == "raw":
        return train, test
    if method == "KernelPCA" and len(train) > KERNEL_ROWS:
        return None
    model = model_of(method, latents, seed, options).fit(train)
    return model.transform(train), model.transform(test)


def model_of(method, latents, seed, options):
    if method in OURS:
        return OURS[method](latents, random_state=seed, **options)
    if method == "UMAP":
        from umap import UMAP

        return UMAP(n_components=latents, random_state=seed, n_jobs=1)
    if method == "KernelPCA":
        return KernelPCA(latents, kernel="rbf", random_state=seed)
    return PCA(latents, random_state=seed)


def tasks(arguments):
    """For every table with classes its name, data for `parts`, options and seeds."""
    arguments.keep_target = True
    for name, read in load(arguments).items():
        table = read()
        X, y = table[:, :-1], table[:, -1]
        if is_class(y):
            print(f"{name}: {len(X)} rows, {X.shape[1]} features, {len(np.unique(y))} classes")
            options = {"max_epochs": 5} if arguments.tiny else {}
            yield name, (X, y.astype(int), None), options, arguments.seeds
    if arguments.mnist is not None and not arguments.tiny:
        X, y, X_test, y_test = load_mnist(arguments.mnist, tiny=False)
        images = np.concatenate([X, X_test]).reshape(len(X) + len(X_test), -1)
        options = {"likelihood": "bernoulli", "max_epochs": 30}
        labels = np.concatenate([y, y_test])
        yield "MNIST", (images, labels, len(X)), options, arguments.seeds[:1]


def is_class(y):
    values, counts = np.unique(y, return_counts=True)
    return len(values) <= 20 and counts.min() >= 10 and np.all(values == np.round(values))


def cells_of(arguments):
    methods = ["PCA", "KernelPCA", *OURS]
    if importlib.util.find_spec("umap") and not arguments.tiny:
        methods.append("UMAP")
    for name, data, options, seeds in tasks(arguments):
        for seed in seeds:
            for k in arguments.latents:
                for method in methods if k < data[0].shape[1] else ():
                    yield cell(name, method, k, seed, data, options)
            yield cell(name, "raw", None, seed, data, options)


def cell(name, method, latents, seed, data, options):
    key = {"table": name, "method": method, "latents": latents, "seed": seed}
    return _cells.Cell(key, (data, options), 100 + len(data[0]))


def describe(row):
    latents = f"{row['latents']} codes" if row["latents"] else "       "
    start = f"{row['table']:<15} {row['method']:<12} {latents}, seed {row['seed']}: "
    if row["logistic"] is None:
        return start + "too many rows"
    return start + (
        f"accuracy {row['logistic']:.3f} (logistic), {row['neighbors']:.3f} (neighbors), "
        f"{row['seconds']:.1f} s"
    )


def gains(rows):
    """Accuracy over PCA's: for every contender dicts of a table, latents, seed, classifier."""
    found = {name: [] for name in (*OURS, "chosen", "hindsight", "KernelPCA", "UMAP", "raw")}
    places = {(row["table"], row["latents"], row["seed"]): {} for row in rows}
    for row in rows:
        places[row["table"], row["latents"], row["seed"]][row["method"]] = row
    for (table, latents, seed), here in places.items():
        if latents is None:
            continue
        here = here | places[table, None, seed]
        for name in CLASSIFIERS:
            scores = {method: row[name] for method, row in here.items() if row[name] is not None}
            best = max(OURS, key=lambda method: here[method][f"{name}_cv"])
            scores["chosen"] = scores[best]
            scores["hindsight"] = max(scores[method] for method in OURS)
            n_test = here["raw"]["n_test"]
            for method in found:
                if method in scores:
                    place = {"table": table, "latents": latents, "seed": seed, "classifier": name}
                    gain = scores[method] - scores["PCA"]
                    error = np.sqrt(2 * scores["PCA"] * (1 - scores["PCA"]) / n_test)
                    found[method].append({**place, "gain": gain, "error": error})
    return {method: points for method, points in found.items() if points}


def print_summary(rows, found):
    for line in (
        ("accuracy", "", "at least", "", "clearly", "mean"),
        ("over PCA's", "cells", "as good", "better", "worse", "gain"),
    ):
        print("{:<24} {:>6} {:>9} {:>9} {:>9} {:>8}".format(*line))
    shares = {}
    for method, points in found.items():
        gain, error = (np.array([point[name] for point in points]) for name in ("gain", "error"))
        shares[method] = np.mean(gain >= -1e-9)
        print(
            f"{TITLES.get(method, method):<24} {len(gain):>6} {shares[method]:>9.1%} "
            f"{np.mean(gain > 1e-9):>9.1%} {np.mean(gain < -error):>9.1%} {gain.mean():>+8.4f}"
        )
    print(
        "chosen: of VAE and autoencoder, by cross-validation on training rows; hindsight: by the\n"
        "test rows themselves; clearly worse: by more than a standard error of the difference."
    )
    print_losses(found["chosen"])
    aims = [
        (f"{name} codes at least PCA's in 90 % of cells: {shares[name]:.1%}", shares[name] >= 0.9)
        for name in (*OURS, "chosen", "hindsight")
    ]
    mnist = [row for row in rows if row["table"] == "MNIST" and row["latents"] == 2]
    if mnist:
        ours = [row for row in mnist if row["method"] in OURS]
        best, name, method = max(
            (row[name], name, row["method"]) for row in ours for name in CLASSIFIERS
        )
        sentence = f"MNIST at 2 codes at least 0.75: {best:.4f} ({method}, {name})"
        aims.append((sentence, best >= 0.75))
    _cells.report(aims)


def print_losses(points):
    """Where the chosen codes are below PCA's, mean over seeds."""
    groups = {}
    for point in points:
        place = point["table"], point["latents"], point["classifier"]
        groups.setdefault(place, []).append(point["gain"])
    worse = {place: np.mean(gain) for place, gain in groups.items() if np.mean(gain) < 0}
    for (table, latents, classifier), gain in sorted(worse.items(), key=lambda item: item[1]):
        print(f"    below PCA: {table}, {latents} codes, {classifier}: {gain:+.4f}")


def plot(rows, found, path):
    from _plots import dots, legend, panels, save

    names = list(dict.fromkeys(row["table"] for row in rows))
    figure, axes = panels(2, len(names), width=5.5)
    shown = [method for method in (*OURS, "KernelPCA", "UMAP", "raw") if method in found]
    for axis, classifier in zip(axes, CLASSIFIERS, strict=True):
        series = {
            TITLES.get(method, method): [
                (point["table"], point["gain"])
                for point in found[method]
                if point["classifier"] == classifier
            ]
            for method in shown
        }
        dots(axis, names, series, 0.0, "PCA")
        axis.set_xlabel("accuracy on test rows over PCA's (right is better)")
        legend(axis)
    axes[0].set_title("LogisticRegression\n\n\n")
    axes[1].set_title("KNeighborsClassifier\n\n\n")
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--mnist", type=Path, help="an .npz file with X_train, y_train, ...")
    _cells.add_arguments(parser, latents=(2, 4, 8))
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.tables, arguments.latents, arguments.seeds = ["iris", "wine"], [2], [0]
    path = _cells.path_of(arguments, "downstream")
    rows = _cells.run(measure, list(cells_of(arguments)), path, describe, arguments.jobs)
    found = gains(rows)
    print_summary(rows, found)
    plot(rows, found, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
