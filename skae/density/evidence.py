"""The evidence of rows under a trained VAE, by importance sampling of codes.

The evidence p(x) is an integral over codes. It is estimated with codes drawn around the posterior
mode of each row, which a few Gauss-Newton steps find from the encoder's mean. The decoder is linear
nearby, so the covariance there is that of a linear Gaussian model, and few draws suffice. A fixed
set of draws from the prior is shared by all rows, for modes that are far from there.
"""

import math
from typing import Any, NamedTuple

import torch

_MOST_STEPS = 8  # the most Gauss-Newton steps
_CONVERGED = 0.5  # expected gain in nats, times 2, below which a step is not taken
_LONGEST_STEP = 3.0  # in posterior standard deviations per latent dimension
_SHORTER = 0.3  # length of the next step after one that went too far
_DIFFERENCE = 0.1  # in the encoder's standard deviations, for derivatives of the decoder
_WIDER = 0.4  # sum over codes of the squared excess of the draws' variance over the posterior's
_NEGLIGIBLE = -25.0  # log-weight of a prior draw, relative to the largest weight of its row
_PAIRS = 2**22  # the most values of arrays of pairs of a row and a prior draw


class PriorDraws(NamedTuple):
    """Codes drawn from the prior, and the distributions of rows given each.

    Parameters
    ----------
    codes : Tensor of shape (m, k)
    decoded : skae.likelihoods._likelihood.Distribution
    """

    codes: torch.Tensor
    decoded: Any

    @classmethod
    def of(cls, module, points, x):
        """Decode points, (m, k), for rows x that all have the same conditions."""
        points = points.to(x)
        return cls(points, module.decode(module.given(points, x[:1])))


class Proposal(NamedTuple):
    """Gaussian distributions of codes to draw from, one for each of n rows.

    Parameters
    ----------
    mean, std : Tensors of shape (n, k)
    factor : Tensor of shape (n, k, k) or None
        Lower triangular factor of the inverse covariance of ``(z - mean) / std``. None for the
        identity.
    """

    mean: torch.Tensor
    std: torch.Tensor
    factor: torch.Tensor | None = None

    @classmethod
    def encoded(cls, module, x):
        """Return the encoder's posterior of each row."""
        posterior = module.encode(x)
        return cls(posterior.mean, posterior.std)

    @classmethod
    def around_modes(cls, module, x, target):
        """Return distributions around the posterior mode of each row.

        The encoder's posterior is where the steps begin.
        """
        start, std = cls.encoded(module, x)[:2]
        mean = start.clone()
        factor = torch.eye(mean.shape[1]).to(x).expand(*mean.shape, -1).clone()
        rows = torch.arange(len(x), device=x.device)  # that have not converged
        state = _State.of(module, mean, x, target)
        longest = torch.full_like(mean[:, 0], _LONGEST_STEP)
        for step in range(_MOST_STEPS + 1):
            here = mean[rows], std[rows], x[rows]
            slopes = _slopes(module, *here, state.location)
            gradient = torch.linalg.vecdot(slopes, state.score) - here[1] * here[0]
            weighted = slopes * state.information
            precision = weighted @ slopes.mT + torch.diag_embed(here[1].square())
            factor[rows] = lower = torch.linalg.cholesky_ex(precision)[0]
            if step == _MOST_STEPS:
                break
            move = torch.cholesky_solve(gradient[..., None], lower)[..., 0]
            expected = (move * gradient).sum(-1)
            length = (expected / mean.shape[1]).sqrt()
            share = (longest[rows] / length).clamp(max=1.0)
            moved = here[0] + here[1] * move * share[:, None]
            found = _State.of(module, moved, here[2], target[rows])
            better, goes_on = found.joint > state.joint, expected > _CONVERGED
            mean[rows] = torch.where((better & goes_on)[:, None], moved, here[0])
            longest[rows] = torch.where(better, longest[rows], _SHORTER * share * length)
            state = found.where(better, state).of_rows(goes_on)
            rows = rows[goes_on]
            if not len(rows):
                break
        # Rows so far out that derivatives overflow keep the encoder's posterior.
        sound = factor.isfinite().all(-1).all(-1) & mean.isfinite().all(-1)
        mean = torch.where(sound[:, None], mean, start)
        identity = torch.eye(mean.shape[1]).to(x)
        factor = factor / _width(mean.shape[1])
        return cls(mean, std, torch.where(sound[:, None, None], factor, identity))

    def draw(self, points):
        """Map standard normal points, (m, k), to codes of each row, (m, n, k)."""
        if self.factor is None:
            return self.mean + self.std * points[:, None, :]
        rows = points.T.expand(len(self.mean), -1, -1)
        scaled = torch.linalg.solve_triangular(self.factor.mT, rows, upper=True)
        return self.mean + self.std * scaled.permute(2, 0, 1).contiguous()

    def log_volume(self):
        """Return the log-determinant of the map from points to codes, (n,)."""
        volume = self.std.log().sum(-1)
        if self.factor is None:
            return volume
        return volume - self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, codes, rows):
        """Return the log-density of codes, (m, k), of these rows, (m,)."""
        points = (codes - self.mean[rows]) / self.std[rows]
        if self.factor is not None:
            points = (points[:, None, :] @ self.factor[rows])[:, 0]
        return log_standard_normal(points) - self.log_volume()[rows]


