"""The denoising autoencoder, which starts as the best linear denoiser."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from . import _classical
from ._base import BaseAutoencoder


class DenoisingAutoencoder(BaseAutoencoder):
    """DAE."""

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "corruption": [StrOptions({"gaussian", "masking", "salt_and_pepper", "swap"}), callable],
        "corruption_level": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        latent_dim=2,
        *,
        corruption="gaussian",
        corruption_level=0.3,
        hidden_layer_sizes=(128, 64),
        activation="gelu",
        init="pca",
        likelihood="gaussian",
        lr=2e-3,
        max_epochs=100,
        batch_size="auto",
        optimizer="adamw",
        weight_decay=0.01,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        device="auto",
        callbacks=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            latent_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            init=init,
            likelihood=likelihood,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            device=device,
            callbacks=callbacks,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.corruption = corruption
        self.corruption_level = corruption_level

    def fit(self, X, y=None, X_clean=None):
        return self._fit(X, X_clean)

    def denoise(self, X):
        """Remove corruption from rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Corrupted rows.

        Returns
        -------
        X_denoised : ndarray of shape (n_samples, n_features)
            In the dtype of X; the same as ``reconstruct(X)``.
        """
        return self.reconstruct(X)
