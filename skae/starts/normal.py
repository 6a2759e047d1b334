"""A normal distribution of low rank, given only some entries of a row.

With gaps, the posterior of the codes depends on which entries of a row are seen, so each row has a
linear system of its own to solve.
"""

from dataclasses import dataclass

import numpy as np

from ..codec import Plain

LEAST_NOISE = 1e-9  # noise variance of a standardised feature
_VALUES = 2**22  # the most values of the systems that are solved together


@dataclass(frozen=True)
class Normal(Plain):
    """A normal distribution of rank k in d dimensions, plus independent noise."""

    mean: np.ndarray  # (d,)
    weights: np.ndarray  # (k, d)
    noise: np.ndarray  # (d,), variances


class LowRank:
    """Deviations ``z @ weights + sqrt(noise) * e`` from a mean, with standard normal z and e.

    Parameters
    ----------
    weights : array of shape (k, d)
    noise : array of shape (d,)
        Variances of the noise.
    xp : module
        numpy, or torch for tensors.

    Attributes
    ----------
    unit : array of shape (k,)
        Standard deviation of each code given all entries and the other codes.
    """

    def __init__(self, weights, noise, xp=np):
        self.weights, self.noise, self.xp = weights, noise, xp
        k, d = weights.shape
        self.unit = (1.0 + (weights**2) @ (1.0 / noise)) ** -0.5
        scaled = weights * self.unit[:, None] / noise**0.5
        self._products = (scaled[:, None, :] * scaled).reshape(k * k, d).T
        self._prior = xp.diag(self.unit**2)
        self._pull = (scaled / noise**0.5).T

    def given(self, deviations, seen):
        """Return the posterior of the codes of rows, given some of their entries.

        Parameters
        ----------
        deviations : array of shape (n, d)
            Rows minus their mean; any finite numbers where `seen` is 0.
        seen : array of shape (n, d)
            1 for entries that are seen, and 0 for the others.

        Returns
        -------
        mean : array of shape (n, k)
        root : array of shape (n, k, k)
            Upper triangular, so that ``root @ root.T`` is the covariance.
        """
        k = len(self.weights)
        # In units of `unit`, the precision has a diagonal near 1.
        precision = (seen @ self._products).reshape(len(seen), k, k) + self._prior
        inverse = self.xp.linalg.inv(self.xp.linalg.cholesky(precision))
        pull = ((deviations * seen) @ self._pull)[:, :, None]
        mean = inverse.swapaxes(1, 2) @ (inverse @ pull)
        return self.unit * mean[:, :, 0], self.unit[:, None] * inverse.swapaxes(1, 2)

    def log_density(self, deviations, seen):
        """Return the log-density of the entries that are seen, in nats, (n,); 0 if none are.

        Parameters are those of :meth:`given`, as numpy arrays.
        """
        slices = _slices(len(deviations), *self.weights.shape)
        parts = [self._log_density(deviations[rows], seen[rows]) for rows in slices]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _log_density(self, deviations, seen, posterior=None):
        mean, root = self.given(deviations, seen) if posterior is None else posterior
        left = deviations - mean @ self.weights
        volume = np.log(np.einsum("nii->ni", root)).sum(axis=1)
        squares = (np.square(left) * seen) @ (1.0 / self.noise) + np.square(mean).sum(axis=1)
        return volume - 0.5 * (squares + seen @ np.log(2.0 * np.pi * self.noise))

    def expected(self, deviations, seen, conditions):
        """Return what EM needs of some rows: sums over them of expected products of codes.

        In the following, (z, u) are the codes and the conditions of a row, q together.

        Parameters
        ----------
        deviations, seen : ndarrays of shape (n, d)
            As in :meth:`given`.
        conditions : ndarray of shape (n, q - k)

        Returns
        -------
        products : ndarray of shape (d, q, q)
            For every feature, sums over the rows with that feature of products of (z, u).
        cross : ndarray of shape (d, q)
            The same of products of the deviation and (z, u).
        codes : ndarray of shape (q, q)
            Sums over all rows of products of (z, u).
        log_density : float
            Sum of log-densities of the entries that are seen.
        """
        k, d = self.weights.shape
        q = k + conditions.shape[1]
        products, cross = np.zeros((d, q**2)), np.zeros((d, q))
        codes, log_density = np.zeros(q**2), 0.0
        for rows in _slices(len(deviations), q, d):
            some, of = deviations[rows], seen[rows]
            mean, root = self.given(some, of)
            z = np.column_stack([mean, conditions[rows]])
            both = z[:, :, None] * z[:, None, :]
            both[:, :k, :k] += root @ root.transpose(0, 2, 1)
            both = both.reshape(len(z), -1)
            products += of.T @ both
            cross += (some * of).T @ z
            codes += both.sum(axis=0)
            log_density += self._log_density(some, of, (mean, root)).sum()
        return products.reshape(d, q, q), cross, codes.reshape(q, q), log_density


def _slices(n, k, d):
    step = max(1, _VALUES // max(1, (k + 1) ** 2, d))
    return [slice(first, first + step) for first in range(0, n, step)]
