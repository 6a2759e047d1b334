"""What is no table of numbers: which column or row it is, and what to do."""

import datetime
import pathlib
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pyarrow
import pytest
from _estimators import ESTIMATORS, TAKE_GAPS, TAKE_SPARSE
from _sizes import small_memory
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from skae import AdversarialAutoencoder, AutoencoderTransformer, VAETransformer
from skae.displays import LatentSpaceDisplay, LatentTraversalDisplay, ReconstructionDisplay

matplotlib.use("Agg")
every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
X = np.random.default_rng(0).standard_normal((20, 4))
FRAME = pd.DataFrame(X, columns=list("abcd"))
DAYS = pd.date_range("2024-01-01", periods=20)


def fit(rows, cls=AutoencoderTransformer, **parameters):
    return cls(2, max_epochs=0, **parameters).fit(rows)


# Columns that are not numbers

ONE_HOT = r"make_column_transformer\(\(OneHotEncoder\(sparse_output=False\), \['b'\]\), remaind"
COLUMNS = {
    "str": (["x", "y"] * 10, rf"text in column 'b' \(such as 'x'\)\. .*{ONE_HOT}.*OrdinalEncoder"),
    "category": (pd.Categorical(["x", "y"] * 10), r"text in column 'b' \(such as 'x'\)"),
    "string": (pd.array(["x", None] * 10, dtype="string"), r"text in column 'b' \(such as 'x'\)"),
    "Arrow text": (pd.array(["x"] * 20, dtype="string[pyarrow]"), "text in column 'b'"),
    "bytes": ([b"x", b"y"] * 10, r"text in column 'b' \(such as b'x'\)"),
    "question mark": (
        [1.5] * 19 + ["?"],
        r"text among numbers in column 'b' \(such as '\?'\)\. .*NaN",
    ),
    "date": (DAYS, "dates in column 'b'. Turn dates into numbers, such as the days since"),
    "time zone": (DAYS.tz_localize("UTC"), "dates in column 'b'"),
    "date of Python": ([day.date() for day in DAYS], "dates in column 'b'"),
    "period": (DAYS.to_period("D"), "dates in column 'b'"),
    "duration": (DAYS - DAYS[0], "durations in column 'b'. Turn durations into numbers"),
    "duration of Python": ([datetime.timedelta(1)] * 20, "durations in column 'b'"),
    "interval": (pd.cut(FRAME.a, 3), r"intervals in column 'b'. .*labels=False"),
    "sequence": ([[1, 2, 3]] * 20, "sequences in column 'b'. .*network='recurrent'"),
    "complex": (X[:, 0] * 1j, "complex numbers in column 'b'. Complex data not supported"),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_that_hold_no_numbers(kind, monkeypatch):
    values, message = COLUMNS[kind]
    frame = FRAME.assign(b=pd.Series(values, dtype=object if isinstance(values, list) else None))
    message = "X must hold real numbers; got " + message
    with pytest.raises(ValueError, match=message):
        fit(frame)
    model = fit(FRAME)
    for method in (model.transform, model.score, model.partial_fit):
        with pytest.raises(ValueError, match=message):
            method(frame)
    small_memory(monkeypatch, resident=10)  # tables that are read by blocks
    with pytest.raises(ValueError, match=message):
        fit(frame)


@every_estimator
def test_all_such_columns_are_named(cls):
    frame = FRAME.assign(b=list("xy") * 10, d=list("uv") * 10, e=DAYS)
    with pytest.raises(ValueError, match=r"text in columns 'b', 'd' .*, \['b', 'd'\]\), remainder"):
        fit(frame, cls)
    wide = pd.DataFrame({f"c{number}": list("xy") * 10 for number in range(8)})
    with pytest.raises(ValueError, match=r"columns 'c0', 'c1', 'c2', 'c3', 'c4' and 3 more"):
        fit(wide, cls)


def test_the_remedy_for_text_works():
    frame = FRAME.assign(b=list("xy") * 10)
    encoder = OneHotEncoder(sparse_output=False)
    encode = make_column_transformer((encoder, ["b"]), remainder="passthrough")
    assert make_pipeline(encode, AutoencoderTransformer(2, max_epochs=0)).fit(frame)


@pytest.mark.parametrize("dates", [DAYS, DAYS - DAYS[0]])
def test_dates_alone_are_not_read_as_integers(dates):
    """Which numpy and scikit-learn do without a word where there is nothing else."""
    kind = "dates" if dates is DAYS else "durations"
    for rows in (
        np.array([dates, dates]).T,
        pd.DataFrame({"a": dates, "b": dates}),
        pyarrow.table({"a": pyarrow.array(dates), "b": X[:, 0]}),
    ):
        with pytest.raises(ValueError, match=f"X must hold real numbers; got {kind}"):
            fit(rows)


def test_columns_of_arrow_tables():
    text = pyarrow.array(list("xy") * 10)
    for column in (text, text.dictionary_encode()):
        with pytest.raises(ValueError, match=r"got text in column 'b' \(such as 'x'\)"):
            fit(pyarrow.table({"a": X[:, 0], "b": column}))
    table = pyarrow.table({"a": X[:, 0], "b": X[:, 1]})
    assert fit(table).transform(table).shape == (20, 2)


def test_numbers_of_any_kind_go_on():
    for values in (
        pd.Categorical([1, 2] * 10),
        pd.array([1, 2] * 10, dtype="Int64"),
        pd.array([True, False] * 10, dtype="boolean"),
        pd.array([1.5, 2.5] * 10, dtype="Float32"),
        pd.array([1, 2] * 10, dtype="int64[pyarrow]"),
        np.array([1, 2.5] * 10, dtype=object),
        np.array(["1", "2.5"] * 10, dtype=object),  # as PCA has it
    ):
        frame = FRAME.assign(b=values)
        expected = FRAME.assign(b=frame.b.astype(float))
        np.testing.assert_allclose(fit(frame).transform(frame), fit(expected).transform(expected))


def test_text_in_arrays():
    mixed = X.astype(object)
    mixed[:, 2] = "x"
    with pytest.raises(ValueError, match=r"text in column 2 \(such as 'x'\)\. .*, \[2\]\), "):
        fit(mixed)
    with pytest.raises(ValueError, match=r"text in column 1 \(such as 'x'\)"):
        fit([["1", "x"], ["2", "y"]])
    with pytest.raises(ValueError, match=r"got strings \(dtype <U\d+\)\. Use X\.astype\(float\)"):
        fit(X.astype(str))
    images = X.reshape(20, 2, 2).astype(object)
    images[3, 0, 0] = "x"
    with pytest.raises(ValueError, match=r"text among numbers \(such as 'x'\)"):
        fit(images, network="conv")
    fields = np.array([(1.0, 2.0)] * 9, dtype=[("a", float), ("b", float)])
    with pytest.raises(TypeError, match=r"fields \('a', 'b'\)\. Use numpy.*structured_to_unstr"):
        fit(fields)
    with pytest.raises(ValueError, match="X must hold real numbers; got text in column 1"):
        fit(X).inverse_transform([[1, "x"]])


def test_columns_that_should_not_be_there_come_first():
    """A text column that fit has not seen is not one to encode."""
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- label"):
        fit(FRAME).transform(FRAME.assign(label="x"))


# Missing values


@every_estimator
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_columns_with_values_that_are_not_finite(cls, dtype):
    frame = FRAME.astype(dtype)
    message = r"NaN in columns 'a', 'c', first in row 0\. .*SimpleImputer"
    if cls in TAKE_GAPS:
        message = r"Every column of X must have a value; got none in columns 'a', 'c'\. Leave"
    with pytest.raises(ValueError, match=message):
        fit(frame.assign(a=np.nan, c=np.nan), cls)
    message = rf"X contains infinity or a value too large for dtype\('{np.dtype(dtype)}'\) in colu"
    with pytest.raises(ValueError, match=message + "mn 'c'"):
        fit(frame.assign(c=dtype(np.inf)), cls)
    if cls in TAKE_GAPS:
        return
    rows = frame.to_numpy(copy=True)
    rows[3, 1] = np.nan
    model = fit(rows[4:], cls)
    for method in (model.fit, model.partial_fit, model.transform, model.score):
        with pytest.raises(ValueError, match=r"X contains NaN in column 1, first in row \d+\."):
            method(rows)
    named = fit(frame, cls)
    with pytest.raises(ValueError, match="X contains NaN in column 'b'"):
        named.transform(frame.assign(b=dtype(np.nan)))


def test_missing_values_among_objects():
    frame = FRAME.assign(b=pd.Series([pd.NA, 1.0] * 10, dtype=object))
    message = r"missing values in column 'b'. .*astype\('Float64'\)"
    with pytest.raises(ValueError, match=message):
        fit(frame, AdversarialAutoencoder)
    expected = fit(FRAME.assign(b=[np.nan, 1.0] * 10)).transform(FRAME)
    np.testing.assert_array_equal(fit(frame).transform(FRAME), expected)


def test_missing_values_of_a_table_read_by_blocks(monkeypatch):
    small_memory(monkeypatch, resident=10)
    frame = FRAME.astype({"a": np.float32})
    with pytest.raises(ValueError, match=r"Input X contains NaN in column 'c', first in row \d+\."):
        fit(frame.assign(c=np.nan), AdversarialAutoencoder)


# What is no table


@pytest.mark.parametrize("cls", [cls for cls in ESTIMATORS if cls not in TAKE_SPARSE])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array])
def test_sparse_matrices(cls, container):
    message = rf"sparse {container.__name__} of shape \(20, 4\)\. Use X\.toarray\(\), or OneHotEnc"
    with pytest.raises(TypeError, match=message + r"oder\(sparse_output=False\)"):
        fit(container(X), cls)


