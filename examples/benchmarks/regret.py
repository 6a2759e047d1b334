"""Regret: what the choice of an epoch gives away, and what is left to chance.

Every table is split once, 75 to 25, and standardised. ``AutoencoderTransformer`` as it comes
is fitted with five seeds, which decide initial weights, the order of rows and the validation
set. It keeps an epoch by its validation set. After the fit, the error of test rows is
computed after every epoch, epoch 0 (PCA) included.

- regret: the error of the epoch that was kept over the lowest of any epoch;
- spread: the highest error of the seeds over their median.

    python regret.py --data FOLDER
"""

import argparse

import _cells
import numpy as np
from _tables import add_arguments, grid, split, squared_error
from skorch.callbacks import Callback

from skae import AutoencoderTransformer

SPREAD = 1.25  # of a table and a number of latents, at most


class Weights(Callback):
    """Keeps the weights after every epoch, epoch 0 included."""

    def on_train_begin(self, net, **kwargs):
        self.epochs = [copy_of(net)]

    def on_epoch_end(self, net, **kwargs):
        self.epochs.append(copy_of(net))


def copy_of(net):
    return {name: value.clone() for name, value in net.module_.state_dict().items()}


def measure(X, options, table, latents, seed):
    train, test = split(X, 0)
    weights = Weights()
    model = AutoencoderTransformer(latents, random_state=seed, callbacks=[weights], **options)
    model.fit(train)
    errors = np.array([error_with(model, epoch, test) for epoch in weights.epochs])
    ratios = errors / errors[0]
    return {
        "n_train": len(train),
        "epoch": model.best_epoch_,
        "error_ratio": ratios[model.best_epoch_],
        "lowest_epoch": int(np.nanargmin(ratios)),
        "lowest_ratio": np.nanmin(ratios),
    }


def error_with(model, weights, test):
    model.net_.module_.load_state_dict(weights)
    model.net_.inference_cache_.clear()
    return squared_error(test, model)


def describe(row):
    return (
        f"{row['table']:<15} {row['latents']:>2} latents, seed {row['seed']}: error over PCA's "
        f"{row['error_ratio']:.4f} (epoch {row['epoch']}), lowest {row['lowest_ratio']:.4f} "
        f"(epoch {row['lowest_epoch']})"
    )


def regret(rows):
    """The error kept over the lowest, a geometric mean over cells."""
    return geometric([row["error_ratio"] / row["lowest_ratio"] for row in rows])


def geometric(values):
    return float(np.exp(np.log(values).mean()))


def spreads(rows):
    """The highest error over the median, of every table and number of latents."""
    cells = {}
    for row in rows:
        cells.setdefault((row["table"], row["latents"]), []).append(row["error_ratio"])
    return np.array([max(errors) / np.median(errors) for errors in cells.values()])


def print_summary(rows):
    print(f"\n{'':<15} {'regret':>8} {'spread: geometric mean':>24} {'largest':>8}")
    for name in dict.fromkeys(row["table"] for row in rows):
        of_table = [row for row in rows if row["table"] == name]
        wide = spreads(of_table)
        print(f"{name:<15} {regret(of_table):8.3f} {geometric(wide):24.3f} {wide.max():8.3f}")
    wide, worst = spreads(rows), max(row["error_ratio"] for row in rows)
    stayed, share = np.mean([row["epoch"] == 0 for row in rows]), np.mean(wide <= SPREAD)
    print(
        f"\n{len(rows)} cells: regret {regret(rows):.4f}, spread {geometric(wide):.3f}; "
        f"{stayed:.1%} stayed PCA"
    )
    _cells.report(
        [
            (f"no error above 1.01 of PCA's: {worst:.4f}", worst <= 1.01),
            (f"spread at most {SPREAD} in 90 %: {share:.1%}", share >= 0.9),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    _cells.add_arguments(parser, latents=(2, 4, 8, 16))
    arguments = parser.parse_args()
    options = {}
    if arguments.tiny:
        arguments.tables, arguments.latents, arguments.seeds = ["iris", "wine"], [2, 8], [0, 1]
        options = {"max_epochs": 5}
    cells = [
        _cells.Cell({"table": name, "latents": k, "seed": seed}, (X, options), 500 + len(X))
        for name, X, k, seed in grid(arguments)
    ]
    rows = _cells.run(measure, cells, _cells.path_of(arguments, "regret"), describe, arguments.jobs)
    print_summary(rows)


if __name__ == "__main__":
    main()
