"""User-defined networks: initialised from the seed, and checked before training."""

import contextlib
import copy
import functools
import itertools
import math
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from ..devices import float64_device
from ..threads import half_precision
from ..warn import warn

_ROWS = 3  # rows of a trial batch
_TOLERANCE = 0.01  # of outputs for the same rows, relative to the largest output
_COMPARES = "where the network compares the rows of a batch in training, as BatchNorm does"


class Own(nn.Module):
    """User-defined network, multiplied by a learned gate that is initialised to 0.

    An encoder is called with a batch of rows in their shape, a decoder with codes, (batch, k).
    If there are conditions, (batch, q), they are the second argument. An encoder returns codes.
    A decoder returns rows, of any shape with the right number of elements.

    Parameters
    ----------
    module : Module
    name : {"encoder", "decoder"}
    shape, due : tuple of int
        Shapes of the module's input and output, without the batch axis.
    gated : bool
        Whether the gate is initialised to 0. If False, it is initialised to 1.

    Notes
    -----
    `drawn_from` is a :class:`DrawnFrom` or None: the source of the module's random numbers. It
    is set only during training.
    """

    def __init__(self, module, name, shape, due, gated):
        super().__init__()
        self.module = module
        self.name = name
        self.shape = shape
        self.due = due
        self.drawn_from = None
        self.output = _Gate(math.prod(due), 0.0 if gated else 1.0)

    def forward(self, x):
        """Apply the module to flat rows or codes."""
        inputs = self.inputs(x)
        if self.drawn_from is None or not self.training:
            out = self.module(*inputs)
        else:
            with self.drawn_from:
                out = self.module(*inputs)
        self.check(out, len(inputs[0]))
        out = out.reshape(len(inputs[0]), -1).to(x.dtype)
        return self.output(out).unflatten(0, x.shape[:-1])

    def inputs(self, x):
        """Return the arguments of the module for flat rows or codes."""
        n_in, rows = math.prod(self.shape), x.flatten(0, -2)
        inputs = [rows[:, :n_in].unflatten(1, self.shape)]
        if rows.shape[1] > n_in:
            inputs.append(rows[:, n_in:])
        return inputs

    def check(self, out, n_rows):
        """Raise an error if the output of the module is invalid."""
        if not isinstance(out, torch.Tensor):
            advice = " Return its first part alone: `out, _ = layer(x)`."
            raise TypeError(
                f"The {self.name} must return a tensor; got {type(out).__name__}."
                f"{advice if isinstance(out, tuple) else ''}"
            )
        if not out.is_floating_point():
            raise TypeError(f"The {self.name} must return floats; got dtype {out.dtype}.")
        n_numbers = n_rows * math.prod(self.due)
        if out.shape[:1] != (n_rows,) or out.numel() != n_numbers:
            rows = "row" if n_rows == 1 else "rows"
            raise ValueError(
                f"The {self.name} must return a tensor of shape {(n_rows, *self.due)} for {n_rows} "
                f"{rows}; got shape {tuple(out.shape)}. Build it with the input_shape, n_codes and "
                "latent_dim that network is called with."
            )


class _Gate(nn.Module):
    def __init__(self, size, value):
        super().__init__()
        self.gate = nn.Parameter(torch.full((size,), value, dtype=torch.float32))

    def forward(self, x):
        return self.gate * x


class DrawnFrom(TorchDispatchMode):
    """Context in which torch draws random numbers from a given generator, not a global one.

    It affects only operations of its own thread. On other devices, numbers come from a generator
    that is seeded by the given one.

    Attributes
    ----------
    has_drawn : bool
        Whether any numbers were drawn.
    elsewhere : set of str
        Operations that drew from a global generator because they accept no other.
    """

    def __init__(self, generator):
        super().__init__()
        self.generators = {generator.device.type: generator}
        self.first = generator
        self.has_drawn = False
        self.elsewhere = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not _can_draw(func) or not _draws(func, args, kwargs):
            return func(*args, **kwargs)
        self.has_drawn = True
        device = args[0].device if args and isinstance(args[0], torch.Tensor) else None
        device = torch.device(kwargs.get("device") or device or "cpu")
        if device.type == "meta":
            return func(*args, **kwargs)
        if func is torch.ops.aten.native_dropout.default:
            return _dropout(args[0], args[1], self._generator(device))
        if not _takes_generator(func):  # another overload may take one
            name = func._overloadname.replace("default", "")
            func = getattr(func.overloadpacket, f"{name}_generator".lstrip("_"), func)
        if _takes_generator(func):
            kwargs = {**kwargs, "generator": self._generator(device)}
        else:
            self.elsewhere.add(func.overloadpacket.__name__)
        return func(*args, **kwargs)

    def _generator(self, device):
        if device.type not in self.generators:
            options = {"generator": self.first, "device": self.first.device}
            seed = int(torch.randint(2**62, (), **options))
            self.generators[device.type] = torch.Generator(device).manual_seed(seed)
        return self.generators[device.type]


@functools.cache  # called for every operation
def _can_draw(func):
    return torch.Tag.nondeterministic_seeded in func.tags


