"""PCA's attributes of an autoencoder, for code that was written for PCA.

For the initial model they are PCA's, in closed form. After training they describe the decoder:
a component is the average effect of a code on each feature, and the reconstructed variance is
divided among the codes.
"""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..data.sources import blocks, picked
from ..data.table import some_rows
from ..starts.start import ERROR_FLOOR
from ._base import BaseAutoencoder

_NAMES = "components_", "explained_variance_", "explained_variance_ratio_", "singular_values_"
_MOST_ROWS = 2000  # rows that components and variance ratios are averaged over
_NUMBERS = 2**27  # activations of the widest layer in all decodings of these rows
_VALUES = 2**20  # values of these rows
_SCORED_ROWS = 10_000  # rows that the reconstructed fraction of the variance is measured on
_STEP = 1e-4  # of a central difference, in standard deviations of a code
_DETERMINED = 1e-9  # eigenvalue of the codes' correlation below which it counts as singular


class PcaAttributes(BaseAutoencoder):
    """Base class of the estimators whose initial codes are the scores of PCA."""

    def get_covariance(self):
        """Compute the covariance of the features under the model.

        Returns
        -------
        covariance : ndarray of shape (n_features_in_, n_features_in_)
            If training has changed nothing, that of probabilistic PCA, as in PCA. Otherwise
            that of the density of `score_samples`. An autoencoder has no density: there it is
            the covariance of reconstructions, plus `noise_variance_` in the directions of
            least variance.

        Raises
        ------
        ValueError
            If the likelihood is not "gaussian".
        """
        check_is_fitted(self, "net_")
        if not self._spec.family.is_normal:
            raise ValueError(
                "get_covariance needs likelihood='gaussian'; got likelihood="
                f"{self._spec.likelihood!r}. Use np.cov(model.sample(10_000).T)."
            )
        if not self._has_density_of_start():
            return self._trained_covariance()
        components = self.components_.astype(np.float64)
        noise = np.mean(self.noise_variance_)
        excess = np.maximum(self.explained_variance_ - noise, 0.0)
        return (components.T * excess) @ components + noise * np.eye(components.shape[1])

    def get_precision(self):
        """Compute the inverse of `get_covariance`.

        Returns
        -------
        precision : ndarray of shape (n_features_in_, n_features_in_)

        Raises
        ------
        ValueError
            If the likelihood is not "gaussian".
        """
        return np.linalg.inv(self.get_covariance())

    def _set_pca_attributes(self, inputs, rows):
        """Set PCA's attributes, and how `transform` orders and whitens codes.

        `inputs` and `rows` are training rows, as the encoder reads them and as the decoder should
        return them.
        """
        self._order = self._whitening = None
        self._describe_components(inputs, rows)
        if not self.whiten:
            return
        if "components_" in vars(self) and is_pca(self):
            self._whitening = _whitening_of_start(self._spec.start)
        else:
            codes = self._encode(inputs)[:, : self.latent_dim_]
            self._whitening = _whitening(self._shown(codes).astype(np.float64))

    def _describe_components(self, inputs, rows):
        """Set the attributes that describe components, as in PCA."""
        if self.net_.module_.reads_past:  # decoding is then no smooth function of the code
            for name in _NAMES:
                self.__dict__.pop(name, None)
            return
        components, ratios = components_and_shares(self, inputs, rows)
        order = np.argsort(-ratios, kind="stable")
        if (order != np.arange(len(order))).any():
            self._order = order
        self._take_components(components[order], ratios[order])

    def _take_components(self, components, ratios):
        unbiased = self.n_samples_ / (self.n_samples_ - 1)
        self.components_ = components.astype(self._dtype)
        self.explained_variance_ratio_ = ratios
        self.explained_variance_ = ratios * self._total_variance * unbiased
        # On validation rows, a code of an ordered model may increase the error.
        squares = np.maximum(self.explained_variance_, 0.0) * (self.n_samples_ - 1)
        self.singular_values_ = np.sqrt(squares)


def components_and_shares(model, inputs, rows):
    """Return `components_` and `explained_variance_ratio_`, in the order of the model's codes."""
    return _of_start(model) if is_pca(model) else _of_decoder(model, inputs, rows)


def is_pca(model):
    """Return whether encoder and decoder still are those of PCA."""
    return model.net_.module_.is_start and model._spec.family.is_normal


