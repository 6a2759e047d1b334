"""Autoencoders that drop in where PCA stands: scikit-learn estimators around PyTorch."""

from ._adversarial import AdversarialAutoencoder
from ._autoencoder import AutoencoderTransformer
from ._conditional import ConditionalVAE
from ._denoising import DenoisingAutoencoder
from ._super_resolution import SuperResolutionAutoencoder
from ._vae import VAETransformer

__version__ = "0.1.0"

__all__ = [
    "AdversarialAutoencoder",
    "AutoencoderTransformer",
    "ConditionalVAE",
    "DenoisingAutoencoder",
    "SuperResolutionAutoencoder",
    "VAETransformer",
    "__version__",
]
