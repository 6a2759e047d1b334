"""The torch module of the adversarial autoencoder, with a discriminator of codes.

Training and validation use the same quantity: the Jensen-Shannon divergence between codes and
prior, in nats. It is 0 for equal distributions and log 2 for disjoint ones. In training the
discriminator estimates it (Goodfellow et al. 2014). The validation loss estimates it without a
discriminator: see :meth:`Features.divergence`.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .autoencoder import AutoencoderModule
from .mlp import mlp

_N_FREQUENCIES = 64
_DETAILS = (1.0, 2.0, 4.0)  # factors of the frequencies, coarse to fine
_RIDGE = 0.1  # relative to the mean variance of the features
_SIZES = (128, 64)
_PACE = 2.5  # learning rate of the discriminator, relative to the autoencoder's
_PENALTY = 0.015  # gradient penalty at prior draws, per latent dimension (Mescheder et al. 2018)
_HELD_OUT = 10.0  # factor of the divergence's weight in the validation loss, for many rows
_MANY = 1000  # with fewer rows the weight is lower, as the estimate's error is about 1 / n
_EXCESS = 10.0  # weight of the error in excess of the initial model's


class Features(nn.Module):
    """Random Fourier features of the codes (Rahimi & Recht 2007).

    Without them a discriminator is slow to learn holes and clusters (Tancik et al. 2020).
    Frequencies decrease with the number of dimensions: n rows resolve less detail there.

    Shape: (..., k) -> (..., 2 * 64).
    """

    frequencies: torch.Tensor

    def __init__(self, latent_dim, generator):
        super().__init__()
        options = {"generator": generator, "dtype": torch.float32}
        frequencies = torch.randn(latent_dim, _N_FREQUENCIES, **options)
        detail = torch.tensor(_DETAILS, dtype=torch.float32).repeat(_N_FREQUENCIES)[:_N_FREQUENCIES]
        frequencies = frequencies * detail * (2.0 / latent_dim**1.5)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, z):
        phase = z @ self.frequencies
        return torch.cat([phase.cos(), phase.sin()], dim=-1)

    def whitening(self, draws):
        """Return the mean of the features of prior draws, and their whitening matrix."""
        with torch.no_grad():
            features = self(draws).cpu().double().numpy()
        values, axes = np.linalg.eigh(np.cov(features.T))
        white = axes / np.sqrt(np.maximum(values, 0.0) + _RIDGE * values.mean())
        return tuple(torch.tensor(value).to(draws) for value in (features.mean(axis=0), white))

    def divergence(self, z, mean, white):
        """Return every row's contribution to the divergence of codes from the prior, (batch,).

        The squared distance between the means of whitened features is the chi-squared
        divergence, restricted to these features (Harchaoui et al. 2007). It is 8 times the
        Jensen-Shannon divergence if that is small. The mean over rows is a U-statistic, so it
        is unbiased. The values of rows are jackknife pseudo-values, so their standard error
        is that of the mean.
        """
        white = (self(z) - mean) @ white
        others = white.sum(dim=0) - white
        shares = (white * others).sum(dim=-1) / max(len(z) - 1, 1)
        return (2.0 * shares - shares.mean()) / 8.0


class Discriminator(nn.Module):
    """Log-odds that a code comes from the autoencoder and not from the prior.

    Parameters are stored divided by a constant, and multiplied by it in ``forward``. With
    the same optimizer, the discriminator therefore learns faster than the autoencoder.

    Shape: (batch, k) -> (batch,).
    """

    def __init__(self, latent_dim, generator):
        super().__init__()
        self.features = Features(latent_dim, generator)
        n_in = latent_dim + 2 * _N_FREQUENCIES
        self.network = mlp(n_in, 1, _SIZES, "leaky_relu", generator, False)
        with torch.no_grad():
            for value in self.network.parameters():
                value /= _PACE

    def forward(self, z, *, fixed=False):
        """Return the log-odds; if `fixed`, the weights receive no gradient."""
        x = torch.cat([z, self.features(z)], dim=-1)
        for layer in self.network:
            if isinstance(layer, nn.Linear):
                values = [layer.weight, layer.bias]
                weight, bias = (_PACE * (v.detach() if fixed else v) for v in values)
                x = F.linear(x, weight, bias)
            else:
                x = layer(x)
        return x[..., 0]


class AdversarialModule(AutoencoderModule):
    """An adversarial autoencoder (Makhzani et al. 2016).

    Parameters
    ----------
    pool : callable
        Called without arguments when codes are first compared with the prior. Returns many
        draws from the prior, ndarray of shape (n, k).
    generator : torch.Generator
        Random generator for the weights of the discriminator.
    weight : float
        Weight of the divergence, in nats, relative to the error of a row.
    """

    def __init__(self, start, encoder, decoder, head, pool, generator, weight):
        super().__init__(start, encoder, decoder, head)
        self.discriminator = Discriminator(start.latent_dim, generator)
        self.pool = pool
        self.weight = weight
        self.prior_: tuple | None = None

    def count_as(self, other, factor):
        self.weight, self.prior_ = other.weight / factor, other.prior_

    def prior(self, z):
        """Return prior draws, and mean and whitening of their features, on the device of z."""
        if self.prior_ is None:
            draws = torch.from_numpy(self.pool()).to(z)
            self.prior_ = draws, *self.discriminator.features.whitening(draws)
        return self.prior_

    def forward(self, batch, generator):
        """Return the error of every row plus its share of the weighted divergence, (batch,)."""
        x, target = batch
        z = self.encode(x)
        error = self.decode(z).error(target)
        if self.training:
            return self._against_discriminator(error, z, generator)
        return self._held_out(error, z, x, target)

    def _against_discriminator(self, error, z, generator):
        """Return a loss with the gradients of both networks.

        Its value is the error plus the weighted estimate of the divergence.
        """
        draws, *_ = self.prior(z)
        chosen = torch.randint(len(draws), (len(z),), generator=generator, device=z.device)
        drawn = draws.index_select(0, chosen).requires_grad_()
        # The non-saturating loss of the generator (Goodfellow et al. 2014).
        given_away = F.softplus(self.discriminator(z, fixed=True))
        odds = self.discriminator(drawn)
        slope = torch.autograd.grad(odds.sum(), drawn, create_graph=True)[0]
        mistakes = F.softplus(-self.discriminator(z.detach())) + F.softplus(odds)
        penalty = 0.5 * _PENALTY * z.shape[1] * slope.square().sum(dim=-1)
        loss = error + self.weight * given_away + mistakes + penalty
        value = error + self.weight * (math.log(2.0) - 0.5 * mistakes)
        return loss + (value - loss).detach()

    def _held_out(self, error, z, x, target):
        """Return the validation loss, which penalises an error above the initial model's.

        The penalty outweighs any reduction of the divergence that the higher error allows.
        """
        _, *white = self.prior(z)
        divergence = self.discriminator.features.divergence(z, *white)
        linear = self.linear_decoder(self.linear_encoder(x))
        start = self.head(linear, torch.zeros_like(linear)).error(target)
        excess = (error.mean() - start.mean()).clamp(min=0.0)
        weight = _HELD_OUT * min(1.0, len(z) / _MANY) * self.weight
        return error + weight * divergence + _EXCESS * excess
