"""Published figures on MNIST: how far off, at what cost.

- ``hinton``: squared error per test image with 784-1000-500-250-30 units (Hinton &
  Salakhutdinov 2006: 3.00; logistic PCA 8.01, PCA 13.87), once trained on the squared
  error and once on the cross-entropy, which is what the paper did.
- ``keras``: cross-entropy per pixel of test images ("Building autoencoders in Keras": 0.09
  with 32 codes and no hidden layer, about 0.08 with 128 and 64 hidden units, 0.094 with
  convolutions and 128 codes). Ours has 128 and 64 hidden units, or convolutions. These take
  ten times as long, and on a CPU are trained for the fewest epochs only.
- ``burda``: minus the log-likelihood in nats of binarised test images, with 50 latents and two
  layers of 200 units (Burda et al. 2016, one stochastic layer, k = 1: 86.76). A pixel is 1
  with the probability that is its grey value. Test images are drawn once, with a fixed seed.
  For training the paper draws every image anew in every epoch; here it is drawn once
  ("1 draw") or ten times ("10 draws", all in one table, a tenth of the epochs over it,
  so that as many rows are seen; never more draws than epochs). The bound has
  64 draws around the posterior mode, the paper's 5,000 from the encoder's posterior.

Every fit is of a number of epochs of its own, as the learning rate falls over all of them:
a curve is made of separate fits. Where a curve has not reached the paper's figure, a line
through its last points in logarithms is printed, and drawn dotted: an extrapolation, and an
optimistic one, as curves flatten. Without ``--mnist`` the data are fetched from OpenML.

    python published.py --mnist FILE [--only hinton keras burda] [--device cuda]
"""

import argparse
import platform
import time
from pathlib import Path

import _cells
import _rows
import numpy as np
import torch
from mnist import cross_entropy, error, load

from skae import AutoencoderTransformer, VAETransformer

# What was measured: the paper's figure and what its number is.
PAPER = {
    "hinton": (3.00, "squared error per test image"),
    "burda": (86.76, "nats per binarised test image"),
}
KERAS = {"mlp, 32 codes": 0.08, "conv, 128 codes": 0.094}
LOGISTIC_PCA_ERROR = 8.01
EPOCHS = {"hinton": (5, 10, 20, 40), "keras": (20, 100), "burda": (10, 20, 40, 80, 160)}
GPU_EPOCHS = {
    "hinton": (5, 10, 20, 40, 80, 160, 320),
    "keras": (20, 100),
    "burda": (10, 20, 40, 80, 160, 320),
}
DRAWS = {"1 draw": 1, "10 draws": 10}


def hinton(images, method, epochs, seed, device, tiny):
    X, X_test = (flat(part) for part in images)
    model = AutoencoderTransformer(
        4 if tiny else 30,
        hidden_layer_sizes=(20, 10) if tiny else (1000, 500, 250),
        likelihood={"squared error": "gaussian", "cross-entropy": "bernoulli"}[method],
        max_epochs=epochs,
        device=device,
        random_state=seed,
    )
    return fitted(model, X, lambda: error(X_test, model.reconstruct(X_test)))


def keras(images, method, epochs, seed, device, tiny):
    X, X_test = images
    network, codes = ("conv", 128) if method.startswith("conv") else ("mlp", 32)
    model = AutoencoderTransformer(
        4 if tiny else codes,
        network=network,
        input_shape=X.shape[1:],
        hidden_layer_sizes="auto",
        likelihood="bernoulli",
        max_epochs=epochs,
        device=device,
        random_state=seed,
    )
    return fitted(model, X, lambda: cross_entropy(X_test, model.reconstruct(X_test)))


def burda(images, method, epochs, seed, device, tiny):
    X, X_test = (flat(part) for part in images)
    draws = min(DRAWS[method], epochs)
    X = np.concatenate([binarised(X, 1 + draw) for draw in range(draws)])
    X_test = binarised(X_test, 0)
    model = VAETransformer(
        4 if tiny else 50,
        hidden_layer_sizes=(20, 20) if tiny else (200, 200),
        likelihood="bernoulli",
        max_epochs=epochs // draws,
        device=device,
        random_state=seed,
    )
    return fitted(model, X, lambda: -model.score_samples(X_test).mean(dtype=np.float64))


def fitted(model, X, value):
    """The figure, and what it cost."""
    began = time.perf_counter()
    model.fit(X)
    seconds = time.perf_counter() - began
    return {"value": float(value()), "best_epoch": model.best_epoch_, "fit_seconds": seconds}


def flat(X):
    return X.reshape(len(X), -1)


def binarised(X, seed):
    rng = np.random.default_rng(seed)
    return (rng.random(X.shape, dtype=np.float32) < X).astype(np.float32)


TASKS = {task.__name__: task for task in (hinton, keras, burda)}
METHODS = {
    "hinton": ("squared error", "cross-entropy"),
    "keras": tuple(KERAS),
    "burda": tuple(DRAWS),
}


def measure(images, device, tiny, task, method, epochs, seed):
    row = TASKS[task](images, method, epochs, seed, device, tiny)
    paper = paper_of(task, method)
    row |= {"paper": paper, "difference": row["value"] - paper}
    return {**row, "device": device_name(device)}


