"""Peak memory of a fit: tables on disk larger than memory, and arrays in memory.

Every case runs in a process of its own, whose peak resident memory is compared with what
it was after the imports. A streamed fit is also compared with one in memory: the same
closed form, the same held-out error after as many passes.

    python memory.py --scratch FOLDER

takes 12 GB of disk for a while, and memory for one table of 2 GB.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _rows
import numpy as np

MB = 2**20
LATENTS = 16


def rows_of(seed, n_rows, n_features):
    """Rows on a bent surface of ten dimensions, with noise, in float32."""
    bend = np.random.default_rng(0)
    inner = bend.standard_normal((10, 40), dtype=np.float32)
    outer = bend.standard_normal((40, n_features), dtype=np.float32)
    rng = np.random.default_rng([1, seed])
    flat = rng.standard_normal((n_rows, 10), dtype=np.float32)
    noise = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    return np.tanh(flat @ inner) @ outer + noise


def write(array, n_rows, n_features, step=10_000):
    for low in range(0, n_rows, step):
        high = min(low + step, n_rows)
        array[low:high] = rows_of(low, high - low, n_features)


def peak():
    """Peak resident memory of this process, in bytes.

    Linux hands a parent's ru_maxrss on to its children, so there it comes from /proc.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_case(case, path, n_rows, n_features, epochs):
    """What a subprocess does: fit one kind of table and say what that took."""
    import skorch  # noqa: F401
    import torch  # noqa: F401
    import zarr
    from sklearn.decomposition import PCA

    from skae import AutoencoderTransformer

    if case == "memmap":
        X = np.load(path, mmap_mode="r")
    elif case == "zarr":
        X = zarr.open_array(path, mode="r")
    else:
        X = np.empty((n_rows, n_features))
        write(X, n_rows, n_features)
    model = AutoencoderTransformer(LATENTS, max_epochs=epochs, random_state=0)
    if case == "array, PCA":
        model = PCA(LATENTS)
    before, began = peak(), time.perf_counter()
    model.fit(X)
    after, seconds = peak(), time.perf_counter() - began
    test = rows_of(10**9, 5_000, n_features)
    error = float(np.square(test - model.inverse_transform(model.transform(test))).mean())
    row = {"case": case, "n_rows": n_rows, "n_features": n_features, "error": error}
    row |= {"table_mb": X.size * X.dtype.itemsize / MB, "above_mb": (after - before) / MB}
    row["seconds"] = seconds
    print(json.dumps(row))


def in_a_process(case, path, n_rows, n_features, epochs):
    command = [sys.executable, __file__, "--case", case, "--scratch", str(path)]
    command += ["--shape", str(n_rows), str(n_features), "--epochs", str(epochs)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    row = json.loads(out.splitlines()[-1])
    row["times_the_table"] = row["above_mb"] / row["table_mb"]
    print(
        f"{case:<12} {n_rows:,} x {n_features:,}, {row['table_mb']:,.0f} MB: "
        f"peak {row['above_mb']:,.0f} MB above the imports and the table itself in memory, "
        f"{row['seconds']:.0f} s",
        flush=True,
    )
    return row


def agreement(path, n_rows, n_features, epochs):
    """How far a streamed fit is from one in memory on the same table."""
    from skae import AutoencoderTransformer
    from skae.data import sources

    np.save(path, rows_of(1, n_rows, n_features))
    test = rows_of(2, 5_000, n_features)
    usual, starts, errors = sources.RESIDENT, [], []
    for limit in (n_rows * n_features, 0):
        sources.RESIDENT = limit
        X = np.load(path, mmap_mode="r")
        starts.append(AutoencoderTransformer(LATENTS, max_epochs=0).fit(X).transform(test))
        model = AutoencoderTransformer(LATENTS, max_epochs=epochs, random_state=0).fit(X)
        errors.append(float(np.square(test - model.reconstruct(test)).mean()))
    sources.RESIDENT = usual
    difference = float(np.abs(starts[1] - starts[0]).max() / np.abs(starts[0]).max())
    print(f"streamed and in memory, {n_rows:,} x {n_features:,}, {epochs} epochs:")
    print(f"    closed form differs by {difference:.1e} of the largest code")
    print(f"    held-out error streamed over in memory: {errors[1] / errors[0]:.5f}")
    return {"case": "agreement", "n_rows": n_rows, "n_features": n_features} | {
        "closed_form_differs": difference,
        "error_ratio": errors[1] / errors[0],
    }


def plot(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in rows if "above_mb" in row]
    names = [f"{row['case']}\n{row['n_rows']:,} x {row['n_features']:,}" for row in rows]
    figure, axis = plt.subplots(figsize=(8, 0.7 * len(rows) + 1))
    places = np.arange(len(rows))
    axis.barh(places - 0.2, [row["table_mb"] for row in rows], 0.4, color="0.8", label="the table")
    axis.barh(places + 0.2, [row["above_mb"] for row in rows], 0.4, label="what the fit adds")
    axis.set(yticks=places, yticklabels=names, xlabel="MB")
    axis.invert_yaxis()
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, help="a folder with 12 GB (default: temporary)")
    parser.add_argument("--shape", nargs=2, type=int, help="rows and columns of the table on disk")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tiny", action="store_true", help="tables just large enough to stream")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        run_case(arguments.case, arguments.scratch, *arguments.shape, arguments.epochs)
        return
    n_rows, n_features = arguments.shape or ((40_000 if arguments.tiny else 1_500_000), 1_000)
    in_memory = (40_000 if arguments.tiny else 262_144), 1_000
    rows, epochs = [], arguments.epochs
    scratch = Path(tempfile.mkdtemp(dir=arguments.scratch))
    try:
        path = scratch / "table.npy"
        shape = {"shape": (n_rows, n_features), "dtype": np.float32}
        write(np.lib.format.open_memmap(path, "w+", **shape), n_rows, n_features)
        rows.append(in_a_process("memmap", path, n_rows, n_features, epochs))
        path.unlink()
        import zarr

        path = scratch / "table.zarr"
        write(zarr.create_array(path, chunks=(1_000, n_features), **shape), n_rows, n_features)
        rows.append(in_a_process("zarr", path, n_rows, n_features, epochs))
        shutil.rmtree(path)
        rows.append(in_a_process("array", "-", *in_memory, epochs))
        rows.append(in_a_process("array, PCA", "-", *in_memory, epochs))
        small = 5_000 if arguments.tiny else 50_000
        rows.append(agreement(scratch / "small.npy", small, 200, 10))
    finally:
        shutil.rmtree(scratch)
    _rows.save(rows, arguments.out / "memory.csv")
    plot(rows, arguments.out / "memory.png")


if __name__ == "__main__":
    main()
