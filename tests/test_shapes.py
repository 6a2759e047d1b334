"""Rows in a shape of their own, and the networks that need one."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from _estimators import ESTIMATORS, LIKELIHOODS
from _sizes import small_memory
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch import nn
from torch.nn import functional as F

from skae import AutoencoderTransformer, VAETransformer
from skae.likelihoods import as_likelihood
from skae.nn.conv import LinearImages, Unet, conv_networks
from skae.nn.mlp import mlp
from skae.nn.networks import Sizes, largest_product, widest_layer
from skae.nn.own import own_networks
from skae.starts.start import Start

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
SHAPES = [(1, 8, 8), (3, 7, 5), (2, 1, 9), (1, 1, 1)]


@pytest.fixture(scope="module")
def images():
    """300 images of 2 x 7 x 5: a bright spot somewhere, which PCA cannot follow."""
    rng = np.random.default_rng(0)
    row, column = rng.uniform(0, 7, 300), rng.uniform(0, 5, 300)
    y, x = np.mgrid[:7, :5] + 0.5
    squares = (y - row[:, None, None]) ** 2 + (x - column[:, None, None]) ** 2
    spot = np.exp(-squares / 2)
    return np.stack([spot, 1 - spot], axis=1) + 0.02 * rng.standard_normal((300, 2, 7, 5))


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [(), (4,), (4, 6), (4, 5, 6, 7)])
def test_conv_networks_of_any_size(shape, channels):
    state = torch.get_rng_state()
    sizes = Sizes(shape, n_codes=4, latent_dim=2, n_conditions=3)
    n_features = int(np.prod(shape))
    x, z = torch.randn(5, n_features + 3, generator=generator()), torch.ones(2, 5, 2 + 3)
    encoder, decoder = conv_networks(sizes, channels, "silu", generator(), last_zero=False)
    assert encoder(x).shape == (5, 4)
    assert decoder(z).shape == (2, 5, n_features)
    torch.testing.assert_close(decoder(z)[0, 0], decoder(z[0, :1])[0])
    encoder, decoder = conv_networks(sizes, channels, "silu", generator(), last_zero=True)
    assert not encoder(x).any()
    assert not decoder(z).any()
    assert torch.equal(torch.get_rng_state(), state)


def linear_model(shape, k, rng, **other):
    """An initial model of images with an orthonormal decoder, with a mean image."""
    n_features = int(np.prod(shape))
    axes = np.linalg.qr(rng.standard_normal((n_features, k)))[0]
    mean = rng.standard_normal(n_features)
    numbers = {"noise_variance": 0.25, "log_variance": np.zeros(k), "explained": np.ones(k)}
    return Start(
        mean=mean,
        scale=2.0,
        input_mean=mean,
        input_scale=2.0,
        encoder=axes / 3.0,
        encoder_bias=np.zeros(k),
        decoder=3.0 * axes.T,
        decoder_bias=np.zeros(n_features),
        code_scale=np.ones(k),
        **{**numbers, **other},
    )


def test_unet_against_the_functions_of_torch():
    """Stages down, further inputs at the lowest one, then up with what was skipped."""
    net = Unet((7, 5), 2, 3, (4, 6), 2, "tanh", generator())
    image, extra = torch.randn(9, 2, 7, 5, generator=generator()), torch.ones(9, 2)
    first = F.conv2d(image, net.down[0].weight, net.down[0].bias, stride=2, padding=1).tanh()
    x = F.conv2d(first, net.down[1].weight, net.down[1].bias, stride=2, padding=1).tanh()
    x = x + net.extra(extra).view(9, 6, 1, 1)
    for same, up, skipped in zip(net.same, net.up, (first, image), strict=True):
        x = x + F.conv2d(x, same.weight, same.bias, padding=1).tanh()
        x = F.conv_transpose2d(x, up.weight, up.bias, stride=2, padding=1)
        x = x[..., : skipped.shape[2], : skipped.shape[3]]
        x = (x + skipped).tanh() if skipped is first else x
    torch.testing.assert_close(net(image, extra), x)


@pytest.mark.parametrize("shape", [(3, 7, 5), (1, 8, 8)])
def test_conv_networks_read_the_linear_reconstruction(shape):
    """The decoder's image is B z + mean; the encoder's are x + mean and what B A x leaves."""
    rng, n = np.random.default_rng(0), int(np.prod(shape))
    start = linear_model(shape, 2, rng)
    sizes = Sizes(shape, 4, 2, start=start, likelihood=as_likelihood("gaussian"))
    encoder, decoder = conv_networks(sizes, (4,), "silu", generator(), last_zero=False)
    encoder, decoder = encoder.double(), decoder.double()
    x, z = rng.standard_normal((6, n)), rng.standard_normal((3, 6, 2))
    centred = (start.mean - start.mean.mean()) / start.scale

    def images(*parts):
        return torch.cat([torch.tensor(part).reshape(-1, *shape) for part in parts], dim=1)

    decoded = decoder.unet(images(z.reshape(18, 2) @ start.decoder + centred), None)
    torch.testing.assert_close(decoder(torch.tensor(z)), decoded.reshape(3, 6, n))
    left = (x - x @ start.encoder @ start.decoder) / 0.5
    out = encoder.unet(images(x + centred, left), None).reshape(6, 2, n)
    axes = torch.tensor(3.0 * start.encoder)
    expected = torch.cat([out[:, 0] @ axes, out[:, 1] @ axes / np.sqrt(n)], dim=1)
    torch.testing.assert_close(encoder(torch.tensor(x)), expected)


def test_images_of_natural_parameters_are_first_order_means():
    """Near the mean image they are what the likelihood has as the mean."""
    start = linear_model((1, 4, 4), 2, np.random.default_rng(0))
    mean, bernoulli = np.linspace(0.1, 0.9, 16), as_likelihood("bernoulli")
    start = replace(start, mean=mean, decoder_bias=bernoulli.natural(mean))
    images = LinearImages(start, bernoulli, n_samples=10**12)
    z = 1e-4 * torch.randn(5, 2, dtype=torch.float64, generator=generator())
    natural = torch.tensor(start.decoder_bias) + z @ torch.tensor(start.decoder)
    expected = (torch.sigmoid(natural) - mean.mean()) / 2.0
    torch.testing.assert_close(images(z), expected, atol=1e-7, rtol=0)


def test_conv_networks_of_an_initial_model_learn_no_dense_layer():
    """Weights do not grow with the image, except where there is no linear map to read."""
    for start, grows in ((True, False), (False, True)):
        counts = []
        for shape in ((1, 8, 8), (1, 16, 16)):
            model = linear_model(shape, 2, np.random.default_rng(0)) if start else None
            sizes = Sizes(shape, 2, 2, start=model, likelihood=as_likelihood("gaussian"))
            networks = conv_networks(sizes, (4,), "silu", generator(), False)
            counts.append(sum(w.numel() for network in networks for w in network.parameters()))
        assert (counts[0] < counts[1]) == grows


def test_codes_learn_from_the_image_of_the_linear_decoder(images):
    """The gradient reaches the encoder through the decoder's image."""
    model = AutoencoderTransformer(2, network="conv", max_epochs=30, random_state=0).fit(images)
    assert model.best_epoch_ > 0
    module = model.net_.module_
    z = torch.zeros(4, 2, requires_grad=True)
    slope = torch.autograd.grad(module.decoder(z).square().sum(), z)[0]
    assert slope.abs().min() > 0


