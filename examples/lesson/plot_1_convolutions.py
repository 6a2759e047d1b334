"""
1. A convolutional autoencoder: a better PCA for images
=======================================================

PCA writes an image as a few numbers: how much of each of a few fixed pictures it holds.
Adding those pictures up gives the image back, roughly. An autoencoder does the same with
pictures that bend: from a few numbers (the *codes*) a *decoder* network draws the image,
and an *encoder* network finds the codes. ``AutoencoderTransformer`` begins as PCA itself,
so all that training does is to make it better.

Networks made of *convolutions* look at images as images: what they learn about a stroke
in one corner they know in every other. They need to be told that a row is an image, and
of which shape: ``network="conv"`` does when the array has one, (n, channels, height, width).

With ``--mnist PATH`` or ``--mnist openml`` this runs on all of MNIST.
"""

import matplotlib.pyplot as plt
import numpy as np
from _lesson import epochs, flat, images, options, save, show
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae.displays import TrainingCurveDisplay

arguments = options("1_convolutions")
X, y, X_test, y_test = images(arguments)
n_codes = 8 if arguments.mnist is None else 32

# %%
# Three ways to eight numbers
# ---------------------------
# What counts is how well images come back that were *not* trained on.

pca = PCA(n_codes).fit(flat(X))
dense = AutoencoderTransformer(
    n_codes, input_shape=X.shape[1:], random_state=0, **epochs(arguments, 60)
).fit(X)
conv = AutoencoderTransformer(
    n_codes, network="conv", hidden_layer_sizes=(32, 64), random_state=0, **epochs(arguments, 60)
).fit(X)

back = {
    "PCA": pca.inverse_transform(pca.transform(flat(X_test))).reshape(X_test.shape),
    "dense": dense.reconstruct(X_test),
    "convolutional": conv.reconstruct(X_test),
}
print(f"{n_codes} codes: squared error of a test image")
for name, X_hat in back.items():
    print(f"{name:<14} {np.square(X_test - X_hat).sum() / len(X_test):6.3f}")

# %%
# What an autoencoder is, and is not
# ----------------------------------
# It is *lossy*: what eight numbers cannot hold is gone. It needs *no labels*: `y` was
# never used. And it is *data-specific*: these codes are for digits. Shown patches of a
# photograph, a model of digits fails, and ``score`` (the share of variance that comes
# back) says so, where digits score close to 1.

photo = load_sample_images().images[0].mean(axis=2) / 255
size = X.shape[-1]
corners = [
    (i, j)
    for i in range(0, photo.shape[0] - size, size)
    for j in range(0, photo.shape[1] - size, size)
]
patches = np.array([photo[i : i + size, j : j + size] for i, j in corners], dtype=np.float32)
patches = patches[np.random.default_rng(0).permutation(len(patches))[:200], None]
print(f"score of the convolutional model on digits {conv.score(X_test):.2f}, ", end="")
print(f"on patches of a photograph {conv.score(patches):.2f}")

# %%
# Before, after, and on the way
# -----------------------------

figure = plt.figure(figsize=(10, 7.5), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=[1.3, 1])
lines = top.subplots(len(back) + 1, 10)
show(lines[0], X_test[:10], "original")
for line, (name, X_hat) in zip(lines[1:], back.items(), strict=True):
    show(line, X_hat[:10], name)
left, right = bottom.subplots(1, 2, width_ratios=[1.6, 1])
TrainingCurveDisplay.from_estimator(conv, ax=left)
left.set_title("training the convolutional autoencoder")
errors = [np.square(X_test - X_hat).sum() / len(X_test) for X_hat in back.values()]
right.bar(list(back), errors, color=["0.6", "#56b4e9", "#0072b2"])
right.set(ylabel="squared error of a test image", title=f"{n_codes} codes")
save(figure, arguments)
