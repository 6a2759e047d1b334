"""ConditionalVAE: exact at the start, and what conditions are good for."""

import pickle

import numpy as np
import pandas as pd
import pytest
from _sizes import small_memory
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import ConditionalVAE, VAETransformer

X, Y = load_iris(return_X_y=True)
MEANS = np.array([X[c == Y].mean(axis=0) for c in range(3)])


@pytest.fixture(scope="module")
def two_sheets():
    """A sheet bent up for one class, bent down for the other, and their labels."""
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-2, 2, (2, 600))
    y = rng.integers(2, size=600)
    side = 2.0 * y - 1
    rows = np.column_stack([u, v, side * u**2, u + 0.5 * side, np.sin(2 * v) * side])
    return rows + 0.05 * rng.standard_normal(rows.shape), np.array(["down", "up"])[y]


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_start_is_ppca_around_class_means(latent_dim):
    model = ConditionalVAE(latent_dim, max_epochs=0).fit(X, Y)
    pca = PCA(latent_dim).fit(X - MEANS[Y])
    np.testing.assert_allclose(
        model.score_samples(X, Y), pca.score_samples(X - MEANS[Y]), rtol=1e-9
    )
    for c in range(3):
        likelihood = pca.score_samples(X - MEANS[c])
        np.testing.assert_allclose(model.score_samples(X, c), likelihood, rtol=1e-9)
    mixture = logsumexp([pca.score_samples(X - MEANS[c]) for c in range(3)], axis=0) - np.log(3)
    np.testing.assert_allclose(model.score_samples(X), mixture, rtol=1e-9)


def test_frequencies_weigh_the_mixture():
    rows, y = X[:120], Y[:120]  # 50, 50 and 20
    model = ConditionalVAE(2, max_epochs=0).fit(rows, y)
    each = [model.score_samples(rows, c) + np.log(n / 120) for c, n in enumerate([50, 50, 20])]
    np.testing.assert_allclose(model.score_samples(rows), logsumexp(each, axis=0), rtol=1e-9)
    # Without a condition a code is decoded to the mean of all rows, where there is no code.
    np.testing.assert_allclose(model.inverse_transform(np.zeros((1, 2)))[0], rows.mean(axis=0))
    drawn = model.sample(6000, random_state=0)
    assert np.mean(drawn[:, 2] < 2.5) == pytest.approx(50 / 120, abs=0.02)  # setosa's petals


def test_start_with_numbers_is_ppca_around_a_regression():
    y = X[:, :1] ** 2
    model = ConditionalVAE(1, max_epochs=0).fit(X, y.ravel())
    rows = X - LinearRegression().fit(y, X).predict(y)
    likelihood = PCA(1).fit(rows).score_samples(rows)
    np.testing.assert_allclose(model.score_samples(X, y), likelihood, rtol=1e-9)
    assert not hasattr(model, "classes_")


def test_numbers_that_are_not_given_are_those_of_training_rows():
    """The mixture over 32 of them: of 96 every third, from the second on."""
    rows, y = X[:96], np.random.default_rng(0).standard_normal(96)
    model = ConditionalVAE(1, max_epochs=0).fit(rows, y)
    each = [model.score_samples(rows, value) for value in np.sort(y)[1::3]]
    expected = logsumexp(each, axis=0) - np.log(32)
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-9)


def test_start_with_frequencies(digits):
    """In [0, 1] classes have their own means: better than one VAE's start."""
    rows, y = digits
    rows, y = rows[:900], y[:900]
    model = ConditionalVAE(1, likelihood="bernoulli", max_epochs=0).fit(rows, y)
    vae = VAETransformer(1, likelihood="bernoulli", max_epochs=0).fit(rows)
    held_out, labels = digits[0][900:1100], digits[1][900:1100]
    assert model.score(held_out, labels) > vae.score(held_out) + 1
    sizes = np.bincount(y)[:, None]
    means = np.array([rows[y == c].mean(axis=0) for c in range(10)])
    p = (sizes * means + (900 * rows.mean(axis=0) + 0.5) / 901) / (sizes + 1)
    decoded = model.inverse_transform(np.zeros((10, 1)), np.arange(10))
    np.testing.assert_allclose(decoded, p, atol=1e-12)


