"""What the parts of the lesson share: their options and their images."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from sklearn.datasets import load_digits


def options(name):
    """Options of a part of the lesson, for a user, for CI and for the documentation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mnist", help="an .npz file with X_train, y_train, ...; or 'openml'")
    parser.add_argument("--chorales", type=Path, help="an .npz file with pitches and offsets")
    parser.add_argument("--out", type=Path, default=Path(f"{name}.png"), help="the figure")
    parser.add_argument("--tiny", action="store_true", help="a few epochs, to see that it runs")
    return parser.parse_known_args()[0]


def images(arguments):
    """Training and test images from 0 to 1, (n, 1, height, width), and their labels.

    These are the 1,797 digits of 8 x 8 pixels that scikit-learn ships, or the 70,000
    of 28 x 28 of MNIST.
    """
    if arguments.mnist is None:
        X, y = load_digits(return_X_y=True)
        X = X.astype(np.float32).reshape(-1, 1, 8, 8) / 16
        return X[:1347], y[:1347], X[1347:], y[1347:]
    if arguments.mnist == "openml":
        from sklearn.datasets import fetch_openml

        X, y = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
        parts = X[:60000], y[:60000], X[60000:], y[60000:]
    else:
        with np.load(arguments.mnist) as data:
            parts = [data[name] for name in ("X_train", "y_train", "X_test", "y_test")]
    X, y, X_test, y_test = parts
    X, X_test = (part.astype(np.float32).reshape(-1, 1, 28, 28) / 255 for part in (X, X_test))
    return X, y.astype(int), X_test, y_test.astype(int)


def epochs(arguments, number):
    """So many epochs of digits; MNIST, with 50 times the rows, needs a fifth.

    Two where it is only to be seen that everything runs.
    """
    if arguments.tiny:
        return {"max_epochs": 2}
    return {"max_epochs": number if arguments.mnist is None else number // 5}


def flat(X):
    """Images as rows of pixels, as scikit-learn's own estimators want them."""
    return X.reshape(len(X), -1)


def show(axes, images, label):
    """A line of images, with what they are at its left."""
    for axis, image in zip(axes, images, strict=True):
        axis.imshow(np.squeeze(image), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
    axes[0].set_ylabel(label, rotation=0, ha="right", va="center")


def save(figure, arguments):
    """Write the figure."""
    figure.savefig(arguments.out, dpi=110, bbox_inches="tight")  # labels beside rows of images
    print(f"written: {arguments.out.name}")
