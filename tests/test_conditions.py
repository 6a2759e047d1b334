"""Labels and numbers that ConditionalVAE is given: what is missing, and what looks like numbers."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from _estimators import never_trained
from sklearn.datasets import load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import ConditionalVAE

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["a", "b", "c"])[Y]


def at_5_and_9(values, missing):
    values = list(values)
    values[5] = values[9] = missing
    return values


MISSING = [
    at_5_and_9(NAMES, np.nan),
    at_5_and_9(NAMES, None),
    at_5_and_9(NAMES, pd.NA),
    at_5_and_9(Y.tolist(), None),
    at_5_and_9(Y.tolist(), np.nan),
    at_5_and_9([bool(label) for label in Y > 0], None),
    np.array(at_5_and_9(NAMES, np.nan), dtype=object),
    np.array(at_5_and_9(Y, Decimal("nan")), dtype=object),
    np.array(at_5_and_9(Y, np.nan)),
    np.array(at_5_and_9(X[:, 0], np.nan)),  # numbers
    np.array(at_5_and_9(Y.astype("M8[D]"), np.datetime64("NaT"))),
    np.ma.array(Y, mask=np.isin(np.arange(150), [5, 9])),
    pd.Series(at_5_and_9(NAMES, np.nan), dtype=object),
    pd.Series(at_5_and_9(NAMES, None), dtype="string"),
    pd.Series(at_5_and_9(NAMES, None), dtype="str"),
    pd.Series(at_5_and_9(NAMES, None), dtype="category"),
    pd.Series(at_5_and_9(Y, None), dtype="category"),
    pd.Series(at_5_and_9(Y, None), dtype="Int64"),
    pd.Series(at_5_and_9(Y > 0, None), dtype="boolean"),
    pd.Categorical(at_5_and_9(NAMES, None)),
    pd.DataFrame({"y": at_5_and_9(NAMES, None)}),
    pd.DataFrame({"a": X[:, 0], "b": at_5_and_9(X[:, 1], np.nan)}),  # numbers
    pa.array(at_5_and_9(NAMES.tolist(), None)),
]
MESSAGE = (
    r"y must have no missing values \(NaN, None, NA or NaT\); got 2, the first in row 5\. Drop"
)


@pytest.mark.parametrize("y", MISSING)
def test_missing_labels(y):
    model = never_trained(ConditionalVAE)
    for verb in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=MESSAGE):
            verb(X, y)


def test_missing_labels_after_fit():
    model = ConditionalVAE(1, max_epochs=1, random_state=0).fit(X, NAMES)
    before = model.score_samples(X)
    for y in (MISSING[0], MISSING[1], MISSING[13], MISSING[15]):
        for verb in (model.transform, model.score_samples, model.score, model.posterior):
            with pytest.raises(ValueError, match=MESSAGE):
                verb(X, y)
        for verb in (model.reconstruct, model.partial_fit, model.fit):
            with pytest.raises(ValueError, match=MESSAGE):
                verb(X, y)
        with pytest.raises(ValueError, match=MESSAGE):
            model.sample(150, y=y)
        with pytest.raises(ValueError, match=MESSAGE):
            model.inverse_transform(np.zeros((150, 1)), y)
    for one in (np.nan, pd.NA, np.array(None)):
        with pytest.raises(
            ValueError, match=r"y must have no missing .* got 1, the first in row 0"
        ):
            model.transform(X, one)
    with pytest.raises(ValueError, match=r"classes must have no missing .* got 1, .* in row 1"):
        ConditionalVAE().partial_fit(X, NAMES, classes=["a", None, "b", "c"])
    np.testing.assert_array_equal(model.score_samples(X), before)
    numbers = ConditionalVAE(1, max_epochs=0).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=MESSAGE):
        numbers.transform(X, at_5_and_9(X[:, 0], np.nan))


@pytest.mark.parametrize(
    "y",
    [
        NAMES.tolist(),
        NAMES.astype(object),
        pd.Series(NAMES, dtype="string"),
        pd.Series(NAMES, dtype="category"),
        pa.array(NAMES.tolist()),
        np.ma.array(NAMES, mask=False),
    ],
)
def test_labels_of_any_kind_are_the_same_classes(y):
    model = ConditionalVAE(1, max_epochs=0).fit(X, y)
    assert model.classes_.tolist() == ["a", "b", "c"]
    expected = ConditionalVAE(1, max_epochs=0).fit(X, NAMES).transform(X, NAMES)
    np.testing.assert_array_equal(model.transform(X, y), expected)


def test_the_text_nan_is_a_label():
    y = np.where(Y == 0, "nan", NAMES)
    assert ConditionalVAE(1, max_epochs=0).fit(X, y).classes_.tolist() == ["b", "c", "nan"]


# Quantities that are taken for classes


def rows(n):
    return np.random.default_rng(0).standard_normal((n, 3))


def ages(n, dtype=int):
    return np.resize(np.arange(18, 85), n).astype(dtype)


DIABETES = load_diabetes().target  # 214 whole numbers
QUANTITIES = [
    (ages(1000), 67),
    (ages(20_000), 67),
    (ages(1000, float), 67),
    (ages(1000).tolist(), 67),
    (pd.Series(ages(1000)), 67),
    (np.resize(np.arange(67), 600), 67),  # from 0, as codes have it, but 9 rows each
    (DIABETES, 214),
]


@pytest.mark.parametrize(("y", "n_classes"), QUANTITIES)
def test_many_whole_numbers_are_warned_of(y, n_classes):
    message = rf"y holds {n_classes} distinct whole numbers in {len(y)} rows.*condition='number'"
    with pytest.warns(UserWarning, match=message) as caught:
        model = ConditionalVAE(1, max_epochs=0).fit(rows(len(y)), y)
    assert [w.filename for w in caught] == [__file__]
    assert len(model.classes_) == n_classes


def test_the_warning_points_to_the_line_of_the_user():
    y = ages(500)
    pipeline = make_pipeline(StandardScaler(), ConditionalVAE(1, max_epochs=0))
    for verb in (ConditionalVAE(1, max_epochs=0).fit_transform, pipeline.fit):
        with pytest.warns(UserWarning, match="67 distinct") as caught:
            verb(rows(500), y)
        assert [w.filename for w in caught] == [__file__]


def test_a_warning_that_is_an_error_leaves_nothing_behind():
    model = never_trained(ConditionalVAE, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="67 distinct"):
            model.fit(rows(500), ages(500))
    assert not hasattr(model, "net_")
    assert not hasattr(model, "classes_")


@pytest.mark.parametrize(
    "y",
    [
        np.resize(np.arange(10), 500),  # digits
        np.resize(np.arange(40), 400),  # faces, ten of each
        np.resize(np.arange(1, 32), 400),
        np.resize(np.arange(20) * 5, 200),
        np.array([f"class {number}" for number in np.resize(np.arange(100), 5000)]),
        np.resize(np.arange(100), 5000).astype(str),
        np.resize([True, False], 200),
    ],
)
def test_ordinary_labels_are_not(y):
    model = ConditionalVAE(1, max_epochs=0).fit(rows(len(y)), y)
    assert len(model.classes_) == len(np.unique(y))


def test_who_says_what_y_holds_is_not_warned():
    y = ages(500)
    assert len(ConditionalVAE(1, max_epochs=0, condition="class").fit(rows(500), y).classes_) == 67
    ConditionalVAE(1, max_epochs=0, condition="number").fit(rows(500), y)
    ConditionalVAE(1).partial_fit(rows(500), y, classes=np.arange(18, 85))