def _of_start(model):
    """Return components and explained variance ratios of PCA."""
    start = model._spec.start
    total, noise = start.explained.sum(), start.noise_variance
    if noise > ERROR_FLOOR:
        # With gaps, the noise is that of all dimensions.
        rank = model.n_features_in_
        rank = rank if model._spec.has_gaps else min(model.n_samples_, rank)
        total += noise * (rank - start.latent_dim)
    return _unit_rows(start.decoder), start.explained / (total if total > 0 else 1.0)


def _of_decoder(model, inputs, rows):
    """Return components and explained variance ratios of a nonlinear decoder.

    Codes are added one by one, in forward and in reverse order, with the others at their mean.
    Each step changes the squared error, and the changes add up to the variance that all codes
    explain. For PCA they are the explained variances. If codes interact in pairs, they are
    Shapley values.
    """
    k, decode = model.latent_dim_, model._decode
    number = max(50, _NUMBERS // (4 * max(k, 1) * model._model.widest_layer()))
    number = min(number, max(50, _VALUES // rows.shape[1]))
    chosen = some_rows(np.arange(len(rows)), min(number, _MOST_ROWS))
    codes, x = model._encode(inputs[chosen]).astype(np.float64), rows[chosen]
    spread = codes.std(axis=0)
    steps = np.diag(_STEP * np.where(spread > 0, spread, 1.0))

    def effect(step):
        return (decode(codes + step) - decode(codes - step)).mean(axis=0) / (2.0 * step.sum())

    components = np.array([effect(step) for step in steps]).reshape(k, rows.shape[1])
    weight = 2.0 * x - model.mean_ - decode(codes)
    gains = np.zeros(k)
    for order in (range(k), reversed(range(k))):
        current = np.tile(codes.mean(axis=0), (len(codes), 1))
        before = decode(current)
        for j in order:
            current[:, j] = codes[:, j]
            after = decode(current)
            gains[j] += (weight * (after - before)).sum()
            before = after
    gains = np.maximum(gains, 0.0)
    share = _reconstructed_share(model, inputs, rows)
    return components / _units(model)[:, None], share * gains / (gains.sum() or 1.0)


def _units(model):
    """Return the lengths of the initial components in the units of X, or 1 where this is 0."""
    start = model._spec.start
    if not model._spec.family.is_normal:
        return np.ones(start.latent_dim)
    length = np.linalg.norm(start.decoder, axis=1) * start.scale / start.code_scale
    return np.where(length > 0, length, 1.0)


def _reconstructed_share(model, inputs, rows):
    """Return the reconstructed fraction of the variance of training rows, at least 0."""
    chosen = some_rows(np.arange(len(rows)), _SCORED_ROWS)
    inputs, rows = picked(inputs, chosen), picked(rows, chosen)
    left = model._squared_errors(inputs, rows).sum()
    total = sum(np.square(block - model.mean_, dtype=np.float64).sum() for _, block in blocks(rows))
    return max(1.0 - left / total, 0.0) if total > 0 else 0.0


def _whitening(codes):
    """Return the whitening of codes: their mean, the matrix, and its inverse.

    The matrix comes from a Cholesky factor, so the first j whitened codes depend on the first j
    codes only, and uncorrelated codes, such as PCA's, are only scaled.
    """
    n, k = codes.shape
    centre, spread = codes.mean(axis=0), _divisors(codes.std(axis=0, ddof=1))
    standard = (codes - centre) / spread
    correlation = standard.T @ standard / (n - 1)
    correlation.flat[:: k + 1] = 1.0
    if np.linalg.eigvalsh(correlation).min(initial=1.0) < _DETERMINED:
        correlation.flat[:: k + 1] += _DETERMINED
    back = np.linalg.cholesky(correlation).T * spread
    return centre, np.linalg.inv(back), back


def _whitening_of_start(start):
    """Return the whitening of PCA's codes, in closed form from the moments of all rows."""
    effect = np.abs((start.encoder * _unit_rows(start.decoder).T).sum(axis=0))
    spread = _divisors(effect * np.sqrt(start.explained) * start.code_scale)
    return np.zeros(len(spread)), np.diag(1.0 / spread), np.diag(spread)


def _divisors(spread):
    """Return standard deviations of codes, with 1 for a code of no variance."""
    return np.where(spread > 1e-10 * spread.max(initial=1e-300), spread, 1.0)


def _unit_rows(vectors):
    """Scale rows to length 1; replace zero rows by directions orthogonal to the others."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = length[:, 0] > 0
    unit = vectors / np.where(length > 0, length, 1.0)
    if not known.all():
        basis = np.linalg.qr(np.vstack([unit[known], np.eye(vectors.shape[1])]).T)[0].T
        unit[~known] = basis[known.sum() : len(vectors)]
    return unit
