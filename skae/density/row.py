"""The density of a row under a trained VAE: a mixture of the decoder's and of classical ones."""

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

N_PRIOR_DRAWS = 2048  # draws that all rows share, against modes that the encoder misses
_N_DRAWS = 256  # importance-weighted draws per row
_N_STEPWISE_DRAWS = 32  # the same where steps are told the step before
_N_CODES = 20_000  # drawn for the moments of rows
FACTORS = "factor_analysis"


@dataclass(frozen=True)
class RowDensity(Plain):
    """What the density of a row is made of.

    Parameters
    ----------
    shares : dict of str to float
        Mixture weights of "decoder", and of "probabilistic_pca" and "factor_analysis".
    codes : CodeDensity or None
        Of codes in the decoder's density; None for the prior.
    factors : Start or None
        Factor analysis, where it has a weight.
    """

    shares: dict = field(default_factory=lambda: {"decoder": 1.0})
    codes: CodeDensity | None = None
    factors: Start | None = None

    parts = {"codes": CodeDensity, "factors": Start}

    def classical(self, spec):
        """Starts that have a weight beside the decoder, in the order of the weights."""
        names = list(self.shares)[1:]
        return [self.factors if name == FACTORS else spec.start for name in names]

    def log_prob(self, fitted, X, draws=None, bound=None):
        """Log-likelihood of rows, in nats in the units of X, in float64.

        Parameters
        ----------
        fitted : Fitted
        X : ndarray or Stream of shape (n, d)
        draws : Tensor of shape (n_draws, k) or None
            Standard normal points to use in place of the usual number of them.
        bound : callable or None
            What computes a block, in place of :meth:`of_block`.
        """
        n_draws = _n_draws(fitted) if draws is None else len(draws)
        # Draws from the prior are decoded for every block: one of fewer rows saves no memory.
        least = N_PRIOR_DRAWS // n_draws if n_draws == _N_DRAWS else 1
        bound = functools.partial(bound or self.of_block, fitted, draws=draws)
        log_prob = fitted.by_blocks(bound, X, copies=n_draws, at_least=least)
        log_prob[np.isnan(log_prob)] = -np.inf  # so far out that all of it overflows
        return log_prob - fitted.spec.family.log_volume(fitted.spec.start)

    def of_block(self, fitted, rows, *, of_prior=True, draws=None):
        """Log-density of a block of rows, in units of the start's scale, (n,)."""
        d, spec = fitted.n_features, fitted.spec
        options = {"of_prior": of_prior, "draws": draws}
        bound = decoder_bounds(fitted, rows, [self.codes], **options)[:, 0]
        classical = self.classical(spec)
        if not classical:
            return bound
        rows = rows.astype(np.float64)
        log_densities = [bound]
        for start in classical:  # one of an earlier chunk standardises rows in its own way
            x = (rows - start.input_mean) / start.input_scale
            volume = d * math.log(spec.start.scale / start.scale)
            log_densities.append(log_evidence(start, x) + volume)
        return mixed(log_densities, list(self.shares.values()))

    def draw_codes(self, n_samples, latent_dim, rng):
        """Codes, (n_samples, k)."""
        if self.codes is None:
            return rng.standard_normal((n_samples, latent_dim))
        return self.codes.draw(n_samples, rng)

    def with_noise(self, fitted, X, codes, std, rng):
        """Rows drawn given their codes.

        `X` are the decoder's means of them and `std` the standard deviations of its noise.
        """
        X = X + (std * rng.standard_normal(X.shape)).astype(X.dtype)
        shares = list(self.shares.values())
        which = rng.choice(len(shares), len(X), p=shares)
        for number, start in enumerate(self.classical(fitted.spec), 1):
            here = which == number
            z = codes[here]
            if self.codes is not None:  # a classical density has the prior
                z = rng.standard_normal(z.shape)
            X[here] = drawn(start, z, rng)
        return X

    def codes_for_moments(self, latent_dim):
        """Codes that stand for all that the decoder is given, (n, k)."""
        if self.codes is None:
            return normal_points(N_PRIOR_DRAWS, latent_dim).numpy()
        return self.codes.draw(_N_CODES, np.random.default_rng(0))

    def covariance(self, spec, of_decoder):
        """Covariance of rows, (d, d), given mean and covariance of those of the decoder."""
        parts = [of_decoder, *map(moments, self.classical(spec))]
        shares = np.array(list(self.shares.values()))
        means, covariances = (np.array(values) for values in zip(*parts, strict=True))
        centred = means - shares @ means
        return np.tensordot(shares, covariances, 1) + (centred.T * shares) @ centred


def decoder_bounds(fitted, rows, code_densities, *, of_prior, draws=None):
    """Of a block of rows under the decoder, given each of some densities of codes, (n, m).

    None among these is the prior.
    """
    module, k = fitted.module, fitted.spec.start.latent_dim
    draws = normal_points(_n_draws(fitted), k) if draws is None else draws
    of_prior = of_prior and not (module.posterior_is_exact or module.reads_past)
    prior_draws = normal_points(N_PRIOR_DRAWS, k) if of_prior else None
    return fitted.in_float64("log_evidence", rows, draws, prior_draws, code_densities)


def _n_draws(fitted):
    """Draws from the posterior: few where every row has to be decoded with each of them."""
    return _N_STEPWISE_DRAWS if fitted.module.reads_past else _N_DRAWS
