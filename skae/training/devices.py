"""Which device to compute on, and what fits there."""

import re


def find_device(device):
    """The torch device that a parameter names, as a string."""
    if device == "auto":
        return "cuda" if is_available("cuda") else "cpu"
    if re.fullmatch(r"cpu|mps|cuda(:\d+)?", device) is None:
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', however: device={device!r}."
        )
    if not is_available(device):
        raise ValueError(
            f"device={device!r} is not available: torch finds no such device on this "
            "machine. Use device='auto' or device='cpu'."
        )
    return device


def fits_on(device, X):
    """Whether a large table has a place in a GPU's memory, with as much to spare."""
    if not device.startswith("cuda"):
        return False
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return 4 * 4 * X.shape[0] * X.shape[1] < free


def gram_on(device):
    """Products of rows with themselves on a GPU, in float64; None for numpy's."""
    if not device.startswith("cuda"):
        return None
    from ..data.batches import as_tensor

    def gram(rows):
        tensor = as_tensor(rows, device)
        return (tensor.T @ tensor).cpu().numpy()

    return gram


def is_available(device):
    import torch

    kind, _, number = device.partition(":")
    if kind == "cuda":
        return torch.cuda.is_available() and int(number or 0) < torch.cuda.device_count()
    return kind == "cpu" or torch.backends.mps.is_available()
