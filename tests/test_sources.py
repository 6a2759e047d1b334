"""Tables that are read by blocks: what they are, and that they teach what arrays teach."""

import dask.array
import h5py
import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch
import zarr
from _sizes import ample_device, small_memory
from skorch.callbacks import Callback

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SuperResolutionAutoencoder,
    VAETransformer,
)
from skae.data.batches import Reader, StreamedRows
from skae.data.sources import Stream, blocks, is_stream
from skae.data.table import Table


@pytest.fixture(autouse=True)
def little_memory(monkeypatch):
    """All but the smallest tables are too large to copy, and blocks are small."""
    small_memory(monkeypatch, resident=500, block=600, group=480, kept=360)
    small_memory(monkeypatch, shuffled_block=60, shuffled_block_in_memory=18)


class Slices:
    """As little as a table on disk has, watching how much of it is read at a time."""

    def __init__(self, X):
        self.table = X
        self.shape = X.shape
        self.dtype = X.dtype
        self.most = 0
        self.read = 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        block = self.table[rows]
        self.most = max(self.most, len(block))
        self.read += len(block)
        return block


def as_memmap(X, path, mode="r"):
    np.save(path / "X.npy", X)
    return np.load(path / "X.npy", mmap_mode=mode)


def as_zarr(X, path):
    return zarr.create_array(store=path / "X.zarr", data=X, chunks=(70, 4))


def as_h5py(X, path):
    return h5py.File(path / "X.h5", "w").create_dataset("X", data=X, chunks=(70, 2))


def as_dask(X, path):
    return dask.array.from_array(X, chunks=(70, 3))


def as_arrow(X, path):
    return pyarrow.table({f"x{column}": values for column, values in enumerate(X.T)})


def as_arrow_frame(X, path):
    return pd.DataFrame(X, columns=list("abcdef")).convert_dtypes(dtype_backend="pyarrow")


def as_frame_of_two_types(X, path):
    return pd.DataFrame(X, columns=list("abcdef")).astype({"a": np.float32})


def as_slices(X, path):
    return Slices(X)


KINDS = [
    as_memmap,
    as_zarr,
    as_h5py,
    as_dask,
    as_arrow,
    as_arrow_frame,
    as_frame_of_two_types,
    as_slices,
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def streamed(request, bent, tmp_path):
    return request.param(bent, tmp_path)


def test_every_kind_is_read_by_blocks(streamed, bent, monkeypatch):
    assert is_stream(streamed)
    small_memory(monkeypatch, resident=10_000)
    assert not is_stream(streamed)


def test_the_closed_form_is_the_same(streamed, bent, monkeypatch):
    model = AutoencoderTransformer(2, max_epochs=0).fit(streamed)
    codes, rows = model.transform(streamed), model.reconstruct(streamed)
    score = model.score_samples(streamed)
    small_memory(monkeypatch, resident=10_000)
    reference = AutoencoderTransformer(2, max_epochs=0).fit(bent)
    tolerance = {"rtol": 0, "atol": 1e-6 if isinstance(streamed, pd.DataFrame) else 1e-12}
    np.testing.assert_allclose(codes, reference.transform(bent), **tolerance)
    np.testing.assert_allclose(rows, reference.reconstruct(bent), **tolerance)
    np.testing.assert_allclose(score, reference.score_samples(bent), **tolerance)
    np.testing.assert_allclose(model.mean_, reference.mean_, **tolerance)
    assert model.n_samples_ == 400


@pytest.mark.parametrize("kind", [as_memmap, as_zarr, as_slices])
def test_training_learns_as_much_as_in_memory(kind, bent, tmp_path, monkeypatch):
    streamed = kind(bent[:300], tmp_path)
    options = {"max_epochs": 60, "random_state": 0}
    models = [AutoencoderTransformer(2, **options).fit(streamed)]
    models += [VAETransformer(2, **options).fit(streamed)]
    small_memory(monkeypatch, resident=10_000)
    for model in models:
        reference = type(model)(2, **options).fit(bent[:300])
        start = type(model)(2, max_epochs=0).fit(bent[:300])
        gain, expected = (m.score(bent[300:]) - start.score(bent[300:]) for m in (model, reference))
        assert gain > 0.75 * expected > 0


def test_nothing_is_read_whole(bent):
    X = Slices(bent)
    model = DenoisingAutoencoder(2, max_epochs=2, random_state=0).fit(X)
    assert X.most <= 100  # the 600 numbers that a block may have
    # The moments, and two epochs of the rows that are not held out.
    assert X.read <= 3 * len(bent)
    X.most = 0
    model.transform(X), model.score(X), model.denoise(X)
    assert X.most <= 100


def test_chunks_are_read_by_blocks(bent):
    X, held_out = Slices(bent), []

    class Watch(Callback):
        def on_batch_begin(self, net, batch, training, **kwargs):
            held_out.append(0 if training else len(batch[0]))

    options = {"validation_fraction": 0.5, "random_state": 0, "callbacks": [Watch()]}
    model = AutoencoderTransformer(2, **options)
    for of_all_chunks in (60, 120):  # no more of each are kept in memory
        held_out.clear()
        model.partial_fit(X)
        assert sum(held_out) == of_all_chunks
    assert model.n_samples_ == 800
    assert X.most <= 100


def test_a_large_array_in_memory_gives_the_same_as_a_stream(bent):
    options = {"max_epochs": 3, "random_state": 0}
    array = AutoencoderTransformer(2, **options).fit(bent)
    stream = AutoencoderTransformer(2, max_epochs=0).fit(Slices(bent))
    assert isinstance(array.net_, type(stream.net_))
    np.testing.assert_allclose(array.mean_, stream.mean_, rtol=1e-13)
    assert array.n_iter_ == 3
    assert len(array.validation_curve_) == 4


@pytest.mark.parametrize("integers", [np.int16, bool])
def test_large_tables_of_integers_are_not_turned_into_floats_whole(integers, bent):
    X = (10 * bent).astype(integers)
    assert is_stream(X)
    codes = AutoencoderTransformer(2, max_epochs=0).fit_transform(X)
    reference = AutoencoderTransformer(2, max_epochs=0).fit_transform(X.astype(float))
    np.testing.assert_allclose(codes, reference, atol=1e-12)


def test_what_is_not_a_stream(bent):
    import scipy.sparse

    for X in (bent, bent.astype(np.float32), pd.DataFrame(bent), bent.tolist()):
        assert not is_stream(X)
    for X in (scipy.sparse.csr_array(bent), torch.tensor(bent), bent.astype(complex), bent[0]):
        assert not is_stream(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.uint8])
