"""What users of PCA, autoencoders and skorch have reported, rebuilt with these estimators."""

import copy
import pickle
import sys
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
import torch
from joblib import Memory
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import SliceDataset
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader, Subset, TensorDataset

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    ConditionalVAE,
    DenoisingAutoencoder,
    VAETransformer,
)

FLOWERS, SPECIES = load_iris(return_X_y=True)
UNSUPERVISED = [
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    VAETransformer,
]


@pytest.fixture
def frame():
    return pd.DataFrame(FLOWERS, columns=list("abcd"), index=np.arange(150)[::-1] * 7)


class Counting(AutoencoderTransformer):
    """Counts how often any of it was fitted."""

    n_fits = 0

    def fit(self, X, y=None):
        Counting.n_fits += 1
        return super().fit(X, y)


def _pca_codes(X, k=2):
    return PCA(k, svd_solver="full").fit_transform(X)


def test_few_rows_of_many_integers():
    """PCA of a wide table of whole numbers failed where the solver was chosen."""
    X = np.random.default_rng(0).integers(0, 2, (10, 2048))
    model, pca = AutoencoderTransformer(n_components=2, max_epochs=0).fit(X), PCA(2).fit(X)
    np.testing.assert_allclose(model.singular_values_, pca.singular_values_)
    assert AutoencoderTransformer(n_components=2, max_epochs=2).fit_transform(X).shape == (10, 2)


def test_the_number_of_rows_in_chunks_does_not_overflow():
    """IncrementalPCA multiplied counts of rows as 32-bit integers, and found NaN in the end."""
    rng = np.random.default_rng(0)
    model, pca = AutoencoderTransformer(2, max_epochs=0), IncrementalPCA(2)
    for _ in range(24):
        chunk = rng.integers(0, 255, (10_000, 4), dtype=np.uint8)
        model.partial_fit(chunk)
        pca.partial_fit(chunk)
    assert model.n_samples_seen_ == 240_000
    np.testing.assert_allclose(model.explained_variance_, pca.explained_variance_, rtol=1e-6)


@pytest.mark.parametrize("k", [None, 4, 3])
def test_likelihood_of_fewer_rows_than_features(k):
    """`PCA.score` raised for fewer rows than features with as many components as there are."""
    rng = np.random.default_rng(0)
    X, new = rng.random((5, 100)), rng.random((5, 100))
    model = VAETransformer(n_components=k, max_epochs=0).fit(X)
    assert np.isfinite(model.score_samples(new)).all()
    assert model.score(X) > model.score(new)
    if k == 3:
        np.testing.assert_allclose(model.score_samples(new), PCA(3).fit(X).score_samples(new))


