"""The deterministic autoencoder, which starts as PCA."""

from . import _classical
from ._base import BaseAutoencoder


class AutoencoderTransformer(BaseAutoencoder):
    r"""Autoencoder that starts as PCA and is only ever changed for the better.

    Encoder and decoder are those of PCA plus neural networks whose outputs are zero at
    first, :math:`z = A(x - \mu) + f(x)` and :math:`\hat x = \mu + B z + g(z)`. Training
    minimises the squared error of the reconstruction, and an epoch is kept only where
    rows held out from it are reconstructed better, beyond chance, than by PCA.

    Parameters
    ----------
    {shared_parameters}

    Attributes
    ----------
    noise_variance_ : float
        Mean squared error that the codes leave per remaining dimension, as in PCA
        (present with ``likelihood="gaussian"``).
    {shared_attributes}

    See Also
    --------
    VAETransformer : With a density: likelihoods, and new rows from a prior.
    DenoisingAutoencoder : For rows with noise or missing entries.
    sklearn.decomposition.PCA : What it starts as.

    Notes
    -----
    With ``likelihood="bernoulli"`` or ``"categorical"`` the start is PCA of the
    standardised score around independent features or steps, in logit space, no worse than
    these.

    References
    ----------
    Hinton, G. E. & Salakhutdinov, R. R. (2006). Reducing the dimensionality of data
    with neural networks. Science 313, 504-507.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(2, max_epochs=20, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (1797, 2)
    >>> start = AutoencoderTransformer(2, max_epochs=0).fit(X)  # PCA itself
    >>> bool(autoencoder.score(X) > start.score(X))
    True
    """

    def _classical_start(self, table, inputs, corruption, streams):
        family = self._family(table)
        if family is None:
            return _classical.pca(table, self.latent_dim)
        return _classical.logit_pca(table, self.latent_dim, family)
