"""Missing entries given the others, under the density of a row.

The code of a row is drawn around its posterior mode, and draws have importance weights, as in
`score_samples`. Given a code, entries are independent, so the conditional mean of a missing entry
is the weighted mean of the decoder's means.
"""

import math

import numpy as np
from scipy.special import ndtri

from ..points import normal_points
from ..starts.normal import LowRank
from .classical import log_evidence
from .mixture import log_posterior

N_DRAWS = 128  # draws of codes per row, of which some are drawn again


def conditional_means(density, fitted, rows):
    """Return rows of a block in float64, with conditional means in place of gaps, (n, d).

    Parameters
    ----------
    density : RowDensity
    fitted : Fitted
    rows : ndarray of shape (n, d + q)
        Rows with NaN for missing entries, followed by conditions if there are any.
    """
    start = fitted.spec.start

    def of_decoder(module, x, target):
        import torch

        from .evidence import weighted_codes

        codes, log_weight = weighted_codes(module, x, target, *_draws(density, fitted))
        mean = module.decode(module.given(codes, x)).mean
        mean = (torch.softmax(log_weight, 0)[..., None] * mean).sum(0)
        log_density = torch.logsumexp(log_weight, 0) - math.log(len(codes))
        return torch.cat([mean, log_density[:, None]], -1)

    found = fitted.in_float64(of_decoder, rows)
    means = [fitted.spec.family.in_units(found[:, :-1], start)]
    log_densities = [found[:, -1]]
    for other, log_density in _classical(density, fitted, rows):
        means.append(_decoded(other, _given(other, rows)[0], rows))
        log_densities.append(log_density)
    shares = np.exp(log_posterior(log_densities, list(density.shares.values())))
    mean = sum(share[:, None] * mean for share, mean in zip(shares, means, strict=True))
    rows = rows[:, : fitted.n_features]
    return np.where(np.isnan(rows), mean, rows)


def conditional_draws(density, fitted, rows, uniforms):
    """Map uniform numbers to draws of missing entries given the others.

    Parameters
    ----------
    density : RowDensity
    fitted : Fitted
    rows : ndarray of shape (n, d + q)
    uniforms : ndarray of shape (n_draws, n, 2 + k + d), or (n_draws, 1, 2 + k + d)
        Numbers in (0, 1), for draws of a part of the density, of a code, and of noise.

    Returns
    -------
    draws : ndarray of shape (n_draws, n, d), in float64
    """
    n, d, k = len(rows), fitted.n_features, fitted.spec.start.latent_dim
    start, n_draws = fitted.spec.start, len(uniforms)
    noise = uniforms[..., 2 + k :]

    def of_decoder(module, x, target):
        import torch

        from .evidence import weighted_codes

        codes, log_weight = weighted_codes(module, x, target, *_draws(density, fitted))
        share = torch.softmax(log_weight, 0).cumsum(0).T.contiguous()
        choices = torch.tensor(uniforms[..., 1].T.copy()).to(share)
        chosen = torch.searchsorted(share, choices.expand(len(share), -1).contiguous())
        chosen = chosen.clamp(max=len(codes) - 1).T
        z = codes[chosen, torch.arange(len(share), device=codes.device)]
        decoded = module.decode(module.given(z, x))
        numbers = torch.tensor(noise).to(z).expand(-1, len(share), -1)
        drawn = decoded.from_uniform(numbers).permute(1, 0, 2)
        log_density = torch.logsumexp(log_weight, 0) - math.log(len(codes))
        return torch.cat([drawn.reshape(len(share), -1), log_density[:, None]], -1)

    found = fitted.in_float64(of_decoder, rows)
    draws = found[:, :-1].reshape(n, n_draws, d).transpose(1, 0, 2)
    draws = fitted.spec.family.in_units(draws, start)
    others = list(_classical(density, fitted, rows))
    if others:
        log_densities = [found[:, -1], *(log_density for _, log_density in others)]
        shares = np.exp(log_posterior(log_densities, list(density.shares.values())))
        which = (uniforms[..., :1] > shares.cumsum(axis=0).T).sum(axis=-1)
        for number, (other, _) in enumerate(others, 1):
            drawn = _drawn(other, rows, ndtri(uniforms[..., 2 : 2 + k]), ndtri(noise))
            draws = np.where((which == number)[..., None], drawn, draws)
    rows = rows[:, :d].astype(np.float64)
    return np.where(np.isnan(rows), draws, rows)


def draws_of_start(start, rows, uniforms):
    """Do the same as `conditional_draws` under probabilistic PCA, given its initial model."""
    d, k = len(start.mean), start.latent_dim
    drawn = _drawn(start, rows, ndtri(uniforms[..., 2 : 2 + k]), ndtri(uniforms[..., 2 + k :]))
    return np.where(np.isnan(rows[:, :d]), drawn, rows[:, :d])


def means_of_start(start, rows):
    """Return rows with conditional means in place of gaps, in float64.

    They are those of the normal distribution of an initial model that is PCA or probabilistic PCA.
    """
    d = len(start.mean)
    normal = start.of_inputs
    mean, deviations, seen = _deviations(start, rows, normal.mean)
    codes, _ = LowRank(normal.weights, normal.noise).given(deviations, seen)
    filled = (mean + codes @ normal.weights) * start.scale + start.mean
    return np.where(seen > 0, rows[:, :d], filled)


def _draws(density, fitted):
    from .row import seeks_modes

    points = normal_points(N_DRAWS, fitted.spec.start.latent_dim)
    return points, density.codes, seeks_modes(fitted)


def _classical(density, fitted, rows):
    """Yield classical models, and log-densities of the entries that are there, (n,)."""
    scale = fitted.spec.start.scale
    n_seen = fitted.n_features - np.isnan(rows[:, : fitted.n_features]).sum(axis=1)
    for start in density.classical(fitted.spec):
        volume = n_seen * math.log(scale / start.scale)
        yield start, log_evidence(start, _standard(start, rows)) + volume


def _standard(start, rows):
    return (rows - start.input_mean) / start.input_scale


def _deviations(start, rows, mean):
    """Return means given conditions, (n, d), deviations of standardised rows, and what is seen.

    `mean` is that of rows whose conditions are 0.
    """
    d, k = len(start.mean), start.latent_dim
    x = _standard(start, rows)
    mean = mean + x[:, d:] @ start.decoder[k:]
    seen = ~np.isnan(x[:, :d])
    return mean, np.where(seen, x[:, :d] - mean, 0.0), seen.astype(np.float64)


def _given(start, rows):
    """Return the posteriors of codes under a classical model, as :meth:`LowRank.given` does."""
    noise = np.broadcast_to(start.noise_variance, len(start.mean))
    _, deviations, seen = _deviations(start, rows, start.decoder_bias)
    return LowRank(start.decoder[: start.latent_dim], noise).given(deviations, seen)


def _drawn(start, rows, normals, noise):
    """Map standard normal numbers, (..., n, k) and (..., n, d), to rows given what is there."""
    mean, root = _given(start, rows)
    z = mean + (root @ normals[..., None])[..., 0]
    return _decoded(start, z, rows) + np.sqrt(start.noise_variance) * start.scale * noise


def _decoded(start, codes, rows):
    k = start.latent_dim
    mean = start.decoder_bias + _standard(start, rows)[:, len(start.mean) :] @ start.decoder[k:]
    return (codes @ start.decoder[:k] + mean) * start.scale + start.mean