def _draws(func, args, kwargs):
    """Return whether an operation draws from a global generator with these arguments."""
    given = {argument.name: argument.default_value for argument in func._schema.arguments}
    given.update(zip(given, args, strict=False))
    given.update(kwargs)
    if given.get("generator") is not None or given.get("train") is False:
        return False
    return given.get("dropout_p", given.get("dropout")) != 0.0


def _takes_generator(operation):
    return any(argument.name == "generator" for argument in operation._schema.arguments)


def _dropout(x, p, generator):
    """Compute dropout like torch's fused operation, which takes no generator."""
    mask = torch.empty_like(x).bernoulli_(1.0 - p, generator=generator)
    return x * mask * (1.0 / (1.0 - p) if p < 1.0 else 0.0), mask.bool()


def own_networks(function, sizes, generator, last_zero):
    """Build encoder and decoder with a user's ``function(input_shape, n_codes, latent_dim)``.

    All random numbers that the function draws, such as initial weights, come from `generator`.
    The estimator's seed therefore determines them. Lazy layers are initialised here.
    """
    arguments = sizes.row, sizes.n_codes, sizes.latent_dim
    with DrawnFrom(generator):
        try:
            modules = function(*arguments)
        except Exception as error:
            raise ValueError(
                "network must return an encoder and a decoder where it is called as "
                f"network{arguments}; got {_named(error)}."
            ) from error
        encoder, decoder = _copied(modules)
        parts = (
            Own(encoder, "encoder", sizes.row, (sizes.n_codes,), last_zero),
            Own(decoder, "decoder", (sizes.latent_dim,), sizes.row, last_zero),
        )
        for part in parts:
            _materialise(part, sizes.n_conditions)
    return parts


