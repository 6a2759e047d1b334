"""Rows with columns of several kinds, each with a distribution of its own."""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.special import gammaln
from torch import nn

from ..density.points import normal_points
from ._likelihood import Likelihood
from .gaussian import Gaussian
from .poisson import Poisson

_FLOOR = 1e-4  # smallest noise variance that is learned, relative to that
_LEAST_LEFT = 0.05  # the least that is left of the variance of a score, at first
_N_CODES, _ROUNDS = 1024, 30  # to correct frequencies
_LARGEST = 30.0  # log-rate


@dataclass(frozen=True, eq=False)
class MixedLikelihood(Likelihood):
    """Encoded rows of a table, as :class:`skae.data.columns.Columns` makes them.

    Numbers come first: `n_counts` counts, then `n_normal` standardised numbers with Gaussian noise,
    then the scores of discrete columns. Indicators of categories come last.

    Before training, a discrete column with scores s has the logits ``log(shares) + (m s - w^2 s^2 /
    2) / (1 - w^2)``, where m is what the linear path returns and w^2 its variance. If scores are
    normal, m and 1 - w^2 are mean and variance given the code, and the column keeps its
    frequencies: this is a Gaussian copula. A category keeps its own approximately, as w^2 / 2 is
    subtracted from its logit.

    Parameters
    ----------
    n_counts, n_normal : int
    scored : tuple of dicts
        "edges", "scores" and "shares" of discrete columns that are encoded as one number.
    sizes : tuple of int
        Numbers of levels of the columns that are encoded as indicators.
    weights : ndarray of shape (k, d) or None
        Of the linear path of a decoder. Given the code, a standardised number of which the path
        explains the variance w^2 has the variance 1 - w^2.
    """

    n_counts: int = 0
    n_normal: int = 0
    scored: tuple = ()
    sizes: tuple = ()
    weights: Any = None

    has_derivatives = True
    takes_gaps = True

    @property
    def n_numbers(self):
        """Number of columns that are encoded as one number."""
        return self.n_counts + self.n_normal + len(self.scored)

    @property
    def n_levels(self):
        """Numbers of levels of all discrete columns."""
        return (*(len(column["shares"]) for column in self.scored), *self.sizes)

    def shares(self, mean):
        """Return the frequencies of all levels of discrete columns, given the mean of rows."""
        *_, indicators = self._parts(mean)
        return np.concatenate([*(column["shares"] for column in self.scored), indicators])

    def n_decoded(self, n_features):
        return self.n_counts + self.n_normal + sum(self.n_levels)

    def _parts(self, values):
        """Split an array along its last axis: counts, standardised numbers, scores, indicators."""
        ends = np.cumsum([self.n_counts, self.n_normal, len(self.scored)])
        return np.split(values, ends, axis=-1)

    def natural(self, mean):
        counts, normal, scores, indicators = self._parts(mean)
        parts = np.log(counts), normal, np.zeros_like(scores), np.log(indicators)
        return np.concatenate(parts, axis=-1)

    def smoothed(self, mean, n_samples):
        counts, normal, scores, indicators = self._parts(mean)
        # Every level occurs, and only an estimate from rows with gaps may be 0.
        least = 0.5 / (n_samples + 1.0)
        counts, indicators = np.maximum(counts, least), np.maximum(indicators, least)
        return np.concatenate([counts, normal, scores, indicators], axis=-1)

    def spread(self, mean):
        counts, normal, scores, indicators = self._parts(mean)
        parts = np.sqrt(counts), np.ones_like(normal), np.ones_like(scores), np.sqrt(indicators)
        return np.concatenate(parts, axis=-1)

    def given(self, weights):
        return replace(self, weights=weights)

    def explained(self):
        """Return the variance that the linear path explains of each encoded column."""
        if self.weights is None:
            return np.zeros(self.n_numbers + sum(self.sizes))
        return np.square(self.weights).sum(axis=0)

    def noise(self, weights):
        counts, normal, scores, indicators = self._parts(self.given(weights).explained())
        normal = np.maximum(1.0 - normal, _LEAST_LEFT)
        scores = np.maximum(1.0 - scores, _LEAST_LEFT)
        parts = np.ones_like(counts), normal, scores, np.ones_like(indicators)
        return np.concatenate(parts)

    def loss(self, x, natural):
        counts, normal, scores, indicators = self._parts(x)
        rates, means, thetas, logits = self._parts(natural)
        of_rates, of_normal, of_scores, of_logits = self._parts(self.explained())
        with np.errstate(over="ignore"):
            rates = rates - 0.5 * of_rates
            loss = (np.exp(rates) - counts * rates + gammaln(counts + 1.0)).sum(axis=-1)
        left = np.maximum(1.0 - of_normal, _LEAST_LEFT)
        loss = loss + 0.5 * (np.square(normal - means) / left + np.log(left)).sum(axis=-1)
        for number, column in enumerate(self.scored):
            base, factor = _tilted(column, of_scores[number])
            logits_of = base + thetas[..., number, None] * factor
            level = _level(scores[..., number], column)
            log_sum = _log_sum(logits_of)
            loss = loss + log_sum - base[level] - thetas[..., number] * factor[level]
        logits = logits - 0.5 * of_logits
        for part in self._slices():
            log_sum = _log_sum(logits[..., part])
            loss = loss + log_sum - (indicators[..., part] * logits[..., part]).sum(axis=-1)
        return loss

    def least(self, x):
        return np.zeros(x.shape[:-1])

    def _slices(self):
        ends = np.cumsum([0, *self.sizes]).tolist()
        return [slice(a, b) for a, b in itertools.pairwise(ends)]

    def head(self, start, floor=None):
        weights = None if floor is None else start.decoder[: start.latent_dim]
        return MixedHead(self.given(weights), start.offsets)

    def offsets(self, start):
        head = self.head(start, floor=0.0)
        linear = normal_points(_N_CODES, start.latent_dim).numpy() @ start.decoder
        linear = torch.tensor(linear + start.decoder_bias)
        logits = head.double()(linear, torch.zeros(self.n_decoded(len(start.mean)))).logits
        return head.levels.offsets(logits, torch.tensor(self.shares(start.mean))).numpy()


