"""Corruptions of rows, each with the moments that its linear denoiser needs.

A corruption maps a batch ``x`` of standardised rows, (batch, d), and a `torch.Generator` to the
corrupted batch. (:class:`Custom` takes rows in the units of X.) ``moments(table)`` returns the
moments of corrupted rows of a table: the mean (d,), the covariance with clean rows (d, d; clean
first) and the covariance (d, d).
"""

import numpy as np
import torch

from .data.returned import as_returned
from .data.table import some_rows

_ROWS_TO_SWAP = 64  # the most training rows used to replace values in `score` ...
_NUMBERS_TO_SWAP = 2**18  # ... and the most values in them


class Gaussian:
    """Corruption by independent Gaussian noise.

    Parameters
    ----------
    level : float
        Standard deviation of the noise, in units of the table's scale (the root of the mean
        variance of its features).
    table : skae.data.table.Table
        Table whose rows are corrupted.
    """

    takes_raw_rows = False
    replacements = None
    kept = 1.0  # covariance with clean rows, over that of clean rows with each other

    def __init__(self, level, table):
        self.level = level

    def __call__(self, x, generator):
        """Corrupt a batch."""
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x + self.level * noise

    def moments(self, table):
        """Return mean, cross-covariance and covariance of corrupted rows."""
        covariance = table.covariance()
        noise = self.level**2 * np.eye(len(covariance))
        return np.zeros(len(covariance)), covariance, covariance + noise


class _Replacement:
    """Replacement of each entry, with probability `level`, by a random value.

    `replacements` has the values of each feature in a column, in units of X, if they are known in
    advance.
    """

    takes_raw_rows = False
    replacements: np.ndarray

    def __init__(self, level, table):
        if not 0 < level < 1:
            raise ValueError(
                "corruption_level must be in (0, 1), as the probability that an entry is "
                f"replaced; got corruption_level={level}."
            )
        self.level = level
        self.kept = 1.0 - level

    def _values(self, x, generator):
        """Return the values that replace entries, in the shape of x."""
        raise NotImplementedError

    def _value_moments(self, variance):
        """Return mean and mean square of these values, (d,), given the features' variance."""
        raise NotImplementedError

    def __call__(self, x, generator):
        """Corrupt a batch."""
        chance = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return torch.where(chance < self.level, self._values(x, generator), x)

    def moments(self, table):
        """Return mean, cross-covariance and covariance of corrupted rows."""
        covariance = table.covariance()
        mean, square = self._value_moments(np.diag(covariance))
        kept = self.kept
        corrupted = kept**2 * covariance
        shift = self.level * mean
        variance = kept * np.diag(covariance) + self.level * square - shift**2
        np.fill_diagonal(corrupted, variance)
        return shift, kept * covariance, corrupted


class Masking(_Replacement):
    """Replacement of entries by the feature's mean, as in mean imputation."""

    def __init__(self, level, table):
        super().__init__(level, table)
        self.replacements = table.mean[None]

    def _values(self, x, generator):
        return torch.zeros_like(x)

    def _value_moments(self, variance):
        return np.zeros_like(variance), np.zeros_like(variance)


class SaltAndPepper(_Replacement):
    """Replacement of entries by the feature's smallest or largest value, equally likely."""

    def __init__(self, level, table):
        super().__init__(level, table)
        self.replacements = np.stack([table.low, table.high])
        self._ends = (self.replacements - table.mean) / table.scale
        self._tensors = {}  # cache of both values, by dtype and device

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
    """Replacement of entries by the same feature's value in a random row of the batch."""

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
    """Corruption by a user's ``function(X, level, rng)`` of numpy arrays.

    X has rows in the units of X, of shape `row_shape`, or flat ones if that is None. The function
    may write to it. `rng` is a `numpy.random.Generator`. The function returns rows of the shape of
    X, or flat rows. Moments are averages over corrupted copies of the table. Unlike the others,
    this corruption is called with rows in the units of X, but it returns standardised rows too.
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
        # A copy, since the function may write to its argument, which may be the table itself.
        rows = np.array(X, order="C").reshape(len(X), *self.row_shape)
        corrupted = self.function(rows, self.level, rng)
        corrupted = as_returned("corruption", corrupted, rows.shape, X.shape).reshape(X.shape)
        return (corrupted - self.mean) / self.scale

    def try_on(self, X):
        """Call the function once, so that its errors are raised before training."""
        self._corrupt(X, np.random.default_rng(0))

    def __call__(self, x, generator):
        """Corrupt a batch of rows in the units of X."""
        seed = torch.randint(2**31, (1,), generator=generator, device=generator.device)
        corrupted = self._corrupt(x.cpu().numpy(), np.random.default_rng(int(seed)))
        return torch.as_tensor(corrupted, dtype=torch.float32, device=x.device)

    def moments(self, table):
        """Return mean, cross-covariance and covariance of corrupted rows."""
        pairs = (
            ((rows - self.mean) / self.scale, self._corrupt(rows, self._rng))
            for _ in range(self._copies)
            for rows in table.rows()
        )
        return paired_moments(pairs, len(self.mean))


def paired_moments(pairs, n_features):
    """Compute these moments from pairs of arrays (clean, corrupted) of standardised rows."""
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
