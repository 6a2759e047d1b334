"""Values in [0, 1] as probabilities, each by itself: cross-entropy."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import entr, logit
from torch.nn import functional as F

from ._likelihood import Likelihood
from ._probabilities import check_probabilities

_ADVICE = "Scale X with MinMaxScaler(clip=True), or use likelihood='gaussian'."


@dataclass(frozen=True)
class BernoulliLikelihood(Likelihood):
    """Rows in [0, 1] as probabilities.

    Around independent Bernoullis with means p, the score of a row is x - p and its Fisher
    information p (1 - p).
    """

    def check(self, X, name="X", ends=None):
        """Refuse values that are not in [0, 1]."""
        check_probabilities("bernoulli", X, name, ends, _ADVICE)

    def natural(self, mean):
        """Logits of probabilities."""
        return logit(mean)

    def smoothed(self, mean, n_samples):
        """Means of so many rows, kept off both ends by half a row."""
        return (n_samples * mean + 0.5) / (n_samples + 1.0)

    def spread(self, mean):
        """Standard deviation of each feature."""
        return np.sqrt(mean * (1.0 - mean))

    def loss(self, x, natural):
        """Cross-entropy of each row, summed over features, in nats."""
        return (np.logaddexp(0.0, natural) - x * natural).sum(axis=-1)

    def least(self, x):
        """The loss of each row under its own values, the lowest that there is."""
        x = np.clip(x, 0.0, 1.0)
        return (entr(x) + entr(1.0 - x)).sum(axis=-1)

    def distribution(self, natural):
        """Bernoulli distributions."""
        return Bernoulli(natural)


class Bernoulli:
    """Independent Bernoulli distributions of values in [0, 1].

    Parameters
    ----------
    logits : Tensor of shape (..., d)
    """

    def __init__(self, logits):
        self.logits = logits

    @property
    def mean(self):
        """Probabilities."""
        return torch.sigmoid(self.logits)

    def error(self, x):
        """Cross-entropy, summed over features, in nats."""
        x = x.expand_as(self.logits)
        return F.binary_cross_entropy_with_logits(self.logits, x, reduction="none").sum(-1)

    def log_prob(self, x):
        """Log-probability, summed over features, in nats."""
        return -self.error(x)

    def cross_log_prob(self, x):
        """Log-probability of every row under every distribution, (n, d) -> (n, m)."""
        return x @ self.logits.T - F.softplus(self.logits).sum(-1)

    def sample(self, generator):
        """Zeros and ones, one for each probability."""
        return torch.bernoulli(self.mean, generator=generator)


LIKELIHOOD = BernoulliLikelihood