def _log_sum(logits):
    largest = logits.max(axis=-1)
    return largest + np.log(np.exp(logits - largest[..., None]).sum(axis=-1))


def _tilted(column, explained):
    """Return logits of a discrete column if the code is 0, and what they gain with its mean."""
    left = max(1.0 - explained, _LEAST_LEFT)
    scores = column["scores"]
    return np.log(column["shares"]) - 0.5 * (1.0 / left - 1.0) * scores**2, scores / left


def _level(scores, column):
    """Return the interval of each score."""
    return np.searchsorted(column["edges"][1:-1], scores, side="right")


class MixedHead(nn.Module):
    """The distribution of mixed rows from a decoder's two paths.

    Without `weights`, its columns vary around what the linear path returns as they do in the table.
    The linear path has one parameter for a discrete column that is encoded as a number. The other
    path has a logit for each of its levels.
    """

    is_normal = False
    has_columns = True
    shift: torch.Tensor
    start_log_std: torch.Tensor
    factor: torch.Tensor
    base: torch.Tensor

    def __init__(self, likelihood, offsets=None):
        super().__init__()
        self.likelihood = likelihood
        self._buffer("offsets", np.zeros(sum(likelihood.n_levels)) if offsets is None else offsets)
        c, m, s = likelihood.n_counts, likelihood.n_normal, len(likelihood.scored)
        explained = likelihood.explained()
        noise = np.maximum(1.0 - explained[c : c + m], _LEAST_LEFT)
        self._buffer("shift", -0.5 * np.append(explained[:c], explained[c + m + s :]))
        self._buffer("start_log_std", 0.5 * np.log(noise))
        if m:
            self.log_ratio = nn.Parameter(torch.zeros(m, dtype=torch.float32))
        n_scored = sum(likelihood.n_levels[:s])
        spread, factor, base = np.zeros((s, n_scored)), np.zeros((s, n_scored)), np.zeros(n_scored)
        first = 0
        for number, column in enumerate(likelihood.scored):
            part = slice(first, first + len(column["shares"]))
            spread[number, part] = column["scores"]
            base[part], factor[number, part] = _tilted(column, explained[c + m + number])
            first = part.stop
        self._buffer("spread", spread)
        self._buffer("factor", factor)
        self._buffer("base", base)
        self.levels = _Levels(likelihood)

    def _buffer(self, name, values):
        self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)

    def forward(self, linear, residual):
        """Return the distribution of rows, from paths of (..., d) and (..., n_decoded) numbers."""
        like = self.likelihood
        c, m, s = like.n_counts, like.n_normal, len(like.scored)
        rates, means, thetas, logits = linear.split([c, m, s, linear.shape[-1] - c - m - s], -1)
        of_rates, of_means, of_logits = residual.split([c, m, residual.shape[-1] - c - m], -1)
        rate = normal = None
        if c:
            rate = Poisson((rates + self.shift[:c] + of_rates).clamp(max=_LARGEST))
        if m:
            ratio = _FLOOR + (1.0 - _FLOOR) * torch.exp(2.0 * self.log_ratio)
            log_std = self.start_log_std + 0.5 * torch.log(ratio)
            normal = Gaussian(means + of_means * self.start_log_std.exp(), log_std)
        logits = logits + self.shift[c:]
        if s:
            logits = torch.cat([thetas @ self.factor + self.base, logits], -1)
        logits = logits + self.offsets + of_logits
        return Mixed(like, rate, normal, logits, self.levels, self.spread)


