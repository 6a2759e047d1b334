"""The torch module of the variational autoencoder."""

import math

import torch
from torch import nn

from ..likelihoods.gaussian import Gaussian
from .autoencoder import AutoencoderModule
from .init import is_zero, with_zero_output
from .mlp import Mlp, mlp

# Bounds of a posterior's log standard deviation. They are far beyond learned values, and keep
# a network's extrapolations finite.
_LOG_STD = (-40.0, 15.0)
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
        self.noise: nn.Module | None = None
        if head.is_normal and isinstance(decoder, Mlp):
            n_hidden, d = decoder.output.in_features, len(start.mean)
            self.noise = mlp(n_hidden, d, (), "identity", torch.Generator(), True)

    def encode(self, x):
        """Return the posterior of the code."""
        mean, log_std = self._through(self.encoder, x).chunk(2, dim=-1)
        log_std = self.start_log_std + log_std
        if not self.training:  # outside the bounds, clamp has no gradient
            log_std = log_std.clamp(*_LOG_STD)
        return Gaussian(self._shifted(x, mean), log_std)

    def forward(self, batch, generator, varying=False):
        """Return minus the ELBO of every row, with the KL term weighted by beta, (batch,).

        The noise is homoscedastic. If `varying`, it is heteroscedastic in evaluation mode.
        """
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

    def log_evidence(self, x, target, draws, prior_draws, code_densities):
        """Return the importance-weighted bound on log p(x) (Burda et al. 2016), (batch, m).

        There is a bound for each of the m `code_densities`, from the same decoded draws. A
        density of None is the prior. Draws from the posterior and from the prior are combined
        with the balance heuristic (Veach & Guibas 1995), so modes that the encoder misses are
        covered. If the posterior is exact, `prior_draws` can be None. The bound then equals
        log p(x) for codes distributed like the prior.
        """
        posterior = self.encode(x)
        draws = draws.to(x)
        z = posterior.shifted(draws[:, None, :])
        decoded = self.decode(self.given(z, x)).log_prob(target)
        proposal = log_standard_normal(draws)[:, None] - posterior.log_std.sum(-1)
        total = len(draws)
        if prior_draws is not None:
            prior_draws = prior_draws.to(x)
            total += len(prior_draws)
            shares = math.log(len(draws) / total), math.log(len(prior_draws) / total)
            proposal = torch.logaddexp(proposal + shares[0], log_standard_normal(z) + shares[1])
            # (n_prior, batch): prior draws under the posterior and the likelihood of every row.
            under = posterior.cross_log_prob(prior_draws)
            of_prior = log_standard_normal(prior_draws)[:, None]
            proposal_prior = torch.logaddexp(under + shares[0], of_prior + shares[1])
            decoded_prior = self.decode(self.given(prior_draws, x[:1])).cross_log_prob(target).T
        bounds = []
        for density in code_densities:
            log_code = log_standard_normal if density is None else density.log_prob
            weights = decoded + log_code(z) - proposal
            if prior_draws is not None:
                joint_prior = decoded_prior + log_code(prior_draws)[:, None]
                weights = torch.cat([weights, joint_prior - proposal_prior])
            bounds.append(torch.logsumexp(weights, 0) - math.log(total))
        return torch.stack(bounds, -1)


def log_standard_normal(z):
    return -0.5 * (z.square() + math.log(2.0 * math.pi)).sum(-1)