def test_dtypes(dtype, bent):
    expected = np.float32 if dtype == np.float32 else np.float64
    model = AutoencoderTransformer(2, max_epochs=0).fit(Slices(np.abs(bent).astype(dtype)))
    assert model.transform(Slices(np.abs(bent).astype(dtype))).dtype == expected


def test_names_of_features(bent, tmp_path):
    frame = as_frame_of_two_types(bent, tmp_path)
    model = AutoencoderTransformer(2, max_epochs=0).set_output(transform="pandas").fit(frame)
    assert list(model.feature_names_in_) == list("abcdef")
    assert list(model.transform(frame).columns) == [
        "autoencodertransformer0",
        "autoencodertransformer1",
    ]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame.rename(columns={"a": "z"}))


def test_bad_values_are_found_wherever_they_are(bent):
    X = bent.copy()
    X[333, 4] = np.inf
    with pytest.raises(ValueError, match="Input X contains infinity"):
        AutoencoderTransformer(2).fit(Slices(X))
    model = AutoencoderTransformer(2, max_epochs=0).fit(bent)
    for method in (model.transform, model.score_samples, model.reconstruct):
        with pytest.raises(ValueError, match="Input X contains infinity"):
            method(Slices(X))
    X[333, 4] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        AdversarialAutoencoder(2).fit(Slices(X))
    with pytest.raises(ValueError, match="6 features"):
        model.transform(Slices(bent[:, :5]))
    with pytest.raises(ValueError, match=r"bernoulli' needs values in \[0, 1\]"):
        VAETransformer(2, likelihood="bernoulli").fit(Slices(bent))


def test_an_unknown_number_of_rows(bent):
    X = dask.array.from_array(bent, chunks=(70, 6))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        AutoencoderTransformer(2).fit(X[X[:, 0] > 0])


def test_a_private_map_keeps_what_was_written_to_it(bent, tmp_path):
    X = as_memmap(bent, tmp_path, mode="c")
    X[:] = 7.0 + X
    model = AutoencoderTransformer(2, max_epochs=0).fit(X)
    np.testing.assert_allclose(model.mean_, 7.0 + bent.mean(axis=0))
    np.testing.assert_array_equal(X, 7.0 + bent)


