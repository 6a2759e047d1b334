"""Ordered latents: the first j codes are a model of their own, which starts as PCA(j)."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from skae import AutoencoderTransformer
from skae.data.batches import Batch
from skae.data.table import Table
from skae.nn.fitted import inference_module
from skae.nn.init import with_zero_output
from skae.nn.ordered import GroupedModule, OrderedModule, spread_out
from skae.training.judge import Judge


@pytest.fixture(scope="module")
def tables():
    X, _ = load_digits(return_X_y=True)
    return train_test_split(X, random_state=0)


@pytest.fixture(scope="module")
def ordered(tables):
    model = AutoencoderTransformer(
        8, ordered=True, hidden_layer_sizes=(256, 128), max_epochs=40, random_state=0
    )
    return model.fit(tables[0])


def squared_error(X, model):
    return np.square(X - model.inverse_transform(model.transform(X))).sum()


@pytest.mark.parametrize("n_codes", [8, 21])  # without groups and with
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_starts_as_pca_of_every_size(dtype, n_codes):
    X = scale(load_breast_cancer().data).astype(dtype)
    model = AutoencoderTransformer(n_codes, ordered=True, max_epochs=0).fit(X)
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    ratios = PCA(n_codes).fit(X.astype(np.float64)).explained_variance_ratio_
    assert_allclose(model.explained_variance_ratio_, ratios, rtol=tolerance)
    for size in (1, 3, n_codes):
        pca, truncated = PCA(size).fit(X.astype(np.float64)), model.truncate(size)
        codes = truncated.transform(X)
        assert codes.dtype == dtype
        assert_allclose(np.abs(codes), np.abs(pca.transform(X)), atol=10 * tolerance)
        expected = pca.inverse_transform(pca.transform(X))
        assert_allclose(truncated.reconstruct(X), expected, atol=10 * tolerance)
        assert_allclose(model.inverse_transform(codes), expected, atol=10 * tolerance)
        assert truncated.noise_variance_ == pytest.approx(pca.noise_variance_, rel=1e-4)
        assert truncated.score(X) == pytest.approx(ratios[:size].sum(), abs=1e-4)


def test_at_the_start_every_size_weighs_the_same():
    X = scale(load_breast_cancer().data)
    model = AutoencoderTransformer(8, ordered=True, max_epochs=0).fit(X)
    module, _ = inference_module(model.net_, np.float64)
    rows = torch.tensor(Table.of(X).standard(X))
    with torch.no_grad():
        losses = module(Batch(rows, rows), None).mean(0)
    # Half the squared error in units of the noise: the noise is what is left per dimension.
    n, d = X.shape
    assert_allclose(losses, 0.5 * (d - 8) * (n - 1) / n, rtol=1e-9)


@pytest.mark.parametrize("n", [569, 20])
def test_what_the_network_adds_is_in_units_of_the_error_of_pca_of_this_size(n):
    X = scale(load_breast_cancer().data)[:n]
    model = AutoencoderTransformer(8, ordered=True, max_epochs=0).fit(X)
    module, _ = inference_module(model.net_, np.float64)
    torch.nn.init.ones_(module.decoder.output.bias)
    for size in (1, 3, 8):
        added = model.inverse_transform(np.zeros((1, size))) - model.mean_
        assert_allclose(added, np.full((1, 30), PCA(size).fit(X).noise_variance_ ** 0.5))


def test_held_out_rows_are_judged_by_the_error_of_every_size(tables, ordered):
    """In units of what PCA of this size leaves per dimension."""
    X, _ = tables
    module, _ = inference_module(ordered.net_, np.float64)
    rows = torch.tensor(Table.of(X).standard(X))
    with torch.no_grad():
        losses = module(Batch(rows, rows), None).sum(0)
    expected = [
        0.5 * (64 - 8) / (64 - size) * squared_error(X, ordered.truncate(size)) / noise
        for size in range(1, 9)
        for noise in [PCA(size).fit(X).noise_variance_]
    ]
    assert_allclose(losses, expected, rtol=1e-6)


def sizes_in_training(module, rows, n_steps):
    """How many codes count, of every row in some steps: its decoder reads which are missing."""
    seen, generator = [], torch.Generator().manual_seed(0)
    hook = module.decoder.register_forward_pre_hook(lambda network, read: seen.extend(read))
    for _ in range(n_steps):
        module(Batch(rows, rows), generator)
    hook.remove()
    _, missing = torch.cat(seen).chunk(2, dim=1)
    return (missing == 0).sum(dim=1)


def test_rows_are_trained_at_every_size_and_a_third_at_the_last():
    X = scale(load_breast_cancer().data)
    model = AutoencoderTransformer(5, ordered=True, max_epochs=0).fit(X)
    module = model.net_.module_.train()
    rows = torch.tensor(Table.of(X).standard(X)).float()
    shares = np.bincount(sizes_in_training(module, rows[:64], 20), minlength=6) / (20 * 64)
    assert_allclose(shares[1:], [2 / 15] * 4 + [2 / 15 + 1 / 3], atol=0.02)


def test_no_size_is_worse_than_pca_and_most_are_better(tables, ordered):
    X, X_test = tables
    ratios = []
    for size in range(1, 9):
        pca = PCA(size).fit(X)
        ratios.append(squared_error(X_test, ordered.truncate(size)) / squared_error(X_test, pca))
    assert max(ratios) <= 1.01
    assert np.mean(ratios) < 0.85
    alone = AutoencoderTransformer(8, random_state=0).fit(X)
    assert squared_error(X_test, ordered) < 1.1 * squared_error(X_test, alone)


def test_a_truncated_model_has_the_first_codes(tables, ordered):
    _, X_test = tables
    codes = ordered.transform(X_test)
    for size in (1, 5, 8):
        truncated = ordered.truncate(size)
        assert truncated.get_params() == {**ordered.get_params(), "latent_dim": size}
        assert_array_equal(
            truncated.explained_variance_ratio_, ordered.explained_variance_ratio_[:size]
        )
        assert_allclose(truncated.transform(X_test), codes[:, :size], rtol=1e-6)
        assert_allclose(
            truncated.reconstruct(X_test), ordered.inverse_transform(codes[:, :size]), rtol=1e-6
        )
        assert truncated.get_feature_names_out().shape == (size,)
        assert truncated.sample(3).shape == (3, 64)
        again = pickle.loads(pickle.dumps(truncated))
        assert_array_equal(again.transform(X_test), truncated.transform(X_test))
    assert ordered.latent_dim_ == 8  # as it was
    assert_array_equal(ordered.transform(X_test), codes)
    assert_allclose(
        ordered.truncate(5).truncate(3).reconstruct(X_test), ordered.truncate(3).reconstruct(X_test)
    )


def test_a_truncated_model_is_fitted_anew_and_goes_on(tables, ordered):
    X, _ = tables
    truncated = ordered.truncate(3)
    before = truncated.score(X)
    truncated.partial_fit(X)
    assert truncated.transform(X).shape == (len(X), 3)
    assert truncated.explained_variance_ratio_.shape == (3,)
    assert truncated.score(X) > before - 0.01
    assert clone(truncated).set_params(max_epochs=0).fit(X).latent_dim_ == 3


def test_ratios_are_what_each_code_adds():
    X, _ = load_digits(return_X_y=True)
    model = AutoencoderTransformer(
        4, ordered=True, hidden_layer_sizes=64, max_epochs=5, validation_fraction=None
    ).fit(X)
    truncated = [model.truncate(size) for size in (1, 2, 3, 4)]
    sums = [one.score(X) for one in truncated]
    assert_allclose(np.cumsum(model.explained_variance_ratio_), sums, rtol=1e-6)
    # What is left, per remaining dimension.
    left = [squared_error(X, one) / (len(X) - 1) / (64 - one.latent_dim_) for one in truncated]
    assert_allclose([one.noise_variance_ for one in truncated], left, rtol=1e-6)
    assert model.noise_variance_ == pytest.approx(left[-1])


def test_held_out_rows_say_what_each_code_adds(tables, ordered):
    X, X_test = tables
    total = np.square(X_test - X.mean(axis=0)).sum()
    reconstructed = 1 - squared_error(X_test, ordered) / total
    assert ordered.explained_variance_ratio_.sum() == pytest.approx(reconstructed, abs=0.02)
    trained = ordered.score(X)
    assert ordered.explained_variance_ratio_.sum() < trained


def test_a_share_of_variance_is_what_is_reconstructed(tables):
    X, _ = tables
    model = AutoencoderTransformer(
        0.8, ordered=True, hidden_layer_sizes=(256, 128), max_epochs=40, random_state=0
    ).fit(X)
    n_components = PCA(0.8).fit(X).n_components_
    assert model.latent_dim_ < n_components
    assert model.explained_variance_ratio_.sum() >= 0.8
    assert model.explained_variance_ratio_[:-1].sum() < 0.8
    assert model.transform(X).shape == (len(X), model.latent_dim_)
    start = clone(model).set_params(max_epochs=0).fit(X)
    assert start.latent_dim_ == n_components


@pytest.mark.parametrize(
    "parameters",
    [
        {"network": "conv", "input_shape": (1, 8, 8), "hidden_layer_sizes": (4,)},
        {"network": "recurrent", "input_shape": (8, 8), "hidden_layer_sizes": (8,)},
        {"likelihood": "bernoulli"},
        {"init": "random"},
        {"latent_dim": 1},
    ],
    ids=str,
)
def test_goes_with_other_parameters(tables, parameters):
    X = tables[0] / 16
    parameters = {"latent_dim": 4, "hidden_layer_sizes": 32, **parameters}
    model = AutoencoderTransformer(ordered=True, max_epochs=3, **parameters).fit(X)
    for size in range(1, model.latent_dim_ + 1):
        codes = model.truncate(size).transform(X)
        assert model.inverse_transform(codes).shape == X.shape
    assert model.explained_variance_ratio_.shape == (model.latent_dim_,)


def test_one_size_that_is_worse_is_enough_to_refuse():
    judge = Judge(resolution=1e-5)
    start = np.full((100, 3), 20.0)
    losses = start - np.random.default_rng(0).normal(1.0, 0.1, start.shape)
    assert judge.beats(losses, start)
    assert judge.beats(losses.mean(axis=1), start.mean(axis=1))
    assert judge.beats(losses + [0.0, 1.15, 0.0], start)  # one per cent is 0.2
    assert not judge.beats(losses + [0.0, 1.3, 0.0], start)
    assert not judge.beats(losses + 1.05, start)


def test_judged_sizes():
    assert_array_equal(spread_out(np.arange(1, 2)), [1])
    assert_array_equal(spread_out(np.arange(1, 6)), [1, 2, 3, 4, 5])
    assert_array_equal(spread_out(np.arange(1, 9)), np.arange(1, 9))
    assert_array_equal(spread_out(np.arange(1, 17)), [1, 2, 3, 4, 5, 7, 11, 16])
    chosen = spread_out(np.arange(1, 101))
    assert len(chosen) == len(set(chosen)) == 8
    assert chosen[0] == 1
    assert chosen[-1] == 100
    assert_array_equal(chosen, np.sort(chosen))


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_a_third_is_full_in_batches_of_any_size(batch):
    X = scale(load_breast_cancer().data)
    module = AutoencoderTransformer(8, ordered=True, max_epochs=0).fit(X).net_.module_.train()
    sizes = sizes_in_training(module, torch.zeros(batch, 30), 2000 // batch + 200)
    assert (sizes == 8).float().mean() == pytest.approx(1 / 3 + 2 / 24, abs=0.04)


def test_wide_tables_weigh_sizes_the_same():
    X = np.random.default_rng(0).standard_normal((60, 12)) @ np.diag(1.5 ** -np.arange(12.0))
    X = X @ np.random.default_rng(1).standard_normal((12, 500))
    X += 0.1 * np.random.default_rng(2).standard_normal(X.shape)
    model = AutoencoderTransformer(8, ordered=True, max_epochs=0).fit(X)
    module, _ = inference_module(model.net_, np.float64)
    rows = torch.tensor(Table.of(X).standard(X))
    with torch.no_grad():
        losses = module(Batch(rows, rows), None).mean(0)
    assert_allclose(losses, 0.5 * (60 - 8) * 59 / 60, rtol=1e-6)
    noise = PCA(3, svd_solver="full").fit(X).noise_variance_  # of 60 dimensions, not of 500
    assert model.truncate(3).noise_variance_ == pytest.approx(noise)


def test_codes_that_say_nothing():
    X, _ = load_digits(return_X_y=True)  # of rank 61
    model = AutoencoderTransformer(64, ordered=True, max_epochs=0).fit(X)
    assert_allclose(model.explained_variance_ratio_.sum(), 1.0)
    assert_allclose(model.explained_variance_ratio_[61:], 0.0, atol=1e-12)
    assert model.truncate(63).noise_variance_ == pytest.approx(0.0, abs=1e-9)
    constant = AutoencoderTransformer(2, ordered=True, max_epochs=1).fit(np.ones((10, 3)))
    assert_array_equal(constant.explained_variance_ratio_, [0.0, 0.0])


def test_sizes_at_which_pca_leaves_nothing_are_not_judged():
    X = scale(load_breast_cancer().data)
    model = AutoencoderTransformer(30, ordered=True, max_epochs=0).fit(X)
    left = 1 - np.cumsum(PCA(30).fit(X).explained_variance_ratio_)
    assert model.net_.module_.judged[-1] == np.count_nonzero(left > 1e-9) < 30


def test_a_warm_start_that_keeps_what_was_is_not_pca(tables):
    X, _ = tables
    model = AutoencoderTransformer(
        4, ordered=True, hidden_layer_sizes=128, max_epochs=10, warm_start=True, random_state=0
    ).fit(X)
    ratios = model.explained_variance_ratio_
    model.set_params(max_epochs=0).fit(X)
    assert model.best_epoch_ == 0
    assert_allclose(model.explained_variance_ratio_, ratios, rtol=1e-5)


def test_a_share_is_chosen_once(tables):
    X, _ = tables
    model = AutoencoderTransformer(
        0.8, ordered=True, hidden_layer_sizes=64, max_epochs=5, random_state=0
    ).fit(X)
    n_codes = model.latent_dim_
    for _ in range(3):
        model.partial_fit(X[:20])
    assert model.latent_dim_ == n_codes


def test_a_truncated_model_shares_nothing(tables, ordered):
    X, X_test = tables
    parent = pickle.loads(pickle.dumps(ordered)).partial_fit(X)
    parent = pickle.loads(pickle.dumps(parent.set_params(random_state=np.random.RandomState(0))))
    again = pickle.loads(pickle.dumps(parent))
    truncated = parent.truncate(3)
    truncated.set_output(transform="pandas")
    truncated.sample(2)
    truncated.partial_fit(X)
    assert isinstance(parent.transform(X_test), np.ndarray)
    for model in (parent, again):
        model.partial_fit(X)
    assert_array_equal(parent.transform(X_test), again.transform(X_test))


def test_errors(tables, ordered):
    X, _ = tables
    for wrong in (0, 9, 2.0, True):
        with pytest.raises(ValueError, match=f"from 1 to latent_dim_=8; got n_codes={wrong}"):
            ordered.truncate(wrong)
    with pytest.raises(ValueError, match="with at most latent_dim_=8 columns; got 9"):
        ordered.inverse_transform(np.ones((2, 9)))
    plain = AutoencoderTransformer(2, max_epochs=0).fit(X)
    with pytest.raises(ValueError, match="got ordered=False"):
        plain.truncate(1)
    parameters = {"hidden_layer_sizes": 8, "warm_start": True}
    model = clone(plain).set_params(ordered=True, **parameters).fit(X)
    with pytest.raises(ValueError, match="ordered was True and is False"):
        model.set_params(ordered=False).fit(X)


def test_codes_far_out_are_decoded_as_in_training(bent):
    """A decoder that gives up where the encoder still bends is worse than either."""
    model = AutoencoderTransformer(3, ordered=True, random_state=0).fit(bent)
    assert model.best_epoch_ > 0
    module, _ = inference_module(model.net_, np.float64)
    far = 100.0 * torch.eye(3, dtype=torch.float64)
    with torch.no_grad():
        rows = [module.train(mode).decode(far).mean for mode in (True, False)]
    assert torch.equal(*rows)


def test_ratios_of_probabilities_at_the_start(digits):
    """Of what codes decode to, which is not what PCA explains."""
    X = digits[0][:300] / 16.0
    options = {"likelihood": "bernoulli", "max_epochs": 0, "validation_fraction": None}
    model = AutoencoderTransformer(4, ordered=True, **options).fit(X)
    codes = model.transform(X)
    left = [np.square(X - X.mean(axis=0)).sum()]
    left += [np.square(X - model.inverse_transform(codes[:, :j])).sum() for j in range(1, 5)]
    expected = -np.diff(left) / left[0]
    np.testing.assert_allclose(model.explained_variance_ratio_, expected, rtol=1e-5)


# Codes that bend in groups


def steep(n, seed=0):
    """Rows on a bent sheet, whose principal components span three decades, (n, 6)."""
    rng = np.random.default_rng(seed)
    t = rng.standard_normal((n, 3))
    curved = np.column_stack([t[:, 0], 0.5 * (np.square(t[:, 0]) - 1.0), 0.3 * t[:, 1]])
    small = [0.03 * t[:, 2], 0.03 * np.sin(2.0 * t[:, 1]), 0.004 * np.cos(2.0 * t[:, 1])]
    turn = np.linalg.qr(np.random.default_rng(7).standard_normal((6, 6)))[0]
    return np.column_stack([curved, *small]) @ turn


@pytest.fixture(scope="module")
def grouped():
    model = AutoencoderTransformer(5, ordered=True, random_state=0).fit(steep(600))
    assert isinstance(model.net_.module_, GroupedModule)
    assert model.best_epoch_ > 0
    return model


def with_any_bends(model, decoder=False):
    """A copy whose groups bend at random, and whose decoder's network adds nothing or anything."""
    model = pickle.loads(pickle.dumps(model))
    module, generator = model.net_.module_, torch.Generator().manual_seed(0)
    for network in module.encoder:
        torch.nn.init.normal_(network.output.weight, generator=generator)
        torch.nn.init.normal_(network.output.bias, generator=generator)
    with_zero_output(module.decoder)
    if decoder:
        torch.nn.init.normal_(module.decoder.output.weight, generator=generator)
    return pickle.loads(pickle.dumps(model))


