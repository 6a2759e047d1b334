"""
Replace PCA by an autoencoder
=============================

One line changes: where a Pipeline has ``PCA(2)``, it gets ``AutoencoderTransformer(2)``
or ``VAETransformer(2)``. Here all three compress scikit-learn's digits, 8 x 8 pixels, to
two numbers each, in the same Pipeline with a LogisticRegression behind them; then
GridSearchCV looks for the number of latents that the classifier likes best.

It takes about a minute on two cores::

    python plot_replace_pca.py
"""

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import skorch  # noqa: F401  (so that the first fit's time is not that of importing torch)
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline

from skae import AutoencoderTransformer, VAETransformer

parser = argparse.ArgumentParser(description="Replace PCA by an autoencoder.")
parser.add_argument("--out", type=Path, default=Path("replace_pca.png"), help="the figure")
parser.add_argument("--tiny", action="store_true", help="a few epochs, to see that it runs")
arguments, _ = parser.parse_known_args()
epochs = {"max_epochs": 3} if arguments.tiny else {}
sizes = [1, 2] if arguments.tiny else [2, 4, 8, 16]

# %%
# The same Pipeline, three times
# ------------------------------

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

methods = {
    "PCA": PCA(2, random_state=0),
    "AutoencoderTransformer": AutoencoderTransformer(2, random_state=0, **epochs),
    "VAETransformer": VAETransformer(2, random_state=0, **epochs),
}


def make_pipeline(method):
    return Pipeline([("reduce", method), ("classify", LogisticRegression(max_iter=5000))])


def variance_reconstructed(method):
    """The share of held-out variance that codes keep; 1 is all of it."""
    error = np.square(X_test - method.inverse_transform(method.transform(X_test))).sum()
    return 1 - error / np.square(X_test - X_train.mean(axis=0)).sum()


print(f"{'2 latents':<27} variance   accuracy   fit")
fitted = {}
for name, method in methods.items():
    began = time.perf_counter()
    fitted[name] = make_pipeline(method).fit(X_train, y_train)
    seconds = time.perf_counter() - began
    variance = variance_reconstructed(fitted[name]["reduce"])
    accuracy = fitted[name].score(X_test, y_test)
    print(f"{name:<27} {variance:8.3f}   {accuracy:8.3f}   {seconds:.1f} s")

# %%
# How many latents?
# -----------------
# A search over ``latent_dim`` is the search over ``n_components`` that PCA has.

print(f"\n{f'best of {sizes}':<27} variance   accuracy   search")
for name, method in methods.items():
    parameter = "reduce__n_components" if name == "PCA" else "reduce__latent_dim"
    search = GridSearchCV(make_pipeline(method), {parameter: sizes}, cv=3, n_jobs=2)
    began = time.perf_counter()
    search.fit(X_train, y_train)
    seconds = time.perf_counter() - began
    variance = variance_reconstructed(search.best_estimator_["reduce"])
    accuracy = search.score(X_test, y_test)
    label = f"{name}({search.best_params_[parameter]})"
    print(f"{label:<27} {variance:8.3f}   {accuracy:8.3f}   {seconds:.1f} s")

# %%
# What two numbers say about a digit
# ----------------------------------
# Above, the codes of the test images; below, test images as they are and as they come
# back from their two codes.

figure = plt.figure(figsize=(11, 7), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=[1.35, 1])
planes = top.subplots(1, 3)
for axis, (name, pipeline) in zip(planes, fitted.items(), strict=True):
    codes = pipeline["reduce"].transform(X_test)
    points = axis.scatter(*codes.T, c=y_test, cmap="tab10", vmin=-0.5, vmax=9.5, s=9)
    accuracy = pipeline.score(X_test, y_test)
    axis.set(title=f"{name}: accuracy {accuracy:.2f}", xticks=[], yticks=[])
top.colorbar(points, ax=planes, ticks=range(10), label="digit", pad=0.01)

shown = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
rows = {"original": X_test[shown]}
for name, pipeline in fitted.items():
    method = pipeline["reduce"]
    rows[name] = method.inverse_transform(method.transform(X_test[shown]))
images = bottom.subplots(len(rows), 10)
for line, (name, batch) in zip(images, rows.items(), strict=True):
    for axis, image in zip(line, batch, strict=True):
        axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        axis.set(xticks=[], yticks=[])
    line[0].set_ylabel(name.removesuffix("Transformer"), rotation=0, ha="right", va="center")

figure.savefig(arguments.out, dpi=110)
print(f"\nwritten: {arguments.out.name}")
