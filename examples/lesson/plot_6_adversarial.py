"""
6. Codes of a shape one chooses: the adversarial autoencoder
============================================================

A variational autoencoder asks every code to be a little normal cloud. An adversarial one
asks only that all codes *together* look like the prior: a second network, the
discriminator, tries to tell codes from draws of the prior, and the encoder learns to
leave it clueless. So the prior may have any shape one can draw from: normal, uniform, a
spiral. It begins as whitened PCA, whose codes have the right mean and spread already.
"""

import matplotlib.pyplot as plt
import numpy as np
from _lesson import epochs, images, options, save
from sklearn.decomposition import PCA

from skae import AdversarialAutoencoder
from skae.displays import LatentManifoldDisplay, LatentSpaceDisplay

arguments = options("6_adversarial")
X, y, X_test, y_test = images(arguments)

# %%
# Three priors
# ------------

models = {
    prior: AdversarialAutoencoder(
        2, prior=prior, input_shape=X.shape[1:], random_state=0, **epochs(arguments, 60)
    ).fit(X)
    for prior in ("normal", "uniform", "swiss_roll")
}
pca = PCA(2).fit(X.reshape(len(X), -1))
rows = X_test.reshape(len(X_test), -1)
errors = {"PCA": np.square(rows - pca.inverse_transform(pca.transform(rows))).sum() / len(rows)}
for prior, model in models.items():
    errors[prior] = np.square(X_test - model.reconstruct(X_test)).sum() / len(X_test)
for name, error in errors.items():
    print(f"{name:<11} squared error of a test image {error:.3f}")

# %%
# Held-out codes, and images at the places of the prior
# -----------------------------------------------------

figure, axes = plt.subplots(2, 3, figsize=(13, 8.5), layout="constrained")
for (top, bottom), (prior, model) in zip(axes.T, models.items(), strict=True):
    LatentSpaceDisplay.from_estimator(model, X_test, y_test, ax=top, s=8)
    top.set_title(f"{prior}: error {errors[prior]:.2f} (PCA {errors['PCA']:.2f})")
    LatentManifoldDisplay.from_estimator(model, X_test, n_steps=15, ax=bottom)
save(figure, arguments)
