"""The torch side of every estimator: a linear path plus a residual network.

Encoder and decoder are ``linear(x) + unit * network(x)``. The linear path is the
classical start, kept as it is; the networks' last layers begin at zero, so training
starts exactly there. The units are the uncertainty that the start leaves: the noise of
a feature, and what that noise makes of a code, so that one learning rate serves tables
that PCA fits badly and well. ``forward`` answers the loss of every row.
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..training.threads import half_precision
from .init import is_zero


class LinearPath(nn.Module):
    """``x @ weight + bias``, fixed, in float64 until the module is cast.

    Shape: (..., n_in) -> (..., n_out).
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight, bias):
        super().__init__()
        for name, value in (("weight", weight.T), ("bias", bias)):
            value = torch.tensor(value, dtype=torch.float64)
            self.register_buffer(name, value, persistent=False)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


def _absorb(layer, mean, scale):
    """A linear layer that standardises its input first."""
    weight = layer.weight.detach().cpu().double().numpy() / scale
    bias = layer.bias.detach().cpu().double().numpy() - weight @ mean
    absorbed = LinearPath(weight.T, bias)
    return absorbed.to(layer.weight)


class AutoencoderModule(nn.Module):
    """A deterministic autoencoder of standardised rows.

    Parameters
    ----------
    start : skae.starts.start.Start
    encoder, decoder : Module
        Residual networks, (batch, d) -> (batch, k) and back.
    head : Module
        One of the heads of :mod:`skae.likelihoods`.

    Notes
    -----
    `corruption`, a callable ``(x, generator) -> x`` or None, is what the input of the
    encoder goes through in ``forward``; it is only there while training.
    """

    start_log_std: torch.Tensor
    start_std: torch.Tensor

    def __init__(self, start, encoder, decoder, head):
        super().__init__()
        self.linear_encoder = LinearPath(start.encoder, start.encoder_bias)
        self.linear_decoder = LinearPath(start.decoder, start.decoder_bias)
        log_std = torch.tensor(0.5 * start.log_variance, dtype=torch.float64)
        self.register_buffer("start_log_std", log_std, persistent=False)
        self.register_buffer("start_std", log_std.exp(), persistent=False)
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.corruption = None
        self.autocast = False  # whether networks are trained in bfloat16

    def _through(self, network, x, *rest):
        """What a network makes of x, in bfloat16 where asked for, unlike the linear path."""
        if not (self.autocast and self.training):
            return network(x, *rest)
        with half_precision(x.device):
            return network(x, *rest).float()

    def encode(self, x):
        """Codes of shape (batch, k)."""
        return self._shifted(x, self._through(self.encoder, x))

    def _shifted(self, x, residual):
        return torch.addcmul(self.linear_encoder(x), residual, self.start_std)

    def absorbing(self, mean, scale):
        """The same encoder for rows that are not standardised, or None where that is inexact.

        The affine map goes into the first layers, which saves a pass over the rows. Where
        a mean is large it would cost digits, and other first layers have no room for it.
        """
        network = self.encoder
        first = network[0] if isinstance(network, nn.Sequential) else None
        if not isinstance(first, nn.Linear) or (np.abs(mean) > 4.0 * scale).any():
            return None
        least = torch.finfo(first.weight.dtype).tiny ** 0.5
        if np.min(scale) < least or np.max(scale) > 1.0 / least:  # weights would lose digits
            return None
        module = copy.copy(self)
        module._modules = dict(self._modules)
        module.encoder = nn.Sequential(_absorb(first, mean, scale), *network[1:])
        module.linear_encoder = _absorb(self.linear_encoder, mean, scale)
        return module

    def decode(self, z, generator=None):
        """The distribution of a row given its code.

        A decoder that is told the step before is told only some in training, drawn from
        the generator.
        """
        linear = self.linear_decoder(z)
        if not self.reads_past:
            return self.head(linear, self._through(self.decoder, z))
        generator = generator if self.training else None
        return self.head.stepwise(
            linear,
            lambda x: self._through(self.decoder, z, x, generator),
            lambda: self.decoder.steps(z),
        )

    @property
    def reads_past(self):
        """Whether a step of a sequence is decoded with the one before it in view.

        At the classical start, as long as nothing is learned, there is nothing to see.
        """
        can = getattr(self.decoder, "reads_past", False)
        return can and (self.training or not is_zero(self.decoder))

    def embed(self, x):
        """The code of a row, without noise."""
        return self.encode(x)

    def given(self, z, x):
        """Codes as the decoder reads them, beside what else it may know of the rows."""
        return z

    def expect(self, z):
        """The mean of a row given its code."""
        return self.decode(z).mean

    def reconstruct(self, x):
        """The mean of a row given the code of a standardised row."""
        return self.expect(self.given(self.embed(x), x))

    @property
    def is_start(self):
        """Whether encoder and decoder are the classical start, as nothing was learned."""
        return is_zero(self.encoder) and is_zero(self.decoder)

    @property
    def noise_varies(self):
        """Whether the noise of a row depends on its code."""
        return False

    def keep_aside(self, accepts, before):
        """Keep what was learned aside, in a loss of its own, only where that is accepted.

        ``accepts(**options)`` says whether held-out rows are better off with the losses that
        `forward` returns with these options; `before` is whether it was kept before.
        """

    def drop_idle(self):
        """Do without parts that have learned nothing and never will."""

    def count_as(self, other, factor):
        """Let losses be made up as those of a module on another start.

        `factor` is a unit of this module's losses in units of the other's.
        """

    @property
    def stochastic(self):
        """Whether ``forward`` draws noise."""
        return self.corruption is not None

    def forward(self, batch, generator):
        """Reconstruction error of every row, (batch,)."""
        x, target = batch
        if self.corruption is not None:
            x = self.corruption(x, generator)
        return self.decode(self.given(self.encode(x), x)).error(target)
