"""Bernoulli likelihood: values in [0, 1] as independent probabilities, with cross-entropy."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import entr, logit
from torch.nn import functional as F

from ._likelihood import Likelihood
from ._probabilities import check_probabilities

_ADVICE = "Scale X with MinMaxScaler(clip=True), or use likelihood='gaussian'."


@dataclass(frozen=True, eq=False)
class BernoulliLikelihood(Likelihood):
    """Rows in [0, 1] as probabilities.

    Around independent Bernoullis with means p, the score of a row is x - p and its Fisher
    information p (1 - p).
    """

    has_derivatives = True

    def check(self, X, name="X", ends=None):
        """Raise an error for values outside [0, 1]."""
        check_probabilities("bernoulli", X, name, ends, _ADVICE)

    def natural(self, mean):
        """Return the logits of probabilities."""
        return logit(mean)

    def smoothed(self, mean, n_samples):
        """Shrink means of n_samples rows away from 0 and 1, by a pseudo-row of value 0.5."""
        return (n_samples * mean + 0.5) / (n_samples + 1.0)

    def spread(self, mean):
        """Return the standard deviation of each feature."""
        return np.sqrt(mean * (1.0 - mean))

    def loss(self, x, natural):
        """Return the cross-entropy of each row, summed over features, in nats."""
        return (np.logaddexp(0.0, natural) - x * natural).sum(axis=-1)

    def least(self, x):
        """Return the lowest possible loss of each row, with its own values as means."""
        x = np.clip(x, 0.0, 1.0)
        return (entr(x) + entr(1.0 - x)).sum(axis=-1)

    def distribution(self, natural):
        """Return Bernoulli distributions."""
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

    @property
    def location(self):
        """Logits."""
        return self.logits

    def derivatives(self, x):
        """Return the score of the logits and their Fisher information, (..., d)."""
        mean = self.mean
        return x - mean, mean * (1.0 - mean)

    def error(self, x):
        """Return the cross-entropy, summed over features, in nats."""
        x = x.expand_as(self.logits)
        return F.binary_cross_entropy_with_logits(self.logits, x, reduction="none").sum(-1)

    def log_prob(self, x):
        """Return the log-probability, summed over features, in nats."""
        return -self.error(x)

    def cross_log_prob(self, x):
        """Return the log-probability of every row under every distribution, (n, d) -> (n, m)."""
        return x @ self.logits.T - F.softplus(self.logits).sum(-1)

    def sample(self, generator):
        """Draw a zero or a one for each probability."""
        return torch.bernoulli(self.mean, generator=generator)


LIKELIHOOD = BernoulliLikelihood