def paper_of(task, method):
    return KERAS[method] if task == "keras" else PAPER[task][0]


def device_name(device):
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, threads: {torch.get_num_threads()}"


def describe(row):
    return (
        f"{row['task']:<7} {row['method']:<17} {row['epochs']:>4} epochs: {row['value']:9.4f} "
        f"(paper {row['paper']}, {row['difference']:+.4f}), {row['fit_seconds']:.0f} s"
    )


def curves(rows, task):
    """Epochs and figures, mean over seeds, of every method of a task."""
    found = {}
    for method in METHODS[task]:
        points = {}
        for row in rows:
            if (row["task"], row["method"]) == (task, method):
                points.setdefault(row["epochs"], []).append(row["value"])
        if points:
            found[method] = [(epochs, np.mean(points[epochs])) for epochs in sorted(points)]
    return found


def extrapolated(curve, aim):
    """Epochs at which a line through the last points, in logarithms, is at the aim."""
    last = [point for point in curve[-3:] if point[1] > aim]
    if len(curve) < 2 or len(last) < 2 or curve[-1][1] <= aim:
        return None
    slope, start = np.polyfit(*np.log(last).T, 1)
    return float(np.exp((np.log(aim) - start) / slope)) if slope < 0 else None


def print_summary(rows):
    aims = []
    for task, (aim, what) in PAPER.items():
        for method, curve in curves(rows, task).items():
            print(f"\n{task}, {method}: {what}, paper {aim:.2f}")
            for epochs, value in curve:
                print(f"    {epochs:>5} epochs {value:9.3f}")
            if epochs := extrapolated(curve, aim):
                print(f"    extrapolated, not measured: {aim:.2f} after {epochs:,.0f} epochs")
    best = {}
    for row in rows:
        place = row["task"], row["method"] if row["task"] == "keras" else None
        best[place] = min(row["value"], best.get(place, np.inf))
    for (task, method), value in best.items():
        if task == "keras":
            paper = paper_of(task, method)
            aims.append((f"Keras blog, {method}: below {paper}: {value:.4f}", value < paper))
        elif task == "hinton":
            aims.append((f"squared error at 30 codes at most 3.00: {value:.3f}", value <= 3.00))
        else:
            aims.append((f"within 2 nats of 86.76: {value:.2f}", value <= 88.76))
    _cells.report(aims)


def plot(rows, path):
    from _plots import STYLES, legend, plain_log, plt, save

    tasks = [task for task in PAPER if curves(rows, task)]
    if not tasks:
        return
    size = (5.5 * len(tasks), 4.5)
    figure, axes = plt.subplots(1, len(tasks), figsize=size, squeeze=False, layout="constrained")
    for axis, task in zip(axes[0], tasks, strict=True):
        aim, what = PAPER[task]
        for style, (method, curve) in zip(STYLES, curves(rows, task).items(), strict=False):
            axis.plot(*np.transpose(curve), lw=1.5, label=method, **style)
            if epochs := extrapolated(curve, aim):
                # Far ahead a line says nothing: no more than ten times as many epochs.
                end = min(epochs, 10 * curve[-1][0])
                x = np.geomspace(curve[-1][0], end, 50)
                slope = np.log(aim / curve[-1][1]) / np.log(epochs / curve[-1][0])
                y = curve[-1][1] * (x / curve[-1][0]) ** slope
                axis.plot(x, y, ":", color=style["color"], label="extrapolated")
        axis.axhline(aim, color="0.3", lw=1, label=f"paper, {aim:.2f}")
        if task == "hinton":
            axis.axhline(LOGISTIC_PCA_ERROR, color="0.6", lw=1, ls="--", label="logistic PCA, 8.01")
        axis.set(xlabel="epochs of a fit", ylabel=what)
        plain_log(axis)
        axis.grid(color="0.9")
        legend(axis)
    save(figure, path)


def cells_of(arguments, images):
    budgets = GPU_EPOCHS if arguments.device.startswith("cuda") else EPOCHS
    for task, method in [(name, method) for name in arguments.only for method in METHODS[name]]:
        conv = method.startswith("conv")
        budget = arguments.epochs or budgets[task][: 1 if conv and budgets is EPOCHS else None]
        for epochs in budget:
            for seed in arguments.seeds:
                key = {"task": task, "method": method, "epochs": epochs, "seed": seed}
                cost = epochs * (10.0 if conv else 1.0)
                yield _cells.Cell(key, (images, arguments.device, arguments.tiny), cost)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="an .npz file with X_train, y_train, ...")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--epochs", nargs="+", type=int, help="default: by task and device")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    _cells.add_arguments(parser, seeds=[0], jobs=1)
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.epochs = [1, 2]
    X, _, X_test, _ = load(arguments.mnist, arguments.tiny)
    path = _cells.path_of(arguments, "published")
    cells = list(cells_of(arguments, (X, X_test)))
    _cells.run(measure, cells, path, describe, arguments.jobs)
    rows = _rows.read(path)  # with what other runs have added
    print_summary(rows)
    plot(rows, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
