"""The last part of a decoder: the distribution of a row from the decoder's two paths."""

from torch import nn


class Head(nn.Module):
    """A head whose natural parameters are the sum of the linear and the residual path.

    Parameters
    ----------
    likelihood : Likelihood
    """

    is_normal = False
    has_columns = False  # whether it is of a table with columns of several kinds

    def __init__(self, likelihood):
        super().__init__()
        self.likelihood = likelihood

    @property
    def bend(self):
        """What becomes of the effect of codes in the linear path, or None."""
        return self.likelihood.bend

    def forward(self, linear, residual):
        """Return the distribution of rows, from the two paths of a decoder, each (..., d)."""
        return self.likelihood.distribution(linear + residual)

    def stepwise(self, linear, following, begin):
        """Return the distribution of rows if the second path reads the previous step."""
        return self.likelihood.stepwise(linear, following, begin)