@pytest.mark.parametrize("n_rows", [150, 120])
def test_rows_say_their_class_as_in_linear_discriminant_analysis(n_rows):
    """With as many codes as a covariance has responsibilities are LDA's, frequencies included."""
    rows, y = X[:n_rows], Y[:n_rows]
    model = ConditionalVAE(3, max_epochs=0).fit(rows, y)
    lda = LinearDiscriminantAnalysis(store_covariance=True).fit(rows, y)
    # What is decoded is as linear in shares of classes as it is in codes.
    codes = model.transform(X)
    each = np.array([model.inverse_transform(codes, c) for c in range(3)])
    parts = (each[:2] - each[2])[:, 0]  # the same for every code
    shares = np.linalg.lstsq(parts.T, (model.reconstruct(X) - each[2]).T)[0].T
    shares = np.column_stack([shares, 1.0 - shares.sum(axis=1)])
    np.testing.assert_allclose(shares, lda.predict_proba(X), atol=0.02)  # n and n - 3
    sure = lda.predict_proba(X)[np.arange(150), Y] > 0.9999
    np.testing.assert_allclose(codes[sure], model.transform(X, Y)[sure], atol=1e-2)


def test_training_uses_what_conditions_say(two_sheets):
    rows, y = two_sheets
    train, test = slice(0, 450), slice(450, None)
    model = ConditionalVAE(2, random_state=0).fit(rows[train], y[train])
    start = ConditionalVAE(2, max_epochs=0).fit(rows[train], y[train])
    vae = VAETransformer(2, random_state=0).fit(rows[train])
    assert model.score(rows[test], y[test]) > start.score(rows[test], y[test]) + 1
    assert model.score(rows[test]) > vae.score(rows[test])
    assert model.score(rows[test], y[test]) > model.score(rows[test])
    # The same code under the other condition: the sheet bends the other way.
    codes = model.transform(rows[test], y[test])
    other = model.inverse_transform(codes, np.where(y[test] == "up", "down", "up"))
    assert np.corrcoef(other[:, 2], rows[test, 2])[0, 1] < -0.9
    drawn = model.sample(200, y="up", random_state=0)
    assert np.mean(drawn[:, 2] > -0.5) > 0.95


def test_one_condition_for_all_or_one_each(two_sheets):
    rows, y = two_sheets
    model = ConditionalVAE(2, max_epochs=2, random_state=0).fit(rows, y)
    ups = np.repeat("up", 600)
    np.testing.assert_array_equal(model.transform(rows, "up"), model.transform(rows, ups))
    np.testing.assert_array_equal(model.score_samples(rows, "up"), model.score_samples(rows, ups))
    given, series = model.score_samples(rows, y), pd.Series(y)
    np.testing.assert_array_equal(model.score_samples(rows, series), given)
    np.testing.assert_allclose(model.score_samples(rows[:7], y[:7]), given[:7], rtol=1e-12)
    mean, std = model.posterior(rows, y)
    np.testing.assert_array_equal(mean, model.transform(rows, y))
    assert (std > 0).all()
    assert model.interpolate(rows[:2], rows[2:4], 5).shape == (2, 5, 5)
    likely, _ = model.posterior(rows)
    np.testing.assert_array_equal(likely, model.transform(rows))


def test_draws_from_the_prior_are_those_of_the_condition_asked_for(two_sheets):
    rows, y = two_sheets
    noisy = rows + 0.5 * np.random.default_rng(0).standard_normal(rows.shape)
    model = ConditionalVAE(2, max_epochs=30, random_state=0).fit(noisy, y)
    assert model.best_epoch_ > 0
    alone = {name: pickle.loads(pickle.dumps(model)) for name in ("up", "down")}
    for name in ("up", "down", "up"):
        expected = alone[name].score_samples(noisy, name)
        np.testing.assert_array_equal(model.score_samples(noisy, name), expected)


def test_within_a_pipeline(two_sheets):
    rows, y = two_sheets
    model = ConditionalVAE(2, max_epochs=5, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model, LogisticRegression())
    assert pipeline.fit(rows, y).predict(rows).shape == (600,)


def test_several_numbers(two_sheets):
    rows, _ = two_sheets
    conditions = rows[:, :2]
    model = ConditionalVAE(1, max_epochs=5, random_state=0).fit(rows, conditions)
    drawn = model.sample(3, y=[[0.0, 1.0]] * 3)
    assert drawn.shape == (3, 5)
    np.testing.assert_array_equal(model.sample(3, y=[0.0, 1.0]), drawn)  # one for all
    assert model.transform(rows).shape == (600, 1)
    assert np.isfinite(model.score_samples(rows)).all()
    ages = np.random.default_rng(0).integers(20, 60, 600)
    assert not hasattr(
        ConditionalVAE(1, max_epochs=0, condition="number").fit(rows, ages), "classes_"
    )
    with pytest.warns(UserWarning, match="40 distinct whole numbers"):
        assert len(ConditionalVAE(1, max_epochs=0).fit(rows, ages).classes_) == 40


