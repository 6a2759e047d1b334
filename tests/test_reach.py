"""Rows far out: what networks add is bounded there, and the classical start does the rest."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from _estimators import OF_CODES, ConditionalVAE
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import skae
from skae import AutoencoderTransformer, DenoisingAutoencoder, VAETransformer

VARIANTS = [
    *[cls(2, max_epochs=20, random_state=0) for cls in OF_CODES],
    AutoencoderTransformer(3, ordered=True, max_epochs=20, random_state=0),
    AutoencoderTransformer(2, network="conv", input_shape=(1, 2, 3), max_epochs=20, random_state=0),
]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda model: repr(model)[:40])
def pair(request, bent):
    """What has learned something, and its start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = clone(request.param).fit(bent)
    assert not model.net_.module_.is_start
    if isinstance(model, skae.AdversarialAutoencoder):  # whose codes are turned after training
        model._alignment = np.zeros(2), np.eye(2), np.eye(2)
    return model, clone(request.param).set_params(max_epochs=0).fit(bent)


def outermost(X, start):
    """Rows whose linear codes are far from the mean, in units of all."""
    norms = np.linalg.norm(start.transform(X) / start._spec["start"].code_scale, axis=1)
    return X[norms > 0.5 * norms.max()][:10]


def added(model, start, X):
    """What networks add to codes, and to rows of these codes."""
    y = (0,) if isinstance(model, ConditionalVAE) else ()
    codes = start.transform(X, *y)
    of_codes = model.inverse_transform(codes, *y) - start.inverse_transform(codes, *y)
    return model.transform(X, *y) - codes, of_codes


def test_far_out_networks_add_what_they_add_at_the_border(pair, bent):
    model, start = pair
    direction = outermost(bent, start) - start.mean_
    near, far = (added(model, start, start.mean_ + t * direction) for t in (1e4, 1e7))
    for one, other in zip(near, far, strict=True):
        assert np.abs(one).max() > 1e-3
        assert_allclose(one, other, atol=1e-3)  # those of a class turn, as codes have an offset


def error_ratio(pair, X):
    errors = [np.square(X - m.inverse_transform(m.transform(X))).sum() for m in pair]
    return errors[0] / errors[1]


def test_so_far_out_rows_are_reconstructed_as_by_the_start(pair, bent):
    """Whether or not they are far out in the plane of the linear codes."""
    start = pair[1]
    rows = outermost(bent, start)
    aside = rows - start.inverse_transform(start.transform(rows))
    for direction in (rows - start.mean_, aside):
        assert error_ratio(pair, start.mean_ + 1e4 * direction) == pytest.approx(1.0, abs=0.01)


def test_rows_of_the_table_are_within_reach(pair, bent):
    model, _ = pair
    codes = model.transform(bent)
    rows = model.inverse_transform(codes)
    unbounded = pickle.loads(pickle.dumps(model))
    unbounded.net_.module_.reach = None
    unbounded.net_.inference_modules_ = {}
    assert_array_equal(unbounded.transform(bent), codes)
    assert_array_equal(unbounded.inverse_transform(codes), rows)
    single = bent.astype(np.float32)
    assert_array_equal(unbounded.transform(single), model.transform(single))
    far = 100.0 * bent
    assert np.abs(unbounded.transform(far) - model.transform(far)).max() > 0.1
    far = 100.0 * codes
    assert np.abs(unbounded.inverse_transform(far) - model.inverse_transform(far)).max() > 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_are_not_standardised_are_drawn_in_alike(pair, bent, dtype):
    """An encoder that standardises by its first layer has its origin at the mean."""
    model, start = pair
    far = (start.mean_ + 20.0 * (outermost(bent, start) - start.mean_)).astype(dtype)
    module, _ = model.net_.inference_module(np.dtype(dtype))
    if not isinstance(model, ConditionalVAE):
        with torch.inference_mode():
            codes = module.embed(torch.from_numpy(model._standardise(far))).numpy()
        found = model.transform(far) / model._spec["start"].code_scale
        assert_allclose(found, codes, rtol=1e-3, atol=1e-3 if dtype == "float32" else 1e-9)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(far), model.transform(far))
    codes = model.transform(far)
    assert_array_equal(again.inverse_transform(codes), model.inverse_transform(codes))


def test_each_row_is_drawn_in_by_itself(pair, bent):
    model, start = pair
    far = start.mean_ + 20.0 * (outermost(bent, start) - start.mean_)
    both = np.concatenate([bent[:20], far])
    assert_allclose(model.transform(both)[:20], model.transform(bent[:20]), atol=1e-12)
    assert_allclose(model.transform(both)[20:], model.transform(far), atol=1e-9)


def test_training_a_module_and_back_leaves_its_reach(pair, bent):
    model, _ = pair
    far = (20.0 * bent).astype(np.float32)
    before = model.inverse_transform(model.transform(far))
    model.net_.module_.train()
    model.net_.module_.eval()
    assert_array_equal(model.inverse_transform(model.transform(far)), before)


