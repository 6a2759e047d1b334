"""Rows with gaps, as torch modules read them: filled in, with the posterior of each pattern."""

import math

import torch

from ..devices import has_float64
from ..starts.normal import given_seen, units

_SHARE = 0.25  # fraction of the rows in training of which further entries are hidden
_LOG_2PI = math.log(2.0 * math.pi)
_MOST_HIDDEN = 0.7  # the most that are hidden, as a fraction


class Gaps:
    """Conditional means of missing entries under the normal distribution of an initial model.

    A filled row has the code that the linear encoder of probabilistic PCA gives to the entries
    that are seen: the posterior mean, whatever is missing.

    Parameters
    ----------
    start : skae.starts.start.Start
    """

    def __init__(self, start):
        weights, noise = start.normal()
        q = len(start.decoder) - len(weights)
        effects = start.decoder[len(weights) :]
        self.n_conditions = q
        self.arrays = weights, noise, units(weights, noise), start.decoder_bias, effects
        self.known = {}  # tensors by device

    def fill(self, x):
        """Fill in standardised rows, with NaN for missing entries, (n, d + q).

        Returns
        -------
        filled : Tensor of shape (n, d + q)
        factor : Tensor of shape (n, k, k)
            See :func:`skae.starts.normal.given_seen`.
        unit : Tensor of shape (k,)
        """
        there = x.device
        dtype = torch.float64 if has_float64(str(there)) else x.dtype
        if there not in self.known:
            self.known[there] = [torch.tensor(a, dtype=dtype, device=there) for a in self.arrays]
        weights, noise, unit, bias, effects = self.known[there]
        d = weights.shape[1]
        rows, conditions = x[:, :d].to(dtype), x[:, d:]
        mean = bias + conditions.to(dtype) @ effects if self.n_conditions else bias
        seen = ~rows.isnan()
        deviations = torch.where(seen, rows - mean, 0.0)
        codes, factor = given_seen(weights, noise, unit, deviations, seen.to(dtype), torch)
        filled = torch.where(seen, rows, mean + codes @ weights).to(x.dtype)
        return torch.cat([filled, conditions], 1), factor.to(x.dtype), unit.to(x.dtype)


def hide(x, seen, generator):
    """Hide further entries of a quarter of the rows: up to 70 % of those that are seen."""
    draw = torch.rand((len(x), 2), generator=generator, device=x.device)
    rate = _MOST_HIDDEN * draw[:, :1] * (draw[:, 1:] < _SHARE)
    hidden = torch.rand(seen.shape, generator=generator, device=x.device) < rate
    rows = torch.where(hidden, torch.nan, x[:, : seen.shape[1]])
    return torch.cat([rows, x[:, seen.shape[1] :]], 1)


class GapPosterior:
    """Normal posterior of the codes of rows with gaps, whose covariances depend on the pattern.

    A draw is ``mean + unit * inverse(factor).T @ (exp(log_std) * e)`` with standard normal e.

    Parameters
    ----------
    mean : Tensor of shape (n, k)
    log_std : Tensor of shape (n, k)
        0 for the posterior of the initial model.
    factor : Tensor of shape (n, k, k)
    unit : Tensor of shape (k,)
    """

    def __init__(self, mean, log_std, factor, unit):
        self.mean = mean
        self.log_std = log_std
        self.factor = factor
        self.unit = unit

    def scaled(self, values):
        """Map vectors in units of the posterior, (n, k), to codes."""
        return self.unit * _across(self.factor, values[..., None])[..., 0]

    def sample(self, generator, n_draws):
        """Draw codes, differentiably.

        Returns
        -------
        codes : Tensor of shape (n_draws, n, k)
        log_density : Tensor of shape (n_draws, n)
            Of these codes under the posterior.
        """
        n, k = self.mean.shape
        like = {"dtype": self.mean.dtype, "device": self.mean.device}
        draw = torch.randn((n, k, n_draws), generator=generator, **like)
        away = _across(self.factor, self.log_std.exp()[..., None] * draw)
        log_density = -0.5 * (draw.square() + _LOG_2PI).sum(1) - self._log_volume[:, None]
        codes = self.mean + self.unit * away.permute(2, 0, 1)
        return codes, log_density.T

    @property
    def root(self):
        """A root of the covariance, (n, k, k)."""
        inverse = torch.linalg.inv(self.factor).mT
        return self.unit[:, None] * inverse * self.log_std.exp()[:, None, :]

    @property
    def _log_volume(self):
        diagonal = self.factor.diagonal(dim1=-2, dim2=-1)
        return (self.log_std + self.unit.log() - diagonal.log()).sum(-1)

    @property
    def std(self):
        """Standard deviation of every code, (n, k)."""
        return self.root.square().sum(-1).sqrt()

    def kl_from_standard_normal(self):
        """Return the KL divergence of every code by itself from N(0, 1), in nats, (n, k)."""
        variance = self.std.square()
        return 0.5 * (self.mean.square() + variance - 1.0 - variance.log())

    def proposal(self):
        """Return mean, unit and factor, as :class:`skae.density.evidence.Proposal` has them."""
        factor = self.factor * torch.exp(-self.log_std)[:, None, :]
        return self.mean, self.unit.expand_as(self.mean), factor


def _across(factor, values):
    """Solve ``factor.T @ out = values`` for every row, (n, k, m)."""
    return torch.linalg.solve_triangular(factor.mT, values, upper=True)
