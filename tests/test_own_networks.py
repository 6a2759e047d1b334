"""Networks of a user's own: what is wrong is said before training, what is right is seeded."""

import pickle
import threading

import numpy as np
import pytest
import torch
from _estimators import ESTIMATORS
from _sizes import small_memory
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

import skae
from skae import AutoencoderTransformer, ConditionalVAE, SuperResolutionAutoencoder, VAETransformer
from skae.nn.fitted import inference_module


class Layers(nn.Sequential):
    """Layers, with a place for conditions, that a function may follow."""

    def __init__(self, *layers, after=lambda out: out):
        super().__init__(*layers)
        self.after = after

    def forward(self, x, *conditions):
        return self.after(super().forward(x))


class Before(Layers):
    """Layers, that the function comes before."""

    def forward(self, x, *conditions):
        return nn.Sequential.forward(self, self.after(x))


def mlp(n_in, n_out, *more, after=lambda out: out, kind=Layers):
    layers = nn.Flatten(), nn.Linear(n_in, 8), *more, nn.Tanh(), nn.Linear(8, n_out)
    return kind(*layers, after=after)


def pair(*more, encoder=None, decoder=None):
    """A network that is right, but for what takes the place of its encoder or decoder."""

    def network(input_shape, n_codes, latent_dim):
        n = int(np.prod(input_shape))
        made = encoder(n, n_codes) if encoder else mlp(n, n_codes, *(m() for m in more))
        return made, decoder(latent_dim, n) if decoder else mlp(latent_dim, n)

    return network


def after(function):
    return lambda n_in, n_out: mlp(n_in, n_out, after=function)


def before(function):
    return lambda n_in, n_out: mlp(n_in, n_out, after=function, kind=Before)


