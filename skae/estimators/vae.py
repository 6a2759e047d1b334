"""The variational autoencoder, which starts as probabilistic PCA."""

import functools
import math
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..data.sources import is_small
from ..data.table import some_rows
from ..density.classical import log_evidence, without
from ..density.codes import CodeDensity
from ..density.mixture import likeliest_shares, mixed
from ..density.points import normal_points
from ..nn.spec import Spec
from ..priors import great_circle
from ..random import Streams
from ..starts.factor_analysis import factor_analysis, has_factors
from ..starts.scores import probabilistic_pca_of
from ..starts.start import Start
from ..training.judge import is_clear
from ..warn import warn
from ._as_pca import PcaAttributes
from ._base import BaseAutoencoder

_N_DRAWS = 256  # importance-weighted draws per row
_N_STEPWISE_DRAWS = 32  # the same where steps are told the step before
_N_PRIOR_DRAWS = 2048  # draws that all rows share, against modes that the encoder misses
_ROUNDING = 1e-5  # nats for every feature
_NO_NOISE = 1e-13  # of a standardised feature: float32 shows no improvement below
_LEAST_NOISE = 1e-6  # of a feature, in units of the start's
_FACTORS = "factor_analysis"
_CODES = 20_000  # that their density is learned from, at most
# Of the prior's spread. One code farther out and the least variance of a mixture, a millionth
# of that of all codes, would be as wide as the prior.
_FAR = 1000.0
_FEW_ROWS = 500  # held out, that what densities are made of is chosen by, at most
_FEW_DRAWS, _SHARES_DRAWS = 16, 64  # for each of them; the latter where shares are learned
_ACTIVE = 0.01  # nats of KL from which on a latent carries something
_KL_ROWS = 10_000  # rows that `kl_per_latent_` is averaged over, at most


