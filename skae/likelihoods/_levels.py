"""Columns with levels: categories, or intervals of numbers.

A column of categories is encoded as one indicator for each level, and a column of intervals as one
number, its score. The distributions of both have a logit for each level.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ._likelihood import Likelihood
from ._standardised import ScoresLikelihood

_ROUNDS = 30  # to correct frequencies


@dataclass(frozen=True, eq=False)
class CategoriesLikelihood(Likelihood):
    """Indicators of the levels of several columns, side by side.

    The score of a column and its information are those of
    :class:`~skae.likelihoods.categorical.CategoricalLikelihood`.

    Parameters
    ----------
    sizes : tuple of int
        Number of levels of every column.
    """

    sizes: tuple = ()

    def natural(self, mean):
        return np.log(mean)

    def smoothed(self, mean, n_samples):
        # Every level occurs, and only an estimate from rows with gaps may be 0.
        return np.maximum(mean, 0.5 / (n_samples + 1.0))

    def spread(self, mean):
        return np.sqrt(mean)

    def loss(self, x, natural):
        ends = np.cumsum([0, *self.sizes]).tolist()
        parts = [slice(*ends) for ends in itertools.pairwise(ends)]
        sums = sum(_log_sum(natural[..., part]) for part in parts)
        return sums - (x * natural).sum(axis=-1)

    def frequencies(self, mean):
        return mean

    def head(self, start, floor=None):
        return CategoriesHead(self.sizes)


@dataclass(frozen=True, eq=False)
class IntervalsLikelihood(ScoresLikelihood):
    """Scores of columns whose values are divided into intervals.

    Before training the logits of the levels, with scores s, are ``log(shares) + (m s - w^2 s^2 / 2)
    / (1 - w^2)``. Here m is what the linear path returns, and w^2 its variance. If scores are
    normal, m and 1 - w^2 are mean and variance given the code, and the column keeps its
    frequencies: this is a Gaussian copula. Without weights w^2 counts as 0. This is an
    exponential family whose sufficient statistic is the score, with mean 0 and variance 1.

    Parameters
    ----------
    columns : tuple of skae.columns.histogram.Histogram
    """

    columns: tuple = ()

    def n_decoded(self, n_features):
        return sum(len(column.shares) for column in self.columns)

    def natural(self, mean):
        return np.zeros_like(mean)

    def tilted(self):
        """Return logits where m is 0, and what they gain with m, for every column."""
        noise = np.ones(len(self.columns)) if self.noise is None else self.noise
        for column, left in zip(self.columns, noise, strict=True):
            scores = column.levels
            base = np.log(column.shares) - 0.5 * (1.0 / left - 1.0) * scores**2
            yield base, scores / left

    def loss(self, x, natural):
        loss = np.zeros(np.broadcast_shapes(x.shape, natural.shape)[:-1])
        for number, (base, factor) in enumerate(self.tilted()):
            level = np.searchsorted(self.columns[number].edges[1:-1], x[..., number], "right")
            mean = natural[..., number]
            loss += _log_sum(base + mean[..., None] * factor) - base[level] - mean * factor[level]
        return loss

    def frequencies(self, mean):
        return np.concatenate([column.shares for column in self.columns])

    def head(self, start, floor=None):
        return IntervalsHead(self)


def _log_sum(logits):
    largest = logits.max(axis=-1)
    return largest + np.log(np.exp(logits - largest[..., None]).sum(axis=-1))


class Layout(nn.Module):
    """Levels of several columns: one after the other, and as a padded matrix.

    Parameters
    ----------
    sizes : sequence of int
    """

    index: torch.Tensor
    group: torch.Tensor
    first: torch.Tensor

    def __init__(self, sizes):
        super().__init__()
        ends = np.cumsum([0, *sizes])
        places = np.arange(max(sizes))
        there = places < np.array(sizes)[:, None]
        index = np.where(there, ends[:-1, None] + places, ends[-1])
        group = np.repeat(np.arange(len(sizes)), sizes)
        for name, values in {"index": index, "group": group, "first": ends[:-1]}.items():
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def padded(self, values, rest):
        """Return values of levels, (..., n_levels), as (..., n_columns, most), with a rest."""
        return torch.cat([values, torch.full_like(values[..., :1], rest)], -1)[..., self.index]

    def log_shares(self, logits):
        """Return log-probabilities of all levels."""
        return logits - torch.logsumexp(self.padded(logits, -math.inf), -1)[..., self.group]

    def drawn(self, log_shares, uniform):
        """Map a uniform number for each column to indicators of levels."""
        below = self.padded(log_shares.exp(), 0.0).cumsum(-1)[..., :-1]
        total = below.new_tensor(1.0 - torch.finfo(below.dtype).eps)  # sums may be less than 1
        level = (below < torch.minimum(uniform[..., None], total)).sum(-1)
        sizes = (self.index < log_shares.shape[-1]).sum(-1)
        level = torch.minimum(level, sizes - 1) + self.first
        return torch.zeros_like(log_shares).scatter_(-1, level, 1.0)

    def offsets(self, logits, shares):
        """Return what to add to logits, (m, n), for mean probabilities `shares`, (n,).

        As in iterative proportional fitting, logarithms of ratios are added until they agree.
        """
        moved, tiny = torch.zeros_like(shares), torch.finfo(shares.dtype).tiny
        for _ in range(_ROUNDS):
            found = self.log_shares(logits + moved).exp().mean(0)
            moved += torch.log(shares.clamp(min=tiny) / found.clamp(min=tiny)).clamp(-1.0, 1.0)
        return moved


class CategoriesHead(nn.Module):
    """Logits that are the sum of both paths."""

    def __init__(self, sizes):
        super().__init__()
        self.layout = Layout(sizes)

    def forward(self, linear, residual):
        return Levels(linear + residual, self.layout)


class IntervalsHead(nn.Module):
    """Logits from one number for each column, the linear path, and one for each level."""

    spread: torch.Tensor
    factor: torch.Tensor
    base: torch.Tensor
    edges: torch.Tensor

    def __init__(self, likelihood):
        super().__init__()
        sizes = [len(column.shares) for column in likelihood.columns]
        self.layout = Layout(sizes)
        spread, factor = np.zeros((2, len(sizes), sum(sizes)))
        edges, base = np.full((len(sizes), max(sizes) - 1), np.inf), np.zeros(sum(sizes))
        ends = itertools.pairwise(np.cumsum([0, *sizes]))
        parts = zip(ends, likelihood.columns, likelihood.tilted(), strict=True)
        for number, ((first, end), column, (logits, gain)) in enumerate(parts):
            spread[number, first:end] = column.levels
            base[first:end], factor[number, first:end] = logits, gain
            edges[number, : end - first - 1] = column.edges[1:-1]
        arrays = {"spread": spread, "factor": factor, "base": base, "edges": edges}
        for name, values in arrays.items():
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def forward(self, linear, residual):
        logits = torch.addmm(self.base, linear.flatten(0, -2), self.factor)
        logits = logits.unflatten(0, linear.shape[:-1]) + residual
        return Intervals(logits, self.layout, self.spread, self.edges)


class Levels:
    """Independent distributions of the levels of several columns, encoded as indicators.

    Parameters
    ----------
    logits : Tensor of shape (..., n_levels)
    layout : Layout
    """

    def __init__(self, logits, layout):
        self.logits, self.layout = logits, layout

    def indicators(self, x):
        """Return indicators of the levels of encoded rows."""
        return x

    def encoded(self, shares):
        """Return encoded rows, given indicators or probabilities of levels."""
        return shares

    def of_levels(self, seen):
        """Return numbers for encoded columns as numbers for levels."""
        return seen

    def of_columns(self, uniform):
        """Return one of the numbers of every column."""
        return uniform[..., self.layout.first]

    def _counted(self, x, seen):
        indicators = self.indicators(x)
        return indicators if seen is None else indicators * self.of_levels(seen)

    @property
    def mean(self):
        return self.encoded(self.layout.log_shares(self.logits).exp())

    @property
    def location(self):
        return self.logits

    def derivatives(self, x, seen=None):
        shares = self.layout.log_shares(self.logits).exp()
        score = self.indicators(x) - shares
        if seen is None:
            return score, shares
        there = self.of_levels(seen)
        return score * there, shares * there

    def log_prob(self, x, seen=None):
        return (self._counted(x, seen) * self.layout.log_shares(self.logits)).sum(-1)

    def cross_log_prob(self, x, seen=None):
        return self._counted(x, seen) @ self.layout.log_shares(self.logits).T

    def from_uniform(self, uniform):
        log_shares = self.layout.log_shares(self.logits)
        return self.encoded(self.layout.drawn(log_shares, self.of_columns(uniform)))


class Intervals(Levels):
    """The same of intervals, encoded as scores.

    Parameters
    ----------
    spread : Tensor of shape (n_columns, n_levels)
        Scores of the levels of each column, and 0 for those of others.
    edges : Tensor of shape (n_columns, most levels - 1)
        Inner edges of the intervals, and infinity.
    """

    def __init__(self, logits, layout, spread, edges):
        super().__init__(logits, layout)
        self.spread, self.edges = spread, edges

    def indicators(self, x):
        level = (x[..., None] >= self.edges).sum(-1) + self.layout.first
        zeros = x.new_zeros((*x.shape[:-1], self.logits.shape[-1]))
        return zeros.scatter_(-1, level, 1.0)

    def encoded(self, shares):
        return shares @ self.spread.T

    def of_levels(self, seen):
        return seen[..., self.layout.group]

    def of_columns(self, uniform):
        return uniform
