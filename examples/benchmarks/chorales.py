"""Melodies of Bach's chorales: two bars of the soprano in a handful of codes.

A row is 32 sixteenths, each a one-hot pitch of the training range; windows begin on a
beat. Chorales, not windows, are split into training and test, and training windows are
transposed as far as they stay in the range. Counted are the steps of held-out windows
that are right when a melody is decoded from its code alone, nothing of it being told,
beside ``PCA`` on the same one-hot pitches with as many components. Of a recurrent VAE
there are also interpolations and samples, as figures and as piano rolls.

    python chorales.py --chorales jsb_chorales.npz

The file holds ``pitches`` (time, voices) as MIDI numbers of sixteenths, soprano first
and -1 for rests, ``offsets`` (n + 1,) of the chorales and ``split`` (n,), 0 for
training, 1 for validation, 2 for test. With ``--tiny`` and no file melodies are made up.
"""

import argparse
import itertools
import os
import time
import warnings
from pathlib import Path

import _rows
import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, VAETransformer

STEPS = 32
BEAT = 4  # sixteenths
TRANSPOSITIONS = range(-6, 7)
FRAMES = 9  # of an interpolation
NETWORKS = {
    "recurrent VAE": (VAETransformer, {"network": "recurrent", "beta": 0.5}),
    "hierarchical VAE": (VAETransformer, {"network": "hierarchical", "beta": 0.5}),
    "recurrent autoencoder": (AutoencoderTransformer, {"network": "recurrent"}),
    "MLP VAE": (VAETransformer, {"network": "mlp", "beta": 0.5}),
}


# The melodies


def melodies(path):
    """Training and test melodies, each an array of pitches, -1 for a rest."""
    if path is None:
        return made_up(40, seed=0), made_up(10, seed=1)
    with np.load(path) as file:
        soprano, offsets, split = file["pitches"][:, 0], file["offsets"], file["split"]
    pieces = [soprano[a:b].astype(int) for a, b in itertools.pairwise(offsets)]
    return [
        [piece for piece, part in zip(pieces, split, strict=True) if part == which]
        for which in (0, 2)
    ]


def made_up(n_pieces, seed):
    """Walks up and down a scale, a quarter a step."""
    rng = np.random.default_rng(seed)
    scale = np.array([60, 62, 64, 65, 67, 69, 71, 72, 74, 76])
    degrees = np.abs(np.cumsum(rng.integers(-1, 2, (n_pieces, 16)), axis=1) + 4) % 10
    return list(np.repeat(scale[degrees], BEAT, axis=1))


def windows(pieces, hop, pitches):
    """Windows of 32 steps as numbers of categories, those within `pitches`."""
    low, high = pitches
    found = np.array(
        [piece[a : a + STEPS] for piece in pieces for a in range(0, len(piece) - STEPS + 1, hop)]
    )
    return found[((found >= low) & (found <= high)).all(axis=1)] - low


def training_windows(pieces, pitches):
    """All windows that begin on a beat in all transpositions that fit, none of them twice."""
    transposed = [
        windows([np.where(piece < 0, -1, piece + shift) for piece in pieces], BEAT, pitches)
        for shift in TRANSPOSITIONS
    ]
    return np.unique(np.concatenate(transposed), axis=0)


def one_hot(steps, n_categories):
    return np.eye(n_categories, dtype=np.float32)[steps]


# The figures


def steps_right(X, answers):
    return float((X.argmax(axis=-1) == answers.argmax(axis=-1)).mean())


