"""Standardised numbers with Gaussian noise."""

from dataclasses import dataclass

import numpy as np

from ._number import Number


@dataclass(frozen=True, kw_only=True)
class Gaussian(Number):
    """Numbers that are standardised."""

    mean: float

    @classmethod
    def fitted(cls, given, x, whole):
        """Return the other fields of the class."""
        return {"mean": float(x.mean())}

    def scores(self, x):
        """Return encoded numbers, (n,)."""
        return (x - self.mean) / self.std

    def values(self, scores, rng):
        """Return the numbers of scores, (n,)."""
        return scores * self.std + self.mean

    def log_densities(self, x):
        """Return log-densities of numbers in addition to those of scores."""
        return np.full(len(x), -np.log(self.std))

    @staticmethod
    def likelihood(columns):
        """Return the likelihood of several such columns."""
        from ..likelihoods._standardised import StandardisedLikelihood

        return StandardisedLikelihood()


COLUMN = Gaussian