def test_any_bend_is_undone_where_codes_tell_all(grouped):
    model, pca = with_any_bends(grouped), PCA(5).fit(steep(600))
    scores = np.random.default_rng(0).standard_normal((50, 5)) * pca.explained_variance_**0.5
    for factor in (1.0, 100.0):
        X = pca.inverse_transform(factor * scores)
        bends = np.abs(model.transform(X)) - np.abs(pca.transform(X))
        assert np.abs(bends[:, :4]).max() > 0.01
        assert_allclose(model.reconstruct(X), X, atol=1e-9 * factor)


def test_a_group_bends_by_what_its_codes_do_not_tell(grouped):
    model, pca = with_any_bends(grouped), PCA(5).fit(steep(600))
    X = steep(20, seed=1)
    codes, group = model.transform(X), [0, 1, 2, 2, 3]
    for i in range(5):
        moved = model.transform(X + 0.7 * pca.components_[i]) - codes
        later = [j for j in range(5) if group[j] >= group[i]]
        assert_allclose(np.abs(moved[:, i]), 0.7, atol=1e-9)
        assert_allclose(moved[:, [j for j in later if j != i]], 0.0, atol=1e-9)
        if i > 1:
            assert np.abs(moved[:, 0]).max() > 1e-4


def test_what_codes_tell_is_not_the_decoders_networks_to_say():
    X = steep(600)
    start = AutoencoderTransformer(5, ordered=True, max_epochs=0).fit(X)
    model, pca = pickle.loads(pickle.dumps(start)), PCA(5).fit(X)
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(model.net_.module_.decoder.output.weight, generator=generator)
    model = pickle.loads(pickle.dumps(model))
    codes = start.transform(X[:20])
    for size in (1, 3, 5):
        rows, linear = (one.inverse_transform(codes[:, :size]) for one in (model, start))
        assert np.abs(rows - linear).max() > 1e-3
        told = pca.transform(rows)[:, :size]
        assert_allclose(np.abs(told), np.abs(codes[:, :size]), atol=1e-9)