def run(name, k, seed, train, test, options):
    """Fit one contender; its row of the table, and the fitted model."""
    n, shape = len(train), test.shape[1:]
    began, cpu = time.perf_counter(), time.process_time()
    row = {"method": name, "codes": k, "seed": seed, "n_train": n, "n_test": len(test)}
    if name == "PCA":
        model = PCA(k, svd_solver="covariance_eigh").fit(train.reshape(n, -1))
        flat = test.reshape(len(test), -1)
        answers = model.inverse_transform(model.transform(flat)).reshape(-1, *shape)
    else:
        cls, own = NETWORKS[name]
        model = cls(k, likelihood="categorical", random_state=seed, **own, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # collapsed latents are counted
            model.fit(train)
        answers = model.reconstruct(test)
        row["epoch"] = model.best_epoch_
    row["seconds"], row["cpu_seconds"] = time.perf_counter() - began, time.process_time() - cpu
    row["steps_right"] = steps_right(test, answers)
    if isinstance(model, VAETransformer):
        row["nats"] = model.score(test[::4])
        row["active"] = model.n_active_latents_
        row["kl"] = float(model.kl_per_latent_.sum())
    return row, model


def print_row(row):
    more = ""
    if "nats" in row:
        more = f", {row['nats']:.1f} nats, {row['active']} active latents, KL {row['kl']:.1f}"
    print(
        f"{row['method']:<22} {row['codes']:>3} codes, seed {row['seed']}: "
        f"{row['steps_right']:.3f} of steps right{more}, {row['cpu_seconds']:.0f} s of one core",
        flush=True,
    )


def onsets(X):
    """Share of steps at which the pitch changes: on a beat, half way, and between."""
    changes = np.diff(X.argmax(axis=-1), axis=1) != 0
    position = np.arange(1, STEPS) % BEAT
    return [float(changes[:, np.isin(position, where)].mean()) for where in ([0], [2], [1, 3])]


def print_character(name, X, low):
    pitches = X.argmax(axis=-1)
    leaps = np.abs(np.diff(pitches, axis=1))
    beat, half, between = onsets(X)
    print(
        f"{name:<24} pitches {low + pitches.min()} to {low + pitches.max()}, changes on a beat "
        f"{beat:.3f}, half way {half:.3f}, between {between:.3f}; of changes more than a fifth "
        f"{(leaps > 7).sum() / max((leaps > 0).sum(), 1):.3f}",
        flush=True,
    )


def print_interpolations(vae, test, rng):
    """How far a step of a melody moves from frame to frame."""
    a, b = rng.permutation(len(test))[: 2 * min(50, len(test) // 2)].reshape(2, -1)
    frames = vae.interpolate(test[a], test[b], FRAMES).argmax(axis=-1)
    jumps = np.abs(np.diff(frames, axis=1)).mean(axis=2)
    ends = np.abs(frames[:, 0] - frames[:, -1]).mean(axis=1)
    print(
        f"interpolations of {FRAMES} frames: a step moves {jumps.mean():.2f} semitones from frame "
        f"to frame, {jumps.max(axis=1).mean():.2f} at the largest jump on the way, and ends are "
        f"{ends.mean():.2f} apart",
        flush=True,
    )


# Piano rolls


def plot(vae, test, low, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    chosen = np.linspace(0, len(test) - 1, 8).astype(int)
    originals = test[chosen[1:5]]
    back = vae.reconstruct(originals)
    way = vae.interpolate(test[chosen[5:6]], test[chosen[6:7]], 4 * 2)[0]
    drawn, likely = vae.sample(4, random_state=0), vae.sample(4, random_state=1, add_noise=False)
    rows = [
        ("held out", originals),
        ("reconstructed", back),
        ("interpolated", way[:4]),
        ("(on to the end)", way[4:]),
        ("sampled", drawn),
        ("sampled,\nlikeliest steps", likely),
    ]
    figure, axes = plt.subplots(len(rows), 4, figsize=(13, 11), sharex=True, sharey=True)
    for line, (name, rolls) in zip(axes, rows, strict=True):
        for axis, roll in zip(line, rolls, strict=True):
            axis.imshow(
                roll.T,
                origin="lower",
                aspect="auto",
                cmap="Greys",
                vmin=0,
                vmax=1,
                extent=(0, STEPS, low - 0.5, low + roll.shape[1] - 0.5),
                interpolation="nearest",
            )
            axis.axvline(STEPS / 2, color="0.6", lw=0.8)
            axis.set_xticks(range(0, STEPS + 1, BEAT))
            axis.tick_params(labelsize=7)
        line[0].set_ylabel(f"{name}\nMIDI pitch", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("sixteenths", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"written: {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("SKAE_DATA")
    parser.add_argument(
        "--chorales",
        type=Path,
        default=data and Path(data, "jsb_chorales.npz"),
        help="the file of chorales (default: jsb_chorales.npz in the folder that the environment "
        "variable SKAE_DATA names)",
    )
    parser.add_argument("--methods", nargs="+", default=["PCA", *NETWORKS])
    parser.add_argument("--codes", nargs="+", type=int, default=[16, 32, 64])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="few melodies, 8 codes, a few epochs")
    arguments = parser.parse_args()
    options = {"max_epochs": arguments.epochs}
    if arguments.tiny:
        arguments.chorales, arguments.codes, arguments.seeds = None, [8], [0]
        options = {"max_epochs": 2, "hidden_layer_sizes": 8}
    elif arguments.chorales is None:
        raise SystemExit("say where the chorales are, with --chorales, or use --tiny")

    training, held_out = melodies(arguments.chorales)
    sung = np.concatenate(training)
    pitches = int(sung[sung >= 0].min()), int(sung.max())
    n_categories = pitches[1] - pitches[0] + 1
    train = one_hot(training_windows(training, pitches), n_categories)
    test = one_hot(windows(held_out, 4 * BEAT, pitches), n_categories)
    print(f"{len(train)} training and {len(test)} held-out windows, {n_categories} pitches")

    rows, kept = [], None
    for k in arguments.codes:
        for name in arguments.methods:
            for seed in arguments.seeds[: 1 if name == "PCA" else None]:
                row, model = run(name, k, seed, train, test, options)
                print_row(row)
                rows.append(row)
                if name == "recurrent VAE" and (kept is None or k == 32) and seed == 0:
                    kept = model
    _rows.save(rows, arguments.out / "chorales.csv")
    if kept is not None:
        print_character("held-out melodies", test, pitches[0])
        for noise in (True, False):
            name = "samples" if noise else "samples, likeliest steps"
            print_character(name, kept.sample(1000, random_state=0, add_noise=noise), pitches[0])
        print_interpolations(kept, test, np.random.default_rng(0))
        plot(kept, test, pitches[0], arguments.out / "chorales.png")


if __name__ == "__main__":
    main()