class _Levels(nn.Module):
    """Layout of the levels of discrete columns: one after the other, and as a padded matrix."""

    index: torch.Tensor
    group: torch.Tensor
    first: torch.Tensor
    edges: torch.Tensor

    def __init__(self, likelihood):
        super().__init__()
        sizes = likelihood.n_levels
        most, total = max(sizes, default=1), sum(sizes)
        index = np.full((len(sizes), most), total)
        ends = np.cumsum([0, *sizes])
        for number, size in enumerate(sizes):
            index[number, :size] = np.arange(ends[number], ends[number + 1])
        edges = np.full((len(likelihood.scored), most - 1), np.inf)
        for number, column in enumerate(likelihood.scored):
            edges[number, : len(column["edges"]) - 2] = column["edges"][1:-1]
        group = np.repeat(np.arange(len(sizes)), sizes)
        arrays = {"index": index, "group": group, "first": ends[:-1], "edges": edges}
        for name, values in arrays.items():
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def log_shares(self, logits):
        """Return log-probabilities of all levels."""
        lowest = torch.full_like(logits[..., :1], -math.inf)
        padded = torch.cat([logits, lowest], -1)[..., self.index]
        return logits - torch.logsumexp(padded, -1)[..., self.group]

    def offsets(self, logits, shares):
        """Return what to add to logits, (m, n), for mean probabilities `shares`, (n,).

        As in iterative proportional fitting, logarithms of ratios are added until they agree.
        """
        moved = torch.zeros_like(shares)
        for _ in range(_ROUNDS):
            found = self.log_shares(logits + moved).exp().mean(0)
            moved += torch.log(shares.clamp(min=1e-12) / found.clamp(min=1e-12)).clamp(-1.0, 1.0)
        return moved

    def of_scores(self, x):
        """Return indicators of the intervals of scores, (..., s) -> (..., n levels)."""
        level = (x[..., None] >= self.edges.to(x)).sum(-1)
        n = self.index.shape[1]
        s = len(self.edges)
        indicators = torch.nn.functional.one_hot(level, n)
        there = (self.index[:s] < len(self.group)).flatten()
        return indicators.flatten(-2)[..., there].to(x.dtype)


