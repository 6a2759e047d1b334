"""The density of a row under a trained VAE: a mixture of the decoder's and classical models."""

import functools
import math
from dataclasses import dataclass, field

import numpy as np

from ..codec import Plain
from ..points import normal_points
from ..starts.start import Start
from .classical import drawn, log_evidence, moments
from .codes import CodeDensity
from .mixture import mixed

_N_DRAWS = 32  # draws of codes per row around its posterior mode
_N_OTHER_DRAWS = 64  # the same if the likelihood is not Gaussian
_MOST_CODES = 64  # beyond which modes are not sought, as each step decodes as many codes
_N_STEPWISE_DRAWS = 32  # the same for an autoregressive decoder, with teacher forcing
_N_ENCODER_DRAWS = 256  # the same from the encoder's posterior, if posterior modes are not found
_N_EXACT_DRAWS = 2  # the same if that is the exact posterior: any draw gives the density
_N_PRIOR_DRAWS = 2048  # the most draws that all rows share, for modes far from a row's draws
_PRIOR_VALUES = 2**21  # the most values of the rows decoded from them
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
        of_block = functools.partial(of_block, fitted, draws=draws)
        log_prob = fitted.by_blocks(of_block, X, copies=copies_of(fitted, [self.codes]))
        log_prob[np.isnan(log_prob)] = -np.inf  # extreme rows, where every density overflows
        return fitted.in_units_of_rows(log_prob, X)

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
            n_seen = d - np.isnan(rows[:, :d]).sum(axis=1)
            volume = n_seen * math.log(spec.start.scale / start.scale)
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
            return normal_points(_N_PRIOR_DRAWS, latent_dim).numpy()
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
    from .evidence import PriorDraws, evidence_bounds

    module, k = fitted.module, fitted.spec.start.latent_dim
    seek_modes = seeks_modes(fitted)
    n_draws = n_draws_of(fitted, code_densities)
    points = normal_points(n_draws, k) if draws is None else draws
    of_prior = of_prior and not (module.posterior_is_exact or module.reads_past)

    def bounds(module, x, target):
        prior = None
        if of_prior:
            most = max(n_draws, _PRIOR_VALUES // target.shape[1])
            n_prior = min(_N_PRIOR_DRAWS, 2 ** (most.bit_length() - 1))
            conditions = rows[0, fitted.n_features :].tobytes()  # of all rows of the block
            prior = fitted.latest(
                "prior draws",
                conditions,
                lambda: PriorDraws.of(module, normal_points(n_prior, k), x),
            )
        return evidence_bounds(module, x, target, points, prior, code_densities, seek_modes)

    return fitted.in_float64(bounds, rows)


def n_draws_of(fitted, code_densities):
    """Return the number of draws of codes per row."""
    module = fitted.module
    if module.posterior_is_exact and not any(code_densities):
        return _N_EXACT_DRAWS
    if module.reads_past:
        return _N_STEPWISE_DRAWS
    if not seeks_modes(fitted):
        return _N_ENCODER_DRAWS
    return _N_DRAWS if fitted.spec.family.is_normal else _N_OTHER_DRAWS


def copies_of(fitted, code_densities):
    """Return how many decoded rows of a row are in memory at once, with what is computed of them.

    Four times as many keep blocks in the cache of a processor.
    """
    n_draws, k = n_draws_of(fitted, code_densities), fitted.spec.start.latent_dim
    return 4 * max(n_draws, k + 1 if seeks_modes(fitted) else 1)


def seeks_modes(fitted):
    """Return whether posterior modes of codes are sought."""
    module, k = fitted.module, fitted.spec.start.latent_dim
    known = fitted.spec.family.has_derivatives and not module.reads_past
    return known and 0 < k <= _MOST_CODES and not module.posterior_is_exact
