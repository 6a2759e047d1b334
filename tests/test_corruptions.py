"""What corruptions do to rows, and whether their moments tell the truth about it."""

import numpy as np
import pandas as pd
import pytest
import torch

from skae import DenoisingAutoencoder
from skae.corruptions import BUILT_IN, Custom
from skae.data.table import Table


def corrupt(corruption, table, copies, seed=0):
    clean = np.tile(np.concatenate(list(table.standardised())), (copies, 1))
    x = np.tile(table.X, (copies, 1)) if corruption.takes_raw_rows else clean
    return clean, corruption(torch.tensor(x), torch.Generator().manual_seed(seed)).numpy()


def custom(level, table):
    def function(X, level, rng):
        return X * rng.choice([1.0, 1.0 - level], X.shape) + 1

    return Custom(function, level, table, np.random.default_rng(0))


@pytest.mark.parametrize("make", [*BUILT_IN.values(), custom])
def test_moments_are_those_of_corrupted_rows(make, iris):
    table = Table.of(np.tile(iris * [1.0, 2.0, 0.5, 1.0] + 3.0, (400, 1)))
    corruption = make(0.4, table)
    shift, cross, covariance = corruption.moments(table)
    clean, corrupted = corrupt(corruption, table, 5)
    np.testing.assert_allclose(shift, corrupted.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(covariance, np.cov(corrupted.T), atol=0.03)
    expected = clean.T @ (corrupted - corrupted.mean(axis=0)) / len(clean)
    np.testing.assert_allclose(cross, expected, atol=0.03)


@pytest.mark.parametrize("convert", [np.float64, np.float32, pd.DataFrame])
def test_a_function_may_write_to_what_it_is_given(convert, bent):
    def in_place(X, level, rng):
        X[rng.random(X.shape) < level] = 0.0
        return X

    X, results = convert(bent), []
    before = np.array(X)
    for function in (in_place, lambda X, level, rng: in_place(X.copy(), level, rng)):
        model = DenoisingAutoencoder(2, corruption=function, max_epochs=2, random_state=0).fit(X)
        results.append(model.partial_fit(X).transform(X))
        np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", ["masking", "salt_and_pepper", "swap"])
def test_share_of_replaced_entries_and_their_values(name, iris):
    table = Table.of(iris)
    corruption = BUILT_IN[name](0.25, table)
    clean, corrupted = corrupt(corruption, table, 50)
    replaced = clean != corrupted
    low, high = clean.min(axis=0), clean.max(axis=0)
    values = corrupted[replaced]
    if name == "masking":
        assert (values == 0).all()
    elif name == "salt_and_pepper":
        ends = (np.isclose(corrupted, low) | np.isclose(corrupted, high))[replaced]
        assert ends.all()
    else:
        assert all(np.isin(corrupted[:, j], clean[:, j]).all() for j in range(4))
    # A value may be replaced by its like, the more often the fewer values there are.
    assert 0.2 < replaced.mean() <= 0.26


def test_gaussian_level_is_in_units_of_the_scale(iris):
    table = Table.of(1000 * iris + 5)
    clean, corrupted = corrupt(BUILT_IN["gaussian"](0.7, table), table, 100)
    assert (corrupted - clean).std() == pytest.approx(0.7, rel=0.01)


@pytest.mark.parametrize("make", [*BUILT_IN.values(), custom])
def test_every_call_is_fresh_and_reproducible(make, iris):
    table = Table.of(iris)
    corruption = make(0.4, table)
    x = torch.tensor(iris)
    generator = torch.Generator().manual_seed(0)
    first, second = corruption(x, generator), corruption(x, generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, corruption(x, torch.Generator().manual_seed(0)))


def test_a_batch_of_one_row(iris):
    table = Table.of(iris)
    for make in BUILT_IN.values():
        out = make(0.4, table)(torch.tensor(iris[:1]), torch.Generator().manual_seed(0))
        assert out.shape == (1, 4)


def test_a_callable_sees_rows_in_their_own_units(iris):
    table = Table.of(1000 * iris + 1e6)
    seen = []

    def function(X, level, rng):
        seen.append(X)
        assert isinstance(rng, np.random.Generator)
        return X + level

    corruption = Custom(function, 2.0, table, np.random.default_rng(0))
    out = corruption(torch.tensor(table.X), torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(seen[0], table.X)
    clean = np.concatenate(list(table.standardised()))
    np.testing.assert_allclose(out.numpy() - clean, 2.0 / table.scale, rtol=1e-3)


def test_a_callable_is_given_the_very_rows(digits):
    """Counts and exact zeros come as they are, in the start and in training."""
    X = digits[0][:200] * 16
    zeros = []

    def function(X, level, rng):
        zeros.append((X == 0).mean())
        return rng.poisson(X)

    DenoisingAutoencoder(2, corruption=function, max_epochs=1, batch_size=200).fit(X)
    assert len(zeros) > 5
    assert min(zeros) > 0.4


def test_warm_start_corrupts_in_the_same_units(bent):
    means = []

    def function(X, level, rng):
        means.append(X.mean())
        return X

    model = DenoisingAutoencoder(2, corruption=function, max_epochs=1, warm_start=True).fit(bent)
    means.clear()
    model.fit(100 * bent + 5000)
    assert np.mean(means) == pytest.approx(5000, rel=0.05)


def shapes_seen(X, returned=lambda rows: rows, **options):
    """Shapes of a row that a callable sees in a fit, a chunk and the codes of X."""
    seen = set()

    def function(rows, level, rng):
        seen.add(rows.shape[1:])
        noisy = rows.copy()
        noisy[..., 0] = 0.0
        return returned(noisy)

    model = DenoisingAutoencoder(2, corruption=function, max_epochs=1, random_state=0, **options)
    model.fit(X).partial_fit(X)
    return seen, model.transform(X)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 8, 8), {"network": "conv"}),
        ((8, 8), {"network": "conv"}),  # in grey
        ((8, 8), {"network": "recurrent"}),
        ((4, 4, 4), {"network": "mlp", "input_shape": (4, 4, 4)}),
        ((8, 8), {"network": "recurrent", "init": "random"}),
    ],
)
def test_a_callable_sees_rows_in_their_shape(shape, options, digits):
    X = digits[0][:80].reshape(-1, *shape)
    seen, codes = shapes_seen(X, **options)
    assert seen == {shape}
    flat, same = shapes_seen(X, lambda rows: rows.reshape(len(rows), -1), **options)
    assert flat == {shape}
    np.testing.assert_array_equal(codes, same)  # it may return flat rows


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 4)])
def test_a_callable_sees_flat_rows_in_input_shape(shape, digits):
    X = digits[0][:80]
    seen, codes = shapes_seen(X, network="conv", input_shape=shape)
    assert seen == {shape}
    shaped = shapes_seen(X.reshape(-1, *shape), network="conv", input_shape=shape)[1]
    np.testing.assert_array_equal(codes, shaped)
    assert shapes_seen(X)[0] == {(64,)}


def test_a_part_of_images_is_erased(digits):
    """A callable for images, which flat rows of 64 numbers would mislead or break."""
    X = digits[0][:200].reshape(-1, 1, 8, 8)

    def erased(images, level, rng):
        n, _, height, width = images.shape
        top, left = rng.integers(height - 2, size=n), rng.integers(width - 2, size=n)
        for image, row, column in zip(images, top, left, strict=True):
            image[:, row : row + 3, column : column + 3] = 0.0
        return images

    options = {"network": "conv", "max_epochs": 0}
    model = DenoisingAutoencoder(20, corruption=erased, random_state=0, **options).fit(X)
    damaged = erased(X.copy(), 0.3, np.random.default_rng(1))
    assert np.square(model.denoise(damaged) - X).sum() < 0.8 * np.square(damaged - X).sum()


def test_a_callable_that_returns_another_shape(digits):
    X = digits[0][:80].reshape(-1, 1, 8, 8)
    message = (
        r"corruption must return an array of shape \(8, 1, 8, 8\) or \(8, 64\); got .*\(8, 8, 8\)"
    )
    with pytest.raises(ValueError, match=message):
        DenoisingAutoencoder(network="conv", corruption=lambda X, level, rng: X[:, 0]).fit(X)
