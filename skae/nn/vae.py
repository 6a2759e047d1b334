"""The torch side of the variational autoencoder."""

import math

import torch
from torch import nn

from ..likelihoods.gaussian import Gaussian
from .autoencoder import AutoencoderModule
from .init import is_zero, with_zero_output
from .mlp import Mlp, mlp

# Of a posterior: far beyond any that is learned, so that what a network extrapolates is finite.
_LOG_STD = (-40.0, 15.0)
_SPAN = 3.0  # by which the log standard deviation of a row's noise differs at most


class VAEModule(AutoencoderModule):
    """A variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014).

    The encoder network has 2 k outputs: what is added to the posterior's mean and to
    its log standard deviation.

    Notes
    -----
    Normal noise is alike for every row in the loss that is trained on and judged by. How
    it differs from row to row `noise` learns aside, from the decoder's last hidden layer:
    its loss has no gradient elsewhere, so that codes and means are those of noise that is
    alike (unless training looks at all gradients together, as clipping by their norm does).
    It is 0 at the start, and again where held-out rows have refused it.
    """

    def __init__(self, start, encoder, decoder, head):
        super().__init__(start, encoder, decoder, head)
        self.beta = 1.0
        self.warmup = 1.0  # the share of beta that training has reached
        self.noise: nn.Module | None = None
        if head.is_normal and isinstance(decoder, Mlp):
            n_hidden, d = decoder.output.in_features, len(start.mean)
            self.noise = mlp(n_hidden, d, (), "identity", torch.Generator(), True)

    def encode(self, x):
        """The posterior of the code."""
        mean, log_std = self._through(self.encoder, x).chunk(2, dim=-1)
        log_std = self.start_log_std + log_std
        if not self.training:  # in training a gradient has to lead back
            log_std = log_std.clamp(*_LOG_STD)
        return Gaussian(self._shifted(x, mean), log_std)

    def forward(self, batch, generator, varying=False):
        """Minus the ELBO of every row (with the KL weighed by beta), (batch,).

        With noise that is alike for all rows, unless it is asked to be `varying`.
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
            loss = loss + (aside.detach() - aside)  # it teaches, but is not reported
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
        """Let noise depend on the code only where held-out rows are likelier with it."""
        if not self.noise_varies:
            return
        keeps = before  # where an interrupt comes before the answer
        try:
            keeps = accepts(varying=True)
        finally:
            if not keeps:
                with_zero_output(self.noise)

    def drop_idle(self):
        if not self.noise_varies:
            self.noise = None

    def _decode(self, z, generator):
        """As with noise that is alike, and what the decoder's last layer has read, or None."""
        if self.noise is None:
            return super().decode(z, generator), None
        hidden = self._through(self.decoder.hidden, z)
        residual = self._through(self.decoder.output, hidden)
        return self.head(self.linear_decoder(z), residual), hidden

    def _with_noise_of_rows(self, alike, hidden):
        more = self._through(self.noise, hidden).clamp(-_SPAN, _SPAN)
        return Gaussian(alike.mean, alike.log_std + more)

    def noise_std(self, z):
        """Standard deviations of the noise of standardised rows given their codes, (..., d)."""
        return self.decode(z).std

    def expect(self, z):
        return self._decode(z, None)[0].mean

    def embed(self, x):
        return self.encode(x).mean

    @property
    def stochastic(self):
        return True

    def moments(self, x):
        """Mean and standard deviation of the posterior, side by side, (batch, 2 k)."""
        posterior = self.encode(x)
        return torch.cat([posterior.mean, posterior.std], dim=-1)

    def kl(self, x):
        """KL of the posterior from the prior for every latent, (batch, k)."""
        return self.encode(x).kl_from_standard_normal()

    @property
    def posterior_is_exact(self):
        """Whether this is probabilistic PCA still: Gaussian, and nothing was learned."""
        noise_is_learned = any(bool(value.any()) for value in self.head.parameters())
        noise_is_learned = noise_is_learned or self.noise_varies
        return self.head.is_normal and self.is_start and not noise_is_learned

    def log_evidence(self, x, target, draws, prior_draws, code_densities):
        """Importance-weighted bound on log p(x) (Burda et al. 2016), (batch, m).

        One for each of m densities of codes, which share all that is decoded; None among
        them is the prior. Draws from the posterior have the company of draws from the prior,
        each weighed by the density of all of them (the balance heuristic, Veach & Guibas
        1995), so that a mode that the encoder misses is not lost. An exact posterior needs no
        such defence: with `prior_draws` None the bound is log p(x) itself, as long as codes
        are distributed like the prior.
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
            # (n_prior, batch): every prior draw under every row's posterior and decoded.
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
