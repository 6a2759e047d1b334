"""
8. Music: a variational autoencoder of melodies
===============================================

A melody is a sequence: in each of 32 steps (two bars of sixteenths) one of a few pitches
sounds. ``likelihood="categorical"`` says that a step is one of several things, and
``network="recurrent"`` reads and writes step by step, each knowing the one before. What
comes out is a MusicVAE in small: two bars become a few numbers, and numbers become bars.

The melodies here are six folk in all keys that fit. With ``--chorales PATH`` it is
the soprano of 382 chorales by Bach.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from _lesson import epochs, options, save
from sklearn.decomposition import PCA

from skae import VAETransformer
from skae.displays import LatentSpaceDisplay

arguments = options("8_music")
N_STEPS = 32

# %%
# Tunes as rows
# -------------
# Pairs of a pitch (a MIDI number) and its length in eighths.

TUNES = {
    "Ode to Joy": "64 2 64 2 65 2 67 2 67 2 65 2 64 2 62 2 60 2 60 2 62 2 64 2 64 3 62 1 62 4 "
    "64 2 64 2 65 2 67 2 67 2 65 2 64 2 62 2 60 2 60 2 62 2 64 2 62 3 60 1 60 4",
    "Twinkle": "60 2 60 2 67 2 67 2 69 2 69 2 67 4 65 2 65 2 64 2 64 2 62 2 62 2 60 4 "
    "67 2 67 2 65 2 65 2 64 2 64 2 62 4 67 2 67 2 65 2 65 2 64 2 64 2 62 4",
    "Frere Jacques": "60 2 62 2 64 2 60 2 60 2 62 2 64 2 60 2 64 2 65 2 67 4 64 2 65 2 67 4 "
    "67 1 69 1 67 1 65 1 64 2 60 2 67 1 69 1 67 1 65 1 64 2 60 2 60 2 67 2 60 4 60 2 67 2 60 4",
    "Mary's lamb": "64 2 62 2 60 2 62 2 64 2 64 2 64 4 62 2 62 2 62 4 64 2 67 2 67 4 "
    "64 2 62 2 60 2 62 2 64 2 64 2 64 2 64 2 62 2 62 2 64 2 62 2 60 8",
    "Lightly row": "67 2 64 2 64 4 65 2 62 2 62 4 60 2 62 2 64 2 65 2 67 2 67 2 67 4 "
    "67 2 64 2 64 4 65 2 62 2 62 4 60 2 64 2 67 2 67 2 60 8",
    "Au clair de la lune": "60 2 60 2 60 2 62 2 64 4 62 4 60 2 64 2 62 2 62 2 60 8 "
    "62 2 62 2 62 2 62 2 57 4 57 4 62 2 60 2 59 2 57 2 55 8",
}


def folk_tunes():
    """Windows of all tunes in several keys, as pitches (n, 32)."""
    rows = []
    for text in TUNES.values():
        pairs = np.array(text.split(), dtype=int).reshape(-1, 2)
        pitches = np.repeat(pairs[:, 0], 2 * pairs[:, 1])  # in sixteenths
        for first in range(0, len(pitches) - N_STEPS + 1, 4):
            for key in range(-5, 6):
                rows.append(pitches[first : first + N_STEPS] + key)
    return np.array(rows)


def chorales(path):
    """Windows of sopranos, as pitches (n, 32)."""
    with np.load(path) as data:
        soprano, offsets = data["pitches"][:, 0], data["offsets"]
    rows = []
    for low, high in itertools.pairwise(offsets):
        for first in range(low, high - N_STEPS + 1, 4):
            window = soprano[first : first + N_STEPS]
            if (window > 0).all():
                rows.append(window)
    return np.array(rows)


pitches = chorales(arguments.chorales) if arguments.chorales else folk_tunes()
lowest, n_pitches = pitches.min(), int(np.ptp(pitches)) + 1
X = np.eye(n_pitches, dtype=np.float32)[pitches - lowest]  # (n, steps, pitches), one-hot
test = np.random.default_rng(0).random(len(X)) < 0.1
n_codes = 32
print(f"{len(X)} rows of {N_STEPS} steps, {n_pitches} pitches from {lowest}")

# %%
# A few numbers for two bars
# --------------------------
# How many steps of windows held out come back right, all from their code? (Other windows of
# the same tunes were trained on; the benchmark on chorales holds out whole pieces.)

# A step says so much about the next that codes are easily left unused; with a small `beta`
# they are worth their price.
vae = VAETransformer(
    n_codes,
    network="recurrent",
    likelihood="categorical",
    beta=0.2,
    random_state=0,
    **epochs(arguments, 30 if arguments.chorales is None else 100),
).fit(X[~test])
rows = X.reshape(len(X), -1)
pca = PCA(n_codes).fit(rows[~test])
back = {
    "PCA": pca.inverse_transform(pca.transform(rows[test])).reshape(-1, N_STEPS, n_pitches),
    "VAE": vae.reconstruct(X[test]),
}
right = {name: np.mean(X_hat.argmax(2) == X[test].argmax(2)) for name, X_hat in back.items()}
for name, share in right.items():
    print(f"{name}: {share:.1%} of steps right")

# %%
# From one tune to another, and tunes that never were
# ---------------------------------------------------

ends = X[test][[0, -1]]
way = vae.interpolate(ends[:1], ends[1:], steps=6)[0]
drawn = vae.sample(6, random_state=0)
print(f"drawn pitches: {lowest + drawn.argmax(2).min()} to {lowest + drawn.argmax(2).max()}")


def piano_roll(axis, row, title, color):
    """Time from left to right, pitch upwards."""
    steps = lowest + row.argmax(1)
    changes = np.flatnonzero(np.diff(steps)) + 1
    for low, high in zip([0, *changes], [*changes, N_STEPS], strict=True):
        axis.plot([low + 0.2, high - 0.2], [steps[low]] * 2, color=color, lw=3)
    axis.set(xlim=(0, N_STEPS), ylim=(lowest - 1, lowest + n_pitches), xticks=[0, 16, 32])
    axis.set_title(title, fontsize=9)
    axis.grid(axis="x", color="0.85")


figure = plt.figure(figsize=(12, 7.5), layout="constrained")
left, right_part = figure.subfigures(1, 2, width_ratios=[1.8, 1])
panels = left.subplots(4, 3, sharex=True, sharey=True)
for number, (axis, row) in enumerate(zip(panels[:2].flat, way, strict=True)):
    title = {0: "from one melody", 5: "to another"}.get(number, f"step {number}")
    piano_roll(axis, row, title, "#0072b2")
for axis, row in zip(panels[2:].flat, drawn, strict=True):
    piano_roll(axis, row, "drawn from the prior", "#d55e00")
for axis in panels[:, 0]:
    axis.set_ylabel("pitch")
for axis in panels[-1]:
    axis.set_xlabel("sixteenth")
top, bottom = right_part.subplots(2, 1)
codes = PCA(2).fit_transform(vae.transform(X))
LatentSpaceDisplay.from_codes(codes, pitches.mean(axis=1), target_name="mean pitch", ax=top, s=6)
top.set(title="where melodies are", xlabel="first axis of the codes", ylabel="second axis")
bottom.bar(list(right), list(right.values()), color=["0.6", "#0072b2"])
bottom.set(ylabel="steps right, melodies held out", ylim=(0, 1), title=f"{n_codes} codes")
save(figure, arguments)
