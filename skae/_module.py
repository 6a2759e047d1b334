"""The torch side of every estimator: a linear path plus a residual network.

Encoder and decoder are ``linear(x) + unit * network(x)``. The linear path is the
classical start, kept as it is; the networks' last layers begin at zero, so training
starts exactly there. The units are the uncertainty that the start leaves: the noise of
a feature, and what that noise makes of a code, so that one learning rate serves tables
that PCA fits badly and well. ``forward`` answers the loss of every row.
"""

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ._threads import half_precision
from .likelihoods import Gaussian, GaussianHead
from .networks import Mlp, is_zero, mlp

# Of a posterior: far beyond any that is learned, so that what a network extrapolates is finite.
_LOG_STD = (-40.0, 15.0)
_SPAN = 3.0  # by which the log standard deviation of a row's noise differs at most


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
    start : skae._classical.Start
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

    def row_of(self, x):
        """What the decoder answers, of what the encoder reads."""
        return x

    def expect(self, z):
        """The mean of a row given its code."""
        return self.decode(z).mean

    @property
    def is_start(self):
        """Whether encoder and decoder are the classical start, as nothing was learned."""
        return is_zero(self.encoder) and is_zero(self.decoder)

    @property
    def noise_varies(self):
        """Whether the noise of a row depends on its code."""
        return False

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

    def forward(self, x, target, generator):
        """Reconstruction error of every row, (batch,)."""
        if self.corruption is not None:
            x = self.corruption(x, generator)
        return self.decode(self.given(self.encode(x), x)).error(self.head.target(target))


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
        if isinstance(head, GaussianHead) and isinstance(decoder, Mlp):
            n_hidden, d = decoder.output.in_features, len(start.mean)
            self.noise = mlp(n_hidden, d, (), "identity", torch.Generator(), True)

    def encode(self, x):
        """The posterior of the code."""
        mean, log_std = self._through(self.encoder, x).chunk(2, dim=-1)
        log_std = self.start_log_std + log_std
        if not self.training:  # in training a gradient has to lead back
            log_std = log_std.clamp(*_LOG_STD)
        return Gaussian(self._shifted(x, mean), log_std)

    def forward(self, x, target, generator, varying=False):
        """Minus the ELBO of every row (with the KL weighed by beta), (batch,).

        With noise that is alike for all rows, unless it is asked to be `varying`.
        """
        posterior, target = self.encode(x), self.head.target(target)
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
        return isinstance(self.head, GaussianHead) and self.is_start and not noise_is_learned

    def log_evidence(self, x, draws, prior_draws, code_densities):
        """Importance-weighted bound on log p(x) (Burda et al. 2016), (batch, m).

        One for each of m densities of codes, which share all that is decoded; None among
        them is the prior. Draws from the posterior have the company of draws from the prior,
        each weighed by the density of all of them (the balance heuristic, Veach & Guibas
        1995), so that a mode that the encoder misses is not lost. An exact posterior needs no
        such defence: with `prior_draws` None the bound is log p(x) itself, as long as codes
        are distributed like the prior.
        """
        posterior = self.encode(x)
        draws, target = draws.to(x), self.head.target(self.row_of(x))
        z = posterior.shifted(draws[:, None, :])
        decoded = self.decode(self.given(z, x)).log_prob(target)
        proposal = _log_standard_normal(draws)[:, None] - posterior.log_std.sum(-1)
        total = len(draws)
        if prior_draws is not None:
            prior_draws = prior_draws.to(x)
            total += len(prior_draws)
            shares = math.log(len(draws) / total), math.log(len(prior_draws) / total)
            proposal = torch.logaddexp(proposal + shares[0], _log_standard_normal(z) + shares[1])
            # (n_prior, batch): every prior draw under every row's posterior and decoded.
            under = posterior.cross_log_prob(prior_draws)
            of_prior = _log_standard_normal(prior_draws)[:, None]
            proposal_prior = torch.logaddexp(under + shares[0], of_prior + shares[1])
            decoded_prior = self.decode(self.given(prior_draws, x[:1])).cross_log_prob(target).T
        bounds = []
        for density in code_densities:
            log_code = _log_standard_normal if density is None else density.log_prob
            weights = decoded + log_code(z) - proposal
            if prior_draws is not None:
                joint_prior = decoded_prior + log_code(prior_draws)[:, None]
                weights = torch.cat([weights, joint_prior - proposal_prior])
            bounds.append(torch.logsumexp(weights, 0) - math.log(total))
        return torch.stack(bounds, -1)


class ConditionalVAEModule(VAEModule):
    """A variational autoencoder whose rows end in conditions, which the decoder reads too.

    Shape: rows (batch, d + q); codes as the decoder reads them (..., k + q).
    """

    def __init__(self, start, encoder, decoder, head):
        super().__init__(start, encoder, decoder, head)
        self.n_features = len(start.mean)

    def given(self, z, x):
        """Codes with the conditions of the rows behind them."""
        conditions = x[:, self.n_features :]
        return torch.cat([z, conditions.expand(*z.shape[:-1], -1)], dim=-1)

    def row_of(self, x):
        return x[:, : self.n_features]

    def plausibility(self, x):
        """The ELBO of every row but for constants, with the code at its mean, (batch,).

        It compares conditions, with noise that is alike for all rows: to second order of
        the decoder, what is left out depends on the row and on nothing else.
        """
        posterior = self.encode(x)
        decoded, _ = self._decode(self.given(posterior.mean, x), None)
        kl = posterior.kl_from_standard_normal().sum(-1)
        return decoded.log_prob(self.head.target(self.row_of(x))) - kl


def _log_standard_normal(z):
    return -0.5 * (z.square() + math.log(2.0 * math.pi)).sum(-1)