class Mixed:
    """Independent distributions of the columns of encoded rows.

    Parameters
    ----------
    likelihood : MixedLikelihood
    rate : Poisson or None
    normal : Gaussian or None
    logits : Tensor of shape (..., n_levels)
    levels : _Levels
    spread : Tensor of shape (n_scored, n_levels of these)
    """

    def __init__(self, likelihood, rate, normal, logits, levels, spread):
        self.likelihood, self.rate, self.normal = likelihood, rate, normal
        self.logits, self.levels, self.spread = logits, levels, spread

    def _log_shares(self):
        return self.levels.log_shares(self.logits)

    def _split(self, x):
        like = self.likelihood
        sizes = [like.n_counts, like.n_normal, len(like.scored), sum(like.sizes)]
        return x.split(sizes, -1)

    def _indicators(self, x):
        """Return the indicators of all levels of rows, (..., d) -> (..., n_levels)."""
        *_, scores, indicators = self._split(x)
        if not scores.shape[-1]:
            return indicators
        return torch.cat([self.levels.of_scores(scores), indicators], -1)

    def _seen_levels(self, seen):
        *_, scores, indicators = self._split(seen)
        sizes = self.likelihood.n_levels[: scores.shape[-1]]
        repeats = torch.tensor(sizes, device=seen.device, dtype=torch.long)
        return torch.cat([scores.repeat_interleave(repeats, -1), indicators], -1)

    @property
    def mean(self):
        """Rates, means, expected scores and probabilities, (..., d)."""
        shares = self._log_shares().exp()
        n_scored = self.spread.shape[1]
        parts = [self.rate.mean] if self.rate is not None else []
        parts += [self.normal.mean] if self.normal is not None else []
        scores = shares[..., :n_scored] @ self.spread.to(shares).T
        return torch.cat([*parts, scores, shares[..., n_scored:]], -1)

    @property
    def location(self):
        """Logarithms of rates, means and logits, (..., n_decoded)."""
        parts = [self.rate.location] if self.rate is not None else []
        parts += [self.normal.location] if self.normal is not None else []
        return torch.cat([*parts, self.logits], -1)

    def derivatives(self, x, seen=None):
        """Return the derivative of `log_prob` by `location`, and its information, (..., d)."""
        counts, normal, *_ = self._split(x)
        score, information = [], []
        of = None if seen is None else self._split(seen.to(x.dtype))
        if self.rate is not None:
            a, b = self.rate.derivatives(counts)
            score.append(a if of is None else a * of[0])
            information.append(b if of is None else b * of[0])
        if self.normal is not None:
            a, b = self.normal.derivatives(normal, None if of is None else of[1])
            score.append(a)
            information.append(b)
        shares = self._log_shares().exp()
        a = self._indicators(x) - shares
        if seen is not None:
            there = self._seen_levels(seen).to(x.dtype)
            a, shares = a * there, shares * there
        return torch.cat([*score, a], -1), torch.cat([*information, shares], -1)

    def log_prob(self, x, seen=None):
        """Return the log-probability of rows, summed over columns, in nats."""
        counts, normal, *_ = self._split(x)
        indicators = self._indicators(x)
        of: Any = (None,) * 4
        if seen is not None:
            of = self._split(seen.to(x.dtype))
            indicators = indicators * self._seen_levels(seen).to(x.dtype)
        total = (indicators * self._log_shares()).sum(-1)
        if self.normal is not None:
            total = total + self.normal.log_prob(normal, of[1])
        if self.rate is not None:
            each = counts * self.rate.log_rate - self.rate.mean - torch.lgamma(counts + 1.0)
            total = total + (each if seen is None else each * of[0]).sum(-1)
        return total

    def error(self, x, seen=None):
        """Return minus the log-probability, summed over columns, in nats."""
        return -self.log_prob(x, seen)

    def cross_log_prob(self, x, seen=None):
        """Return the log-probability of every row under every distribution, (n, d) -> (n, m)."""
        counts, normal, *_ = self._split(x)
        indicators = self._indicators(x)
        of: Any = (None,) * 4
        if seen is not None:
            of = self._split(seen.to(x.dtype))
            indicators = indicators * self._seen_levels(seen).to(x.dtype)
        total = indicators @ self._log_shares().T
        if self.normal is not None:
            total = total + self.normal.cross_log_prob(normal, of[1])
        if self.rate is not None:
            there = torch.ones_like(counts) if seen is None else of[0]
            total = total + (counts * there) @ self.rate.log_rate.T - there @ self.rate.mean.T
            total = total - (torch.lgamma(counts + 1.0) * there).sum(-1, keepdim=True)
        return total

    def sample(self, generator):
        """Draw one encoded row from each; scores of discrete columns are those of levels."""
        shares = self._log_shares()
        like = {"dtype": shares.dtype, "device": shares.device}
        uniform = torch.rand(shares.shape, generator=generator, **like)
        chosen = self._indicators_of(shares - torch.log(-torch.log(uniform.clamp(1e-30, 1 - 1e-7))))
        n_scored = self.spread.shape[1]
        parts = [self.rate.sample(generator)] if self.rate is not None else []
        parts += [self.normal.sample(generator)] if self.normal is not None else []
        scores = chosen[..., :n_scored] @ self.spread.to(chosen).T
        return torch.cat([*parts, scores, chosen[..., n_scored:]], -1)

    def from_uniform(self, uniform):
        """Map uniform numbers in (0, 1), (..., d), to rows."""
        counts, normal, scores, indicators = self._split(uniform)
        first = self._first_indicators()
        shares = self._log_shares().exp()
        lowest = torch.zeros_like(shares[..., :1])
        padded = torch.cat([shares, lowest], -1)[..., self.levels.index]
        level_of = torch.cat([scores, indicators[..., first]], -1)[..., None]
        level = (padded.cumsum(-1) < level_of * padded.sum(-1, keepdim=True)).sum(-1)
        sizes = (self.levels.index < shares.shape[-1]).sum(-1)
        level = torch.minimum(level, sizes - 1)
        chosen = torch.zeros_like(shares).scatter_(-1, level + self.levels.first, 1.0)
        n_scored = self.spread.shape[1]
        parts = []
        if self.rate is not None:
            parts.append(_poisson_quantile(counts, self.rate.mean))
        if self.normal is not None:
            parts.append(self.normal.shifted(torch.special.ndtri(normal)))
        scores = chosen[..., :n_scored] @ self.spread.to(chosen).T
        return torch.cat([*parts, scores, chosen[..., n_scored:]], -1)

    def _first_indicators(self):
        """Return the position of the first indicator of each category column."""
        s = len(self.likelihood.scored)
        first = self.levels.first[s:]
        return first - self.spread.shape[1]

    def _indicators_of(self, values):
        """Return indicators of the level with the highest value in each column."""
        lowest = torch.full_like(values[..., :1], -math.inf)
        padded = torch.cat([values, lowest], -1)[..., self.levels.index]
        level = padded.argmax(-1) + self.levels.first
        return torch.zeros_like(values).scatter_(-1, level, 1.0)


def _poisson_quantile(uniform, rate):
    from scipy.stats import poisson

    found = poisson.ppf(uniform.cpu().numpy(), rate.cpu().numpy())
    return torch.as_tensor(found).to(rate)
