"""The deterministic autoencoder, initialised as PCA."""

import copy
from dataclasses import dataclass, replace
from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..likelihoods import as_likelihood
from ..nn.spec import Spec
from ..starts.pca import spans_decades
from ..starts.scores import pca_of
from ..starts.start import ERROR_FLOOR, Start
from ._as_pca import PcaAttributes, components_and_shares, is_pca
from ._base import BaseAutoencoder

_ORDERED_SIZES = (512, 256)  # one network serves all sizes


@dataclass(frozen=True, kw_only=True)
class AutoencoderSpec(Spec):
    """Everything the module of an autoencoder is built from, with ordered codes or without."""

    ordered: bool
    in_groups: bool = False  # whether groups of codes have encoder networks of their own
    # The initial model of all codes that the networks were built for, if only the first are used.
    whole: Start | None = None

    parts = {"start": Start, "whole": Start}

    @property
    def takes_first_codes(self):
        """Whether the first codes can be decoded without the others."""
        return self.ordered

    @property
    def n_codes(self):
        """Number of codes that the networks were built for."""
        return (self.whole or self.start).latent_dim

    def build(self):
        """Build the torch module, with the weights of the initial model."""
        if not self.ordered:
            module = super().build()
            if self.columns is not None and self.init != "random":
                from ..nn.init import Nothing

                # Trained codes of such tables tell a classifier less than those of FAMD.
                module.encoder = Nothing(self.n_codes)
            return module
        import torch

        from ..nn.ordered import GroupedModule, OrderedModule, groups

        whole = self.whole or self.start
        k, rank = whole.latent_dim, min(self.n_samples, len(whole.mean))
        of_whole = replace(self, start=whole)
        if not self.in_groups:
            encoder, decoder = of_whole.networks(k, latent_dim=2 * k)
            return OrderedModule(
                self.start, encoder, decoder, self.family.head(self.start), whole, rank
            )
        generator, parts = torch.Generator().manual_seed(self.seed), groups(k)
        # The groups divide the encoder's width among them. The decoder runs their networks too.
        sizes = self.hidden_layer_sizes
        narrow = tuple(-(-size // len(parts)) for size in sizes)
        most = -(-max(sizes, default=0) // 2)
        half = replace(of_whole, hidden_layer_sizes=tuple(min(size, most) for size in sizes))
        encoder = torch.nn.ModuleList()
        for first, end in parts:
            group = replace(self, start=_codes_of(whole, first, end), hidden_layer_sizes=narrow)
            encoder.append(group.networks(end - first, generator=generator)[0])
        _, decoder = half.networks(k, latent_dim=2 * k, generator=generator)
        return GroupedModule(
            self.start, encoder, decoder, self.family.head(self.start), whole, rank
        )

    def is_complete(self):
        """Return whether there is nothing to train: no codes, or an exact initial model."""
        exact = self.family.is_normal and self.init == "pca" and not self.ordered
        return super().is_complete() or (exact and self.start.noise_variance <= ERROR_FLOOR)


@dataclass(eq=False, repr=False, kw_only=True)
class AutoencoderTransformer(PcaAttributes):
    r"""Autoencoder initialised as PCA.

    Encoder and decoder are those of PCA plus neural networks [1]_,
    :math:`z = A(x - \mu) + f(x)` and :math:`\hat x = \mu + B z + g(z)`. The networks' outputs
    are initially zero. Training minimises the squared reconstruction error. An epoch is kept
    only if it reconstructs a validation set better than PCA, by more than two standard errors.

    Parameters
    ----------
    {shared_parameters}
    whiten : bool, default=False
        Whether `transform` returns uncorrelated codes of variance 1, as in PCA.
        `inverse_transform` then expects such codes.
    ordered : bool, default=False
        Whether the first j codes are an embedding of their own for every j, as the components
        of PCA are. One fit then serves all sizes up to `latent_dim`: see `truncate`. A float
        `latent_dim` is then the fraction of variance that the codes reconstruct on the
        validation set. See :doc:`/guide/latents`.

    Attributes
    ----------
    {pca_attributes}
        With ``ordered=True``, the ratios are what each further code adds on the validation set
        (on training rows if there is none), in nearly decreasing order.
    noise_variance_ : float
        Mean squared reconstruction error per remaining dimension, as in PCA. Present with
        ``likelihood="gaussian"``.
    {shared_attributes}

    See Also
    --------
    VAETransformer : Autoencoder with a density, for likelihoods and for sampling.
    DenoisingAutoencoder : Autoencoder for rows with noise or missing entries.
    sklearn.decomposition.PCA : The initial model.

    Notes
    -----
    With ``likelihood="bernoulli"``, ``"categorical"`` or ``"poisson"`` the initial model is PCA
    of the standardised score around independent features, in the space of natural parameters.
    Its loss is never higher than that of independent features.

    With ``likelihood="auto"``, or a mapping, and ``ordered=False`` the encoder stays linear: codes
    are those of factor analysis of mixed data (FAMD), and only the decoder is trained. Codes that
    are trained as well reconstruct such tables somewhat better, but classifiers on them are less
    accurate.

    With ``ordered=True`` training uses nested dropout [2]_. An epoch is kept only if no size is
    more than 1 % worse than PCA of the same size on the validation set, among up to eight sizes.
    Losses are means over sizes of the error relative to PCA's, times PCA's error with all
    codes. For ``network="mlp"``, "auto" is (512, 256). A callable `network` is called with a
    `latent_dim` of twice the number of codes, as the decoder also reads a 1 for each missing code.

    References
    ----------
    .. [1] Hinton, G. E. & Salakhutdinov, R. R. (2006). Reducing the dimensionality of data
       with neural networks. Science 313, 504-507.
    .. [2] Rippel, O., Gelbart, M. & Adams, R. (2014). Learning ordered representations with
       nested dropout. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(2, max_epochs=20, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (1797, 2)
    >>> start = AutoencoderTransformer(2, max_epochs=0).fit(X)  # PCA itself
    >>> bool(autoencoder.score(X) > start.score(X))
    True

    Fit once, and read every size:

    >>> ordered = AutoencoderTransformer(8, ordered=True, max_epochs=20, random_state=0).fit(X)
    >>> ordered.explained_variance_ratio_.shape
    (8,)
    >>> ordered.truncate(3).transform(X).shape
    (1797, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "ordered": ["boolean"],
        "whiten": ["boolean"],
    }

    _spec_type: ClassVar[type[Spec]] = AutoencoderSpec
    _takes_gaps = _takes_sparse = True

    whiten: bool = False
    ordered: bool = False

    @property
    def _reads_gaps(self):
        is_normal = as_likelihood(self.likelihood).is_normal
        return super()._reads_gaps and is_normal and not self.ordered

    @property
    def _reads_sparse(self):
        return super()._reads_sparse and not self.ordered

    def truncate(self, n_codes):
        """Return the fitted model that uses the first codes only.

        Parameters
        ----------
        n_codes : int
            Number of codes, from 1 to `latent_dim_`.

        Returns
        -------
        truncated : AutoencoderTransformer
            A fitted, independent copy with ``latent_dim=n_codes``. Its `transform` returns the
            first columns of this one's. Its `noise_variance_` is computed from
            `explained_variance_ratio_`.

        Raises
        ------
        ValueError
            If the model was not fitted with ``ordered=True``, or `n_codes` is out of range.
        """
        check_is_fitted(self, "net_")
        if not self._spec.ordered:
            raise ValueError(
                "truncate needs codes that were fitted in order; got ordered=False. Use "
                "AutoencoderTransformer(ordered=True)."
            )
        whole = isinstance(n_codes, Integral) and not isinstance(n_codes, bool)
        if not whole or not 1 <= n_codes <= self.latent_dim_:
            raise ValueError(
                f"n_codes must be an int from 1 to latent_dim_={self.latent_dim_}; got "
                f"n_codes={n_codes!r}."
            )
        truncated = copy.deepcopy(self)
        truncated.set_params(latent_dim=int(n_codes))
        truncated._keep_codes(int(n_codes))
        truncated._spec = replace(truncated._spec, latent_dim=truncated.latent_dim)
        truncated._codes = truncated._codes[:, :n_codes]
        for name in ("components_", "explained_variance_", "singular_values_"):
            setattr(truncated, name, getattr(self, name)[:n_codes])
        if self._whitening is not None:  # triangular, so the first codes have their own block
            centre, there, back = self._whitening
            square = slice(n_codes), slice(n_codes)
            truncated._whitening = centre[:n_codes], there[square], back[square]
        truncated._density_of_codes = None
        if hasattr(self, "noise_variance_"):
            remaining = min(self.n_samples_, self.n_features_in_) - n_codes
            unbiased = self.n_samples_ / (self.n_samples_ - 1)
            share = max(1.0 - truncated.explained_variance_ratio_.sum(), 0.0)
            left = self._total_variance * unbiased * share
            truncated.noise_variance_ = float(left / remaining) if remaining else 0.0
        return truncated

    def impute(self, X):
        """Fill in missing entries, given the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows with NaN for missing entries.

        Returns
        -------
        X_imputed : array-like of shape (n_samples, n_features)
            Rows whose other entries are unchanged; a data frame if X is one. A missing entry is
            its conditional mean under probabilistic PCA, plus what the networks add to the linear
            reconstruction.
        """
        check_is_fitted(self, "net_")
        self._check_imputes()

        def means(rows):
            return self._spec.family.in_units(self._model.of_inputs("impute", rows), start)

        start = self._spec.start
        return self._filled(X, means)

    def _classical_start(self, data, streams, latent_dim):
        return pca_of(data.table, latent_dim, self._likelihood_of(data.table))

    def _own_spec(self):
        return {"ordered": self.ordered}

    def _after_training(self, inputs, rows, rank):
        super()._after_training(inputs, rows, rank)
        if is_pca(self):  # in closed form, from all rows and not from the sample given here
            start = self._spec.start
            exact = start.noise_variance > ERROR_FLOOR
            self.noise_variance_ = start.noise_variance * start.scale**2 if exact else 0.0
        self._set_pca_attributes(inputs, rows)

    def _describe_components(self, inputs, rows):
        if not self._spec.ordered:
            super()._describe_components(inputs, rows)
            return
        components, _ = components_and_shares(self, inputs, rows)
        self._take_components(components, self.explained_variance_ratio_)

    def _has_density_of_start(self):
        return self.net_.module_.is_start

    def _trained_covariance(self):
        covariance = np.cov(self._decode(self._codes).T).reshape(self.n_features_in_, -1)
        _, axes = np.linalg.eigh(covariance)
        left = axes[:, : self.n_features_in_ - self.latent_dim_]
        return covariance + self.noise_variance_ * left @ left.T

    def _hidden_layer_sizes(self, n_rows=0):
        if self.ordered and self.network == "mlp":
            return self._layer_sizes("hidden_layer_sizes", _ORDERED_SIZES)
        return super()._hidden_layer_sizes(n_rows)

    def _describe(self, data, streams, before):
        spec = super()._describe(data, streams, before)
        if before is None and self.ordered:
            from_pca = spec.family.is_normal and self.init != "random"
            # A user's callable may return modules that only fit all codes together.
            alone = from_pca and not callable(self.network)
            return replace(spec, in_groups=alone and spans_decades(spec.start))
        if before is not None and before.whole is not None:
            first = _codes_of(spec.start, 0, before.start.latent_dim)
            return replace(spec, start=first, whole=spec.start)
        return spec

    def _refine(self, trained, data):
        if not trained.spec.ordered:
            return
        start = trained.spec.start
        if trained.net.module_.is_start and trained.spec.family.is_normal:
            ratios = start.explained / len(start.mean)
        else:
            X = data.rows_to_judge()
            codes = self._encode(X)
            total = np.square(X - start.mean, dtype=np.float64).sum()
            left = [
                np.square(X - self._decode(codes[:, :j]), dtype=np.float64).sum()
                for j in range(1, self.latent_dim_ + 1)
            ]
            ratios = -np.diff(left, prepend=total) / (total if total > 0 else 1.0)
        self.explained_variance_ratio_ = ratios
        if trained.is_first and isinstance(self._asked_codes, float):
            enough = np.flatnonzero(np.cumsum(ratios) >= self._asked_codes)
            self._keep_codes(int(enough[0]) + 1 if len(enough) else len(ratios))

    def _keep_codes(self, n_codes):
        """Drop all codes but the first ones."""
        from ..training.train import make_net

        learned = self.net_.to_arrays()
        start = self._spec.start
        # The networks keep their size, so the spec records what they were built for.
        whole = self._spec.whole or start
        self._spec = replace(self._spec, start=_codes_of(start, 0, n_codes), whole=whole)
        self.net_ = make_net(self._spec, self.device_).from_arrays(learned)
        self.latent_dim_ = n_codes
        self.explained_variance_ratio_ = self.explained_variance_ratio_[:n_codes]


def _codes_of(start, first, end):
    """Return an initial model with some of the codes, and the noise variance of all codes."""
    return replace(
        start,
        encoder=start.encoder[:, first:end],
        encoder_bias=start.encoder_bias[first:end],
        decoder=start.decoder[first:end],
        code_scale=start.code_scale[first:end],
        log_variance=start.log_variance[first:end],
        explained=start.explained[first:end],
    )
