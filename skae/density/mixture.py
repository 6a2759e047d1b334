"""Mixtures of given densities, with maximum likelihood weights."""

import math

import numpy as np
from scipy.special import logsumexp, softmax

_ROUNDS = 200  # EM iterations


def likeliest_shares(log_densities):
    """Compute the maximum likelihood weights of a mixture, (m,), from log-densities (m, n).

    EM is run with one additional row, which belongs to all components equally, so that no weight
    is zero.
    """
    log_densities = np.where(np.isnan(log_densities), -np.inf, log_densities)
    n_densities, n = log_densities.shape
    log_shares = np.full(n_densities, -math.log(n_densities))
    for _ in range(_ROUNDS):
        of_rows = softmax(log_densities + log_shares[:, None], axis=0).sum(axis=1)
        log_shares = np.log((of_rows + 1.0 / n_densities) / (n + 1.0))
    return np.exp(log_shares)


def log_posterior(log_densities, shares):
    """Return the log-probabilities that rows are from each component, (m, n)."""
    log_densities = np.where(np.isnan(log_densities), -np.inf, log_densities)
    joint = log_densities + np.log(shares)[:, None]
    joint[0, np.isneginf(joint).all(axis=0)] = 0.0
    return joint - logsumexp(joint, axis=0)


def mixed(log_densities, shares):
    """Return the log-density of rows under a mixture, (n,), from (m, n) and weights (m,).

    A density that is NaN, as of extreme rows where it overflows, counts as 0.
    """
    log_densities = np.where(np.isnan(log_densities), -np.inf, log_densities)
    return logsumexp(log_densities, axis=0, b=np.reshape(shares, (-1, 1)))
