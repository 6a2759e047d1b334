"""The torch module of the variational autoencoder."""

import math

import torch
from torch import nn

from ..likelihoods.gaussian import Gaussian
from .autoencoder import AutoencoderModule
from .gaps import GapPosterior
from .init import is_zero, with_zero_output
from .mlp import Mlp, mlp

# Bounds of a posterior's log standard deviation. They are far beyond learned values, and keep
# a network's extrapolations finite.
_LOG_STD = (-40.0, 15.0)
_N_WEIGHTED = 8  # draws of codes per row in the bound for rows with gaps
_N_OF_MANY = 2  # the same in training steps of more than `_FEW_ROWS` rows
_N_OF_COLUMNS = 4  # the same for tables with columns of several kinds
_FEW_ROWS = 128
_LOG_2PI = math.log(2.0 * math.pi)
_SPAN = 3.0  # largest deviation of a row's log noise from the homoscedastic one


class VAEModule(AutoencoderModule):
    """Variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014).

    The encoder network has 2 k outputs. They are added to the posterior's mean, in units of the
    initial posterior's standard deviation, and to its log standard deviation.

    Notes
    -----
    In the training and validation loss, Gaussian noise is homoscedastic. The layer `noise` learns
    heteroscedastic noise with a separate loss, from the decoder's last hidden layer. This loss
    has no gradient in other layers, so codes and means are those of a model with homoscedastic
    noise. (An exception is training that combines all gradients, such as clipping by their
    norm.) The layer is initialised to 0. It is reset to 0 if the validation set rejects it.
    """

    def __init__(self, start, encoder, decoder, head):
        super().__init__(start, encoder, decoder, head)
        self.beta = 1.0
        self.warmup = 1.0  # factor of beta in training
        self.elbo_share = 0.5  # in the loss of rows with gaps
        self.noise: nn.Module | None = None
        if head.is_normal and isinstance(decoder, Mlp):
            n_hidden, d = decoder.output.in_features, len(start.mean)
            self.noise = mlp(n_hidden, d, (), "identity", torch.Generator(), True)

    def encode(self, x):
        """Return the posterior of the code."""
        if self.gaps is not None:
            return self._encode_gaps(x)
        mean, log_std = self._through(self.encoder, x).chunk(2, dim=-1)
        log_std = self.start_log_std + log_std
        if not self.training:  # outside the bounds, clamp has no gradient
            log_std = log_std.clamp(*_LOG_STD)
        return Gaussian(self._shifted(x, mean), log_std)

    def _encode_gaps(self, x):
        x, root = self.gaps.fill(x)
        shift, log_std = self._through(self.encoder, x).chunk(2, dim=-1)
        if not self.training:
            log_std = log_std.clamp(*_LOG_STD)
        return GapPosterior(self.linear_encoder(x), shift, log_std, root)

    def forward(self, batch, generator, varying=False):
        """Return minus the ELBO of every row, with the KL term weighted by beta, (batch,).

        The noise is homoscedastic. If `varying`, it is heteroscedastic in evaluation mode.
        """
        if self.gaps is not None or self.head.has_columns:
            return self._weighted_loss(batch, generator, varying)
        x, target = batch
        posterior = self.encode(x)
        z = self.given(posterior.sample(generator), x)
        decoded, hidden = self._decode(z, generator)
        if self.training and hidden is not None:
            squares = decoded.squares(target)
            loss = -decoded.log_prob_of_squares(squares)
            alike = Gaussian(decoded.mean.detach(), decoded.log_std.detach())
            of_rows = self._with_noise_of_rows(alike, hidden.detach())
            aside = of_rows.log_prob_of_squares(squares.detach())
            loss = loss + (aside.detach() - aside)  # a gradient, but no value
        else:
            decoded = self._with_noise_of_rows(decoded, hidden) if varying else decoded
            loss = -decoded.log_prob(target)
        kl = posterior.kl_from_standard_normal().sum(-1)
        beta = self.beta * self.warmup if self.training else self.beta
        return loss + beta * kl

    def _weighted_loss(self, batch, generator, varying):
        """Return minus a bound on the log-density of the entries that are there, (batch,).

        It is the mean of the importance-weighted bound of MIWAE (Mattei & Frellsen 2019) and of
        the ELBO, with weight `elbo_share`. The first alone learns posteriors that are too wide.
        """
        x, target = batch
        there = None
        if self.gaps is not None:
            there = ~target.isnan()
            target = torch.where(there, target, 0.0)
        posterior = self.encode(x)
        n_draws = _N_WEIGHTED
        if self.training and len(x) > _FEW_ROWS:
            n_draws = _N_OF_COLUMNS if self.head.has_columns else _N_OF_MANY
        z, log_posterior = posterior.draws(generator, n_draws)
        beta = self.beta * self.warmup if self.training else self.beta
        log_prior = -0.5 * (z.square() + _LOG_2PI).sum(-1)
        log_ratio = beta * (log_prior - log_posterior) - math.log(n_draws)
        decoded, hidden = self._decode(self.given(z, x), generator)
        if hidden is not None and varying:
            decoded = self._with_noise_of_rows(decoded, hidden)
        if hidden is None:
            log_weights = decoded.log_prob(target, there) + log_ratio
        else:
            squares = decoded.squares(target)
            log_weights = decoded.log_prob_of_squares(squares, there) + log_ratio
        bound = torch.logsumexp(log_weights, 0)
        if self.elbo_share:
            elbo = log_weights.mean(0) + math.log(n_draws)
            bound = torch.lerp(bound, elbo, self.elbo_share)
        if self.training and hidden is not None:
            alike = Gaussian(decoded.mean.detach(), decoded.log_std.detach())
            of_rows = self._with_noise_of_rows(alike, hidden.detach())
            aside = of_rows.log_prob_of_squares(squares.detach(), there)
            aside = torch.logsumexp(aside + log_ratio.detach(), 0)
            bound = bound + (aside - aside.detach())  # a gradient, but no value
        return -bound

    def decode(self, z, generator=None):
        decoded, hidden = self._decode(z, generator)
        return decoded if hidden is None else self._with_noise_of_rows(decoded, hidden)

    @property
    def noise_varies(self):
        return self.noise is not None and not is_zero(self.noise)

    def keep_aside(self, accepts, before):
        """Keep heteroscedastic noise only if it is accepted on validation rows."""
        if not self.noise_varies:
            return
        keeps = before  # in case of an interrupt in `accepts`
        try:
            keeps = accepts(varying=True)
        finally:
            if not keeps:
                with_zero_output(self.noise)

    def drop_idle(self):
        if not self.noise_varies:
            self.noise = None

    def _decode(self, z, generator):
        """Decode with homoscedastic noise; return also the last hidden layer, or None."""
        if self.noise is None:
            return super().decode(z, generator), None
        hidden = self._through(self.decoder.hidden, z)
        residual = self._through(self.decoder.output, hidden)
        return self.head(self.linear_decoder(z), residual), hidden

    def _with_noise_of_rows(self, alike, hidden):
        more = self._through(self.noise, hidden).clamp(-_SPAN, _SPAN)
        return Gaussian(alike.mean, alike.log_std + more)

    def locate(self, z):
        """Return the `location` of a row's distribution given its code, (..., d)."""
        return self._decode(z, None)[0].location

    def noise_std(self, z):
        """Return the noise's standard deviation of standardised rows given codes, (..., d)."""
        return self.decode(z).std

    def expect(self, z):
        return self._decode(z, None)[0].mean

    def embed(self, x):
        return self.encode(x).mean

    @property
    def stochastic(self):
        return True

    def moments(self, x):
        """Return mean and standard deviation of the posterior, concatenated, (batch, 2 k)."""
        posterior = self.encode(x)
        return torch.cat([posterior.mean, posterior.std], dim=-1)

    def kl(self, x):
        """Return KL(posterior || prior) of every latent dimension, in nats, (batch, k)."""
        return self.encode(x).kl_from_standard_normal()

    @property
    def posterior_is_exact(self):
        """Whether the model is Gaussian and still equals its initial model, probabilistic PCA."""
        noise_is_learned = any(bool(value.any()) for value in self.head.parameters())
        noise_is_learned = noise_is_learned or self.noise_varies
        return self.head.is_normal and self.is_start and not noise_is_learned
