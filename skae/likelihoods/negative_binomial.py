"""Negative binomial likelihood: counts that vary more than Poisson counts."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import stats
from scipy.special import gammaln, xlogy
from torch import nn

from .poisson import LARGEST, PoissonLikelihood, bend
from .poisson import CountsLikelihood as of_columns

_LEAST = 1e-4  # smallest overdispersion, as good as none


def overdispersion(mean, variance):
    """Return what variances have beyond means, over the squares of these."""
    return np.maximum((variance - mean) / np.square(mean), _LEAST)


@dataclass(frozen=True, eq=False)
class NegativeBinomialLikelihood(PoissonLikelihood):
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
        return replace(self, dispersion=overdispersion(mean, variance))

    def of_start(self, start):
        """Return the likelihood with the overdispersion of an initial model."""
        return replace(self, dispersion=start.dispersion)

    @property
    def overdispersion(self):
        """Overdispersion of each feature, (d,)."""
        return self.dispersion

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

    def distribution(self, natural):
        """Return negative binomial distributions, with the overdispersion of the initial model."""
        dispersion = torch.as_tensor(self.dispersion).to(natural)
        return NegativeBinomial(natural.clamp(max=LARGEST), -dispersion.log())

    def head(self, start, floor=None):
        """Return the head that learns the overdispersion of each feature."""
        return NegativeBinomialHead(self.dispersion)


class CountsLikelihood(NegativeBinomialLikelihood):
    """Counts of columns of a table, which have their mean unless that is 0."""

    smoothed = of_columns.smoothed


class NegativeBinomialHead(nn.Module):
    """Log-means that are the sum of both paths, and overdispersion that is learned.

    Parameters
    ----------
    dispersion : ndarray of shape (d,)
        Overdispersion at first.
    """

    is_normal = False
    has_columns = False
    bend = staticmethod(bend)
    start_log_size: torch.Tensor

    def __init__(self, dispersion):
        super().__init__()
        self.register_buffer("start_log_size", torch.tensor(-np.log(dispersion)), persistent=False)
        self.log_ratio = nn.Parameter(torch.zeros(len(dispersion), dtype=torch.float32))

    def forward(self, linear, residual):
        """Return the distribution of rows, from the two paths of a decoder, each (..., d)."""
        return NegativeBinomial((linear + residual).clamp(max=LARGEST), self.log_size())

    def log_size(self):
        """Return minus the logarithm of the overdispersion of every feature, (d,)."""
        return self.start_log_size + self.log_ratio


class NegativeBinomial:
    """Independent negative binomial distributions of counts.

    Parameters
    ----------
    log_mean : Tensor of shape (..., d)
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

    def __init__(self, log_mean, log_size):
        self.log_mean = log_mean
        self.log_size = log_size

    @property
    def mean(self):
        """Means."""
        return self.log_mean.exp()

    @property
    def location(self):
        """Logarithms of means."""
        return self.log_mean

    def derivatives(self, x, seen=1.0):
        """Return the score of the log-means and their Fisher information, (..., d)."""
        mean, size = self.mean, self.log_size.exp()
        share = size / (size + mean)
        return (x - mean) * share * seen, mean * share * seen

    def error(self, x, seen=1.0):
        """Return minus the log-probability, summed over features, in nats."""
        return -self.log_prob(x, seen)

    def log_prob(self, x, seen=1.0):
        """Return the log-probability, summed over features, in nats."""
        size, log_total = self.log_size.exp(), self._log_total
        of_means = x * (self.log_mean - log_total) + size * (self.log_size - log_total)
        return ((of_means + self._of_counts(x)) * seen).sum(-1)

    def cross_log_prob(self, x, seen=None):
        """Return the log-probability of every row under every distribution, (n, d) -> (n, m)."""
        log_total = self._log_total
        of_counts = (self.log_mean - log_total).T
        of_sizes = self.log_size.exp() * (self.log_size - log_total)
        constant = self._of_counts(x)
        if seen is None:
            return x @ of_counts + of_sizes.sum(-1) + constant.sum(-1, keepdim=True)
        seen = seen.to(x.dtype)
        with_sizes = (x * seen) @ of_counts + seen @ of_sizes.T
        return with_sizes + (constant * seen).sum(-1, keepdim=True)

    @property
    def _log_total(self):
        """Logarithm of mean plus size."""
        return torch.logaddexp(self.log_mean, self.log_size.expand_as(self.log_mean))

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
        size = self.log_size.exp().expand_as(self.log_mean)
        rate = torch._standard_gamma(size, generator=generator) * (self.mean / size)
        return torch.poisson(rate, generator=generator)


LIKELIHOOD = NegativeBinomialLikelihood
