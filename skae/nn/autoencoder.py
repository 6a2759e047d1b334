"""The torch module of every estimator: a linear path plus residual networks.

Encoder and decoder are ``linear(x) + unit * network(x)``. The linear path is the initial model
and stays fixed. The networks' last layers are initialised to zero, so training starts exactly at
the initial model. The unit is the standard deviation that the initial model leaves: of the noise
of a feature, or of the posterior of a code. One learning rate then suits tables that PCA fits
well and badly. ``forward`` returns the loss of every row.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..threads import half_precision
from .gaps import hide
from .init import is_zero


class LinearPath(nn.Module):
    """Fixed affine map ``x @ weight + bias``, in float64 until the module is cast.

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


class BentPath(LinearPath):
    """Affine map of codes, and of conditions after them, with the effect of the codes bent.

    Parameters
    ----------
    start : skae.starts.start.Start
    bend : callable
        Tensor of shape (..., d) -> tensor of the same shape.
    """

    def __init__(self, start, bend):
        super().__init__(start.decoder, start.decoder_bias)
        self.n_codes = start.latent_dim
        self.bend = bend

    def forward(self, z):
        k = self.n_codes
        effect = F.linear(z[..., :k], self.weight[:, :k])
        return self.bend(effect) + F.linear(z[..., k:], self.weight[:, k:], self.bias)


def _absorb(layer, mean, scale):
    """Return a copy of a linear layer that takes rows before standardisation."""
    weight = layer.weight.detach().cpu().double().numpy() / scale
    bias = layer.bias.detach().cpu().double().numpy() - weight @ mean
    absorbed = LinearPath(weight.T, bias)
    return absorbed.to(layer.weight)


class AutoencoderModule(nn.Module):
    """Deterministic autoencoder of standardised rows.

    Parameters
    ----------
    start : skae.starts.start.Start
        Initial model.
    encoder, decoder : Module
        Residual networks, (batch, d) -> (batch, k) and back.
    head : Module
        One of the heads of :mod:`skae.likelihoods`.

    Notes
    -----
    `corruption` is a callable ``(x, generator) -> x`` or None. ``forward`` applies it to the
    input of the encoder. It is set only during training.
    """

    start_log_std: torch.Tensor
    start_std: torch.Tensor

    def __init__(self, start, encoder, decoder, head):
        super().__init__()
        self.linear_encoder = LinearPath(start.encoder, start.encoder_bias)
        if head.bend is None:
            self.linear_decoder = LinearPath(start.decoder, start.decoder_bias)
        else:
            self.linear_decoder = BentPath(start, head.bend)
        log_std = torch.tensor(0.5 * start.log_variance, dtype=torch.float64)
        self.register_buffer("start_log_std", log_std, persistent=False)
        self.register_buffer("start_std", log_std.exp(), persistent=False)
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.corruption = None
        self.gaps: Any = None  # a Gaps: how missing entries are filled in, if there may be any
        self.autocast = False  # whether the networks are trained in bfloat16

    def _through(self, network, x, *rest):
        """Apply a network to x, in bfloat16 when training with `autocast`."""
        if not (self.autocast and self.training):
            return network(x, *rest)
        with half_precision(x.device):
            return network(x, *rest).float()

    def encode(self, x):
        """Return codes, (batch, k)."""
        if self.gaps is not None:
            x = self.gaps.fill(x)[0]
        return self._shifted(x, self._through(self.encoder, x))

    def _shifted(self, x, residual):
        return torch.addcmul(self.linear_encoder(x), residual, self.start_std)

    def absorbing(self, mean, scale):
        """Return a module that encodes rows before standardisation, or None.

        Standardisation becomes part of the first layers, which saves a pass over the rows.
        None is returned if the first layer of the encoder is not linear, or if the result
        would lose precision, for example because a mean is large.
        """
        if self.gaps is not None:
            return None
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
        """Return the distribution of a row given its code.

        With teacher forcing, the decoder reads only a random subset of the previous steps in
        training. The subset is drawn from `generator`.
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
        """Whether each step of a sequence is decoded given the previous step.

        This is False in evaluation mode while the decoder network is still zero, as it then
        ignores the previous step.
        """
        can = getattr(self.decoder, "reads_past", False)
        return can and (self.training or not is_zero(self.decoder))

    def embed(self, x):
        """Return the code of every row, without noise, (batch, k)."""
        return self.encode(x)

    def given(self, z, x):
        """Return the input of the decoder: codes, in subclasses with conditions from x."""
        return z

    def expect(self, z):
        """Return the mean of a row given its code."""
        return self.decode(z).mean

    def reconstruct(self, x):
        """Return the mean of a row given the code of a standardised row."""
        return self.expect(self.given(self.embed(x), x))

    @property
    def is_start(self):
        """Whether encoder and decoder still equal the initial model."""
        return is_zero(self.encoder) and is_zero(self.decoder)

    @property
    def noise_varies(self):
        """Whether the noise is heteroscedastic: whether it depends on the code."""
        return False

    def keep_aside(self, accepts, before):
        """Keep parts that were trained with a separate loss only if they are accepted.

        ``accepts(**options)`` returns whether the losses that `forward` returns with these
        options are accepted on validation rows. `before` is whether the parts were kept before.
        """

    def drop_idle(self):
        """Remove untrained parts of a module that will not be trained any more."""

    def count_as(self, other, factor):
        """Compute losses like `other`, a module with another initial model.

        `factor` converts this module's losses to units of the other's.
        """

    @property
    def stochastic(self):
        """Whether ``forward`` draws random numbers."""
        return self.corruption is not None or self.gaps is not None

    def forward(self, batch, generator):
        """Return the reconstruction error of every row, (batch,).

        With gaps it is the error of the entries that are there. Without corruption, some of them
        are hidden.
        """
        x, target = batch
        if self.corruption is not None:
            x = self.corruption(x, generator)
        if self.gaps is None:
            return self.decode(self.given(self.encode(x), x)).error(target)
        seen = ~target.isnan()
        if self.corruption is None:
            decoded = self.imputed(hide(x, seen, generator))
        else:
            x = torch.where(seen, x, torch.nan)  # corruption may have replaced gaps
            decoded = self.decode(self.given(self.encode(x), x))
        return decoded.error(torch.where(seen, target, 0.0), seen)

    def impute(self, x):
        """Return rows with the means of `imputed` for all entries."""
        return self.imputed(x).mean

    def imputed(self, x):
        """Return the distribution of rows of which some entries are missing.

        For missing entries, what the networks add to the linear reconstruction is added to the
        conditional mean.
        """
        filled, *_ = self.gaps.fill(x)
        z = self._shifted(filled, self._through(self.encoder, filled))
        decoded = self.decode(self.given(z, x))
        rows = x[:, : decoded.mean.shape[-1]]
        linear = self.linear_decoder(self.given(self.linear_encoder(filled), x))
        shift = filled[:, : rows.shape[1]] - linear
        return decoded.moved(torch.where(rows.isnan(), shift, 0.0))
