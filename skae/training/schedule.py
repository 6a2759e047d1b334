"""The learning rate of every step."""

import math
from dataclasses import dataclass

_WARMUP = 0.05  # of the steps, over which the learning rate rises
_RISE, _PLATEAU = 100, 1000  # steps on chunks until the rate is highest, and until it falls


@dataclass(frozen=True)
class Schedule:
    """A short rise, then half a cosine; on chunks, which have no known end, a decay.

    Parameters
    ----------
    lr : float
        The highest rate.
    n_steps : int or None
        Of all training; None for chunks, where the rate falls as the root of the steps.
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