def test_work_and_width():
    encoder, decoder = conv_networks(Sizes((1, 28, 28), 2, 2), (8, 16), "silu", generator(), False)
    for network in (encoder, decoder):
        assert largest_product(network) == (8 * 8 * 9 + 8) * 14 * 14
    assert widest_layer("conv", (1, 28, 28), (8, 16)) == 8 * 14 * 14
    assert widest_layer("mlp", (784,), (8, 16)) == 16


@every_estimator
def test_starts_as_its_classical_method(cls, images):
    options = {"max_epochs": 0, "random_state": 0}
    images = images[:50]
    rows = images.reshape(50, -1)
    flat = cls(3, input_shape=(2, 7, 5), **options).fit(rows)
    conv = cls(3, network="conv", **options).fit(images)
    np.testing.assert_allclose(conv.transform(images), flat.transform(rows), atol=1e-10)
    np.testing.assert_allclose(conv.score_samples(images), flat.score_samples(rows), rtol=1e-10)


@pytest.mark.parametrize(("cls", "likelihood"), LIKELIHOODS)
def test_flat_and_shaped_rows_are_the_same(cls, likelihood, images):
    X = np.clip(images, 0, 1).astype(np.float32)
    flat = X.reshape(300, -1)
    options = {"network": "conv", "likelihood": likelihood, "max_epochs": 2, "random_state": 0}
    shaped = cls(2, **options).fit(X)
    other = cls(2, input_shape=(2, 7, 5), **options).fit(flat)
    codes = shaped.transform(X)
    for rows in (X, flat):
        np.testing.assert_array_equal(shaped.transform(rows), codes)
        np.testing.assert_array_equal(other.transform(rows), codes)
        assert shaped.reconstruct(rows).shape == X.shape
        assert other.reconstruct(rows).shape == flat.shape
    assert shaped.inverse_transform(codes).shape == X.shape
    assert shaped.sample(3, random_state=0).shape == (3, 2, 7, 5)
    assert shaped.interpolate(X[:4], flat[4:8], 5).shape == (4, 5, 2, 7, 5)
    assert other.inverse_transform(codes).shape == flat.shape
    copied = pickle.loads(pickle.dumps(shaped))
    np.testing.assert_array_equal(copied.reconstruct(X), shaped.reconstruct(X))


