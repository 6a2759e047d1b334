"""From the two paths of a decoder to the distribution of a row."""

from torch import nn


class Head(nn.Module):
    """Rows in their own units, whose natural parameters are the sum of both paths.

    Parameters
    ----------
    likelihood : Likelihood
    """

    is_normal = False

    def __init__(self, likelihood):
        super().__init__()
        self.likelihood = likelihood

    def forward(self, linear, residual):
        """The distribution of rows, from the two paths of a decoder, each (..., d)."""
        return self.likelihood.distribution(linear + residual)

    def stepwise(self, linear, following, begin):
        """The same where the second path knows the step before."""
        return self.likelihood.stepwise(linear, following, begin)
