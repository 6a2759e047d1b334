"""Numbers in intervals, each with a probability.

A value that is frequent enough has an interval of its own. Within other intervals the density does
not depend on the code.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from ..data.scales import normal_scores, standardised
from ._number import Number

_MOST, _FEWEST = 64, 8  # intervals, unless few values occur
_SPIKE = 0.01  # least fraction of the rows with one value, to be a point mass of real numbers
_TYPICAL = 10.0  # and how often it occurs, relative to other values
_REPEATS = 20  # average number of rows with a value, from which real numbers are discrete
_OUTSIDE = 1e-4  # part of an interval's probability that values beside it have
_PIECES = 8  # the most pieces of an interval, each with a uniform density
_VALUES_OF_PIECE, _VALUES_AT_ENDS = 20, 5  # the fewest values in a piece
_WITHIN = 1e-3  # least distance of a score from the ends of its interval, as a fraction


class Intervals(NamedTuple):
    """Consecutive intervals of values, (m,).

    In an interval from `first` to `last` of the sorted values, `low` and `high` are its ends, and
    `point` says whether it is a single value.
    """

    first: np.ndarray
    last: np.ndarray
    low: np.ndarray
    high: np.ndarray
    point: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Histogram(Number):
    """Numbers in intervals of similar frequency.

    Parameters
    ----------
    lows, highs : ndarrays of shape (m,)
        Ends of the intervals.
    point : ndarray of shape (m,)
        Which of them are single values.
    knots, below : ndarrays of shape (m, 9)
        Ends of the pieces of every interval, the last one repeated, and the part of the interval
        below them.
    shares : ndarray of shape (m,)
        Frequencies.
    edges : ndarray of shape (m + 1,)
        Normal scores of the ends of intervals, as numbers are encoded.
    levels : ndarray of shape (m,)
        Scores of the intervals, with mean 0 and variance 1.
    """

    chosen_for: ClassVar[str | None] = "numbers"
    single: ClassVar[bool] = False  # whether every value has an interval of its own

    lows: np.ndarray
    highs: np.ndarray
    point: np.ndarray
    knots: np.ndarray
    below: np.ndarray
    shares: np.ndarray
    edges: np.ndarray
    levels: np.ndarray

    @classmethod
    def fitted(cls, given, x, whole):
        """Return the other fields of the class."""
        values, counts = np.unique(x, return_counts=True)
        parts = _divided(values, counts, whole, cls.single)
        knots, below = _pieces(values, counts, parts)
        shares = np.add.reduceat(counts, parts.first) / len(x)
        levels, mean, std = standardised(normal_scores(shares), shares)
        ends = np.append(0.0, np.cumsum(shares))
        edges = ndtri(np.clip(ends, 0.1 / len(x), 1.0 - 0.1 / len(x)))
        return {
            "lows": parts.low,
            "highs": parts.high,
            "point": parts.point,
            "knots": knots,
            "below": below,
            "shares": shares,
            "edges": (edges - mean) / std,
            "levels": levels,
        }

    def _interval_of(self, x):
        """Return the interval of each value; a value in none belongs to the closest one."""
        most = len(self.lows) - 1
        number = np.clip(np.searchsorted(self.lows, x, "right") - 1, 0, most)
        following = np.minimum(number + 1, most)
        closer = (x > self.highs[number]) & (self.lows[following] - x < x - self.highs[number])
        number = np.where(closer, following, number)
        # Intervals may meet at a point, which is an interval of its own.
        before = np.maximum(number - 1, 0)
        meets = (x == self.lows[number]) & (x == self.highs[before])
        return np.where(meets & self.point[before] & ~self.point[number], before, number)

    def _piece_of(self, number, value, knots):
        """Return the ends of the piece of an interval in which each value is.

        They are pairs of values, and of parts of the interval. `knots` are those of the values.
        """
        of, rows = knots[number], np.arange(len(number))
        inner = of[:, 1:-1]
        piece = ((inner <= value[:, None]) & (inner < of[:, -1:])).sum(axis=1)
        ends = (number[rows], piece), (number[rows], piece + 1)
        return [self.knots[at] for at in ends], [self.below[at] for at in ends]

    def scores(self, x):
        """Return encoded numbers, (n,)."""
        number = self._interval_of(x)
        inside = np.clip(x, self.lows[number], self.highs[number])
        (low, high), (below, above) = self._piece_of(number, inside, self.knots)
        part = below + (above - below) * (inside - low) / np.where(high > low, high - low, 1.0)
        part = np.clip(part, _WITHIN, 1.0 - _WITHIN)
        below, mean, std = self._scale()
        scores = (ndtri(below[number] + part * self.shares[number]) - mean) / std
        return np.where(self.point[number] & ~np.isnan(x), self.levels[number], scores)

    def _scale(self):
        """Return the fraction of rows below each interval, and mean and std of normal scores."""
        _, mean, std = standardised(normal_scores(self.shares), self.shares)
        return np.append(0.0, np.cumsum(self.shares[:-1])), mean, std

    def values(self, scores, rng):
        """Return the numbers of scores, (n,)."""
        number = np.clip(np.searchsorted(self.edges, scores, "right") - 1, 0, len(self.lows) - 1)
        if rng is None:
            below, mean, std = self._scale()
            part = (ndtr(scores * std + mean) - below[number]) / self.shares[number]
            part = np.clip(part, 0.0, 1.0)
        else:
            part = rng.random(len(scores))
        if self.whole:
            low, high = self.lows[number], self.highs[number]
            return np.minimum(low + np.floor(part * (high - low + 1.0)), high)
        (low, high), (below, above) = self._piece_of(number, part, self.below)
        return low + (part - below) / np.where(above > below, above - below, 1.0) * (high - low)

    def log_densities(self, x):
        """Return log-densities of numbers in addition to those of scores."""
        number = self._interval_of(x)
        if self.whole:
            inside = -np.log(self.highs - self.lows + 1.0)[number]
        else:
            known = np.clip(x, self.lows[number], self.highs[number])
            (low, high), (below, above) = self._piece_of(number, known, self.knots)
            point = self.point[number]
            widths, parts = np.where(point, 1.0, high - low), np.where(point, 1.0, above - below)
            inside = np.log(parts) - np.log(widths)
        if self.given.ordered:  # there are no other values
            return inside
        # Densities fall exponentially beside an interval, with a small share of it.
        beside = np.maximum(self.lows[number] - x, x - self.highs[number])
        outside = np.log(_OUTSIDE / 2.0 / self.std) - beside / self.std
        return np.where(beside > 0, outside, inside + np.log1p(-_OUTSIDE))

    @staticmethod
    def likelihood(columns):
        """Return the likelihood of several such columns."""
        from ..likelihoods._levels import IntervalsLikelihood

        return IntervalsLikelihood(columns=tuple(columns))


def _divided(values, counts, whole, single):
    """Divide sorted values into intervals."""
    n, m = counts.sum(), len(values)
    most = int(np.clip(2.0 * n ** (1 / 3), _FEWEST, _MOST))
    if single or ((whole or n >= _REPEATS * m) and m <= 2 * most):
        point = np.ones(m, dtype=bool)
    elif whole:
        point = counts >= 0.5 * n / most
    else:
        point = (counts >= _SPIKE * n) & (counts >= _TYPICAL * n / m)
    # An interval begins at a point, after a point, and where enough values have been gathered.
    begins, gathered = point | np.append(True, point[:-1]), 0
    for i, count in enumerate(counts):
        begins[i] |= gathered >= n / most
        gathered = count if begins[i] else gathered + count
    first = np.flatnonzero(begins)
    last = np.append(first[1:], m) - 1
    low, high, point = values[first], values[last], point[first]
    if not whole:  # intervals meet at a point, or halfway
        meet = (high[:-1] + low[1:]) / 2
        meet = np.where(point[:-1], high[:-1], np.where(point[1:], low[1:], meet))
        low, high = np.append(low[:1], meet), np.append(meet, high[-1:])
        low, high = np.where(point, values[first], low), np.where(point, values[last], high)
        point = point | (low == high)
    return Intervals(first, last, low, high, point)


def _pieces(values, counts, parts):
    """Divide every interval into pieces of similar frequency: see `Histogram`."""
    n_intervals = len(parts.low)
    knots = np.tile(parts.high[:, None], _PIECES + 1)
    below = np.ones((n_intervals, _PIECES + 1))
    knots[:, 0], below[:, 0] = parts.low, 0.0
    for b in np.flatnonzero(~parts.point):
        of = slice(parts.first[b], parts.last[b] + 1)
        least = _VALUES_AT_ENDS if b in (0, n_intervals - 1) else _VALUES_OF_PIECE
        m = int(min(_PIECES, counts[of].sum() // least, len(values[of]) - 1))
        shares = np.cumsum(counts[of]) / counts[of].sum()
        at = np.unique(np.searchsorted(shares, np.arange(1, m) / max(m, 1)))
        at = at[at < len(shares) - 1]
        inner = (values[of][at] + values[of][at + 1]) / 2
        knots[b, 1 : len(at) + 1], below[b, 1 : len(at) + 1] = inner, shares[at]
    return knots, below


COLUMN = Histogram
