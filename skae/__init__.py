"""Autoencoders that drop in where PCA stands: scikit-learn estimators around PyTorch."""

from .estimators.adversarial import AdversarialAutoencoder
from .estimators.autoencoder import AutoencoderTransformer
from .estimators.conditional import ConditionalVAE
from .estimators.denoising import DenoisingAutoencoder
from .estimators.imputer import VAEImputer
from .estimators.super_resolution import SuperResolutionAutoencoder
from .estimators.vae import VAETransformer
from .state import __version__

__all__ = [
    "AdversarialAutoencoder",
    "AutoencoderTransformer",
    "ConditionalVAE",
    "DenoisingAutoencoder",
    "SuperResolutionAutoencoder",
    "VAEImputer",
    "VAETransformer",
    "__version__",
]
