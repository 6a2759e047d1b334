"""
4. New images from a variational autoencoder
============================================

If codes describe digits, new codes should describe new digits. But which codes are
there? With PCA one draws them from a normal distribution, and most of what comes out
looks like several digits at once. A *variational* autoencoder is trained so that codes
do follow a normal distribution: its encoder answers not one code but a small cloud of
them, and pays for every cloud that strays from the standard normal one.

It has a *likelihood*, then, on the scale of PCA's own ``score``: nats per row, higher is
better. It begins as probabilistic PCA, whose score is known in closed form.
"""

import matplotlib.pyplot as plt
import numpy as np
from _lesson import epochs, flat, images, options, save, show
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer, VAETransformer
from skae.displays import LatentTraversalDisplay

arguments = options("4_generation")
X, y, X_test, y_test = images(arguments)
n_codes = 6 if arguments.mnist is None else 20

# %%
# Three ways to draw digits
# -------------------------

rng = np.random.default_rng(0)
pca = PCA(n_codes).fit(flat(X))
drawn = rng.standard_normal((20, n_codes)) * np.sqrt(pca.explained_variance_)
samples = {"PCA": pca.inverse_transform(drawn).reshape(20, *X.shape[1:])}

# An autoencoder without a prior fits a density to the codes of the training rows.
autoencoder = AutoencoderTransformer(
    n_codes, input_shape=X.shape[1:], random_state=0, **epochs(arguments, 60)
).fit(X)
samples["autoencoder"] = autoencoder.sample(20, random_state=0)

vae = VAETransformer(
    n_codes,
    likelihood="bernoulli",
    input_shape=X.shape[1:],
    random_state=0,
    **epochs(arguments, 100),
).fit(X)
samples["VAE"] = vae.sample(20, random_state=0, add_noise=False)

# %%
# From one digit to another
# -------------------------
# ``interpolate`` walks from the code of one image to that of another, for a normal prior
# along a great circle, where codes of the prior are.

begin = [np.flatnonzero(y_test == digit)[0] for digit in (1, 4, 8)]
end = [np.flatnonzero(y_test == digit)[0] for digit in (7, 9, 3)]
ways = vae.interpolate(X_test[begin], X_test[end], steps=20)
print(f"{len(ways)} ways of {ways.shape[1]} steps, images of shape {ways.shape[2:]}")

# %%
# How likely are images that the model has not seen?
# --------------------------------------------------

gaussian = VAETransformer(n_codes, random_state=0, **epochs(arguments, 100)).fit(flat(X))
likelihoods = {"PCA": pca.score(flat(X_test)), "VAE": gaussian.score(flat(X_test)[:1000])}
for name, likelihood in likelihoods.items():
    print(f"{name:<4} {likelihood:8.2f} nats per test image")

figure = plt.figure(figsize=(11, 7.5), layout="constrained")
top, bottom, last = figure.subfigures(3, 1)
for part, lines, title in (
    (top, samples, "drawn at random"),
    (
        bottom,
        {f"{y_test[a]} to {y_test[b]}": w for a, b, w in zip(begin, end, ways, strict=True)},
        "on the way from one test image to another",
    ),
):
    part.suptitle(title)
    for axes, (name, line) in zip(part.subplots(3, 20), lines.items(), strict=True):
        show(axes, np.clip(line, 0, 1), name)

# What single latents mean: the code of one image, with one number of it changed at a time.
last.suptitle("one latent at a time, from the prior's 5 % to its 95 %")
LatentTraversalDisplay.from_estimator(
    vae, row=X_test[0], latents=[0, 1, 2], n_steps=20, axes=last.subplots(3, 1)
)
save(figure, arguments)
