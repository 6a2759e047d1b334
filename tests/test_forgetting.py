"""A fit anew leaves nothing of the fit before, and nothing else than a first fit has."""

import numpy as np
import pytest
from sklearn.base import clone

from skae import AutoencoderTransformer, ConditionalVAE, DenoisingAutoencoder, VAETransformer

RNG = np.random.default_rng(0)
ALONG = RNG.standard_normal((60, 1))
X = 1 / (1 + np.exp(-9 * ALONG * [1, -1, 1, -1, 1, 1] - RNG.standard_normal((60, 6))))  # in [0, 1]
NUMBERS, CLASSES = RNG.random(60), np.arange(60) % 3


def attributes(model):
    return {name for name in dir(model) if name.endswith("_") and hasattr(model, name)}


@pytest.mark.parametrize(
    ("first", "then", "given"),
    [
        (AutoencoderTransformer(2), {"likelihood": "bernoulli"}, ()),
        (AutoencoderTransformer(2, ordered=True), {"ordered": False}, ()),
        (VAETransformer(1), {"likelihood": "bernoulli"}, ()),
        (VAETransformer(1, whiten=True), {"whiten": False}, ()),
        (DenoisingAutoencoder(2), {"likelihood": "bernoulli"}, ()),
        (ConditionalVAE(2), {"condition": "number"}, (CLASSES, NUMBERS)),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else str(value),
)
def test_a_fit_anew_has_the_attributes_of_a_first_fit(first, then, given):
    before, after = given or (None, None)
    model = clone(first).set_params(max_epochs=1, random_state=0)
    model.fit(X, before).partial_fit(X, before)
    model.note = "mine"
    fresh = clone(model).set_params(**then).fit(X, after)
    model.set_params(**then).fit(X, after)
    assert attributes(model) == attributes(fresh)
    assert model.note == "mine"
    np.testing.assert_array_equal(model.transform(X), fresh.transform(X))


def test_names_of_features_are_forgotten():
    pd = pytest.importorskip("pandas")
    model = AutoencoderTransformer(2, max_epochs=0).fit(pd.DataFrame(X, columns=list("abcdef")))
    assert hasattr(model, "feature_names_in_")
    assert not hasattr(model.fit(X), "feature_names_in_")


def test_a_fit_that_fails_forgets_nothing():
    model = VAETransformer(2, max_epochs=1, random_state=0).fit(X)
    codes = model.transform(X)
    with pytest.raises(ValueError, match="NaN"):
        model.set_params(likelihood="bernoulli").fit(np.where(X > 0.99, np.nan, X))
    np.testing.assert_array_equal(model.transform(X), codes)
    assert hasattr(model, "noise_variance_")
