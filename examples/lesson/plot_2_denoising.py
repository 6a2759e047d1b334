"""
2. Denoising
============

A ``DenoisingAutoencoder`` is given images with noise and answers clean ones. It learns
that from clean images alone, as it can make the noise itself: `corruption` says which.
It begins as the best *linear* denoiser, which has a closed form, and which is what
projecting on principal components tries to be.
"""

import matplotlib.pyplot as plt
import numpy as np
from _lesson import epochs, flat, images, options, save, show
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from skae import DenoisingAutoencoder

arguments = options("2_denoising")
X, y, X_test, y_test = images(arguments)
n_codes = 16 if arguments.mnist is None else 64


# %%
# Noise of one's own
# ------------------
# There is noise by name ("gaussian", "masking", "salt_and_pepper", "swap"). Here it is a
# function, as these pixels are clipped to what a screen can show.


def add_noise(X, level, rng):
    return np.clip(X + level * rng.standard_normal(X.shape), 0, 1).astype(X.dtype)


noisy = add_noise(X_test, 0.5, np.random.default_rng(0))


def psnr(X_hat):
    """Peak signal-to-noise ratio in decibels: 10 more is a tenth of the error."""
    return -10 * np.log10(np.square(X_test - np.clip(X_hat, 0, 1)).mean())


settings = {"corruption": add_noise, "corruption_level": 0.5, "random_state": 0}
linear = DenoisingAutoencoder(n_codes, input_shape=X.shape[1:], max_epochs=0, **settings).fit(X)
denoiser = DenoisingAutoencoder(
    n_codes, network="conv", hidden_layer_sizes=(32, 64), **settings, **epochs(arguments, 100)
).fit(X)


def by_pca(k):
    pca = PCA(k).fit(flat(X))
    return pca.inverse_transform(pca.transform(flat(noisy))).reshape(X_test.shape)


best = max(range(2, 33, 2), key=lambda k: psnr(by_pca(k)))
results = {
    "noisy": noisy,
    f"PCA, best rank: {best}": by_pca(best),
    "linear denoiser": linear.denoise(noisy),
    "autoencoder": denoiser.denoise(noisy),
}
for name, X_hat in results.items():
    print(f"{name:<20} {psnr(X_hat):6.2f} dB")

# %%
# A table with holes
# ------------------
# What was noise in images is missing values in tables: "masking" trains for entries that
# were filled with the feature's mean. Here a third of all entries is gone.

table, table_test = train_test_split(scale(load_breast_cancer().data), random_state=0)
holes = np.random.default_rng(0).random(table_test.shape) < 0.3
settings = {"corruption": "masking", "corruption_level": 0.3, "random_state": 0}
filled = {
    "mean": np.zeros_like(table_test),
    "linear": DenoisingAutoencoder(8, max_epochs=0, **settings).fit(table),
    "autoencoder": DenoisingAutoencoder(8, **settings, **epochs(arguments, 100)).fit(table),
}
errors = {}
for name, model in filled.items():
    guess = model if name == "mean" else model.denoise(np.where(holes, 0.0, table_test))
    errors[name] = np.square(guess - table_test)[holes].mean()
    print(f"missing values by {name:<12} mean squared error {errors[name]:.3f}")

# %%

figure = plt.figure(figsize=(10, 7), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=[1.6, 1])
lines = top.subplots(len(results) + 1, 10)
show(lines[0], X_test[:10], "original")
for line, (name, X_hat) in zip(lines[1:], results.items(), strict=True):
    show(line, X_hat[:10], name)
left, right = bottom.subplots(1, 2)
left.barh(list(results), [psnr(X_hat) for X_hat in results.values()], color="#0072b2")
left.set(xlabel="PSNR in dB (right is better)", title="images")
left.invert_yaxis()
right.barh(list(errors), list(errors.values()), color="#0072b2")
right.set(xlabel="mean squared error of missing values (left is better)", title="table")
right.invert_yaxis()
save(figure, arguments)
