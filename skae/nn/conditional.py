"""The torch side of the variational autoencoder of rows given conditions."""

import torch

from .vae import VAEModule


class ConditionalVAEModule(VAEModule):
    """A variational autoencoder whose rows end in conditions, which the decoder reads too.

    Shape: rows (batch, d + q); codes as the decoder reads them (..., k + q).
    """

    def __init__(self, start, encoder, decoder, head):
        super().__init__(start, encoder, decoder, head)
        self.n_features = len(start.mean)

    def given(self, z, x):
        """Codes with the conditions of the rows behind them."""
        conditions = x[:, self.n_features :]
        return torch.cat([z, conditions.expand(*z.shape[:-1], -1)], dim=-1)

    def plausibility(self, x, target):
        """The ELBO of every row but for constants, with the code at its mean, (batch,).

        It compares conditions, with noise that is alike for all rows: to second order of
        the decoder, what is left out depends on the row and on nothing else.
        """
        posterior = self.encode(x)
        decoded, _ = self._decode(self.given(posterior.mean, x), None)
        kl = posterior.kl_from_standard_normal().sum(-1)
        return decoded.log_prob(target) - kl
