"""What holds for every estimator."""

import copy
import inspect
import pickle
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from _estimators import ESTIMATORS, LIKELIHOODS, OF_CODES
from _sizes import small_memory
from numpydoc.docscrape import ClassDoc
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import skae
from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    VAETransformer,
)
from skae.data.split import at_random
from skae.priors import great_circle

PUBLIC = [getattr(skae, cls.__name__) for cls in ESTIMATORS]
VARIANTS = [
    *(cls(max_epochs=2) for cls in PUBLIC),
    AutoencoderTransformer(ordered=True, hidden_layer_sizes=16, max_epochs=3),
    AutoencoderTransformer(hidden_layer_sizes=(), init="random", optimizer="sgd", max_epochs=3),
    DenoisingAutoencoder(corruption="masking", validation_fraction=None, max_epochs=3),
    VAETransformer(beta=0.5, beta_warmup=2, max_epochs=3),
    AdversarialAutoencoder(prior="uniform", validation_fraction=None, max_epochs=3),
]

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)


@parametrize_with_checks(VARIANTS)
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        # Noise, which most checks fit, has nothing for a latent of a random start to say.
        warnings.filterwarnings("ignore", ".*latents have collapsed", ConvergenceWarning)
        check(estimator)


@every_estimator
def test_tags(cls):
    tags = cls().__sklearn_tags__()
    assert not tags.non_deterministic
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]


@every_estimator
def test_constructor_only_assigns(cls):
    values = {name: object() for name in cls().get_params()}
    for name, value in cls(**values).get_params(deep=False).items():
        assert value is values[name]


@every_estimator
def test_latent_dim_alone_is_positional(cls):
    kinds = [p.kind for p in inspect.signature(cls).parameters.values()]
    assert kinds[0] is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds[1:]) == {inspect.Parameter.KEYWORD_ONLY}


@every_estimator
def test_docstring_names_every_parameter_and_attribute(cls, iris):
    doc = ClassDoc(cls)
    documented = [name for p in doc["Parameters"] for name in p.name.split(", ")]
    assert documented == list(inspect.signature(cls).parameters)
    models = [cls(max_epochs=1)]
    if hasattr(cls, "ordered"):
        models.append(cls(max_epochs=1, ordered=True))
    fitted = {name for model in models for name in vars(model.fit(iris)) if name.endswith("_")}
    fitted |= {name for name in dir(cls) if re.fullmatch("[a-z].*_", name)}  # properties
    written = {name for p in doc["Attributes"] for name in p.name.split(", ")}
    assert fitted == written - {"feature_names_in_", "likelihoods_"}


@every_estimator
def test_docstring_is_whole(cls):
    assert "{shared" not in cls.__doc__
    assert cls.__doc__.startswith(inspect.cleandoc(cls.__doc__)[:20])
    defaults = {p.name: p.type for p in ClassDoc(cls)["Parameters"]}
    for name, value in cls().get_params().items():
        written = defaults[name].split("default=")[1].strip('"')
        assert written == str(value) or float(written) == value, name


@pytest.mark.filterwarnings("ignore:.*latents have collapsed")
def test_scores_need_only_what_the_fit_used(bent):
    """Parameters set after a fit wait for the next one."""
    X = (bent - bent.min()) / np.ptp(bent)
    for likelihood, other in (("gaussian", "bernoulli"), ("bernoulli", "gaussian")):
        vae = VAETransformer(2, likelihood=likelihood, max_epochs=2, random_state=0).fit(X)
        before = vae.score_samples(X)
        vae.set_params(likelihood=other, latent_dim=4, hidden_layer_sizes=())
        np.testing.assert_array_equal(vae.score_samples(X), before)
        assert vae.sample(3).shape == (3, 6)


@every_estimator
def test_sample_in_the_dtype_of_the_fit(cls, bent):
    X = np.repeat(bent[:3], 200, axis=0).astype(np.float32)
    assert cls(1, max_epochs=1, random_state=0).fit(X).sample(5).dtype == np.float32
    assert cls(1, max_epochs=1, random_state=0).fit(bent).sample(5).dtype == np.float64