def test_classes_of_chunks(two_sheets):
    rows, y = two_sheets
    ups = y == "up"
    model = ConditionalVAE(2, random_state=0)
    model.partial_fit(rows[ups], y[ups], classes=["down", "up"])
    model.partial_fit(rows[~ups], y[~ups])
    assert model.classes_.tolist() == ["down", "up"]
    before = model.transform(rows, y)
    with pytest.raises(ValueError, match=r"y must hold classes .*\['down', 'up'\].*\['left'\]"):
        model.partial_fit(rows[:2], ["left", "up"])
    np.testing.assert_array_equal(model.transform(rows, y), before)


def test_frequencies_of_chunks_add_up_and_those_of_a_further_fit_do_not():
    """The 50, 50 and 20 rows of the mixture above, whichever way they come."""
    rows, y = X[:120], Y[:120]

    def shares(model):
        weighed = [model.score_samples(rows, c) for c in range(3)]
        return np.linalg.lstsq(np.exp(weighed).T, np.exp(model.score_samples(rows)))[0]

    model = ConditionalVAE(2, lr=1e-12, random_state=0)
    model.partial_fit(rows[:100], y[:100], classes=[0, 1, 2])  # one is still to come
    np.testing.assert_allclose(shares(model), np.array([50, 50, 0.5]) / 100.5, rtol=1e-6)
    model = ConditionalVAE(2, lr=1e-12, random_state=0)
    model.partial_fit(rows[::2], y[::2], classes=[0, 1, 2]).partial_fit(rows[1::2], y[1::2])
    np.testing.assert_allclose(shares(model), np.array([50, 50, 20]) / 120, rtol=1e-6)
    model.fit(rows, y).partial_fit(rows[:50], y[:50])
    np.testing.assert_allclose(shares(model), np.array([100, 50, 20]) / 170, rtol=1e-6)
    model.set_params(warm_start=True).fit(rows[20:], y[20:])
    np.testing.assert_allclose(shares(model), np.array([30, 50, 20]) / 100, rtol=1e-6)


def test_numbers_of_chunks_stand_for_all_of_them():
    """The 32 that are kept are spread as those of all chunks are."""
    numbers = np.random.default_rng(0).gamma(2.0, size=3000)
    rows = np.column_stack([numbers, numbers**2, np.sin(numbers)])
    model = ConditionalVAE(1, lr=1e-12, random_state=0)
    for chosen in np.array_split(np.argsort(numbers), 10):
        model.partial_fit(rows[chosen], numbers[chosen])
    # A number is decoded to itself, whatever the code.
    kept = np.unique(model.sample(2000, add_noise=False)[:, 0].round(9))
    expected = np.quantile(numbers, (np.arange(32) + 0.5) / 32)
    np.testing.assert_allclose(kept, expected, atol=0.3)  # of numbers up to 7


