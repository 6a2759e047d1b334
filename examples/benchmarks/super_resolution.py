"""Twice the resolution: peak signal-to-noise ratio over bicubic interpolation's.

``SuperResolutionAutoencoder`` is fitted on MNIST's training images, where a file of these
is given, and on patches of the colour photographs that come with scikit-learn. Bicubic
interpolation is the same estimator without training. The error is averaged over all pixels
of held-out images, their values clipped to [0, 1]: MNIST's test images, and patches of
other bands of the photographs. What the codes alone say of an image is measured too.

    python super_resolution.py --mnist FILE

FILE is an .npz with X_train and X_test, rows of 784 values from 0 to 255.
"""

import argparse
import time
from pathlib import Path

import _rows
import numpy as np
from sklearn.datasets import load_sample_images

from skae import SuperResolutionAutoencoder

FOLDS = 4  # every fourth band of a photograph is held out


def mnist(path, n_train, n_test, seed):
    """Training and held-out images, (n, 1, 28, 28)."""
    with np.load(path) as file:
        train, test = (file[name].reshape(-1, 1, 28, 28) for name in ("X_train", "X_test"))
    chosen = np.random.default_rng(seed).permutation(len(train))[:n_train]
    return train[chosen] / np.float32(255), test[:n_test] / np.float32(255)


def photographs(size, seed):
    """Training and held-out patches, (n, 3, size, size), of bands of their own.

    Seeds 0 to 3 hold out every band once.
    """
    train, test = [], []
    for image in load_sample_images().images:
        n_bands, n_columns = image.shape[0] // size, image.shape[1] // size
        image = image[: n_bands * size, : n_columns * size].astype(np.float32) / 255
        patches = image.reshape(n_bands, size, n_columns, size, 3).transpose(0, 2, 4, 1, 3)
        held_out = np.arange(n_bands) % FOLDS == seed % FOLDS
        test.append(patches[held_out].reshape(-1, 3, size, size))
        train.append(patches[~held_out].reshape(-1, 3, size, size))
    return np.concatenate(train), np.concatenate(test)


def decibels(X, answer):
    error = np.square(np.clip(answer, 0, 1) - X, dtype=np.float64).mean()
    return -10 * np.log10(error)


def run_cell(name, train, test, latents, seed, epochs):
    model, start = (
        SuperResolutionAutoencoder(latents, network="conv", max_epochs=n, random_state=seed)
        for n in (epochs, 0)
    )
    began = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - began
    low = start.fit(train).downsample(test)
    row = {"images": name, "n_train": len(train), "n_test": len(test), "latents": latents}
    row.update(seed=seed, bicubic_db=decibels(test, start.upscale(low)))
    row["gain_db"] = decibels(test, model.upscale(low)) - row["bicubic_db"]
    row["pca_codes_db"], codes = (
        decibels(test, fitted.inverse_transform(fitted.transform(low))) for fitted in (start, model)
    )
    row["codes_gain_db"] = codes - row["pca_codes_db"]
    row.update(epochs=model.n_iter_, best_epoch=model.best_epoch_, seconds=seconds)
    return row


def print_cell(row):
    print(
        f"{row['images']:<12} {row['n_train']:>6} images, seed {row['seed']}: bicubic "
        f"{row['bicubic_db']:.2f} dB {row['gain_db']:+.2f}, {row['latents']} codes alone "
        f"{row['pca_codes_db']:.2f} dB {row['codes_gain_db']:+.2f} (epoch {row['best_epoch']} of "
        f"{row['epochs']}, {row['seconds']:.0f} s)",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="an .npz with X_train and X_test")
    parser.add_argument("--n-train", type=int, default=10_000, help="images of MNIST")
    parser.add_argument("--mnist-epochs", type=int, default=5)
    parser.add_argument("--patches", nargs="*", type=int, default=[16, 32], help="sizes in pixels")
    parser.add_argument("--patch-epochs", type=int, default=30)
    parser.add_argument("--latents", type=int, default=16)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="few images, two epochs")
    arguments = parser.parse_args()
    n_test, few = None, None
    if arguments.tiny:
        arguments.seeds, arguments.n_train, n_test, few = [0], 500, 200, 200
        arguments.mnist_epochs = arguments.patch_epochs = 2
    rows = []
    for seed in arguments.seeds:
        cells = {f"patches {size}": photographs(size, seed) for size in arguments.patches}
        if arguments.mnist is not None:
            cells["mnist"] = mnist(arguments.mnist, arguments.n_train, n_test, seed)
        for name, (train, test) in cells.items():
            epochs = arguments.mnist_epochs if name == "mnist" else arguments.patch_epochs
            rows.append(run_cell(name, train[:few], test, arguments.latents, seed, epochs))
            print_cell(rows[-1])
    gains = [row["gain_db"] for row in rows]
    print(f"\n{len(rows)} cells: smallest gain over bicubic {min(gains):+.2f} dB")
    _rows.save(rows, arguments.out / "super_resolution.csv")
    if min(gains) < 0:
        raise SystemExit("a cell is worse than bicubic interpolation")


if __name__ == "__main__":
    main()
