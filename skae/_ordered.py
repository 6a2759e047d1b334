"""The torch side of ordered latents: nested dropout, from the classical start.

Rippel, O., Gelbart, M. & Adams, R. (2014). Learning ordered representations with nested
dropout. ICML.
"""

import numpy as np
import torch
from torch.nn import functional as F

from ._module import AutoencoderModule

_FULL = 3  # one row in so many is trained with all of its codes
_MOST_JUDGED = 8  # sizes at which held-out rows are looked at


def judged_sizes(n_codes):
    """Numbers of codes at which an epoch is judged, of n_codes, evenly spread in ratio."""
    return np.unique(np.geomspace(1, n_codes, _MOST_JUDGED).round().astype(int))


class OrderedModule(AutoencoderModule):
    """An autoencoder whose first j codes are a summary of their own, for every j.

    In training a row keeps its first j codes, with j drawn evenly from all sizes; one row
    in three keeps all. The decoder network is told which codes are missing. Every row's
    loss is in units of the start's own error at that size, or the short codes, whose errors
    are large, would be all that counts; so is what the network adds to the linear path.

    Parameters
    ----------
    start : skae._classical.Start
        Of the codes that are in use: all, or the first ones of a truncated model.
    encoder, decoder : Module
        Residual networks, (batch, d) -> (batch, n_codes) and (..., 2 n_codes) -> (..., d).
        The decoder reads codes, 0 where missing, and then a 1 for every missing one.
    head : Module
        One of the heads of :mod:`skae.likelihoods`.
    n_codes : int
        What the networks were made for.
    """

    index: torch.Tensor
    weight: torch.Tensor
    unit: torch.Tensor

    def __init__(self, start, encoder, decoder, head, n_codes):
        super().__init__(start, encoder, decoder, head)
        self.n_codes = n_codes
        noise = noise_by_size(start)
        size = np.arange(1, start.latent_dim + 1)
        error = noise * np.maximum(len(start.mean) - size, 1)
        self.register_buffer("index", torch.arange(n_codes), persistent=False)
        for name, value in (
            ("weight", error[-1] / error),
            ("unit", np.sqrt(noise / start.noise_variance)),
        ):
            self.register_buffer(name, torch.tensor(value), persistent=False)

    def _shifted(self, x, residual):
        return super()._shifted(x, residual[:, : len(self.start_std)])

    def decode(self, z, generator=None, size=None):
        """The distribution of a row given its first codes.

        Parameters
        ----------
        z : Tensor of shape (..., j)
        generator : None
        size : Tensor of int or None
            How many codes of each row count, (...,); None for all of them.
        """
        n_given, n_used = z.shape[-1], len(self.unit)
        if size is None:
            size = torch.full(z.shape[:-1], n_given, device=z.device)
        missing = (self.index >= size[..., None]).to(z)
        z = F.pad(z, (0, self.n_codes - n_given)) * (1.0 - missing)
        residual = self._through(self.decoder, torch.cat([z, missing], dim=-1))
        unit = self.unit[size - 1].to(z)[..., None]
        return self.head(self.linear_decoder(z[..., :n_used]), unit * residual)

    def forward(self, x, target, generator):
        """Loss of every row, (batch,); of held-out rows at several sizes, (batch, n_sizes)."""
        z, target = self.encode(x), self.head.target(target)
        n_used = len(self.unit)
        if self.training:
            number = torch.arange(len(x), device=x.device)
            first = torch.randint(n_used, (1,), generator=generator, device=x.device)
            size = torch.where(number % _FULL == 0, n_used, (first + number) % n_used + 1)
            return self._loss(z, size, target)
        losses = [
            self._loss(z, torch.full((len(x),), int(size), device=x.device), target)
            for size in judged_sizes(n_used)
        ]
        return torch.stack(losses, dim=1)

    def _loss(self, z, size, target):
        return self.decode(z, None, size).error(target) * self.weight[size - 1].to(z)


def noise_by_size(start):
    """Variance per feature that the start leaves with its first j codes, for every j.

    As of PCA, whose codes add what their axes explain. Of probabilities, and where there
    is no start, all sizes count the same.
    """
    d, k = len(start.mean), start.latent_dim
    explained = np.square(start.decoder).sum(axis=1)
    if not start.decoder_bias.any() and explained.any():
        left = (d - np.cumsum(explained)) / np.maximum(d - np.arange(1, k + 1), 1)
        return np.maximum(left, start.noise_variance)
    return np.full(k, start.noise_variance)
