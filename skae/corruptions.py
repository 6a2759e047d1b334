"""Corruptions of rows, each with the moments that make its linear denoiser exact.

A corruption works on standardised rows (:class:`Custom` on rows as they were given).
It is called with a batch ``x`` of shape
(batch, d) and a `torch.Generator`, and answers the corrupted batch. ``moments(table)``
says what corruption makes of the table's rows on average: the mean (d,) of a corrupted
row, its covariance with the clean row (d, d; clean first) and its covariance (d, d).
"""

import numpy as np
import torch

from .data.returned import as_returned
from .data.table import some_rows

_ROWS_TO_SWAP = 64  # training rows whose values a row is scored with, at most ...
_NUMBERS_TO_SWAP = 2**18  # ... and numbers in them


class Gaussian:
    """Adds independent Gaussian noise.

    Parameters
    ----------
    level : float
        Standard deviation of the noise, in units of the table's scale (the root of
        the mean variance of its features).
    table : skae.data.table.Table
        The table whose rows are corrupted.
    """

    takes_raw_rows = False
    replacements = None

    def __init__(self, level, table):
        self.level = level

    def __call__(self, x, generator):
        """Corrupt a batch."""
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x + self.level * noise

    def moments(self, table):
        """Mean, cross-covariance and covariance of corrupted rows."""
        covariance = table.covariance()
        noise = self.level**2 * np.eye(len(covariance))
        return np.zeros(len(covariance)), covariance, covariance + noise


class _Replacement:
    """Replaces each entry, with probability `level`, by a value drawn for it.

    Of a feature these are, in units of X and as far as they are known beforehand, in a column
    of `replacements`.
    """

    takes_raw_rows = False
    replacements: np.ndarray

    def __init__(self, level, table):
        if not 0 < level < 1:
            raise ValueError(
                "corruption_level must be in (0, 1), as the probability that an entry is "
                f"replaced, however: corruption_level={level}."
            )
        self.level = level

    def _values(self, x, generator):
        """What entries are replaced by, in the shape of x."""
        raise NotImplementedError

    def _value_moments(self, variance):
        """Mean and mean square of these, (d,), given the variance of the features."""
        raise NotImplementedError

    def __call__(self, x, generator):
        """Corrupt a batch."""
        chance = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return torch.where(chance < self.level, self._values(x, generator), x)

    def moments(self, table):
        """Mean, cross-covariance and covariance of corrupted rows."""
        covariance = table.covariance()
        mean, square = self._value_moments(np.diag(covariance))
        kept = 1.0 - self.level
        corrupted = kept**2 * covariance
        shift = self.level * mean
        variance = kept * np.diag(covariance) + self.level * square - shift**2
        np.fill_diagonal(corrupted, variance)
        return shift, kept * covariance, corrupted


class Masking(_Replacement):
    """Replaces entries by the feature's mean, as a missing value would be imputed."""

    def __init__(self, level, table):
        super().__init__(level, table)
        self.replacements = table.mean[None]

    def _values(self, x, generator):
        return torch.zeros_like(x)

    def _value_moments(self, variance):
        return np.zeros_like(variance), np.zeros_like(variance)


class SaltAndPepper(_Replacement):
    """Replaces entries by the feature's smallest or largest value, equally likely."""

    def __init__(self, level, table):
        super().__init__(level, table)
        self.replacements = np.stack([table.low, table.high])
        self._ends = (self.replacements - table.mean) / table.scale
        self._tensors = {}  # of the ends, by dtype and device

    def _values(self, x, generator):
        key = x.dtype, x.device
        if key not in self._tensors:
            self._tensors[key] = torch.as_tensor(self._ends, dtype=x.dtype, device=x.device)
        low, high = self._tensors[key]
        coin = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return torch.where(coin < 0.5, low, high)

    def _value_moments(self, variance):
        return self._ends.mean(axis=0), np.square(self._ends).mean(axis=0)


class Swap(_Replacement):
    """Replaces entries by the same feature's value in a random row of the batch."""

    def __init__(self, level, table):
        super().__init__(level, table)
        n_rows = max(1, min(_ROWS_TO_SWAP, _NUMBERS_TO_SWAP // len(table.mean)))
        self.replacements = some_rows(table.sample, n_rows).astype(np.float64)

    def _values(self, x, generator):
        rows = torch.randint(len(x), x.shape, generator=generator, device=x.device)
        return x.gather(0, rows)

    def _value_moments(self, variance):
        return np.zeros_like(variance), variance


class Custom:
    """Calls ``function(X, level, rng)`` on rows as they were given, as numpy arrays.

    `rng` is a `numpy.random.Generator`. X has rows of shape `row_shape`, or flat ones where
    that is None, and is the function's to write to. What it returns has the shape of X, or
    flat rows. Moments are averages over corrupted copies of the table. Unlike the others it
    is called with rows in the units of X; what it returns is standardised all the same.
    """

    takes_raw_rows = True
    can_be_captured = False
    replacements = None
    _copies = 5

    def __init__(self, function, level, table, rng, row_shape=None):
        self.function = function
        self.level = level
        self.row_shape = row_shape or table.mean.shape
        self.mean = table.mean
        self.scale = table.scale
        self._rng = rng

    def _corrupt(self, X, rng):
        # A copy: the function may fill its argument, which may be the table itself.
        rows = np.array(X, order="C").reshape(len(X), *self.row_shape)
        corrupted = self.function(rows, self.level, rng)
        corrupted = as_returned("corruption", corrupted, rows.shape, X.shape).reshape(X.shape)
        return (corrupted - self.mean) / self.scale

    def try_on(self, X):
        """Raise what the function would raise in training."""
        self._corrupt(X, np.random.default_rng(0))

    def __call__(self, x, generator):
        """Corrupt a batch of rows in the units of X."""
        seed = torch.randint(2**31, (1,), generator=generator, device=generator.device)
        corrupted = self._corrupt(x.cpu().numpy(), np.random.default_rng(int(seed)))
        return torch.as_tensor(corrupted, dtype=torch.float32, device=x.device)

    def moments(self, table):
        """Mean, cross-covariance and covariance of corrupted rows."""
        pairs = (
            ((rows - self.mean) / self.scale, self._corrupt(rows, self._rng))
            for _ in range(self._copies)
            for rows in table.rows()
        )
        return paired_moments(pairs, len(self.mean))


def paired_moments(pairs, n_features):
    """The same moments from pairs of arrays (clean, corrupted) of standardised rows."""
    n_rows, total = 0, np.zeros(n_features)
    cross = np.zeros((n_features, n_features))
    square = np.zeros((n_features, n_features))
    for clean, corrupted in pairs:
        n_rows += len(clean)
        total += corrupted.sum(axis=0)
        cross += clean.T @ corrupted
        square += corrupted.T @ corrupted
    shift = total / n_rows
    # Clean rows have mean 0, so the cross moment needs no centring.
    return shift, cross / n_rows, square / n_rows - np.outer(shift, shift)


BUILT_IN = {
    "gaussian": Gaussian,
    "masking": Masking,
    "salt_and_pepper": SaltAndPepper,
    "swap": Swap,
}
