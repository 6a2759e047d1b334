"""The contract of a likelihood: what starts, networks and estimators ask of it."""

from dataclasses import dataclass
from typing import Any, Protocol


class Distribution(Protocol):
    """Independent distributions of the features of a row, as tensors.

    Densities are summed over features, in nats.
    """

    @property
    def mean(self) -> Any:
        """Means, (..., d)."""

    def error(self, x) -> Any:
        """Minus `log_prob`, as far as it depends on the distribution, (...,)."""

    def log_prob(self, x) -> Any:
        """Log-probability or log-density of rows, (..., d) -> (...)."""

    def cross_log_prob(self, x) -> Any:
        """That of every row under every distribution, (n, d) -> (n, m)."""

    def sample(self, generator) -> Any:
        """One draw from each, (..., d), by a torch.Generator."""


@dataclass(frozen=True)
class Likelihood:
    """Rows of independent features, each of a one-parameter exponential family.

    A subclass says what rows may be, what a mean is to a linear model, and which distribution a
    decoded row has. The start is then PCA of standardised scores around independent features
    (`x - mean` over its standard deviation under the model, :meth:`spread`), which is what an
    autoencoder of these rows is to second order.

    Notes
    -----
    Methods that take arrays compute in numpy, and are used before training. :meth:`distribution`
    is torch's side. The module of a likelihood may import torch: it is imported by `fit`.
    """

    # Whether rows are real numbers with normal noise, whose scale is that of the table. Then the
    # start is PCA itself, and errors are squared errors in units of X.
    is_normal = False
    # Whether a row is made of steps, whose values belong together.
    has_steps = False

    @property
    def name(self):
        """What messages call it."""
        return type(self).__module__.rpartition(".")[2]

    def of_rows(self, row):
        """The likelihood of rows of this shape, a tuple."""
        return self

    def check(self, X, name="X", ends=None):
        """Raise a ValueError where rows are not what this is a likelihood of.

        Parameters
        ----------
        X : ndarray or Stream of shape (n_samples, n_features)
        name : str
            What messages call X.
        ends : pair of floats or None
            Its lowest and its highest value, where these are known.
        """

    def natural(self, mean):
        """The parameter that a linear model adds up, such as a logit, of means."""
        raise NotImplementedError

    def smoothed(self, mean, n_samples):
        """Means of so many rows, kept off values that have no natural parameter."""
        return mean

    def spread(self, mean):
        """Standard deviation of each feature at these means: the root of the information."""
        raise NotImplementedError

    def loss(self, x, natural):
        """Minus the log-likelihood of each row in nats, (..., d) and (..., d) -> (...)."""
        raise NotImplementedError

    def least(self, x):
        """The loss of each row whose means are its own values: the lowest that there is."""
        raise NotImplementedError

    def distribution(self, natural):
        """The :class:`Distribution` of decoded rows, from a tensor of natural parameters."""
        raise NotImplementedError

    def head(self, start, floor=None):
        """The torch module that makes a distribution of a decoder's two paths.

        `floor` is the least share of the start's noise variance that noise may come down to as
        it is learned, for likelihoods with noise.
        """
        from ._head import Head

        return Head(self)

    def units(self, start):
        """What is taken off rows of X, and what they are divided by, for the distribution.

        Numbers, or arrays of shape (d,).
        """
        return 0.0, 1.0

    def in_units(self, x, start):
        """Decoded rows in units of X, from what a module returns."""
        return x

    def error_unit(self, start):
        """What the error of a row is multiplied by to be reported."""
        return 1.0

    def log_volume(self, start):
        """Log of the volume of X that a unit of volume of decoded rows takes."""
        return 0.0
