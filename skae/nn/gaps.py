"""Rows with gaps, as torch modules read them: filled in, with the posterior of each pattern."""

import math

import torch

from ..devices import has_float64
from ..starts.normal import LowRank

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
        normal = start.of_inputs
        effects = start.decoder[start.latent_dim :]
        self.arrays = normal.weights, normal.noise, normal.mean, effects
        self.known = {}  # distribution, mean and effects of conditions, as tensors by device

    def fill(self, x):
        """Fill in standardised rows, with NaN for missing entries, (n, d + q).

        Returns
        -------
        filled : Tensor of shape (n, d + q)
        root : Tensor of shape (n, k, k)
            Of the covariance of the codes: see :meth:`skae.starts.normal.LowRank.given`.
        """
        there = x.device
        dtype = torch.float64 if has_float64(str(there)) else x.dtype
        if there not in self.known:
            parts = [torch.tensor(a, dtype=dtype, device=there) for a in self.arrays]
            self.known[there] = LowRank(parts[0], parts[1], torch), *parts[2:]
        low_rank, mean, effects = self.known[there]
        d = low_rank.weights.shape[1]
        rows, conditions = x[:, :d].to(dtype), x[:, d:]
        if len(effects):
            mean = mean + conditions.to(dtype) @ effects
        seen = ~rows.isnan()
        deviations = torch.where(seen, rows - mean, 0.0)
        codes, root = low_rank.given(deviations, seen.to(dtype))
        filled = torch.where(seen, rows, mean + codes @ low_rank.weights).to(x.dtype)
        return torch.cat([filled, conditions], 1), root.to(x.dtype)


def hide(x, seen, generator):
    """Hide further entries of a quarter of the rows: up to 70 % of those that are seen."""
    draw = torch.rand((len(x), 2), generator=generator, device=x.device)
    rate = _MOST_HIDDEN * draw[:, :1] * (draw[:, 1:] < _SHARE)
    hidden = torch.rand(seen.shape, generator=generator, device=x.device) < rate
    rows = torch.where(hidden, torch.nan, x[:, : seen.shape[1]])
    return torch.cat([rows, x[:, seen.shape[1] :]], 1)


class GapPosterior:
    """Normal posterior of the codes of rows with gaps, whose covariances depend on the pattern.

    A draw is ``mean + root @ e`` with standard normal e.

    Parameters
    ----------
    initial : Tensor of shape (n, k)
        Mean under the initial model.
    shift : Tensor of shape (n, k)
        What is added to the mean, in units of the initial root.
    log_std : Tensor of shape (n, k)
        Logarithm of the factors of the root's columns. 0 for the initial model.
    root : Tensor of shape (n, k, k)
        Of the covariance under the initial model, upper triangular.
    """

    def __init__(self, initial, shift, log_std, root):
        self.mean = initial + (root @ shift[..., None])[..., 0]
        self.root = root * log_std.exp()[:, None, :]

    def draws(self, generator, n_draws):
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
        log_volume = self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_density = -0.5 * (draw.square() + _LOG_2PI).sum(1) - log_volume[:, None]
        return self.mean + (self.root @ draw).permute(2, 0, 1), log_density.T

    @property
    def std(self):
        """Standard deviation of every code, (n, k)."""
        return self.root.square().sum(-1).sqrt()

    def kl_from_standard_normal(self):
        """Return the KL divergence of every code by itself from N(0, 1), in nats, (n, k)."""
        variance = self.std.square()
        return 0.5 * (self.mean.square() + variance - 1.0 - variance.log())

    def proposal(self):
        """Return mean, std and factor, as :class:`skae.density.evidence.Proposal` has them."""
        std = self.std
        return self.mean, std, torch.linalg.inv(self.root / std[..., None]).mT
