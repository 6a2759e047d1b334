"""The density of a row under a trained VAE: a mixture of the decoder's and classical models."""

import functools
import math
from dataclasses import dataclass, field

import numpy as np

from ..codec import Plain
from ..starts.start import Start
from .classical import drawn, log_evidence, moments
from .codes import CodeDensity
from .mixture import mixed
from .points import normal_points

N_PRIOR_DRAWS = 2048  # draws shared by all rows, for modes that the encoder misses
_N_DRAWS = 256  # draws from the posterior per row
_N_STEPWISE_DRAWS = 32  # the same for an autoregressive decoder, with teacher forcing
_N_CODES = 20_000  # codes drawn to compute the moments of rows
FACTORS = "factor_analysis"


@dataclass(frozen=True)
class RowDensity(Plain):
    """The parts of the density of a row.

    Parameters
    ----------
    shares : dict of str to float
        Mixture weights of "decoder", and of "probabilistic_pca" and "factor_analysis".
    codes : CodeDensity or None
        Density of codes in the decoder's density. None for the prior.
    factors : Start or None
        Factor analysis, if it has a weight.
    """

    shares: dict = field(default_factory=lambda: {"decoder": 1.0})
    codes: CodeDensity | None = None
    factors: Start | None = None

    parts = {"codes": CodeDensity, "factors": Start}

    def classical(self, spec):
        """Return the classical models of the mixture, in the order of their weights."""
        names = list(self.shares)[1:]
        return [self.factors if name == FACTORS else spec.start for name in names]

    def log_prob(self, fitted, X, of_block, draws=None):
        """Return the log-likelihood of rows, in nats in the units of X, in float64.

        Parameters
        ----------
        fitted : Fitted
        X : ndarray or Stream of shape (n, d)
        of_block : callable
            Computes the log-density of a block, as :meth:`of_block` does.
        draws : Tensor of shape (n_draws, k) or None
            Standard normal points that replace the default ones.
        """
        n_draws = _n_draws(fitted) if draws is None else len(draws)
        # Draws from the prior are decoded for every block, so smaller blocks save no memory.
        least = N_PRIOR_DRAWS // n_draws if n_draws == _N_DRAWS else 1
        of_block = functools.partial(of_block, fitted, draws=draws)
        log_prob = fitted.by_blocks(of_block, X, copies=n_draws, at_least=least)
        log_prob[np.isnan(log_prob)] = -np.inf  # extreme rows, where every density overflows
        return log_prob - fitted.spec.family.log_volume(fitted.spec.start)

    def of_block(self, fitted, rows, *, of_prior=True, draws=None):
        """Return the log-density of a block of rows, (n,), in units of `spec.start.scale`."""
        d, spec = fitted.n_features, fitted.spec
        options = {"of_prior": of_prior, "draws": draws}
        bound = decoder_bounds(fitted, rows, [self.codes], **options)[:, 0]
        classical = self.classical(spec)
        if not classical:
            return bound
        rows = rows.astype(np.float64)
        log_densities = [bound]
        for start in classical:  # models of earlier chunks have their own standardisation
            x = (rows - start.input_mean) / start.input_scale
            volume = d * math.log(spec.start.scale / start.scale)
            log_densities.append(log_evidence(start, x) + volume)
        return mixed(log_densities, list(self.shares.values()))

    def draw_codes(self, n_samples, latent_dim, rng):
        """Draw codes, (n_samples, k)."""
        if self.codes is None:
            return rng.standard_normal((n_samples, latent_dim))
        return self.codes.draw(n_samples, rng)

    def with_noise(self, fitted, X, codes, std, rng):
        """Draw rows given their codes.

        `X` are the decoder's means for these codes, and `std` the standard deviations of its
        noise.
        """
        X = X + (std * rng.standard_normal(X.shape)).astype(X.dtype)
        shares = list(self.shares.values())
        which = rng.choice(len(shares), len(X), p=shares)
        for number, start in enumerate(self.classical(fitted.spec), 1):
            here = which == number
            z = codes[here]
            if self.codes is not None:  # classical models have the standard normal prior
                z = rng.standard_normal(z.shape)
            X[here] = drawn(start, z, rng)
        return X

    def codes_for_moments(self, latent_dim):
        """Return codes that represent the decoder's density of codes, (n, k)."""
        if self.codes is None:
            return normal_points(N_PRIOR_DRAWS, latent_dim).numpy()
        return self.codes.draw(_N_CODES, np.random.default_rng(0))

    def covariance(self, spec, of_decoder):
        """Return the covariance of rows, (d, d), given the decoder's mean and covariance."""
        parts = [of_decoder, *map(moments, self.classical(spec))]
        shares = np.array(list(self.shares.values()))
        means, covariances = (np.array(values) for values in zip(*parts, strict=True))
        centred = means - shares @ means
        return np.tensordot(shares, covariances, 1) + (centred.T * shares) @ centred


def decoder_bounds(fitted, rows, code_densities, *, of_prior, draws=None):
    """Return the decoder's log-densities of a block of rows, for each density of codes, (n, m).

    None among the densities of codes is the prior.
    """
    module, k = fitted.module, fitted.spec.start.latent_dim
    draws = normal_points(_n_draws(fitted), k) if draws is None else draws
    of_prior = of_prior and not (module.posterior_is_exact or module.reads_past)
    prior_draws = normal_points(N_PRIOR_DRAWS, k) if of_prior else None
    return fitted.in_float64("log_evidence", rows, draws, prior_draws, code_densities)


def _n_draws(fitted):
    """Return the number of posterior draws: fewer for decoders with teacher forcing."""
    return _N_STEPWISE_DRAWS if fitted.module.reads_past else _N_DRAWS
