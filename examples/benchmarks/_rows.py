"""Rows of a benchmark, kept as CSV: dicts, with None where there is nothing to say."""

import csv
import io
from contextlib import suppress


def read(path):
    """Rows of a CSV; a last line that was cut off is not one."""
    if not path.exists():
        return []
    written = path.read_text()
    lines = io.StringIO(written[: written.rfind("\n") + 1])
    return [{name: _value(field) for name, field in row.items()} for row in csv.DictReader(lines)]


def write(rows, path):
    """Rows that may lack some of the fields."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    names = dict.fromkeys(name for row in rows for name in row)
    for row in rows:
        append({name: row.get(name) for name in names}, path)


def save(rows, path):
    write(rows, path)
    print(f"written: {path}")


def append(row, path):
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({name: text(value) for name, value in row.items()})


def as_kept(row):
    """A row as it will be read again."""
    return {name: _value(text(value)) for name, value in row.items()}


def text(value):
    if value is None or value != value:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _value(field):
    for kind in (int, float):
        with suppress(ValueError):
            return kind(field)
    return field or None
