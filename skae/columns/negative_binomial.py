"""Counts with negative binomial distributions."""

from dataclasses import dataclass
from typing import ClassVar

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

    kind: ClassVar[str] = "negative_binomial"

    dispersion: float

    @classmethod
    def fitted(cls, given, x, whole):
        """Return the other fields of the class."""
        from ..likelihoods.negative_binomial import overdispersion

        mean = max(float(x.mean()), 0.5 / (len(x) + 1.0))
        dispersion = float(overdispersion(mean, x.var(ddof=1) if len(x) > 1 else 0.0))
        return super().fitted(given, x, whole) | {"dispersion": dispersion}

    @staticmethod
    def likelihood(columns):
        """Return the likelihood of several such columns."""
        from ..likelihoods.negative_binomial import CountsLikelihood

        return CountsLikelihood(dispersion=np.array([column.dispersion for column in columns]))


COLUMN = NegativeBinomial
