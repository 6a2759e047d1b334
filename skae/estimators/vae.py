"""The variational autoencoder, which starts as probabilistic PCA."""

import functools
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..data.table import some_rows
from ..density.learn import beside_start, learned, share_of_start, still_fits
from ..density.row import FACTORS, RowDensity
from ..nn.spec import Spec
from ..priors import great_circle
from ..starts.scores import probabilistic_pca_of
from ..warn import warn
from ._as_pca import PcaAttributes
from ._base import BaseAutoencoder

_NO_NOISE = 1e-13  # of a standardised feature: float32 shows no improvement below
_LEAST_NOISE = 1e-6  # of a feature, in units of the start's
_ACTIVE = 0.01  # nats of KL from which on a latent carries something
_KL_ROWS = 10_000  # rows that `kl_per_latent_` is averaged over, at most


@dataclass(frozen=True, kw_only=True)
class VAESpec(Spec):
    """What the module of a variational autoencoder is built from."""

    def build(self):
        """The torch module, at its start."""
        from ..nn.vae import VAEModule

        return VAEModule(self.start, *self.modules())

    def modules(self):
        """Encoder, decoder and head."""
        # Steps of one row hang together beyond what its code says.
        reads_past = self.family.has_steps
        networks = self.networks(2 * self.n_codes, reads_past)
        return *networks, self.family.head(self.start, floor=_LEAST_NOISE)

    def loss_units(self):
        """Factor and offset that turn the module's loss into the one to report."""
        return 1.0, self.family.log_volume(self.start)

    def is_complete(self):
        """Whether the start leaves nothing to be learned, so that training ends at once."""
        exact = self.family.is_normal and self.init == "pca"
        return super().is_complete() or (exact and self.start.noise_variance <= _NO_NOISE)


