"""The learning rate of every step."""

import math
from dataclasses import dataclass

_WARMUP = 0.05  # fraction of the steps over which the learning rate rises
_RISE, _PLATEAU = 100, 1000  # chunks: steps until the rate is highest, and until it decays


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
