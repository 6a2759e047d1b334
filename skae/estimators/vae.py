"""The variational autoencoder, initialised as probabilistic PCA."""

import functools
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..columns import as_columns
from ..data.table import some_rows
from ..density.imputation import (
    N_DRAWS,
    conditional_draws,
    conditional_means,
    draws_of_start,
)
from ..density.learn import beside_start, correct_frequencies, learned, share_of_start, still_fits
from ..density.row import FACTORS, RowDensity
from ..nn.spec import Spec
from ..priors import great_circle
from ..starts.scores import probabilistic_pca_of
from ..warn import warn
from ._as_pca import PcaAttributes
from ._base import BaseAutoencoder

_NO_NOISE = 1e-13  # variance of a standardised feature: float32 cannot resolve less
_LEAST_NOISE = 1e-6  # variance of a feature, relative to that of the initial model
_ACTIVE = 0.01  # nats of KL above which a latent dimension counts as active
_KL_ROWS = 10_000  # the most rows that `kl_per_latent_` is averaged over


@dataclass(frozen=True, kw_only=True)
class VAESpec(Spec):
    """Everything the module of a variational autoencoder is built from."""

    losses_are_squares = False

    def build(self):
        """Build the torch module, with the weights of the initial model."""
        from ..nn.vae import VAEModule

        return VAEModule(self.start, *self.modules())

    def modules(self):
        """Return encoder, decoder and head."""
        # The steps of a sequence are dependent given its code, so the decoder is autoregressive.
        reads_past = self.family.has_steps
        networks = self.networks(2 * self.n_codes, reads_past)
        return *networks, self.family.head(self.start, floor=_LEAST_NOISE)

    def loss_units(self):
        """Return the factor and the offset that turn the module's loss into the reported one."""
        return 1.0, self.family.log_volume(self.start)

    def is_complete(self):
        """Return whether there is nothing to train: no codes, or an exact initial model."""
        exact = self.family.is_normal and self.init == "pca"
        return super().is_complete() or (exact and self.start.noise_variance <= _NO_NOISE)


