"""What columns hold, and in which precision: the same for tables of any size and kind."""

import datetime
import decimal

import dask.array
import h5py
import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch
import zarr
from _sizes import small_memory

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    ConditionalVAE,
    DenoisingAutoencoder,
    SuperResolutionAutoencoder,
    VAETransformer,
)

N = 60
NUMBERS = np.random.default_rng(0).standard_normal((N, 3))
DATES = pd.date_range("2020-01-01", periods=N)
PAIRS = N // 2


@pytest.fixture(params=["copied", "read by blocks"], autouse=True)
def size(request, monkeypatch):
    """Every test is of a small table, and of one that passes for large."""
    if request.param == "read by blocks":
        small_memory(monkeypatch, resident=10)
    return request.param


def frame(column):
    """Two columns of numbers and an odd one."""
    return pd.DataFrame({"a": NUMBERS[:, 0], "b": NUMBERS[:, 1], "odd": column})


def arrow(column):
    return pyarrow.table({"a": NUMBERS[:, 0], "b": NUMBERS[:, 1], "odd": column})


def of_arrow(values, dtype):
    return frame(pd.array(values, dtype=pd.ArrowDtype(dtype)))


class Polars:
    """As much of a data frame of polars as is needed to read it."""

    def __init__(self, columns, dtypes):
        self.values, self.dtypes = columns, dtypes
        self.columns = [f"x{number}" for number in range(len(columns))]
        self.shape = len(columns[0]), len(columns)

    def slice(self, offset, length):
        rows = slice(offset, offset + length)
        return Polars([column[rows] for column in self.values], self.dtypes)

    def get_columns(self):
        return [PolarsColumn(*column) for column in self.parts()]

    def parts(self):
        return zip(self.values, self.columns, self.dtypes, strict=True)

    def iter_columns(self):
        yield from self.get_columns()

    def __array__(self, dtype=None, copy=None):
        return np.column_stack([column.astype(float) for column in self.values]).astype(dtype)


class PolarsColumn:
    def __init__(self, values, name, dtype):
        self.values, self.name, self.dtype = values, name, dtype

    def slice(self, offset, length):
        return PolarsColumn(self.values[offset : offset + length], self.name, self.dtype)

    def __array__(self, dtype=None, copy=None):
        return self.values


DAYS = DATES.to_numpy().astype("M8[D]")
TIMES = np.array([datetime.time(1)] * N)
DATES_IN = r"X must hold real numbers; got dates in column 'odd'\. .*days"
REFUSED = {
    "dates": (frame(DATES), DATES_IN),
    "NaT": (frame([pd.NaT, *DATES[1:]]), DATES_IN),
    "zones": (frame(DATES.tz_localize("UTC")), DATES_IN),
    "times": (frame(DATES - DATES[0]), r"got durations in column 'odd'\. .*seconds"),
    "categories": (frame(pd.Categorical(DATES)), DATES_IN),
    "of arrow": (of_arrow(DATES, pyarrow.timestamp("ns")), DATES_IN),
    "complex": (
        frame(NUMBERS[:, 2] + 1j),
        r"got complex numbers in column 'odd'\. Complex data not supported",
    ),
    "arrow dates": (arrow(pyarrow.array(DATES)), DATES_IN),
    "arrow null": (arrow(pyarrow.array([None, *DATES[1:]])), DATES_IN),
    "arrow days": (arrow(pyarrow.array([datetime.date(2020, 1, 1)] * N)), DATES_IN),
    "arrow times": (arrow(pyarrow.array([datetime.timedelta(1)] * N)), "durations in column 'odd'"),
    "array": (np.column_stack([DAYS] * 3), r"X must hold real numbers; got dates\. "),
    "array of times": (np.column_stack([DAYS - DAYS[0]] * 3), r"got durations\. "),
    "array of complex": (NUMBERS + 1j, r"got complex numbers\. Complex data not supported"),
    "dask": (dask.array.from_array(np.column_stack([DAYS] * 3)), r"got dates\. "),
    "dask complex": (dask.array.from_array(NUMBERS + 1j), r"got complex numbers\. "),
    "zarr": (zarr.array(NUMBERS + 1j), r"got complex numbers\. "),
    "tensor": (torch.tensor(NUMBERS + 1j), r"got complex numbers\. "),
    "polars": (Polars([NUMBERS[:, 0], DAYS], ["Float64", "Date"]), "got dates in column 'x1'"),
    "polars times": (Polars([NUMBERS[:, 0], TIMES], ["Float64", "Time"]), "dates in column 'x1'"),
}
if hasattr(np.dtypes, "StringDType"):  # numpy 2
    REFUSED["text"] = NUMBERS.astype(str).astype(np.dtypes.StringDType()), "got strings"


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_number(kind):
    X, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(2, max_epochs=0).fit(X)


