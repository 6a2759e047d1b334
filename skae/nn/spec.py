"""Specification of a torch module: plain values and the initial model.

Importing this module does not import torch, which is imported when a module is built.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..codec import Plain
from ..columns import Columns
from ..likelihoods import Likelihood, as_likelihood
from ..starts.start import Start


@dataclass(frozen=True, kw_only=True)
class Spec(Plain):
    """Specification of a module, which can be built again from it with the same initial weights.

    A subclass adds fields for the modules of other estimators, and has its own `build`.
    """

    network: str | Callable
    input_shape: tuple | None  # shape of a row as networks read it; None for flat rows
    hidden_layer_sizes: tuple
    latent_dim: Any  # the estimator's parameter; `start.latent_dim` is the number of codes
    activation: str
    likelihood: str | Mapping | Likelihood
    init: str
    start: Start
    n_samples: int  # number of rows that the initial model was computed from
    seed: int  # for the initial weights of the networks
    has_gaps: bool = False  # whether entries of the training rows were missing

    columns: Columns | None = None  # of a table whose columns have different likelihoods

    parts = {"start": Start, "columns": Columns}

    @property
    def takes_first_codes(self):
        """Whether the first codes can be decoded without the others."""
        return False

    @property
    def n_codes(self):
        """Number of codes that the networks were built for."""
        return self.start.latent_dim

    @functools.cached_property
    def family(self):
        """Likelihood of the rows."""
        if self.columns is not None:
            return self.columns.likelihood()
        row = self.input_shape or self.start.mean.shape
        return as_likelihood(self.likelihood).of_rows(row).of_start(self.start)

    def build(self):
        """Build the torch module, which equals the initial model."""
        from .autoencoder import AutoencoderModule

        encoder, decoder = self.networks(self.n_codes)
        return AutoencoderModule(self.start, encoder, decoder, self.family.head(self.start))

    def with_gaps(self, gaps):
        """Return the same spec, of a module that reads rows with gaps if `gaps` or if it did."""
        return replace(self, has_gaps=self.has_gaps or gaps)

    def make(self):
        """Build the torch module, which also reads rows with gaps if training rows had some."""
        module = self.build()
        if self.has_gaps:
            from .gaps import Gaps

            module.gaps = Gaps(self.start)
        return module

    def networks(self, n_codes, reads_past=False, latent_dim=None, generator=None):
        """Build an encoder with `n_codes` outputs, and its decoder.

        `latent_dim` is the number of the decoder's inputs. If None, it is the number of codes
        of the initial model. If `generator` is None, a new one is seeded with `seed`.
        """
        import torch

        from .networks import Sizes, make_networks

        start = self.start
        n_read = len(start.encoder)
        latent_dim = latent_dim or start.latent_dim
        row = self.input_shape or (len(start.mean),)
        n_conditions = n_read - len(start.mean)
        model = None if self.init == "random" else start, self.family, self.n_samples
        sizes = Sizes(row, n_codes, latent_dim, n_conditions, reads_past, *model)
        generator = generator or torch.Generator().manual_seed(self.seed)
        kind = self.network, sizes, self.hidden_layer_sizes, self.activation
        return make_networks(*kind, generator, self.init != "random")

    def loss_units(self):
        """Return factor and offset from the module's loss to the reported loss."""
        return self.family.error_unit(self.start), 0.0

    @property
    def losses_are_squares(self):
        """Whether the module's losses are squared distances."""
        return self.family.is_normal

    def units(self):
        """Return the scales that codes and decoded rows are multiplied by."""
        return np.append(self.start.code_scale, self.family.units(self.start)[1])

    def is_complete(self):
        """Return whether there is nothing to train, because there are no codes."""
        return self.start.latent_dim == 0
