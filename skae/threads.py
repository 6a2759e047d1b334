"""Settings of torch that suit the work, put back when it is done."""

import contextlib
import functools
import os
import threading
from typing import Any

from threadpoolctl import ThreadpoolController

from .devices import kind_of

# Multiply-adds of one matrix product from which on a second thread is worth waking: on an idle
# machine it then takes 0.6 of the time, and on a busy one it no longer takes five times as much.
_WORTH_THREADS = 2**24


def suitable_threads(work):
    """A context in which torch uses one thread, if its largest product is small.

    Several threads on small products are no faster, and many times slower on a busy
    machine, where they wait for each other. OpenMP's limit belongs to the calling
    thread and is put back, so nothing else in the process is touched.

    Parameters
    ----------
    work : int
        Multiply-adds of the largest matrix product of a step.
    """
    if work >= _WORTH_THREADS:
        return contextlib.nullcontext()
    return _controller().limit(limits=1, user_api="openmp")


@functools.cache
def spare_forked_children():
    """Let children that this process forks use one thread each.

    The threads of OpenMP stay behind in the parent, and a child would wait for them forever.
    """
    if hasattr(os, "register_at_fork"):
        controller = _controller()
        os.register_at_fork(after_in_child=functools.partial(_use_one_thread, controller))


def _use_one_thread(controller):
    import torch

    torch.set_num_threads(1)  # of every thread of the child
    controller.limit(limits=1, user_api="openmp")  # other libraries' OpenMP, of this thread


def tensor_floats(wanted, device):
    """A context that decides whether products of float32 may be rounded to TF32.

    That goes for matrix products, convolutions and recurrent layers; by default torch rounds the
    latter two. Contexts may be nested, and the innermost decides.

    torch has these switches for the whole process. They are as they were before when the last of
    several fits is done. If two fits run at the same time in threads and only one wants TF32, both
    compute in float32 until the other is done: none is less precise than it asked for, and the one
    with TF32 may be slower, and differ from a fit that runs alone.

    Parameters
    ----------
    wanted : bool
    device : str
        Only on CUDA is there a choice.
    """
    if not kind_of(device).tensor_floats:
        return contextlib.nullcontext()
    return _SWITCHES.set(wanted)


class _Switches:
    """What the threads of this process want of torch's switches of TF32."""

    def __init__(self):
        self._lock = threading.Lock()
        self._wanted: dict[int, bool] = {}  # by thread; one that asked for float32 has its way
        self._before: list = []  # the switches as they were without any of these

    @contextlib.contextmanager
    def set(self, wanted):
        thread = threading.get_ident()
        outer = self._wanted.get(thread)
        try:
            self._want(thread, wanted)
            yield
        finally:
            self._want(thread, outer)

    def _want(self, thread, wanted):
        owners, name, values = _switches_of_torch()
        with self._lock:
            if not self._wanted:
                self._before = [getattr(owner, name) for owner in owners]
            if wanted is None:
                self._wanted.pop(thread, None)
            else:
                self._wanted[thread] = wanted
            value = values[all(self._wanted.values())]
            now = [value] * len(owners) if self._wanted else self._before
            for owner, value in zip(owners, now, strict=True):
                setattr(owner, name, value)


_SWITCHES = _Switches()


def _switches_of_torch():
    """What has the switches, their name, and their values for float32 and TF32.

    From torch 2.9 on there are others, and it fails where these and the former are mixed.
    """
    import torch

    backends: Any = torch.backends
    matmul, cudnn = backends.cuda.matmul, backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return (matmul, cudnn.conv, cudnn.rnn), "fp32_precision", ("ieee", "tf32")
    return (matmul, cudnn), "allow_tf32", (False, True)


def half_precision(device):
    """A context in which networks compute in bfloat16, unlike the linear path."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@functools.cache
def _controller():
    # Looks through the libraries that are loaded, so torch has to be among them.
    import torch  # noqa: F401

    return ThreadpoolController()