class _State(NamedTuple):
    """Where the codes of rows are: the joint log-density, and what its derivatives need."""

    joint: torch.Tensor
    location: torch.Tensor
    score: torch.Tensor
    information: torch.Tensor

    @classmethod
    def of(cls, module, codes, x, target):
        decoded = module.decode(module.given(codes, x))
        joint = decoded.log_prob(target) + log_standard_normal(codes)
        score, information = decoded.derivatives(target)
        return cls(joint, decoded.location, score[:, None, :], information[:, None, :])

    def of_rows(self, chosen):
        return _State(*(value[chosen] for value in self))

    def where(self, condition, other):
        pairs = zip(self, other, strict=True)
        chosen = [condition.view(-1, *[1] * (a.dim() - 1)) for a in self]
        return _State(*(torch.where(c, *pair) for c, pair in zip(chosen, pairs, strict=True)))


def _width(k):
    """Return the standard deviation of draws of k codes, relative to the posterior's."""
    return (1.0 + (_WIDER / k) ** 0.5) ** 0.5


def _excess(points):
    """Return by how much these points overestimate log p(x) if the decoder is linear, in nats."""
    k = points.shape[1]
    log_weights = log_standard_normal(_width(k) * points) - log_standard_normal(points)
    return torch.logsumexp(log_weights, 0) + k * math.log(_width(k)) - math.log(len(points))


def _slopes(module, codes, std, x, location):
    """Return derivatives of the decoder's location by each code, in units of `std`, (n, k, d)."""
    steps = _DIFFERENCE * torch.diag_embed(std).transpose(0, 1).contiguous()
    return module.slopes(codes, steps, x, location).transpose(0, 1).to(codes) / _DIFFERENCE


def log_evidence(module, x, target, points, prior, code_densities, seek_modes):
    """Return the importance-weighted bound on log p(x) (Burda et al. 2016), (n, m).

    Parameters
    ----------
    module : VAEModule
    x, target : Tensors
        As in a Batch of n rows.
    points : Tensor of shape (n_points, k)
        Standard normal points.
    prior : PriorDraws or None
        Further draws for all rows. The two kinds are combined with the balance heuristic (Veach &
        Guibas 1995).
    code_densities : list of length m
        Densities of codes; None is the prior. They share the decoded draws.
    seek_modes : bool
        Whether codes are drawn around posterior modes. If False, they are drawn from the encoder's
        posterior. If that is exact, the bound is log p(x), with the prior as the density of codes.
    """
    if seek_modes and points.shape[1]:
        proposal = Proposal.around_modes(module, x, target)
    else:
        proposal = Proposal.encoded(module, x)
    points = points.to(x)
    codes = proposal.draw(points)
    decoded = module.log_likelihood(proposal.mean, codes - proposal.mean, x, target)
    log_proposal = log_standard_normal(points)[:, None] - proposal.log_volume()
    if proposal.factor is not None:
        log_proposal = log_proposal + _excess(points)
    if prior is None:
        total = len(points)
    else:
        total = len(points) + len(prior.codes)
        of_proposal, of_prior = math.log(len(points) / total), math.log(len(prior.codes) / total)
        log_proposal = torch.logaddexp(
            log_proposal + of_proposal, log_standard_normal(codes) + of_prior
        )
        decoded_prior = prior.decoded.cross_log_prob(target)
    bounds = []
    for density in code_densities:
        log_code = log_standard_normal if density is None else density.log_prob
        sums = torch.logsumexp(decoded + log_code(codes) - log_proposal, 0)
        if prior is not None:
            log_joint = decoded_prior + log_code(prior.codes)
            log_prior = log_standard_normal(prior.codes) + of_prior
            sums = _with_prior(sums, log_joint, log_prior, proposal, of_proposal, prior.codes)
        bounds.append(sums - math.log(total))
    return torch.stack(bounds, -1)


def _with_prior(sums, log_joint, log_prior, proposal, of_proposal, codes):
    """Add the weights of prior draws to log-sums of weights, (n,).

    The density of the proposal is computed only for pairs of a row and a draw, `log_joint` is
    (n, m), whose weight is not negligible.
    """
    log_weights = log_joint - log_prior  # at most, as if the proposal had no density there
    largest = torch.maximum(sums.nan_to_num(-math.inf), log_weights.amax(1))
    rows, draws = (log_weights > largest[:, None] + _NEGLIGIBLE).nonzero(as_tuple=True)
    largest = torch.where(largest.isfinite(), largest, 0.0)
    added = torch.exp(sums - largest)
    for of_rows, of_draws in _parts(rows, draws, _PAIRS // max(1, codes.shape[1] ** 2)):
        under = proposal.log_prob(codes[of_draws], of_rows) + of_proposal
        log_weight = log_joint[of_rows, of_draws] - torch.logaddexp(under, log_prior[of_draws])
        added.index_add_(0, of_rows, torch.exp(log_weight - largest[of_rows]))
    return added.log() + largest


def _parts(rows, draws, size):
    return zip(rows.split(size), draws.split(size), strict=True)


def log_standard_normal(z):
    """Return the log-density of codes under the standard normal distribution, (..., k) -> (...)."""
    return -0.5 * (z.square() + math.log(2.0 * math.pi)).sum(-1)