def test_conv_learns_what_pca_cannot(images):
    train, test = images[:225], images[225:]
    model = AutoencoderTransformer(
        2, network="conv", hidden_layer_sizes=(16, 32), validation_fraction=0.2, random_state=0
    ).fit(train)
    pca = PCA(2).fit(train.reshape(225, -1))
    flat = test.reshape(75, -1)
    left = np.square(flat - pca.inverse_transform(pca.transform(flat))).sum()
    assert np.square(test - model.reconstruct(test)).sum() < 0.5 * left


def test_grey_images_need_no_channel(digits):
    X = digits[0].reshape(-1, 8, 8)
    model = AutoencoderTransformer(2, network="conv", max_epochs=1).fit(X)
    assert model.reconstruct(X[:3]).shape == (3, 8, 8)
    assert model.reconstruct(X[:3, None]).shape == (3, 8, 8)
    again = AutoencoderTransformer(2, input_shape=(1, 8, 8), max_epochs=1).fit(digits[0])
    assert again.reconstruct(X[:3]).shape == (3, 64)


@every_estimator
def test_float32_and_float64_agree(cls, images):
    model = cls(2, network="conv", max_epochs=5, random_state=0).fit(images)
    single = model.transform(images.astype(np.float32))
    np.testing.assert_allclose(single, model.transform(images), rtol=1e-4, atol=1e-4)


def test_chunks_of_images(images):
    model = VAETransformer(2, network="conv", random_state=0)
    for low in range(0, 300, 100):
        model.partial_fit(images[low : low + 100])
    assert model.n_samples_ == 300
    assert model.sample(2).shape == (2, 2, 7, 5)


class Own(nn.Sequential):
    """What a user may bring, with a place for conditions."""

    def forward(self, x, *conditions):
        return super().forward(x)


def own(input_shape, n_codes, latent_dim):
    n = int(np.prod(input_shape))
    encoder = Own(nn.Flatten(), nn.Linear(n, 30), nn.Tanh(), nn.Linear(30, n_codes))
    decoder = Own(nn.Linear(latent_dim, 30), nn.Tanh(), nn.Linear(30, n))
    return encoder, Own(*decoder, nn.Unflatten(1, input_shape))