def test_ratios_of_single_precision_far_from_zero():
    """The explained variance ratios of PCA summed to 112 %."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((300, 5)) * [5, 3, 1, 0.5, 0.2] + 1e5).astype(np.float32)
    exact = PCA(5).fit(X.astype(float)).explained_variance_ratio_
    model = AutoencoderTransformer(None, max_epochs=0).fit(X)
    np.testing.assert_allclose(model.explained_variance_ratio_, exact, atol=1e-5)
    assert model.explained_variance_ratio_.sum() <= 1 + 1e-12
    trained = AutoencoderTransformer(3, max_epochs=5, random_state=0).fit(X)
    assert 0.9 < trained.explained_variance_ratio_.sum() <= 1 + 1e-12


@pytest.mark.parametrize("cls", UNSUPERVISED)
def test_data_frames_as_output_everywhere(cls, frame):
    """With pandas output for all transformers some lost the index or failed within themselves."""
    model = cls(2, max_epochs=2, random_state=0)
    with sklearn.config_context(transform_output="pandas"):
        framed = clone(model).fit(frame)
        codes = framed.fit_transform(frame)
        back, drawn = framed.inverse_transform(codes), framed.sample(3, random_state=0)
    plain = model.fit(frame)
    pd.testing.assert_index_equal(codes.index, frame.index)
    assert codes.columns.tolist() == plain.get_feature_names_out().tolist()
    np.testing.assert_array_equal(codes, plain.transform(frame))
    np.testing.assert_array_equal(back, plain.reconstruct(frame))
    np.testing.assert_array_equal(drawn, plain.sample(3, random_state=0))


def test_a_cache_of_a_pipeline_tells_models_apart(tmp_path):
    """Pipelines that cache their steps mixed up models, or never found them, beside torch."""
    memory, before = Memory(tmp_path, verbose=0), Counting.n_fits

    def fitted(**parameters):
        model = Counting(2, max_epochs=3, **parameters)
        pipeline = make_pipeline(model, LogisticRegression(max_iter=1000), memory=memory)
        return pipeline.fit(FLOWERS, SPECIES)[0].transform(FLOWERS)

    first = fitted(random_state=0)
    np.testing.assert_array_equal(fitted(random_state=0), first)
    assert Counting.n_fits == before + 1
    other = fitted(random_state=0, init="random", hidden_layer_sizes=(3,))
    assert Counting.n_fits == before + 2
    assert not np.allclose(other, first)


def test_searches_with_callbacks_are_copied_and_pickled():
    """Searches over nets with callbacks could be neither cloned, deep-copied nor pickled."""
    callbacks = [LRScheduler(ExponentialLR, gamma=0.9), ("stop", EarlyStopping(patience=2))]
    model = VAETransformer(max_epochs=2, random_state=0, callbacks=callbacks)
    search = GridSearchCV(model, {"n_components": [1, 2]}, cv=2).fit(FLOWERS)
    for twin in (copy.deepcopy(search), pickle.loads(pickle.dumps(search))):
        assert twin.best_params_ == search.best_params_
        np.testing.assert_array_equal(twin.transform(FLOWERS), search.transform(FLOWERS))


def test_parameters_that_change_between_chunks(bent):
    """Setting a learning rate on a trained net made its parts anew, and training was lost."""
    model = AutoencoderTransformer(2, random_state=0)
    for _ in range(3):
        model.partial_fit(bent)
    codes, score = model.transform(bent), model.score(bent)
    assert score > PCA(2).fit(bent).explained_variance_ratio_.sum() + 1e-3
    model.set_params(lr=1e-5)
    np.testing.assert_array_equal(model.transform(bent), codes)
    assert model.partial_fit(bent).score(bent) > score - 1e-3
    assert model.n_samples_ == 4 * len(bent)
    with pytest.raises(ValueError, match=r"latent_dim was 2 and is 3.*fit"):
        model.set_params(n_components=3).partial_fit(bent)


def test_a_share_of_variance_at_its_edges():
    """A share of nearly 1 gave more components than features, and an exact one gave too few."""
    shares = PCA().fit(FLOWERS).explained_variance_ratio_.cumsum()
    for share in (shares[0], shares[2], np.nextafter(shares[2], 1), 1 - 1e-12):
        model = AutoencoderTransformer(share, max_epochs=0).fit(FLOWERS)
        assert model.n_components_ == PCA(share).fit(FLOWERS).n_components_
    largest = AutoencoderTransformer(n_components=np.nextafter(1.0, 0.0), max_epochs=0)
    assert largest.fit(FLOWERS).n_components_ == 4


def test_long_tables_without_structure():
    """Scores of a long table of noise were far from those of an exact decomposition."""
    X = np.random.default_rng(0).standard_normal((20_000, 20))
    codes = AutoencoderTransformer(1, max_epochs=0).fit_transform(X)
    np.testing.assert_allclose(np.abs(codes), np.abs(_pca_codes(X, 1)), atol=1e-6)


def test_columns_of_decimals(frame):
    """Columns of decimal numbers, as databases and Parquet files give them, were refused late."""
    decimals = frame.map(lambda value: Decimal(str(value)))
    expected = AutoencoderTransformer(2, max_epochs=0).fit_transform(frame)
    for table in (decimals, decimals.astype(pd.ArrowDtype(pa.decimal128(5, 2)))):
        model = AutoencoderTransformer(2, max_epochs=0).fit(table)
        np.testing.assert_allclose(model.transform(table), expected, atol=1e-9)


def test_nullable_columns_behind_a_column_transformer(frame):
    """A ColumnTransformer turned nullable columns into objects, which the next step refused."""
    nullable = frame.convert_dtypes().assign(e=pd.array([1, 0] * 75, dtype="Int64"))
    columns = make_column_transformer(("passthrough", nullable.columns.tolist()))
    pipeline = make_pipeline(columns, AutoencoderTransformer(2, max_epochs=0))
    expected = _pca_codes(nullable.astype(float))
    np.testing.assert_allclose(
        np.abs(pipeline.fit_transform(nullable)), np.abs(expected), atol=1e-9
    )


def test_errors_of_bytes_do_not_overflow():
    """Mean squared errors of images in bytes were wrong, as differences wrapped around."""
    images = (load_digits().data * 15.9).astype(np.uint8)
    model = AutoencoderTransformer(8, max_epochs=0).fit(images)
    expected = PCA(8).fit(images.astype(float)).explained_variance_ratio_.sum()
    assert model.score(images) == pytest.approx(expected, abs=1e-4)
    denoiser = DenoisingAutoencoder(8, max_epochs=0).fit(255 - images, X_clean=images)
    assert denoiser.score(255 - images, X_clean=images) == pytest.approx(expected, abs=1e-3)


def test_reconstructions_have_the_mean_of_the_rows():
    """The inverse of KernelPCA gave tables of mean zero, whatever the mean of the rows."""
    X = FLOWERS + [100.0, -50.0, 0.0, 1e4]
    model = AutoencoderTransformer(2, max_epochs=0).fit(X)
    np.testing.assert_allclose(model.reconstruct(X).mean(axis=0), X.mean(axis=0))
    trained = AutoencoderTransformer(2, max_epochs=10, random_state=0).fit(X)
    np.testing.assert_allclose(trained.reconstruct(X).mean(axis=0), X.mean(axis=0), atol=0.05)


def test_values_below_zero_are_reconstructed():
    """The last layer of a VAE was rectified, so it could not give back values below zero."""
    rng = np.random.default_rng(0)
    X = -np.abs(rng.standard_normal((300, 2))) @ rng.random((2, 6)) - 1
    X += 0.05 * rng.standard_normal(X.shape)
    expected = PCA(2).fit(X).explained_variance_ratio_.sum()
    for cls in (AutoencoderTransformer, VAETransformer):
        model = cls(2, max_epochs=10, random_state=0).fit(X)
        left = np.square(X - model.reconstruct(X)).sum() / np.square(X - X.mean(axis=0)).sum()
        assert 1 - left > expected - 0.01
        assert model.reconstruct(X).max() < 0


@pytest.mark.parametrize("cls", UNSUPERVISED)
def test_what_labels_hold_does_not_matter(cls):
    """Detectors that ignore labels, by their documentation, failed where these were NaN."""
    model = cls(2, max_epochs=2, random_state=0)
    expected = clone(model).fit_transform(FLOWERS)
    for y in (np.full(150, np.nan), np.array(["a", None, "b"] * 50, dtype=object)):
        np.testing.assert_array_equal(clone(model).fit(FLOWERS, y).transform(FLOWERS), expected)


def test_targets_are_transformed_and_back():
    """Transformers of targets lost an axis, or the targets' shape."""
    X, Y = FLOWERS[:, 2:], FLOWERS[:, :2]
    for target, k in ((Y, 2), (Y[:, 0], 1)):
        transformer = AutoencoderTransformer(k, max_epochs=0)
        model = TransformedTargetRegressor(LinearRegression(), transformer=transformer)
        expected = LinearRegression().fit(X, target).predict(X)
        np.testing.assert_allclose(model.fit(X, target).predict(X), expected)


