"""Denoising beside PCA and the best linear denoiser: patches of photographs, tables with holes.

Patches of scikit-learn's two photographs get Gaussian noise; of tables' entries three in
ten are missing, and only these count. PCA has the rank that suits it best.

    python denoising.py --data FOLDER
"""

import argparse
import warnings
from pathlib import Path

import _rows
import numpy as np
from _tables import add_arguments, load, split
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skae import DenoisingAutoencoder


def patches(size, n_rows, seed):
    """Patches of one photograph to train on, of the other to test, in grey, from 0 to 1."""
    rng = np.random.default_rng(seed)
    parts = []
    for image in load_sample_images().images:
        grey = image.mean(axis=2) / 255
        low, left = (rng.integers(0, side - size, n_rows) for side in grey.shape)
        rows = [grey[i : i + size, j : j + size] for i, j in zip(low, left, strict=True)]
        parts.append(np.array(rows, dtype=np.float32)[:, None])
    return parts


def best_pca(X, seen, error):
    """The least error of a projection of what is seen on axes of X, over ranks."""
    axes = PCA(svd_solver="covariance_eigh").fit(X)
    scores = (seen - axes.mean_) @ axes.components_.T
    return min(
        error(scores[:, :k] @ axes.components_[:k] + axes.mean_)
        for k in range(1, len(axes.components_))
    )


def photographs(epochs, seed, tiny):
    size, level = 12, 0.15
    X, X_test = patches(size, 500 if tiny else 20_000, seed)
    noisy = X_test + level * np.random.default_rng(1).standard_normal(X_test.shape)
    noisy = noisy.astype(np.float32)

    def error(X_hat):
        return np.square(X_hat.reshape(X_test.shape) - X_test, dtype=np.float64).mean()

    flat, k = size * size, 64
    # In units of the root mean variance of a pixel, as the estimator has it.
    settings = {"corruption_level": level / np.sqrt(X.var(axis=0).mean()), "random_state": seed}
    settings.update(input_shape=(1, size, size))
    yield "noisy", error(noisy)
    yield "PCA", best_pca(X.reshape(-1, flat), noisy.reshape(-1, flat), error)
    yield "linear", error(DenoisingAutoencoder(k, max_epochs=0, **settings).fit(X).denoise(noisy))
    yield "dense", error(DenoisingAutoencoder(k, **settings, **epochs).fit(X).denoise(noisy))
    model = DenoisingAutoencoder(k, network="conv", **settings, **epochs).fit(X)
    yield "convolutional", error(model.denoise(noisy))


def table(X, epochs, seed):
    X, X_test = split(X[np.random.default_rng(0).permutation(len(X))[:8000]], seed)
    holes = np.random.default_rng(1).random(X_test.shape) < 0.3
    seen, k = np.where(holes, 0.0, X_test), max(2, X.shape[1] // 2)

    def error(X_hat):
        return np.square(X_hat - X_test)[holes].mean()

    settings = {"corruption": "masking", "corruption_level": 0.3, "random_state": seed}
    yield "noisy", error(np.zeros_like(X_test))
    yield "PCA", best_pca(X, seen, error)
    yield "linear", error(DenoisingAutoencoder(k, max_epochs=0, **settings).fit(X).denoise(seen))
    yield "dense", error(DenoisingAutoencoder(k, **settings, **epochs).fit(X).denoise(seen))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for the CSV")
    parser.add_argument("--tiny", action="store_true", help="one table, two epochs")
    arguments = parser.parse_args()
    epochs = {"max_epochs": 2} if arguments.tiny else {}
    if arguments.tiny:
        arguments.tables, arguments.seeds = ["wine"], [0]
    rows = []
    for seed in arguments.seeds:
        tasks = {"photographs": photographs(epochs, seed, arguments.tiny)}
        for name, read in load(arguments).items():
            tasks[name] = table(read(), epochs, seed)
        for name, task in tasks.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                errors = dict(task)
            rows += [
                {"data": name, "seed": seed, "method": method, "mean_squared_error": error}
                for method, error in errors.items()
            ]
            told = ", ".join(f"{method} {error:.4g}" for method, error in errors.items())
            print(f"{name}, seed {seed}: mean squared error {told}", flush=True)
    _rows.save(rows, arguments.out / "denoising.csv")


if __name__ == "__main__":
    main()
