"""Drawing rows: what `random_state` takes, and a density of codes that is learned once."""

import copy
import pickle

import numpy as np
import pytest
from _estimators import ESTIMATORS
from sklearn.mixture import GaussianMixture

from skae import AutoencoderTransformer, DenoisingAutoencoder, SuperResolutionAutoencoder

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
FROM_A_MIXTURE = [AutoencoderTransformer, DenoisingAutoencoder, SuperResolutionAutoencoder]


@every_estimator
def test_a_generator_is_advanced(cls, bent):
    model = cls(2, max_epochs=1, random_state=0).fit(bent)
    rng = np.random.default_rng(5)
    drawn = [model.sample(2, random_state=rng) for _ in range(3)]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])
    again = np.random.default_rng(5)
    for rows in drawn:
        np.testing.assert_array_equal(model.sample(2, random_state=again), rows)
    many = np.concatenate([model.sample(random_state=rng) for _ in range(20)])
    assert len(np.unique(many, axis=0)) == 20
    assert len({model.sample().tobytes() for _ in range(20)}) == 1  # the estimator's seed


@every_estimator
def test_other_random_states(cls, bent):
    model = cls(2, max_epochs=0, random_state=0).fit(bent)
    state = np.random.RandomState(3)
    assert not np.array_equal(
        model.sample(2, random_state=state), model.sample(2, random_state=state)
    )
    seeded = model.sample(2, random_state=np.int64(3))
    np.testing.assert_array_equal(seeded, model.sample(2, random_state=3))
    with pytest.raises(ValueError, match="'now' cannot be used to seed"):
        model.sample(2, random_state="now")


@pytest.fixture
def fits(monkeypatch):
    """The shapes of codes that densities were fitted to, which begins with a single normal."""
    shapes, fit = [], GaussianMixture.fit

    def watched(self, codes, y=None):
        if self.n_components == 1:
            shapes.append(codes.shape)
        return fit(self, codes, y)

    monkeypatch.setattr(GaussianMixture, "fit", watched)
    return shapes


@pytest.mark.parametrize("cls", FROM_A_MIXTURE)
def test_the_density_of_codes_is_learned_at_first_use(cls, fits, bent):
    model = cls(2, max_epochs=1, random_state=0, lr=0.01, validation_fraction=None).fit(bent)
    assert fits == []  # a fit does not pay for it
    first = model.sample(50)
    for _ in range(3):
        np.testing.assert_array_equal(model.sample(50), first)
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for other in copies:  # which have learned it too
        np.testing.assert_array_equal(other.sample(50), first)
    assert fits == [(400, 2)]
    model.partial_fit(bent[:100])
    after = model.sample(50)
    assert len(fits) == 2
    assert not np.array_equal(after, first)
    model.fit(bent[:200])
    assert not np.array_equal(model.sample(50), after)
    assert len(fits) == 3
    np.testing.assert_array_equal(copies[0].sample(50), first)


def test_a_truncated_model_has_a_density_of_its_own(fits, bent):
    model = AutoencoderTransformer(3, ordered=True, max_epochs=1, random_state=0).fit(bent)
    model.sample()
    model.truncate(2).sample()
    model.sample()
    assert fits == [(400, 3), (400, 2)]


def test_a_failed_fit_keeps_the_density(fits, bent):
    model = AutoencoderTransformer(2, max_epochs=1, random_state=0).fit(bent)
    first = model.sample(5)
    with pytest.raises(ValueError, match="latent_dim"):
        model.set_params(latent_dim=7).fit(bent)
    np.testing.assert_array_equal(model.sample(5), first)
    assert len(fits) == 1
