"""What the convenience costs: epochs, whole fits, inference and searches as ratios.

The yardstick is a training loop written by hand, on the same network with the same
optimiser, schedule and batches. Contenders take turns in one process; what is printed
are medians, and their ratios are what counts.

    python speed.py
"""

import argparse
import copy
import itertools
import math
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import _rows
import numpy as np
import torch
from _timing import alternate
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch.nn import functional as F

from skae import AutoencoderTransformer, VAETransformer
from skae.data.batches import Batch
from skae.nn.fitted import inference_module
from skae.random import Streams
from skae.threads import suitable_threads

# Rows, columns, hidden layers, latents, batch: what it may cost against the raw loop, and
# how many times as fast as skorch's defaults it has to be.
EPOCHS = {
    "20,000 x 784": (20_000, 784, (256, 64), 8, 256, 1.05, 1.8),
    "20,000 x 64": (20_000, 64, (128, 64), 8, 256, 1.05, 3.0),
    "1,000 x 20": (1_000, 20, (128, 64), 8, 128, 1.15, 3.0),
}


class Clock(Callback):
    """Seconds of every epoch."""

    def on_train_begin(self, net, **kwargs):
        self.seconds = []

    def on_epoch_begin(self, net, **kwargs):
        self.began = time.perf_counter()

    def on_epoch_end(self, net, **kwargs):
        self.seconds.append(time.perf_counter() - self.began)


class Autoencoder(torch.nn.Module):
    """What one would write by hand: two perceptrons and nothing else."""

    def __init__(self, n_features, hidden, latents):
        super().__init__()
        sizes = [n_features, *hidden, latents, *hidden[::-1], n_features]
        layers = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.SiLU()]
        del layers[2 * len(hidden) + 1]  # the codes are linear
        self.layers = torch.nn.Sequential(*layers[:-1])

    def forward(self, x, generator=None):
        """Return reconstructions of rows, or of a batch the error of every row."""
        if isinstance(x, torch.Tensor):
            return self.layers(x)
        return (self.layers(x.x) - x.target).square().sum(-1)


def raw_epochs(module, train, valid, epochs, batch_size, lr, device="cpu", loss_curve=None):
    """The loop by hand: seconds of every epoch. With `valid`, the best epoch is kept."""
    work = batch_size * max(parameter.numel() for parameter in module.parameters())
    with suitable_threads(work):  # as many threads as skae takes
        return _raw_epochs(module, train, valid, epochs, batch_size, lr, device, loss_curve)


def _raw_epochs(module, train, valid, epochs, batch_size, lr, device, loss_curve):
    options = {"weight_decay": 0.01, "eps": 1e-5, "fused": True}
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr, **options)
    order = Streams(0).torch("shuffle")
    steps, taken, best, seconds = epochs * math.ceil(len(train) / batch_size), 0, math.inf, []
    for _ in range(epochs):
        began = time.perf_counter()
        module.train()
        losses = []
        permutation = torch.randperm(len(train), generator=order).to(device)
        for index in permutation.split(batch_size):
            share = (taken + 0.5) / steps
            rate = lr * min(1.0, share / 0.05) * 0.5 * (1.0 + math.cos(math.pi * share))
            optimizer.param_groups[0]["lr"] = rate
            taken += 1
            x = train[index]
            optimizer.zero_grad()
            loss = module(Batch(x, x), None).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        if loss_curve is not None:
            loss_curve.append(mean)
        if valid is not None:
            module.eval()
            with torch.no_grad():
                held_out = float(module(Batch(valid, valid), None).mean())
            if held_out < best:
                best, state = held_out, copy.deepcopy(module.state_dict())
        seconds.append(time.perf_counter() - began)
    if valid is not None:
        module.load_state_dict(state)
    return seconds


def skorch_epochs(module, X, epochs, batch_size, lr, device="cpu"):
    """The same module in skorch as it comes: seconds of every epoch."""

    class Reconstruction(torch.nn.Module):
        def forward(self, x_hat, target):
            return F.mse_loss(x_hat, target)

    clock = Clock()
    net = NeuralNet(
        module,
        Reconstruction,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.01,
        lr=lr,
        max_epochs=epochs,
        batch_size=batch_size,
        train_split=None,
        device=device,
        callbacks=[("clock", clock)],
        verbose=0,
    )
    net.fit(X, X)
    return clock.seconds


