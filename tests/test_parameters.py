"""Numbers of numpy's types are those of Python, and hopeless ones are refused before training."""

import numpy as np
import pytest
import torch
from _estimators import ESTIMATORS, never_trained
from sklearn.model_selection import GridSearchCV

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    ConditionalVAE,
    DenoisingAutoencoder,
    SuperResolutionAutoencoder,
    VAETransformer,
)

every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
INTS = {
    "latent_dim": 2,
    "hidden_layer_sizes": (8, 4),
    "max_epochs": 2,
    "batch_size": 200,
    "n_iter_no_change": 200,
    "random_state": 7,
    "verbose": 0,
}
OWN_INTS = {
    SuperResolutionAutoencoder: {"scale_factor": 2, "upscaler_layer_sizes": (8, 8)},
    VAETransformer: {"beta_warmup": 200},
    ConditionalVAE: {"beta_warmup": 200},
}
REALS = {
    "lr": np.float32(0.03125),
    "weight_decay": np.longdouble(0.125),
    "validation_fraction": np.float16(0.25),
}
OWN_REALS = {
    VAETransformer: {"beta": np.longdouble(0.5)},
    ConditionalVAE: {"beta": np.longdouble(0.5)},
    AdversarialAutoencoder: {"adversarial_weight": np.float32(0.5)},
    DenoisingAutoencoder: {"corruption_level": np.float16(0.25)},
}


def own(table, cls):
    return next((values for of, values in table.items() if issubclass(cls, of)), {})


def results(model, X):
    model.fit(X)
    return model.transform(X), model.sample(3), model.loss_curve_, model.validation_curve_


@every_estimator
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_integers_of_numpy_give_the_same_bits(cls, dtype, bent):
    plain = {**INTS, **own(OWN_INTS, cls)}
    numpy = {
        name: [dtype(size) for size in value] if isinstance(value, tuple) else dtype(value)
        for name, value in plain.items()
    }
    model = cls(**numpy)
    for found, expected in zip(results(model, bent), results(cls(**plain), bent), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert all(model.get_params()[name] is value for name, value in numpy.items())
    n, one = dtype(200), dtype(1)
    np.testing.assert_array_equal(model.sample(n), model.sample(200))
    if cls is not SuperResolutionAutoencoder:
        ways = model.interpolate(bent[:2], bent[2:4], n)
        np.testing.assert_array_equal(ways, model.interpolate(bent[:2], bent[2:4], 200))
    model.set_params(warm_start=True).fit(bent)  # which compares them with those of before
    model.set_params(**plain).partial_fit(bent)
    if hasattr(cls, "truncate"):
        ordered = cls(**{**numpy, "ordered": np.True_}).fit(bent)
        expected = ordered.truncate(1).transform(bent)
        np.testing.assert_array_equal(ordered.truncate(one).transform(bent), expected)


@every_estimator
def test_other_floats_give_the_same_bits(cls, bent):
    others = {**REALS, **own(OWN_REALS, cls)}
    plain = {name: float(value) for name, value in others.items()}
    fixed = {"max_epochs": 2, "random_state": 0}
    found, expected = (results(cls(**fixed, **values), bent) for values in (others, plain))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sizes_as_arrays(digits):
    X = digits[0][:60]
    options = {"network": "conv", "max_epochs": 1, "random_state": 0}
    lists = AutoencoderTransformer(
        2, input_shape=(1, 8, 8), hidden_layer_sizes=[4, 4], **options
    ).fit(X)
    arrays = AutoencoderTransformer(
        2,
        input_shape=np.array([1, 8, 8], dtype=np.uint8),
        hidden_layer_sizes=np.array([4, 4], dtype=np.int16),
        **options,
    ).fit(X)
    np.testing.assert_array_equal(arrays.transform(X), lists.transform(X))


def test_a_grid_of_numpy_integers(bent):
    grid = {"batch_size": 2 ** np.arange(4, 6), "latent_dim": np.arange(1, 3)}
    search = GridSearchCV(AutoencoderTransformer(max_epochs=1, random_state=0), grid, cv=2)
    assert search.fit(bent).best_params_["latent_dim"] == 2


def test_many_latents_as_small_integers():
    """Sums with a uint8 would run over."""
    X = np.random.default_rng(0).standard_normal((260, 1200)).astype(np.float32)
    found, expected = (AutoencoderTransformer(k, max_epochs=0).fit(X) for k in (np.uint8(200), 200))
    np.testing.assert_array_equal(found.transform(X), expected.transform(X))


# Before training


@every_estimator
@pytest.mark.parametrize("value", [2**63, 10**30, 10**400])
@pytest.mark.parametrize(
    "name", ["max_epochs", "batch_size", "n_iter_no_change", "lr", "weight_decay"]
)
def test_huge_numbers(cls, name, value, bent):
    with pytest.raises(ValueError, match=rf"{name} must be less than 2\*\*63; got "):
        never_trained(cls, **{name: value}).fit(bent)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (VAETransformer, "beta"),
        (VAETransformer, "beta_warmup"),
        (ConditionalVAE, "beta"),
        (AdversarialAutoencoder, "adversarial_weight"),
        (SuperResolutionAutoencoder, "scale_factor"),
        (DenoisingAutoencoder, "corruption_level"),
    ],
)
def test_huge_numbers_of_their_own(cls, name, bent):
    for value in (10**30, 10**5000):
        with pytest.raises(
            ValueError, match=rf"{name} must be less than 2\*\*63; got (1000|an int)"
        ):
            never_trained(cls, **{name: value}).fit(bent, np.arange(400) % 2)


