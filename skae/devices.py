"""Choice of a device, and the capabilities of each kind of device."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Capabilities of a kind of device.

    Parameters
    ----------
    count : callable
        Returns the number of such devices of this machine.
    float64 : bool, default=True
        Whether they support float64.
    tensor_floats : bool, default=False
        Whether they can compute products of float32 in TF32.
    free_memory : callable or None, default=None
        Returns the free memory of a device in bytes. None if devices use the host's memory.
    capture : callable or None, default=None
        ``capture(trial, step, generator)`` runs `trial` to warm up, records the operations of
        `step`, and returns a function that replays them. It may raise any exception. None if
        steps cannot be captured.
    """

    count: Callable[[], int]
    float64: bool = True
    tensor_floats: bool = False
    free_memory: Callable[[str], int] | None = None
    capture: Callable | None = None


def _n_cuda():
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _n_mps():
    import torch

    return int(torch.backends.mps.is_available())


def _free_on_cuda(device):
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free


_CAPTURING = threading.Lock()  # simultaneous captures of two threads fail


def _capture_on_cuda(trial, step, generator):
    """See :class:`Kind`."""
    import torch

    with torch.cuda.device(generator.device):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # restores the current stream if the capture fails
            for _ in range(3):
                trial()
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(generator)
            # By default, torch uses a stream of the first device and blocks other threads.
            capture = torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local")
            with _CAPTURING, capture:
                step()
        torch.cuda.current_stream().wait_stream(side)
    return graph.replay


KINDS = {
    "cpu": Kind(count=lambda: 1),
    "cuda": Kind(
        count=_n_cuda,
        tensor_floats=True,
        free_memory=_free_on_cuda,
        capture=_capture_on_cuda,
    ),
    "mps": Kind(count=_n_mps, float64=False),
}


def kind_of(device):
    """Return the :class:`Kind` of a device, a name or a torch.device."""
    return KINDS[str(device).partition(":")[0]]


def find_device(device):
    """The torch device that a parameter names, as a string."""
    if device == "auto":
        return "cuda" if is_available("cuda") else "cpu"
    numbered = {name for name, kind in KINDS.items() if kind.free_memory is not None}
    name = re.sub(r":\d+$", "", device)
    if name not in KINDS or (name != device and name not in numbered):
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'; got device={device!r}."
        )
    if not is_available(device):
        raise ValueError(
            f"device={device!r} is not available: torch finds no such device on this "
            "machine. Use device='auto' or device='cpu'."
        )
    return device


def is_available(device):
    """Return whether this machine has a device. It is False for unknown kinds."""
    kind, _, number = device.partition(":")
    return kind in KINDS and int(number or 0) < KINDS[kind].count()


def fits_on(device, X):
    """Return whether a large table fits in a GPU's memory, with room for working memory."""
    free_memory = kind_of(device).free_memory
    return free_memory is not None and 4 * 4 * X.shape[0] * X.shape[1] < free_memory(device)


def has_float64(device):
    """Return whether a device supports float64."""
    return kind_of(device).float64


def float64_device(device):
    """Return the device to use for float64: the same, or the CPU if it has no float64."""
    return device if has_float64(device) else "cpu"
