"""Held-out likelihood: the VAE against classical densities, in nats per row.

Every table is split 75 to 25 and standardised; a feature that does not vary in the
training rows has no density and is left out, for all alike. Against ``VAETransformer(k)``
as it comes:

- ``PCA(k)`` (probabilistic PCA) and ``FactorAnalysis(k)``, with as many codes;
- the ``GaussianMixture`` of lowest BIC, with full or diagonal covariances and 1, 2, ...
  components, more as long as they lower it (at most 320, and one for ten rows);
- ``KernelDensity``, whose bandwidth is chosen on held-out training rows.

The last two have no number of codes. They are compared with the VAE of the k that a fit to
four fifths of the training rows gives the other fifth the highest likelihood with; rows for
testing are not asked.

A feature with few values, or one that others determine, has no density either, but is
kept: what a method gains there is how small it lets a variance become (FactorAnalysis and
its share in the VAE 1e-12, GaussianMixture 1e-6, the decoder a millionth of PCA's noise).

``--dequantised`` takes that away: a value is moved to anywhere in the interval that may have
been rounded to it, as wide as the smallest gap between two values of its feature.

    python likelihood.py --data FOLDER [--dequantised]
"""

import argparse
import time

import _cells
import numpy as np
from _tables import add_arguments, grid, split
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split
from sklearn.neighbors import KernelDensity

from skae import VAETransformer

COMPONENTS = (*range(1, 11), 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 160, 200, 250, 320)
BANDWIDTHS = np.geomspace(0.01, 3.0, 15)
TOLERANCE = 0.05  # nats by which the VAE may be below PCA or factor analysis


def measure(X, dequantise, tiny, table, method, latents, seed):
    train, test = split(dequantised(X, seed) if dequantise else X, seed)
    varies = train.std(axis=0) > 0
    train, test = train[:, varies], test[:, varies]
    row = {"n_rows": len(X), "n_features": train.shape[1]}
    began = time.perf_counter()
    found = METHODS[method](train, test, latents, seed, tiny)
    return {
        **row,
        "nats": found["nats"],
        "nats_left_out": found.get("left_out"),
        "setting": found.get("setting"),
        "seconds": time.perf_counter() - began,
    }


def dequantised(X, seed):
    widths = [smallest_gap(feature) for feature in X.T]
    return X + widths * (np.random.default_rng(seed).random(X.shape) - 0.5)


def smallest_gap(feature):
    """Between two values, if they differ by more than rounding; 0 where nothing varies."""
    gaps = np.diff(np.unique(feature))
    return gaps[gaps > 1e-6 * np.ptp(feature)].min(initial=np.ptp(feature))


def vae(train, test, latents, seed, tiny):
    options = {"max_epochs": 5} if tiny else {}
    model = VAETransformer(latents, random_state=seed, **options).fit(train)
    nats, setting = model.score(test), f"epoch {model.best_epoch_}"
    fitted, left_out = train_test_split(train, test_size=0.2, random_state=seed)
    return {"nats": nats, "left_out": model.fit(fitted).score(left_out), "setting": setting}


def pca(train, test, latents, seed, tiny):
    return {"nats": PCA(latents, random_state=seed).fit(train).score(test)}


def factor_analysis(train, test, latents, seed, tiny):
    return {"nats": FactorAnalysis(latents, random_state=seed).fit(train).score(test)}