def test_groups_are_routed_to_splits_and_to_the_estimator(bent):
    """With metadata routing, groups reached the splitter but not the estimator, or neither."""
    groups, cv = np.arange(len(bent)) // 4, GroupKFold(3)
    model = AutoencoderTransformer(2, max_epochs=3, random_state=0)
    expected = [
        clone(model).fit(bent[train], groups=groups[train]).score(bent[test])
        for train, test in cv.split(bent, groups=groups)
    ]
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(model).set_fit_request(groups=True)
        scores = cross_val_score(routed, bent, params={"groups": groups}, cv=cv)
        with pytest.raises(ValueError, match=r"AutoencoderTransformer\.fit.*set_fit_request"):
            make_pipeline(StandardScaler(), clone(model)).fit(bent, groups=groups)
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("cls", UNSUPERVISED)
def test_another_default_device_of_torch(cls):
    """With a default device of torch's own, shuffling and random draws failed on every batch."""
    model = cls(2, max_epochs=2, random_state=0)
    expected = clone(model).fit(FLOWERS)
    with torch.device("meta"):
        other = clone(model).fit(FLOWERS)
        codes, drawn = other.transform(FLOWERS), other.sample(3, random_state=0)
    np.testing.assert_array_equal(codes, expected.transform(FLOWERS))
    np.testing.assert_array_equal(drawn, expected.sample(3, random_state=0))


