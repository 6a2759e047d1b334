"""Cells of a benchmark: measured side by side, each a row that is kept at once.

A run that was stopped goes on where it stopped: cells whose rows the CSV has already are
not measured again. To measure them again, as after a change of the library, remove the
file or give another folder with ``--out``.
"""

import time
import warnings
from pathlib import Path
from typing import NamedTuple

import _rows
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning


class Cell(NamedTuple):
    """What is to be measured.

    Parameters
    ----------
    key : dict
        What the row is of: a table, a number of latents, a seed.
    inputs : tuple
        What measuring it needs beyond that; not written.
    cost : float
        How long it takes, in any unit, for the estimate of the time that is left.
    """

    key: dict
    inputs: tuple = ()
    cost: float = 1.0


def add_arguments(parser, latents=None, seeds=(0, 1, 2, 3, 4), jobs=2):
    if latents is not None:
        parser.add_argument("--latents", nargs="+", type=int, default=list(latents))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(seeds))
    parser.add_argument("--jobs", type=int, default=jobs, help="cells measured at a time")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")


def path_of(arguments, name):
    """The CSV of a benchmark; tiny results are never taken for those of a whole run."""
    return arguments.out / (f"{name}_tiny.csv" if arguments.tiny else f"{name}.csv")


def run(measure, cells, path, describe, jobs=1):
    """Rows of all cells, in their order.

    ``measure(*cell.inputs, **cell.key)`` answers a dict of what it measured, the same
    fields in every cell, None where there is nothing to say; ``describe(row)`` is what is
    printed of it.
    """
    kept = _rows.read(path)
    names = list(cells[0].key)
    if kept and not set(names) <= set(kept[0]):
        raise SystemExit(f"{path} is of another benchmark: remove it, or give another --out")
    rows = {_key(row, names): row for row in kept}
    cells = {_key(cell.key, names): cell for cell in cells}
    left = [cell for key, cell in cells.items() if key not in rows]
    if len(left) < len(cells):
        print(f"{len(cells) - len(left)} of {len(cells)} cells are in {path} already", flush=True)
    _rows.write(kept, path)  # without a line that was cut off
    for row in _measured(measure, left, describe, jobs):
        if rows and list(row) != list(next(iter(rows.values()))):
            raise SystemExit(f"{path} has other columns: remove it, or give another --out")
        _rows.append(row, path)
        rows[_key(row, names)] = row
    asked = [rows[key] for key in cells]
    _rows.save(asked + [row for key, row in rows.items() if key not in cells], path)
    return asked


def _measured(measure, cells, describe, jobs):
    """Rows as they are done, each with a line that says how far it is."""

    def task(cell):
        with warnings.catch_warnings():
            # A method that has not converged is measured as it stands.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return cell, measure(*cell.inputs, **cell.key)

    whole, done, began = sum(cell.cost for cell in cells), 0.0, time.perf_counter()
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    for number, (cell, values) in enumerate(parallel(delayed(task)(cell) for cell in cells), 1):
        row = _rows.as_kept({**cell.key, **values})
        done += cell.cost
        left = (time.perf_counter() - began) * (whole - done) / done
        print(f"[{number}/{len(cells)}, {_clock(left)} left] {describe(row)}", flush=True)
        yield row


def _clock(seconds):
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min" if minutes else "seconds"


def _key(row, names):
    return tuple(_rows.text(row[name]) for name in names)


def report(aims):
    """Print what was aimed at, and whether it was reached: pairs of a sentence and a bool."""
    print()
    for sentence, reached in aims:
        print(f"{'reached ' if reached else 'MISSED  '}  {sentence}")