def test_an_array_with_fields():
    with pytest.raises(TypeError, match=r"plain array; got one with the fields \('f',\)"):
        AutoencoderTransformer(2).fit(np.zeros((N, 3), dtype=[("f", "f8")]))


def test_what_is_no_number_in_a_file(tmp_path):
    with h5py.File(tmp_path / "X.h5", "w") as file:
        X = file.create_dataset("X", data=NUMBERS + 1j)
        with pytest.raises(ValueError, match="Complex data not supported"):
            AutoencoderTransformer(2, max_epochs=0).fit(X)
    np.save(tmp_path / "X.npy", NUMBERS + 1j)
    with pytest.raises(ValueError, match="Complex data not supported"):
        AutoencoderTransformer(2, max_epochs=0).fit(np.load(tmp_path / "X.npy", mmap_mode="r"))


@pytest.mark.parametrize(
    "X",
    [
        frame([None, *range(1, N)]).astype({"odd": "Int64"}),
        frame([None, *NUMBERS[1:, 0]]).astype({"odd": "Float32"}),
        frame([None, *[True] * (N - 1)]).astype({"odd": "boolean"}),
        frame(np.array([None, *[1.0] * (N - 1)], dtype=object)),
        of_arrow([None, *range(1, N)], pyarrow.int64()),
        arrow(pyarrow.array([None, *range(1, N)])),
        arrow(pyarrow.array([None, *[True] * (N - 1)])),
        arrow(pyarrow.nulls(N)),
    ],
)
def test_what_is_missing(X):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        AdversarialAutoencoder(2, max_epochs=0).fit(X)
    rows = np.asarray(X, dtype=object)
    if pd.isna(rows[:, -1]).all():
        with pytest.raises(ValueError, match="must have a value; got none in column"):
            AutoencoderTransformer(2, max_epochs=0).fit(X)
        return
    rows = np.where(pd.isna(rows), np.nan, rows).astype(float)
    expected = AutoencoderTransformer(2, max_epochs=0).fit_transform(rows)
    codes = AutoencoderTransformer(2, max_epochs=0).fit_transform(X)
    np.testing.assert_allclose(codes, expected, atol=1e-6)


def test_a_column_of_nothing():
    with pytest.raises(ValueError, match=r"got missing values in column 'odd'\. .*SimpleImputer"):
        AutoencoderTransformer(2).fit(of_arrow([None] * N, pyarrow.null()))


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (frame([True, False] * PAIRS), [1, 0] * PAIRS),
        (frame(pd.array([1, 2] * PAIRS, dtype="Int8")), [1, 2] * PAIRS),
        (frame(pd.Categorical([1, 2] * PAIRS)), [1, 2] * PAIRS),
        (frame(np.arange(N).astype(object)), np.arange(N)),
        (of_arrow([decimal.Decimal("1.5"), 0] * PAIRS, pyarrow.decimal128(5, 2)), [1.5, 0] * PAIRS),
        (arrow(pyarrow.array([1, 2] * PAIRS).dictionary_encode()), [1, 2] * PAIRS),
        (arrow(pyarrow.array([decimal.Decimal("1.5"), 0] * PAIRS)), [1.5, 0] * PAIRS),
        (arrow(pyarrow.array([True, False] * PAIRS)), [1, 0] * PAIRS),
        (Polars([*NUMBERS.T[:2], np.arange(N)], 3 * ["Float64"]), np.arange(N)),
    ],
)
def test_what_is_a_number(X, expected):
    codes = AutoencoderTransformer(2, max_epochs=0).fit_transform(X)
    as_array = np.column_stack([NUMBERS[:, :2], np.array(expected, dtype=float)])
    reference = AutoencoderTransformer(2, max_epochs=0).fit_transform(as_array)
    np.testing.assert_allclose(codes, reference, atol=1e-12)
    assert codes.dtype == np.float64


def columns(**dtypes):
    return pd.DataFrame(np.round(NUMBERS * 4), columns=list("abc")).astype(dtypes)


