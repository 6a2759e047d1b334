"""Tables of mixed columns: likelihood="auto", and likelihoods by column."""

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, ConditionalVAE, VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore:.*latents have collapsed")


def customers(n=800, seed=0):
    """A table of numbers, counts, texts, booleans and sizes that belong together."""
    rng = np.random.default_rng(seed)
    t = rng.standard_normal(n)
    sizes = pd.Categorical.from_codes(
        np.digitize(t + 0.3 * rng.standard_normal(n), [-0.5, 0.5]), ["S", "M", "L"], ordered=True
    )
    return pd.DataFrame(
        {
            "age": np.clip(np.round(40 + 12 * t + 4 * rng.standard_normal(n)), 18, 90).astype(int),
            "city": np.where(t > 0.7, "Rome", np.where(t > -0.3, "Oslo", "Kyiv")),
            "member": t + rng.standard_normal(n) > 0,
            "visits": rng.poisson(np.exp(0.7 * t)),
            "size": sizes,
            "income": np.exp(8 + 0.5 * t + 0.3 * rng.standard_normal(n)),
            "spent": np.where(rng.random(n) < 0.5, 0.0, np.exp(t)),
        }
    )


@pytest.fixture(scope="module")
def table():
    return customers()


@pytest.fixture(scope="module")
def trained(table):
    model = VAETransformer(2, likelihood="auto", max_epochs=30, random_state=0).fit(table)
    assert model.best_epoch_ > 0
    return model


def with_gaps(table, rate=0.2, seed=1):
    gaps = np.random.default_rng(seed).random(table.shape) < rate
    out = table.astype({"age": "Int64", "member": "boolean", "visits": "Int64"})
    return out.mask(gaps), gaps


# The start


def up_to_signs(a, b, atol):
    signs = np.sign((a * b).sum(axis=0))
    np.testing.assert_allclose(a, b * signs, atol=atol)


def standardised_scores(table, numbers):
    """Standardised numbers, and indicators as correspondence analysis weights them."""
    parts = []
    for name in table:
        x = table[name]
        if name in numbers:
            parts.append(((x - x.mean()) / x.std(ddof=0)).to_numpy()[:, None])
        else:
            indicators = pd.get_dummies(x.astype(str)).to_numpy(float)
            share = indicators.mean(axis=0)
            parts.append((indicators - share) / np.sqrt(share))
    return np.hstack(parts)


@pytest.mark.parametrize(
    "columns",
    [
        ["age", "city", "member", "income"],
        ["city", "income", "visits"],
        ["city", "member", "size"],
        ["member", "city"],
    ],
)
def test_codes_at_the_start_are_those_of_factor_analysis_of_mixed_data(table, columns):
    """Without numbers this is multiple correspondence analysis."""
    numbers = [name for name in columns if name in ("age", "income", "visits")]
    wishes = dict.fromkeys(columns, "categorical") | dict.fromkeys(numbers, "gaussian")
    model = AutoencoderTransformer(2, likelihood=wishes, max_epochs=0)
    codes = model.fit_transform(table[columns])
    left, values, _ = np.linalg.svd(standardised_scores(table[columns], numbers))
    up_to_signs(codes, left[:, :2] * values[:2], atol=1e-6)


def test_codes_of_counts_at_the_start_are_those_of_pearson_residuals():
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(rng.standard_normal((200, 1)) @ rng.uniform(0.2, 0.5, (1, 6))))
    frame = pd.DataFrame(counts, columns=list("abcdef"))
    model = AutoencoderTransformer(2, likelihood=dict.fromkeys(frame, "poisson"), max_epochs=0)
    mean = counts.mean(axis=0)
    left, values, _ = np.linalg.svd((counts - mean) / np.sqrt(mean))
    up_to_signs(model.fit_transform(frame), left[:, :2] * values[:2], atol=1e-6)


def test_start_of_standardised_numbers_is_a_normal_distribution():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2)) @ rng.standard_normal((2, 5)) + rng.standard_normal((400, 5))
    frame = pd.DataFrame(3.0 * X, columns=list("abcde"))
    model = VAETransformer(2, likelihood=dict.fromkeys(frame, "gaussian"), max_epochs=0).fit(frame)
    codes = np.vstack([np.zeros(2), 0.1 * np.eye(2)])
    decoded = model.inverse_transform(codes).to_numpy()
    weights = (decoded[1:] - decoded[0]) / 0.1
    variance = np.square(frame.std(ddof=0).to_numpy())
    covariance = weights.T @ weights
    covariance += np.diag(variance - np.diag(covariance))
    normal = stats.multivariate_normal(decoded[0], covariance)
    found, expected = model.score_samples(frame), normal.logpdf(frame)
    np.testing.assert_allclose(found, expected, atol=0.03)  # importance sampling
    assert found.mean() == pytest.approx(expected.mean(), abs=1e-3)


