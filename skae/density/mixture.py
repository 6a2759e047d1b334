"""How large a share each of several densities has in their mixture."""

import math

import numpy as np
from scipy.special import logsumexp, softmax

_ROUNDS = 200  # of expectation and maximisation


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