def gaussian_mixture(train, test, latents, seed, tiny):
    best = None
    for covariance in ("full", "diag"):
        n_worse, lowest = 0, np.inf
        for n in (n for n in COMPONENTS[: 3 if tiny else None] if n <= len(train) // 10):
            model = mixture_of(n, covariance, train, seed)
            bic = model.bic(train)
            n_worse = 0 if bic < lowest else n_worse + 1
            lowest = min(bic, lowest)
            if best is None or bic < best[0]:
                best = bic, model
            if n_worse == 3:
                break
    model = best[1]
    return {"nats": model.score(test), "setting": f"{model.covariance_type} {model.n_components}"}


def mixture_of(n, covariance, train, seed):
    """As it comes, but where covariances cannot be factored they get more on the diagonal."""
    for floor in (1e-6, 1e-4, 1e-2):
        options = {"covariance_type": covariance, "reg_covar": floor, "random_state": seed}
        try:
            return GaussianMixture(n, **options).fit(train)
        except ValueError as error:
            failure = error
    raise failure


def kernel_density(train, test, latents, seed, tiny):
    parts = ShuffleSplit(5, test_size=min(1000, len(train) // 5), random_state=seed)
    search = GridSearchCV(KernelDensity(), {"bandwidth": BANDWIDTHS}, cv=parts).fit(train)
    nats = search.best_estimator_.score_samples(test).mean()
    return {"nats": nats, "setting": f"{search.best_params_['bandwidth']:.3g}"}


METHODS = {
    "VAETransformer": vae,
    "PCA": pca,
    "FactorAnalysis": factor_analysis,
    "GaussianMixture": gaussian_mixture,
    "KernelDensity": kernel_density,
}
WITHOUT_CODES = ("GaussianMixture", "KernelDensity")


def cells_of(arguments):
    for name, X, k, seed in grid(arguments):
        for method in METHODS:
            latents = None if method in WITHOUT_CODES else k
            key = {"table": name, "method": method, "latents": latents, "seed": seed}
            yield _cells.Cell(key, (X, arguments.dequantised, arguments.tiny), 100 + len(X))


def describe(row):
    latents = f"{row['latents']:>2} latents" if row["latents"] else "          "
    return (
        f"{row['table']:<15} {row['method']:<15} {latents}, seed {row['seed']}: "
        f"{row['nats']:9.3f} nats, {row['seconds']:.1f} s  {row['setting'] or ''}"
    )


def gains(rows):
    """What the VAE has over each other method: dicts of a table, its rows, a seed and nats.

    With PCA and factor analysis at the same number of codes; for the densities without
    codes at the one that rows left out of the training rows chose.
    """
    nats = {(row["table"], row["seed"], row["method"], row["latents"]): row for row in rows}
    found = {method: [] for method in METHODS if method != "VAETransformer"}
    chosen = {}
    for row in rows:
        place = row["table"], row["seed"]
        if row["method"] == "VAETransformer":
            for method in ("PCA", "FactorAnalysis"):
                other = nats[(*place, method, row["latents"])]
                found[method].append(gain(row, other))
            if place not in chosen or row["nats_left_out"] > chosen[place]["nats_left_out"]:
                chosen[place] = row
    for place, row in chosen.items():
        for method in WITHOUT_CODES:
            found[method].append(gain(row, nats[(*place, method, None)]))
    return found


def gain(row, other):
    fields = {name: row[name] for name in ("table", "n_rows", "latents", "seed")}
    return {**fields, "gain": row["nats"] - other["nats"]}


def by_table(points):
    """Median gain of every table."""
    names = dict.fromkeys(point["table"] for point in points)
    return {
        name: float(np.median([point["gain"] for point in points if point["table"] == name]))
        for name in names
    }


def print_summary(found):
    aims = []
    for method in ("PCA", "FactorAnalysis"):
        values = np.array([point["gain"] for point in found[method]])
        short = values < -TOLERANCE
        print(
            f"\nover {method}, same number of latents: {len(values)} cells, median "
            f"{np.median(values):+.3f} nats, smallest {values.min():+.3f}"
        )
        for point in sorted(found[method], key=lambda point: point["gain"])[: short.sum()]:
            print(
                f"    below it: {point['table']}, {point['latents']} latents, seed "
                f"{point['seed']}: {point['gain']:+.3f}"
            )
        sentence = f"at least {method} in every cell within {TOLERANCE} nats"
        aims.append((f"{sentence}: {len(values) - short.sum()} of {len(values)}", not short.any()))
    for method in WITHOUT_CODES:
        print(f"\nover {method}, latents chosen without test rows, median over seeds:")
        for name, value in by_table(found[method]).items():
            print(f"    {name:<15} {value:+9.3f}")
    large = by_table([point for point in found["GaussianMixture"] if point["n_rows"] >= 1000])
    if large:
        won = sum(value > 0 for value in large.values())
        sentence = "above GaussianMixture on 60 % of tables of 1,000 rows and more"
        aims.append((f"{sentence}: {won} of {len(large)}", won >= 0.6 * len(large)))
    _cells.report(aims)


def plot(found, path):
    from _plots import dots, legend, panels, save, signed_log

    names = list(dict.fromkeys(point["table"] for point in found["PCA"]))
    figure, (same, without) = panels(2, len(names), width=5.5)
    for axis, methods in ((same, ("PCA", "FactorAnalysis")), (without, WITHOUT_CODES)):
        series = {
            f"over {method}": [(point["table"], point["gain"]) for point in found[method]]
            for method in methods
        }
        dots(axis, names, series, 0.0, "as good")
        signed_log(axis)
        legend(axis)
        axis.set_xlabel("nats per held-out row that the VAE has more (right is better)")
    same.set_title("as many latents\n\n")
    without.set_title("densities without latents\n\n")
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    _cells.add_arguments(parser, latents=(2, 4, 8, 16))
    parser.add_argument("--dequantised", action="store_true", help="without rounding")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.tables, arguments.latents, arguments.seeds = ["iris", "wine"], [2], [0]
    path = _cells.path_of(
        arguments, "likelihood_dequantised" if arguments.dequantised else "likelihood"
    )
    rows = _cells.run(measure, list(cells_of(arguments)), path, describe, arguments.jobs)
    found = gains(rows)
    print_summary(found)
    plot(found, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
