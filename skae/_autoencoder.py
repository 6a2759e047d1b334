"""The deterministic autoencoder, which starts as PCA."""

from . import _classical
from ._base import BaseAutoencoder


class AutoencoderTransformer(BaseAutoencoder):
    """Nonlinear PCA."""

    def _classical_start(self, table, streams):
        if self.likelihood == "bernoulli":
            return _classical.logit_pca(table, self.latent_dim)
        return _classical.pca(table, self.latent_dim)
