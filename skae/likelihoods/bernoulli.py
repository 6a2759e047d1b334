"""Bernoulli distributions of values in [0, 1]."""

import torch
from torch import nn
from torch.nn import functional as F


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


class BernoulliHead(nn.Module):
    """Rows in [0, 1], in their own units, as Bernoulli probabilities.

    Parameters
    ----------
    start : skae.starts.start.Start
        Its mean and scale turn standardised rows back into what they were.
    """

    mean: torch.Tensor

    def __init__(self, start):
        super().__init__()
        mean = torch.tensor(start.mean, dtype=torch.float64)
        self.register_buffer("mean", mean, persistent=False)
        self.scale = start.scale

    def forward(self, linear, residual):
        """The distribution of rows, from the two paths of a decoder, each (..., d)."""
        return Bernoulli(linear + residual)

    def target(self, x):
        """What the distribution is of, given standardised rows."""
        return (x * self.scale + self.mean).clamp(0.0, 1.0)
