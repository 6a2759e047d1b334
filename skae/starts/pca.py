"""Principal component analysis, which autoencoders begin as."""

import numpy as np

from .start import choose_latent_dim, linear, noise_left

LEAST_ERROR = 1e-9  # share of the variance below which an error is not worth a network
_DECADES = 2.0  # that PCA's error falls by, from one code to all, for codes to bend in groups


def minka_dimension(table):
    """Minka's estimate of the number of components (2000), as in PCA(n_components="mle")."""
    from sklearn.decomposition._pca import _infer_dimension  # which has no public name

    values, _ = table.principal_axes(1.0)
    try:
        return int(_infer_dimension(values * table.scale**2, len(table.X)))
    except ValueError:  # a logarithm of 0
        raise ValueError(
            "n_components='mle' needs principal components of different variances; got some that "
            "are equal. Give a number of components."
        ) from None


def pca(table, latent_dim):
    """Principal component analysis: codes are scores, in the units of X."""
    values, axes = table.principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    return linear(table, axes[:, :k], axes[:, :k], values[:k], noise_left(values, k))


def errors(start):
    """What PCA of every size leaves of the variance of standardised rows, (k,)."""
    return len(start.mean) - np.cumsum(start.explained)


def spans_decades(start):
    """Whether PCA's errors are of unlike magnitude from one code to all, or end at none."""
    left = errors(start)
    return left[-1] <= max(LEAST_ERROR * len(start.mean), 10.0**-_DECADES * left[0])
