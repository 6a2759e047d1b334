"""What other defaults would bring: quality and time of one change at a time.

Every cell is a table, a seed and a variant: ``AutoencoderTransformer`` and ``VAETransformer``
with one parameter changed. Rows are split and standardised as in never_worse.py, but only
within the training rows that it uses, so no figure reported elsewhere was chosen by the rows
that it is reported on. Printed are medians over tables: the squared error over that of the
defaults, nats over those of the defaults, and time over theirs.

    python defaults.py --data FOLDER
"""

import argparse
import time

import _cells
import numpy as np
from _tables import add_arguments, grid, split, standardised
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer, VAETransformer

VARIANTS = {
    "default": {},
    "narrow (64,)": {"hidden_layer_sizes": (64,)},
    "wide (256, 128)": {"hidden_layer_sizes": (256, 128)},
    "deep (128, 64, 32)": {"hidden_layer_sizes": (128, 64, 32)},
    "lr 2e-3": {"lr": 2e-3},
    "lr 2e-2": {"lr": 2e-2},
    "50 epochs": {"max_epochs": 50},
    "200 epochs": {"max_epochs": 200},
    "batches twice as large": {"batch_size": 2},
    "batches half as large": {"batch_size": 0.5},
    "no weight decay": {"weight_decay": 0.0},
    "weight decay 0.1": {"weight_decay": 0.1},
    "patience 10": {"n_iter_no_change": 10},
    "patience 40": {"n_iter_no_change": 40},
    "relu": {"activation": "relu"},
}


def measure(X, options, table, latents, seed, variant):
    known, _ = split(X, seed)
    train, test = standardised(*train_test_split(known, test_size=0.25, random_state=seed))
    parameters = {**VARIANTS[variant], **options}
    if "batch_size" in parameters:
        usual = AutoencoderTransformer(1, max_epochs=0).fit(train).net_.batch_size
        parameters["batch_size"] = max(int(usual * parameters["batch_size"]), 1)
    row = {"n_train": len(train), "n_features": X.shape[1]}
    for name, cls in (("autoencoder", AutoencoderTransformer), ("vae", VAETransformer)):
        began = time.perf_counter()
        model = cls(latents, random_state=seed, **parameters).fit(train)
        row[f"{name}_seconds"] = time.perf_counter() - began
        row[f"{name}_epoch"] = model.best_epoch_
        if name == "vae":
            row["nats"] = model.score(test)
        else:
            row["error"] = np.square(test - model.reconstruct(test)).sum()
    return row


def describe(row):
    return (
        f"{row['table']:<15} {row['latents']:>2} latents, seed {row['seed']}, {row['variant']:<23}"
        f" error {row['error']:10.4g}, nats {row['nats']:9.3f}, "
        f"{row['autoencoder_seconds']:.1f} and {row['vae_seconds']:.1f} s"
    )


def print_summary(rows):
    def of(row):
        return row["table"], row["latents"], row["seed"]

    usual = {of(row): row for row in rows if row["variant"] == "default"}
    print("\nmedian (worst) over the defaults' in the same cell, and time")
    for variant in VARIANTS:
        pairs = [(row, usual[of(row)]) for row in rows if row["variant"] == variant]
        if not pairs:
            continue
        errors = np.array([a["error"] / b["error"] for a, b in pairs])
        nats = np.array([a["nats"] - b["nats"] for a, b in pairs])
        seconds = [
            np.median([a[f"{name}_seconds"] / b[f"{name}_seconds"] for a, b in pairs])
            for name in ("autoencoder", "vae")
        ]
        print(
            f"{variant:<23} error {np.median(errors):.3f} ({errors.max():6.3f}), mean log "
            f"{np.log(errors).mean():+.3f}; nats {np.median(nats):+.3f} ({nats.min():+8.3f}), mean "
            f"{np.clip(nats, -5, 5).mean():+.3f}; time {seconds[0]:.2f} and {seconds[1]:.2f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    _cells.add_arguments(parser, latents=(2, 8), seeds=(0, 1, 2))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    options = {}
    if arguments.tiny:
        arguments.tables, arguments.latents, arguments.seeds = ["iris"], [2], [0]
        arguments.variants, options = ["default", "batches half as large"], {"max_epochs": 3}
    cells = [
        _cells.Cell(
            {"table": name, "latents": k, "seed": seed, "variant": variant}, (X, options), X.size
        )
        for name, X, k, seed in grid(arguments)
        for variant in arguments.variants
    ]
    path = _cells.path_of(arguments, "defaults")
    print_summary(_cells.run(measure, cells, path, describe, arguments.jobs))


if __name__ == "__main__":
    main()