@dataclass(eq=False, repr=False, kw_only=True)
class VAETransformer(PcaAttributes):
    r"""Variational autoencoder that starts as probabilistic PCA.

    A row is a code :math:`z \sim N(0, I)` decoded with noise of its own per feature,
    :math:`x = \mu + B z + g(z) + \epsilon`. The encoder gives a Gaussian posterior with
    independent codes, and training maximises the ELBO [1]_. Before training this is
    probabilistic PCA [2]_ with its exact posterior, so the ELBO there *is* PCA's
    log-likelihood; an epoch is kept only where held-out rows have, beyond chance, a
    higher one.

    Parameters
    ----------
    {shared_parameters}
    beta : float, default=1.0
        Weight of the KL term in training [3]_. `score` does not depend on it.
    beta_warmup : int, default=0
        Epochs over which the weight of the KL term rises to `beta`. The classical
        start needs none; it helps against collapsed latents with ``init="random"``.
    whiten : bool, default=False
        Whether `transform` returns uncorrelated codes of variance 1, as PCA with
        ``whiten=True``. Nothing else is affected: `inverse_transform` takes such codes.

    Attributes
    ----------
    {pca_attributes}
        Components are in units of those of probabilistic PCA, so at the start their length
        is 1 although codes have the prior's scale.
    noise_variance_ : ndarray of shape (n_features_in_,)
        Learned variance of the decoder's noise where it is alike for all rows, in units
        of X squared (present with ``likelihood="gaussian"``).
    noise_varies_ : bool
        Whether in the density the noise of a row depends on its code: see the notes.
    kl_per_latent_ : ndarray of shape (latent_dim_,)
        Mean KL divergence of the posterior from the prior, in nats, over at most
        10,000 training rows.
    n_code_components_ : int
        Of the mixture of normals that codes have in the density; 0 where it is the prior:
        see the notes.
    n_active_latents_ : int
        Number of latents with a KL above 0.01 nats; the others have collapsed.
    density_shares_ : dict of str to float
        Shares of "decoder" and, where they have any, "probabilistic_pca" and
        "factor_analysis" in the density of a row: see the notes.
    {shared_attributes}

    See Also
    --------
    AutoencoderTransformer : Without noise: for reconstruction alone.
    sklearn.decomposition.PCA : Its `score` is on the same scale.

    Notes
    -----
    With ``likelihood="gaussian"`` the ELBO that is trained on, and that epochs are compared
    by, has a noise variance per feature, alike for all rows. How noise differs from code to
    code is learned aside, from the last hidden layer of the decoder, by at most a factor of
    :math:`e^3` in the standard deviation, and nothing of its loss reaches encoder or mean:
    trained together, the mean would fit worst where noise can explain what is left [7]_.
    It is part of the density, of `score_samples` and `sample`, only where rows that were
    held out are likelier with it beyond chance. Decoders that are not fully connected have
    none.

    The prior is what training pulls the posteriors of all rows towards; where they end up is
    seldom quite that. So afterwards a mixture of normals is fitted to draws from the posteriors
    of at most 20,000 training rows, but for those encoded a thousand times as far out as the
    prior [8]_ [9]_: of 1, 2, 4, ... and at most 64, as long as that lowers the BIC and there
    are 20 rows for every latent of each. Where rows that were held out are likelier with it,
    beyond chance, it takes the place of the prior in the density of `score_samples` and
    `sample`; encoder and decoder stay as they are. That is in a `fit` from the classical start,
    with ``likelihood="gaussian"``, with rows held out, of a table of at most 2**25 numbers.
    Warm starts and chunks go on with it until their rows, those held out where any are, are
    less likely with it, beyond chance; the shares below, learned beside it, then go too.

    The decoder's noise may become very small (alike, its variance comes down to a millionth
    of the start's at most), and then a single row unlike those seen would cost more than
    all others gain. So the density of a row, with ``likelihood="gaussian"``, is a mixture,
    as in defensive importance sampling [5]_: of the decoder's, of probabilistic PCA's, and
    of that of factor analysis [6]_ with as many codes, which has a noise per feature as the
    decoder has. No row has less than PCA's log-likelihood plus the logarithm of its share.
    The shares make rows that were held out likeliest, where PCA and factor analysis are
    fitted without them, and what the decoder's start has gained by seeing them is taken
    off; that is in a `fit` from the start, with rows held out, of at most 128 features and
    as many rows. Elsewhere factor analysis has none, and probabilistic PCA one in n + 1,
    the chance that a row is unlike n others, as it has when epochs are compared. At
    ``max_epochs=0`` and with ``init="random"`` the density is the decoder's alone. `score`,
    `score_samples` and `sample` are of the mixture; codes, `posterior` and
    `inverse_transform` of encoder and decoder alone.

    References
    ----------
    .. [1] Kingma, D. P. & Welling, M. (2014). Auto-encoding variational Bayes. ICLR.
    .. [2] Tipping, M. E. & Bishop, C. M. (1999). Probabilistic principal component
       analysis. J. R. Stat. Soc. B 61, 611-622.
    .. [3] Higgins, I. et al. (2017). beta-VAE: learning basic visual concepts with a
       constrained variational framework. ICLR.
    .. [4] Burda, Y., Grosse, R. & Salakhutdinov, R. (2016). Importance weighted
       autoencoders. ICLR.
    .. [5] Hesterberg, T. (1995). Weighted average importance sampling and defensive mixture
       distributions. Technometrics 37, 185-194.
    .. [6] Rubin, D. B. & Thayer, D. T. (1982). EM algorithms for ML factor analysis.
       Psychometrika 47, 69-76.
    .. [7] Seitzer, M., Tavakoli, A., Antic, D. & Martius, G. (2022). On the pitfalls of
       heteroscedastic uncertainty estimation with probabilistic neural networks. ICLR.
    .. [8] Dai, B. & Wipf, D. (2019). Diagnosing and enhancing VAE models. ICLR.
    .. [9] Ghosh, P., Sajjadi, M. S. M., Vergari, A., Black, M. & Scholkopf, B. (2020). From
       variational to deterministic autoencoders. ICLR.

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
        """The Gaussian posterior of each row's code.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        mean, std : ndarrays of shape (n_samples, latent_dim_)
            In the dtype of X; the prior has mean 0 and standard deviation 1.
        """
        check_is_fitted(self, "net_")
        return tuple(map(self._in_order, self._posterior(self._validate_rows(X))))

    def _posterior(self, X):
        moments = self._by_blocks(self._moments, X)
        return moments[:, : self.latent_dim_], moments[:, self.latent_dim_ :]

    def _in_order(self, values):
        """Values of every latent, (..., k), in the order of the codes of `transform`."""
        return values if self._order is None else values[..., self._order]

    def _moments(self, rows):
        """Means and standard deviations of codes side by side, of a block of rows."""
        return self._model.encode("moments", rows)

    def score_samples(self, X):
        """Log-likelihood of each row, as an importance-weighted lower bound.

        The bound (Burda et al. 2016) averages over fixed low-discrepancy draws, 256 from
        the posterior and, where that was trained, 2,048 from the prior, so it is the same in
        every call. Before any training it is the exact log-likelihood of probabilistic PCA;
        after it that has a share, see `density_shares_`, and codes have the density of
        `n_code_components_` normals where there are any.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats: the log-density of a row in the units of X, comparable with
            ``PCA.score_samples``; with ``likelihood="bernoulli"`` a log-probability.
        """
        check_is_fitted(self, "net_")
        X = self._validate_rows(X)
        self._spec.family.check(X)
        with np.errstate(over="ignore"):
            return self._log_likelihood(X).astype(X.dtype, copy=False)

    def _log_likelihood(self, X, draws=None):
        """Of validated rows, in nats in the units of X, in float64.

        `draws` are standard normal points to use in place of the usual number of them.
        """
        return self._density.log_prob(self._model, X, draws, self._log_density)

    def _log_density(self, fitted, rows, *, draws=None):
        """Of a block of rows, in units of the start's scale."""
        return self._density.of_block(fitted, rows, draws=draws)

    def sample(self, n_samples=1, *, random_state=None, add_noise=True):
        """Draw new rows: a code, from the prior or what took its place, then a row given it.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState, Generator or None, default=None
            An int gives the same rows in every call; a `numpy.random.Generator` is advanced.
            None uses the estimator's `random_state`: if that is an int, every call returns
            the same rows.
        add_noise : bool, default=True
            Whether to draw the row from the density of `score_samples`, or to answer the
            mean of the decoder's distribution, which is what one wants to look at.

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
            return self._shaped(self._model.draw(codes, rng))
        X = self._decode(codes)
        if add_noise:
            X = self._density.with_noise(self._model, X, codes, self._noise(codes), rng)
        return self._shaped(X)

    def _noise(self, codes):
        """Standard deviations of the decoder's normal noise, of every row or alike."""
        if not self.noise_varies_:
            return np.sqrt(self.noise_variance_)
        noise = functools.partial(self._model.decode, "noise_std")
        return self._by_blocks(noise, codes) * self._spec.start.scale

    def _between(self, a, b, shares):
        return great_circle(a, b, shares)

    def _classical_start(self, data, streams, latent_dim):
        return probabilistic_pca_of(data.table, latent_dim, self._likelihood_of(data.table))

    def _training_options(self, spec, streams, n_train):
        options = super()._training_options(spec, streams, n_train)
        options.update(beta=self.beta, beta_warmup=self.beta_warmup)
        if _is_mixed(spec):
            options.update(start_share=share_of_start(spec.n_samples))
        return options

    def _refine(self, trained, data):
        """Find what the density of a row is made of, beside the decoder."""
        net, module, fitted = trained.net, trained.net.module_, self._model
        varied, self.noise_varies_ = vars(self).get("noise_varies_"), module.noise_varies
        # A chunk, or a warm start, goes on with what a fit has learned.
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
        is_start = self.max_epochs == 0 and module.posterior_is_exact
        if is_start or not _is_mixed(trained.spec):
            return None
        self._density = beside_start(self.n_samples_, codes)
        if trained.is_first and not data.paired and trained.split.valid is not None:
            try:
                for density in learned(self._density, trained, data, fitted):
                    self._density = density
            except KeyboardInterrupt as interrupt:  # what has been learned so far is whole
                return interrupt
        return None

    def _after_training(self, inputs, rows, rank):
        if self._spec.family.is_normal:
            module, _ = self.net_.inference_module(np.float64)
            noise = module.head.log_std().detach().exp().cpu().numpy()
            self.noise_variance_ = np.square(noise * self._spec.start.scale)
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
        if n_collapsed and self.n_iter_:  # PCA may have components that say nothing, too
            warn(
                f"{n_collapsed} of {self.latent_dim_} latents have collapsed: their KL from the "
                f"prior is below {_ACTIVE} nats, so they say nothing about a row. Use a smaller "
                "latent_dim, a smaller beta or a longer beta_warmup.",
                ConvergenceWarning,
            )


def _is_mixed(spec):
    """Whether a decoder with noise of its own is beside the density of its classical start."""
    return spec.family.is_normal and spec.init != "random"
