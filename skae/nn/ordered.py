"""The torch side of ordered latents: nested dropout, from the classical start.

There are two modules. Where PCA's errors of all sizes are of like magnitude one encoder
network bends all codes; where they span decades codes bend in groups that the decoder can
undo.

Rippel, O., Gelbart, M. & Adams, R. (2014). Learning ordered representations with nested
dropout. ICML.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

from ..likelihoods.gaussian import Gaussian
from ..starts.pca import LEAST_ERROR, errors
from .autoencoder import AutoencoderModule
from .init import is_zero

_MOST_JUDGED = 8  # sizes at which held-out rows are looked at
_NEAR = 2.0  # standard deviations up to which groups are told how far out a row is


class OrderedModule(AutoencoderModule):
    """An autoencoder whose first j codes are a summary of their own, for every j.

    In training a row keeps its first j codes, with j drawn evenly from all sizes up to where
    PCA leaves next to nothing; one row in three keeps as many as that. The decoder network is
    told which codes are missing. Every row's loss is in units of the start's own error at that
    size, or the short codes, whose errors are large, would be all that counts; so is what
    the network adds to the linear path, which is nothing where PCA leaves next to nothing.

    Parameters
    ----------
    start : skae.starts.start.Start
        Of the codes that are in use: all, or the first ones of a truncated model.
    encoder, decoder : Module
        Residual networks, (batch, d) -> (batch, n_codes) and (..., 2 n_codes) -> (..., d).
        The decoder reads codes, 0 where missing, and then a 1 for every missing one.
    head : Module
        One of the heads of :mod:`skae.likelihoods`.
    whole : skae.starts.start.Start
        Of the codes that the networks were made for.
    rank : int
        The most components that PCA would find.
    """

    full: int | None = 3  # one row in so many is trained with all of its codes

    index: torch.Tensor
    weight: torch.Tensor
    unit: torch.Tensor

    def __init__(self, start, encoder, decoder, head, whole, rank):
        super().__init__(whole, encoder, decoder, head)
        self.n_codes, self.n_used = whole.latent_dim, start.latent_dim
        size = np.arange(1, self.n_used + 1)
        error = unit = np.ones(len(size))  # probabilities, and no start: all count the same
        judged = size
        if head.is_normal and start.explained.any():
            left, least = errors(start), LEAST_ERROR * len(start.mean)
            error = np.maximum(left, least)
            unit = np.sqrt(error / np.maximum(rank - size, 1) / start.noise_variance)
            unit[left <= least] = 0.0
            judged = size[left > least] if left[0] > least else size
        self.judged = spread_out(judged)
        self.register_buffer("index", torch.arange(self.n_codes), persistent=False)
        for name, value in (("weight", error[-1] / error), ("unit", unit)):
            self.register_buffer(name, torch.tensor(value), persistent=False)

    def count_as(self, other, factor):
        self.judged, self.weight = other.judged, other.weight

    def encode(self, x):
        return super().encode(x)[:, : self.n_used]

    def decode(self, z, generator=None, size=None):
        """The distribution of a row given its first codes.

        Parameters
        ----------
        z : Tensor of shape (..., j)
        generator : None
        size : Tensor of int or None
            How many codes of each row count, (...,); None for all of them.
        """
        if size is None:
            size = torch.full(z.shape[:-1], z.shape[-1], device=z.device)
        missing, n_given = self.index >= size[..., None], z.shape[-1]
        z = F.pad(z, (0, self.n_codes - z.shape[-1])).masked_fill(missing, 0.0)
        residual = self._through(self.decoder, torch.cat([z, missing.to(z)], dim=-1))
        residual = residual * self.unit[size - 1].to(z)[..., None]
        return self._joined(z, missing, n_given, residual)

    def _joined(self, z, missing, n_given, residual):
        """The distribution of a row, from its codes and what the decoder's network adds."""
        return self.head(self.linear_decoder(z), residual)

    def forward(self, batch, generator):
        """Loss of every row, (batch,); of held-out rows at several sizes, (batch, n_sizes)."""
        x, target = batch
        z = self.encode(x)
        if self.training:
            return self._loss(z, self._training_sizes(len(x), generator, x.device), target)
        losses = [
            self._loss(z[:, :size], torch.full((len(x),), int(size), device=x.device), target)
            for size in self.judged
        ]
        return torch.stack(losses, dim=1)

    def _training_sizes(self, n_rows, generator, device):
        """How many codes of each row count in a step of training, (n_rows,)."""
        number, most = torch.arange(n_rows, device=device), int(self.judged[-1])
        period = most * (self.full or 1)
        first = torch.randint(period, (1,), generator=generator, device=device)
        size = (first + number) % most + 1
        if self.full:
            size = torch.where((first // most + number) % self.full == 0, most, size)
        return size

    def _loss(self, z, size, target):
        return self.decode(z, None, size).error(target) * self.weight[size - 1].to(z)


class GroupedModule(OrderedModule):
    """An ordered autoencoder whose short codes bend without harm to long ones.

    PCA's error can be a million times smaller with all codes than with one. Any bend of the
    first code that the decoder does not know to a thousandth would then cost all codes more
    than it gains, and one network for all codes leaves them as they are.

    Here codes bend in groups of 1, 1, 2, 4, 8, ...: what a group's network adds to its linear
    codes depends only on the part of a row that these and the codes before them do not tell.
    So the decoder can undo it, from the last group to the first: it begins with what its own
    network says of all that the given codes do not tell, and every group's network then
    answers what to take off its codes. Where nothing is left untold any bend is undone exactly.
    Sizes of training rows are even, then: all codes need no share of their own.

    Parameters
    ----------
    encoder : ModuleList
        A residual network for each of :func:`groups`, (batch, d) -> (batch, n_in_group).

    Notes
    -----
    The units of bends are standard deviations of codes; what networks read is standardised by
    what the linear codes leave untold, and levels off from two standard deviations on. Where
    linear codes tell all of the table, those of the encoder read nothing of directions in which
    it has no extent: they have learned nothing of rows that do.
    """

    full = None  # all codes lose nothing by what short ones gain

    def __init__(self, start, encoder, decoder, head, whole, rank):
        super().__init__(start, encoder, decoder, head, whole, rank)
        self.groups = groups(self.n_codes)
        left = errors(whole) / len(whole.mean)
        tells_all = left <= LEAST_ERROR
        self.n_read = int(tells_all.argmax()) + 1 if tells_all.any() else None
        self.untold = [max(float(left[end - 1]), LEAST_ERROR) for _, end in self.groups]

    @property
    def is_start(self):
        return all(is_zero(network) for network in (*self.encoder, self.decoder))

    def encode(self, x):
        linear = self.linear_encoder(x)
        untold, codes = x - self.linear_decoder.bias, []
        if self.n_read is not None:
            untold = self._rows_of(linear, 0, self.n_read)
        for number, (first, end) in enumerate(self.groups):
            if first >= self.n_used:
                break
            of_group = linear[..., first:end]
            untold = untold - self._rows_of(linear, first, self._last_read(end))
            codes.append(of_group + self._bend(number, untold))
        return torch.cat(codes, dim=-1)[..., : self.n_used]

    def _last_read(self, end):
        return end if self.n_read is None else min(end, self.n_read)

    def _rows_of(self, codes, first, end):
        """What some of the codes add to rows, along the linear path."""
        return F.linear(codes[..., first:end], self.linear_decoder.weight[:, first:end])

    def _bend(self, number, untold):
        """What a group's network adds to its codes where they leave this of rows untold."""
        near = _NEAR**2 * self.untold[number]
        share = _NEAR * (untold.square().mean(-1, keepdim=True) + near).rsqrt()
        return self._through(self.encoder[number], untold * share)

    def _joined(self, z, missing, n_given, residual):
        rest = residual * math.exp(self.head.start_log_std)
        guessed = F.linear(rest, self.linear_encoder.weight)
        rest = rest - self._rows_of(guessed, 0, self.n_codes)
        codes = torch.where(missing, guessed, z)
        untold = rest
        for number, (first, end) in reversed(list(enumerate(self.groups))):
            if first < n_given:
                bend = self._bend(number, untold).masked_fill(missing[..., first:end], 0.0)
                codes = codes - F.pad(bend, (first, self.n_codes - end))
            untold = untold + self._rows_of(codes, first, self._last_read(end))
        return Gaussian(self.linear_decoder(codes) + rest, self.head.log_std())


def groups(n_codes):
    """First and end of groups of codes: 1, 1, 2, 4, 8, ... of them.

    Examples
    --------
    >>> from skae.nn.ordered import groups
    >>> groups(6)
    [(0, 1), (1, 2), (2, 4), (4, 6)]
    """
    ends = [1]
    while ends[-1] < n_codes:
        ends.append(min(2 * ends[-1], n_codes))
    return list(zip([0, *ends], ends, strict=False))


def spread_out(sizes):
    """At most eight of sizes in order, with the first and the last, even in ratio."""
    wanted = np.geomspace(1, len(sizes), min(_MOST_JUDGED, len(sizes))).round().astype(int)
    # Small numbers round to the same: each is then at least one more than the one before.
    wanted = np.maximum.accumulate(wanted - np.arange(len(wanted))) + np.arange(len(wanted))
    return sizes[np.minimum(wanted, len(sizes)) - 1]
