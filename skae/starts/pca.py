"""Principal component analysis, which autoencoders begin as."""

from .start import choose_latent_dim, linear, noise_left


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