def test_pairs(bent, tmp_path, monkeypatch):
    noisy = bent + np.random.default_rng(0).normal(0, 0.3, bent.shape)
    options = {"max_epochs": 0, "random_state": 0}
    model = DenoisingAutoencoder(2, **options).fit(Slices(noisy), X_clean=as_zarr(bent, tmp_path))
    denoised = model.denoise(Slices(noisy))
    DenoisingAutoencoder(2, max_epochs=2).fit(Slices(noisy), X_clean=Slices(bent))
    small_memory(monkeypatch, resident=10_000)
    reference = DenoisingAutoencoder(2, **options).fit(noisy, X_clean=bent)
    np.testing.assert_allclose(denoised, reference.denoise(noisy), atol=1e-12)


def test_what_fits_on_a_gpu_is_put_there_whole(bent, monkeypatch):
    ample_device(monkeypatch)
    options = {"max_epochs": 30, "random_state": 0}
    X = Slices(bent)
    model = AutoencoderTransformer(2, **options).fit(X)
    assert X.read == 2 * len(bent)  # the moments and the copy, whatever the epochs
    assert model.score(bent) > AutoencoderTransformer(2, max_epochs=0).fit(bent).score(bent)


def test_products_on_another_device(bent):
    calls = []

    def gram(rows):
        calls.append(len(rows))
        return rows.T @ rows

    table = Table.of(bent, None, gram)
    assert sum(calls) == 400
    np.testing.assert_array_equal(table.covariance(), Table.of(bent).covariance())


def test_no_rows_held_out(bent):
    model = AutoencoderTransformer(2, max_epochs=2, validation_fraction=None).fit(Slices(bent))
    assert len(model.validation_curve_) == 0
    assert model.best_epoch_ == 2
    assert model.sample(3).shape == (3, 6)


@pytest.mark.parametrize("source", [Slices, np.asarray])
@pytest.mark.parametrize("held_out", [[], [0, 7, 8, 9, 10, 11, 399], list(range(395))])
def test_a_pass_has_every_training_row_once(source, held_out):
    X = np.arange(2400.0).reshape(400, 6)
    source = Stream(Slices(X)) if source is Slices else X
    reader = Reader(source, np.zeros(6), 1.0)
    rows = StreamedRows(reader, reader, np.array(held_out, dtype=int), "cpu")
    assert len(rows) == 400 - len(held_out)
    passes = rows.batches(16, torch.Generator().manual_seed(0))
    seen = []
    for _ in range(2):
        batches = list(passes)
        assert [len(x) for x, _ in batches[:-1]] == [16] * (len(batches) - 1)
        seen.append(torch.cat([x for x, _ in batches])[:, 0].numpy() / 6)
    for order in seen:
        np.testing.assert_array_equal(np.sort(order), np.setdiff1d(np.arange(400), held_out))
    if len(held_out) < 100:
        assert (seen[0] != seen[1]).any()
        # Neighbours in a batch come from all over the table.
        assert np.median(np.abs(np.diff(seen[0]))) > 20


def test_moments_with_a_first_block_that_is_far_out():
    X = np.random.default_rng(0).standard_normal((4000, 6))
    X[:100] += 1e6
    assert len(list(blocks(X))) > 1
    table = Table.of(X)
    np.testing.assert_allclose(table.covariance() * table.scale**2, np.cov(X.T), rtol=1e-9)
    np.testing.assert_allclose(table.mean, X.mean(axis=0), rtol=1e-12)


def test_a_wide_table_where_nothing_varies(monkeypatch):
    small_memory(monkeypatch, sketch=20, exact_length=100)
    X = np.full((150, 200), 3.0)
    np.testing.assert_allclose(AutoencoderTransformer(2, max_epochs=1).fit(X).reconstruct(X), X)


def test_lazy_shapes(bent):
    import dask.dataframe as frames

    frame = frames.from_pandas(pd.DataFrame(bent, columns=list("abcdef")), npartitions=2)
    assert not is_stream(frame)


