"""The torch module of the conditional variational autoencoder."""

import torch

from .vae import VAEModule


class ConditionalVAEModule(VAEModule):
    """Variational autoencoder whose encoder and decoder also read conditions.

    Shape: rows with conditions (batch, d + q); input of the decoder (..., k + q).
    """

    def __init__(self, start, encoder, decoder, head):
        super().__init__(start, encoder, decoder, head)
        self.n_features = len(start.mean)

    def given(self, z, x):
        """Return codes followed by the conditions of the rows, (..., k + q)."""
        conditions = x[:, self.n_features :]
        return torch.cat([z, conditions.expand(*z.shape[:-1], -1)], dim=-1)

    def plausibility(self, x, target):
        """Return the ELBO of every row up to a constant, at the posterior mean, (batch,).

        It is for comparing conditions, with homoscedastic noise. To second order of the
        decoder, the omitted terms depend only on the row.
        """
        posterior = self.encode(x)
        decoded, _ = self._decode(self.given(posterior.mean, x), None)
        kl = posterior.kl_from_standard_normal().sum(-1)
        if self.gaps is None:
            return decoded.log_prob(target) - kl
        there = ~target.isnan()
        return decoded.log_prob(torch.where(there, target, 0.0), there) - kl
