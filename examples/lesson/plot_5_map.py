"""
5. A map of digits
==================

With two latents a variational autoencoder draws a map: every image has a place, and every
place an image. Places that are near each other look alike, and labels, which it has never
seen, form regions.
"""

import matplotlib.pyplot as plt
from _lesson import epochs, flat, images, options, save
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import VAETransformer
from skae.displays import LatentManifoldDisplay, LatentSpaceDisplay

arguments = options("5_map")
X, y, X_test, y_test = images(arguments)

vae = VAETransformer(
    2, likelihood="bernoulli", input_shape=X.shape[1:], random_state=0, **epochs(arguments, 150)
).fit(X)

# %%
# What two numbers say
# --------------------
# A linear classifier on two numbers: how well do they tell digits apart?

accuracy = {}
for name, method in {"PCA": PCA(2), "VAE": vae}.items():
    codes, codes_test = (
        (method.transform(X), method.transform(X_test))
        if name == "VAE"
        else (method.fit_transform(flat(X)), method.transform(flat(X_test)))
    )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(codes, y)
    accuracy[name] = classifier.score(codes_test, y_test)
    print(f"{name}: accuracy {accuracy[name]:.3f}")

# %%
# Where images are, and which image is where
# ------------------------------------------
# On the right every place decodes what the map has there, at the quantiles of the prior:
# most images are in the middle, and so are most of these.

figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
LatentSpaceDisplay.from_estimator(vae, X_test, y_test, ax=left)
left.set_title(f"test images, accuracy {accuracy['VAE']:.2f} (PCA {accuracy['PCA']:.2f})")
LatentManifoldDisplay.from_estimator(vae, n_steps=20, ax=right)
right.set_title("decoded places")
save(figure, arguments)