def test_bends_level_off(grouped):
    model, pca = with_any_bends(grouped), PCA(6).fit(steep(600))
    std = pca.explained_variance_[5] ** 0.5  # of what five codes do not tell
    steps = np.array([[0.0], [20.0], [200.0], [2000.0]]) * 6**0.5
    codes = model.transform(pca.mean_ + steps * std * pca.components_[5])
    last = np.abs(np.diff(codes[:, 4]))
    assert last[1] < 0.02 * last[0]
    assert last[2] < 0.1 * last[1]


def test_groups_share_the_widths(grouped):
    module = grouped.net_.module_
    assert module.groups == [(0, 1), (1, 2), (2, 4), (4, 5)]
    for (first, end), network in zip(module.groups, module.encoder, strict=True):
        sizes = [layer.out_features for layer in network if hasattr(layer, "out_features")]
        assert sizes == [128, 64, end - first]
    hidden = [layer.out_features for layer in module.decoder if hasattr(layer, "out_features")]
    assert hidden == [256, 256, 6]  # beside the networks of the groups


def test_short_codes_gain_and_no_size_loses(grouped):
    X, X_test = steep(600), steep(1000, seed=1)
    pca = [squared_error(X_test, PCA(size).fit(X)) for size in range(1, 6)]
    ratios = [squared_error(X_test, grouped.truncate(size)) / pca[size - 1] for size in range(1, 6)]
    assert max(ratios) <= 1.01
    assert ratios[0] < 0.5
    assert ratios[4] < 0.1


