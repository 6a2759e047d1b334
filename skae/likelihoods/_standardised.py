"""Columns of scores with mean 0 and variance 1, each with noise of its own."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ._likelihood import Likelihood
from .gaussian import Gaussian

_LEAST_LEFT = 0.05  # the least that is left of the variance of a score, at first
_FLOOR = 1e-4  # smallest noise variance that is learned, relative to that at first


@dataclass(frozen=True, eq=False)
class ScoresLikelihood(Likelihood):
    """Columns that are encoded as scores of mean 0 and variance 1.

    Parameters
    ----------
    explained : ndarray of shape (d,) or None
        Variance that the linear path of a decoder explains. The noise has the rest.
    """

    explained: Any = None

    def spread(self, mean):
        return np.ones_like(mean)

    def given(self, weights):
        return replace(self, explained=np.square(weights).sum(axis=0))

    @property
    def noise(self):
        return None if self.explained is None else np.maximum(1.0 - self.explained, _LEAST_LEFT)


class StandardisedLikelihood(ScoresLikelihood):
    """Standardised numbers with Gaussian noise."""

    def natural(self, mean):
        return mean

    def loss(self, x, natural):
        noise = np.ones(x.shape[-1]) if self.noise is None else self.noise
        squares = np.square(x - natural) / noise
        return 0.5 * (squares + np.log(2.0 * math.pi * noise)).sum(axis=-1)

    def head(self, start, floor=None):
        return StandardisedHead(self.noise)


class StandardisedHead(nn.Module):
    """Means that are the sum of both paths, and noise that is learned."""

    start_log_std: torch.Tensor

    def __init__(self, noise):
        super().__init__()
        log_std = torch.tensor(0.5 * np.log(noise))
        self.register_buffer("start_log_std", log_std, persistent=False)
        self.log_ratio = nn.Parameter(torch.zeros(len(noise), dtype=torch.float32))

    def forward(self, linear, residual):
        ratio = _FLOOR + (1.0 - _FLOOR) * torch.exp(2.0 * self.log_ratio)
        mean = linear + residual * self.start_log_std.exp()
        return Gaussian(mean, self.start_log_std + 0.5 * torch.log(ratio))
