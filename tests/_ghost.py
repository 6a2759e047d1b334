"""A GPU that is not there: tensors say `ghost:0`, and their numbers are computed on the CPU.

It is as strict as CUDA where code for a CPU is careless. It refuses operands on two devices, draws
from a generator of another device or from none, and, while a step is captured, whatever makes the
host wait. A replay runs the recorded operations on the recorded memory: Python has no more say.

torch knows one private device in a process, for good, and has to know it before the first gradient
is computed. So the tests of this device run in a process of their own: see `tests/test_ghost.py`.
"""

import contextlib
import functools
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

import torch
from torch.utils import backend_registration
from torch.utils._mode_utils import no_dispatch

from skae import devices

NAME = "ghost"
aten = torch.ops.aten

_COPIES = {aten.copy_.default, aten._to_copy.default, aten._foreach_copy_.default}
_INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}
_READS = {  # of numbers, which the host has to wait for
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.nonzero.default,
}
_RESIZING = (aten.arange.default, aten.arange.start, aten.arange.start_step)  # what they make
_IN_BFLOAT16 = (  # where autocasting; on CUDA there are more
    aten.linear.default,
    aten.conv2d.default,
    aten.conv_transpose2d.input,
)


class DeviceMixUp(RuntimeError):
    """What CUDA says of operands that are not all on one device."""


class CaptureError(RuntimeError):
    """What CUDA says of a step that waits for the host while it is captured."""


class GhostTensor(torch.Tensor):
    """A tensor that says it is on the device, around one on the CPU."""

    inner: torch.Tensor
    owner: "Ghost"

    @staticmethod
    def __new__(cls, inner, owner):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        made.inner, made.owner = inner, owner
        return made

    def __repr__(self):
        return f"GhostTensor({self.inner})"

    def reshaped(self):
        """The same tensor, in the shape that what is inside has by now."""
        inner = self.inner
        with no_dispatch():
            return self.as_strided_(inner.size(), inner.stride(), inner.storage_offset())

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        ghosts = [x for x in _leaves((args, kwargs)) if isinstance(x, cls)]
        return ghosts[0].owner.run(func, *args, **(kwargs or {}))


class Generator(torch.Generator):
    """A generator that says which device it is of. All of them draw as on the CPU."""

    # By address, as torch hands operations another Python object for the same generator.
    made: ClassVar[weakref.WeakValueDictionary] = weakref.WeakValueDictionary()

    def __new__(cls, device="cpu"):
        new = super().__new__(cls)
        new.on = torch.device(device)
        new.is_usable = True
        cls.made[new._cdata] = new
        return new

    def __init__(self, device="cpu"):
        super().__init__()

    @property
    def device(self):
        """Where what it draws has to be."""
        return self.on


