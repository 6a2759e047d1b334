"""What else a row's density is made of, beside the decoder: classical densities.

Those of probabilistic PCA and of factor analysis, of standardised rows, in closed form; and
how large a share each of several densities has in their mixture.
"""

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from ._classical import _ERROR_FLOOR, _eigh, _noise

_WIDTH = 128  # features up to which there is factor analysis
_EVALUATIONS = 100  # eigendecompositions in which it is looked for from one place, at most
_LEAST_NOISE = 1e-12  # of a standardised feature: scikit-learn's, above rounding in float32
_ROUNDS = 200  # of expectation and maximisation


def log_evidence(start, x):
    """Log-density of standardised rows, in nats, under a start with normal noise, (n,).

    The posterior of their codes is exact, so at its mean ``p(x | z) p(z) / p(z | x)`` says it.
    Behind rows (n, d) there may be conditions, which `start` takes in.
    """
    d = len(start.mean)
    noise = np.broadcast_to(start.noise_variance, d)
    z = x @ start.encoder + start.encoder_bias
    left = x[:, :d] - np.hstack([z, x[:, d:]]) @ start.decoder - start.decoder_bias
    with np.errstate(over="ignore"):  # so far out no density is left
        squares = np.square(left) @ (1.0 / noise) + np.square(z).sum(axis=1)
    return -0.5 * (squares + np.log(2.0 * np.pi * noise).sum() - start.log_variance.sum())


def factor_analysis(table, start):
    """Factor analysis (Rubin & Thayer 1982): a start with a noise variance per feature.

    With features in units of their noise it is probabilistic PCA, so the posterior of a code
    has a diagonal covariance here too.

    Parameters
    ----------
    table : Table
        One that `has_factors`.
    start : Start
        Probabilistic PCA.
    """
    n = len(table.X)
    covariance = table.covariance() * ((n - 1) / n)
    noise = factor_noise(covariance, start.latent_dim, start.noise_variance)
    return _with_noise(start, covariance, noise)


def has_factors(table, start):
    """Whether there is factor analysis of a table, of which codes leave something."""
    narrow = table.products is not None and len(table.mean) <= _WIDTH
    return narrow and start.noise_variance > _ERROR_FLOOR


def without(table, start, rows, x):
    """Log-densities of standardised rows x, fitted to a table but for some of its `rows`.

    Under probabilistic PCA and factor analysis of as many codes as `start` has, (2, m).
    """
    n_left, k = len(table.X) - len(rows), start.latent_dim
    mean = -rows.sum(axis=0) / n_left
    products = (len(table.X) - 1) * table.covariance() - rows.T @ rows
    covariance = products / n_left - np.outer(mean, mean)
    equal = max(_noise(_eigh(covariance)[0], k), _ERROR_FLOOR)
    noises = np.full(len(mean), equal), factor_noise(covariance, k, equal)
    return [log_evidence(_with_noise(start, covariance, of), x - mean) for of in noises]


def factor_noise(covariance, k, equal):
    """The likeliest noise variance of every feature, (d,).

    It is looked for by L-BFGS over logarithms, with the likeliest loadings at each (Joreskog
    1967). The likelihood may have several maxima, so it begins twice: at `equal`, the noise of
    probabilistic PCA, and at what the other features do not tell of each, a little less of it
    the more codes there are.
    """
    variance = covariance.diagonal()
    most = np.maximum(variance, _LEAST_NOISE)

    def loss(log_noise):
        noise = np.exp(log_noise)
        axes, values = _scaled_axes(covariance, k, noise)
        explained = np.square(axes) @ (values - 1.0)  # in units of the noise
        ratio = variance / noise
        value = log_noise.sum() + np.log(values).sum() + ratio.sum() - (values - 1.0).sum()
        return 0.5 * value, 0.5 * (explained + 1.0 - ratio)

    values, axes = _eigh(covariance)
    precision = np.square(axes) @ (1.0 / np.maximum(values, _LEAST_NOISE))
    begins = equal, (1.0 - 0.5 * k / len(variance)) / precision
    searches = [
        minimize(
            loss,
            np.log(np.clip(begin, _LEAST_NOISE, most)),
            jac=True,
            method="L-BFGS-B",
            bounds=[(math.log(_LEAST_NOISE), highest) for highest in np.log(most)],
            options={"maxfun": _EVALUATIONS, "ftol": 1e-8},
        )
        for begin in begins
    ]
    return np.exp(min(searches, key=lambda search: search.fun).x)


def likeliest_shares(log_densities):
    """Shares of densities in the mixture that makes rows likeliest, (m,), from (m, n).

    By expectation and maximisation, with one more row that is evenly all of theirs, so that
    no share is zero.
    """
    log_densities = np.where(np.isnan(log_densities), -np.inf, log_densities)
    n_densities, n = log_densities.shape
    log_shares = np.full(n_densities, -math.log(n_densities))
    for _ in range(_ROUNDS):
        of_rows = softmax(log_densities + log_shares[:, None], axis=0).sum(axis=1)
        log_shares = np.log((of_rows + 1.0 / n_densities) / (n + 1.0))
    return np.exp(log_shares)


def mixed(log_densities, shares):
    """Log-density of rows under a mixture, (n,), from (m, n) and (m,).

    Where one is not a number, as far out where it overflows, the others have all of it.
    """
    log_densities = np.where(np.isnan(log_densities), -np.inf, log_densities)
    return logsumexp(log_densities, axis=0, b=np.reshape(shares, (-1, 1)))


def _with_noise(start, covariance, noise):
    """A start with this noise variance of every feature, (d,), and the likeliest loadings."""
    axes, values = _scaled_axes(covariance, start.latent_dim, noise)
    decoder = (axes * np.sqrt(noise)[:, None] * np.sqrt(values - 1.0)).T
    return replace(
        start,
        encoder=decoder.T / noise[:, None] / values,
        decoder=decoder,
        noise_variance=noise,
        log_variance=-np.log(values),
    )


def _scaled_axes(covariance, k, noise):
    """Of features in units of their noise: k axes, and variances along them, 1 at least."""
    scale = np.sqrt(noise)
    values, axes = _eigh(covariance / np.outer(scale, scale))
    return axes[:, :k], np.maximum(values[:k], 1.0)
