"""Colour images: the error of convolutions over PCA's, on patches of other photographs.

Training and test patches come from different photographs of a folder. Half of its photographs
are for training, chosen at random for each seed. A patch is cut from a photograph as it is, or
averaged over blocks of 2 x 2 or 3 x 3 pixels first. Without ``--photos`` the two photographs of
scikit-learn are used, one for training and one for testing.

    python images.py --photos FOLDER

The published figures are of the 500 photographs of BSDS500 (Arbelaez et al. 2011).
"""

import argparse
import time
from pathlib import Path

import _rows
import numpy as np
from matplotlib.image import imread
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer


def photographs(folder):
    """Colour photographs of a folder and its subfolders, (height, width, 3), from 0 to 255."""
    if folder is None:
        return load_sample_images().images
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return [imread(path) for path in files]


def shrunk(photo, factor):
    """The means of blocks of factor x factor pixels, in [0, 1]."""
    height, width = (size // factor for size in photo.shape[:2])
    photo = photo[: height * factor, : width * factor] / np.float32(255)
    return photo.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


def patches(photos, n, size, shrink, rng):
    """Patches of random photographs at random places, (n, 3, size, size)."""
    shrunken, X = {}, np.empty((n, 3, size, size), dtype=np.float32)
    for patch in X:
        photo = int(rng.integers(len(photos)))
        fits = [factor for factor in shrink if min(photos[photo].shape[:2]) // factor >= size]
        chosen = photo, int(rng.choice(fits))
        if chosen not in shrunken:
            shrunken[chosen] = shrunk(photos[chosen[0]], chosen[1])
        photo = shrunken[chosen]
        row, column = (rng.integers(length - size + 1) for length in photo.shape[:2])
        patch[:] = photo[row : row + size, column : column + size].transpose(2, 0, 1)
    return X


def split(photos, n_train, n_test, size, shrink, seed):
    """Training and test patches, of different photographs."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(photos))
    halves = order[: len(photos) // 2], order[len(photos) // 2 :]
    return (
        patches([photos[i] for i in half], n, size, shrink, rng)
        for half, n in zip(halves, (n_train, n_test), strict=True)
    )


def error(X, X_hat):
    """Squared error of an image."""
    return np.square(X - X_hat, dtype=np.float64).sum() / len(X)


def run_cell(train, test, latents, seed, options):
    model = AutoencoderTransformer(latents, network="conv", random_state=seed, **options)
    began = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - began
    # In float64: small components of float32 covariances are off by a thousandth.
    flat, seen = (X.reshape(len(X), -1).astype(np.float64) for X in (test, train))
    pca = PCA(latents, svd_solver="covariance_eigh").fit(seen)
    of_pca = error(flat, pca.inverse_transform(pca.transform(flat)))
    row = {"latents": latents, "seed": seed, "n_train": len(train), "n_test": len(test)}
    row.update(pca_error=of_pca, error=error(test, model.reconstruct(test)))
    row["error_over_pca"] = row["error"] / of_pca
    row.update(epochs=model.n_iter_, best_epoch=model.best_epoch_, seconds=seconds)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="a folder of colour photographs, .jpg")
    parser.add_argument("--n-train", type=int, default=3000)
    parser.add_argument("--n-test", type=int, default=3000)
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--shrink", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--latents", nargs="+", type=int, default=[32, 128])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="few and small patches, two epochs")
    arguments = parser.parse_args()
    options = {}
    if arguments.tiny:
        arguments.n_train = arguments.n_test = 300
        arguments.size, arguments.seeds, options = 8, [0], {"max_epochs": 2}
    photos, rows = photographs(arguments.photos), []
    for seed in arguments.seeds:
        sizes = arguments.n_train, arguments.n_test, arguments.size, arguments.shrink
        train, test = split(photos, *sizes, seed)
        for latents in arguments.latents:
            rows.append(run_cell(train, test, latents, seed, options))
            row = rows[-1]
            print(
                f"{row['latents']:>4} codes, seed {row['seed']}: {row['error_over_pca']:.3f} of "
                f"PCA's error (epoch {row['best_epoch']} of {row['epochs']}, "
                f"{row['seconds']:.0f} s)",
                flush=True,
            )
            _rows.save(rows, arguments.out / "images.csv")
    worst = max(row["error_over_pca"] for row in rows)
    print(f"\n{len(rows)} cells: largest error {worst:.3f} of PCA's")
    if worst > 1.0 + 1e-4:  # float32 rounds
        raise SystemExit("a cell is worse than PCA")


if __name__ == "__main__":
    main()
