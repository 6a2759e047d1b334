"""The torch side of the adversarial autoencoder: a discriminator of codes.

Training and the choice of the epoch look at the same quantity, the Jensen-Shannon
divergence of the codes from the prior in nats, 0 where they are alike and log 2 where
nothing is shared. In training the discriminator estimates it (Goodfellow et al. 2014);
held-out rows are judged without one, see :meth:`Features.divergence`.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .autoencoder import AutoencoderModule
from .mlp import mlp

_N_FREQUENCIES = 64
_DETAILS = (1.0, 2.0, 4.0)  # frequencies, coarse to fine
_RIDGE = 0.1  # of the features' mean variance
_SIZES = (128, 64)
_PACE = 2.5  # of the discriminator, beside the autoencoder, which it has to follow
_PENALTY = 0.015  # of gradients at draws from the prior, per latent (Mescheder et al. 2018)
_HELD_OUT = 10.0  # how much more the divergence weighs when an epoch is judged by many rows
_MANY = 1000  # fewer show it less well, with an error of 1 / n, and it weighs less
_EXCESS = 10.0  # weight of an error above the start's


class Features(nn.Module):
    """Waves over the codes, at random frequencies (Rahimi & Recht 2007).

    Without them a discriminator is slow to see holes and clusters (Tancik et al. 2020).
    What is fine to n rows is coarser in more dimensions, and so are the waves.

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
        """Mean of the features of draws from the prior, and what makes them white."""
        with torch.no_grad():
            features = self(draws).cpu().double().numpy()
        values, axes = np.linalg.eigh(np.cov(features.T))
        white = axes / np.sqrt(np.maximum(values, 0.0) + _RIDGE * values.mean())
        return tuple(torch.tensor(value).to(draws) for value in (features.mean(axis=0), white))

    def divergence(self, z, mean, white):
        """What every row adds to the divergence of codes from the prior, (batch,).

        The squared distance of the means of white features is, as far as these features
        reach, the chi-squared divergence (Harchaoui et al. 2007), which is 8 times the
        Jensen-Shannon divergence where that is small. The mean over rows is unbiased (a
        U-statistic), and rows are its jackknife's, whose spread is the right one.
        """
        white = (self(z) - mean) @ white
        others = white.sum(dim=0) - white
        shares = (white * others).sum(dim=-1) / max(len(z) - 1, 1)
        return (2.0 * shares - shares.mean()) / 8.0


class Discriminator(nn.Module):
    """The log-odds that a code is the autoencoder's and not the prior's.

    Its weights are factors of the pace at which they learn, so that one optimiser serves.

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
        """The log-odds; `fixed` lets no gradient reach the weights."""
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
        Takes nothing, answers many draws from the prior, ndarray of shape (n, k). It is
        called when codes are first compared with the prior.
    generator : torch.Generator
        What the discriminator is drawn from.
    weight : float
        Of the divergence, in nats, beside the error of a row.
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
        """Draws, and mean and whitening of their features, where the codes are."""
        if self.prior_ is None:
            draws = torch.from_numpy(self.pool()).to(z)
            self.prior_ = draws, *self.discriminator.features.whitening(draws)
        return self.prior_

    def forward(self, batch, generator):
        """Error of every row plus what it adds to the weighed divergence, (batch,)."""
        x, target = batch
        z = self.encode(x)
        error = self.decode(z).error(target)
        if self.training:
            return self._against_discriminator(error, z, generator)
        return self._held_out(error, z, x, target)

    def _against_discriminator(self, error, z, generator):
        """The loss whose gradient each side follows, with a value that says something."""
        draws, *_ = self.prior(z)
        chosen = torch.randint(len(draws), (len(z),), generator=generator, device=z.device)
        drawn = draws.index_select(0, chosen).requires_grad_()
        # The autoencoder is to be taken for the prior (the loss that does not saturate).
        given_away = F.softplus(self.discriminator(z, fixed=True))
        odds = self.discriminator(drawn)
        slope = torch.autograd.grad(odds.sum(), drawn, create_graph=True)[0]
        mistakes = F.softplus(-self.discriminator(z.detach())) + F.softplus(odds)
        penalty = 0.5 * _PENALTY * z.shape[1] * slope.square().sum(dim=-1)
        loss = error + self.weight * given_away + mistakes + penalty
        value = error + self.weight * (math.log(2.0) - 0.5 * mistakes)
        return loss + (value - loss).detach()

    def _held_out(self, error, z, x, target):
        """An error above the start's counts for more than any divergence gained by it."""
        _, *white = self.prior(z)
        divergence = self.discriminator.features.divergence(z, *white)
        linear = self.linear_decoder(self.linear_encoder(x))
        start = self.head(linear, torch.zeros_like(linear)).error(target)
        excess = (error.mean() - start.mean()).clamp(min=0.0)
        weight = _HELD_OUT * min(1.0, len(z) / _MANY) * self.weight
        return error + weight * divergence + _EXCESS * excess