def test_conditions_are_not_drawn_in(bent):
    y = np.arange(len(bent)) % 3
    model = ConditionalVAE(2, max_epochs=20, random_state=0).fit(bent, y)
    module, _ = model.net_.inference_module(np.float64)
    seen = []
    handles = [
        network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        for network in (module.encoder[0], module.decoder[0])
    ]
    conditions = torch.eye(3, dtype=torch.float64)[:, -(module.n_conditions) :]
    with torch.inference_mode():
        z = module.embed(torch.cat([torch.full((3, 6), 1e3).double(), conditions], dim=1))
        module.expect(torch.cat([1e3 * z, conditions], dim=1))
    for handle in handles:
        handle.remove()
    for x, reach in zip(seen, model.net_.reach_, strict=True):
        assert_array_equal(x[:, -module.n_conditions :], conditions)
        assert_allclose(x[:, : -module.n_conditions].norm(dim=1), reach, rtol=1e-6)


@pytest.mark.parametrize("cls", [VAETransformer, skae.AdversarialAutoencoder])
def test_draws_from_the_prior_are_within_reach(cls, bent):
    """However near codes of all rows are to each other."""
    model = cls(2, max_epochs=20, random_state=0).fit(bent)
    assert model.net_.reach_[1] >= 1.5 * (np.sqrt(2.0) + 4.0)
    assert model.net_.reach_[0] < 8.1  # of rows alone


def test_without_a_start_there_is_no_reach(bent):
    """No linear path would take over."""
    model = AutoencoderTransformer(2, init="random", max_epochs=3, random_state=0).fit(bent)
    assert model.net_.reach_ is None
    assert model.net_.module_.reach is None


def largest_norms(model, X):
    start = model._spec["start"]
    rows = (X - start.input_mean) / start.input_scale
    codes = model.transform(X) / start.code_scale
    return [np.linalg.norm(part, axis=1).max() for part in (rows, codes)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reach_of_a_warm_fit_is_of_both_tables(bent, dtype):
    X = bent.astype(dtype)
    model = AutoencoderTransformer(2, max_epochs=20, random_state=0, warm_start=True).fit(X)
    first = model.net_.reach_
    assert_allclose(first, 1.5 * np.array(largest_norms(model, X)), rtol=1e-5)
    model.fit(8 * X)
    assert model.best_epoch_ > 0
    assert_allclose(model.net_.reach_, 1.5 * np.array(largest_norms(model, 8 * X)), rtol=1e-5)
    second = model.net_.reach_
    model.fit(X)
    assert (model.net_.reach_ >= second).all()


def test_reach_of_chunks_only_grows(bent):
    model = AutoencoderTransformer(2, random_state=0)
    wide = np.concatenate([bent, 4.0 * bent[:100]])
    chosen = []
    for chunk in (bent, bent, wide, bent, bent, bent):
        before = getattr(model, "net_", None) and model.net_.reach_
        model.partial_fit(chunk)
        chosen.append(model.best_epoch_ == model.n_iter_)
        if before is not None:
            assert (model.net_.reach_ >= before).all()
    assert chosen[-1]  # or what was kept would say nothing of it
    start = model._spec["start"]
    rows = np.linalg.norm((wide - start.mean) / start.scale, axis=1)
    assert model.net_.reach_[0] == pytest.approx(1.5 * rows.max(), rel=1e-5)
    assert model.net_.module_.reach[0] == pytest.approx(1.5 * rows.max(), rel=1e-5)


def test_corrupted_rows_are_within_reach(bent):
    def brighter(X, level, rng):
        return X * rng.uniform(0.3, level, (len(X), 1))

    model = DenoisingAutoencoder(
        2, corruption=brighter, corruption_level=6.0, max_epochs=20, random_state=0
    ).fit(bent)
    assert not model.net_.module_.is_start
    start = model._spec["start"]
    corrupted = (brighter(bent, 6.0, np.random.default_rng(0)) - start.mean) / start.scale
    assert np.linalg.norm(corrupted, axis=1).max() < model.net_.reach_[0]


def test_training_and_its_choice_know_no_reach(bent, monkeypatch):
    """From warm weights too: else epoch 0 would be judged by another rule than those after."""
    seen = []
    module = skae._module.AutoencoderModule
    drawn_in = module._drawn_in

    def watched(self, x, *rest):
        seen.append("drawn in")
        return drawn_in(self, x, *rest)

    monkeypatch.setattr(module, "_drawn_in", watched)
    model = AutoencoderTransformer(2, max_epochs=3, random_state=0, warm_start=True).fit(bent)
    assert "drawn in" in seen
    set_reach = model._set_reach

    def marked(job):
        seen.append("set")
        set_reach(job)

    monkeypatch.setattr(model, "_set_reach", marked)
    seen.clear()
    model.fit(bent)
    assert seen[0] == "set"
    assert "drawn in" in seen


def test_codes_that_are_all_zero_have_a_reach(bent):
    for ordered in (False, True):
        model = AutoencoderTransformer(3, ordered=ordered, max_epochs=2, random_state=0).fit(bent)
        assert (model.net_.reach_ >= 1.5).all()
        assert len(model.net_.reach_) == (4 if ordered else 2)
