"""The evidence of rows under a trained VAE, by importance sampling of codes.

The evidence p(x) is an integral over codes. It is estimated with codes drawn around the posterior
mode of each row, which a few Gauss-Newton steps find from the encoder's mean. The decoder is linear
nearby, so the covariance there is that of a linear Gaussian model, and few draws suffice. A fixed
set of draws from the prior is shared by all rows, for modes that are far from there.
"""

import math
from typing import Any, NamedTuple

import torch

# Least log-density of rows whose steps may begin at a draw from the prior. Farther out, rounding
# errors would choose the draw.
_FARTHEST = -1e10
_MOST_STEPS = 8  # the most Gauss-Newton steps
_LEAST_GAIN = 0.25  # nats that a step must promise
_LONGEST_STEP = 3.0  # in posterior standard deviations per latent dimension
_SHORTER = 0.3  # length of the next step after one that went too far
_DIFFERENCE = 0.1  # in the encoder's standard deviations, for derivatives of the decoder
# Draws have the posterior's variance times 1 + sqrt(_WIDER / k), to cover its tails.
_WIDER = 0.4
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
        if module.gaps is not None:
            return cls(*posterior.proposal())
        return cls(posterior.mean, posterior.std)

    @classmethod
    def around_modes(cls, module, x, target, seen=(), others=None):
        """Return distributions around the posterior mode of each row.

        Steps begin at the encoder's mean, or at `others`, (n, k), where the joint density is
        higher there. For rows far out they begin at the encoder's mean. Where numbers overflow,
        the result is not finite.
        """
        mean, std, _ = cls.encoded(module, x)
        state = _State.of(module, mean, x, target, seen)
        if others is not None:
            found = _State.of(module, others, x, target, seen)
            better = found.joint > state.joint.clamp(min=_FARTHEST)
            mean, state = torch.where(better[:, None], others, mean), found.where(better, state)
        mean = mean.clone()
        factor = mean.new_empty(*mean.shape, mean.shape[1])
        rows = torch.arange(len(x), device=x.device)  # that have not converged
        longest = torch.full_like(mean[:, 0], _LONGEST_STEP)
        for step in range(_MOST_STEPS + 1):
            here = mean[rows], std[rows], x[rows]
            slopes = _slopes(module, *here, state.location)
            gradient = torch.linalg.vecdot(slopes, state.score) - here[1] * here[0]
            precision = (slopes * state.information) @ slopes.mT
            precision = precision + torch.diag_embed(here[1].square())
            factor[rows] = torch.linalg.cholesky_ex(precision)[0]
            if step == _MOST_STEPS:
                break
            move = torch.cholesky_solve(gradient[..., None], factor[rows])[..., 0]
            decrement = (move * gradient).sum(-1)  # twice the gain if the decoder were linear
            goes_on = decrement > 2.0 * _LEAST_GAIN
            rows, move, state = rows[goes_on], move[goes_on], state.of_rows(goes_on)
            if not len(rows):
                break
            length = (decrement[goes_on] / mean.shape[1]).sqrt()
            share = (longest[rows] / length).clamp(max=1.0)
            moved = mean[rows] + std[rows] * move * share[:, None]
            found = _State.of(module, moved, x[rows], target[rows], [of[rows] for of in seen])
            better = found.joint > state.joint
            mean[rows] = torch.where(better[:, None], moved, mean[rows])
            longest[rows] = torch.where(better, longest[rows], _SHORTER * share * length)
            state = found.where(better, state)
        return cls(mean, std, factor / (1.0 + (_WIDER / mean.shape[1]) ** 0.5) ** 0.5)

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
    def of(cls, module, codes, x, target, seen):
        decoded = module.decode(module.given(codes, x))
        joint = decoded.log_prob(target, *seen) + log_standard_normal(codes)
        score, information = decoded.derivatives(target, *seen)
        return cls(joint, decoded.location, score[:, None, :], information[:, None, :])

    def of_rows(self, chosen):
        return _State(*(value[chosen] for value in self))

    def where(self, condition, other):
        pairs = zip(self, other, strict=True)
        chosen = [condition.view(-1, *[1] * (a.dim() - 1)) for a in self]
        return _State(*(torch.where(c, *pair) for c, pair in zip(chosen, pairs, strict=True)))


def _slopes(module, codes, std, x, location):
    """Return derivatives of the decoder's location by each code, in units of `std`, (n, k, d)."""
    steps = _DIFFERENCE * torch.diag_embed(std).transpose(0, 1).contiguous()
    moved = module.locate(module.given(codes + steps, x))
    return ((moved - location) / _DIFFERENCE).transpose(0, 1)