@pytest.mark.parametrize("max_epochs", [0, 20])
def test_frequencies_of_samples_are_those_of_the_table(max_epochs, table):
    model = VAETransformer(2, likelihood="auto", max_epochs=max_epochs, random_state=0).fit(table)
    drawn = model.sample(20_000, random_state=0)
    for name in ("city", "member", "visits", "size"):
        expected = table[name].value_counts(normalize=True)
        found = drawn[name].value_counts(normalize=True).reindex(expected.index, fill_value=0.0)
        assert np.abs(found - expected).max() < 0.02
    for name in ("age", "income", "spent"):
        distance = stats.ks_2samp(drawn[name], table[name]).statistic
        assert distance < 0.03


# Densities


@pytest.mark.parametrize("max_epochs", [0, 20])
def test_probabilities_of_all_rows_sum_to_1(max_epochs, table):
    columns = ["city", "member", "size"]
    few = table[columns].assign(n=np.minimum(table.visits, 3))
    model = VAETransformer(2, likelihood="auto", max_epochs=max_epochs, random_state=0).fit(few)
    every = pd.DataFrame(
        itertools.product(*(few[name].unique() for name in few)), columns=few.columns
    ).astype(few.dtypes)
    assert np.exp(model.score_samples(every)).sum() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", ["histogram", "normal_scores", "gaussian"])
@pytest.mark.parametrize("max_epochs", [0, 20])
def test_mixed_densities_integrate_to_1(kind, max_epochs, table):
    two = table[["city", "income"]]
    model = VAETransformer(1, likelihood={"income": kind}, max_epochs=max_epochs, random_state=0)
    model.fit(two)
    grid = np.linspace(-20_000, 60_000, 4001) + 0.1
    total = sum(
        np.exp(model.score_samples(pd.DataFrame({"city": city, "income": grid}))).sum()
        for city in two.city.unique()
    )
    assert total * (grid[1] - grid[0]) == pytest.approx(1.0, abs=0.02)


def test_missing_entries_are_summed_out(trained, table):
    rows = table.iloc[:20]
    total = np.logaddexp.reduce(
        [trained.score_samples(rows.assign(city=city)) for city in table.city.unique()]
    )
    found = trained.score_samples(rows.assign(city=None))
    np.testing.assert_allclose(found, total, atol=0.05)


def test_densities_are_in_units_of_the_table(table):
    euros = table[["city", "income"]]
    cents = euros.assign(income=100 * euros.income)
    scores = [
        VAETransformer(1, likelihood="auto", max_epochs=3, random_state=0).fit(t).score(t)
        for t in (euros, cents)
    ]
    assert scores[0] - scores[1] == pytest.approx(np.log(100), abs=1e-3)


def test_training_raises_the_likelihood(table, trained):
    start = VAETransformer(2, likelihood="auto", max_epochs=0).fit(table)
    new = customers(seed=5)
    assert trained.score(new) > start.score(new) + 0.2


# In and out


def test_tables_come_back_as_they_were_given(table, trained):
    codes = trained.transform(table)
    assert codes.shape == (len(table), 2)
    for rows in (trained.sample(50), trained.inverse_transform(codes), trained.reconstruct(table)):
        assert list(rows.columns) == list(table.columns)
        assert (rows.dtypes == table.dtypes).all()
        assert rows.age.between(18, 90).all()
        assert (rows.visits >= 0).all()
        assert rows.income.between(table.income.min(), table.income.max()).all()
        assert set(rows.city) <= set(table.city)
    assert (trained.reconstruct(table).city == table.city).mean() > 0.8


def test_arrays_come_back_as_arrays(table):
    X = table.drop(columns="size").to_numpy(dtype=object)
    model = VAETransformer(2, likelihood="auto", max_epochs=2, random_state=0).fit(X)
    drawn = model.sample(10)
    assert isinstance(drawn, np.ndarray)
    assert drawn.shape == (10, 6)
    assert set(drawn[:, 1]) <= set(table.city)


