"""
7. Ask for a digit: the conditional VAE
=======================================

``ConditionalVAE`` is told the label of every image, so its codes are left to say what the
label does not: how a digit is written. It begins as probabilistic PCA around the mean of
every class. Afterwards one can ask for images of a class, write another digit in the same
hand, and use it in a Pipeline, where ``transform`` has no labels: then images say which
class they take themselves for.
"""

import matplotlib.pyplot as plt
import numpy as np
from _lesson import epochs, flat, images, options, save, show
from sklearn.svm import SVC

from skae import ConditionalVAE, VAETransformer

arguments = options("7_conditional")
X, y, X_test, y_test = images(arguments)
n_codes = 3 if arguments.mnist is None else 8

settings = {"likelihood": "bernoulli", "input_shape": X.shape[1:], "random_state": 0}
model = ConditionalVAE(n_codes, **settings, **epochs(arguments, 100)).fit(X, y)

# %%
# Images of a class
# -----------------
# Does a classifier that was trained on real images read what was asked for?

judge = SVC(C=10).fit(flat(X)[:10000], y[:10000])
asked = np.arange(1000) % 10
drawn = model.sample(1000, y=asked, random_state=0, add_noise=False)
print(f"read as asked for: {judge.score(flat(drawn), asked):.3f}, ", end="")
print(f"test images read right: {judge.score(flat(X_test), y_test):.3f}")

# %%
# The same hand, another digit
# ----------------------------
# One code, decoded under every label.

rows = [np.flatnonzero(y_test == digit)[1] for digit in (0, 4, 7)]
codes = model.transform(X_test[rows], y_test[rows])
hands = [
    np.concatenate(
        [X_test[[row]], model.inverse_transform(np.repeat(code[None], 10, 0), range(10))]
    )
    for row, code in zip(rows, codes, strict=True)
]

# %%
# What labels are worth
# ---------------------
# In nats per image, against a VAE that was not told: log p(x | y), and log p(x) without y.

vae = VAETransformer(n_codes, **settings, **epochs(arguments, 100)).fit(X)
some = slice(0, 300)
print(f"log p(x | y)              {model.score(X_test[some], y_test[some]):8.2f}")
print(f"log p(x)                  {model.score(X_test[some]):8.2f}")
print(f"log p(x) of a plain VAE   {vae.score(X_test[some]):8.2f}")

figure = plt.figure(figsize=(8.5, 7), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=[5, 3.4])
top.suptitle("asked for, from 0 to 9")
lines = top.subplots(5, 10)
for number, line in enumerate(lines):
    show(line, drawn[10 * number : 10 * number + 10], "")
bottom.suptitle("a test image, and its code decoded under every label")
for line, hand in zip(bottom.subplots(3, 11), hands, strict=True):
    show(line, hand, "")
    line[0].patch.set_edgecolor("#d55e00")
    for spine in line[0].spines.values():
        spine.set(color="#d55e00", linewidth=2)
save(figure, arguments)
