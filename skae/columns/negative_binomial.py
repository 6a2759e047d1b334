"""Counts with negative binomial distributions."""

from dataclasses import dataclass

import numpy as np

from .poisson import Poisson


@dataclass(frozen=True, kw_only=True)
class NegativeBinomial(Poisson):
    """Whole numbers from 0, unchanged, which vary more than Poisson counts.

    Parameters
    ----------
    dispersion : float
        Their variance minus their mean, over the square of the mean.
    """

    dispersion: float

    @classmethod
    def fitted(cls, given, x, whole):
        """Return the other fields of the class."""
        from ..likelihoods.negative_binomial import NegativeBinomialLikelihood

        variance = np.var(x, ddof=min(1, len(x) - 1))
        found = NegativeBinomialLikelihood().of_moments(x.mean(), variance, len(x))
        return super().fitted(given, x, whole) | {"dispersion": float(found.dispersion)}

    @staticmethod
    def likelihood(columns):
        """Return the likelihood of several such columns."""
        from ..likelihoods.negative_binomial import NegativeBinomialLikelihood

        dispersion = np.array([column.dispersion for column in columns])
        return NegativeBinomialLikelihood(dispersion=dispersion)


COLUMN = NegativeBinomial