def test_sparse_data_frames():
    frame = pd.get_dummies(pd.Series(["x", "y"] * 10), sparse=True)
    with pytest.raises(TypeError, match=r"sparse DataFrame .*X\.sparse\.to_dense\(\)"):
        fit(frame, AdversarialAutoencoder)
    assert fit(frame.sparse.to_dense(), AdversarialAutoencoder)


def test_files(tmp_path):
    path = tmp_path / "file.csv"
    FRAME.to_csv(path)
    for name in ("file.csv", pathlib.Path("file.csv")):
        with pytest.raises(TypeError, match=r"got the path 'file.csv'\. Read it .*pandas.read_csv"):
            fit(name)
    for mode in ("r", "rb"):
        with path.open(mode) as file, pytest.raises(TypeError, match="got an open file"):
            fit(file)
    model = fit(X)
    for method in (model.transform, model.partial_fit, model.score):
        with pytest.raises(TypeError, match="the path"):
            method(str(path))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"a": [1, 2], "b": [3, 4]},
            r"got a dict with the keys 'a', 'b'\. .*pandas\.Data",
        ),
        (load_iris(), "got a Bunch with the keys 'data', 'target'"),
        ((row for row in X), r"got a generator\. .*np\.stack\(list\(X\)\)"),
    ],
)
def test_what_holds_an_array(rows, message):
    with pytest.raises(TypeError, match=f"X must be an array of rows; {message}"):
        fit(rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 2, 3], [4, 5, 6], [7, 8]], r"row 2 has shape \(2,\) and row 0 shape \(3,\)"),
        ([np.ones((5, 2)), np.ones((7, 2))], r"row 1 has shape \(7, 2\) and row 0 shape \(5, 2\)"),
        ([np.ones((5, 2)), np.ones((5, 3))], r"row 1 has shape \(5, 3\) and row 0 shape \(5, 2\)"),
        ([[[1, 2], [3]], [[1, 2], [3]]], "row 0 has parts of different lengths"),
        (np.array([np.ones(3), np.ones(4)], dtype=object), r"row 1 has shape \(4,\) and row 0"),
        (pd.Series([[1, 2], [3]]), r"row 1 has shape \(1,\) and row 0 shape \(2,\)"),
    ],
)
@pytest.mark.parametrize("network", ["mlp", "recurrent"])
def test_sequences_of_different_lengths(rows, message, network):
    with pytest.raises(ValueError, match=f"one shape; .*{message}.*Pad sequences to one length"):
        fit(rows, network=network)


