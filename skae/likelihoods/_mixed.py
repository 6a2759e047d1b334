"""Rows with columns of several kinds: likelihoods side by side."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..points import normal_points
from ._likelihood import Likelihood

_N_CODES = 1024  # to correct frequencies


@dataclass(frozen=True, eq=False)
class MixedLikelihood(Likelihood):
    """Encoded rows of a table, as :class:`skae.columns.Columns` makes them.

    Every method does what it does for the columns of each part.

    Parameters
    ----------
    parts : tuple of Likelihood
    widths : tuple of int
        Numbers of encoded columns of each.
    """

    parts: tuple = ()
    widths: tuple = ()

    has_derivatives = True
    takes_gaps = True

    def _split(self, values):
        return np.split(values, np.cumsum(self.widths)[:-1], axis=-1)

    def _each(self, method, values, *args):
        pairs = zip(self.parts, self._split(values), strict=True)
        return [getattr(part, method)(of, *args) for part, of in pairs]

    def n_decoded(self, n_features):
        return sum(self.decoded_widths)

    @property
    def decoded_widths(self):
        """Numbers that a decoder network returns for each part."""
        pairs = zip(self.parts, self.widths, strict=True)
        return [part.n_decoded(width) for part, width in pairs]

    def natural(self, mean):
        return np.concatenate(self._each("natural", mean), axis=-1)

    def smoothed(self, mean, n_samples):
        return np.concatenate(self._each("smoothed", mean, n_samples), axis=-1)

    def spread(self, mean):
        return np.concatenate(self._each("spread", mean), axis=-1)

    def given(self, weights):
        return replace(self, parts=tuple(self._each("given", weights)))

    @property
    def noise(self):
        pairs = zip(self.parts, self.widths, strict=True)
        return np.concatenate(
            [np.ones(width) if part.noise is None else part.noise for part, width in pairs]
        )

    def loss(self, x, natural):
        parts = zip(self.parts, self._split(x), self._split(natural), strict=True)
        return sum(part.loss(*values) for part, *values in parts)

    def least(self, x):
        return np.zeros(x.shape[:-1])

    def head(self, start, floor=None):
        weights = start.decoder[: start.latent_dim]
        given = self.given(weights if floor is not None else np.zeros_like(weights))
        heads = [part.head(start, floor) for part in given.parts]
        return MixedHead(heads, self.widths, self.decoded_widths, start.offsets)

    def offsets(self, start):
        head = self.head(start, floor=0.0).double()
        linear = normal_points(_N_CODES, start.latent_dim).numpy() @ start.decoder
        linear = torch.tensor(linear + start.decoder_bias)
        with torch.no_grad():
            decoded = head(linear, linear.new_zeros(self.n_decoded(linear.shape[-1])))
        return self.corrections(decoded, start.mean).numpy()

    def corrections(self, decoded, mean):
        """Return what decoded rows of many codes need so that levels have their frequencies.

        `mean` is that of encoded rows, (d,). The result has shape (n_decoded,).
        """
        found = []
        frequencies = self._each("frequencies", mean)
        parts = zip(decoded.parts, self.decoded_widths, frequencies, strict=True)
        for part, width, shares in parts:
            if shares is None:
                found.append(torch.zeros(width))
            else:
                shares = torch.tensor(shares).to(part.logits)
                found.append(part.layout.offsets(part.logits, shares))
        return torch.cat(found)


class MixedHead(nn.Module):
    """The heads of the parts.

    Parameters
    ----------
    heads : list of Module
    widths, decoded_widths : sequences of int
        Numbers that each gets from the linear path and from the other one.
    offsets : ndarray or None
        What is added to the latter.
    """

    is_normal = False
    has_columns = True
    bend = None
    offsets: torch.Tensor

    def __init__(self, heads, widths, decoded_widths, offsets):
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.widths, self.decoded_widths = list(widths), list(decoded_widths)
        offsets = np.zeros(sum(decoded_widths)) if offsets is None else offsets
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)

    def forward(self, linear, residual):
        """Return the distribution of rows, from paths of (..., d) and (..., n_decoded) numbers."""
        residual = (residual + self.offsets).split(self.decoded_widths, -1)
        paths = zip(linear.split(self.widths, -1), residual, strict=True)
        pairs = zip(self.heads, paths, strict=True)
        return Mixed([head(*both) for head, both in pairs], self.widths)


class Mixed:
    """Independent distributions, side by side.

    Parameters
    ----------
    parts : list of Distribution
    widths : list of int
    """

    def __init__(self, parts, widths):
        self.parts, self.widths = parts, widths

    def _each(self, method, x, seen=None):
        given = [x.split(self.widths, -1)]
        if seen is not None:
            given.append(seen.to(x.dtype).split(self.widths, -1))
        return [getattr(part, method)(*of) for part, *of in zip(self.parts, *given, strict=True)]

    @property
    def mean(self):
        return torch.cat([part.mean for part in self.parts], -1)

    @property
    def location(self):
        return torch.cat([part.location for part in self.parts], -1)

    def derivatives(self, x, seen=None):
        found = zip(*self._each("derivatives", x, seen), strict=True)
        return tuple(torch.cat(of, -1) for of in found)

    def log_prob(self, x, seen=None):
        return sum(self._each("log_prob", x, seen))

    def error(self, x, seen=None):
        return -self.log_prob(x, seen)

    def cross_log_prob(self, x, seen=None):
        return sum(self._each("cross_log_prob", x, seen))

    def from_uniform(self, uniform):
        return torch.cat(self._each("from_uniform", uniform), -1)

    def sample(self, generator):
        like = self.mean
        uniform = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
        return self.from_uniform(uniform.clamp(min=torch.finfo(like.dtype).tiny))
