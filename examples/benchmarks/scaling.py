"""How the cost of a fit grows with rows, columns and the width of the network.

One quantity varies at a time; a fit is of five epochs, all its fixed costs included.
Sizes take turns, what is shown are medians, and a line of slope one for comparison.

    python scaling.py
"""

import argparse
from pathlib import Path

import _rows
import numpy as np
from _timing import alternate
from sklearn.decomposition import PCA
from speed import table

from skae import AutoencoderTransformer, VAETransformer

# For what varies: its sizes, and the shape and width of everything else.
SWEEPS = {
    "rows": [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000],
    "columns": [10, 30, 100, 300, 1_000, 3_000, 10_000],
    "width": [16, 32, 64, 128, 256, 512, 1_024],
}
TINY = {"rows": [500, 1_000], "columns": [10, 20], "width": [8, 16]}
SHAPES = {"rows": (None, 20, 128), "columns": (4_000, None, 128), "width": (4_000, 64, None)}


def sweep(what, sizes, repeats, rows):
    for size in sizes:
        n, d, width = (size if value is None else value for value in SHAPES[what])
        X = table(n, d)
        options = {"hidden_layer_sizes": (width, width // 2), "max_epochs": 5, "random_state": 0}
        options |= {"early_stopping": False, "device": "cpu"}
        models = [AutoencoderTransformer(4, **options), VAETransformer(4, **options), PCA(4)]
        contenders = {type(model).__name__: fitting(model, X) for model in models}
        seconds = alternate(contenders, repeats if n < 100_000 else 1)
        rows.append({"what": what, "size": size, **seconds})
        times = "  ".join(f"{name} {value:9.4f}" for name, value in seconds.items())
        print(f"{what:<8} {size:>9,}  {times}", flush=True)


def fitting(model, X):
    def fit():
        model.fit(X)

    return fit


def slopes(rows):
    """Growth of the time per growth of the size, between the last two sizes."""
    for what in dict.fromkeys(row["what"] for row in rows):
        last = [row for row in rows if row["what"] == what][-2:]
        for name in list(last[0])[2:]:
            grown = np.log(last[1][name] / last[0][name])
            slope = grown / np.log(last[1]["size"] / last[0]["size"])
            print(f"{what}: time of {name} grows as the size to the power of {slope:.2f}")


def plot(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(SWEEPS), figsize=(12, 4), sharey=True)
    for axis, what in zip(axes, SWEEPS, strict=True):
        here = [row for row in rows if row["what"] == what]
        sizes = np.array([row["size"] for row in here], dtype=float)
        for name in list(here[0])[2:]:
            axis.plot(sizes, [row[name] for row in here], "o-", ms=4, label=name)
        anchor = here[-1]["AutoencoderTransformer"]
        axis.plot(sizes, anchor * sizes / sizes[-1], ":", color="0.4", label="linear")
        axis.set(xscale="log", yscale="log", xlabel=what)
        axis.grid(color="0.9")
    axes[0].set_ylabel("seconds of a fit, 5 epochs")
    axes[2].legend(loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="two small sizes of each")
    arguments = parser.parse_args()
    rows = []
    for what, sizes in (TINY if arguments.tiny else SWEEPS).items():
        sweep(what, sizes, 1 if arguments.tiny else arguments.repeats, rows)
    slopes(rows)
    _rows.save(rows, arguments.out / "scaling.csv")
    plot(rows, arguments.out / "scaling.png")


if __name__ == "__main__":
    main()
