"""All estimators, as the common tests go through them."""

import numpy as np
from skorch.callbacks import Callback

import skae


class ConditionalVAE(skae.ConditionalVAE):
    __doc__ = skae.ConditionalVAE.__doc__

    def fit(self, X, y=None):
        """As it is, with labels made up where a test has none."""
        return super().fit(X, _labels(X) if y is None else y)

    def partial_fit(self, X, y=None, classes=None):
        """As `fit`."""
        return super().partial_fit(X, _labels(X) if y is None else y, classes)


def _labels(X):
    return np.arange(X.shape[0] if hasattr(X, "shape") else len(X)) % 2


ESTIMATORS = [
    skae.AdversarialAutoencoder,
    skae.AutoencoderTransformer,
    skae.DenoisingAutoencoder,
    skae.SuperResolutionAutoencoder,
    skae.VAETransformer,
    ConditionalVAE,
]

# Whose rows are told by their codes: an upscaled image is made of the small one itself.
OF_CODES = [cls for cls in ESTIMATORS if cls is not skae.SuperResolutionAutoencoder]

# Whose rows may be those of a sparse matrix.
TAKE_SPARSE = {skae.AutoencoderTransformer, skae.VAETransformer}

# Whose rows may have missing entries.
TAKE_GAPS = {
    skae.AutoencoderTransformer,
    skae.DenoisingAutoencoder,
    skae.VAETransformer,
    ConditionalVAE,
}

LIKELIHOODS = [(cls, "gaussian") for cls in ESTIMATORS] + [(cls, "bernoulli") for cls in OF_CODES]


class NoTraining(Callback):
    """Fails where an error comes later than it should."""

    def on_train_begin(self, net, **kwargs):
        raise AssertionError("training began")


def never_trained(cls, *args, **parameters):
    """An estimator whose `fit` is to end before training begins."""
    return cls(*args, **{"callbacks": [NoTraining()], **parameters})