def _copied(modules):
    """Return copies of two modules, as a function may return the same ones at every call."""
    several = isinstance(modules, (tuple, list, nn.Sequential, nn.ModuleList))
    if not several or len(modules) != 2 or not all(isinstance(m, nn.Module) for m in modules):
        got = type(modules).__name__
        if several:
            got += f" ({', '.join(type(module).__name__ for module in modules)})"
        raise TypeError(
            f"network must return two torch.nn.Modules, an encoder and a decoder; got {got}."
        )
    parts = list(itertools.chain(*(module.modules() for module in modules)))
    # deepcopy refuses non-leaf tensors, such as the weights of torch.nn.utils.weight_norm.
    known: dict[int, Any] = {
        id(value): value.detach()
        for part in parts
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    for value in itertools.chain(*(part.buffers(recurse=False) for part in parts)):
        if is_lazy(value):  # torch cannot copy lazy buffers
            options: Any = {"device": value.device, "dtype": value.dtype}
            known[id(value)] = UninitializedBuffer(**options)
    try:
        return copy.deepcopy(tuple(modules), known)
    except Exception as error:
        raise ValueError(
            f"network must return modules that copy.deepcopy can copy; got {_named(error)}."
        ) from error


def _materialise(part, n_conditions):
    """Initialise lazy layers, and raise an error if a parameter has no values."""
    values = [*part.module.parameters(), *part.module.buffers()]
    if any(is_lazy(value) for value in values):
        part.module.float().eval()
        with torch.no_grad():
            nothing = torch.zeros(2, math.prod(part.shape) + n_conditions, dtype=torch.float32)
            _call(part, part.inputs(nothing))
        part.module.train()
    named = [*part.module.named_parameters(), *part.module.named_buffers()]
    for name, value in named:
        if is_lazy(value):
            raise ValueError(
                f"The {part.name} must use all of its lazy layers; got {name} that its forward "
                "does not use."
            )
        if value.is_meta:
            raise ValueError(
                f"The {part.name} must have parameters with values; got {name} on the device "
                "'meta'. Make it on the CPU."
            )


def own_parts(module):
    """Return the user-defined networks of a module."""
    return [part for part in module.modules() if isinstance(part, Own)]


def try_own_networks(module, build, batch, generator):
    """Check the user-defined networks of a module on a few rows, before training.

    Parameters
    ----------
    module : Module
        The module to train. It is not changed.
    build : callable
        Called without arguments. Returns the module as it was built.
    batch : Batch
        Training rows.
    generator : torch.Generator
        Random generator for this trial, on the device of the rows.

    Returns
    -------
    least : int
        Least number of rows of a training batch: 2 if a network fails on a single row.
    draws : bool
        Whether the networks draw random numbers in training.

    Raises
    ------
    ValueError, TypeError
        If a network cannot be trained.
    """
    trial, least = copy.deepcopy(module).train(), 1
    rows = torch.arange(_ROWS, device=batch[0].device) % len(batch[0])
    given = _given(trial, type(batch)(*(tensor[rows] for tensor in batch)), generator)
    drawn_from = DrawnFrom(generator)
    with drawn_from:
        for part, x in given.items():
            with half_precision(x.device) if module.autocast else contextlib.nullcontext():
                _try_training(part, x)
                least = least if _takes_one_row(part, x) else 2
    draws = drawn_from.has_drawn
    if drawn_from.elsewhere:
        warn(
            f"The networks draw noise in {', '.join(sorted(drawn_from.elsewhere))}, which takes "
            "it from torch's global generator: random_state does not decide on it.",
            UserWarning,
        )
    with DrawnFrom(generator), torch.no_grad():
        for part, x in given.items():
            _try_inference(part.eval(), x)
        device = float64_device(rows.device)
        double = _rebuilt(build, module).double().to(device).eval()
        for part, x in zip(own_parts(double), given.values(), strict=True):
            _call(part, part.inputs(x.to(device).double()))
    return least, draws


def draw_from(module, generator):
    """Let user-defined networks draw from a generator; None means torch's global one."""
    drawn_from = None if generator is None else DrawnFrom(generator)
    for part in own_parts(module):
        part.drawn_from = drawn_from


def check_rows(least, batch_size, n_train):
    """Raise an error if batches cannot have as many rows as the networks need."""
    if batch_size < least:
        raise ValueError(
            f"batch_size must be at least {least} {_COMPARES}; got batch_size={batch_size}."
        )
    if n_train < least:
        raise ValueError(
            f"X must have at least {least} rows to train on {_COMPARES}; got {n_train}. Give more "
            "rows, or hold out none with validation_fraction=None."
        )


def _given(trial, batch, generator):
    """Return the input of every network in a training step, without calling the networks."""
    given = {}

    def stand_in(part):
        def forward(x):
            given[part] = x.detach().flatten(0, -2)[:_ROWS].clone()
            return x.new_zeros(*x.shape[:-1], math.prod(part.due))

        return forward

    parts = own_parts(trial)
    for part in parts:
        part.forward = stand_in(part)
    trial(batch, generator)
    return {part: given[part] for part in parts}


def _rebuilt(build, module):
    """Build the module again, and load the weights of `module`."""
    again = build()
    try:
        again.load_state_dict(module.state_dict())
    except Exception as error:
        raise ValueError(
            f"network must build the same modules at every call; got {_named(error, 1)}."
        ) from error
    return again


def _try_training(part, x):
    inputs = part.inputs(x.clone())
    out = _call(part, inputs)
    if not all(map(torch.equal, inputs, part.inputs(x))):
        raise ValueError(
            f"The {part.name} must not change its input; got other values there after its call. "
            "Begin with layers that have no inplace=True."
        )
    _check_finite(part, out)
    parameters = [value for value in part.module.parameters() if value.requires_grad]
    if not parameters:
        return
    gradients: tuple = (None,)
    if out.requires_grad:
        try:
            gradients = torch.autograd.grad(out.sum(), parameters, allow_unused=True)
        except Exception as error:
            raise ValueError(
                f"The {part.name} must have a gradient; got {_named(error)}."
            ) from error
    if all(gradient is None for gradient in gradients):
        raise ValueError(
            f"The {part.name} must return a tensor from which a gradient reaches its parameters; "
            "got one that is detached from them. Leave out detach(), .data, numpy() and "
            "torch.no_grad()."
        )


def _takes_one_row(part, x):
    try:
        return bool(part.module(*part.inputs(x[:1])).isfinite().all())
    except Exception:  # as BatchNorm raises for a single row; other faults show with more rows
        return False


def _try_inference(part, x):
    out, again = (_call(part, part.inputs(x)) for _ in range(2))
    _check_finite(part, out)
    if not _is_same(again, out):
        raise ValueError(
            f"The {part.name} must return the same for the same rows in eval mode; got others in a "
            "second call. Draw noise in training alone, as F.dropout(x, training=self.training)."
        )
    if not _is_same(_call(part, part.inputs(x[:1])), out[:1]):
        raise ValueError(
            f"The {part.name} must treat every row by itself in eval mode; got other values for a "
            "row without the rows beside it. The first axis is that of rows: recurrent layers and "
            "attention need batch_first=True."
        )


def _is_same(one, other):
    return not other.numel() or (one - other).abs().max() <= _TOLERANCE * other.abs().max()


def _check_finite(part, out):
    wrong = out[~out.isfinite()]
    if len(wrong):
        raise ValueError(
            f"The {part.name} must return finite numbers; got {wrong[0].item()} for standardised "
            "rows that are finite."
        )


def _call(part, inputs):
    """Call the user's module; if it fails, raise an error that states what it must accept."""
    try:
        out = part.module(*inputs)
    except Exception as error:
        shapes = " and ".join(str(tuple(tensor.shape)) for tensor in inputs)
        takes = f"float tensors of shape{'s' if len(inputs) > 1 else ''} {shapes}"
        advice = "Build it with the input_shape, n_codes and latent_dim that network is called with"
        if inputs[0].dtype == torch.float64:
            takes, advice = "float64 tensors, too", "Have it keep to x.dtype"
        raise ValueError(
            f"The {part.name} must take {takes}; got {_named(error)}. {advice}."
        ) from error
    part.check(out, len(inputs[0]))
    return out


def _named(error, line=0):
    """Return the type of an exception, and a line of its message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[min(line, len(lines) - 1)].strip().rstrip('.')}"
