"""Which rows are held out: groups, rows and splitters of one's own, near-copies."""

import numpy as np
import pandas as pd
import pytest
from _estimators import ESTIMATORS
from _sizes import small_memory
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, make_blobs
from sklearn.decomposition import PCA
from sklearn.model_selection import (
    GroupShuffleSplit,
    KFold,
    PredefinedSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler, scale
from skorch.callbacks import Callback

import skae
from skae import (
    AutoencoderTransformer,
    ConditionalVAE,
    DenoisingAutoencoder,
    VAETransformer,
)
from skae.data.split import in_groups, near_copies
from skae.training.judge import Judge

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)


def subjects(seed, n_subjects=30, copies=40, noise=0.05):
    """Rows of subjects who differ in every direction, and near-copies of each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_subjects, 20)) * np.linspace(1.0, 0.4, 20)
    label = np.repeat(np.arange(n_subjects), copies)
    return centres[label] + noise * rng.standard_normal((len(label), 20)), label


def test_groups_are_judged_by_subjects_that_are_new():
    X, label = subjects(0)
    new, _ = subjects(1)
    pca = AutoencoderTransformer(4, max_epochs=0).fit(X)
    model = AutoencoderTransformer(4, random_state=0).fit(X, groups=label)
    assert model.score(new) >= pca.score(new) - 0.01
    with pytest.warns(UserWarning, match="30 groups of near-copies.*groups=") as record:
        noticed = AutoencoderTransformer(4, random_state=0).fit(X)
    assert noticed.score(new) >= pca.score(new) - 0.01
    assert record[0].filename == __file__
    # Rows held out one by one are known from their copies, and judge wrongly.
    by_rows = AutoencoderTransformer(4, validation_fraction=KFold(10, shuffle=True, random_state=0))
    assert by_rows.set_params(random_state=0).fit(X).score(new) < pca.score(new) - 0.05


def test_groups_are_held_out_whole(bent):
    rng = np.random.default_rng(0)
    label = rng.integers(50, size=len(bent)).astype(str)
    for seed in range(5):
        split = in_groups(label, 40, np.random.default_rng(seed))
        assert sorted([*split.rows, *split.train]) == list(range(400))
        assert not set(label[split.rows]) & set(label[split.train])
        assert 70 <= len(split.rows) <= 90  # ten groups of eight rows
        names = label[split.rows]
        assert (
            len(np.unique(names))
            == len(np.unique(split.groups))
            == len({*zip(names, split.groups, strict=True)})
        )


def test_standard_errors_of_groups():
    rng = np.random.default_rng(0)
    effect = 0.3 + rng.standard_normal(20)
    rows = np.repeat(effect, 50)
    label = np.repeat(np.arange(20), 50)
    assert Judge(0.0).is_clear(rows)  # 1,000 rows say so, but they are 20
    assert Judge(0.0, groups=label).is_clear(rows) == Judge(0.0).is_clear(effect)
    assert Judge(0.0, groups=label).is_clear(rows + 1.0) == Judge(0.0).is_clear(effect + 1.0)
    one_group = Judge(0.0, groups=np.zeros(1000))  # which has no error to speak of
    assert not one_group.is_clear(rows + 100.0)
    # Among rows that are independent it is that of rows.
    free = rng.standard_normal(1000)
    for shift in np.linspace(-0.2, 0.2, 41):
        every_row = Judge(0.0, groups=np.arange(1000))
        assert every_row.is_clear(free + shift) == Judge(0.0).is_clear(free + shift)


@every_estimator
def test_validation_rows_of_ones_own(cls, bent):
    train, X_val, y = bent[:300], bent[300:], np.arange(300) % 2
    more = {"y_val": np.arange(100) % 2} if issubclass(cls, ConditionalVAE) else {}
    public = getattr(skae, cls.__name__)

    def fitted(X_val, max_epochs=3):
        return public(2, max_epochs=max_epochs, random_state=0).fit(train, y, X_val=X_val, **more)

    model, other = fitted(X_val), fitted(X_val + 1.0)
    assert model.n_samples_ == 300
    assert_allclose(model.mean_, train.mean(axis=0))  # which knows nothing of X_val
    assert len(model.validation_curve_) == 4
    assert not np.array_equal(other.validation_curve_, model.validation_curve_)
    assert_array_equal(other.loss_curve_, model.loss_curve_)


def test_the_start_of_a_fit_with_rows_of_ones_own_is_pca(bent):
    train, X_val = bent[:300], bent[300:]
    model = VAETransformer(2, max_epochs=0).fit(train, X_val=X_val)
    reference = PCA(2).fit(train)
    assert_allclose(model.score_samples(X_val), reference.score_samples(X_val))
    expected = -reference.score(X_val)
    vae = VAETransformer(2, max_epochs=1, random_state=0).fit(train, X_val=X_val)
    assert vae.validation_curve_[0] == pytest.approx(expected, rel=0.05)
    assert set(vae.density_shares_) == {"decoder", "probabilistic_pca", "factor_analysis"}


def test_validation_rows_of_variants(bent):
    y = bent[:, 0] > 0
    options = {"max_epochs": 1, "random_state": 0}
    with pytest.raises(ValueError, match="X_val needs y_val"):
        ConditionalVAE(2, **options).fit(bent, y, X_val=bent)
    ConditionalVAE(2, **options).fit(bent, y, X_val=bent[:50], y_val=y[:50])
    noisy = bent + 0.1
    with pytest.raises(ValueError, match=r"given together.*got only X_clean"):
        DenoisingAutoencoder(2, **options).fit(noisy, X_clean=bent, X_val=noisy)
    pairs = DenoisingAutoencoder(2, **options)
    pairs.fit(noisy, X_clean=bent, X_val=noisy[:50], X_val_clean=bent[:50])
    assert len(pairs.validation_curve_) == 2
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 6"):
        AutoencoderTransformer(2).fit(bent, X_val=bent[:, :5])
    with pytest.raises(ValueError, match="infinity"):
        AutoencoderTransformer(2).fit(bent, X_val=bent * np.inf)


@every_estimator
@pytest.mark.parametrize(
    "splitter",
    [KFold(5), TimeSeriesSplit(4), StratifiedKFold(4), GroupShuffleSplit(1, random_state=0)],
    ids=lambda splitter: type(splitter).__name__,
)
def test_splitters(cls, splitter, bent):
    y, groups = np.arange(400) % 2, np.arange(400) // 8
    model = getattr(skae, cls.__name__)(2, validation_fraction=splitter, max_epochs=1)
    model.fit(bent, y, groups=groups if isinstance(splitter, GroupShuffleSplit) else None)
    assert len(model.validation_curve_) == 2


def test_a_splitter_holds_out_the_rows_of_its_last_split(bent):
    """Rows at the end: what is seen in training is the same whatever they are."""
    X = bent.copy()
    X[320:] = bent[320:][::-1]
    models = [
        AutoencoderTransformer(2, validation_fraction=KFold(5), max_epochs=2, random_state=0).fit(x)
        for x in (bent, X)
    ]
    assert_allclose(models[0].loss_curve_, models[1].loss_curve_, rtol=1e-5)
    assert_allclose(models[0].validation_curve_, models[1].validation_curve_, rtol=1e-5)


def test_groups_and_rows_through_a_pipeline(bent):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        model = AutoencoderTransformer(2, max_epochs=1).set_fit_request(groups=True, X_val=True)
        pipeline = Pipeline([("scale", StandardScaler()), ("ae", model)], transform_input=["X_val"])
        pipeline.fit(bent, groups=np.arange(400) // 4, X_val=bent[:40])
    assert len(pipeline["ae"].validation_curve_) == 2


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_groups_without_a_name(missing, bent):
    groups = np.array([missing, *["a", "b"] * 200][:400], dtype=object)
    with pytest.raises(ValueError, match=r"groups must have no missing values; got 1, .* row 0"):
        AutoencoderTransformer(2).fit(bent, groups=groups)


def test_errors(bent):
    model = AutoencoderTransformer(2, max_epochs=1)
    with pytest.raises(ValueError, match="at least 2 different values; got 1"):
        model.fit(bent, groups=np.zeros(400))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(bent, groups=np.zeros(399))
    with pytest.raises(ValueError, match="'validation_fraction' parameter"):
        AutoencoderTransformer(2, validation_fraction=2).fit(bent)
    with pytest.raises(ValueError, match="The 'groups' parameter should not be None"):
        AutoencoderTransformer(2, validation_fraction=GroupShuffleSplit(1)).fit(bent)


@pytest.mark.parametrize("noise", [0.05, 1e-3, 1e-9])
@pytest.mark.parametrize("copies", [2, 40])
def test_near_copies_are_noticed(noise, copies):
    X, label = subjects(0, 30, copies, noise)
    order = np.random.default_rng(0).permutation(len(X))
    found = near_copies(X[order] * [1e6, *19 * [1.0]])
    assert len({*zip(found, label[order], strict=True)}) == 30


def test_ordinary_tables_have_no_near_copies(table):
    rng = np.random.default_rng(0)
    for X in (
        table,
        rng.standard_normal((500, 1)),
        rng.uniform(size=(1000, 2)),
        rng.standard_normal((2000, 3)).cumsum(axis=0),
        rng.standard_cauchy((1000, 3)),
        rng.integers(5, size=(300, 20)).astype(float),
        rng.standard_normal((12, 4)),
    ):
        assert near_copies(X) is None


def test_groups_beside_rows_of_ones_own_change_nothing():
    X = scale(load_breast_cancer().data)
    options = {"random_state": 0, "max_epochs": 30}
    fits = [
        AutoencoderTransformer(2, **options).fit(X[:469], X_val=X[469:], groups=groups)
        for groups in (None, np.arange(469) // 5, np.zeros(469))
    ]
    assert fits[0].best_epoch_ > 0
    for other in fits[1:]:
        np.testing.assert_array_equal(other.transform(X), fits[0].transform(X))


def test_a_few_tight_clusters_are_no_copies():
    X, _ = make_blobs(1500, centers=15, n_features=8, cluster_std=0.5, random_state=0)
    model = AutoencoderTransformer(2, random_state=0, max_epochs=60).fit(X[:1000])
    assert model.score(X[1000:]) > 0.9


def test_a_large_table_trains_on_the_rows_of_a_splitter(bent, monkeypatch):
    """Rows in the gap before those held out are not trained on."""
    splitter = TimeSeriesSplit(4, gap=50)
    sizes = []

    class Watch(Callback):
        def on_batch_begin(self, net, batch, training, **kwargs):
            sizes.append(training * len(batch[0]))

    options = {"max_epochs": 1, "validation_fraction": splitter, "callbacks": [Watch()]}
    AutoencoderTransformer(2, **options).fit(bent)
    in_memory = sum(sizes)
    sizes.clear()
    small_memory(monkeypatch, resident=500)
    AutoencoderTransformer(2, **options).fit(bent)
    assert sum(sizes) == in_memory == 270


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ({"X_val": 1}, {"validation_fraction": KFold(2)}, r"got X_val and .*KFold\(n_splits=2"),
        ({"X_val": 1e200}, {}, "values of X_val must be within 1e"),
        ({"X_val": 7}, {"likelihood": "bernoulli"}, r"in \[0, 1\]; got X_val with values"),
        ({}, {"validation_fraction": PredefinedSplit([-1] * 400)}, "must make a split; got none"),
        ({}, {"validation_fraction": StratifiedKFold(5)}, r"cannot split 400 rows: .*fit\(X, y\)"),
        ({}, {"validation_fraction": KFold(500)}, "cannot split 400 rows: Cannot have number"),
    ],
)
def test_validation_rows_that_cannot_be(arguments, options, message, bent):
    X = (bent - bent.min(axis=0)) / np.ptp(bent, axis=0)
    if arguments:
        arguments = {"X_val": X[:50] * arguments["X_val"] + 1e-3}
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(2, max_epochs=2, **options).fit(X, **arguments)


def test_what_belongs_to_validation_rows_needs_them(bent):
    with pytest.raises(ValueError, match="X_val_clean belong to X_val; got X_val=None"):
        DenoisingAutoencoder(2).fit(bent, X_val_clean=bent)
