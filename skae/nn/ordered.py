"""Torch modules for ordered codes: nested dropout, initialised as PCA.

There are two modules. :class:`OrderedModule` has one encoder network for all codes. It suits
data for which PCA's errors with few and with many components have similar magnitudes.
:class:`GroupedModule` has a network for each group of codes, whose output the decoder can
subtract again. It suits data for which PCA's errors span decades.

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

_MOST_JUDGED = 8  # numbers of codes for which the validation loss is computed
_NEAR = 2.0  # standard deviations of the remainder from which on the networks' input saturates


class OrderedModule(AutoencoderModule):
    """Autoencoder whose first j codes can be decoded without the others, for every j.

    In training every row keeps its first j codes. The sizes j are spread evenly from 1 to the
    largest size at which PCA's error is not negligible. One row in three has that largest size.
    The decoder network also reads which codes are missing. The loss of a row is divided by the
    initial model's error at that size, since otherwise short codes, whose errors are large,
    would dominate. The output of the decoder network is scaled by the root of that error. It is
    0 where PCA's error is negligible.

    Parameters
    ----------
    start : skae.starts.start.Start
        Initial model of the codes in use: all, or the first ones of a truncated model.
    encoder, decoder : Module
        Residual networks, (batch, d) -> (batch, n_codes) and (..., 2 n_codes) -> (..., d).
        The decoder reads codes, 0 if missing, followed by indicators, 1 if missing.
    head : Module
        One of the heads of :mod:`skae.likelihoods`.
    whole : skae.starts.start.Start
        Initial model of all the codes that the networks were built for.
    rank : int
        Largest possible number of components of PCA.
    """

    full: int | None = 3  # one in `full` rows is trained with the largest size

    index: torch.Tensor
    weight: torch.Tensor
    unit: torch.Tensor

    def __init__(self, start, encoder, decoder, head, whole, rank):
        super().__init__(whole, encoder, decoder, head)
        self.n_codes, self.n_used = whole.latent_dim, start.latent_dim
        size = np.arange(1, self.n_used + 1)
        error = unit = np.ones(len(size))  # equal weights if there are no PCA errors
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
        """Return the distribution of a row given its first codes.

        Parameters
        ----------
        z : Tensor of shape (..., j)
        generator : None
        size : Tensor of int or None
            Number of codes of each row to use, (...,). If None, all j are used.
        """
        if size is None:
            size = torch.full(z.shape[:-1], z.shape[-1], device=z.device)
        missing, n_given = self.index >= size[..., None], z.shape[-1]
        z = F.pad(z, (0, self.n_codes - z.shape[-1])).masked_fill(missing, 0.0)
        residual = self._through(self.decoder, torch.cat([z, missing.to(z)], dim=-1))
        residual = residual * self.unit[size - 1].to(z)[..., None]
        return self._joined(z, missing, n_given, residual)

    def _joined(self, z, missing, n_given, residual):
        """Return the distribution of a row, given its codes and the decoder network's output."""
        return self.head(self.linear_decoder(z), residual)

    def forward(self, batch, generator):
        """Return the loss of every row: (batch,) in training, else (batch, n_sizes)."""
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
        """Return the number of codes that each row keeps in a training step, (n_rows,)."""
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
    """Ordered autoencoder whose nonlinear short codes do not increase the error of long ones.

    PCA's error can be a million times smaller with all codes than with one. A nonlinear change
    of the first code that the decoder knows less exactly than to a thousandth then costs all
    codes more than the first code gains. A single network for all codes therefore learns
    nothing.

    Here codes form groups of sizes 1, 1, 2, 4, 8, ..., with a network each. A group's network
    adds to the linear codes of the group. Its input is the remainder of a row: what the linear
    codes up to and including this group do not reconstruct. The decoder subtracts these
    additions again, from the last group to the first. It first predicts the remainder of all
    given codes with its own network; every group's network then yields what to subtract. If the
    remainder of all codes is 0, the decoder inverts the encoder exactly. No extra share of rows
    is then trained with all codes.

    Parameters
    ----------
    encoder : ModuleList
        A residual network for each of :func:`groups`, (batch, d) -> (batch, n_in_group).

    Notes
    -----
    The output of the networks is in units of the codes' standard deviations. Their input is
    divided by the root mean square of the remainder, and saturates from two standard deviations
    on. If the linear codes reconstruct the training table completely, the encoder networks
    ignore directions in which the table has no variance, as they were not trained on them.
    """

    full = None  # short codes do not increase the error with all codes

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
        """Return the contribution of some codes to rows along the linear path."""
        return F.linear(codes[..., first:end], self.linear_decoder.weight[:, first:end])

    def _bend(self, number, untold):
        """Return what a group's network adds to its codes, given the remainder of the rows."""
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
    """Return the first code and the end of every group; sizes are 1, 1, 2, 4, 8, ...

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
    """Return at most eight of the ordered sizes, geometrically spaced, with first and last."""
    wanted = np.geomspace(1, len(sizes), min(_MOST_JUDGED, len(sizes))).round().astype(int)
    # Small numbers may round to equal ones, so make each at least one more than the previous.
    wanted = np.maximum.accumulate(wanted - np.arange(len(wanted))) + np.arange(len(wanted))
    return sizes[np.minimum(wanted, len(sizes)) - 1]