@dataclass(frozen=True, kw_only=True)
class VAESpec(Spec):
    """What the module of a variational autoencoder is built from."""

    def build(self):
        """The torch module, at its start."""
        from ..nn.vae import VAEModule

        return VAEModule(self.start, *self.parts())

    def parts(self):
        """Encoder, decoder and head."""
        # Steps of one row hang together beyond what its code says.
        reads_past = self.family.has_steps
        networks = self.networks(2 * self.n_codes, reads_past)
        return *networks, self.family.head(self.start, floor=_LEAST_NOISE)

    def loss_units(self):
        """Factor and offset that turn the module's loss into the one to report."""
        return 1.0, _log_volume(self)

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
        return self._apply_encoder("moments", rows)

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
        with np.errstate(over="ignore"):
            return self._log_likelihood(X).astype(X.dtype, copy=False)

    def _log_likelihood(self, X, draws=None):
        """Of validated rows, in nats in the units of X, in float64.

        `draws` are standard normal points to use in place of the usual number of them.
        """
        # Draws from the prior are decoded for every block: one of fewer rows saves no memory.
        n_draws = self._n_draws() if draws is None else len(draws)
        least = _N_PRIOR_DRAWS // n_draws if n_draws == _N_DRAWS else 1
        bound = functools.partial(self._bound, draws=draws)
        bound = self._by_blocks(bound, X, copies=n_draws, at_least=least)
        bound[np.isnan(bound)] = -np.inf  # so far out that all of it overflows
        return bound - _log_volume(self._spec)

    def _n_draws(self):
        """Draws from the posterior: few where every row has to be decoded with each of them."""
        return _N_STEPWISE_DRAWS if self.net_.module_.reads_past else _N_DRAWS

    def _bound(self, rows, *, of_prior=True, draws=None):
        """The bound on a block of rows in units of the start's scale."""
        values = rows[:, : self.n_features_in_]
        self._spec.family.check(values)
        options = {"of_prior": of_prior, "draws": draws}
        bound = self._bounds_of_decoder(rows, [self._mixture_of_codes], **options)[:, 0]
        classical = self._classical_densities()
        if not classical:
            return bound
        rows, scale = rows.astype(np.float64), self._spec.start.scale
        log_densities = [bound]
        for start in classical:  # one of an earlier chunk standardises rows in its own way
            x = (rows - start.input_mean) / start.input_scale
            volume = self.n_features_in_ * math.log(scale / start.scale)
            log_densities.append(log_evidence(start, x) + volume)
        return mixed(log_densities, list(self.density_shares_.values()))

    def _classical_densities(self):
        """Starts that have a share in the density of a row, in the order of the shares."""
        names = list(self.density_shares_)[1:]
        return [Start(**self._factors) if name == _FACTORS else self._spec.start for name in names]

    def _bounds_of_decoder(self, rows, mixtures, *, of_prior, draws=None):
        """Given each of some mixtures of codes, or the prior for None, (n, m)."""
        module = self.net_.module_
        draws = normal_points(self._n_draws(), self.latent_dim_) if draws is None else draws
        of_prior = of_prior and not (module.posterior_is_exact or module.reads_past)
        prior_draws = normal_points(_N_PRIOR_DRAWS, self.latent_dim_) if of_prior else None
        densities = [None if mixture is None else CodeDensity(**mixture) for mixture in mixtures]
        return self._apply_in_float64("log_evidence", rows, draws, prior_draws, densities)

    def _apply_in_float64(self, method, rows, *rest):
        """A method of the module on rows: a density with little noise magnifies rounding."""
        from ..data.batches import as_tensor, standardised

        module, device = self.net_.inference_module(np.float64)
        rows = rows.astype(np.float64)
        mean, scale = self._spec.family.units(self._spec.start)
        with np.errstate(over="ignore"):  # what comes of it is checked
            target = standardised(rows[:, : self.n_features_in_], mean, scale, np.float64)
        target, x = as_tensor(target, device), self._standardise(rows)
        return self._apply(lambda x: getattr(module, method)(x, target, *rest), x, device, rows)

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
        if self._mixture_of_codes is None:
            codes = rng.standard_normal((n_samples, self.latent_dim_))
        else:
            codes = CodeDensity(**self._mixture_of_codes).draw(n_samples, rng)
        return codes.astype(self._dtype)

    def _sample(self, codes, add_noise, rng):
        if add_noise and not self._spec.family.is_normal:
            return self._shaped(self._draw_rows(codes, rng))
        X = self._decode(codes)
        if add_noise:
            X = X + (self._noise(codes) * rng.standard_normal(X.shape)).astype(X.dtype)
            shares = list(self.density_shares_.values())
            which = rng.choice(len(shares), len(X), p=shares)
            for number, start in enumerate(self._classical_densities(), 1):
                here = which == number
                z = codes[here]
                if self._mixture_of_codes is not None:  # a classical density has the prior
                    z = rng.standard_normal(z.shape)
                X[here] = _drawn(start, z, rng)
        return self._shaped(X)

    def _noise(self, codes):
        """Standard deviations of the decoder's normal noise, of every row or alike."""
        if not self.noise_varies_:
            return np.sqrt(self.noise_variance_)
        noise = self._by_blocks(functools.partial(self._apply_decoder, "noise_std"), codes)
        return noise * self._spec.start.scale

    def _draw_rows(self, codes, rng):
        """One row for each code from the decoder's distribution."""
        import torch

        module, device = self.net_.inference_module(codes.dtype)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))

        def draw(codes):
            return self._apply(lambda z: module.decode(z).sample(generator), codes, device)

        return self._by_blocks(draw, codes)

    def _between(self, a, b, shares):
        return great_circle(a, b, shares)

    def _classical_start(self, data, streams, latent_dim):
        return probabilistic_pca_of(data.table, latent_dim, self._likelihood_of(data.table))

    def _training_options(self, spec, streams, n_train):
        options = super()._training_options(spec, streams, n_train)
        options.update(beta=self.beta, beta_warmup=self.beta_warmup)
        if _is_mixed(spec):
            options.update(start_share=_share_of_start(spec.n_samples))
        return options

    def _refine(self, trained, data):
        """Find what the density of a row is made of, beside the decoder."""
        module, first = trained.net.module_, trained.is_first
        varied, self.noise_varies_ = vars(self).get("noise_varies_"), module.noise_varies
        # A chunk, or a warm start, goes on with what a fit has learned.
        learned = None if first else vars(self).get("_mixture_of_codes")
        has_shares = not first and _FACTORS in vars(self).get("density_shares_", {})
        goes_on = has_shares and (module.noise_varies or not varied)
        if self.net_.start_moved_:
            goes_on = False
        if self.net_.gave_up_:
            learned, goes_on = None, False
        if learned is not None and self._is_outlived(
            learned, some_rows(data.rows_to_judge(), _FEW_ROWS)
        ):
            learned, goes_on = None, False
        self._take_codes(learned)
        if goes_on:
            return None
        self.density_shares_, self._factors = {"decoder": 1.0}, {}
        is_start = self.max_epochs == 0 and module.posterior_is_exact
        if is_start or not _is_mixed(self._spec):
            return None
        share = _share_of_start(self.n_samples_)
        self.density_shares_ = {"decoder": 1.0 - share, "probabilistic_pca": share}
        if first and not data.paired and trained.split.valid is not None:
            try:
                self._learn_density(data, some_rows(data.rows_to_judge(), _FEW_ROWS))
            except KeyboardInterrupt as interrupt:  # what has been learned so far is whole
                return interrupt
        return None

    def _is_outlived(self, mixture, rows):
        """Whether rows are clearly likelier without the mixture of codes.

        Where the start has moved, so have codes: then it is enough that they are likelier.
        """
        of_prior, of_mixture = self._bounds_of_few(rows, [None, mixture], _FEW_DRAWS).T
        gain = of_prior - of_mixture
        return gain.mean() > 0 if self.net_.start_moved_ else is_clear(gain, self._rounding())

    def _rounding(self):
        """The least gain of a density of codes: what rows are decoded to is the same with it."""
        return _ROUNDING * self.n_features_in_

    def _learn_density(self, data, rows):
        """Learn what codes are distributed like, and then shares, by rows that were held out."""
        with_factors = has_factors(data.table, self._spec.start)
        found = self._fitted_to_codes(data) if is_small(data.table.X) else None
        if found is None and not with_factors:
            return
        mixtures = [None] if found is None else [None, found]
        bounds = self._bounds_of_few(rows, mixtures, _SHARES_DRAWS if with_factors else _FEW_DRAWS)
        of_decoder = bounds[:, 0]
        groups = data.held_out.groups
        groups = None if groups is None else some_rows(groups, _FEW_ROWS)
        if found is not None and is_clear(bounds[:, 1] - of_decoder, self._rounding(), groups):
            self._take_codes(found)
            of_decoder = bounds[:, 1]
        if with_factors:
            self._learn_shares(data, rows, of_decoder)

    def _fitted_to_codes(self, data):
        """What codes of training rows are distributed like, as a dict; None if too few are left."""
        rng = Streams(seed=self._spec.seed).numpy("codes")
        index = some_rows(data.trained_on(), _CODES)
        mean, std = self._posterior(data.table.X[np.sort(index)])
        mean, std = mean.astype(np.float64), std.astype(np.float64)
        # A row unlike all others may be encoded anywhere, and would stand for their spread.
        is_near = (np.hypot(mean, std) < _FAR).all(axis=1)
        mean, std = mean[is_near], std[is_near]
        if len(mean) < 2 or not self.latent_dim_:
            return None
        return asdict(CodeDensity.of(mean + std * rng.standard_normal(mean.shape), rng))

    def _take_codes(self, mixture):
        self._mixture_of_codes = mixture
        self.n_code_components_ = 0 if mixture is None else len(mixture["weights"])

    def _bounds_of_few(self, rows, mixtures, n_draws):
        """The decoder's densities of the rows that others are compared by."""
        draws = normal_points(n_draws, self.latent_dim_)
        options = {"mixtures": mixtures, "of_prior": False, "draws": draws}
        bounds = functools.partial(self._bounds_of_decoder, **options)
        return self._by_blocks(bounds, rows, copies=n_draws)

    def _learn_shares(self, data, rows, of_decoder):
        """Shares that make rows likeliest, with densities fitted without them."""
        table, start = data.table, self._spec.start
        x = table.standard(rows)
        inside = x if data.validation is None else x[:0]
        others = without(table, start, inside, x)
        # The decoder's linear path may have seen these rows: it loses what PCA gains by that.
        of_decoder = of_decoder - (log_evidence(start, x) - others[0])
        shares = likeliest_shares(np.array([of_decoder, *others]))
        names = ("decoder", "probabilistic_pca", _FACTORS)
        self._factors = asdict(factor_analysis(table, start))
        self.density_shares_ = dict(zip(names, shares.tolist(), strict=True))

    def _after_training(self, inputs, rows, rank):
        if self._spec.family.is_normal:
            module, _ = self.net_.inference_module(np.float64)
            noise = module.head.log_std().detach().exp().cpu().numpy()
            self.noise_variance_ = np.square(noise * self._spec.start.scale)
        kl = functools.partial(self._apply_encoder, "kl")
        kl_per_latent = self._by_blocks(kl, some_rows(inputs, _KL_ROWS)).mean(axis=0)
        self.n_active_latents_ = int((kl_per_latent > _ACTIVE).sum())
        self._set_pca_attributes(inputs, rows)
        self.kl_per_latent_ = self._in_order(kl_per_latent)

    def _has_density_of_start(self):
        is_start = self.net_.module_.posterior_is_exact and self._mixture_of_codes is None
        return is_start and _FACTORS not in self.density_shares_

    def _trained_covariance(self):
        moments = [self._moments_of_decoder()]
        for start in self._classical_densities():
            loadings = start.decoder * start.scale
            noise = np.broadcast_to(start.noise_variance * start.scale**2, len(start.mean))
            middle = start.mean + start.decoder_bias * start.scale
            moments.append((middle, loadings.T @ loadings + np.diag(noise)))
        shares = np.array(list(self.density_shares_.values()))
        means, covariances = (np.array(parts) for parts in zip(*moments, strict=True))
        centred = means - shares @ means
        return np.tensordot(shares, covariances, 1) + (centred.T * shares) @ centred

    def _moments_of_decoder(self):
        """Mean and covariance of rows that the decoder draws."""
        if self._mixture_of_codes is None:
            codes = normal_points(_N_PRIOR_DRAWS, self.latent_dim_).numpy()
        else:
            density = CodeDensity(**self._mixture_of_codes)
            codes = density.draw(_CODES, np.random.default_rng(0))
        rows, noise = self._decode(codes), np.square(self._noise(codes))
        noise = np.broadcast_to(noise, rows.shape).mean(axis=0)
        return rows.mean(axis=0), np.cov(rows.T, bias=True).reshape(len(noise), -1) + np.diag(noise)

    def _announce(self):
        n_collapsed = self.latent_dim_ - self.n_active_latents_
        if n_collapsed and self.n_iter_:  # PCA may have components that say nothing, too
            warn(
                f"{n_collapsed} of {self.latent_dim_} latents have collapsed: their KL from the "
                f"prior is below {_ACTIVE} nats, so they say nothing about a row. Use a smaller "
                "latent_dim, a smaller beta or a longer beta_warmup.",
                ConvergenceWarning,
            )


def _log_volume(spec):
    """Log of the volume of X that a unit of volume of standardised rows takes."""
    start = spec.start
    return spec.family.log_volume(start)


def _drawn(start, codes, rng):
    """Rows that a classical density draws, given their codes."""
    x = codes @ start.decoder + start.decoder_bias
    x += np.sqrt(start.noise_variance) * rng.standard_normal(x.shape)
    return x * start.scale + start.mean


def _is_mixed(spec):
    """Whether a decoder with noise of its own is beside the density of its classical start."""
    return spec.family.is_normal and spec.init != "random"


def _share_of_start(n_samples):
    """The chance that a row is unlike all that were seen, and comes from probabilistic PCA."""
    return 1.0 / (n_samples + 1)
