"""Counts out of a known number of trials, as binomial distributions."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaln, logit, rel_entr
from torch.nn import functional as F

from skae.data.sources import ends as ends_of
from skae.likelihoods import Likelihood


@dataclass(frozen=True)
class BinomialLikelihood(Likelihood):
    """Rows of counts from 0 to `n_trials`, such as right answers in a test.

    Around independent binomials with means m = n p, the score of a row is x - m and its Fisher
    information n p (1 - p).

    Parameters
    ----------
    n_trials : int
    """

    n_trials: int = 1

    def check(self, X, name="X", ends=None):
        if not isinstance(self.n_trials, int) or self.n_trials < 1:
            raise ValueError(f"n_trials must be a positive int; got {self.n_trials!r}.")
        low, high = ends or ends_of(X)
        if low < 0 or high > self.n_trials:
            raise ValueError(
                f"BinomialLikelihood(n_trials={self.n_trials}) needs values from 0 to n_trials; "
                f"got {name} with values from {low:.6g} to {high:.6g}."
            )

    def natural(self, mean):
        return logit(mean / self.n_trials)

    def smoothed(self, mean, n_samples):
        return (n_samples * mean + 0.5 * self.n_trials) / (n_samples + 1.0)

    def spread(self, mean):
        return np.sqrt(mean * (1.0 - mean / self.n_trials))

    def loss(self, x, natural):
        loss = self.n_trials * np.logaddexp(0.0, natural) - x * natural
        return (loss - self._log_choices(x)).sum(axis=-1)

    def least(self, x):
        n = self.n_trials
        return (-rel_entr(x, n) - rel_entr(n - x, n) - self._log_choices(x)).sum(axis=-1)

    def _log_choices(self, x):
        n = self.n_trials
        return gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(n - x + 1.0)

    def distribution(self, natural):
        return Binomial(natural, self.n_trials)


class Binomial:
    """Independent binomial distributions, from logits of shape (..., d)."""

    def __init__(self, logits, n_trials):
        self.logits = logits
        self.n_trials = n_trials

    @property
    def mean(self):
        return self.n_trials * torch.sigmoid(self.logits)

    def error(self, x):
        return -self.log_prob(x)

    def log_prob(self, x):
        log_prob = x * self.logits - self.n_trials * F.softplus(self.logits)
        return (log_prob + self._log_choices(x)).sum(-1)

    def cross_log_prob(self, x):
        constant = self._log_choices(x).sum(-1, keepdim=True)
        return x @ self.logits.T - self.n_trials * F.softplus(self.logits).sum(-1) + constant

    def sample(self, generator):
        chance = torch.sigmoid(self.logits).expand(self.n_trials, *self.logits.shape)
        return torch.bernoulli(chance, generator=generator).sum(0)

    def _log_choices(self, x):
        n = torch.tensor(self.n_trials).to(x)
        return torch.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(n - x + 1)