def evidence_bounds(module, x, target, points, prior, code_densities, seek_modes):
    """Return importance-weighted bounds on log p(x) (Burda et al. 2016), (n, m).

    Parameters
    ----------
    module : VAEModule
    x, target : Tensors
        As in a Batch of n rows. NaN in `target` is a missing entry, if the module has `gaps`.
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
    target, seen = _seen_of(module, target)
    found = _bounds(module, x, target, seen, points, prior, code_densities, seek_modes)
    failed = ~found.isfinite().all(-1)
    if seek_modes and failed.any():
        rows = x[failed], target[failed], [of[failed] for of in seen]
        found[failed] = _bounds(module, *rows, points, prior, code_densities, False)
    return found


def weighted_codes(module, x, target, points, code_density, seek_modes):
    """Draw codes from the posteriors of rows, by importance sampling.

    Parameters are those of :func:`evidence_bounds`, with one density of codes.

    Returns
    -------
    codes : Tensor of shape (n_points, n, k)
    log_weight : Tensor of shape (n_points, n)
        Their mean weight is an estimate of p(x).
    """
    target, seen = _seen_of(module, target)
    if seek_modes:
        proposal = Proposal.around_modes(module, x, target, seen)
    else:
        proposal = Proposal.encoded(module, x)
    points = points.to(x)
    codes = proposal.draw(points)
    log_code = log_standard_normal if code_density is None else code_density.log_prob
    log_joint = module.decode(module.given(codes, x)).log_prob(target, *seen) + log_code(codes)
    log_weight = log_joint - log_standard_normal(points)[:, None] + proposal.log_volume()
    failed = ~log_weight.isfinite().all(0)
    if seek_modes and failed.any():
        where = failed.nonzero()[:, 0]
        again = weighted_codes(module, x[where], target[where], points, code_density, False)
        codes[:, where], log_weight[:, where] = again
    return codes, log_weight


def _seen_of(module, target):
    """Return rows with 0 for missing entries, and which are there, as further arguments."""
    if module.gaps is None:
        return target, ()
    there = ~target.isnan()
    return torch.where(there, target, 0.0), (there,)


def _bounds(module, x, target, seen, points, prior, code_densities, seek_modes):
    decoded_prior = likeliest = None
    if prior is not None:
        decoded_prior = prior.decoded.cross_log_prob(target, *seen)
        likeliest = prior.codes[(decoded_prior + log_standard_normal(prior.codes)).argmax(1)]
    if seek_modes:
        proposal = Proposal.around_modes(module, x, target, seen, likeliest)
    else:
        proposal = Proposal.encoded(module, x)
    points = points.to(x)
    codes = proposal.draw(points)
    decoded = module.decode(module.given(codes, x)).log_prob(target, *seen)
    log_proposal = log_standard_normal(points)[:, None] - proposal.log_volume()
    if prior is None:
        total = len(points)
    else:
        total = len(points) + len(prior.codes)
        of_proposal, of_prior = math.log(len(points) / total), math.log(len(prior.codes) / total)
        log_proposal = torch.logaddexp(
            log_proposal + of_proposal, log_standard_normal(codes) + of_prior
        )
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

    `log_joint` has shape (n, m). A weight is computed only where it is not negligible.
    """
    log_weights = log_joint - log_prior  # at most, as if the proposal had no density there
    sums = torch.where(sums.isnan(), -math.inf, sums)
    largest = torch.maximum(sums, log_weights.amax(1))
    counts = log_weights > largest[:, None] + _NEGLIGIBLE
    rows, draws = counts.nonzero(as_tuple=True)
    size = _PAIRS // max(1, codes.shape[1] ** 2)
    parts = zip(rows.split(size), draws.split(size), strict=True)
    under = torch.cat([proposal.log_prob(codes[j], i) for i, j in parts]) + of_proposal
    log_weight = log_joint[rows, draws] - torch.logaddexp(under, log_prior[draws])
    n_draws = counts.sum(1)
    largest = torch.maximum(sums, torch.segment_reduce(log_weight, "max", lengths=n_draws))
    largest = torch.where(largest.isfinite(), largest, 0.0)
    weight = torch.exp(log_weight - largest[rows])
    added = torch.segment_reduce(weight, "sum", lengths=n_draws)
    return torch.log(torch.exp(sums - largest) + added) + largest


def log_standard_normal(z):
    """Return the log-density of codes under the standard normal distribution, (..., k) -> (...)."""
    return -0.5 * (z.square() + math.log(2.0 * math.pi)).sum(-1)
