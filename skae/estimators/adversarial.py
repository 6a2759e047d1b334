"""The adversarial autoencoder, initialised as whitened PCA."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .. import priors
from ..data.table import some_rows
from ..nn.spec import Spec
from ..random import Streams
from ..starts.scores import error_left, pca_of
from ._base import BaseAutoencoder

_ALIGNED_BY = 10_000  # the most rows whose codes are used to estimate the whitening
_UNTURNED = 100  # pseudo-rows that shrink the whitening towards the identity
_SIZES = [  # a prior needs at least one latent dimension
    Interval(Integral, 1, None, closed="left"),
    *BaseAutoencoder._parameter_constraints["latent_dim"][1:],
]


@dataclass(frozen=True, kw_only=True)
class AdversarialSpec(Spec):
    """Everything the module of an adversarial autoencoder is built from."""

    prior: str | Callable
    adversarial_weight: float
    prior_moments: tuple = ()  # mean and standard deviation per latent dimension, (k,) each
    error_left: float = 0.0  # mean error of a row under the initial model, in nats

    losses_are_squares = False

    def build(self):
        """Build the torch module, with the weights of the initial model."""
        from ..nn.adversarial import AdversarialModule

        streams = Streams(seed=self.seed)
        encoder, decoder = self.networks(self.n_codes)
        mean, spread = self.prior_moments
        pool = functools.partial(priors.pool, self.prior, mean, spread, streams.integer("pool"))
        weight = self.error_left * self.adversarial_weight
        generator = streams.torch("discriminator")
        return AdversarialModule(
            self.start, encoder, decoder, self.family.head(self.start), pool, generator, weight
        )


@dataclass(eq=False, repr=False, kw_only=True)
class AdversarialAutoencoder(BaseAutoencoder):
    r"""Adversarial autoencoder initialised as whitened PCA.

    A discriminator learns to distinguish codes from draws of a prior. The encoder learns to
    deceive it, while the decoder learns to reconstruct rows [1]_. The aggregate distribution of
    the codes then matches the prior, so that draws from the prior decode to new rows. The
    initial codes are the scores of PCA, each with variance 1.

    Parameters
    ----------
    {shared_parameters}
    prior : {"normal", "uniform", "swiss_roll"} or callable, default="normal"
        Distribution of the codes. "normal" is standard normal; "uniform" is on
        :math:`[-\sqrt 3, \sqrt 3]`; "swiss_roll" is `sklearn.datasets.make_swiss_roll` from its
        side, standardised, for ``latent_dim=2``. A callable ``prior(n_samples, latent_dim, rng)``
        gets a `numpy.random.Generator` and returns an array of shape (n_samples, latent_dim).
    adversarial_weight : float, default=1.0
        Weight of the divergence of the codes from the prior. With 1, a divergence of one nat
        costs as much as the reconstruction error of the initial model.

    Attributes
    ----------
    noise_variance_ : float
        Mean squared reconstruction error per remaining dimension, as in PCA. Present with
        ``likelihood="gaussian"``.
    {shared_attributes}

    See Also
    --------
    VAETransformer : Autoencoder with a density, whose prior is that of noisy codes.
    AutoencoderTransformer : Autoencoder for reconstruction only.

    Notes
    -----
    `loss_curve_` is the reconstruction error plus the weighted Jensen-Shannon divergence of
    codes and prior, as the discriminator estimates it. `validation_curve_` uses an estimate by a
    kernel two-sample test [2]_ on the validation codes, which can be negative. There it has ten
    times the weight, and less with fewer than 1,000 validation rows, as the estimate is then
    noisy. Reconstruction error in excess of the initial model's is added with a factor of ten.
    A gradient penalty [3]_ stabilises training.

    With a normal prior, the trained codes are whitened to mean 0 and covariance I, with
    shrinkage for few rows. The decoder inverts this, so reconstructions do not change.

    References
    ----------
    .. [1] Makhzani, A. et al. (2016). Adversarial autoencoders. ICLR workshop.
    .. [2] Harchaoui, Z., Bach, F. & Moulines, E. (2007). Testing for homogeneity with
       kernel Fisher discriminant analysis. NeurIPS.
    .. [3] Mescheder, L., Geiger, A. & Nowozin, S. (2018). Which training methods for GANs
       do actually converge? ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AdversarialAutoencoder
    >>> X, _ = load_digits(return_X_y=True)
    >>> model = AdversarialAutoencoder(2, max_epochs=10, random_state=0).fit(X)
    >>> model.transform(X).std(axis=0).round()  # as the prior
    array([1., 1.])
    >>> model.sample(3).shape
    (3, 64)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "latent_dim": _SIZES,
        "n_components": _SIZES,
        "prior": [StrOptions(set(priors.BUILT_IN)), callable],
        "adversarial_weight": [Interval(Real, 0, None, closed="neither")],
    }

    _spec_type: ClassVar[type[Spec]] = AdversarialSpec

    prior: str | Callable = "normal"
    adversarial_weight: float = 1.0

    def _draw_codes(self, n_samples, rng):
        drawn = priors.draw(self._spec.prior, n_samples, self.latent_dim_, rng)
        return drawn.astype(self._dtype)

    def _between(self, a, b, shares):
        if self._spec.prior == "normal":
            return priors.great_circle(a, b, shares)
        return super()._between(a, b, shares)

    def _encode(self, X):
        mean, spread = (value.astype(X.dtype) for value in self._spec.prior_moments)
        centre, forth, _ = (value.astype(X.dtype) for value in self._alignment)
        return (super()._encode(X) - centre) @ forth * spread + mean

    def _decode(self, Z):
        mean, spread = (value.astype(Z.dtype) for value in self._spec.prior_moments)
        centre, _, back = (value.astype(Z.dtype) for value in self._alignment)
        return super()._decode((Z - mean) / spread @ back + centre)

    def _after_training(self, inputs, rows, rank):
        is_start = self.net_.module_.is_start
        as_before = self.best_epoch_ == 0 and not is_start  # weights of an earlier fit
        if "_alignment" not in vars(self) or is_start or not (as_before or self._chunks):
            self._alignment = np.zeros(self.latent_dim_), *2 * [np.eye(self.latent_dim_)]
        if self._spec.prior == "normal" and not (as_before or is_start):
            self._align(self._encode(some_rows(inputs, _ALIGNED_BY)).astype(np.float64))
        super()._after_training(inputs, rows, rank)

    def _align(self, codes):
        """Whiten the codes to mean 0 and covariance I, and let the decoder invert it.

        With few codes the whitening is shrunk towards the identity, as if further codes had been
        seen that are white already.
        """
        middle, n = codes.mean(axis=0), len(codes)
        products = (codes - middle).T @ (codes - middle) + _UNTURNED * np.eye(len(middle))
        values, axes = np.linalg.eigh(products / (n - 1 + _UNTURNED))
        turn, unturn = (axes * values**power @ axes.T for power in (-0.5, 0.5))
        centre, forth, back = self._alignment
        middle = n / (n + _UNTURNED) * middle @ back
        self._alignment = centre + middle, forth @ turn, unturn @ back

    def _classical_start(self, data, streams, latent_dim):
        start = pca_of(data.table, latent_dim, self._likelihood_of(data.table))
        return replace(start, code_scale=np.ones(start.latent_dim))

    def _own_spec(self):
        return {"prior": self.prior, "adversarial_weight": self.adversarial_weight}

    def _describe(self, data, streams, before):
        spec = super()._describe(data, streams, before)
        if before is None:
            k = spec.start.latent_dim
            moments = priors.moments(self.prior, k, streams.numpy("prior"))
            spec = replace(spec, prior_moments=moments)
        return replace(spec, error_left=error_left(spec.start, data.table, spec.family))
