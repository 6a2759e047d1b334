"""The initial model of training: a linear autoencoder of standardised rows, in closed form.

Every initial model is a :class:`Start` for rows ``x = (X - mean) / scale``. The scale is a single
number, so squared errors of x and of X are proportional::

    codes = x @ encoder + encoder_bias
    x_hat = codes @ decoder + decoder_bias
"""

import numbers
from dataclasses import dataclass

import numpy as np

from ..codec import Plain
from .normal import Normal

ERROR_FLOOR = 1e-9


@dataclass(frozen=True)
class Start(Plain):
    """A linear autoencoder of standardised rows, with k codes and d features."""

    mean: np.ndarray  # (d,), of decoded rows, in units of X
    scale: float  # in units of X
    input_mean: np.ndarray  # (d,), of the encoder's rows: the same unless rows are paired
    input_scale: float
    encoder: np.ndarray  # (d, k)
    encoder_bias: np.ndarray  # (k,)
    decoder: np.ndarray  # (k, d)
    decoder_bias: np.ndarray  # (d,)
    # Residual variance of x per feature; (d,) in factor analysis.
    noise_variance: float | np.ndarray
    code_scale: np.ndarray  # (k,), factors that convert codes to the user's units
    log_variance: np.ndarray  # (k,), of the posterior of a code, given this noise
    explained: np.ndarray  # (k,), variance of decoded rows that each code explains
    # Distribution of the rows that the encoder reads, if it is not `normal()`.
    inputs: Normal | None = None
    # What is added to the logits of discrete columns, so that they have their frequencies.
    offsets: np.ndarray | None = None
    # Overdispersion of counts, (d,): variance beyond the mean, over its square.
    dispersion: np.ndarray | None = None

    parts = {"inputs": Normal}

    @property
    def latent_dim(self):
        return self.encoder.shape[1]

    def normal(self):
        """Return the normal distribution of standardised rows that goes with PCA.

        It is that of probabilistic PCA, given conditions if there are any.

        Principal axes are as long as the standard deviation of their codes beyond the noise,
        whose variance is at least 1e-9.
        """
        noise = np.maximum(np.broadcast_to(self.noise_variance, len(self.mean)), ERROR_FLOOR)
        axes = self.decoder[: self.latent_dim]
        length = np.linalg.norm(axes, axis=1)
        excess = np.sqrt(np.maximum(self.explained - noise.mean(), 0.0))
        weights = axes * (excess / np.where(length > 0, length, 1.0))[:, None]
        return Normal(self.decoder_bias, weights, noise)

    @property
    def of_inputs(self):
        """Normal distribution of the rows that the encoder reads, standardised."""
        return self.normal() if self.inputs is None else self.inputs


def choose_latent_dim(latent_dim, eigenvalues):
    """Return the number of codes: an int unchanged, or for a fraction of variance to retain."""
    if isinstance(latent_dim, numbers.Integral):
        return int(latent_dim)
    share = np.cumsum(eigenvalues / max(eigenvalues.sum(), np.finfo(float).tiny))
    return min(int(np.searchsorted(share, latent_dim, side="right")) + 1, len(eigenvalues))


def linear(table, reader, axes, values, noise):
    """Build a linear autoencoder: codes ``x @ reader`` of unit variance, decoded along `axes`."""
    # A code without variance cannot be scaled to unit variance.
    spread = np.sqrt(values)
    varies = spread > 1e-10 * spread.max(initial=1e-300)
    spread = np.where(varies, spread, 1.0)
    n_features, k = axes.shape
    noise = max(float(noise), ERROR_FLOOR)
    return Start(
        mean=table.mean,
        scale=table.scale,
        input_mean=table.mean,
        input_scale=table.scale,
        encoder=reader / spread,
        encoder_bias=np.zeros(k),
        decoder=(axes * spread).T,
        decoder_bias=np.zeros(n_features),
        noise_variance=noise,
        code_scale=spread * np.mean(table.scale),
        log_variance=np.log(np.minimum(noise / spread**2, 1.0)),
        explained=np.where(varies, values, 0.0),
    )


def noise_left(values, k):
    """Return the mean of the eigenvalues after the k-th, like PCA.noise_variance_."""
    return float(values[k:].mean()) if k < len(values) else 0.0