def test_many_images_get_a_deeper_network(monkeypatch, images):
    monkeypatch.setattr("skae.nn.networks.MANY_IMAGES", 200)
    model = AutoencoderTransformer(2, network="conv", max_epochs=1, validation_fraction=None)
    few = clone(model).partial_fit(images[:100])
    assert few.net_.module_.decoder.unet.images[1:] == [(32, 4, 3), (32, 2, 2)]
    few.partial_fit(images)  # as it began
    many = model.partial_fit(images)
    assert [c for c, *_ in many.net_.module_.decoder.unet.images] == [2, 32, 64, 64]
    many.partial_fit(images[:100])
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        many.set_params(hidden_layer_sizes=(32, 32)).partial_fit(images)


@every_estimator
def test_own_networks(cls, images):
    start = cls(2, network=own, max_epochs=0, random_state=0).fit(images)
    classical = cls(2, input_shape=(2, 7, 5), max_epochs=0).fit(images.reshape(300, -1))
    codes = classical.transform(images.reshape(300, -1))
    np.testing.assert_allclose(start.transform(images), codes, atol=1e-10)
    models = [cls(2, network=own, max_epochs=30, random_state=0).fit(images) for _ in range(2)]
    assert models[0].best_epoch_ > 0
    np.testing.assert_array_equal(models[0].transform(images), models[1].transform(images))
    copied = pickle.loads(pickle.dumps(models[0]))
    np.testing.assert_array_equal(copied.transform(images), models[0].transform(images))


