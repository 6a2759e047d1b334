"""Probabilistic PCA, which variational autoencoders begin as."""

from dataclasses import replace

import numpy as np

from .start import choose_latent_dim, linear, noise_left

# Smallest noise variance, relative to the mean variance of a feature: of a density, which
# is scored in float64, and as the unit of an error, which is trained in float32.
DENSITY_FLOOR = 1e-20


def probabilistic_pca(table, latent_dim):
    """Probabilistic PCA (Tipping & Bishop 1999), with its exact posterior.

    In the eigenbasis the posterior of a code is Gaussian with diagonal covariance
    ``noise / eigenvalue``, so an encoder with independent codes represents it exactly.
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
