"""A normal distribution of low rank, given only some entries of a row.

With gaps, the posterior of the codes depends on which entries of a row are seen, so each row has a
linear system of its own to solve.
"""

import numpy as np

_VALUES = 2**22  # the most values of the systems that are solved together


def given_seen(weights, noise, unit, deviations, seen, xp=np):
    """Return the posterior of the codes of a low-rank normal distribution, given some entries.

    A row is ``mean + z @ weights + sqrt(noise) * e``, with standard normal z and e.

    Parameters
    ----------
    weights : array of shape (k, d)
    noise : array of shape (d,)
        Variances of the noise.
    unit : array of shape (k,)
        Units of the codes in the systems that are solved, near the posterior's standard
        deviations given all entries.
    deviations : array of shape (n, d)
        Rows minus their mean; any finite numbers where `seen` is 0.
    seen : array of shape (n, d)
        1 for entries that are seen, and 0 for the others.
    xp : module
        numpy, or torch for tensors.

    Returns
    -------
    mean : array of shape (n, k)
    factor : array of shape (n, k, k)
        Lower triangular factor of the inverse covariance of ``(z - mean) / unit``.
    """
    k, d = weights.shape
    scaled = weights * unit[:, None] / noise**0.5
    products = (scaled[:, None, :] * scaled).reshape(k * k, d)
    precision = (seen @ products.T).reshape(len(seen), k, k) + xp.diag(unit**2)
    pull = (deviations * seen / noise**0.5) @ scaled.T
    mean = unit * xp.linalg.solve(precision, pull[:, :, None])[:, :, 0]
    return mean, xp.linalg.cholesky(precision)


def log_density_of_seen(weights, noise, deviations, seen):
    """Return the log-density of the entries that are seen, in nats, (n,); 0 if there are none.

    Parameters are those of :func:`given_seen`, as numpy arrays.
    """
    unit = units(weights, noise)
    out = np.empty(len(deviations))
    constants = np.log(2.0 * np.pi * noise)
    for rows in _slices(len(deviations), weights):
        some, of = deviations[rows], seen[rows]
        mean, factor = given_seen(weights, noise, unit, some, of)
        left = some - mean @ weights
        volume = np.log(np.einsum("nii->ni", factor) / unit).sum(axis=1)
        squares = (np.square(left) * of) @ (1.0 / noise) + np.square(mean).sum(axis=1)
        out[rows] = -0.5 * (squares + of @ constants) - volume
    return out


def units(weights, noise):
    """Return units for :func:`given_seen`."""
    return 1.0 / np.sqrt(1.0 + np.square(weights) @ (1.0 / noise))


def expected(weights, noise, deviations, seen):
    """Return what EM needs of some rows: sums over them of expected products of codes.

    Returns
    -------
    products : ndarray of shape (d, k + 1, k + 1)
        For every feature, sums over the rows with that feature of products of (z, 1).
    cross : ndarray of shape (d, k + 1)
        The same of products of the deviation and (z, 1).
    codes : ndarray of shape (k + 1, k + 1)
        Sums over all rows of products of (z, 1).
    log_density : float
        Sum of log-densities of the entries that are seen.
    """
    k, d = weights.shape
    unit = units(weights, noise)
    products, cross = np.zeros((d, (k + 1) ** 2)), np.zeros((d, k + 1))
    codes, log_density = np.zeros((k + 1) ** 2), 0.0
    constants = np.log(2.0 * np.pi * noise)
    for rows in _slices(len(deviations), weights):
        some, of = deviations[rows], seen[rows]
        mean, factor = given_seen(weights, noise, unit, some, of)
        inverse = np.linalg.inv(factor) * unit
        z = np.column_stack([mean, np.ones(len(mean))])
        both = z[:, :, None] * z[:, None, :]
        both[:, :k, :k] += inverse.transpose(0, 2, 1) @ inverse
        both = both.reshape(len(z), -1)
        products += of.T @ both
        cross += (some * of).T @ z
        codes += both.sum(axis=0)
        squares = (np.square(some - mean @ weights) * of) @ (1.0 / noise)
        squares += np.square(mean).sum(axis=1)
        volume = np.log(np.einsum("nii->ni", factor) / unit).sum()
        log_density += -0.5 * (squares.sum() + (of @ constants).sum()) - volume
    shape = k + 1, k + 1
    return products.reshape(d, *shape), cross, codes.reshape(shape), log_density


def _slices(n, weights):
    step = max(1, _VALUES // max(1, (len(weights) + 1) ** 2, weights.shape[1]))
    return [slice(first, first + step) for first in range(0, n, step)]