def test_missing_entries_are_imputed(table):
    gappy, gaps = with_gaps(table)
    model = VAETransformer(2, likelihood="auto", max_epochs=20, random_state=0).fit(gappy)
    filled = model.impute(gappy)
    assert not filled.isna().any().any()
    assert (filled.dtypes == gappy.dtypes).all()
    for number, name in enumerate(table):
        seen = ~gaps[:, number]
        assert (filled[name][seen] == gappy[name][seen]).all()
    hidden = gaps[:, 1]
    most_frequent = table.city.value_counts(normalize=True).iloc[0]
    assert (filled.city == table.city)[hidden].mean() > most_frequent + 0.1
    hidden = gaps[:, 5]
    errors = [
        np.abs(guess - table.income)[hidden].mean()
        for guess in (filled.income, table.income.median())
    ]
    assert errors[0] < 0.8 * errors[1]
    draws = model.impute(gappy, n_draws=5, random_state=0)
    assert len(draws) == 5
    assert not draws[0].equals(draws[1])
    assert (draws[0].dtypes == gappy.dtypes).all()
    complete = VAETransformer(2, likelihood="auto", max_epochs=3, random_state=0).fit(table)
    assert not complete.impute(gappy.astype({"age": float})).isna().any().any()


def test_an_unknown_category_counts_as_missing(trained, table):
    rows = table.iloc[:5]
    with pytest.warns(UserWarning, match="'city' has categories that were not in fit.*'Lima'"):
        found = trained.score_samples(rows.assign(city="Lima"))
    np.testing.assert_allclose(found, trained.score_samples(rows.assign(city=None)))


def test_dtypes_of_pandas(table):
    plain = VAETransformer(2, likelihood="auto", max_epochs=0).fit(table)
    others = table.astype(
        {"age": "Int32", "city": "category", "member": "boolean", "visits": "Float64"}
    )
    model = VAETransformer(2, likelihood="auto", max_epochs=0).fit(others)
    np.testing.assert_allclose(model.transform(others), plain.transform(table), atol=1e-8)
    assert (model.sample(3).dtypes == others.dtypes).all()


def test_conditions_beside_a_table(table):
    rows = table.drop(columns="city")
    model = ConditionalVAE(2, likelihood="auto", max_epochs=10, random_state=0)
    model.fit(rows, table.city)
    drawn = model.sample(500, y="Rome", random_state=0)
    assert drawn.age.mean() > table.age[table.city == "Oslo"].mean()
    assert model.score(rows, table.city) > model.score(rows)


def test_conditions_beside_a_table_with_gaps(table):
    gappy, _ = with_gaps(table.drop(columns="city"))
    model = ConditionalVAE(2, likelihood="auto", max_epochs=10, random_state=0)
    model.fit(gappy, table.city)
    filled = model.impute(gappy, y=table.city)
    assert not filled.isna().any().any()
    hidden, rows = gappy.age.isna(), table.drop(columns="city")
    errors = [
        np.abs(guess - table.age)[hidden].mean() for guess in (filled.age, table.age.median())
    ]
    assert errors[0] < 0.7 * errors[1]
    assert np.isfinite(model.score(gappy))
    assert np.isfinite(model.score(rows, table.city))
    assert len(model.impute(gappy, n_draws=2, random_state=0)) == 2


def test_in_a_pipeline_and_a_search(table):
    rows, y = table.drop(columns="member"), table.member
    vae = VAETransformer(likelihood="auto", max_epochs=3, random_state=0)
    search = GridSearchCV(
        make_pipeline(vae, LogisticRegression()), {"vaetransformer__latent_dim": [1, 2]}, cv=2
    )
    assert search.fit(rows, y).best_score_ > 0.6


def test_a_pickle_gives_the_same_results(trained, table):
    again = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(again.transform(table), trained.transform(table))
    np.testing.assert_array_equal(again.score_samples(table), trained.score_samples(table))
    assert again.sample(5, random_state=0).equals(trained.sample(5, random_state=0))
    assert again.likelihoods_ == trained.likelihoods_


def test_chosen_likelihoods_are_shown(trained):
    assert trained.likelihoods_ == {
        "age": "histogram",
        "city": "categorical",
        "member": "categorical",
        "visits": "histogram",
        "size": "ordinal",
        "income": "histogram",
        "spent": "histogram",
    }


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"day": pd.Timestamp("2020-01-01")}, "no dates; got column 'day'"),
        ({"note": [f"text {i}" for i in range(800)]}, "'note' with 800 different texts"),
        ({"age": np.nan}, "none in column 'age'"),
        ({"income": np.inf}, "infinity .* in column 'income', first in row 0"),
        ({"odd": [1, "a"] * 400}, "of one type; got several in column 'odd'"),
    ],
)
def test_columns_that_are_refused_are_named(change, message, table):
    with pytest.raises((ValueError, TypeError), match=message):
        VAETransformer(2, likelihood="auto").fit(table.assign(**change))