@pytest.mark.parametrize(
    "cls", [AdversarialAutoencoder, AutoencoderTransformer, DenoisingAutoencoder]
)
@pytest.mark.parametrize(
    "parameters",
    [{}, {"validation_fraction": None}, {"init": "random"}, {"max_epochs": 0}],
)
def test_noise_variance_is_what_is_left(cls, parameters, bent):
    model = cls(2, random_state=0, warm_start=True, **{"max_epochs": 5, **parameters}).fit(bent)
    for _ in range(2):
        left = np.square(bent - model.reconstruct(bent)).sum() / (399 * 4)
        assert model.noise_variance_ == pytest.approx(left)
        model.fit(bent)
    model.set_params(likelihood="bernoulli", warm_start=False).fit(bent > 0)
    assert not hasattr(model, "noise_variance_")


def test_sample_of_an_interleaved_table():
    """Every second row is a group of its own: a stride would see one of the two."""
    X = np.random.default_rng(0).standard_normal((4000, 3))
    X[::2] += 20
    drawn = AutoencoderTransformer(2, max_epochs=0, random_state=0).fit(X).sample(2000)
    np.testing.assert_allclose(drawn.mean(axis=0), 10, atol=1.0)


def test_rows_that_repeat_are_on_one_side(bent):
    """A bootstrap of noise has nothing to learn, though its rows are known by heart."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.standard_normal((100, 10)), 4, axis=0)
    assert AutoencoderTransformer(2, random_state=0).fit(X).best_epoch_ == 0
    bootstrap = bent[rng.integers(400, size=400)]
    split = at_random(bootstrap, 40, np.random.default_rng(0))
    assert sorted([*split.rows, *split.train]) == list(range(400))
    assert 35 <= len(split.rows) <= 45
    held_out, trained = bootstrap[split.rows], bootstrap[split.train]
    assert not (held_out[:, None] == trained[None]).all(axis=2).any()


def test_a_row_that_is_most_of_the_table_is_on_both_sides(bent):
    X = bent.copy()
    X[:280] = X[0]
    for seed in range(20):
        split = at_random(X, 60, np.random.default_rng(seed))
        assert sorted([*split.rows, *split.train]) == list(range(400))
        assert len(split.rows) == 60
        assert 25 <= (split.rows < 280).sum() <= 55  # 70 % of them, about


@pytest.mark.parametrize(("cls", "likelihood"), LIKELIHOODS)
def test_every_weight_is_trained(cls, likelihood, digits):
    X = digits[0][:200]
    options = {"likelihood": likelihood, "random_state": 0, "validation_fraction": None}
    start = cls(3, max_epochs=0, **options).fit(X)
    trained = cls(3, max_epochs=3, **options).fit(X)
    before = dict(start.net_.module_.named_parameters())
    for name, value in trained.net_.module_.named_parameters():
        assert not np.array_equal(before[name], value), name


@every_estimator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_in_is_dtype_out(cls, dtype, iris):
    X = iris.astype(dtype)
    estimator = cls(max_epochs=2, random_state=0).fit(X)
    codes = estimator.transform(X)
    assert codes.dtype == dtype
    assert estimator.inverse_transform(codes).dtype == dtype
    assert estimator.reconstruct(X).dtype == dtype
    assert estimator.score_samples(X).dtype == dtype


@every_estimator
def test_float32_and_float64_agree(cls, bent):
    estimator = cls(max_epochs=20, random_state=0).fit(bent)
    single = estimator.transform(bent.astype(np.float32))
    np.testing.assert_allclose(single, estimator.transform(bent), rtol=1e-4, atol=1e-5)


@every_estimator
def test_results_depend_on_neither_order_nor_blocks(cls, bent, monkeypatch):
    estimator = cls(max_epochs=5, random_state=0).fit(bent)
    codes, scores = estimator.transform(bent), estimator.score_samples(bent)
    order = np.random.default_rng(0).permutation(len(bent))
    np.testing.assert_allclose(estimator.transform(bent[order]), codes[order], rtol=1e-12)
    small_memory(monkeypatch, array=50)
    np.testing.assert_allclose(estimator.transform(bent), codes, rtol=1e-12)
    # Some scores are 1 minus a number near it.
    np.testing.assert_allclose(estimator.score_samples(bent), scores, rtol=1e-12, atol=1e-14)
    one = np.concatenate([estimator.transform(row[None]) for row in bent[:5]])
    np.testing.assert_allclose(one, codes[:5], rtol=1e-12)


@every_estimator
@pytest.mark.parametrize("dump", [pickle.dumps, copy.deepcopy])
def test_pickled_estimator_answers_the_same(cls, dump, bent):
    estimator = cls(max_epochs=5, random_state=0).fit(bent)
    copied = dump(estimator)
    copied = pickle.loads(copied) if isinstance(copied, bytes) else copied
    np.testing.assert_array_equal(copied.transform(bent), estimator.transform(bent))
    np.testing.assert_array_equal(copied.score_samples(bent), estimator.score_samples(bent))
    np.testing.assert_array_equal(copied.sample(3), estimator.sample(3))
    assert copied.net_.history[:, "train_loss"] == estimator.net_.history[:, "train_loss"]


@every_estimator
def test_pickle_holds_no_torch_object_and_outlives_its_device(cls, bent):
    estimator = cls(max_epochs=2, random_state=0).fit(bent)
    estimator.set_params(hidden_layer_sizes=(3,), callbacks=None)  # of the next fit
    estimator.device_ = "cuda"
    data = pickle.dumps(estimator)
    assert b"torch" not in data
    estimator.device_ = "cpu"
    loaded = pickle.loads(data)
    assert loaded.device_ == "cpu"
    np.testing.assert_array_equal(loaded.transform(bent), estimator.transform(bent))


@every_estimator
def test_clone_is_unfitted_and_fits_the_same(cls, bent):
    estimator = cls(max_epochs=3, random_state=0).fit(bent)
    copied = clone(estimator)
    with pytest.raises(NotFittedError):
        copied.transform(bent)
    codes = copied.fit(bent).transform(bent)
    np.testing.assert_array_equal(codes, estimator.transform(bent))


@every_estimator
@pytest.mark.parametrize("verb", ["transform", "reconstruct", "score_samples", "score", "sample"])
def test_unfitted_estimator_says_so(cls, verb, iris):
    with pytest.raises(NotFittedError, match=f"This {cls.__name__} instance is not fitted yet"):
        getattr(cls(), verb)(*([] if verb == "sample" else [iris]))


@pytest.mark.parametrize("cls", OF_CODES)
def test_reconstruct_is_there_and_back(cls, bent):
    estimator = cls(max_epochs=5, random_state=0).fit(bent)
    told = {"y": 1} if cls.__name__ == "ConditionalVAE" else {}
    back = estimator.inverse_transform(estimator.transform(bent, **told), **told)
    np.testing.assert_allclose(estimator.reconstruct(bent, **told), back, rtol=1e-12)


@every_estimator
def test_score_is_the_mean_over_rows(cls, bent):
    estimator = cls(max_epochs=5, random_state=0).fit(bent)
    assert estimator.score(bent) == pytest.approx(estimator.score_samples(bent).mean(), rel=1e-12)


@every_estimator
@pytest.mark.parametrize(("shift", "factor"), [(1e6, 1.0), (0.0, 1e-3), (1e6, 1e3)])
def test_shift_and_scale_change_nothing(cls, shift, factor, bent):
    def relative_error(X):
        estimator = cls(2, random_state=0, max_epochs=15).fit(X[:300])
        rest = X[300:]
        error = np.square(rest - estimator.reconstruct(rest)).sum()
        return error / np.square(rest - rest.mean(axis=0)).sum()

    assert relative_error(factor * bent + shift) == pytest.approx(relative_error(bent), rel=0.01)


@every_estimator
def test_training_improves_on_the_start_where_it_can(cls, bent):
    start = cls(2, max_epochs=0, random_state=0).fit(bent[:300])
    trained = cls(2, random_state=0).fit(bent[:300])
    assert trained.best_epoch_ > 0
    rest = bent[300:]
    error = [np.square(rest - est.reconstruct(rest)).sum() for est in (trained, start)]
    assert error[0] < 0.7 * error[1]
    assert trained.score(rest) > start.score(rest)


@every_estimator
def test_noise_is_left_to_the_start(cls):
    X = np.random.default_rng(0).standard_normal((120, 10))
    estimator = cls(2, random_state=0).fit(X)
    assert estimator.best_epoch_ == 0
    start = cls(2, random_state=0, max_epochs=0).fit(X)
    np.testing.assert_array_equal(estimator.transform(X), start.transform(X))


@every_estimator
def test_curves(cls, bent):
    estimator = cls(2, max_epochs=7, random_state=0, n_iter_no_change=50).fit(bent)
    assert estimator.n_iter_ == 7
    assert estimator.loss_curve_.shape == (7,)
    assert estimator.validation_curve_.shape == (8,)
    assert estimator.best_epoch_ == estimator.validation_curve_.argmin()
    assert len(estimator.net_.history) == 7


@every_estimator
def test_sample(cls, bent):
    estimator = cls(2, random_state=0).fit(bent)
    drawn = estimator.sample(2000, random_state=1)
    assert drawn.shape == (2000, 6)
    np.testing.assert_array_equal(drawn, estimator.sample(2000, random_state=1))
    assert not np.array_equal(drawn, estimator.sample(2000, random_state=2))
    np.testing.assert_array_equal(estimator.sample(5), estimator.sample(5))
    spread = bent.std(axis=0)
    np.testing.assert_allclose(drawn.mean(axis=0) / spread, bent.mean(axis=0) / spread, atol=0.25)
    np.testing.assert_allclose(drawn.std(axis=0), spread, rtol=0.35)


def test_version_and_public_names():
    assert skae.__version__
    others = {"VAEImputer", "__version__"}
    assert set(skae.__all__) == {cls.__name__ for cls in ESTIMATORS} | others


def test_import_brings_neither_torch_nor_skorch():
    program = "import sys, skae; print([m for m in ('torch', 'skorch') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_neither_fits_nor_pickles_import_a_compiler():
    """A second and 90 MB that torch spends where its wrappers and its meta device are used."""
    program = (
        "import pickle, sys, numpy, skae\n"
        "X = numpy.random.default_rng(0).standard_normal((50, 4))\n"
        "for cls in (skae.AutoencoderTransformer, skae.VAETransformer):\n"
        "    cls(2, max_epochs=1).fit(X).score(X)\n"
        "for optimizer in ('adam', 'adamw', 'sgd'):\n"
        "    model = skae.AutoencoderTransformer(2, max_epochs=1, optimizer=optimizer)\n"
        "    model.partial_fit(X).partial_fit(X)\n"
        "pickle.loads(pickle.dumps(model)).transform(X)\n"
        "print([m for m in ('torch._dynamo', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("cls", OF_CODES)
def test_interpolation_leads_from_reconstruction_to_reconstruction(cls, bent):
    model = cls(2, max_epochs=5, random_state=0).fit(bent)
    ways = model.interpolate(bent[:7], bent[7:14], steps=9)
    assert ways.shape == (7, 9, 6)
    np.testing.assert_allclose(ways[:, 0], model.reconstruct(bent[:7]), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ways[:, -1], model.reconstruct(bent[7:14]), rtol=1e-9, atol=1e-9)
    steps = np.linalg.norm(np.diff(ways, axis=1), axis=2)
    whole = np.linalg.norm(ways[:, -1] - ways[:, 0], axis=1)
    assert (steps.max(axis=1) < 0.8 * np.maximum(whole, 1)).all()
    for steps, rows in ((1, bent[:7]), (2.5, bent[:7]), (True, bent[:7]), (4, bent[:6])):
        with pytest.raises(ValueError, match=r"steps must be|as many rows"):
            model.interpolate(bent[7:14], rows, steps=steps)


def test_interpolation_of_a_normal_prior_is_along_a_great_circle(bent):
    a, b = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
    shares = np.array([[0.0], [0.5], [1.0]])
    np.testing.assert_allclose(great_circle(a, b, shares)[1], [np.sqrt(2), np.sqrt(2)])
    for end in (3 * a, -a, 0 * a):  # in one direction, in opposite ones, without one
        expected = (1 - shares) * a + shares * end
        np.testing.assert_allclose(great_circle(a, end, shares), expected)
    for cls, way in (
        (VAETransformer, great_circle),
        (AutoencoderTransformer, lambda a, b, shares: (1 - shares) * a + shares * b),
    ):
        model = cls(2, max_epochs=0).fit(bent)
        a, b = model.transform(bent[:2])
        expected = model.inverse_transform(way(a, b, shares))
        np.testing.assert_allclose(model.interpolate(bent[:1], bent[1:2], 3)[0], expected)
