"""Learning of the density of a row after training, with the validation set."""

import functools
from dataclasses import replace

import numpy as np

from ..data.sources import is_small, picked
from ..data.table import some_rows
from ..random import Streams
from ..starts.factor_analysis import factor_analysis, has_factors
from ..training.judge import Judge
from .classical import log_evidence, without
from .codes import CodeDensity
from .marginals import correct
from .mixture import likeliest_shares
from .row import FACTORS, RowDensity, copies_of, decoder_bounds

_ROUNDING = 1e-5  # smallest gain in nats per feature
_CODES = 20_000  # the most training rows whose codes the mixture is fitted to
# Standard deviations of the prior beyond which codes are left out. A single code farther out would
# make the smallest variance of a mixture, 1e-6 of the codes' variance, as large as the prior's.
_FAR = 1000.0
_FEW_ROWS = 500  # the most validation rows that densities are compared on


def share_of_start(n_samples):
    """Return the default weight of probabilistic PCA, for a row unlike the n seen so far."""
    return 1.0 / (n_samples + 1)


def beside_start(n_samples, codes=None):
    """Return the mixture of the decoder's density and probabilistic PCA, with default weights."""
    share = share_of_start(n_samples)
    return RowDensity({"decoder": 1.0 - share, "probabilistic_pca": share}, codes)


def still_fits(codes, fitted, X, moved):
    """Return whether a density of codes that was learned earlier is still useful.

    It is not if rows have a clearly higher likelihood with the prior. If the initial model has
    `moved`, the codes have moved too, and any higher mean suffices.
    """
    rows = some_rows(X, _FEW_ROWS)[:]
    of_prior, of_codes = _bounds(fitted, rows, [None, codes]).T
    gain = of_prior - of_codes
    outlived = gain.mean() > 0 if moved else Judge(_rounding(fitted)).is_clear(gain)
    return not outlived


def learned(density, trained, data, fitted):
    """Yield densities of a row, each better than the one before and complete in itself.

    First the density of codes is learned, and then the weights of the classical densities.
    """
    spec, rows = trained.spec, some_rows(data.rows_to_judge(), _FEW_ROWS)[:]
    with_factors = spec.family.is_normal and has_factors(data.table, spec.start)
    codes = _density_of_codes(data, fitted) if is_small(data.table.X) else None
    if codes is None and not with_factors:
        return
    candidates = [None] if codes is None else [None, codes]
    bounds = _bounds(fitted, rows, candidates)
    of_decoder = bounds[:, 0]
    judge = _judge(data, fitted)
    if codes is not None and judge.is_clear(bounds[:, 1] - of_decoder):
        density = replace(density, codes=codes)
        yield density
        of_decoder = bounds[:, 1]
    if with_factors:
        yield _with_shares(density, data, spec.start, rows, of_decoder)


def correct_frequencies(codes, data, fitted):
    """Give levels their frequencies in the training rows, unless validation rows object."""
    rows = some_rows(data.rows_to_judge(), _FEW_ROWS)
    before = _bounds(fitted, rows, [codes])[:, 0]
    undo = correct(fitted, codes)
    kept = False  # in case of an interrupt
    try:
        lost = before - _bounds(fitted, rows, [codes])[:, 0]
        kept = not _judge(data, fitted).is_clear(lost)
    finally:
        if not kept:
            undo()


def _density_of_codes(data, fitted):
    """Fit a mixture to the codes of training rows; return None if there are too few."""
    rng, k = Streams(seed=fitted.spec.seed).numpy("codes"), fitted.spec.start.latent_dim
    index = some_rows(data.trained_on(), _CODES)
    moments = fitted.by_blocks(
        functools.partial(fitted.encode, "moments"), picked(data.table.X, np.sort(index))
    )
    mean, std = moments[:, :k].astype(np.float64), moments[:, k:].astype(np.float64)
    # The code of an outlying row may be anywhere, and would dominate the variance.
    is_near = (np.hypot(mean, std) < _FAR).all(axis=1)
    mean, std = mean[is_near], std[is_near]
    if len(mean) < 2 or not k:
        return None
    return CodeDensity.of(mean + std * rng.standard_normal(mean.shape), rng)


def _with_shares(density, data, start, rows, of_decoder):
    """Learn maximum likelihood weights, with classical models fitted without these rows."""
    x = data.table.standard(rows)
    inside = x if data.validation is None else x[:0]
    others = without(data.table, start, inside, x)
    # The linear path was fitted with these rows: subtract what probabilistic PCA gains by that.
    of_decoder = of_decoder - (log_evidence(start, x) - others[0])
    shares = likeliest_shares(np.array([of_decoder, *others]))
    names = ("decoder", "probabilistic_pca", FACTORS)
    factors = factor_analysis(data.table, start)
    return RowDensity(dict(zip(names, shares.tolist(), strict=True)), density.codes, factors)


def _bounds(fitted, rows, code_densities):
    """Return the decoder's log-densities of rows, for each density of codes, (n, m)."""
    without_conditions = rows.shape[1] == fitted.n_features
    options = {"code_densities": code_densities, "of_prior": without_conditions}
    bounds = functools.partial(decoder_bounds, fitted, **options)
    return fitted.by_blocks(bounds, rows, copies=copies_of(fitted, code_densities))


def _judge(data, fitted):
    """Return the judge of gains of the validation rows that densities are compared on."""
    groups = data.held_out.groups
    groups = None if groups is None else some_rows(groups, _FEW_ROWS)
    return Judge(_rounding(fitted), groups=groups)


def _rounding(fitted):
    """Return the smallest gain of a density of codes that is not a rounding error."""
    return _ROUNDING * fitted.n_features
