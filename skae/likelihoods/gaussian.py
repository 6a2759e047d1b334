"""Gaussian likelihood: squared error, or a density with a noise variance per feature.

The distributions of this package differ from `torch.distributions` in two ways that training
needs. They draw from a `torch.Generator`. A log-density takes three operations, and is summed over
the features of a row.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ._likelihood import Likelihood

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class GaussianLikelihood(Likelihood):
    """Rows of real numbers, standardised by a single scale."""

    is_normal = True
    has_derivatives = True
    takes_gaps = True

    def head(self, start, floor=None):
        """Return the head of Gaussian distributions."""
        return GaussianHead(start, floor)

    def units(self, start):
        """Return mean and scale of the table."""
        return start.mean, start.scale

    def in_units(self, x, start):
        """Convert decoded rows to units of X."""
        return x * x.dtype.type(start.scale) + start.mean.astype(x.dtype)

    def error_unit(self, start):
        """Return the factor from half a squared error in units of the noise to one of X."""
        return 2.0 * start.noise_variance * start.scale**2

    def log_volume(self, start):
        """Return the log-Jacobian of the map from standardised rows to rows of X."""
        return len(start.mean) * math.log(start.scale)


class Gaussian:
    """Independent Gaussian distributions.

    Parameters
    ----------
    mean : Tensor of shape (..., d)
    log_std : Tensor of shape (..., d) or (d,)
    """

    def __init__(self, mean, log_std):
        self.mean = mean
        self.log_std = log_std

    @property
    def std(self):
        """Standard deviations."""
        return self.log_std.exp()

    @property
    def location(self):
        """Means."""
        return self.mean

    def derivatives(self, x, seen=None):
        """Return the score of the means and their Fisher information, (..., d)."""
        precision = torch.exp(-2.0 * self.log_std).expand_as(self.mean)
        if seen is not None:
            precision = precision * seen
        return (x - self.mean) * precision, precision

    def error(self, x, seen=None):
        """Return half the squared error in units of the noise, summed over features."""
        squares = self.squares(x)
        return self._error(squares if seen is None else squares * seen)

    def log_prob(self, x, seen=None):
        """Return the log-density, summed over features, in nats."""
        return self.log_prob_of_squares(self.squares(x), seen)

    def squares(self, x):
        """Return squared distances from the mean, (..., d)."""
        return F.mse_loss(self.mean, x.expand_as(self.mean), reduction="none")

    def log_prob_of_squares(self, squares, seen=None):
        """Return `log_prob` of values whose `squares` are known."""
        if seen is not None:
            seen = seen.to(squares.dtype)
            constants = self.log_std + _HALF_LOG_2PI
            constant = seen @ constants if constants.dim() == 1 else (constants * seen).sum(-1)
            return -self._error(squares * seen) - constant
        constant = (self.log_std + _HALF_LOG_2PI).sum(-1)
        return -self._error(squares) - constant

    def _error(self, squares):
        precision = 0.5 * torch.exp(-2.0 * self.log_std)
        if precision.dim() == 1:  # homoscedastic: a single matrix product
            return squares @ precision
        return (squares * precision).sum(-1)

    def cross_log_prob(self, x, seen=None):
        """Return the log-density of every row under every distribution, (n, d) -> (n, m)."""
        halves, weighted, constant = self._expanded
        if seen is not None:
            constants = halves * self.mean.square() + self.log_std + _HALF_LOG_2PI
            x, seen = x * seen, seen.to(x.dtype)
            return x @ weighted.T - x.square() @ halves.T - seen @ constants.T
        return torch.addmm(constant, x, weighted.T).addmm_(x.square(), halves.T, alpha=-1.0)

    @functools.cached_property
    def _expanded(self):
        """What the terms of a log-density in x squared, x and 1 are multiplied with."""
        precision = torch.exp(-2.0 * self.log_std).expand_as(self.mean)
        weighted = self.mean * precision
        constant = self.log_std.expand_as(self.mean) + _HALF_LOG_2PI
        return 0.5 * precision, weighted, -(0.5 * weighted * self.mean + constant).sum(-1)

    def moved(self, shift):
        """Return the same distributions with other means."""
        return Gaussian(self.mean + shift, self.log_std)

    def shifted(self, draw):
        """Map standard normal numbers `draw` to values of the distribution."""
        return self.mean + self.std * draw

    def from_uniform(self, uniform):
        """Map uniform numbers in (0, 1) to values of the distribution."""
        return self.shifted(torch.special.ndtri(uniform))

    def sample(self, generator):
        """Draw one value for every entry of the mean, differentiably (reparametrisation)."""
        mean = self.mean
        draw = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return self.shifted(draw)

    def draws(self, generator, n_draws):
        """Draw codes, (n_draws, ..., d), differentiably; return also their log-density."""
        like = {"dtype": self.mean.dtype, "device": self.mean.device}
        draw = torch.randn((n_draws, *self.mean.shape), generator=generator, **like)
        log_density = -(0.5 * draw.square() + self.log_std + _HALF_LOG_2PI).sum(-1)
        return self.shifted(draw), log_density

    def kl_from_standard_normal(self):
        """Return KL(self || N(0, 1)) of every entry, in nats (Kingma & Welling 2014)."""
        return 0.5 * (self.mean.square() + torch.exp(2.0 * self.log_std) - 1.0) - self.log_std


class GaussianHead(nn.Module):
    """Standardised rows with Gaussian noise.

    Parameters
    ----------
    start : skae.starts.start.Start
        Initial model. Its noise variance is the initial one, and the unit of the residual.
    floor : float or None
        Smallest noise variance that a feature may learn, relative to the initial one. None
        keeps the noise fixed.
    """

    is_normal = True
    has_columns = False
    bend = None

    def __init__(self, start, floor=None):
        super().__init__()
        self.start_log_std = 0.5 * math.log(start.noise_variance)
        self.floor = floor
        log_ratio = torch.zeros(len(start.mean), dtype=torch.float32)
        if floor is None:
            self.register_buffer("log_ratio", log_ratio, persistent=False)
        else:
            self.log_ratio = nn.Parameter(log_ratio)

    def forward(self, linear, residual):
        """Return the distribution of rows, from the two paths of a decoder, each (..., d)."""
        mean = torch.add(linear, residual, alpha=math.exp(self.start_log_std))
        return Gaussian(mean, self.log_std())

    def log_std(self):
        """Return the log standard deviation of the noise of every feature, (d,).

        It is exactly that of the initial model as long as `log_ratio` is 0.
        """
        if self.floor is None:
            return self.start_log_std + self.log_ratio
        ratio = self.floor + (1.0 - self.floor) * torch.exp(2.0 * self.log_ratio)
        return self.start_log_std + 0.5 * torch.log(ratio)


LIKELIHOOD = GaussianLikelihood
