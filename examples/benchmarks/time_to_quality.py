"""Time to the held-out error that each peer ends with.

Every peer trains an autoencoder at its usual settings, with as many codes; then it is
seen after how many seconds `AutoencoderTransformer`, as it comes, has a held-out error no
higher than the peer's last. Looking costs nothing: it is taken off the clock.

    python time_to_quality.py --data FOLDER --mnist FILE

Peers that are not installed are left out: MLPRegressor is always there, pyod, pythae and
Keras (with its torch backend) may be. FILE holds MNIST as arrays of an .npz file.
"""

import argparse
import contextlib
import io
import logging
import os
import tempfile
import time
import warnings
from pathlib import Path

import _rows
import numpy as np
from _tables import add_arguments, load, split
from sklearn.neural_network import MLPRegressor
from skorch.callbacks import Callback

from skae import AutoencoderTransformer

os.environ.setdefault("KERAS_BACKEND", "torch")
TABLES = {"parkinsons": 4, "elevators": 4, "housing": 4, "digits": 8}
HIDDEN = (128, 64)


def mlp_regressor(X, test, k):
    net = MLPRegressor(hidden_layer_sizes=(*HIDDEN, k, *HIDDEN[::-1]), random_state=0)
    net.fit(X, X)
    return lambda: np.square(net.predict(test) - test).sum(axis=1).mean()


def pyod(X, test, k):
    from pyod.models.auto_encoder import AutoEncoder

    net = AutoEncoder(
        hidden_neuron_list=[*HIDDEN, k], preprocessing=False, verbose=0, random_state=0
    )
    net.fit(X)
    # What it scores a row by is the distance to its reconstruction.
    return lambda: np.square(net.decision_function(test)).mean()


def pythae(X, test, k):
    import torch
    from pythae.models import AE, AEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    model = AE(AEConfig(input_dim=(X.shape[1],), latent_dim=k))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(output_dir=folder)
        pipeline = TrainingPipeline(model=model, training_config=config)
        pipeline(train_data=X.astype(np.float32), eval_data=test.astype(np.float32))
        model = AE.load_from_folder(os.path.join(pipeline.trainer.training_dir, "final_model"))

    def error():
        with torch.no_grad():
            x = torch.tensor(test, dtype=torch.float32)
            return float((model.reconstruct(x) - x).square().sum(-1).mean())

    return error


def keras(X, test, k):
    from keras import Sequential, layers

    sizes = [(size, "relu") for size in (*HIDDEN, k, *HIDDEN[::-1])]
    sizes[len(HIDDEN)] = (k, None)
    net = Sequential([layers.Dense(size, activation=name) for size, name in sizes])
    net.add(layers.Dense(X.shape[1]))
    net.compile("adam", "mse")
    net.fit(X, X, epochs=50, batch_size=256, verbose=0)
    return lambda: np.square(net.predict(test, verbose=0) - test).sum(axis=1).mean()


PEERS = {"MLPRegressor": mlp_regressor, "pyod": pyod, "pythae": pythae, "Keras": keras}


class Watch(Callback):
    """Seconds of training, without those of looking, and the error at every epoch."""

    def __init__(self, test):
        self.test = test

    def on_train_begin(self, net, **kwargs):
        self.look(net)

    def on_epoch_end(self, net, **kwargs):
        self.look(net)

    def look(self, net):
        import torch

        now = time.perf_counter() - self.began - self.looked
        module = net.module_
        mode = module.training
        module.eval()
        with torch.no_grad():
            x = torch.tensor((self.test - self.mean) / self.scale, dtype=torch.float32)
            error = (module.expect(module.embed(x)) - x).square().sum(-1).mean() * self.scale**2
        module.train(mode)
        self.curve.append((now, float(error)))
        self.looked = time.perf_counter() - self.began - now

    def start(self, X):
        self.mean, self.scale = X.mean(axis=0), np.sqrt(X.var(axis=0, ddof=1).mean())
        self.curve, self.looked, self.began = [], 0.0, time.perf_counter()


def ours(X, test, k, options):
    watch = Watch(test)
    model = AutoencoderTransformer(k, random_state=0, callbacks=[watch], **options)
    watch.start(X)
    model.fit(X)
    return watch.curve, time.perf_counter() - watch.began - watch.looked


def tasks(arguments):
    tables = load(arguments)
    for name, k in TABLES.items():
        if name in tables:
            yield name, k, *split(tables[name](), 0)
    if arguments.mnist is not None:
        with np.load(arguments.mnist) as file:
            X = next(
                file[name] for name in file if file[name].ndim > 1 and len(file[name]) > 50_000
            )
        X = X.reshape(len(X), -1)[:15_000] / 255.0
        for k in (8, 32):
            yield "MNIST", k, X[:10_000], X[10_000:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="300 digits and MLPRegressor")
    arguments = parser.parse_args()
    options = {}
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    jobs = list(tasks(arguments))
    if arguments.tiny:
        arguments.peers, options = ["MLPRegressor"], {"max_epochs": 10}
        jobs = [(name, k, X[:300], test) for name, k, X, test in jobs if name == "digits"]
    rows = []
    for name, k, X, test in jobs:
        curve, whole = ours(X, test, k, options)
        print(f"{name}, {k} codes: {curve[0][1]:.3f} at the start (PCA), ", end="")
        print(f"{min(error for _, error in curve):.3f} at best, {whole:.1f} s in all")
        for peer in arguments.peers:
            began = time.perf_counter()
            try:
                with (
                    contextlib.redirect_stdout(io.StringIO()),
                    contextlib.redirect_stderr(io.StringIO()),
                ):
                    error_of = PEERS[peer](X, test, k)
            except ImportError as error:
                print(f"    {peer} is not installed: {error}")
                continue
            seconds = time.perf_counter() - began
            error = float(error_of())
            reached = next((now for now, value in curve if value <= error), float("nan"))
            rows.append({"task": name, "latents": k, "peer": peer, "peer_error": error})
            rows[-1] |= {"peer_seconds": seconds, "seconds": reached, "times": seconds / reached}
            rows[-1] |= {"pca_error": curve[0][1], "best_error": min(value for _, value in curve)}
            print(
                f"    {peer:<13} ends at {error:8.3f} after {seconds:7.1f} s; skae is there after "
                f"{reached:7.3f} s: {seconds / reached:.1f} times as fast",
                flush=True,
            )
    _rows.save(rows, arguments.out / "time_to_quality.csv")
    plot(rows, arguments.out / "time_to_quality.png")


def plot(rows, path):
    from _plots import STYLES, legend, plain_log, plt, save

    names = list(dict.fromkeys((row["task"], row["latents"]) for row in rows))
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    size = (8, 0.5 * len(names) + 1.8)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    for number, (peer, style) in enumerate(zip(peers, STYLES, strict=False)):
        here = [row for row in rows if row["peer"] == peer]
        shift = 0.7 * ((number + 0.5) / len(peers) - 0.5)
        places = [names.index((row["task"], row["latents"])) + shift for row in here]
        axis.plot([row["times"] for row in here], places, ls="", label=peer, **style)
    axis.axvline(1.0, color="0.3", lw=1, zorder=0, label="as fast")
    axis.axvline(4.0, color="0.3", lw=1, ls=":", zorder=0, label="4 times")
    axis.set(yticks=range(len(names)), yticklabels=[f"{name}, {k} codes" for name, k in names])
    axis.set(ylim=(len(names) - 0.5, -0.5))
    plain_log(axis)
    axis.set_xlabel("times as fast to the peer's own last error (right is better)")
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    legend(axis, columns=4)
    save(figure, path)


if __name__ == "__main__":
    main()
