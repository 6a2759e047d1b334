"""The torch side of ordered latents: nested dropout, from the classical start.

Rippel, O., Gelbart, M. & Adams, R. (2014). Learning ordered representations with nested
dropout. ICML.
"""

import numpy as np
import torch
from torch.nn import functional as F

from ._module import AutoencoderModule
from .likelihoods import GaussianHead

_FULL = 3  # one row in so many is trained with all of its codes
_MOST_JUDGED = 16  # sizes at which held-out rows are looked at
_FAR = 1e30  # further than any code
_LEAST_ERROR = 1e-6  # share of the variance below which an error is not worth a network


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
    rank : int
        The most components that PCA would find.

    Notes
    -----
    `reach`, (n_codes,), is the largest norm of the first j codes of a training row. From there
    to half as far again what the decoder's network adds fades out, and beyond the linear path
    alone decodes: one network for all sizes has little hold on rows far out.
    """

    reach: torch.Tensor
    index: torch.Tensor
    weight: torch.Tensor
    unit: torch.Tensor

    def __init__(self, start, encoder, decoder, head, n_codes, rank):
        super().__init__(start, encoder, decoder, head)
        self.n_codes = n_codes
        size = np.arange(1, start.latent_dim + 1)
        error = unit = np.ones(len(size))  # probabilities, and no start: all count the same
        judged = size
        if isinstance(head, GaussianHead) and start.explained.any():
            d = len(start.mean)
            left = d - np.cumsum(start.explained)
            error = np.maximum(left, _LEAST_ERROR * d)
            unit = np.sqrt(error / np.maximum(rank - size, 1) / start.noise_variance)
            judged = size[left > _LEAST_ERROR * d] if left[0] > _LEAST_ERROR * d else size
        self.judged = spread_out(judged)
        self.register_buffer("reach", torch.full((n_codes,), _FAR))
        self.register_buffer("index", torch.arange(n_codes), persistent=False)
        for name, value in (("weight", error[-1] / error), ("unit", unit)):
            self.register_buffer(name, torch.tensor(value), persistent=False)

    def train(self, mode=True):
        """As in torch; in training codes may grow."""
        if mode:
            self.reach.fill_(_FAR)
        return super().train(mode)

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
        if not self.training:
            beyond = z.norm(dim=-1, keepdim=True) / self.reach[size - 1].to(z)[..., None]
            residual = residual * (3.0 - 2.0 * beyond).clamp(0.0, 1.0)
        unit = self.unit[size - 1].to(z)[..., None]
        return self.head(self.linear_decoder(z[..., :n_used]), unit * residual)

    def forward(self, x, target, generator):
        """Loss of every row, (batch,); of held-out rows at several sizes, (batch, n_sizes)."""
        z, target = self.encode(x), self.head.target(target)
        n_used = len(self.unit)
        if self.training:
            number = torch.arange(len(x), device=x.device)
            most = _FULL * n_used
            first = torch.randint(most, (1,), generator=generator, device=x.device)
            every = (first + number) % n_used + 1
            size = torch.where((first // n_used + number) % _FULL == 0, n_used, every)
            return self._loss(z, size, target)
        losses = [
            self._loss(z, torch.full((len(x),), int(size), device=x.device), target)
            for size in self.judged
        ]
        return torch.stack(losses, dim=1)

    def _loss(self, z, size, target):
        return self.decode(z, None, size).error(target) * self.weight[size - 1].to(z)


def spread_out(sizes):
    """At most 16 of sizes in order, with the first and the last, even in ratio."""
    wanted = np.geomspace(1, len(sizes), min(_MOST_JUDGED, len(sizes))).round().astype(int)
    # Small numbers round to the same: each is then at least one more than the one before.
    wanted = np.maximum.accumulate(wanted - np.arange(len(wanted))) + np.arange(len(wanted))
    return sizes[np.minimum(wanted, len(sizes)) - 1]
