"""The interface of a likelihood, used by initial models, networks and estimators."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol


class Distribution(Protocol):
    """Independent distributions of the features of a row, as tensors.

    Log-densities are summed over features, in nats.
    """

    @property
    def mean(self) -> Any:
        """Means, (..., d)."""

    def error(self, x, *seen) -> Any:
        """Return minus `log_prob`, without terms that do not depend on the distribution, (...,)."""

    def log_prob(self, x, *seen) -> Any:
        """Return the log-probability or log-density of rows, (..., d) -> (...).

        Where a likelihood `takes_gaps`, `seen` may be a tensor of bools, (..., d): the features to
        sum over. The same holds for the other methods.
        """

    def cross_log_prob(self, x, *seen) -> Any:
        """Return that of every row under every distribution, (n, d) -> (n, m)."""

    def sample(self, generator) -> Any:
        """Draw one row from each, (..., d), with a torch.Generator."""


class Located(Distribution, Protocol):
    """Distributions that tell how their log-density changes with what a decoder returns."""

    @property
    def location(self) -> Any:
        """Parameters that the decoder returns: means, logits, logarithms of rates, (..., d)."""

    def derivatives(self, x, *seen) -> Any:
        """Return the derivative of `log_prob` by `location`, and its Fisher information.

        Both have shape (..., d). They need to hold only for changes of `location` that a decoder
        can make: log-probabilities, for example, change so that probabilities sum to 1.
        """


@dataclass(frozen=True, eq=False)
class Likelihood:
    """A likelihood of independent features, each from a one-parameter exponential family.

    A subclass defines which rows are valid, the natural parameter of a mean, and the distribution
    of a decoded row. The initial model is then PCA of standardised scores around independent
    features: `x - mean` divided by its standard deviation under the model, :meth:`spread`. To
    second order, this is the optimal linear autoencoder of such rows.

    Notes
    -----
    Methods that take arrays compute in numpy and are used before training. :meth:`distribution`
    uses torch. The module of a likelihood may import torch, since it is imported by `fit`.
    """

    # Whether rows are real numbers with Gaussian noise, on the scale of the table. Then the initial
    # model is PCA itself, and errors are squared errors in units of X squared.
    is_normal = False
    # Whether a row consists of steps, whose values belong together.
    has_steps = False
    # Whether distributions have a `location` and its `derivatives`. `score_samples` then needs
    # fewer draws, as it draws codes around the posterior mode of a row.
    has_derivatives = False
    # What becomes of the effect of codes on natural parameters in the linear path, tensors
    # (..., d). None leaves it as it is.
    bend: ClassVar[Any] = None
    # Overdispersion of counts, (d,), which the initial model keeps.
    dispersion = None
    # Whether entries of rows may be missing. Distributions then take `seen`.
    takes_gaps = False

    def __eq__(self, other):
        """Whether two likelihoods are the same, also where a subclass is no dataclass."""
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash(type(self))

    def of_rows(self, row):
        """Return the likelihood of rows of this shape, a tuple."""
        return self

    def of_moments(self, mean, variance, n_samples):
        """Return the likelihood of a table of n_samples rows with these moments, (d,)."""
        return self

    def of_start(self, start):
        """Return the likelihood with what the initial model says of its parameters."""
        return self

    def n_decoded(self, n_features):
        """Return how many numbers a decoder network returns for a row."""
        return n_features

    def check(self, X, name="X", ends=None):
        """Raise a ValueError if rows are outside the support of the likelihood.

        Parameters
        ----------
        X : ndarray or Stream of shape (n_samples, n_features)
        name : str
            Name of X in messages.
        ends : pair of floats or None
            Minimum and maximum of X, if they are known.
        """

    def natural(self, mean):
        """Return the natural parameters of means, such as logits."""
        raise NotImplementedError

    def smoothed(self, mean, n_samples):
        """Shrink means of n_samples rows away from values without a natural parameter."""
        return mean

    def spread(self, mean):
        """Return the standard deviation of each feature: the root of the Fisher information."""
        raise NotImplementedError

    def effect(self, scores, mean):
        """Return what standardised scores, (..., d), add to natural parameters at these means.

        With the canonical link, whose derivative is 1 / `spread` squared, that is scores over
        `spread`. Another link has its own: scores times `spread` times its derivative.
        """
        return scores / self.spread(mean)

    def bent(self, effect):
        """Return the effect of codes on natural parameters as the linear path adds it, (..., d)."""
        if self.bend is None:
            return effect
        import torch

        return self.bend(torch.from_numpy(effect)).numpy()

    def given(self, weights):
        """Return the likelihood of rows whose linear path has these weights, (k, d).

        It may leave to the noise what the path does not explain.
        """
        return self

    @property
    def noise(self):
        """Variance of scores given the code, (d,). None stands for 1, their Fisher information."""
        return None

    def frequencies(self, mean):
        """Return the frequencies of levels that decoded rows should have, given the mean of rows.

        None stands for any.
        """
        return None

    def offsets(self, start):
        """Return what an initial model adds to decoded rows to have these frequencies, or None."""
        return None

    def loss(self, x, natural):
        """Return minus the log-likelihood of each row in nats, (..., d), (..., d) -> (...)."""
        raise NotImplementedError

    def least(self, x):
        """Return the lowest possible loss of each row, with its own values as means."""
        raise NotImplementedError

    def distribution(self, natural):
        """Return the :class:`Distribution` of decoded rows, from a tensor of natural parameters."""
        raise NotImplementedError

    def head(self, start, floor=None):
        """Return the torch module that maps a decoder's two paths to a distribution.

        For likelihoods with a noise variance, `floor` is its smallest learned value, relative to
        that of the initial model.
        """
        from ._head import Head

        return Head(self)

    def units(self, start):
        """Return the offset and the scale that standardise rows of X for the distribution.

        They are numbers, or arrays of shape (d,).
        """
        return 0.0, 1.0

    def in_units(self, x, start):
        """Convert the decoded rows that a module returns to units of X."""
        return x

    def error_unit(self, start):
        """Return the factor that converts the error of a row to the reported one."""
        return 1.0

    def log_volume(self, start):
        """Return the log-Jacobian of the map from standardised rows to rows of X."""
        return 0.0