def test_other_errors(table, trained):
    with pytest.raises(ValueError, match="columns of different names; got 'age' more than once"):
        VAETransformer(2, likelihood="auto").fit(pd.concat([table, table[["age"]]], axis=1))
    with pytest.raises(ValueError, match="as keys; got 'agee'"):
        VAETransformer(2, likelihood={"agee": "gaussian"}).fit(table)
    with pytest.raises(ValueError, match=r"must be one of .* got 'normal' for column 'age'"):
        VAETransformer(2, likelihood={"age": "normal"}).fit(table)
    with pytest.raises(
        ValueError, match=r"needs numbers, or ordered categories; got column 'city'"
    ):
        VAETransformer(2, likelihood={"city": "gaussian"}).fit(table)
    with pytest.raises(ValueError, match="whole numbers from 0; got others in column 'income'"):
        VAETransformer(2, likelihood={"income": "poisson"}).fit(table)
    with pytest.raises(ValueError, match="feature names"):
        trained.transform(table.drop(columns="age"))
    with pytest.raises(ValueError, match="'age' must have numbers, as in fit"):
        trained.transform(table.assign(age="old"))


def test_numbers_of_rows_are_warned_of(table):
    with pytest.warns(UserWarning, match="Column 'id' has an increasing whole number"):
        VAETransformer(2, likelihood="auto", max_epochs=0).fit(table.assign(id=np.arange(800)))


# What a review found


def test_rows_with_and_without_gaps_are_imputed_together(table, trained):
    rows = table.iloc[:8].copy()
    rows.loc[:2, "city"] = None
    draws = trained.impute(rows, n_draws=2, random_state=0)
    assert draws[0].iloc[3:].equals(table.iloc[3:8])
    X = table[["age", "income"]].to_numpy()
    model = VAETransformer(1, max_epochs=2, random_state=0).fit(X)
    gaps = X[:5].copy()
    gaps[0, 0] = np.nan
    found = model.impute(gaps, n_draws=3, random_state=0)
    np.testing.assert_array_equal(found[:, 1:], np.tile(X[1:5], (3, 1, 1)))


@pytest.mark.parametrize("options", [{"validation_fraction": None}, {"latent_dim": 0}])
def test_options_of_training(options, table):
    model = VAETransformer(likelihood="auto", max_epochs=2, random_state=0, **options)
    assert np.isfinite(model.fit(table).score(table))


@pytest.mark.parametrize(
    "x",
    [
        np.arange(11).repeat(20),
        np.random.default_rng(0).integers(0, 1000, 60),
        1000 * np.random.default_rng(0).poisson(30, 200),
        np.random.default_rng(0).integers(0, 200, 400) * (np.arange(400) % 2),
    ],
)
def test_probabilities_of_whole_numbers_sum_to_1(x):
    """Also of those that were not in fit, which are unlikely."""
    frame = pd.DataFrame({"x": x, "c": np.where(x > np.median(x), "a", "b")})
    model = VAETransformer(1, likelihood="auto", max_epochs=0).fit(frame)
    every = np.arange(x.min() - 2000, x.max() + 2000)
    total = sum(
        np.exp(model.score_samples(pd.DataFrame({"x": every, "c": label}))).sum() for label in "ab"
    )
    assert 0.97 < total < 1.02
    far = pd.DataFrame({"x": [10**7], "c": ["a"]})
    assert model.score(far) < model.score(frame) - 20


def test_numbers_in_columns_of_objects(table):
    odd = table.assign(age=table.age.astype(object), member=table.member.astype(object))
    odd.loc[0, ["age", "member"]] = None
    model = VAETransformer(2, likelihood="auto", max_epochs=0).fit(odd)
    assert model.likelihoods_["age"] == "histogram"
    assert model.sample(3).dtypes["age"] == odd.dtypes["age"]
    rows = [[1.5, "a"], [2.5, "b"], [3.5, "b"], [4.0, "a"]] * 10
    assert VAETransformer(1, likelihood="auto", max_epochs=0).fit(rows).likelihoods_ == {
        0: "histogram",
        1: "categorical",
    }