class Tokens(nn.Module):
    """Layers of many kinds, with initial weights of their own ways and one of the author's."""

    def __init__(self, n_out):
        super().__init__()
        self.words = nn.Embedding(5, 8)
        self.bag = nn.EmbeddingBag(5, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.recurrent = nn.LSTM(8, 8, batch_first=True)
        self.cell = nn.LSTMCell(8, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True)
        self.both = nn.Bilinear(8, 8, 8)
        self.scale = nn.Parameter(torch.rand(8) + torch.randn(1) + torch.randint(2, (8,)))
        self.output = nn.utils.parametrizations.spectral_norm(nn.Linear(8, n_out))
        nn.init.orthogonal_(self.attention.out_proj.weight)

    def forward(self, x, *conditions):
        rows = x.flatten(1)
        words = (4 * rows.detach().sigmoid()).long()[:, :6]
        x = self.words(words) * rows[:, :6, None].tanh().mean(dim=1, keepdim=True)
        x, _ = self.attention(x, x, x)
        x, _ = self.recurrent(x)
        x = self.layer(x)[:, -1]
        x = self.cell(x)[0] + self.bag(words)
        return self.output(self.both(x, x) * self.scale)


def tokens(input_shape, n_codes, latent_dim):
    n = int(np.prod(input_shape))
    return Tokens(n_codes), nn.Sequential(nn.Linear(latent_dim, 20), nn.Tanh(), nn.Linear(20, n))


def test_whatever_own_networks_draw_is_decided_by_the_seed(images):
    state = torch.get_rng_state()
    options = {"init": "random", "max_epochs": 1, "validation_fraction": None}
    models = [
        AutoencoderTransformer(2, network=tokens, random_state=seed, **options).fit(images)
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    same, again, other = (dict(m.net_.module_.state_dict()) for m in models)
    for name, value in same.items():
        assert torch.equal(value, again[name])
        if "weight" in name and "norm" not in name:
            assert not torch.equal(value, other[name])
    np.testing.assert_array_equal(models[0].transform(images), models[1].transform(images))
    assert (models[0].transform(images) != models[2].transform(images)).any()
    copied = pickle.loads(pickle.dumps(models[0]))
    np.testing.assert_array_equal(copied.transform(images), models[0].transform(images))


def test_own_networks_begin_with_the_weights_their_author_gave_them():
    def own_start(input_shape, n_codes, latent_dim):
        encoder, decoder = nn.Linear(6, n_codes), nn.Linear(latent_dim, 6)
        nn.init.orthogonal_(encoder.weight)
        nn.init.constant_(decoder.weight, 0.25)
        return encoder, decoder

    encoder, decoder = own_networks(own_start, Sizes((6,), 2, 2), generator(), True)
    weight = encoder.module.weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(2))
    assert (decoder.module.weight == 0.25).all()

    plain, _ = own_networks(
        lambda *_: (nn.Linear(6, 2), nn.Linear(2, 6)), Sizes((6,), 2, 2), generator(), True
    )
    seeded = mlp(6, 2, (), "relu", generator(), False)[0]
    torch.testing.assert_close(plain.module.weight, seeded.weight, rtol=0, atol=0)
    torch.testing.assert_close(plain.module.bias, seeded.bias, rtol=0, atol=0)


def test_own_networks_may_be_the_same_objects_every_time(images):
    networks = own((2, 7, 5), 2, 2)
    model = AutoencoderTransformer(2, network=lambda *_: networks, max_epochs=30, random_state=0)
    assert model.fit(images).best_epoch_ > 0
    single = model.transform(images.astype(np.float32))
    np.testing.assert_allclose(single, model.transform(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["memmap", "zarr", "dask"])
def test_images_larger_than_memory(kind, images, tmp_path, monkeypatch):
    X = np.repeat(images.astype(np.float32), 2, axis=0)
    X += 0.01 * np.random.default_rng(0).standard_normal(X.shape).astype(np.float32)
    small_memory(monkeypatch, resident=1000)
    if kind == "memmap":
        table = np.memmap(tmp_path / "X", np.float32, "w+", shape=X.shape)
        table[:] = X
    elif kind == "zarr":
        table = pytest.importorskip("zarr").array(X, chunks=(100, 2, 7, 5))
    else:
        table = pytest.importorskip("dask.array").from_array(X, chunks=(100, 2, 7, 5))
    options = {"network": "conv", "max_epochs": 2, "random_state": 0}
    model = AutoencoderTransformer(2, **options).fit(table)
    flat = AutoencoderTransformer(2, max_epochs=0).fit(X.reshape(600, -1))
    np.testing.assert_allclose(model.mean_, flat.mean_, rtol=1e-6)
    assert model.reconstruct(table).shape == X.shape


def test_a_map_whose_rows_are_not_in_order_is_not_copied(images, tmp_path, monkeypatch):
    """Every second pixel of a map, and one that is stored column by column."""
    import tracemalloc

    X = np.repeat(images.astype(np.float32), 20, axis=0)
    maps = []
    for name, order, step in (("steps", "C", 2), ("columns", "F", 1)):
        shape = (*X.shape[:-1], step * X.shape[-1])
        table = np.memmap(tmp_path / name, np.float32, "w+", shape=shape, order=order)
        table[..., ::step] = X
        maps.append(table[..., ::step])
    expected = AutoencoderTransformer(2, max_epochs=0).fit(X.reshape(len(X), -1))
    small_memory(monkeypatch, resident=1000, block=5000, kept=10_000)
    for table in maps:
        tracemalloc.start()
        model = AutoencoderTransformer(2, network="conv", max_epochs=0).fit(table)
        model.score(table)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < X.nbytes
        np.testing.assert_allclose(model.mean_, expected.mean_, rtol=1e-6)
        in_memory = np.array(table, order="K")
        np.testing.assert_allclose(model.transform(in_memory), model.transform(table), atol=1e-6)


@every_estimator
def test_lists_are_rows_of_a_shape_too(cls, images):
    options = {"network": "conv", "max_epochs": 1, "random_state": 0}
    X = images[:80]
    model = cls(2, **options).fit(X.tolist())
    other = cls(2, input_shape=(2, 7, 5), **options).fit(X.tolist())
    codes = cls(2, **options).fit(X).transform(X)
    for one in (model, other):
        np.testing.assert_array_equal(one.transform(X.tolist()), codes)
        np.testing.assert_array_equal(one.reconstruct(X.tolist()), one.reconstruct(X))
        assert one.sample(2).shape == (2, 2, 7, 5)
    with pytest.raises(ValueError, match=r"rows of shape \(2, 7, 5\), .* or of 70 features; got"):
        model.transform(X[:, :, :, :4].tolist())
    with pytest.raises(ValueError, match=r"inhomogeneous"):
        model.fit([X[0].tolist(), X[1, :, :4].tolist()])
    with pytest.raises(ValueError, match=r"reads flat rows; got X with rows of shape"):
        cls(2).fit(X.tolist())


@every_estimator
@pytest.mark.parametrize("verb", ["fit", "partial_fit"])
def test_another_input_shape_needs_a_new_network(cls, verb, images):
    rows, options = images.reshape(300, -1), {"max_epochs": 1, "random_state": 0}
    model = cls(2, input_shape=(2, 7, 5), warm_start=True, **options).fit(rows)
    before = model.transform(rows)
    message = r"network of the same kind; input_shape was \(2, 7, 5\) and is \(2, 5, 7\)"
    for X in (rows, images):
        with pytest.raises(ValueError, match=message):
            getattr(model.set_params(input_shape=(2, 5, 7)), verb)(X)
    np.testing.assert_array_equal(model.transform(images), before)
    getattr(model.set_params(input_shape=[2, 7, 5]), verb)(images)  # the same
    getattr(model.set_params(input_shape=None), verb)(images)  # which is that of X


@every_estimator
@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        (
            {"network": "conv"},
            (9, 70),
            r"network='conv' needs input_shape=\(channels, height, width\); got "
            r"input_shape=None and rows of shape \(70,\)",
        ),
        (
            {"network": "conv", "input_shape": (7, 5)},
            (9, 35),
            r"needs input_shape=\(channels, height, width\); got input_shape=\(7, 5\)",
        ),
        (
            {"network": "conv", "input_shape": (1, 7, 5)},
            (9, 36),
            r"X must have rows of shape \(1, 7, 5\), .* of 35 features; got rows of "
            r"shape \(36,\)",
        ),
        (
            {"network": "conv", "input_shape": (3, 7, 5)},
            (9, 7, 5, 3),
            r"X must have rows of shape \(3, 7, 5\), .* of 105 features; got rows of "
            r"shape \(7, 5, 3\)",
        ),
        ({"input_shape": (1, 0, 5)}, (9, 5), r"input_shape must be positive ints.*\(1, 0, 5\)"),
        ({"input_shape": (1.5, 2)}, (9, 3), r"input_shape must be positive ints.*\(1.5, 2\)"),
    ],
)
def test_wrong_shapes(cls, options, shape, message):
    with pytest.raises(ValueError, match=message):
        cls(**options).fit(np.random.default_rng(0).random(shape))