def test_an_array_of_arrays():
    with pytest.raises(ValueError, match=r"got 20 arrays of shape \(4,\) .*Use np\.stack\(X\)"):
        fit(pd.Series(list(X)))


def test_one_row():
    with pytest.raises(ValueError, match=r"Expected 2D array, got 1D array"):
        fit(X).transform(X[0])


# One-hot encoded columns


def one_hot(*sizes):
    rng = np.random.default_rng(0)
    return np.hstack([np.eye(size)[rng.integers(size, size=30)] for size in sizes])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_several_one_hot_columns(cls, dtype):
    message = "the 7 values of a step must sum to 1; got a step whose sum is 2. X seems to hold 2 "
    message += "one-hot encoded columns. Columns with different numbers .* use 'bernoulli'"
    with pytest.raises(ValueError, match=message):
        fit(one_hot(3, 4).astype(dtype), cls, likelihood="categorical")
    fit(one_hot(3, 4).astype(dtype), cls, likelihood="bernoulli")
    message = (
        r"to hold 3 one-hot encoded columns. If they have 2 categories each, give input_shape="
    )
    rows = one_hot(2, 2, 2).astype(dtype)
    with pytest.raises(ValueError, match=message + r"\(3, 2\)"):
        fit(rows, cls, likelihood="categorical")
    fit(rows, cls, likelihood="categorical", input_shape=(3, 2))
    with pytest.raises(ValueError, match=r"sum is 0\.5\. One-hot encode X"):
        fit(one_hot(4) / 2, cls, likelihood="categorical")


