"""Counts with Poisson distributions."""

from dataclasses import dataclass

import numpy as np

from ._number import Number


@dataclass(frozen=True, kw_only=True)
class Poisson(Number):
    """Whole numbers from 0, unchanged."""

    @classmethod
    def fitted(cls, given, x, whole):
        """Return the other fields of the class."""
        if not whole or x.min() < 0:
            raise ValueError(
                f"likelihood={cls.kind()!r} needs whole numbers from 0; got others in column "
                f"{given.name!r}."
            )
        return {"low": 0.0, "high": np.inf}

    def scores(self, x):
        """Return encoded numbers, (n,)."""
        return x

    def values(self, scores, rng):
        """Return the numbers of scores, (n,)."""
        return scores

    def log_densities(self, x):
        """Return log-densities of numbers in addition to those of scores."""
        return np.where(x % 1 > 0, -np.inf, 0.0)

    @staticmethod
    def likelihood(columns):
        """Return the likelihood of several such columns."""
        from ..likelihoods.poisson import CountsLikelihood

        return CountsLikelihood()


COLUMN = Poisson
