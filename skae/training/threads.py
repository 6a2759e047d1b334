"""Settings of torch that suit the work, put back when it is done."""

import contextlib
import functools
import os

from threadpoolctl import ThreadpoolController

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


@contextlib.contextmanager
def tensor_floats(wanted, device):
    """A context in which CUDA's float32 matrix products may use TF32.

    PyTorch has this setting for the whole process alone; it is put back.
    """
    import torch

    if not (wanted and device.startswith("cuda")):
        yield
        return
    settings = torch.backends.cuda.matmul
    before, settings.allow_tf32 = settings.allow_tf32, True
    try:
        yield
    finally:
        settings.allow_tf32 = before


def half_precision(device):
    """A context in which networks compute in bfloat16, unlike the linear path."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@functools.cache
def _controller():
    # Looks through the libraries that are loaded, so torch has to be among them.
    import torch  # noqa: F401

    return ThreadpoolController()