@pytest.mark.parametrize("level", [1e19, 1e155, 1e300])
@pytest.mark.parametrize("init", ["pca", "random"])
def test_a_level_that_overflows(level, init, bent):
    with pytest.raises(ValueError, match=r"corruption_level must be less than 2\*\*63; got 1e"):
        never_trained(DenoisingAutoencoder, corruption_level=level, init=init).fit(bent)


@pytest.mark.parametrize("name", ["max_epochs", "batch_size", "n_iter_no_change"])
def test_the_largest_numbers_train(name, bent):
    options = {"max_epochs": 2, "n_iter_no_change": 1, "random_state": 0, "lr": 1e-12}
    model = AutoencoderTransformer(2, **{**options, name: 2**63 - 1}).fit(bent[:50])
    assert model.n_iter_ >= 1


@every_estimator
@pytest.mark.parametrize("sizes", [10**12, (8, 10**12), np.array([10**7, 10**7]), [2**62, 2**62]])
def test_layers_beyond_memory(cls, sizes, bent):
    message = r"must fit in memory; hidden_layer_sizes=.* needs at least \S+ GB .* has \S+ GB"
    with pytest.raises(ValueError, match=message):
        never_trained(cls, hidden_layer_sizes=sizes).fit(bent)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must be positive ints"):
        never_trained(cls, hidden_layer_sizes=[2**63]).fit(bent)


@pytest.mark.parametrize(
    ("network", "shape", "sizes"),
    [
        ("conv", (1, 8, 8), (10**6, 10**6)),
        ("recurrent", (8, 8), 10**7),
        ("hierarchical", (8, 8), 10**7),
    ],
)
def test_layers_of_other_networks_beyond_memory(network, shape, sizes, digits):
    options = {"network": network, "input_shape": shape, "hidden_layer_sizes": sizes}
    model = never_trained(AutoencoderTransformer, **options)
    with pytest.raises(ValueError, match=r"must fit in memory; hidden_layer_sizes="):
        model.fit(digits[0])