class Recurrent(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.layer = nn.GRU(n_in, n_out)

    def forward(self, x, *conditions):
        return self.layer(x)


class Words(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.words = nn.Embedding(10, n_out)

    def forward(self, x, *conditions):
        return self.words(x).mean(dim=1)


class Mixing(nn.Module):
    """Attention without `batch_first`, so along the rows of a batch."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.attention = nn.MultiheadAttention(n_in, 1)
        self.output = nn.Linear(n_in, n_out)

    def forward(self, x, *conditions):
        return self.output(self.attention(x, x, x)[0])


class NeedsMore(nn.Linear):
    def forward(self, x, mask, scale):
        return super().forward(x)


class Unused(nn.Linear):
    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.other = nn.LazyLinear(3)


class Numpy(nn.Linear):
    def forward(self, x, *conditions):
        return super().forward(x).detach().numpy()


def parameterless(input_shape, n_codes, latent_dim):
    n = int(np.prod(input_shape))
    repeat = Layers(after=lambda z: z.repeat(1, n)[:, :n])
    return Layers(nn.Flatten(), after=lambda x: x[:, :n_codes]), repeat


def frozen(n_in, n_out):
    return mlp(n_in, n_out).requires_grad_(False)


def lazy(n_in, n_out):
    return Layers(nn.Flatten(), nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(n_out))


def shared(input_shape, n_codes, latent_dim):
    inner = nn.Linear(8, 8)
    n = int(np.prod(input_shape))
    return (
        Layers(nn.Flatten(), nn.Linear(n, 8), inner, nn.Linear(8, n_codes)),
        Layers(nn.Linear(latent_dim, 8), inner, nn.Linear(8, n)),
    )


def with_old_weight_norm(n_in, n_out):
    with pytest.warns(FutureWarning, match="deprecated"):
        return Layers(nn.Flatten(), torch.nn.utils.weight_norm(nn.Linear(n_in, n_out)))


def fails(*sizes):
    raise RuntimeError("no such file")


def another_every_time():
    widths = iter(range(3, 100))

    def network(input_shape, n_codes, latent_dim):
        width = next(widths)
        n = int(np.prod(input_shape))
        encoder = Layers(nn.Flatten(), nn.Linear(n, width), nn.Linear(width, n_codes))
        return encoder, mlp(latent_dim, n)

    return network


def returns(what):
    return lambda *sizes: what


LINEAR = nn.Linear(10, 10)
WRONG = {
    "narrow_encoder": (
        pair(encoder=lambda n_in, n_out: mlp(n_in, 1)),
        r"encoder must return a tensor of shape \(3, 2\) for 3 rows; got shape \(3, 1\)\. ",
    ),
    "narrow_decoder": (
        pair(decoder=lambda n_in, n_out: mlp(n_in, 1)),
        r"decoder must return a tensor of shape \(3, 10\) for 3 rows; got shape \(3, 1\)\.",
    ),
    "wide_decoder": (
        pair(decoder=lambda n_in, n_out: mlp(n_in, 3 * n_out)),
        r"decoder must return .*; got shape \(3, 30\)",
    ),
    "other_input": (
        pair(encoder=lambda n_in, n_out: mlp(n_in + 1, n_out)),
        r"encoder must take float tensors of shape \(3, 10\); got RuntimeError: mat1 and mat2",
    ),
    "decoder_of_other_input": (
        pair(decoder=lambda n_in, n_out: mlp(n_in + 1, n_out)),
        r"decoder must take float tensors of shape \(3, 2\); got RuntimeError: mat1 and mat2",
    ),
    "tuple": (pair(encoder=Recurrent), r"encoder must return a tensor; got tuple\. .*`out, _ ="),
    "none": (pair(encoder=after(lambda out: None)), r"encoder must return a tensor; got NoneType"),
    "numpy": (pair(encoder=Numpy), r"encoder must return a tensor; got ndarray"),
    "detached": (
        pair(encoder=after(torch.Tensor.detach)),
        r"encoder must return a tensor .*gradient reaches its parameters; got one that is detached",
    ),
    "cut_off": (
        pair(decoder=before(lambda x: x.sigmoid()), encoder=after(lambda out: out.data)),
        r"encoder must return a tensor .*gradient",
    ),
    "one_code_a_batch": (
        pair(encoder=after(lambda out: out.mean(dim=0))),
        r"encoder must return a tensor of shape \(3, 2\) for 3 rows; got shape \(2,\)",
    ),
    "transposed": (
        pair(encoder=after(lambda out: out.T)),
        r"encoder must return a tensor of shape \(3, 2\) for 3 rows; got shape \(2, 3\)",
    ),
    "squeezed": (
        pair(encoder=after(torch.squeeze)),
        r"encoder must return a tensor of shape \(1, 2\) for 1 row; got shape \(2,\)",
    ),
    "needs_more": (
        pair(encoder=NeedsMore),
        r"encoder must take float tensors of shape \(3, 10\); got TypeError: .*missing 2 required",
    ),
    "integers": (
        pair(encoder=after(lambda out: out.round().int())),
        r"encoder must return floats; got dtype torch\.int32",
    ),
    "complex": (
        pair(decoder=after(lambda out: torch.complex(out, out))),
        r"decoder must return floats; got dtype torch\.complex64",
    ),
    "nan": (
        pair(encoder=after(lambda out: (out - 100).log())),
        r"encoder must return finite numbers; got nan",
    ),
    "words": (
        pair(encoder=Words),
        r"encoder must take float tensors .*Expected tensor for argument",
    ),
    "half_inside": (
        pair(encoder=before(torch.Tensor.half)),
        r"encoder must take float tensors of shape \(3, 10\); got RuntimeError: .*same dtype",
    ),
    "single_precision_inside": (
        pair(encoder=before(torch.Tensor.float)),
        r"encoder must take float64 tensors, too; got RuntimeError: .*same dtype.*keep to x.dtype",
    ),
    "meta": (
        pair(encoder=lambda n_in, n_out: nn.Linear(n_in, n_out, device="meta")),
        r"encoder must have parameters with values; got weight on the device 'meta'",
    ),
    "unused_lazy": (
        pair(encoder=Unused),
        r"encoder must use all of its lazy layers; got other\.weight",
    ),
    "lazy_of_other_width": (
        pair(encoder=lambda n_in, n_out: Layers(nn.LazyLinear(8), nn.Linear(9, n_out))),
        r"encoder must take float tensors of shape \(2, 10\); got RuntimeError: mat1 and mat2",
    ),
    "mixes_rows": (
        pair(encoder=Mixing),
        r"encoder must treat every row by itself in eval mode; got .*batch_first=True",
    ),
    "standardises_batches": (
        pair(encoder=after(lambda out: (out - out.mean(0)) / (out.std(0, correction=0) + 1e-3))),
        r"encoder must treat every row by itself in eval mode",
    ),
    "drops_always": (
        pair(encoder=before(F.dropout)),
        r"encoder must return the same for the same rows in eval mode; got .*training=self\.train",
    ),
    "writes_input": (
        pair(encoder=before(lambda x: x.clamp_(min=0))),
        r"encoder must not change its input; got .*inplace",
    ),
    "raises": (
        fails,
        r"network must return .*network\(\(10,\), 2, 2\); got RuntimeError: no such file\.",
    ),
    "takes_nothing": (
        lambda: None,
        r"network must return .*network\(\(10,\), 2, 2\); got TypeError: .*takes 0 positional",
    ),
    "one_module": (returns(LINEAR), r"network must return two torch\.nn\.Modules.*; got Linear"),
    "no_modules": (returns(None), r"network must return two torch\.nn\.Modules.*; got NoneType"),
    "three": (
        returns((LINEAR, LINEAR, LINEAR)),
        r"network must return two torch\.nn\.Modules.*; got tuple \(Linear, Linear, Linear\)",
    ),
    "functions": (
        returns((torch.sin, LINEAR)),
        r"network must return two torch\.nn\.Modules.*; got tuple \(builtin_function_or_method, Li",
    ),
    "with_a_lock": (
        pair(
            encoder=lambda n_in, n_out: (
                setattr(m := mlp(n_in, n_out), "lock", threading.Lock()) or m
            )
        ),
        r"network must return modules that copy\.deepcopy can copy; got TypeError: cannot pickle",
    ),
    "another_every_time": (
        another_every_time(),
        r"network must build the same modules at every call; got .*size mismatch",
    ),
}
RIGHT = {
    "parameterless": parameterless,
    "frozen": pair(encoder=frozen, decoder=frozen),
    "lazy": pair(encoder=lazy, decoder=lazy),
    "shared": shared,
    "half": pair(encoder=lambda n_in, n_out: mlp(n_in, n_out).half()),
    "half_output": pair(encoder=after(torch.Tensor.half), decoder=after(torch.Tensor.bfloat16)),
    "double": pair(encoder=lambda n_in, n_out: mlp(n_in, n_out).double()),
    "list": lambda *sizes: list(pair()(*sizes)),
    "old_weight_norm": pair(encoder=with_old_weight_norm),
    "spectral_norm": pair(
        encoder=lambda n_in, n_out: Layers(
            nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(n_in, n_out))
        )
    ),
    "batch_norm": pair(lambda: nn.BatchNorm1d(8)),
    "dropout": pair(lambda: nn.Dropout(0.5)),
}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    sheet = rng.uniform(-2, 2, (150, 2))
    X = np.column_stack([sheet, sheet**2, np.sin(2 * sheet), sheet.prod(axis=1)[:, None], sheet**3])
    return np.column_stack([X, rng.standard_normal(150)])


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_before_training(name, rows):
    network, message = WRONG[name]
    begun = []

    class Begun(Callback):
        def on_train_begin(self, net, **kwargs):
            begun.append(True)

    model = AutoencoderTransformer(2, network=network, callbacks=[Begun()], max_epochs=1)
    state = torch.get_rng_state()
    with pytest.raises((ValueError, TypeError), match=message) as error:
        model.fit(rows)
    with pytest.raises((ValueError, TypeError), match=message):
        model.partial_fit(rows)
    assert not begun
    assert not hasattr(model, "net_")
    assert torch.equal(torch.get_rng_state(), state)
    if "got RuntimeError" in message or "got TypeError" in message:  # the user's own line
        assert type(error.value.__cause__) in (RuntimeError, TypeError)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_works(name, rows):
    options = {"network": RIGHT[name], "max_epochs": 3, "random_state": 0}
    state = torch.get_rng_state()
    models = [AutoencoderTransformer(2, **options).fit(rows) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    Z = models[0].transform(rows)
    np.testing.assert_array_equal(models[1].transform(rows), Z)
    np.testing.assert_allclose(models[0].transform(rows[:1]), Z[:1], rtol=1e-6)
    single = models[0].transform(rows.astype(np.float32))
    np.testing.assert_allclose(single, Z, rtol=1e-2, atol=1e-2)
    copied = models[0].__reduce__()
    copied = object.__new__(AutoencoderTransformer)  # as networks here are not to be pickled
    copied.__setstate__(models[0].__getstate__())
    np.testing.assert_array_equal(copied.transform(rows), Z)
    copied.partial_fit(rows)
    assert copied.n_iter_ == 4


def narrow(input_shape, n_codes, latent_dim):
    n = int(np.prod(input_shape))
    return mlp(n, n_codes // 2), mlp(latent_dim, n)


def test_a_vae_says_how_many_numbers_describe_a_posterior(rows):
    message = r"encoder must return a tensor of shape \(3, 4\) for 3 rows; got shape \(3, 2\)"
    with pytest.raises(ValueError, match=message):
        VAETransformer(2, network=narrow).fit(rows)


def test_conditions_are_a_second_input(rows):
    y = np.arange(len(rows)) % 3

    def network(input_shape, n_codes, latent_dim):
        return nn.Linear(10, n_codes), nn.Linear(latent_dim, 10)

    message = r"encoder must take float tensors of shapes \(3, 10\) and \(3, 3\); got TypeError"
    with pytest.raises(ValueError, match=message):
        ConditionalVAE(2, network=network).fit(rows, y)


def test_networks_of_small_images_are_tried_too():
    X = np.random.default_rng(0).random((40, 1, 8, 8))
    message = (
        r"decoder must return a tensor of shape \(3, 1, 4, 4\) for 3 rows; got shape \(3, 64\)"
    )
    network = pair(decoder=lambda n_in, n_out: mlp(n_in, 64))
    with pytest.raises(ValueError, match=message):
        SuperResolutionAutoencoder(2, network=network).fit(X)


def test_decoders_of_ordered_codes_are_tried_too(rows):
    network = pair(decoder=lambda n_in, n_out: mlp(2, n_out))
    message = r"decoder must take float tensors of shape \(3, 4\); got RuntimeError"
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(2, ordered=True, network=network).fit(rows)


def test_a_wrong_network_leaves_what_was_fitted(rows):
    model = AutoencoderTransformer(2, network=pair(), max_epochs=1, random_state=0).fit(rows)
    Z = model.transform(rows)
    with pytest.raises(ValueError, match="encoder must return a tensor of shape"):
        model.set_params(network=WRONG["narrow_encoder"][0]).fit(rows)
    np.testing.assert_array_equal(model.transform(rows), Z)


def test_the_trial_leaves_networks_as_they_were(rows):
    """Neither weights nor running statistics are other ones for it, nor any draw."""
    encoder, decoder = pair(lambda: nn.BatchNorm1d(8))((10,), 2, 2)
    given = {name: value.clone() for name, value in encoder.state_dict().items()}
    model = AutoencoderTransformer(2, network=lambda *_: (encoder, decoder), max_epochs=0)
    model.fit(rows)
    for name, value in model.net_.module_.encoder.module.state_dict().items():
        assert torch.equal(value, given[name])
        assert torch.equal(encoder.state_dict()[name], given[name])


# Lazy layers


def test_lazy_layers_are_those_that_are_not(rows):
    def plain(n_in, n_out):
        return Layers(nn.Flatten(), nn.Linear(n_in, 8), nn.Linear(8, n_out))

    def lazily(n_in, n_out):
        return Layers(nn.Flatten(), nn.LazyLinear(8), nn.LazyLinear(n_out))

    options = {"max_epochs": 3, "validation_fraction": None, "random_state": 0}
    models = [
        VAETransformer(2, network=pair(encoder=made, decoder=made), **options).fit(rows)
        for made in (plain, lazily)
    ]
    for values in zip(*(m.net_.module_.parameters() for m in models), strict=True):
        assert values[0].shape == values[1].shape
    assert models[1].score(rows) == pytest.approx(models[0].score(rows), abs=1.0)


# Batches in which rows are compared


BATCH_NORM = pair(lambda: nn.BatchNorm1d(8))


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize(
    ("n_rows", "network"), [(17, BATCH_NORM), (33, pair(encoder=lazy, decoder=lazy))]
)
def test_a_last_batch_of_one_row(cls, n_rows, network, rows):
    options = {"batch_size": 16, "max_epochs": 2, "validation_fraction": None, "random_state": 0}
    model = cls(2, network=network, **options).fit(rows[:n_rows])
    assert model.n_iter_ == 2
    assert np.isfinite(model.transform(rows)).all()
    model.partial_fit(rows[:n_rows])


def counting(sizes):
    class Counting(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            if training:
                sizes.append(len(batch[0]))

    return Counting()


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (BATCH_NORM, [8, 9]),
        (pair(), [8, 8, 1]),
        ("mlp", [8, 8, 1]),
        (
            pair(encoder=lambda n_in, n_out: Layers(nn.LayerNorm(n_in), nn.Linear(n_in, n_out))),
            [8, 8, 1],
        ),
        (
            pair(encoder=lambda n_in, n_out: mlp(n_in, n_out, after=standardised_while_training)),
            [8, 8, 1],  # which is a number, if of no use
        ),
    ],
)
def test_only_batches_that_need_company_get_it(network, expected, rows):
    sizes = []
    options = {"batch_size": 8, "max_epochs": 1, "validation_fraction": None, "random_state": 0}
    AutoencoderTransformer(2, network=network, callbacks=[counting(sizes)], **options).fit(
        rows[:17]
    )
    assert sizes == expected


def standardised_while_training(out):
    return out if len(out) == 1 else out - out.mean(dim=0).detach() * 0


def test_the_rate_falls_to_nothing_with_batches_that_have_company(rows):
    rates = []

    class Rates(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    options = {"batch_size": 8, "max_epochs": 3, "validation_fraction": None}
    model = AutoencoderTransformer(2, network=BATCH_NORM, callbacks=[Rates()], **options)
    model.fit(rows[:33])
    assert len(rates) == 3 * 4
    assert rates[-1] < 0.02 * model.net_.lr


def test_streamed_rows_have_company_too(rows, monkeypatch, tmp_path):
    sizes = []
    small_memory(monkeypatch, resident=100)
    table = np.memmap(tmp_path / "X", np.float64, "w+", shape=rows[:145].shape)
    table[:] = rows[:145]
    options = {"batch_size": 6, "max_epochs": 1, "random_state": 0, "callbacks": [counting(sizes)]}
    AutoencoderTransformer(2, network=BATCH_NORM, **options).fit(table)
    assert (sum(sizes) - 1) % 6 == 0
    assert sizes[-1] == 7
    assert set(sizes[:-1]) == {6}


def test_rows_that_have_no_company_at_all(rows):
    options = {"max_epochs": 1, "validation_fraction": None, "random_state": 0}
    model = AutoencoderTransformer(2, network=BATCH_NORM, **options)
    message = r"batch_size must be at least 2 .*BatchNorm.*; got batch_size=1"
    with pytest.raises(ValueError, match=message):
        model.set_params(batch_size=1).fit(rows)
    model.set_params(batch_size=8).fit(rows)
    Z = model.transform(rows)
    with pytest.raises(ValueError, match=r"X must have at least 2 rows to train on .*; got 1\. "):
        model.partial_fit(rows[:1])
    np.testing.assert_array_equal(model.transform(rows), Z)
    assert model.partial_fit(rows[:2]).n_iter_ == 2


def test_running_statistics_are_those_of_the_best_epoch(rows):
    states = []

    class States(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) > 14:  # epochs that are of no use
                net.module_.encoder.output.gate.data.fill_(50.0)

        def on_epoch_end(self, net, **kwargs):
            values = net.module_.state_dict().items()
            states.append({name: value.clone() for name, value in values})

    options = {"max_epochs": 16, "lr": 0.1, "random_state": 0, "callbacks": [States()]}
    model = AutoencoderTransformer(2, network=BATCH_NORM, **options).fit(rows)
    assert 0 < model.best_epoch_ < model.n_iter_
    module = model.net_.module_
    name = "encoder.module.2.running_var"
    assert not torch.equal(states[-1][name], states[model.best_epoch_ - 1][name])
    copied = AutoencoderTransformer(network=BATCH_NORM)
    copied.__setstate__({**model.__getstate__(), "callbacks": None})
    double, _ = inference_module(model.net_, np.float64)
    for state in (module, double, copied.net_.module_):
        for key, value in states[model.best_epoch_ - 1].items():
            assert torch.equal(state.state_dict()[key].to(value), value)
    np.testing.assert_array_equal(copied.transform(rows), model.transform(rows))


# What networks draw in training


class Dropouts(nn.Module):
    """Everything that draws."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.first = nn.Linear(n_in, 8)
        self.drop = nn.Dropout(0.5)
        self.channels = nn.Dropout1d(0.2)
        self.alpha = nn.AlphaDropout(0.2)
        self.leaky = nn.RReLU()
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)
        self.recurrent = nn.GRU(8, 8, num_layers=2, dropout=0.5, batch_first=True)
        self.output = nn.Linear(8, n_out)

    def forward(self, x, *conditions):
        x = self.leaky(self.alpha(self.drop(self.first(x))))[:, None]
        x = self.channels(x)
        x, _ = self.attention(x, x, x)
        x, _ = self.recurrent(x)
        x = x[:, 0]
        if self.training:
            x = x + 0.1 * torch.randn(len(x), 1) * torch.rand_like(x) * torch.bernoulli(0.5 + 0 * x)
            x = x * torch.distributions.Normal(1.0, 0.1).rsample((len(x), 1))
            x = torch.native_dropout(x, 0.1, True)[0]
            if torch.rand(()) < 0.1:
                x = 0.9 * x
        return self.output(x)


@pytest.mark.parametrize(
    "network", [pair(lambda: nn.Dropout(0.3)), pair(encoder=Dropouts, decoder=Dropouts)]
)
@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAETransformer])
def test_what_is_drawn_in_training_is_decided_by_the_seed(cls, network, rows):
    state = torch.get_rng_state()
    options = {"max_epochs": 2, "validation_fraction": None, "init": "random"}
    fitted = []

    def fit(seed):
        fitted.append(
            cls(2, network=network, random_state=seed, **options).fit(rows[:60]).transform(rows)
        )

    try:
        for global_seed, seed in ((0, 0), (1, 0), (1, 1)):
            torch.manual_seed(global_seed)
            now = torch.get_rng_state()
            fit(seed)
            assert torch.equal(torch.get_rng_state(), now)  # neither read nor written
    finally:
        torch.set_rng_state(state)
    threads = [threading.Thread(target=fit, args=(0,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, same, other, *in_threads = fitted
    assert len(in_threads) == 3
    for Z in (same, *in_threads):
        np.testing.assert_array_equal(Z, first)
    assert (other != first).any()


def test_gradients_are_those_of_what_was_drawn():
    """The fused dropout, too, whose gradient torch computes from the mask."""
    from skae.nn.own import DrawnFrom

    x = torch.ones(500, requires_grad=True)
    with DrawnFrom(torch.Generator().manual_seed(0)):
        plain = F.dropout(x, 0.25)
    with DrawnFrom(torch.Generator().manual_seed(0)):
        fused, mask = torch.native_dropout(x, 0.25, True)
    torch.testing.assert_close(fused, plain)
    assert torch.equal(mask, plain > 0)
    torch.testing.assert_close(
        torch.autograd.grad(fused.sum(), x), torch.autograd.grad(plain.sum(), x)
    )
    assert plain.detach().mean() == pytest.approx(1, abs=0.1)


def test_dropout_in_chunks(rows):
    network = pair(lambda: nn.Dropout(0.3))
    models = []
    for _ in range(2):
        model = AutoencoderTransformer(2, network=network, random_state=0, lr=0.02)
        for chunk in (rows[:75], rows[75:]):
            model.partial_fit(chunk)
        models.append(model)
    np.testing.assert_array_equal(models[0].loss_curve_, models[1].loss_curve_)
    np.testing.assert_array_equal(models[0].transform(rows), models[1].transform(rows))


def test_modules_hold_nothing_of_training_afterwards(rows):
    model = AutoencoderTransformer(2, network=pair(lambda: nn.Dropout(0.3)), max_epochs=1)
    module = model.fit(rows).net_.module_
    assert module.encoder.drawn_from is None
    assert module.decoder.drawn_from is None
    state = torch.get_rng_state()
    model.transform(rows)
    assert torch.equal(torch.get_rng_state(), state)


def test_pickles_of_models_with_own_networks(rows):
    model = VAETransformer(2, network=module_level, max_epochs=1, random_state=0).fit(rows)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.transform(rows), model.transform(rows))
    assert copied.score(rows) == model.score(rows)


def module_level(input_shape, n_codes, latent_dim):
    return lazy(10, n_codes), mlp(latent_dim, 10, nn.Dropout(0.1))


def test_all_estimators_are_tried():
    assert {cls.__name__ for cls in ESTIMATORS} <= set(skae.__all__)


def test_buffers_may_be_infinite(rows):
    """As masks of attention are."""

    class Masked(torch.nn.Linear):
        def __init__(self, n_in, n_out):
            super().__init__(n_in, n_out)
            mask = torch.triu(torch.full((n_out, n_out), -torch.inf), 1)
            self.register_buffer("mask", mask)

        def forward(self, x):
            return super().forward(x) @ torch.softmax(self.mask, dim=1)

    def network(input_shape, n_codes, latent_dim):
        return Masked(*input_shape, n_codes), Masked(latent_dim, *input_shape)

    model = AutoencoderTransformer(2, network=network, max_epochs=5, random_state=0).fit(rows)
    assert model.n_iter_ == 5
    assert torch.isinf(model.net_.module_.encoder.module.mask).any()