def test_wrong_shapes_after_fit(images):
    model = AutoencoderTransformer(2, network="conv", max_epochs=0).fit(images)
    with pytest.raises(ValueError, match=r"rows of shape \(2, 7, 5\), .* or of 70 features"):
        model.transform(images[:, :, :, :4])
    with pytest.raises(ValueError, match=r"X has 69 features, but .* expecting 70"):
        model.transform(images.reshape(300, -1)[:, :69])


def blobs(n):
    rng = np.random.default_rng(0)
    place = rng.uniform(2, 6, (n, 2, 1))
    row, column = np.exp(-np.square(np.arange(8) - place) / 3).transpose(1, 0, 2)
    return row[:, None, :, None] * column[:, None, None, :]


def test_convolutions_learn_whatever_the_mean_image_is():
    """It may vary a hundred times as much as images do, and channels may have other units."""
    X = blobs(300)
    pattern = np.random.default_rng(1).standard_normal((1, 8, 8))
    options = {"network": "conv", "hidden_layer_sizes": (8, 8), "max_epochs": 15, "random_state": 0}
    for images in (X, X + 30.0 * pattern, np.concatenate([X, X[:, :, ::-1] + 20.0], axis=1)):
        model = AutoencoderTransformer(2, **options).fit(images)
        start = AutoencoderTransformer(2, max_epochs=0).fit(images.reshape(300, -1))
        assert 1 - model.score(images) < 0.5 * (1 - start.score(images.reshape(300, -1)))


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_the_first_chunk_may_be_copies_of_an_image(cls):
    X = blobs(60)
    model = cls(2, network="conv", max_epochs=1, random_state=0)
    model.partial_fit(np.repeat(X[:1], 20, axis=0)).partial_fit(X)
    assert np.isfinite(model.score(X))