def test_a_truncated_model_keeps_its_groups(grouped):
    X = steep(50, seed=1)
    codes = grouped.transform(X)
    for size in (1, 2, 3, 5):
        truncated = grouped.truncate(size)
        assert_allclose(truncated.transform(X), codes[:, :size], atol=1e-12)
        assert_allclose(
            truncated.reconstruct(X), grouped.inverse_transform(codes[:, :size]), atol=1e-12
        )
        again = pickle.loads(pickle.dumps(truncated))
        assert_array_equal(again.reconstruct(X), truncated.reconstruct(X))
    truncated = grouped.truncate(3)
    before = truncated.score(X)
    truncated.partial_fit(steep(200, seed=2))
    assert truncated.score(X) > before - 0.01


def test_sizes_at_which_pca_leaves_nothing_are_pca():
    """Of a table in a plane of four dimensions, also for a row that is not in it."""
    X = steep(400)[:, :4] @ np.random.default_rng(0).standard_normal((4, 6))
    model = AutoencoderTransformer(5, ordered=True, random_state=0).fit(X)
    assert model.best_epoch_ > 0
    X_test = steep(100, seed=1)[:, :4] @ np.random.default_rng(0).standard_normal((4, 6))
    assert squared_error(X_test, model.truncate(1)) < 0.99 * squared_error(X_test, PCA(1).fit(X))
    X_test[3] += np.random.default_rng(1).standard_normal(6)
    pca = PCA(4).fit(X)
    expected = pca.inverse_transform(pca.transform(X_test))
    assert_allclose(model.truncate(4).reconstruct(X_test), expected, atol=1e-9)
    in_plane = np.delete(X_test, 3, axis=0)
    assert_allclose(model.reconstruct(in_plane), in_plane, atol=1e-9)
    assert model.net_.module_.judged.tolist() == [1, 2, 3]


