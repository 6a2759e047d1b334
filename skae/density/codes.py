"""The density of codes: a Gaussian mixture, fitted after training.

A deterministic autoencoder has no prior to sample codes from (Ghosh et al. 2020). A VAE has one,
but its aggregate posterior rarely equals the prior (Dai & Wipf 2019). In both cases the mixture
models the distribution of codes, and leaves encoder and decoder unchanged.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning

from ..codec import Plain

_MOST = 64  # the most components
_NO_SPREAD = 1e-300  # unit of a code that does not vary
_PER_COMPONENT = 20  # codes per component and latent dimension, at least, on average


@dataclass(frozen=True, kw_only=True)
class CodeDensity(Plain):
    """A mixture of m Gaussians over k latent dimensions.

    Parameters
    ----------
    weights : ndarray of shape (m,)
    means : ndarray of shape (m, k)
    factors : ndarray of shape (m, k, k)
        Upper triangular; ``(z - mean) @ factor`` is standard normal.
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    @classmethod
    def of(cls, codes, rng):
        """Fit mixtures of 1, 2, 4, ... components, as long as the BIC decreases."""
        from sklearn.mixture import GaussianMixture

        mean, spread = codes.mean(axis=0), codes.std(axis=0)
        spread[spread == 0] = _NO_SPREAD
        codes = (codes - mean) / spread
        if len(codes) == 1:  # scikit-learn requires two
            codes = np.repeat(codes, 2, axis=0)
        best: Any = None
        lowest = math.inf
        most = min(_MOST, len(codes) // (_PER_COMPONENT * codes.shape[1]))
        for exponent in range(max(most, 1).bit_length()):
            mixture = GaussianMixture(2**exponent, random_state=int(rng.integers(2**31)))
            # The initialisation by k-means does not support array API dispatch.
            with warnings.catch_warnings(), config_context(array_api_dispatch=False):
                warnings.simplefilter("ignore", ConvergenceWarning)
                bic = mixture.fit(codes).bic(codes)
            if not bic < lowest:
                break
            best, lowest = mixture, bic
        means, factors = best.means_ * spread + mean, best.precisions_cholesky_
        return cls(weights=best.weights_, means=means, factors=factors / spread[:, None])

    def log_prob(self, z):
        """Return the log-density of codes, (..., k) -> (...), tensors."""
        import torch

        m, k = self.means.shape
        constants = np.log(self.weights) + np.log(np.einsum("mii->mi", self.factors)).sum(axis=1)
        constants -= 0.5 * k * math.log(2.0 * math.pi)
        # One product for all components: row j of the weight is a column of a factor.
        weight = torch.tensor(self.factors.transpose(0, 2, 1).reshape(m * k, k)).to(z)
        bias = torch.tensor(-np.einsum("mi,mij->mj", self.means, self.factors).reshape(-1)).to(z)
        squares = torch.nn.functional.linear(z, weight, bias).square_().unflatten(-1, (m, k))
        return torch.logsumexp(torch.tensor(constants).to(z) - 0.5 * squares.sum(-1), -1)

    def draw(self, n_samples, rng):
        """Draw codes, (n_samples, k)."""
        number = rng.choice(len(self.weights), n_samples, p=self.weights)
        normal = rng.standard_normal((n_samples, self.means.shape[1]))
        codes = np.empty_like(normal)
        for component, factor in enumerate(self.factors):
            here = number == component
            codes[here] = self.means[component] + np.linalg.solve(factor.T, normal[here].T).T
        return codes