@pytest.mark.parametrize("spread", [(1, 1, 1, 1), (3, 2, 1, 1), (3, 3, 1, 1)])
def test_a_number_of_components_that_cannot_be_estimated(spread):
    """Minka's estimate ended in "math domain error" where two variances are equal."""
    X = np.vstack([np.diag(spread), -np.diag(spread)]).astype(float)
    with pytest.raises(ValueError, match=r"n_components='mle'.*Give a number of components"):
        AutoencoderTransformer(n_components="mle", max_epochs=0).fit(X)


@pytest.mark.parametrize("verb", ["transform", "score", "reconstruct", "partial_fit"])
def test_conditions_in_another_order(verb, frame):
    """Columns in another order than in fit gave other results without a word."""
    X, conditions = frame[["a", "b"]], frame[["c", "d"]]
    model = ConditionalVAE(1, max_epochs=0).fit(X, conditions)
    with pytest.raises(ValueError, match=r"(?s)names.*order"):
        getattr(model, verb)(X, conditions[["d", "c"]])


@pytest.mark.parametrize("cls", UNSUPERVISED)
def test_codes_in_another_order(cls, frame):
    """A frame of components with its columns in another order was inverted without a word."""
    model = cls(2, max_epochs=0).set_output(transform="pandas").fit(frame)
    codes = model.transform(frame)
    with pytest.raises(ValueError, match=r"(?s)names.*order"):
        model.inverse_transform(codes[codes.columns[::-1]])


@pytest.mark.parametrize("kind", ["requires_grad", "bfloat16"])
def test_tensors_as_networks_give_them(kind):
    """Embeddings straight from a network were refused with texts of torch about numpy."""
    X = torch.tensor(FLOWERS, requires_grad=kind == "requires_grad")
    X = X.bfloat16() if kind == "bfloat16" else X
    rows = X.detach().double().numpy()
    model = AutoencoderTransformer(2, max_epochs=0).fit(X)
    expected = np.abs(_pca_codes(rows))
    np.testing.assert_allclose(np.abs(model.transform(X)), expected, atol=1e-5)
    codes = torch.tensor(model.transform(rows), requires_grad=True)
    np.testing.assert_allclose(model.inverse_transform(codes), model.reconstruct(rows))


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_sparse_tensors(layout):
    """Sparse tensors were refused with torch's list of its own backends, or about strides."""
    X = getattr(torch.tensor(FLOWERS), layout)()
    with pytest.raises(TypeError, match=r"X must be dense.*X\.to_dense\(\)"):
        AutoencoderTransformer(2, max_epochs=0).fit(X)


