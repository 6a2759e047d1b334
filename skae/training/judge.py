"""Selection of weights by validation losses, with a test against chance (numpy only)."""

import math
from dataclasses import dataclass

import numpy as np

_STANDARD_ERRORS = 2.0  # by which an epoch must beat the initial model
_OF_SQUARES = 1.0  # by which squared errors must be lower, where distances are by the above
_TOLERANCE = 0.01  # relative increase allowed for each of several losses
_MOVED = 0.005  # least gain, in nats per feature, of a changed initial model ...
_FEW_HELD_OUT = 10  # ... and least number of validation rows to detect it


@dataclass(frozen=True)
class Judge:
    """Comparison of the losses of validation rows, (n,) or (n, n_losses).

    Parameters
    ----------
    resolution : float
        Least improvement of a row's loss that exceeds rounding errors.
    start_share : float
        Mixture weight of the initial model in the density of a row, if losses are minus
        log-densities; 0 for other losses.
    squared : bool
        Whether losses are squared distances. Then the distances are compared, too: one row far out
        has most of the squared errors and of their standard error.
    groups : ndarray of int of shape (n,) or None
        Group labels of similar rows, for standard errors over groups.
    """

    resolution: float
    start_share: float = 0.0
    squared: bool = False
    groups: np.ndarray | None = None

    def level(self, losses):
        """Return the number that is lowest for the best epoch: the mean loss or distance."""
        return (np.sqrt(losses) if self.squared else losses).mean()

    def beside_start(self, of_start, losses):
        """Return the losses of rows whose density is a mixture with the initial model's.

        A row's loss can then increase by at most minus the logarithm of the mixture weight. A
        single row that only the initial model fits does not outweigh the others.
        """
        if not self.start_share:
            return losses
        of_start = math.log(self.start_share) - of_start
        with np.errstate(invalid="ignore"):  # NaN stays NaN
            return -np.logaddexp(math.log1p(-self.start_share) - losses, of_start)

    def is_clear(self, improvement):
        """Return whether the mean improvement exceeds two standard errors and rounding errors.

        Several losses of a row are averaged. With groups the standard error of the mean is
        cluster-robust (Liang & Zeger 1986).
        """
        return self._exceeds(improvement, _STANDARD_ERRORS, self.resolution)

    def _exceeds(self, improvement, standard_errors, least=0.0):
        with np.errstate(invalid="ignore"):  # non-finite values are never clear
            if improvement.ndim > 1:
                improvement = improvement.mean(axis=1)
            mean, noise = improvement.mean(), math.inf
            if self.groups is not None:
                label = np.unique(self.groups, return_inverse=True)[1]
                sums, n = np.bincount(label, improvement - mean), len(label)
                if len(sums) > 1:
                    noise = math.sqrt(len(sums) / (len(sums) - 1) * np.square(sums).sum()) / n
            elif len(improvement) > 1:
                noise = improvement.std(ddof=1) / math.sqrt(len(improvement))
            return mean > max(standard_errors * noise, least)

    def beats(self, losses, of_start):
        """Return whether losses are clearly lower than the initial model's.

        The mean improvement must exceed two standard errors, as the best of many epochs is
        compared with one initial model. A handful of rows then cannot replace a closed form that
        is right. Of squared errors one standard error is enough if distances improve by two. If
        rows have several losses, the mean of none may be higher by more than 1%.
        """
        if losses.ndim > 1:
            highest = (1.0 + _TOLERANCE) * of_start.mean(axis=0) + self.resolution
            if (losses.mean(axis=0) > highest).any():
                return False
        if not self.squared:
            return self.is_clear(of_start - losses)
        with np.errstate(invalid="ignore"):
            closer = np.sqrt(of_start) - np.sqrt(losses)
        return self._exceeds(of_start - losses, _OF_SQUARES, self.resolution) and self._exceeds(
            closer, _STANDARD_ERRORS
        )

    def has_moved(self, of_former_start, of_start, n_features):
        """Return whether the initial model is clearly better than the former one."""
        gain = of_former_start - of_start
        if len(gain) < _FEW_HELD_OUT or not np.isfinite(gain).all():
            return len(gain) >= _FEW_HELD_OUT
        return gain.mean() > _MOVED * n_features and self.is_clear(gain)

    def choose(self, losses, of_start, start_moved):
        """Choose weights after a chunk; return their name and losses.

        The "latest" weights must beat the initial model. Earlier weights have done so before.
        They are given up only if the initial model is clearly better. If the initial model has
        changed since, they must beat it again.
        """
        accepted = {
            name: of
            for name, of in losses.items()
            if self.beats(of, of_start)
            or (name != "latest" and not start_moved and np.isfinite(of).all())
        }
        best = min(accepted, key=lambda name: self.level(accepted[name]), default="start")
        if best == "start" or self.is_clear(accepted[best] - of_start):
            return "start", of_start
        return best, accepted[best]
