"""Which weights are kept: by the losses of validation rows, beyond chance (numpy)."""

import math
from dataclasses import dataclass

import numpy as np

_STANDARD_ERRORS = 2.0  # by which an epoch has to beat the initial model
_TOLERANCE = 0.01  # of a loss, by which one of several may be higher
_MOVED = 0.005  # nats per feature from which on an initial model is no longer the same ...
_FEW_HELD_OUT = 10  # ... and fewer rows than this do not say so


@dataclass(frozen=True)
class Judge:
    """Compares losses of validation rows, (n,) or (n, n_losses).

    Parameters
    ----------
    resolution : float
        The least improvement of a row's loss that is not rounding.
    start_share : float
        Mixture weight of the initial model in the density of a row, where losses are minus
        log-densities; 0 for other losses.
    groups : ndarray of int of shape (n,) or None
        Labels of rows that are like each other; each group is judged as one.
    """

    resolution: float
    start_share: float = 0.0
    groups: np.ndarray | None = None

    def beside_start(self, of_start, losses):
        """Return the losses of rows whose density is a mixture with the initial model's.

        No row can then lose more than minus the logarithm of that weight, and one row that only
        the initial model has room for does not outvote the others.
        """
        if not self.start_share:
            return losses
        of_start = math.log(self.start_share) - of_start
        with np.errstate(invalid="ignore"):  # what is not a number stays none
            return -np.logaddexp(math.log1p(-self.start_share) - losses, of_start)

    def is_clear(self, improvement):
        """Whether rows improve beyond their own noise and beyond rounding."""
        with np.errstate(invalid="ignore"):  # what is not finite is not clear
            return is_clear(improvement, self.resolution, self.groups)

    def beats(self, losses, of_start):
        """Whether losses are clearly lower than the initial model's.

        The mean improvement has to be two standard errors, as the best of many epochs is compared
        with one initial model: a handful of rows cannot replace a closed form that is right. Of
        several losses of a row none may be higher by more than one per cent.
        """
        if losses.ndim > 1:
            highest = (1.0 + _TOLERANCE) * of_start.mean(axis=0) + self.resolution
            if (losses.mean(axis=0) > highest).any():
                return False
        return self.is_clear(of_start - losses)

    def has_moved(self, of_former_start, of_start, n_features):
        """Whether the initial model is another and a better one than the former."""
        gain = of_former_start - of_start
        if len(gain) < _FEW_HELD_OUT or not np.isfinite(gain).all():
            return len(gain) >= _FEW_HELD_OUT
        return gain.mean() > _MOVED * n_features and self.is_clear(gain)

    def choose(self, losses, of_start, start_moved):
        """Choose between the initial model and others after a chunk; a name, and its losses.

        "latest" weights have to beat the initial model. Others have done so before, and are only
        given up where that is clearly better, unless it has moved since.
        """
        accepted = {
            name: of
            for name, of in losses.items()
            if self.beats(of, of_start)
            or (name != "latest" and not start_moved and np.isfinite(of).all())
        }
        best = min(accepted, key=lambda name: accepted[name].mean(), default="start")
        if best == "start" or self.is_clear(accepted[best] - of_start):
            return "start", of_start
        return best, accepted[best]


def is_clear(improvement, resolution, groups=None):
    """Whether rows gain on average, beyond their own noise and beyond rounding.

    Parameters
    ----------
    improvement : ndarray of shape (n,) or (n, n_losses)
        How much less each row loses. Of several losses of a row the mean counts.
    resolution : float
        The least mean improvement that is not rounding.
    groups : ndarray of int of shape (n,) or None, default=None
        Labels of rows that are like each other. The standard error of the mean is then that
        of whole groups (Liang & Zeger 1986).
    """
    if improvement.ndim > 1:
        improvement = improvement.mean(axis=1)
    mean, noise = improvement.mean(), math.inf
    if groups is not None:
        label = np.unique(groups, return_inverse=True)[1]
        sums, n = np.bincount(label, improvement - mean), len(label)
        if len(sums) > 1:
            noise = math.sqrt(len(sums) / (len(sums) - 1) * np.square(sums).sum()) / n
    elif len(improvement) > 1:
        noise = improvement.std(ddof=1) / math.sqrt(len(improvement))
    return mean > max(_STANDARD_ERRORS * noise, resolution)