def test_blocks_of_chunks(bent, tmp_path, monkeypatch):
    X = Stream(as_zarr(bent, tmp_path))
    firsts, sizes = zip(*[(first, len(block)) for first, block in blocks(X, 300)], strict=True)
    assert firsts[:4] == (0, 50, 70, 120)  # chunks of 70, in parts of 300 numbers
    assert X.step(fine=True) == 70
    small = Stream(zarr.create_array(store=tmp_path / "Y.zarr", data=bent, chunks=(3, 6)))
    assert small.step() == 99  # whole chunks, up to 600 numbers
    small_memory(monkeypatch, chunk=240)
    assert X.step(fine=True) == 40
    assert sum(sizes) == 400
    chosen = np.array([3, 69, 70, 399])
    np.testing.assert_array_equal(X[chosen], bent[chosen])


def test_leading_axes_of_a_wide_table(monkeypatch):
    """What is too wide and too long for exact methods loses next to nothing to PCA."""
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 20)) * np.linspace(3, 1, 20) @ rng.standard_normal((20, 200))
    X += rng.standard_normal(X.shape) + 50.0
    small_memory(monkeypatch, sketch=40, exact_width=100, exact_length=100)
    pca = PCA(4, svd_solver="full").fit(X)
    best = np.square(X - pca.inverse_transform(pca.transform(X))).sum()
    for source, bound in ((X, 1.0001), (Slices(X), 1.01)):
        model = AutoencoderTransformer(4, max_epochs=0).fit(source)
        assert np.square(X - model.reconstruct(X)).sum() < bound * best
    values, axes = Table.of(X).principal_axes(4)
    assert len(values) == 150
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-10)
    scale = Table.of(X).scale
    np.testing.assert_allclose(values[:4] * scale**2, pca.explained_variance_, rtol=1e-3)
    assert values.sum() * scale**2 == pytest.approx(X.var(axis=0, ddof=1).sum())


def test_a_share_of_variance_that_a_sketch_does_not_reach(monkeypatch):
    X = np.random.default_rng(0).standard_normal((150, 200))
    small_memory(monkeypatch, sketch=20, exact_length=100)
    with pytest.raises(ValueError, match=r"latent_dim=0\.9 takes more than 20 codes"):
        AutoencoderTransformer(0.9).fit(X)
    few = AutoencoderTransformer(0.1, max_epochs=0).fit(X)
    small_memory(monkeypatch, resident=100_000)  # where there is memory it is exact
    assert AutoencoderTransformer(0.9, max_epochs=0).fit(X).latent_dim_ > 80
    assert AutoencoderTransformer(0.1, max_epochs=0).fit(X).latent_dim_ == few.latent_dim_


# Sources that give something else than they say


class Liar(Slices):
    """Rows of which some are given as `lie` makes them, in passes after the first `honest`."""

    def __init__(self, X, lie, honest=0):
        super().__init__(X)
        self.lie, self.honest, self.passes = lie, honest, 0

    def __getitem__(self, rows):
        block = super().__getitem__(rows)
        self.passes += rows.start == 0
        return self.lie(block) if rows.start >= 200 and self.passes > self.honest else block


def fail(block):
    raise OSError("the disk is gone")


LIES = {
    "fewer": (lambda block: block[:-1], r"got shape \(99, 6\) and dtype float64"),
    "more": (lambda block: np.concatenate([block, block[:1]]), r"got shape \(101, 6\)"),
    "none": (lambda block: block[:0], r"got shape \(0, 6\)"),
    "narrow": (lambda block: block[:, :1], r"got shape \(100, 1\)"),
    "flat": (lambda block: block.ravel(), r"got shape \(\d+,\)"),
    "one axis more": (lambda block: block[None], r"got shape \(1, 100, 6\)"),
    "strings": (lambda block: block.astype(str), r"dtype <U\d+"),
    "objects": (lambda block: block.astype(object), r"dtype object"),
    "complex": (lambda block: block + 1j, r"dtype complex128"),
    "dates": (lambda block: block.astype("i8").astype("M8[s]"), r"dtype datetime64\[s\]"),
    "scalar": (lambda block: 3.0, r"got 3\.0\."),
    "nothing": (lambda block: None, r"got None\."),
}