class _Recording:
    """The operations of a step that is captured, and what undoes them."""

    def __init__(self, generator):
        self.generator = generator
        self.operations: list[tuple] = []
        self.written: list[tuple] = []

    def add(self, function, args, kwargs, out):
        """Record an operation that has just been run."""
        self.operations.append((function, args, kwargs, out))

    def before_writing(self, tensors):
        """Remember what is about to be overwritten."""
        self.written += [(tensor, tensor.clone()) for tensor in tensors]

    def undo(self):
        """As a capture computes nothing: what was written is as it was before."""
        for tensor, before in reversed(self.written):
            if tensor.shape == before.shape:  # else it was made by the step itself
                tensor.copy_(before)

    def replay(self):
        """Run the operations once more on the memory that they were recorded with."""
        for function, args, kwargs, out in self.operations:
            again = function(*args, **kwargs)
            for old, new in zip(_leaves(out), _leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Ghost(contextlib.ExitStack):
    """A context in which torch and skae find the simulated device.

    Parameters
    ----------
    float64 : bool, default=True
        False for a device that refuses float64, as Apple's does.
    free_memory : int or None, default=2**40
        Bytes that are free on the device; None where it uses the host's memory.
    captures : bool, default=True
        Whether steps can be captured.

    Attributes
    ----------
    n_reads : int
        How often the host waited for the device: numbers that were read, and copies from one to
        the other.
    dtypes : set of torch.dtype
        What numbers have been computed in.
    n_captures, n_replays : int
        Steps that were recorded, and runs of such a record.
    """

    def __init__(self, *, float64=True, free_memory=2**40, captures=True):
        super().__init__()
        self.float64 = float64
        self.free_memory = free_memory
        self.captures = captures
        self.n_reads = self.n_captures = self.n_replays = 0
        self.dtypes: set[torch.dtype] = set()
        self._recording: _Recording | None = None

    def __enter__(self):
        super().__enter__()
        register()
        every, some = (torch.library.Library(name, "IMPL") for name in ("_", "aten"))
        self.callback(every._destroy)
        self.callback(some._destroy)
        every.fallback(self.run, "PrivateUse1")
        every.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
        for operation in _RESIZING:
            some.impl(operation, functools.partial(self.run, operation), "PrivateUse1")
        for operation in _IN_BFLOAT16:
            some.impl(operation, functools.partial(_autocast, operation), "AutocastPrivateUse1")
        kind = devices.Kind(
            count=lambda: 1,
            float64=self.float64,
            tensor_floats=True,
            free_memory=None if self.free_memory is None else lambda device: self.free_memory,
            capture=self.capture if self.captures else None,
        )
        self.enter_context(mock.patch.dict(devices.KINDS, {NAME: kind}))
        self.enter_context(mock.patch.object(torch, "Generator", Generator))
        self.enter_context(mock.patch.object(torch, "tensor", _tensor(torch.tensor)))
        self.enter_context(mock.patch.object(torch, "inference_mode", _inference_mode))
        # What torch's optimisers ask for, to refuse a capture that they are not made for.
        now = SimpleNamespace(is_capturing=lambda: self._recording is not None)
        for name, value in (("accelerator", torch.device("cuda")), ("stream", now)):
            function = functools.partial(_always, value)
            self.enter_context(mock.patch.object(torch.accelerator, f"current_{name}", function))
        return self

    def __deepcopy__(self, memo):
        return self

    # Operations

    def run(self, func, *args, **kwargs):
        """One of torch's operations, where a tensor on the device goes in or comes out."""
        tensors = [x for x in _leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        ghosts = [x for x in tensors if isinstance(x, GhostTensor)]
        others = [x for x in tensors if not isinstance(x, GhostTensor)]
        is_copy = func in _COPIES
        if func in (aten.copy_.default, aten._foreach_copy_.default):
            comes_here = isinstance(tensors[0], GhostTensor)
        elif kwargs.get("device") is not None:
            comes_here = torch.device(kwargs["device"]).type == NAME
        else:
            comes_here = bool(ghosts)
        crosses = is_copy and bool(others or not comes_here or not ghosts)
        if not is_copy:
            self._check_devices(func, args, ghosts, others)
        generator = self._check_draws(func, args, kwargs, comes_here)
        if crosses or func in _READS or _is_by_mask(func, args):
            self.n_reads += 1
            if self._recording is not None:
                raise CaptureError(
                    f"operation not permitted when a step is captured: {func} makes the host wait"
                )
        if self._recording is not None and generator not in (None, self._recording.generator):
            raise CaptureError(f"{func} draws from a generator that the capture does not know")
        if torch.Tag.inplace_view in func.tags:  # another shape of the same memory
            packet = getattr(aten, func.overloadpacket.__name__.removesuffix("_"))
            args[0].inner = packet(args[0].inner, *args[1:])
            return args[0].reshaped()
        out = self._compute(func, args, kwargs, comes_here, ghosts)
        if any(tensor.shape != tensor.inner.shape for tensor in ghosts):
            raise NotImplementedError(f"a tensor on this device cannot be resized, as {func} does")
        return out

    def _compute(self, func, args, kwargs, comes_here, ghosts):
        """The same on the CPU, and recorded where a step is captured."""
        recording = self._recording

        def plain(x):
            if isinstance(x, GhostTensor):
                return x.inner
            if isinstance(x, torch.device):
                return torch.device("cpu")
            # A number that the host hands over is what it was at that time.
            return x.clone() if recording and isinstance(x, torch.Tensor) else x

        args, kwargs = _map(plain, (args, kwargs))
        function = _OWN.get(func, func)
        if recording:
            recording.before_writing(_written(func, args, kwargs))
        out = function(*args, **kwargs)
        if recording:
            recording.add(function, args, kwargs, out)
        known = {id(x.inner): x for x in ghosts}

        def wrapped(x):
            if not isinstance(x, torch.Tensor) or not comes_here:
                return x
            self.dtypes.add(x.dtype)
            if x.dtype == torch.float64 and not self.float64:
                raise TypeError(f"the device does not support float64, which comes of {func}")
            return known[id(x)] if id(x) in known else GhostTensor(x, self)

        return _map(wrapped, out)

    def _check_devices(self, func, args, ghosts, others):
        """Refuse operands on two devices, other than numbers and what an index is made of."""
        here = bool(ghosts)
        indexes = func in _INDEXING and isinstance(args[0], GhostTensor)
        mixed = here and any(x.dim() for x in others) and not indexes
        if mixed or any(isinstance(x, GhostTensor) != here for x in _written(func, args, {})):
            where = [(str(x.device), tuple(x.shape)) for x in (*ghosts, *others)]
            raise DeviceMixUp(
                f"Expected all tensors to be on the same device, but {func} has {where}"
            )

    def _check_draws(self, func, args, kwargs, comes_here):
        """The generator that an operation draws from, which has to be of its device."""
        given = (*args, *kwargs.values())
        generators = [Generator.made[x._cdata] for x in given if isinstance(x, torch._C.Generator)]
        if not generators:
            if torch.Tag.nondeterministic_seeded in func.tags and comes_here:
                raise DeviceMixUp(f"{func} draws from the device's global generator")
            return None
        (generator,) = generators
        if (generator.device.type == NAME) != comes_here:
            raise DeviceMixUp(f"{func} draws from a generator on {generator.device.type}")
        if not generator.is_usable:
            raise CaptureError("the generator is still part of a capture that failed")
        return generator

    # Graphs

    def capture(self, trial, step, generator):
        """As :attr:`skae.devices.Kind.capture`."""
        for _ in range(3):
            trial()
        state = generator.get_state()
        recording = self._recording = _Recording(generator)
        try:
            step()
        except BaseException:
            generator.is_usable = False  # as in some versions of torch
            raise
        finally:
            self._recording = None
            recording.undo()
            generator.set_state(state)
        self.n_captures += 1

        def replay():
            self.n_replays += 1
            recording.replay()

        return replay


def _leaves(given):
    """What is in nested lists, tuples and dictionaries."""
    if isinstance(given, (list, tuple)):
        return [leaf for part in given for leaf in _leaves(part)]
    return _leaves(tuple(given.values())) if isinstance(given, dict) else [given]


def _map(function, given):
    """The same lists, tuples and dictionaries with other leaves."""
    if isinstance(given, (list, tuple)):
        return type(given)([_map(function, part) for part in given])
    if isinstance(given, dict):
        return {name: _map(function, part) for name, part in given.items()}
    return function(given)


def _written(func, args, kwargs):
    """The tensors among its arguments that an operation writes to."""
    written = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(argument.name)
            written += [x for x in _leaves(given) if isinstance(x, torch.Tensor)]
    return written


def _is_by_mask(func, args):
    """Whether an operation has to count the entries of a mask first."""
    masks = (torch.bool, torch.uint8)
    return func is aten.index.Tensor and any(x is not None and x.dtype in masks for x in args[1])


# What is part of torch and not as it should be for a private device


def _gru_cell(of_input, of_hidden, hidden, input_bias=None, hidden_bias=None):
    """One step of a GRU; a kernel of this name is there for GPUs alone."""
    if input_bias is not None:
        of_input, of_hidden = of_input + input_bias, of_hidden + hidden_bias
    (i_reset, i_keep, i_new), (h_reset, h_keep, h_new) = of_input.chunk(3, 1), of_hidden.chunk(3, 1)
    reset, keep = torch.sigmoid(i_reset + h_reset), torch.sigmoid(i_keep + h_keep)
    new = torch.tanh(i_new + reset * h_new)
    workspace = torch.cat([reset, keep, new, hidden, h_new], dim=1)
    return new + keep * (hidden - new), workspace


def _gru_cell_backward(gradient, workspace, has_bias):
    reset, keep, new, hidden, h_new = workspace.chunk(5, 1)
    of_new = gradient * (1 - keep) * (1 - new * new)
    of_keep = gradient * (hidden - new) * keep * (1 - keep)
    of_reset = of_new * h_new * reset * (1 - reset)
    of_input = torch.cat([of_reset, of_keep, of_new], dim=1)
    of_hidden = torch.cat([of_reset, of_keep, of_new * reset], dim=1)
    biases = (of_input.sum(0), of_hidden.sum(0)) if has_bias else (None, None)
    return of_input, of_hidden, gradient * keep, *biases


_OWN: dict[Any, Callable] = {
    aten._thnn_fused_gru_cell.default: _gru_cell,
    aten._thnn_fused_gru_cell_backward.default: _gru_cell_backward,
}


def _autocast(function, *args, **kwargs):
    """An operation with its floats in bfloat16, as autocasting does it on CUDA."""

    def half(x):
        is_float = isinstance(x, torch.Tensor) and x.dtype == torch.float32
        return x.to(torch.bfloat16) if is_float else x

    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
    with torch._C._ExcludeDispatchKeyGuard(keys):
        return function(*_map(half, args), **_map(half, kwargs))


def _tensor(original):
    """`torch.tensor`, which a device written in Python does not get to see."""

    @functools.wraps(original)
    def tensor(data, *, device=None, **options):
        made = original(data, **options)
        return made if device is None else made.to(device)

    return tensor


def _always(value, **options):
    return value


def _inference_mode(mode=True):
    """`torch.inference_mode`, in which tensors that wrap others cannot be made."""
    return torch.no_grad() if mode else torch.enable_grad()


class _Module:
    """What torch asks a device's module for."""

    def is_initialized(self):
        return True

    def is_available(self):
        return True

    def current_device(self):
        return 0

    def device_count(self):
        return 1

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


@functools.cache
def register():
    """Tell torch of the device, before it computes a gradient. There is no way back."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