def test_slices_of_a_torch_dataset():
    """A dataset in skorch's SliceDataset, which searches can split, failed in fit."""
    X = SliceDataset(Dataset(FLOWERS.astype(np.float32), SPECIES))
    model = AutoencoderTransformer(2, max_epochs=0).fit(X)
    np.testing.assert_allclose(np.abs(model.transform(X)), np.abs(_pca_codes(FLOWERS)), atol=1e-4)
    search = GridSearchCV(VAETransformer(max_epochs=0), {"n_components": [1, 2]}, cv=3)
    expected = clone(search).fit(FLOWERS).best_score_
    assert search.fit(X).best_score_ == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("part", [False, True])
def test_torch_datasets(labels, part):
    """Datasets of rows in tuples were taken for images, or for sequences of unequal lengths."""
    tensors = [torch.tensor(FLOWERS), torch.tensor(SPECIES)][: 1 + labels]
    X = TensorDataset(*tensors)
    X = Subset(X, range(100)) if part else X
    what = "Subset" if part else "TensorDataset"
    with pytest.raises(TypeError, match=rf"X must be an array of rows; got a {what}"):
        AutoencoderTransformer(2, max_epochs=0).fit(X)


def test_the_advice_on_a_data_loader_works():
    """Users gave a DataLoader to fit, and were told nothing that helped."""
    X = DataLoader(torch.tensor(FLOWERS), batch_size=64)
    with pytest.raises(TypeError, match="got a DataLoader") as error:
        AutoencoderTransformer(2, max_epochs=0).fit(X)
    advice = str(error.value).partition("together with ")[2].partition(", for example")[0]
    rows = eval(advice, {"np": np, "torch": torch, "X": X})  # as a user would
    np.testing.assert_array_equal(rows, FLOWERS)


def test_parameters_of_callbacks():
    """Searches over the parameters of a callback failed with texts about lists."""
    model = AutoencoderTransformer(2, max_epochs=2, callbacks=[("stop", EarlyStopping())])
    with pytest.raises(ValueError, match=r"callbacks__stop__patience.*callbacks="):
        model.set_params(callbacks__stop__patience=3)


def test_a_progress_bar_where_there_is_no_console(monkeypatch):
    """Programs without a console have no stderr, and a progress bar ended training."""
    expected = AutoencoderTransformer(2, max_epochs=2, random_state=0).fit(FLOWERS)
    monkeypatch.setattr(sys, "stderr", None)
    model = AutoencoderTransformer(2, max_epochs=2, random_state=0, verbose=1).fit(FLOWERS)
    np.testing.assert_array_equal(model.transform(FLOWERS), expected.transform(FLOWERS))


@pytest.mark.parametrize("names", [["a", "a", "b", "c"], [0, 0, 1, 2]])
def test_columns_of_the_same_name(names):
    """Two columns of one name, as joins leave them, ended in texts of another library."""
    X = pd.DataFrame(FLOWERS, columns=names)
    message = rf"X must have.* names.*{names[0]!r}.*(Rename|X\.columns)"
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(2, max_epochs=0).fit(X)


def test_a_column_of_labels_is_warned_of_once():
    """A column of labels gave the same warning several times, at a line of the library's own."""
    model = ConditionalVAE(1, max_epochs=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(FLOWERS, SPECIES[:, None])
        model.transform(FLOWERS, SPECIES[:, None])
    assert [warning.category for warning in caught] == [DataConversionWarning] * 2
    assert {warning.filename for warning in caught} == {__file__}
