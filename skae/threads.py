"""Settings of torch for threads and precision, restored afterwards."""

import contextlib
import functools
import os
import threading
from typing import Any

from threadpoolctl import ThreadpoolController

from .devices import kind_of

# Multiply-adds of a matrix product from which a second thread pays off. On an idle machine it
# then takes 0.6 of the time, and on a busy one no longer five times as much.
_WORTH_THREADS = 2**24


def suitable_threads(work):
    """Return a context in which torch uses one thread if its largest product is small.

    For small products several threads are not faster, and on a busy machine they are much slower,
    as they wait for each other. The limit applies to the calling thread only, and is restored.

    Parameters
    ----------
    work : int
        Number of multiply-adds of the largest matrix product of a step.
    """
    if work >= _WORTH_THREADS:
        return contextlib.nullcontext()
    return _controller().limit(limits=1, user_api="openmp")


@functools.cache
def spare_forked_children():
    """Limit forked child processes to one thread.

    A child does not inherit the threads of OpenMP, and would wait for them forever.
    """
    if hasattr(os, "register_at_fork"):
        controller = _controller()
        os.register_at_fork(after_in_child=functools.partial(_use_one_thread, controller))


def _use_one_thread(controller):
    import torch

    torch.set_num_threads(1)  # of every thread of the child
    controller.limit(limits=1, user_api="openmp")  # other libraries' OpenMP, of this thread


def tensor_floats(wanted, device):
    """Return a context that allows or forbids TF32 for products of float32.

    It applies to matrix products, convolutions and recurrent layers. By default, torch uses TF32
    for the latter two. Contexts can be nested; the innermost one decides.

    The settings of torch belong to the whole process. They are restored when the last of several
    fits ends. If two fits run in threads and only one of them wants TF32, both compute in float32
    until the other one ends. So no fit is less precise than requested, but the fit with TF32 may be
    slower, and may differ from one that runs alone.

    Parameters
    ----------
    wanted : bool
    device : str
        Only CUDA has TF32.
    """
    if not kind_of(device).tensor_floats:
        return contextlib.nullcontext()
    return _SWITCHES.set(wanted)


class _Switches:
    """The requests of all threads of this process for TF32."""

    def __init__(self):
        self._lock = threading.Lock()
        self._wanted: dict[int, bool] = {}  # by thread; float32 takes precedence
        self._before: list = []  # settings to restore after the last request

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
    """Return the owners of torch's settings, their name, and their values for float32 and TF32.

    torch 2.9 has replaced the settings, and raises an error if old and new ones are mixed.
    """
    import torch

    backends: Any = torch.backends
    matmul, cudnn = backends.cuda.matmul, backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return (matmul, cudnn.conv, cudnn.rnn), "fp32_precision", ("ieee", "tf32")
    return (matmul, cudnn), "allow_tf32", (False, True)


def half_precision(device):
    """Return a context in which networks, but not the linear path, compute in bfloat16."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@functools.cache
def _controller():
    # It searches the loaded libraries, so torch must be loaded.
    import torch  # noqa: F401

    return ThreadpoolController()