@pytest.mark.parametrize("lie", LIES)
def test_blocks_that_are_not_what_was_asked_for(lie, bent):
    lie, got = LIES[lie]
    model = AutoencoderTransformer(2, max_epochs=0).fit(bent)
    vae = VAETransformer(2, max_epochs=0).fit(bent)
    images = SuperResolutionAutoencoder(2, max_epochs=0).fit(np.hstack([bent, bent]))
    before = model.transform(bent[:5])
    for name, function in [
        ("X", lambda X: AutoencoderTransformer(2, max_epochs=0).fit(X)),
        ("X", lambda X: AutoencoderTransformer(2).partial_fit(X)),
        ("X", model.fit),
        ("X", model.partial_fit),
        ("X", model.transform),
        ("X", model.reconstruct),
        ("X", vae.score_samples),
        ("X_clean", lambda X: DenoisingAutoencoder(2).fit(bent, X_clean=X)),
        ("X_low", images.upscale),
    ]:
        due = rf"Rows 200 to 300 of {name} must be numbers of shape \(100, 6\), as the shape of "
        message = due + rf"{name} is \(400, 6\); .*{got}.*Check what"
        with pytest.raises(ValueError, match=message):
            function(Liar(bent, lie))
    np.testing.assert_array_equal(model.transform(bent[:5]), before)


def test_blocks_of_images(bent):
    X = bent.reshape(400, 1, 2, 3)
    due = r"Rows 200 to 300 of X must be numbers of shape \(100, 1, 2, 3\), .*; got shape "
    for lie, got in [
        (lambda block: block[:-1], r"\(99, 1, 2, 3\)"),
        (lambda block: block[:, :, :1], r"\(100, 1, 1, 3\)"),
        (lambda block: block.reshape(-1, 1, 3, 2), r"\(100, 1, 3, 2\)"),  # of as many numbers
    ]:
        with pytest.raises(ValueError, match=due + got):
            AutoencoderTransformer(2, network="conv").fit(Liar(X, lie))


@pytest.mark.parametrize("lie", ["fewer", "none", "nothing"])
def test_blocks_that_change_after_the_first_pass(lie, bent):
    model = AutoencoderTransformer(2, max_epochs=2, random_state=0).fit(bent)
    before = model.transform(bent[:5])
    X = Liar(bent, LIES[lie][0], honest=1)
    with pytest.raises(ValueError, match=r"Rows \d+ to \d+ of X must be numbers of shape"):
        model.fit(X)
    assert X.passes == 2
    np.testing.assert_array_equal(model.transform(bent[:5]), before)


@pytest.mark.parametrize("honest", [0, 1])
def test_a_source_that_fails(honest, bent):
    with pytest.raises(OSError, match="the disk is gone") as raised:
        AutoencoderTransformer(2, max_epochs=2, random_state=0).fit(Liar(bent, fail, honest))
    (note,) = raised.value.__notes__
    assert note.startswith("This happened while rows ")
    assert note.endswith(" of X were read.")


def test_what_a_source_hides(bent):
    """Entries that are masked are missing, and float32 does not hold every float64."""
    masked = Liar(bent, lambda block: np.ma.masked_less(block, -1.9))
    row, column = np.argwhere(np.where(np.arange(400)[:, None] >= 200, bent, 0.0) < -1.9)[0]
    message = rf"Input X contains NaN in columns? .*{column}.*, first in row {row}\."
    with pytest.raises(ValueError, match=message):
        AdversarialAutoencoder(2).fit(masked)
    large = Liar(bent.astype(np.float32), lambda block: 1e300 * block.astype(float))
    with pytest.raises(
        ValueError, match=r"contains infinity.* in columns 0, .*, first in row 200\."
    ):
        AutoencoderTransformer(2).fit(large)


def test_blocks_of_other_numbers_are_taken(bent):
    expected = AutoencoderTransformer(2, max_epochs=0).fit(bent).mean_
    for given in (lambda block: block.tolist(), torch.tensor, np.ma.array):
        model = AutoencoderTransformer(2, max_epochs=0).fit(Liar(bent, given))
        np.testing.assert_allclose(model.mean_, expected)


@pytest.mark.parametrize(
    "cls", [AutoencoderTransformer, VAETransformer, SuperResolutionAutoencoder]
)
def test_validation_rows_may_be_a_stream(cls, bent, monkeypatch):
    rows, X_val = bent[:60], bent[60:]
    options = {"max_epochs": 2, "random_state": 0}
    expected = cls(2, **options).fit(rows, X_val=X_val)
    small_memory(monkeypatch, resident=500)
    model = cls(2, **options).fit(rows, X_val=Slices(X_val))
    np.testing.assert_array_equal(model.validation_curve_, expected.validation_curve_)
