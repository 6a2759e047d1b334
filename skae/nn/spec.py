"""What a torch module is built from: plain values, and the model that it is initialised as.

Importing this imports no torch: a module is built when there is something to train.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..codec import Plain
from ..likelihoods import Likelihood, as_likelihood
from ..starts.start import Start


@dataclass(frozen=True, kw_only=True)
class Spec(Plain):
    """Everything that decides on a module, so that it can be built again with the same weights.

    An estimator whose module needs more has a subclass with more fields, and its own `build`.
    """

    network: str | Callable
    input_shape: tuple | None  # of a row as networks see it; None for flat rows
    hidden_layer_sizes: tuple
    latent_dim: Any  # as the parameter says; `start.latent_dim` is the number of codes
    activation: str
    likelihood: str | Likelihood
    init: str
    start: Start
    n_samples: int  # that the start was found with
    seed: int  # of the networks' weights

    parts = {"start": Start}

    ordered: ClassVar[bool] = False  # whether the first codes are a summary by themselves

    @property
    def n_codes(self):
        """Number of codes that the networks were made for."""
        return self.start.latent_dim

    @functools.cached_property
    def family(self):
        """The likelihood of rows."""
        return as_likelihood(self.likelihood).of_rows(self.input_shape or self.start.mean.shape)

    def build(self):
        """The torch module, at its start."""
        from .autoencoder import AutoencoderModule

        encoder, decoder = self.networks(self.n_codes)
        return AutoencoderModule(self.start, encoder, decoder, self.family.head(self.start))

    def networks(self, n_codes, reads_past=False, latent_dim=None, generator=None):
        """An encoder with `n_codes` outputs, and the decoder that belongs to it.

        `latent_dim` is how many numbers the decoder reads; None for the start's codes. Their
        weights are drawn from a generator of their own unless there is one.
        """
        import torch

        from .networks import Sizes, make_networks

        start = self.start
        n_read = len(start.encoder)
        latent_dim = latent_dim or start.latent_dim
        row = self.input_shape or (len(start.mean),)
        sizes = Sizes(row, n_codes, latent_dim, n_read - len(start.mean), reads_past)
        generator = generator or torch.Generator().manual_seed(self.seed)
        kind = self.network, sizes, self.hidden_layer_sizes, self.activation
        return make_networks(*kind, generator, self.init != "random")

    def loss_units(self):
        """Factor and offset that turn the module's loss into the one to report."""
        return self.family.error_unit(self.start), 0.0

    def units(self):
        """The standard deviations that codes and decoded rows are multiplied by."""
        return np.append(self.start.code_scale, self.family.units(self.start)[1])

    def is_complete(self):
        """Whether the start leaves nothing to be learned, so that training ends at once."""
        return self.start.latent_dim == 0
