"""Rows far out: what networks add is bounded there, and the classical start does the rest."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from _estimators import OF_CODES, ConditionalVAE
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

import skae
from skae import AutoencoderTransformer, VAETransformer

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


def test_far_out_networks_add_what_they_add_at_the_border(pair, bent):
    model, start = pair
    direction = outermost(bent, start) - start.mean_
    near, far = (start.mean_ + t * direction for t in (1e3, 1e6))
    added = [model.transform(X) - start.transform(X) for X in (near, far)]
    assert np.abs(added[0]).max() > 1e-3
    # The direction still turns a little where codes have an offset.
    assert_allclose(added[0], added[1], atol=1e-3)
    codes = start.transform(outermost(bent, start))
    near, far = (t * codes for t in (100.0, 1e5))
    added = [model.inverse_transform(Z) - start.inverse_transform(Z) for Z in (near, far)]
    assert np.abs(added[0]).max() > 1e-3
    assert_allclose(added[0], added[1], atol=1e-6)


def test_so_far_out_rows_are_reconstructed_as_by_pca(pair, bent):
    start = pair[1]
    far = start.mean_ + 1e4 * (outermost(bent, start) - start.mean_)
    errors = [np.square(far - m.inverse_transform(m.transform(far))).sum() for m in pair]
    assert errors[0] == pytest.approx(errors[1], rel=0.01)


def test_rows_of_the_table_are_within_reach(pair, bent):
    model, _ = pair
    codes = model.transform(bent)
    rows = model.inverse_transform(codes)
    unbounded = pickle.loads(pickle.dumps(model))
    unbounded.net_.module_.is_bounded = False
    assert_array_equal(
        unbounded.transform(bent.astype(np.float32)), model.transform(bent.astype(np.float32))
    )
    unbounded.net_.module_.is_bounded = True
    unbounded.net_.module_.reach.fill_(1e30)
    unbounded.net_.inference_modules_ = {}
    assert_array_equal(unbounded.transform(bent), codes)
    assert_array_equal(unbounded.inverse_transform(codes), rows)
    far = 100.0 * codes
    assert np.abs(unbounded.inverse_transform(far) - model.inverse_transform(far)).max() > 0.1


def test_rows_in_single_precision_are_drawn_in_alike(pair, bent):
    """They are not standardised before the encoder, so the origin is the mean."""
    model, start = pair
    far = start.mean_ + 20.0 * (outermost(bent, start) - start.mean_)
    single = model.transform(far.astype(np.float32))
    assert_allclose(single, model.transform(far), rtol=1e-4, atol=1e-3)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(far), model.transform(far))
    assert_array_equal(again.transform(far.astype(np.float32)), single)


def test_each_row_is_drawn_in_by_itself(pair, bent):
    model, start = pair
    far = start.mean_ + 20.0 * (outermost(bent, start) - start.mean_)
    both = np.concatenate([bent[:20], far])
    assert_allclose(model.transform(both)[:20], model.transform(bent[:20]), atol=1e-12)
    assert_allclose(model.transform(both)[20:], model.transform(far), atol=1e-9)


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
    for x in seen:
        assert_array_equal(x[:, -module.n_conditions :], conditions)
        assert x[:, : -module.n_conditions].abs().max() < 100.0


def test_draws_from_the_prior_are_within_reach():
    """Even where all posteriors are alike."""
    X = np.random.default_rng(0).standard_normal((300, 4))
    model = VAETransformer(2, max_epochs=3, init="random", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    assert model.net_.module_.reach[1] >= 1.5 * (np.sqrt(2.0) + 4.0)


def test_reach_of_chunks_only_grows(bent):
    model = AutoencoderTransformer(2, random_state=0).partial_fit(bent)
    for _ in range(5):
        model.partial_fit(bent)
    assert not model.net_.module_.is_start
    before = model.net_.module_.reach.clone()
    model.partial_fit(0.01 * bent)
    after = model.net_.module_.reach
    assert bool((after >= before).all())
    model.partial_fit(3.0 * bent)
    assert bool((model.net_.module_.reach > 2.0 * before).all())
    codes = model._spec["start"].code_scale
    norms = np.linalg.norm(PCA(2).fit_transform(bent) / codes, axis=1)
    assert before[0] == pytest.approx(1.5 * norms.max(), rel=1e-5)


def test_reach_of_a_warm_fit_is_of_its_table(bent):
    model = AutoencoderTransformer(2, max_epochs=20, random_state=0, warm_start=True).fit(bent)
    before = model.net_.module_.reach.clone()
    model.fit(2.0 * bent)
    assert model.net_.module_.reach[0] == pytest.approx(2.0 * float(before[0]), rel=0.1)


def test_training_and_its_choice_know_no_reach(bent, monkeypatch):
    """From warm weights too: else epoch 0 would be judged by another rule than those after."""
    seen = []
    module = skae._module.AutoencoderModule
    bounded = module._bounded

    def watched(self, x, *rest):
        seen.append(self.is_bounded)
        return bounded(self, x, *rest)

    monkeypatch.setattr(module, "_bounded", watched)
    model = AutoencoderTransformer(2, max_epochs=3, random_state=0, warm_start=True).fit(bent)
    monkeypatch.setattr(model, "_set_reach", lambda *rest, **options: seen.append("set"))
    seen.clear()
    model.fit(bent)
    assert "set" in seen
    assert True not in seen[: seen.index("set")]


def test_codes_that_are_all_zero_have_a_reach(bent):
    for ordered in (False, True):
        model = AutoencoderTransformer(3, ordered=ordered, max_epochs=2, random_state=0).fit(bent)
        reach = model.net_.module_.reach
        model.net_.set_reach(np.zeros((5, len(reach))), goes_on=False)
        assert reach.tolist() == [1.5] * len(reach)