def test_indicators_of_many_classes_are_never_all_in_memory(monkeypatch):
    """100 classes of 40,000 rows would be 32 MB, and 16 MB beside rows in float32."""
    import tracemalloc

    rng = np.random.default_rng(0)
    rows, y = rng.standard_normal((40_000, 3)).astype(np.float32), np.arange(40_000) % 100
    model = ConditionalVAE(1, max_epochs=0, random_state=0)
    whole = model.fit(rows, y).transform(rows, y)
    sizes = {"resident": 20_000, "block": 10_000, "chunk": 80_000, "array": 40_000, "kept": 40_000}
    small_memory(monkeypatch, **sizes)
    tracemalloc.start()
    model.fit(rows, y)
    fitted = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    codes = model.transform(rows, y)
    encoded = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(fitted, encoded) < 10_000_000
    np.testing.assert_allclose(np.abs(codes), np.abs(whole), atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
@pytest.mark.parametrize("init", ["pca", "random"])
def test_larger_than_memory(two_sheets, init, tmp_path, monkeypatch):
    rows, y = two_sheets
    table = np.memmap(tmp_path / "X", np.float64, "w+", shape=rows.shape)
    table[:] = rows
    whole = ConditionalVAE(2, max_epochs=0, init=init, random_state=0).fit(rows, y)
    small_memory(monkeypatch, resident=1000)
    model = ConditionalVAE(2, max_epochs=0, init=init, random_state=0).fit(table, y)
    np.testing.assert_allclose(
        model.score_samples(table, y), whole.score_samples(rows, y), rtol=1e-9
    )
    trained = ConditionalVAE(2, max_epochs=2, init=init, random_state=0).fit(table, y)
    assert np.isfinite(trained.score(table))
    codes = trained.transform(table, y)
    monkeypatch.undo()
    np.testing.assert_allclose(trained.transform(rows, y), codes, rtol=1e-9)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None. Use VAETransformer"),
        (Y[:9], "inconsistent numbers of samples"),
        (np.where(Y == 0, np.nan, X[:, 0]), "NaN"),
        (np.column_stack([Y, Y]).astype(str), "y must hold real numbers; got strings"),
    ],
)
def test_bad_conditions(y, message):
    with pytest.raises(ValueError, match=message):
        ConditionalVAE().fit(X, y)


def test_bad_conditions_after_fit():
    model = ConditionalVAE(1, max_epochs=0).fit(X, Y)
    for verb in (model.transform, model.score_samples, model.reconstruct, model.posterior):
        with pytest.raises(ValueError, match=r"classes that fit has seen, \[0, 1, 2\].*\[7\]"):
            verb(X, 7)
    with pytest.raises(ValueError, match=r"\[7\]"):
        model.sample(2, y=7)
    with pytest.raises(ValueError, match="inconsistent"):
        model.inverse_transform(np.zeros((3, 1)), [0, 1])
    with pytest.raises(ValueError, match=r"classes that fit has seen"):
        model.transform(X, Y.astype(str))  # which are no numbers
    model = ConditionalVAE(1, max_epochs=0).fit(X, X[:, :2])
    with pytest.raises(ValueError, match=r"y must have 2 conditions for a row.* got 1"):
        model.transform(X, X[:, 0])
    with pytest.raises(ValueError, match="requires y"):
        model.partial_fit(X)


@pytest.mark.parametrize("verb", ["fit", "partial_fit"])
def test_other_conditions_need_a_new_network(verb):
    model = ConditionalVAE(1, warm_start=True, max_epochs=0).fit(X, Y)
    before = model.score_samples(X)
    with pytest.raises(ValueError, match="condition was 'class' and is 'number'"):
        getattr(model.set_params(condition="number"), verb)(X, X[:, 0])
    np.testing.assert_array_equal(model.score_samples(X), before)
    getattr(model.set_params(condition="class"), verb)(X, Y)
    numbers = ConditionalVAE(1, warm_start=True, max_epochs=0).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="condition was 'number' and is 'class'"):
        getattr(numbers.set_params(condition="class"), verb)(X, Y)
    getattr(numbers.set_params(condition="auto"), verb)(X, Y)  # are numbers as before


def test_other_classes_need_a_new_network():
    model = ConditionalVAE(1, lr=1e-12).partial_fit(X, Y, classes=[0, 1, 2])
    model.partial_fit(X, Y).partial_fit(X, Y, classes=np.array([2, 1, 0]))
    with pytest.raises(ValueError, match=r"classes was \[0, 1, 2\] and is \[0, 1, 2, 3\]"):
        model.partial_fit(X, Y, classes=[0, 1, 2, 3])
    halves = ConditionalVAE(1, lr=1e-12).partial_fit(X, Y / 2, classes=[0.0, 0.5, 1.0])
    assert halves.classes_.tolist() == [0.0, 0.5, 1.0]  # and no numbers
    numbers = ConditionalVAE(1, condition="number", lr=1e-12)
    with pytest.raises(ValueError, match=r"classes must be None where conditions are numbers"):
        numbers.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"classes was None and is \[0, 1, 2\]"):
        numbers.partial_fit(X, Y).partial_fit(X, Y, classes=[0, 1, 2])


def test_refitting_forgets_the_classes():
    model = ConditionalVAE(1, max_epochs=0).fit(X, Y)
    model.fit(X, X[:, 0] + 0.123)
    assert not hasattr(model, "classes_")
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, np.where(Y == 0, np.nan, X[:, 0]))
    assert np.isfinite(model.score(X))  # what was fitted before is as it was
