"""Principal component analysis, the initial model of autoencoders."""

import numpy as np

from .start import choose_latent_dim, linear, noise_left

LEAST_ERROR = 1e-9  # fraction of the variance below which an error is not trained on
_DECADES = 2.0  # decades that PCA's error must span for groups of codes with their own networks


def minka_dimension(table):
    """Estimate the number of components (Minka 2000), as PCA(n_components="mle") does."""
    from sklearn.decomposition._pca import _infer_dimension  # there is no public name

    values, _ = table.principal_axes(1.0)
    try:
        return int(_infer_dimension(values * table.scale**2, len(table.X)))
    except ValueError:  # a logarithm of 0
        raise ValueError(
            "n_components='mle' needs principal components of different variances; got some that "
            "are equal. Give a number of components."
        ) from None


def pca(table, latent_dim):
    """Compute principal component analysis; codes are scores in the units of X."""
    values, axes = table.principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    return linear(table, axes[:, :k], axes[:, :k], values[:k], noise_left(values, k))


def errors(start):
    """Return the squared error of PCA with 1, ..., k components, of standardised rows, (k,)."""
    return len(start.mean) - np.cumsum(start.explained)


def spans_decades(start):
    """Return whether PCA's error falls by decades from one code to all codes, or to 0."""
    left = errors(start)
    return left[-1] <= max(LEAST_ERROR * len(start.mean), 10.0**-_DECADES * left[0])