def table(n_samples, n_features, dtype=np.float32):
    """Rows on a bent surface of ten dimensions, with noise."""
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((n_samples, 10))
    bent = np.tanh(flat @ rng.standard_normal((10, 40))) @ rng.standard_normal((40, n_features))
    X = bent + 0.1 * rng.standard_normal((n_samples, n_features))
    return ((X - X.mean(0)) / X.std(0)).astype(dtype)


def fitted(X, **options):
    """A fit, its split and its module as it began, for loops that are to do the same."""
    seen = {}

    class Watched(Callback):
        def on_train_begin(self, net, X=None, **kwargs):
            seen.update(split=X, module=copy.deepcopy(net.module_))

    model = AutoencoderTransformer(random_state=0, callbacks=[Watched()], **options).fit(X)
    return model, seen["split"], seen["module"]


def measure_epochs(rows, arguments):
    for name, problem in EPOCHS.items():
        measure_epoch(rows, arguments, name, *problem)


def measure_epoch(rows, arguments, name, n, d, hidden, k, batch_size, limit, gain):
    n = max(n // 100, 100) if arguments.tiny else n
    epochs = 2 if arguments.tiny else max(5, 60_000 // n)
    X = table(n, d)
    options = {"latent_dim": k, "hidden_layer_sizes": hidden, "batch_size": batch_size}
    options |= {"lr": 1e-3, "max_epochs": epochs, "device": arguments.device}
    options |= {"validation_fraction": None}
    model, split, start = fitted(X, **options)
    device = model.device_
    tensor = split.train.x.index_select(0, split.train.index)
    tensor_of_X = torch.from_numpy(X).to(device)
    rest = (epochs, batch_size, 1e-3, device)
    loss = []

    def ours():
        clock = Clock()
        AutoencoderTransformer(random_state=0, callbacks=[clock], **options).fit(X)
        return statistics.median(clock.seconds)

    def same():
        loss.clear()
        return statistics.median(raw_epochs(copy.deepcopy(start), tensor, None, *rest, loss))

    def plain():
        module = Autoencoder(d, hidden, k).to(device)
        return statistics.median(raw_epochs(module, tensor_of_X, None, *rest))

    def as_it_comes():
        return statistics.median(skorch_epochs(Autoencoder(d, hidden, k), X, *rest))

    def sklearn():
        sizes = (*hidden, k, *hidden[::-1])
        net = MLPRegressor(hidden_layer_sizes=sizes, batch_size=batch_size, max_iter=1)
        began = time.perf_counter()
        net.fit(X, X)
        return time.perf_counter() - began

    contenders = {
        "skae": ours,
        "raw loop": same,
        "raw loop, plain network": plain,
        "skorch's defaults": as_it_comes,
        "MLPRegressor": sklearn,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        seconds = alternate(contenders, arguments.repeats)
    for other in list(contenders)[1:]:
        report(rows, "epoch", name, other, seconds, limit_of(other, limit, gain))
    agreement = model.loss_curve_[-1] / (loss[-1] * model.net_.units[0])
    print(f"    last training loss over the raw loop's: {agreement:.4f}")
    if abs(agreement - 1.0) > 0.01:
        raise SystemExit("the loop by hand does not do the same work")


def limit_of(other, limit, gain):
    return {"raw loop": limit, "skorch's defaults": 1.0 / gain}.get(other)


def measure_fits(rows, arguments):
    names = ["iris"] if arguments.tiny else ["iris", "wine", "breast_cancer", "digits"]
    for name in names:
        measure_fit(rows, arguments, name)


def measure_fit(rows, arguments, name):
    X = StandardScaler().fit_transform(getattr(datasets, f"load_{name}")().data)
    options = {"device": arguments.device} | ({"max_epochs": 3} if arguments.tiny else {})
    model, split, start = fitted(X, **options)
    train, valid = (part.x.index_select(0, part.index) for part in split[:2])
    rest = (model.n_iter_, model.net_.batch_size, model.net_.lr, model.device_)

    def ours():
        AutoencoderTransformer(random_state=0, **options).fit(X)

    def raw():
        raw_epochs(copy.deepcopy(start), train, valid, *rest)

    seconds = alternate({"skae": ours, "raw loop": raw}, arguments.repeats)
    report(rows, "default fit", f"{name}, {model.n_iter_} epochs", "raw loop", seconds, 1.3)


def measure_syncs(rows, arguments):
    """How often the host waits for a CUDA device in a further epoch, as the profiler saw it."""
    if not arguments.device.startswith("cuda"):
        return
    n, d, hidden, k, batch_size, *_ = next(iter(EPOCHS.values()))
    X = table(max(n // 100, 100) if arguments.tiny else n, d)
    options = {"hidden_layer_sizes": hidden, "batch_size": batch_size, "device": arguments.device}
    options |= {"early_stopping": False, "random_state": 0}

    def waits(epochs):
        with torch.profiler.profile() as profiler:
            AutoencoderTransformer(k, max_epochs=epochs, **options).fit(X)
        events = profiler.key_averages()
        return sum(event.count for event in events if "Synchronize" in event.key)

    waits(1)  # to warm up
    per_epoch = (waits(13) - waits(3)) / 10
    steps = -(-int(0.9 * len(X)) // batch_size)
    print(f"the host waits {per_epoch:.1f} times in an epoch of {steps} steps, at its end")


def measure_inference(rows, arguments):
    n = 2_000 if arguments.tiny else 100_000
    X = table(1_000, 784)
    options = {"hidden_layer_sizes": (256, 64), "max_epochs": 1, "device": arguments.device}
    model = AutoencoderTransformer(8, random_state=0, **options).fit(X)
    X = np.tile(X, (n // len(X), 1))
    module, device = inference_module(model.net_, np.float32)

    def raw():
        out = np.empty((len(X), 8), dtype=np.float32)
        with torch.no_grad():
            for low in range(0, len(X), 4096):
                block = torch.from_numpy(X[low : low + 4096]).to(device)
                out[low : low + 4096] = module.embed(block).cpu().numpy()

    contenders = {"skae": lambda: _nothing(model.transform(X)), "raw forward": raw}
    seconds = alternate(contenders, arguments.repeats)
    report(rows, "transform", f"{n:,} x 784", "raw forward", seconds, 1 / 0.95)

    pca, row = PCA(8).fit(X[:1_000]), X[:1]
    one = {"skae": lambda: model.transform(row), "PCA": lambda: pca.transform(row)}
    seconds = alternate({name: many(transform, 200) for name, transform in one.items()}, 11)
    report(rows, "transform", "one row of 784", "PCA", seconds, 2.0)

    def importing(module):
        return lambda: _nothing(subprocess.run([sys.executable, "-c", f"import {module}"]))

    other = "sklearn.decomposition"
    seconds = alternate({"skae": importing("skae"), other: importing(other)}, arguments.repeats)
    report(rows, "import", "skae", other, seconds, 1.1)


def measure_scores(rows, arguments):
    """A default fit of the VAE and the scores of its rows, beside PCA and beside each other."""
    names = ["iris"] if arguments.tiny else ["iris", "wine", "diabetes", "breast_cancer", "digits"]
    tables = {name: getattr(datasets, f"load_{name}")().data for name in names}
    rng = np.random.default_rng(0)
    n, d = (30, 100) if arguments.tiny else (150, 5_000)
    tables[f"{n} x {d:,}"] = rng.standard_normal((n, 4)) @ rng.standard_normal((4, d))
    tables[f"{n} x {d:,}"] += rng.standard_normal((n, d))
    for name, X in tables.items():
        measure_score(rows, arguments, name, StandardScaler().fit_transform(X))


def measure_score(rows, arguments, name, X):
    options = {"device": arguments.device} | ({"max_epochs": 3} if arguments.tiny else {})
    vae, pca = VAETransformer(random_state=0, **options).fit(X), PCA(2).fit(X)
    contenders = {
        "skae": lambda: _nothing(vae.score_samples(X)),
        "fit": lambda: _nothing(vae.fit(X)),
        "PCA": many(lambda: pca.score_samples(X), 5),
        "PCA.fit": many(lambda: pca.fit(X), 5),
    }
    seconds = alternate(contenders, arguments.repeats)
    report(rows, "score_samples", name, "fit", seconds, 1 / 20)
    report(rows, "score_samples", name, "PCA", seconds, None)
    of_fit = {"skae": seconds["fit"], "PCA": seconds["PCA.fit"]}
    report(rows, "VAE fit", name, "PCA", of_fit, None)
    one = {"skae": lambda: vae.score_samples(X[:1]), "PCA": lambda: pca.score_samples(X[:1])}
    calls = 50 if X.shape[1] < 1_000 else 1  # PCA inverts a covariance in every call
    seconds = alternate({name: many(score, calls) for name, score in one.items()}, 3)
    report(rows, "score_samples", f"{name}, one row", "PCA", seconds, None)
    print(f"    one row takes {1000 * seconds['skae']:.1f} ms")


def many(function, n):
    """A contender that says the seconds of one call out of n."""

    def run():
        began = time.perf_counter()
        for _ in range(n):
            function()
        return (time.perf_counter() - began) / n

    return run


def measure_search(rows, arguments):
    X = datasets.load_digits().data[: 200 if arguments.tiny else None]
    model = AutoencoderTransformer(random_state=0, max_epochs=2 if arguments.tiny else 60)
    grid = {"latent_dim": [2, 4, 8]}

    def search(n_jobs):
        search = GridSearchCV(model, grid, n_jobs=n_jobs, refit=False)
        return lambda: _nothing(search.fit(X))

    contenders = {"skae": search(2), "one worker": search(1)}
    seconds = alternate(contenders, min(arguments.repeats, 3))
    report(rows, "search", "digits, 2 workers", "one worker", seconds, 1 / 1.6)


def _nothing(answer):
    """None, so that the call is timed."""


def report(rows, what, case, against, seconds, limit):
    ratio = seconds["skae"] / seconds[against]
    row = {"what": what, "case": case, "against": against, "seconds": seconds["skae"]}
    row |= {"seconds_against": seconds[against], "ratio": ratio, "limit": limit}
    rows.append(row)
    verdict = (
        "" if limit is None else f"  (at most {limit:.2f}{'' if ratio <= limit else ': MISSED'})"
    )
    print(f"{what:<12} {case:<26} over {against:<24} {ratio:6.3f}{verdict}", flush=True)


def plot(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in rows if row["what"] not in ("score_samples", "VAE fit")]  # far from 1
    figure, axis = plt.subplots(figsize=(9, 0.35 * len(rows) + 1.2))
    for place, row in enumerate(rows):
        axis.plot([1.0, row["ratio"]], [place, place], color="0.8", zorder=1)
        axis.plot(row["ratio"], place, "o", color="C0")
        if row["limit"] is not None:
            axis.plot(row["limit"], place, "|", color="C3", ms=14, mew=2)
    axis.axvline(1.0, color="0.4", lw=1)
    names = [f"{row['what']}: {row['case']} / {row['against']}" for row in rows]
    axis.set(yticks=range(len(rows)), yticklabels=names, xscale="log")
    ticks = [0.1, 0.2, 0.5, 1.0, 2.0]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xlabel("time of skae over the other's (left is faster; red: the limit)")
    axis.minorticks_off()
    axis.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


PARTS = {
    "syncs": measure_syncs,
    "epochs": measure_epochs,
    "fits": measure_fits,
    "inference": measure_inference,
    "scores": measure_scores,
    "search": measure_search,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="a hundredth of the work")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.repeats = 1
    rows = []
    for part in arguments.parts:
        PARTS[part](rows, arguments)
    _rows.save(rows, arguments.out / "speed.csv")
    plot(rows, arguments.out / "speed.png")


if __name__ == "__main__":
    main()
