"""Counts: whole numbers from 0, as Poisson distributions whose logarithms of rates add up."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaln, xlogy

from ..data.sources import blocks
from ._likelihood import Likelihood


@dataclass(frozen=True)
class PoissonLikelihood(Likelihood):
    """Rows of counts.

    Around independent Poisson distributions with means m, the score of a row is x - m and its
    Fisher information m, so the start is PCA of Pearson residuals (Townes et al. 2019).

    References
    ----------
    Townes, F. W., Hicks, S. C., Aryee, M. J. & Irizarry, R. A. (2019). Feature selection and
    dimension reduction for single-cell RNA-Seq based on a multinomial model. Genome Biology 20.
    """

    def check(self, X, name="X", ends=None):
        """Refuse values that are no counts."""
        for first, rows in blocks(X):
            wrong = (rows < 0) | (rows != np.floor(rows))
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise ValueError(
                    f"likelihood='poisson' needs whole numbers from 0; got {rows[row, column]:.6g} "
                    f"in row {first + row}, column {column} of {name}. Use likelihood='gaussian' "
                    "for other numbers."
                )

    def natural(self, mean):
        """Logarithms of rates."""
        return np.log(mean)

    def smoothed(self, mean, n_samples):
        """Means of so many rows and half a count more, so that none is 0."""
        return (n_samples * mean + 0.5) / (n_samples + 1.0)

    def spread(self, mean):
        """Standard deviation of each feature."""
        return np.sqrt(mean)

    def loss(self, x, natural):
        """Minus the log-probability of each row, summed over features, in nats."""
        with np.errstate(over="ignore"):  # a rate without bound has no probability
            return (np.exp(natural) - x * natural + gammaln(x + 1.0)).sum(axis=-1)

    def least(self, x):
        """The loss of each row under its own values, the lowest that there is."""
        return (x - xlogy(x, x) + gammaln(x + 1.0)).sum(axis=-1)

    def distribution(self, natural):
        """Poisson distributions."""
        return Poisson(natural)


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

    def error(self, x):
        """Minus the log-probability, summed over features, in nats."""
        return -self.log_prob(x)

    def log_prob(self, x):
        """Log-probability, summed over features, in nats."""
        return (x * self.log_rate - self.mean - torch.lgamma(x + 1.0)).sum(-1)

    def cross_log_prob(self, x):
        """Log-probability of every row under every distribution, (n, d) -> (n, m)."""
        constant = torch.lgamma(x + 1.0).sum(-1, keepdim=True)
        return x @ self.log_rate.T - self.mean.sum(-1) - constant

    def sample(self, generator):
        """One count for each rate."""
        return torch.poisson(self.mean, generator=generator)


LIKELIHOOD = PoissonLikelihood
