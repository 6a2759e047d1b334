"""Poisson likelihood of counts, with log-rates as natural parameters."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import stats
from scipy.special import gammaln, xlogy

from ..data.sources import blocks
from ._likelihood import Likelihood

LARGEST = 30.0  # log-rate, so that what is extrapolated to rows far out is finite


def bend(effect):
    """Let rates rise linearly with codes, as residuals do, and fall exponentially.

    The rate of a feature is its mean times 1 + e for an effect e above 0, and times exp(e) below.
    To first order both are the same. Counts far above their mean are common: with the exponential
    alone, codes that reach them would be of no use to other rows.
    """
    return torch.where(effect > 0, torch.log1p(effect.clamp(min=0.0)), effect)


@dataclass(frozen=True, eq=False)
class PoissonLikelihood(Likelihood):
    """Rows of counts.

    Around independent Poisson distributions with means m, the score of a row is x - m and its
    Fisher information m, so the initial model is PCA of Pearson residuals (Townes et al. 2019).

    References
    ----------
    Townes, F. W., Hicks, S. C., Aryee, M. J. & Irizarry, R. A. (2019). Feature selection and
    dimension reduction for single-cell RNA-Seq based on a multinomial model. Genome Biology 20.
    """

    has_derivatives = True
    bend: ClassVar[Any] = staticmethod(bend)
    name: ClassVar[str] = "poisson"

    def check(self, X, name="X", ends=None):
        """Raise an error for values that are no counts."""
        for first, rows in blocks(X):
            with np.errstate(invalid="ignore"):  # what is not finite is refused elsewhere
                wrong = (rows < 0) | (rows % 1 > 0)
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise ValueError(
                    f"likelihood={self.name!r} needs whole numbers from 0; got "
                    f"{rows[row, column]:.6g} in row {first + row}, column {column} of {name}. Use "
                    "likelihood='gaussian' for other numbers."
                )

    def natural(self, mean):
        """Return the logarithms of rates."""
        return np.log(mean)

    def smoothed(self, mean, n_samples):
        """Shrink means of n_samples rows away from 0, by a pseudo-row of value 0.5."""
        return (n_samples * mean + 0.5) / (n_samples + 1.0)

    def spread(self, mean):
        """Return the standard deviation of each feature."""
        return np.sqrt(mean)

    def loss(self, x, natural):
        """Return minus the log-probability of each row, summed over features, in nats."""
        with np.errstate(over="ignore"):  # an infinite rate gives an infinite loss
            return (np.exp(natural) - x * natural + gammaln(x + 1.0)).sum(axis=-1)

    def least(self, x):
        """Return the lowest possible loss of each row, with its own values as means."""
        return (x - xlogy(x, x) + gammaln(x + 1.0)).sum(axis=-1)

    def distribution(self, natural):
        """Return Poisson distributions."""
        return Poisson(natural.clamp(max=LARGEST))


class CountsLikelihood(PoissonLikelihood):
    """The same, with the means of rows unless they are 0, as in columns of a table."""

    def smoothed(self, mean, n_samples):
        """Replace means of 0 by less than one count."""
        return np.maximum(mean, 0.5 / (n_samples + 1.0))


class Poisson:
    """Independent Poisson distributions.

    Parameters
    ----------
    log_rate : Tensor of shape (..., d)

    Examples
    --------
    >>> import torch
    >>> from skae.likelihoods.poisson import Poisson
    >>> Poisson(torch.log(torch.tensor([2.0, 1.0]))).log_prob(torch.tensor([0.0, 0.0]))
    tensor(-3.)
    """

    def __init__(self, log_rate):
        self.log_rate = log_rate

    @property
    def mean(self):
        """Rates."""
        return self.log_rate.exp()

    @property
    def location(self):
        """Logarithms of rates."""
        return self.log_rate

    def derivatives(self, x, seen=1.0):
        """Return the score of the log-rates and their Fisher information, (..., d)."""
        rate = self.mean
        return (x - rate) * seen, rate * seen

    def error(self, x, *seen):
        """Return minus the log-probability, summed over features, in nats."""
        return -self.log_prob(x, *seen)

    def log_prob(self, x, seen=1.0):
        """Return the log-probability, summed over features, in nats."""
        return ((x * self.log_rate - self.mean - torch.lgamma(x + 1.0)) * seen).sum(-1)

    def cross_log_prob(self, x, seen=None):
        """Return the log-probability of every row under every distribution, (n, d) -> (n, m)."""
        constant = torch.lgamma(x + 1.0)
        if seen is None:
            return x @ self.log_rate.T - self.mean.sum(-1) - constant.sum(-1, keepdim=True)
        rates = (x * seen) @ self.log_rate.T - seen @ self.mean.T
        return rates - (constant * seen).sum(-1, keepdim=True)

    def from_uniform(self, uniform):
        """Map uniform numbers in (0, 1) to counts."""
        found = stats.poisson.ppf(uniform.cpu().numpy(), self.mean.detach().cpu().numpy())
        return torch.as_tensor(found).to(uniform)

    def sample(self, generator):
        """Draw one count for each rate."""
        return torch.poisson(self.mean, generator=generator)


LIKELIHOOD = PoissonLikelihood
