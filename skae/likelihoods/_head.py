"""From the two paths of a decoder to the distribution of a row."""

import torch
from torch import nn


class Head(nn.Module):
    """Rows in their own units, whose natural parameters are the sum of both paths.

    Parameters
    ----------
    likelihood : Likelihood
    start : skae.starts.start.Start
        Its mean and scale turn standardised rows back into what they were.
    """

    is_normal = False
    mean: torch.Tensor

    def __init__(self, likelihood, start):
        super().__init__()
        mean = torch.tensor(start.mean, dtype=torch.float64)
        self.register_buffer("mean", mean, persistent=False)
        self.scale = start.scale
        self.likelihood = likelihood

    def forward(self, linear, residual):
        """The distribution of rows, from the two paths of a decoder, each (..., d)."""
        return self.likelihood.distribution(linear + residual)

    def target(self, x):
        """What the distribution is of, given standardised rows."""
        return self.likelihood.clipped(x * self.scale + self.mean)

    def stepwise(self, linear, following, begin):
        """The same where the second path knows the step before."""
        return self.likelihood.stepwise(linear, following, begin)
