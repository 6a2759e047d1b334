"""Probabilistic PCA, the initial model of variational autoencoders."""

from dataclasses import replace

import numpy as np

from .start import choose_latent_dim, linear, noise_left

# Smallest noise variance of a density, relative to the mean variance of a feature. Densities are
# computed in float64, so it may be lower than `ERROR_FLOOR`.
DENSITY_FLOOR = 1e-20


def probabilistic_pca(table, latent_dim):
    """Compute probabilistic PCA (Tipping & Bishop 1999), with its exact posterior.

    In the eigenbasis, the posterior of the codes is Gaussian with diagonal covariance
    ``noise / eigenvalue``. So an encoder with independent codes can represent it exactly.
    """
    values, axes = table.principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    noise = max(noise_left(values, k), DENSITY_FLOOR)
    explained, axes = values[:k], axes[:, :k]
    values = np.maximum(explained, noise)
    weights = np.sqrt(values - noise)
    return replace(
        linear(table, axes, axes, np.ones(k), noise),
        explained=explained,
        noise_variance=noise,
        encoder=axes * (weights / values),
        decoder=(axes * weights).T,
        code_scale=np.ones(k),
        log_variance=np.log(noise / values),
    )