@pytest.mark.parametrize(
    "parameters",
    [
        {"upscaler_layer_sizes": 10**12},
        {"upscaler_layer_sizes": 10**12, "network": "conv"},
        {"scale_factor": 2**40, "network": "conv"},
    ],
)
def test_upscalers_beyond_memory(parameters, digits):
    message = r"must fit in memory; upscaler_layer_sizes=.* with scale_factor="
    model = never_trained(SuperResolutionAutoencoder, input_shape=(1, 8, 8), **parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(digits[0])


class Picky(torch.optim.SGD):
    def __init__(self, params, lr, rank):
        super().__init__(params, lr)


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (torch.optim.SparseAdam, "does not support dense gradients"),
        (torch.optim.Optimizer, "unexpected keyword argument 'lr'"),
        (Picky, "missing 1 required positional argument: 'rank'"),
    ],
)
@every_estimator
def test_optimizers_that_cannot_train(cls, optimizer, reason, bent):
    message = f"optimizer must train dense float32 .* got {optimizer.__name__}, .*{reason}"
    with pytest.raises(ValueError, match=message):
        never_trained(cls, optimizer=optimizer).fit(bent)


@pytest.mark.parametrize("name", ["LBFGS", "Adagrad", "RMSprop", "Rprop"])
def test_other_optimizers_train(name, bent):
    options = {"max_epochs": 2, "random_state": 0, "validation_fraction": None}
    model = VAETransformer(2, optimizer=getattr(torch.optim, name), **options).fit(bent)
    start = VAETransformer(2, **{**options, "max_epochs": 0}).fit(bent)
    assert not np.array_equal(model.transform(bent), start.transform(bent))


# What a user's functions return

RETURNS = [
    (lambda X: "text", r"finite numbers; got str of dtype <U4"),
    (lambda X: None, r"finite numbers; got NoneType of dtype object"),
    (lambda X: X.astype(str), r"finite numbers; got ndarray of dtype <U"),
    (lambda X: X.astype(complex), r"finite numbers; got ndarray of dtype complex128"),
    (lambda X: X.astype(object), r"finite numbers; got ndarray of dtype object"),
    (lambda X: X * np.nan, r"finite numbers; got NaN or infinity"),
    (lambda X: X[:, 0], r"an array of shape \(\d+, \d\); got shape \(\d+,\)"),
    (lambda X: X[:3], r"an array of shape \(\d+, \d\); got shape \(3, \d\)"),
    (lambda X: [[1.0], [1.0, 2.0]], r"an array of numbers; .*inhomogeneous"),
]


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize(("function", "message"), RETURNS)
def test_what_a_corruption_may_not_return(function, message, init, bent):
    def corruption(X, level, rng):
        return function(X)

    model = never_trained(DenoisingAutoencoder, corruption=corruption, init=init)
    with pytest.raises(ValueError, match=f"corruption must return {message}"):
        model.fit(bent)


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize(("function", "message"), RETURNS)
def test_what_a_prior_may_not_return(function, message, init, bent):
    def prior(n, k, rng):
        return function(rng.random((n, k)))

    model = never_trained(AdversarialAutoencoder, prior=prior, init=init)
    with pytest.raises(ValueError, match=f"prior must return {message}"):
        model.fit(bent)


def fails(*args):
    raise LookupError("no such table")


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize(
    ("cls", "name"), [(DenoisingAutoencoder, "corruption"), (AdversarialAutoencoder, "prior")]
)
def test_functions_that_fail(cls, name, init, bent):
    """Their own exception, and nothing fitted before is lost."""
    with pytest.raises(LookupError, match="no such table"):
        never_trained(cls, init=init, **{name: fails}).fit(bent)


def test_a_failing_corruption_leaves_what_was_fitted(bent):
    model = DenoisingAutoencoder(2, max_epochs=1, warm_start=True, random_state=0).fit(bent)
    before = model.transform(bent)
    for verb in (model.fit, model.partial_fit):
        model.set_params(corruption=fails)
        with pytest.raises(LookupError):
            verb(bent)
        np.testing.assert_array_equal(model.transform(bent), before)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, bool])
def test_a_corruption_may_return_any_numbers(dtype, bent):
    model = DenoisingAutoencoder(2, corruption=lambda X, level, rng: X.astype(dtype), max_epochs=1)
    assert np.isfinite(model.fit(bent).transform(bent)).all()