@dataclass(eq=False, repr=False, kw_only=True)
class VAETransformer(PcaAttributes):
    r"""Variational autoencoder initialised as probabilistic PCA.

    It models the density of rows: `score_samples` returns log-likelihoods, comparable with those
    of `PCA`, and `sample` draws new rows. Training maximises the ELBO [1]_, which is initially
    the log-likelihood of probabilistic PCA [2]_. An epoch is kept only if it raises the ELBO of
    a validation set by more than two standard errors.

    Parameters
    ----------
    {shared_parameters}
    beta : float, default=1.0
        Weight of the KL term in training [3]_. `score` does not depend on it.
    beta_warmup : int, default=0
        Number of epochs over which the weight of the KL term rises to `beta`. This helps
        against posterior collapse with ``init="random"``. With ``init="pca"`` it is not needed.
    whiten : bool, default=False
        Whether `transform` returns uncorrelated codes of variance 1, as in PCA.
        `inverse_transform` then expects such codes.

    Attributes
    ----------
    {pca_attributes}
        Components are in units of those of probabilistic PCA. Initially they have length 1,
        although the codes have the scale of the prior.
    noise_variance_ : ndarray of shape (n_features_in_,)
        Variance of the decoder's homoscedastic noise, in units of X squared. Present with
        ``likelihood="gaussian"``.
    noise_varies_ : bool
        Whether the density has heteroscedastic noise, which depends on the code; see Notes.
    kl_per_latent_ : ndarray of shape (latent_dim_,)
        KL divergence of the posterior from the prior for each latent dimension, in nats,
        averaged over at most 10,000 training rows.
    n_code_components_ : int
        Number of components of the Gaussian mixture that replaces the prior in the density,
        or 0 if it does not; see Notes.
    n_active_latents_ : int
        Number of latent dimensions with a KL divergence above 0.01 nats. The others have
        collapsed.
    density_shares_ : dict of str to float
        Mixture weights in the density: of "decoder" and, if present, of "probabilistic_pca" and
        "factor_analysis"; see Notes.
    {shared_attributes}

    See Also
    --------
    AutoencoderTransformer : Autoencoder without noise, for reconstruction only.
    sklearn.decomposition.PCA : Density whose `score` is on the same scale.

    Notes
    -----
    The generative model is :math:`z \sim N(0, I)`, :math:`x = \mu + B z + g(z) + \epsilon`, with
    Gaussian noise :math:`\epsilon` of one variance per feature. The encoder returns a Gaussian
    posterior with diagonal covariance. The exact posterior of probabilistic PCA has this form,
    so initially the ELBO equals its log-likelihood [2]_. With other likelihoods, the initial
    model is probabilistic PCA of standardised scores.

    With ``likelihood="gaussian"``, three further parts of the density leave encoder and mean
    unchanged. Heteroscedastic noise depends on the code; it is learned separately, since the
    mean suffers if both are learned jointly [4]_. A Gaussian mixture, fitted to the aggregate
    posterior, replaces the prior [5]_ [6]_. Each is used only if it clearly raises the validation
    likelihood. Finally, the density is a defensive mixture [7]_ of the decoder's density with
    probabilistic PCA and factor analysis [8]_, which limits the loss on outliers.
    `score_samples` estimates it by importance weighting [9]_. See :doc:`/guide/starts`.

    References
    ----------
    .. [1] Kingma, D. P. & Welling, M. (2014). Auto-encoding variational Bayes. ICLR.
    .. [2] Tipping, M. E. & Bishop, C. M. (1999). Probabilistic principal component
       analysis. J. R. Stat. Soc. B 61, 611-622.
    .. [3] Higgins, I. et al. (2017). beta-VAE: learning basic visual concepts with a
       constrained variational framework. ICLR.
    .. [4] Seitzer, M., Tavakoli, A., Antic, D. & Martius, G. (2022). On the pitfalls of
       heteroscedastic uncertainty estimation with probabilistic neural networks. ICLR.
    .. [5] Dai, B. & Wipf, D. (2019). Diagnosing and enhancing VAE models. ICLR.
    .. [6] Ghosh, P., Sajjadi, M. S. M., Vergari, A., Black, M. & Scholkopf, B. (2020). From
       variational to deterministic autoencoders. ICLR.
    .. [7] Hesterberg, T. (1995). Weighted average importance sampling and defensive mixture
       distributions. Technometrics 37, 185-194.
    .. [8] Rubin, D. B. & Thayer, D. T. (1982). EM algorithms for ML factor analysis.
       Psychometrika 47, 69-76.
    .. [9] Burda, Y., Grosse, R. & Salakhutdinov, R. (2016). Importance weighted
       autoencoders. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.preprocessing import scale
    >>> from skae import VAETransformer
    >>> X = scale(load_breast_cancer().data)
    >>> vae = VAETransformer(2, max_epochs=30, random_state=0).fit(X)
    >>> mean, std = vae.posterior(X)
    >>> mean.shape, std.shape
    ((569, 2), (569, 2))
    >>> bool(vae.score(X) > PCA(2).fit(X).score(X))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="neither")],
        "beta_warmup": [Interval(Integral, 0, None, closed="left")],
        "whiten": ["boolean"],
    }

    _spec_type: ClassVar[type[Spec]] = VAESpec
    _takes_gaps = _takes_sparse = True
    _parts: ClassVar[dict] = {**PcaAttributes._parts, "_density": RowDensity}

    beta: float = 1.0
    beta_warmup: int = 0
    whiten: bool = False

    @property
    def density_shares_(self):
        """Shares of the decoder and of classical densities in the density of a row."""
        return self._density.shares

    @property
    def n_code_components_(self):
        """Number of normals in the density of codes; 0 where that is the prior."""
        codes = self._density.codes
        return 0 if codes is None else len(codes.weights)

    def posterior(self, X):
        """Return the Gaussian posterior of each row's code.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        mean, std : ndarrays of shape (n_samples, latent_dim_)
            Mean and standard deviation of each code, in the dtype of X. The prior has mean 0
            and standard deviation 1.
        """
        check_is_fitted(self, "net_")
        return tuple(map(self._in_order, self._posterior(self._validate_rows(X))))

    def _posterior(self, X):
        moments = self._by_blocks(self._moments, X)
        return moments[:, : self.latent_dim_], moments[:, self.latent_dim_ :]

    def _in_order(self, values):
        """Reorder values per latent dimension, (..., k), as `transform` orders the codes."""
        return values if self._order is None else values[..., self._order]

    def _moments(self, rows):
        """Return posterior means and standard deviations of a block of rows, (n, 2 k)."""
        return self._model.encode("moments", rows)

    def score_samples(self, X):
        """Compute the log-likelihood of each row, as an importance-weighted lower bound.

        The bound (Burda et al. 2016) averages over 32 draws of the code around its posterior mode,
        which Gauss-Newton steps find, and up to 2,048 draws from the prior that all rows share;
        :doc:`/guide/likelihoods` names the exceptions. The draws are fixed low-discrepancy
        points, so the result is the same in every call. With
        ``max_epochs=0`` and Gaussian likelihood it is exactly that of probabilistic PCA.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats: the log-density of a row in the units of X, comparable with
            ``PCA.score_samples``. With ``likelihood="bernoulli"``, "categorical" or "poisson" it
            is a log-probability.
        """
        check_is_fitted(self, "net_")
        rows = self._validate_rows(X)
        self._spec.family.check(rows)
        with np.errstate(over="ignore"):
            found = self._log_likelihood(rows) + self._log_volume(X)
            return found.astype(rows.dtype, copy=False)

    def impute(self, X, n_draws=None, *, random_state=None):
        """Fill in missing entries, given the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows with NaN for missing entries.
        n_draws : int or None, default=None
            Number of draws from p(missing | observed), for multiple imputation. None for the
            conditional mean.
        random_state : int, RandomState, Generator or None, default=None
            For the draws: as in `sample`.

        Returns
        -------
        X_imputed : array-like of shape (n_samples, n_features), or ndarray of shape \
                (n_draws, n_samples, n_features)
            Rows whose other entries are unchanged. For a data frame a data frame is returned,
            unless `n_draws` is given. With ``likelihood="auto"`` draws are a list of tables like X.

        Notes
        -----
        Codes are drawn around the posterior mode of each row given what is there, with importance
        weights (Mattei & Frellsen 2019). With ``max_epochs=0``, the conditional mean is that of
        the normal distribution of probabilistic PCA.
        """
        check_is_fitted(self, "net_")
        self._check_imputes()
        if n_draws is None:
            means = functools.partial(conditional_means, self._density, self._model)
            return self._filled(X, means, 4 * N_DRAWS)
        n_draws, streams = self._sampling(n_draws, random_state, "n_draws")
        rows, rng = self._rows_to_impute(X), streams.numpy("imputation")
        draw = functools.partial(self._imputations, n_draws=n_draws, uniform=rng.uniform)
        return self._drawn(X, rows, n_draws, draw, rng)

    def _drawn(self, X, rows, n_draws, draw, rng):
        """Fill in rows several times, in the form of X.

        `draw` maps the rows with gaps to (n_draws, n, d).
        """
        draws = np.repeat(rows[None], n_draws, axis=0)
        some = np.isnan(rows).any(axis=1)
        if some.any():
            draws[:, some] = draw(rows[some])
        if self._columns is not None:
            return [self._columns.fill(X, self._columns.decode(of, rng)) for of in draws]
        return draws.reshape(n_draws, len(rows), *self._row_shape)

    def _imputations(self, rows, n_draws, uniform, trained=True):
        """Draw missing entries of rows with gaps, (n_draws, n, d).

        `uniform` returns uniform numbers, given lower and upper bound and a shape. Its first axis
        is that of rows; a length of 1 stands for all of them. If not `trained`, the initial model
        is used.
        """
        n_numbers = 2 + self.latent_dim_ + self._n_read

        def drawn(rows):
            uniforms = uniform(1e-12, 1.0 - 1e-12, (len(rows), n_draws, n_numbers))
            uniforms = uniforms.transpose(1, 0, 2)
            if trained:
                draws = conditional_draws(self._density, self._model, rows, uniforms)
            else:
                draws = draws_of_start(self._spec.start, rows, uniforms)
            return draws.transpose(1, 0, 2).astype(rows.dtype)

        draws = self._by_blocks(drawn, rows, 4 * max(N_DRAWS, n_draws))
        return draws.transpose(1, 0, 2)

    def _log_volume(self, X):
        """Return what densities of rows of a table have beside those of its encoded rows."""
        return 0.0 if self._columns is None else self._columns.log_volume(as_columns(X)[0])

    def _log_likelihood(self, X, draws=None):
        """Return the log-likelihood of validated rows, in nats in the units of X, in float64.

        `draws` are standard normal points that replace the default ones.
        """
        return self._density.log_prob(self._model, X, self._log_density, draws)

    def _log_density(self, fitted, rows, *, draws=None):
        """Return the log-density of a block of rows, in units of the initial model's scale."""
        return self._density.of_block(fitted, rows, draws=draws)

    def sample(self, n_samples=1, *, random_state=None, add_noise=True):
        """Draw new rows: a code from the prior (or its replacement), then a row given the code.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState, Generator or None, default=None
            An int gives the same rows in every call; a `numpy.random.Generator` is advanced.
            None uses the estimator's `random_state`: if that is an int, every call returns
            the same rows.
        add_noise : bool, default=True
            Whether to draw rows from the density of `score_samples`. If False, the mean of the
            decoder's distribution is returned, which is better to look at.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self, "net_")
        n_samples, streams = self._sampling(n_samples, random_state)
        rng = streams.numpy("sampling")
        return self._sample(self._draw_codes(n_samples, rng), add_noise, rng)

    def _draw_codes(self, n_samples, rng):
        return self._density.draw_codes(n_samples, self.latent_dim_, rng).astype(self._dtype)

    def _sample(self, codes, add_noise, rng):
        if add_noise and not self._spec.family.is_normal:
            return self._shaped(self._model.draw(codes, rng), rng)
        X = self._decode(codes)
        if add_noise:
            X = self._density.with_noise(self._model, X, codes, self._noise(codes), rng)
        return self._shaped(X)

    def _noise(self, codes):
        """Return standard deviations of the decoder's Gaussian noise, (n, d) or (d,)."""
        if not self.noise_varies_:
            return np.sqrt(self.noise_variance_)
        noise = functools.partial(self._model.decode, "noise_std")
        return self._by_blocks(noise, codes) * self._spec.start.scale

    def _between(self, a, b, shares):
        return great_circle(a, b, shares)

    def _classical_start(self, data, streams, latent_dim):
        return probabilistic_pca_of(data.table, latent_dim, self._likelihood_of(data.table))

    def _training_options(self, spec, *args, **kwargs):
        options = super()._training_options(spec, *args, **kwargs)
        options.update(beta=self.beta, beta_warmup=self.beta_warmup)
        if _is_mixed(spec):
            options.update(start_share=share_of_start(spec.n_samples))
        return options

    def _refine(self, trained, data):
        """Learn what the density has beside the decoder: the mixture of codes, the weights."""
        net, module, fitted = trained.net, trained.net.module_, self._model
        varied, self.noise_varies_ = vars(self).get("noise_varies_"), module.noise_varies
        # Chunks and warm starts keep the density that `fit` has learned, while it still fits.
        before = RowDensity() if trained.is_first else vars(self).get("_density", RowDensity())
        codes = None if net.gave_up_ else before.codes
        goes_on = FACTORS in before.shares and (module.noise_varies or not varied)
        goes_on = goes_on and not (net.start_moved_ or net.gave_up_)
        rows = data.rows_to_judge()
        if codes is not None and not still_fits(codes, fitted, rows, net.start_moved_):
            codes, goes_on = None, False
        if goes_on:
            self._density = replace(before, codes=codes)
            return None
        self._density = RowDensity(codes=codes)
        is_start = module.is_start if trained.spec.columns else module.posterior_is_exact
        if (is_start and self.max_epochs == 0) or not _learns_density(trained.spec):
            return None
        if _is_mixed(trained.spec):
            self._density = beside_start(self.n_samples_, codes)
        if trained.is_first and not data.paired and trained.split.valid is not None:
            try:
                for density in learned(self._density, trained, data, fitted):
                    self._density = density
                if trained.spec.columns is not None and self.latent_dim_:
                    correct_frequencies(self._density.codes, data, fitted)
            except KeyboardInterrupt as interrupt:  # each density so far is complete
                return interrupt
        return None

    def _after_training(self, inputs, rows, rank):
        if self._spec.family.is_normal:
            self.noise_variance_ = np.square(self._model.noise_std())
        kl = functools.partial(self._model.encode, "kl")
        kl_per_latent = self._by_blocks(kl, some_rows(inputs, _KL_ROWS)).mean(axis=0)
        self.n_active_latents_ = int((kl_per_latent > _ACTIVE).sum())
        self._set_pca_attributes(inputs, rows)
        self.kl_per_latent_ = self._in_order(kl_per_latent)

    def _has_density_of_start(self):
        is_start = self.net_.module_.posterior_is_exact and self._density.codes is None
        return is_start and FACTORS not in self.density_shares_

    def _trained_covariance(self):
        codes = self._density.codes_for_moments(self.latent_dim_)
        rows, noise = self._decode(codes), np.square(self._noise(codes))
        noise = np.broadcast_to(noise, rows.shape).mean(axis=0)
        covariance = np.cov(rows.T, bias=True).reshape(len(noise), -1) + np.diag(noise)
        return self._density.covariance(self._spec, (rows.mean(axis=0), covariance))

    def _announce(self):
        n_collapsed = self.latent_dim_ - self.n_active_latents_
        if n_collapsed and self.n_iter_:  # untrained components of PCA may be inactive too
            warn(
                f"{n_collapsed} of {self.latent_dim_} latents have collapsed: their KL from the "
                f"prior is below {_ACTIVE} nats, so they say nothing about a row. Use a smaller "
                "latent_dim, a smaller beta or a longer beta_warmup.",
                ConvergenceWarning,
            )


def _learns_density(spec):
    """Return whether a density of codes is learned."""
    return _is_mixed(spec) or spec.columns is not None


def _is_mixed(spec):
    """Return whether the decoder's density is mixed with that of the initial model."""
    return spec.family.is_normal and spec.init != "random"