ALL = dict.fromkeys("abc", "float32")
SINGLE = NUMBERS.astype(np.float32)
PRECISIONS = [
    (SINGLE, np.float32),
    (SINGLE.astype(">f4"), np.float32),
    (NUMBERS.astype(np.float16), np.float64),
    (columns(**ALL), np.float32),
    (columns(**dict.fromkeys("abc", "Float32")), np.float32),
    (columns(**{**ALL, "b": "Float32"}), np.float32),
    (columns(**dict.fromkeys("abc", "float[pyarrow]")), np.float32),
    (columns(**{**ALL, "b": "float64"}), np.float64),
    (columns(**{**ALL, "b": "Float64"}), np.float64),
    (columns(**{**ALL, "b": "int64"}), np.float64),
    (columns(**{**ALL, "b": "int8"}), np.float32),  # as numpy has it
    (columns(**{**ALL, "b": "Int8"}), np.float32),
    (columns(a="Int8", b="Int8", c="Int8"), np.float64),
    (pyarrow.table({name: SINGLE[:, i] for i, name in enumerate("abc")}), np.float32),
    (pyarrow.table({"a": SINGLE[:, 0], "b": NUMBERS[:, 1], "c": SINGLE[:, 2]}), np.float64),
    (pyarrow.record_batch({name: SINGLE[:, i] for i, name in enumerate("abc")}), np.float32),
    (dask.array.from_array(SINGLE), np.float32),
    (zarr.array(SINGLE), np.float32),
    (torch.tensor(SINGLE), np.float32),
    (torch.tensor(NUMBERS), np.float64),
    (torch.tensor(NUMBERS).half(), np.float64),
    (Polars(list(SINGLE.T), 3 * ["Float32"]), np.float32),
    (Polars([*SINGLE.T[:2], NUMBERS[:, 2]], ["Float32", "Float32", "Float64"]), np.float64),
]


@pytest.mark.parametrize(("X", "expected"), PRECISIONS)
def test_the_dtype_of_what_comes_out(X, expected):
    model = AutoencoderTransformer(2, max_epochs=0).fit(X)
    results = (model.transform(X), model.reconstruct(X), model.score_samples(X), model.sample(2))
    assert {result.dtype for result in results} == {np.dtype(expected)}
    assert all(result.dtype.isnative for result in results)


@pytest.mark.parametrize(("Z", "expected"), PRECISIONS)
def test_the_dtype_of_codes(Z, expected):
    model = AutoencoderTransformer(3, max_epochs=0).fit(NUMBERS)
    if isinstance(Z, pyarrow.RecordBatch):
        Z = pyarrow.table(Z)
    decoded = model.inverse_transform(Z)
    assert decoded.dtype == expected
    np.testing.assert_allclose(decoded, model.inverse_transform(np.asarray(Z, float)), atol=1e-4)


def test_the_dtype_of_clean_rows_and_of_small_images():
    clean = columns(**dict.fromkeys("abc", "Float32"))
    model = DenoisingAutoencoder(2, max_epochs=0).fit(clean, X_clean=clean)
    assert model.denoise(clean).dtype == np.float32
    for dates in (frame(DATES), arrow(pyarrow.array(DATES))):
        with pytest.raises(
            ValueError, match="X_clean must hold real numbers; got dates in column 'odd'"
        ):
            DenoisingAutoencoder(2).fit(frame(NUMBERS[:, 2]), X_clean=dates)
    model = SuperResolutionAutoencoder(2, max_epochs=0).fit(np.column_stack([NUMBERS, NUMBERS]))
    assert model.upscale(clean).dtype == np.float32
    assert model.upscale(torch.tensor(SINGLE)).dtype == np.float32
    with pytest.raises(ValueError, match="X_low must hold real numbers; got dates in column 'odd'"):
        model.upscale(frame(DATES))


def test_codes_that_are_no_numbers():
    model = AutoencoderTransformer(3, max_epochs=0).fit(NUMBERS)
    with pytest.raises(ValueError, match="X must hold real numbers; got dates in column 'odd'"):
        model.inverse_transform(frame(DATES))
    with pytest.raises(ValueError, match="X must hold real numbers; got complex numbers"):
        model.inverse_transform(NUMBERS + 1j)


@pytest.mark.parametrize("cls", [VAETransformer, ConditionalVAE])
def test_messages_name_the_dtype_that_was_given(cls, bent):
    given = (np.arange(len(bent)) % 2,) if cls is ConditionalVAE else ()
    model = cls(2, max_epochs=0).fit(bent, *given)
    X = bent.astype(np.float32)
    X[3, 1] = np.inf
    with pytest.raises(ValueError, match=r"too large for dtype\('float32'\)"):
        model.score_samples(X)
