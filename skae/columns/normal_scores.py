"""Normal scores, which are normal quantiles of ranks, with Gaussian noise."""

from dataclasses import dataclass

import numpy as np

from ..data.scales import normal_scores, standardised
from ._number import Number
from .gaussian import Gaussian

_KNOTS = 64


@dataclass(frozen=True, kw_only=True)
class NormalScores(Number):
    """Numbers as standardised normal scores, which interpolate between knots.

    Parameters
    ----------
    knots, of_knots : ndarrays of shape (n_knots,)
        Values and their scores.
    """

    knots: np.ndarray
    of_knots: np.ndarray

    @classmethod
    def fitted(cls, given, x, whole):
        """Return the other fields of the class."""
        values, counts = np.unique(x, return_counts=True)
        scores, *_ = standardised(normal_scores(counts), counts)
        if len(values) == 1:  # any slope
            values, scores = np.append(values, values + 1.0), np.append(scores, scores + 1.0)
        some = np.linspace(0, len(values) - 1, min(_KNOTS, len(values))).round().astype(int)
        return {"knots": values[some], "of_knots": scores[some]}

    def scores(self, x):
        """Return encoded numbers, (n,)."""
        return _interpolated(x, self.knots, self.of_knots)

    def values(self, scores, rng):
        """Return the numbers of scores, (n,)."""
        return _interpolated(scores, self.of_knots, self.knots)

    def log_densities(self, x):
        """Return log-densities of numbers in addition to those of scores."""
        number = np.clip(np.searchsorted(self.knots, x, "right") - 1, 0, len(self.knots) - 2)
        return np.log(np.diff(self.of_knots))[number] - np.log(np.diff(self.knots))[number]

    likelihood = staticmethod(Gaussian.likelihood)


def _interpolated(x, knots, values):
    """Interpolate linearly, and go straight on beyond the ends."""
    number = np.clip(np.searchsorted(knots, x, "right") - 1, 0, len(knots) - 2)
    slope = (np.diff(values) / np.diff(knots))[number]
    return values[number] + (x - knots[number]) * slope


COLUMN = NormalScores
