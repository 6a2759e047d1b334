"""What another version of skae saved."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
from _estimators import ESTIMATORS
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.exceptions import InconsistentVersionWarning

import skae
from skae import AutoencoderTransformer, VAETransformer
from skae.state import stamp

VERSION, FORMAT = stamp()  # what a state calls the version that saved it, and its kind
every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)


def saved(model, *left_out, **changes):
    """What loads the model from a state that says other things of its version."""
    state = {k: v for k, v in {**model.__getstate__(), **changes}.items() if k not in left_out}
    new = object.__new__(type(model))
    return lambda: new.__setstate__(state) or new


@every_estimator
def test_another_version_is_warned_of(cls, bent):
    model = cls(2, max_epochs=1, random_state=0).fit(bent)
    load = saved(model, **{VERSION: "0.0.9"})
    message = f"{cls.__name__} was saved by skae 0.0.9 and is loaded by skae {skae.__version__}"
    with pytest.warns(InconsistentVersionWarning, match=message) as record:
        other = load()
    assert record[0].filename == __file__
    assert_array_equal(other.transform(bent), model.transform(bent))


@every_estimator
def test_another_kind_of_state_is_refused_at_load(cls, bent):
    model = cls(2, max_epochs=1, random_state=0).fit(bent)
    with pytest.raises(ValueError, match=rf"saved by skae 9\.1, whose .* skae {skae.__version__}"):
        saved(model, **{VERSION: "9.1", FORMAT: 99})()
    with pytest.raises(ValueError, match=r"saved by skae before 0\.1\.0, whose fitted states"):
        saved(model, VERSION, FORMAT)()


@every_estimator
def test_the_same_version_says_nothing(cls, bent):
    model = cls(2, max_epochs=1, random_state=0)
    for unfitted in (copy.deepcopy(model), clone(model), pickle.loads(pickle.dumps(model))):
        assert unfitted.get_params() == model.get_params()
    model.fit(bent)
    for same in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert_array_equal(same.transform(bent), model.transform(bent))
        assert not vars(same).keys() & {VERSION, FORMAT}


@every_estimator
def test_a_state_on_disk_is_read_only_and_goes_on(cls, bent, tmp_path):
    model = cls(2, max_epochs=1, random_state=0).partial_fit(bent[:200])
    joblib.dump(model, tmp_path / "model.joblib")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
        loaded.partial_fit(bent[200:])
    model.partial_fit(bent[200:])
    assert_array_equal(loaded.transform(bent), model.transform(bent))
    assert np.isfinite(AutoencoderTransformer(2, max_epochs=0).fit(bent).score(bent))


def test_a_mixture_of_codes_on_disk_scores(tmp_path):
    X = make_moons(600, noise=0.05, random_state=0)[0]
    model = VAETransformer(2, max_epochs=3, random_state=0).fit(X)
    assert model.n_code_components_ > 1
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert loaded.score(X) == model.score(X)  # a warning would be an error


def leaves(value):
    """All that a state is made of, down to what has no parts."""
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


@every_estimator
def test_a_state_holds_plain_values_alone(cls, bent):
    """Numbers, texts and arrays, whatever was drawn or learned; files without pickle need it."""
    model = cls(2, max_epochs=3, random_state=0).fit(bent).partial_fit(bent[:80])
    model.sample(2)
    odd = {type(leaf) for leaf in leaves(model.__getstate__())}
    assert odd <= {int, float, bool, str, type(None), np.ndarray, np.float64, np.int64, np.bool_}