@pytest.mark.parametrize("n_read", [1, 3, 4])  # 3 is inside a group
def test_directions_without_extent_are_not_read(n_read):
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    scores = rng.standard_normal((300, n_read)) * 10.0 ** -np.arange(n_read)
    X = scores @ axes[:n_read]
    start = AutoencoderTransformer(5, ordered=True, max_epochs=0).fit(X)
    model = with_any_bends(start, decoder=True)
    aside = X[:20] + rng.standard_normal((20, 1)) * axes[5]
    for size in range(n_read, 6):
        expected = start.truncate(size).reconstruct(aside)
        assert_allclose(model.truncate(size).reconstruct(aside), expected, atol=1e-9)


def test_modules_that_were_made_before_bend_together():
    encoder = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.SiLU(), torch.nn.Linear(8, 5))
    decoder = torch.nn.Sequential(torch.nn.Linear(10, 8), torch.nn.SiLU(), torch.nn.Linear(8, 6))
    model = AutoencoderTransformer(
        5, ordered=True, max_epochs=2, network=lambda *sizes: (encoder, decoder), random_state=0
    ).fit(steep(200))
    assert type(model.net_.module_) is OrderedModule
    assert model.truncate(2).transform(steep(200)).shape == (200, 2)


def test_rows_are_trained_at_sizes_at_which_pca_leaves_something():
    X = steep(400)[:, :4] @ np.random.default_rng(0).standard_normal((4, 6))
    module = AutoencoderTransformer(5, ordered=True, max_epochs=0).fit(X).net_.module_.train()
    sizes = sizes_in_training(module, torch.zeros(18, 6), 200)
    shares = np.bincount(sizes, minlength=6) / (200 * 18)
    assert_allclose(shares, [0, 1 / 3, 1 / 3, 1 / 3, 0, 0], atol=0.02)


