"""How the density of a row is learned after training, and judged by rows that were held out."""

import functools
from dataclasses import replace

import numpy as np

from ..data.sources import is_small
from ..data.table import some_rows
from ..random import Streams
from ..starts.factor_analysis import factor_analysis, has_factors
from ..training.judge import is_clear
from .classical import log_evidence, without
from .codes import CodeDensity
from .mixture import likeliest_shares
from .points import normal_points
from .row import FACTORS, RowDensity, decoder_bounds

_ROUNDING = 1e-5  # nats for every feature
_CODES = 20_000  # that their density is learned from, at most
# Of the prior's spread. One code farther out and the least variance of a mixture, a millionth
# of that of all codes, would be as wide as the prior.
_FAR = 1000.0
_FEW_ROWS = 500  # held out, that what densities are made of is chosen by, at most
_FEW_DRAWS, _SHARES_DRAWS = 16, 64  # for each of them; the latter where shares are learned


def share_of_start(n_samples):
    """The chance that a row is unlike all that were seen, and comes from probabilistic PCA."""
    return 1.0 / (n_samples + 1)


def beside_start(n_samples, codes=None):
    """The density of a decoder beside that of its start, of which nothing else is known."""
    share = share_of_start(n_samples)
    return RowDensity({"decoder": 1.0 - share, "probabilistic_pca": share}, codes)


def still_fits(codes, fitted, X, moved):
    """Whether rows are not clearly likelier without a density of codes learned before.

    Where the start has `moved`, so have codes: then it is enough that they are likelier.
    """
    rows = some_rows(X, _FEW_ROWS)
    of_prior, of_codes = _bounds(fitted, rows, [None, codes], _FEW_DRAWS).T
    gain = of_prior - of_codes
    outlived = gain.mean() > 0 if moved else is_clear(gain, _rounding(fitted))
    return not outlived


def learned(density, trained, data, fitted):
    """Better densities of a row, each whole, as they are learned one after the other.

    First what codes are distributed like, and then the weights of classical densities.
    """
    spec, rows = trained.spec, some_rows(data.rows_to_judge(), _FEW_ROWS)
    with_factors = has_factors(data.table, spec.start)
    codes = _density_of_codes(data, fitted) if is_small(data.table.X) else None
    if codes is None and not with_factors:
        return
    candidates = [None] if codes is None else [None, codes]
    bounds = _bounds(fitted, rows, candidates, _SHARES_DRAWS if with_factors else _FEW_DRAWS)
    of_decoder = bounds[:, 0]
    groups = data.held_out.groups
    groups = None if groups is None else some_rows(groups, _FEW_ROWS)
    if codes is not None and is_clear(bounds[:, 1] - of_decoder, _rounding(fitted), groups):
        density = replace(density, codes=codes)
        yield density
        of_decoder = bounds[:, 1]
    if with_factors:
        yield _with_shares(density, data, spec.start, rows, of_decoder)


def _density_of_codes(data, fitted):
    """What codes of training rows are distributed like; None if too few are left."""
    rng, k = Streams(seed=fitted.spec.seed).numpy("codes"), fitted.spec.start.latent_dim
    index = some_rows(data.trained_on(), _CODES)
    moments = fitted.by_blocks(
        functools.partial(fitted.encode, "moments"), data.table.X[np.sort(index)]
    )
    mean, std = moments[:, :k].astype(np.float64), moments[:, k:].astype(np.float64)
    # A row unlike all others may be encoded anywhere, and would stand for their spread.
    is_near = (np.hypot(mean, std) < _FAR).all(axis=1)
    mean, std = mean[is_near], std[is_near]
    if len(mean) < 2 or not k:
        return None
    return CodeDensity.of(mean + std * rng.standard_normal(mean.shape), rng)


def _with_shares(density, data, start, rows, of_decoder):
    """Weights by maximum likelihood, with classical densities fitted without these rows."""
    x = data.table.standard(rows)
    inside = x if data.validation is None else x[:0]
    others = without(data.table, start, inside, x)
    # The decoder's linear path may have seen these rows: it loses what PCA gains by that.
    of_decoder = of_decoder - (log_evidence(start, x) - others[0])
    shares = likeliest_shares(np.array([of_decoder, *others]))
    names = ("decoder", "probabilistic_pca", FACTORS)
    factors = factor_analysis(data.table, start)
    return RowDensity(dict(zip(names, shares.tolist(), strict=True)), density.codes, factors)


def _bounds(fitted, rows, code_densities, n_draws):
    """The decoder's densities of the rows that others are compared by."""
    draws = normal_points(n_draws, fitted.spec.start.latent_dim)
    bounds = functools.partial(
        decoder_bounds, fitted, code_densities=code_densities, of_prior=False, draws=draws
    )
    return fitted.by_blocks(bounds, rows, copies=n_draws)


def _rounding(fitted):
    """The least gain of a density of codes: what rows are decoded to is the same with it."""
    return _ROUNDING * fitted.n_features