def test_tables_that_are_refused(table):
    from scipy.sparse import csr_array

    model = VAETransformer(1, likelihood="auto", max_epochs=0)
    with pytest.raises(TypeError, match="must be a table; got csr_array"):
        model.fit(csr_array(np.eye(5)))
    with pytest.raises(ValueError, match="0 feature"):
        model.fit(table[[]])
    with pytest.raises(ValueError, match="needs network='mlp' and input_shape=None"):
        VAETransformer(1, likelihood="auto", input_shape=(7,)).fit(table)
    with pytest.raises(ValueError, match="NaN"):
        AutoencoderTransformer(1, likelihood="auto").fit(with_gaps(table)[0])
    numbered = pd.DataFrame({0: table.age, 1: table.income})
    with pytest.raises(ValueError, match="columns of fit, in their order"):
        model.fit(numbered).transform(numbered[[1, 0]])


def test_interpolation_of_tables(table, trained):
    between = trained.interpolate(table[:2], table[2:4], steps=3)
    assert between.shape == (6, table.shape[1])
    assert (between.dtypes == table.dtypes).all()


def test_codes_of_a_trained_autoencoder_are_those_of_famd(table):
    options = {"likelihood": "auto", "random_state": 0}
    start = AutoencoderTransformer(2, max_epochs=0, **options).fit(table)
    trained = AutoencoderTransformer(2, max_epochs=30, **options).fit(table)
    assert trained.best_epoch_ > 0
    assert trained.validation_curve_.min() < trained.validation_curve_[0]
    np.testing.assert_allclose(np.abs(trained.transform(table)), np.abs(start.transform(table)))


@pytest.mark.parametrize("x", ["three values", "mostly 0", "codes"])
def test_a_column_that_is_unrelated_changes_nothing(x):
    """Numbers with few values have scores of variance 1, as all columns."""
    rng = np.random.default_rng(0)
    t = rng.standard_normal((1000, 1))
    frame = pd.DataFrame(t * [1.0, -1.0] + 0.2 * rng.standard_normal((1000, 2)), columns=["a", "b"])
    values = {
        "three values": rng.choice([1.0, 2.0, 3.0], 1000),
        "mostly 0": np.where(rng.random(1000) < 0.8, 0.0, rng.exponential(size=1000)),
        "codes": rng.choice([200, 404, 500], 1000, p=[0.9, 0.07, 0.03]),
    }
    start = VAETransformer(1, likelihood="auto", max_epochs=0, random_state=0)
    alone = start.fit(frame).transform(frame)
    drawn = start.sample(1000, random_state=0)
    codes = start.fit(frame.assign(x=values[x])).transform(frame.assign(x=values[x]))
    assert np.corrcoef(alone[:, 0], codes[:, 0])[0, 1] ** 2 > 0.99
    beside = start.sample(1000, random_state=0)
    assert abs(beside.a.corr(beside.b) - drawn.a.corr(drawn.b)) < 0.1


def test_numbers_with_few_values_are_standardised_scores():
    """With two values a number is its indicator, standardised: PCA of the correlations."""
    rng = np.random.default_rng(0)
    t = rng.standard_normal((400, 1))
    frame = pd.DataFrame((t + rng.standard_normal((400, 4)) > [0, 1, -1, 0.5]).astype(int))
    frame.columns = list("abcd")
    wishes = dict.fromkeys(frame, "histogram")
    codes = AutoencoderTransformer(2, likelihood=wishes, max_epochs=0).fit_transform(frame)
    expected = PCA(2).fit_transform(StandardScaler().fit_transform(frame))
    up_to_signs(codes, expected, 1e-6)


def test_reconstructions_keep_the_index(table, trained):
    some = table.iloc[100:110]
    assert trained.reconstruct(some).index.equals(some.index)
    codes = pd.DataFrame(trained.transform(some), index=some.index)
    codes.columns = trained.get_feature_names_out()
    assert trained.inverse_transform(codes).index.equals(some.index)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_many_classes_of_few_rows_with_gaps():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "city": rng.choice(list("abcde"), 600),
            "age": rng.normal(40, 10, 600),
            "plan": rng.choice(["x", "y"], 600, p=[0.95, 0.05]),
        }
    ).mask(rng.random((600, 3)) < 0.3)
    y = rng.poisson(rng.exponential(6, 600))
    options = {"likelihood": "auto", "condition": "class", "max_epochs": 2, "random_state": 0}
    model = ConditionalVAE(2, **options).fit(frame, y)
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.score_samples(frame, y)).all()