def test_codes_bend_in_groups_where_pca_spans_decades(digits):
    def module(X, k, **options):
        model = AutoencoderTransformer(k, ordered=True, max_epochs=0, **options).fit(X)
        return type(model.net_.module_)

    X = scale(load_breast_cancer().data)
    left = 1 - np.cumsum(PCA(30).fit(X).explained_variance_ratio_)
    k = int(np.flatnonzero(left < left[0] / 100)[0]) + 1
    assert module(X, k - 1) is OrderedModule
    assert module(X, k) is GroupedModule
    assert module(X, k, init="random") is OrderedModule
    assert module(np.outer(np.arange(20.0), np.ones(3)), 1) is GroupedModule  # one tells all
    probabilities = digits[0][:100] / 16
    assert module(probabilities, 64, likelihood="bernoulli") is OrderedModule
    assert module(probabilities, 64) is GroupedModule


@pytest.mark.parametrize(
    "parameters",
    [
        {"network": "conv", "input_shape": (1, 8, 8), "hidden_layer_sizes": (4,)},
        {"network": "recurrent", "input_shape": (8, 8), "hidden_layer_sizes": (8,)},
        {"hidden_layer_sizes": 3},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_groups_go_with_other_parameters(tables, parameters):
    X = tables[0] / 16
    model = AutoencoderTransformer(60, ordered=True, max_epochs=2, **parameters).fit(X)
    assert isinstance(model.net_.module_, GroupedModule)
    for size in (1, 17, 60):
        codes = model.truncate(size).transform(X)
        assert model.inverse_transform(codes).shape == X.shape
    assert np.isfinite(model.score(X))
