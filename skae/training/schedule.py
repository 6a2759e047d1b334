"""The learning rate of every step, and what is chosen automatically: batch size and rate."""

import math
from dataclasses import dataclass

_WARMUP = 0.05  # fraction of the steps over which the learning rate rises
_RISE, _PLATEAU = 100, 1000  # chunks: steps until the rate is highest, and until it decays
_STEPS = 16  # of an epoch, if batches may be that small
_MOST_VALUES = 2**20  # of a batch
_STEPS_AT_HIGHEST = 8  # of an epoch, up to which the rate is highest
LEAST_RATE, _HIGHEST_RATE = 2e-3, 0.015


@dataclass(frozen=True)
class Schedule:
    """Learning rate schedule: linear warmup, then cosine decay.

    On chunks, which have no known end, the rate is constant after the warmup and then decays
    with the inverse square root of the steps.

    Parameters
    ----------
    lr : float
        Highest learning rate.
    n_steps : int or None
        Number of steps of the whole training; None for chunks.
    """

    lr: float
    n_steps: int | None

    def rate(self, taken):
        """Return the learning rate of the step after `taken` others."""
        taken = taken + 0.5
        if self.n_steps is None:
            return self.lr * min(1.0, taken / _RISE, math.sqrt(_PLATEAU / taken))
        share = taken / self.n_steps
        return self.lr * min(1.0, share / _WARMUP) * 0.5 * (1.0 + math.cos(math.pi * share))


def automatic_batch_size(n_rows, in_chunks=False, width=1):
    """Return a power of two near n / 16, from 32 to 256; in chunks near n / 32, from 16.

    Batches of rows of more than 4,096 features, `width`, are smaller, for the sake of memory.

    Examples
    --------
    >>> from skae.training.schedule import automatic_batch_size
    >>> automatic_batch_size(1000), automatic_batch_size(1000, in_chunks=True)
    (64, 32)
    """
    most = _MOST_VALUES / width
    if in_chunks:
        return batch_size_near(min(n_rows / 32, most), 16)
    return batch_size_near(min(n_rows / _STEPS, most))


def batch_size_near(wanted, least=32):
    """Return the power of two nearest to a number, from `least` to 256."""
    return min(max(2 ** round(math.log2(max(wanted, 1))), least), 256)


def automatic_rate(n_rows, batch_size, least=LEAST_RATE, highest=_HIGHEST_RATE):
    """Return a learning rate from `least` to `highest`, lower if an epoch has more than 8 steps.

    Examples
    --------
    >>> from skae.training.schedule import automatic_rate
    >>> automatic_rate(200, 32), automatic_rate(1000, 64), automatic_rate(100_000, 256)
    (0.015, 0.0075, 0.002)
    """
    n_steps = math.ceil(n_rows / batch_size)
    return max(least, highest * min(1.0, _STEPS_AT_HIGHEST / n_steps))