# Displays


def test_a_pipeline_that_cannot_decode():
    pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(), AutoencoderTransformer(2))
    pipeline.set_params(autoencodertransformer__max_epochs=0)
    search = GridSearchCV(pipeline, {"autoencodertransformer__latent_dim": [1, 2]}, cv=2)
    message = "step 'polynomialfeatures' of the Pipeline, a PolynomialFeatures, has none. Show pip"
    for model in (pipeline.fit(X), search.fit(X)):
        for display in (ReconstructionDisplay, LatentTraversalDisplay):
            with pytest.raises(AttributeError, match=message):
                display.from_estimator(model, X)
    assert LatentSpaceDisplay.from_estimator(pipeline, X).codes.shape == (20, 2)
    shown = ReconstructionDisplay.from_estimator(pipeline[-1], pipeline[:-1].transform(X))
    assert shown.X.shape == (8, 15)
    with pytest.raises(AttributeError, match="PolynomialFeatures has none"):
        ReconstructionDisplay.from_estimator(PolynomialFeatures().fit(X), X)


# Warnings


def line_of(function, *arguments):
    """The file that a function warns of, which has to be one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        function(*arguments)
    ours = [one for one in caught if issubclass(one.category, ConvergenceWarning)]
    assert len(ours) == 1
    return pathlib.Path(ours[0].filename)


def test_warnings_are_of_the_line_that_called():
    noise = np.random.default_rng(0).standard_normal((60, 3))
    collapsing = VAETransformer(3, beta=100.0, max_epochs=2, init="random", random_state=0)
    diverging = AutoencoderTransformer(2, lr=1e6, optimizer="sgd", random_state=0)
    here = pathlib.Path(__file__)
    for model in (collapsing, diverging):
        assert line_of(model.fit, noise) == here
        assert line_of(model.fit_transform, noise) == here
        assert line_of(make_pipeline(StandardScaler(), model).fit, noise) == here
        assert line_of(make_pipeline(StandardScaler(), model).fit_transform, noise) == here
    assert line_of(collapsing.partial_fit, noise) == here
    search = GridSearchCV(collapsing, {"latent_dim": [3]}, cv=[(np.arange(60), np.arange(9))])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        search.fit(noise)
    assert {pathlib.Path(one.filename) for one in caught} == {here}
