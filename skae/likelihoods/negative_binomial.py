"""Negative binomial likelihood: counts that vary more than Poisson counts."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import stats
from scipy.special import gammaln, xlogy
from torch import nn

from ._head import Head
from .poisson import LARGEST, CountsLikelihood, Poisson

_LEAST = 1e-4  # smallest overdispersion, as good as none


@dataclass(frozen=True, eq=False)
class NegativeBinomialLikelihood(CountsLikelihood):
    """Rows of counts with means m and variances m + a m^2.

    The overdispersion a of a feature is found from its moments and then learned. Around independent
    features, the score of the logarithm of m is (x - m) / (1 + a m), and its Fisher information
    m / (1 + a m).

    Parameters
    ----------
    dispersion : ndarray of shape (d,) or None
        Overdispersion of independent features.

    References
    ----------
    Lawless, J. F. (1987). Negative binomial and mixed Poisson regression. Canadian Journal of
    Statistics 15, 209-225.
    """

    dispersion: Any = None

    name: ClassVar[str] = "negative_binomial"

    def of_moments(self, mean, variance, n_samples):
        """Return the likelihood of a table with these moments."""
        mean = self.smoothed(mean, n_samples)
        dispersion = np.maximum((variance - mean) / np.square(mean), _LEAST)
        return replace(self, dispersion=dispersion)

    def of_start(self, start):
        """Return the likelihood with the overdispersion of an initial model."""
        return replace(self, dispersion=start.dispersion)

    def spread(self, mean):
        """Return the standard deviation of each feature."""
        return np.sqrt(mean * (1.0 + self.dispersion * mean))

    def effect(self, scores, mean):
        """Return what standardised scores add to the logarithms of means."""
        return scores * self.spread(mean) / mean

    def loss(self, x, natural):
        """Return minus the log-probability of each row, summed over features, in nats."""
        size = 1.0 / self.dispersion
        with np.errstate(over="ignore"):
            log_total = np.logaddexp(natural, np.log(size))
        of_counts = gammaln(x + size) - gammaln(size) - gammaln(x + 1.0)
        return ((x + size) * log_total - x * natural - xlogy(size, size) - of_counts).sum(axis=-1)

    def least(self, x):
        """Return the lowest possible loss of each row, with its own values as means."""
        return self.loss(x, np.log(np.maximum(x, 1e-300)))

    def head(self, start, floor=None):
        """Return the head that learns the overdispersion of each feature."""
        return NegativeBinomialHead(self)


class NegativeBinomialHead(Head):
    """A head that learns the overdispersion of each feature.

    Parameters
    ----------
    likelihood : NegativeBinomialLikelihood
        Its overdispersion is that at first.
    """

    start_log_size: torch.Tensor

    def __init__(self, likelihood):
        super().__init__(likelihood)
        log_size = torch.tensor(-np.log(likelihood.dispersion))
        self.register_buffer("start_log_size", log_size, persistent=False)
        self.log_ratio = nn.Parameter(torch.zeros(len(log_size), dtype=torch.float32))

    def forward(self, linear, residual):
        """Return the distribution of rows, from the two paths of a decoder, each (..., d)."""
        return NegativeBinomial((linear + residual).clamp(max=LARGEST), self.log_size())

    def log_size(self):
        """Return minus the logarithm of the overdispersion of every feature, (d,)."""
        return self.start_log_size + self.log_ratio


class NegativeBinomial(Poisson):
    """Independent negative binomial distributions of counts.

    Parameters
    ----------
    log_rate : Tensor of shape (..., d)
        Logarithms of means.
    log_size : Tensor of shape (d,)
        Minus the logarithms of the overdispersion.

    Examples
    --------
    >>> import torch
    >>> from skae.likelihoods.negative_binomial import NegativeBinomial
    >>> geometric = NegativeBinomial(torch.zeros(1), torch.zeros(1))  # mean 1, variance 2
    >>> [round(geometric.log_prob(torch.tensor([x])).exp().item(), 4) for x in (0.0, 1.0, 2.0)]
    [0.5, 0.25, 0.125]
    """

    def __init__(self, log_rate, log_size):
        super().__init__(log_rate)
        self.log_size = log_size

    def derivatives(self, x, seen=1.0):
        """Return the score of the log-means and their Fisher information, (..., d)."""
        mean, size = self.mean, self.log_size.exp()
        share = size / (size + mean)
        return (x - mean) * share * seen, mean * share * seen

    def log_prob(self, x, seen=1.0):
        """Return the log-probability, summed over features, in nats."""
        size, log_total = self.log_size.exp(), self._log_total
        of_means = x * (self.log_rate - log_total) + size * (self.log_size - log_total)
        return ((of_means + self._of_counts(x)) * seen).sum(-1)

    def cross_log_prob(self, x, seen=None):
        """Return the log-probability of every row under every distribution, (n, d) -> (n, m)."""
        log_total = self._log_total
        of_counts = (self.log_rate - log_total).T
        of_sizes = self.log_size.exp() * (self.log_size - log_total)
        constant = self._of_counts(x)
        if seen is None:
            return x @ of_counts + of_sizes.sum(-1) + constant.sum(-1, keepdim=True)
        with_sizes = (x * seen) @ of_counts + seen @ of_sizes.T
        return with_sizes + (constant * seen).sum(-1, keepdim=True)

    @property
    def _log_total(self):
        """Logarithm of mean plus size."""
        return torch.logaddexp(self.log_rate, self.log_size.expand_as(self.log_rate))

    def _of_counts(self, x):
        size = self.log_size.exp()
        return torch.lgamma(x + size) - torch.lgamma(size) - torch.lgamma(x + 1.0)

    def from_uniform(self, uniform):
        """Map uniform numbers in (0, 1) to counts."""
        size, mean = (value.detach().cpu().numpy() for value in (self.log_size.exp(), self.mean))
        found = stats.nbinom.ppf(uniform.cpu().numpy(), size, size / (size + mean))
        return torch.as_tensor(found).to(uniform)

    def sample(self, generator):
        """Draw one count for each mean: a Poisson count with a rate from a gamma distribution."""
        size = self.log_size.exp().expand_as(self.log_rate)
        rate = torch._standard_gamma(size, generator=generator) * (self.mean / size)
        return torch.poisson(rate, generator=generator)


LIKELIHOOD = NegativeBinomialLikelihood
