"""Autoencoders that drop in where PCA stands: scikit-learn estimators around PyTorch."""

from ._adversarial import AdversarialAutoencoder
from ._autoencoder import AutoencoderTransformer
from ._conditional import ConditionalVAE
from ._denoising import DenoisingAutoencoder
from ._super_resolution import SuperResolutionAutoencoder
from ._vae import VAETransformer
from ._versions import __version__

__all__ = [
    "AdversarialAutoencoder",
    "AutoencoderTransformer",
    "ConditionalVAE",
    "DenoisingAutoencoder",
    "SuperResolutionAutoencoder",
    "VAETransformer",
    "__version__",
]
