"""Categorical likelihood: steps of category probabilities, with cross-entropy.

Given the code, the steps of a row are independent, or autoregressive.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import entr, log_softmax

from ..data.sources import blocks
from ._likelihood import Likelihood
from ._probabilities import ROUNDING, check_probabilities

_ADVICE = (
    "One-hot encode X, for example with OneHotEncoder, and give "
    "input_shape=(n_steps, n_categories) where a row has more than one step."
)


@dataclass(frozen=True, eq=False)
class CategoricalLikelihood(Likelihood):
    """Rows of steps, each with the probabilities of `n_categories` categories.

    Around independent categoricals with probabilities p, the score of a step is x - p
    and its Fisher information diag(p) - p p'. Scores divided by the root of p are
    orthogonal to that root, and for logits along such directions the information is the
    identity. PCA of these scores is correspondence analysis (Greenacre 1984).
    """

    n_categories: int = 0

    has_steps = True
    has_derivatives = True

    def of_rows(self, row):
        """Return the likelihood of rows whose last axis has the categories."""
        return replace(self, n_categories=row[-1])

    def check(self, X, name="X", ends=None):
        """Raise an error for values outside [0, 1] and for steps that do not sum to 1."""
        check_probabilities("categorical", X, name, ends, _ADVICE)
        for _, rows in blocks(X):
            total = rows.reshape(len(rows), -1, self.n_categories).sum(axis=2, dtype=np.float64)
            worst = total.flat[np.abs(total - 1).argmax()]
            if abs(worst - 1) > (ROUNDING if X.dtype == np.float64 else 100 * ROUNDING):
                advice = _ADVICE
                if worst > 1.5 and np.abs(total - worst.round()).max() < ROUNDING:
                    advice = _advice_for_columns(int(worst.round()), self.n_categories)
                raise ValueError(
                    f"With likelihood='categorical' the {self.n_categories} values of a step must "
                    f"sum to 1; got a step whose sum is {worst:.6g}. {advice}"
                )

    def natural(self, mean):
        """Return the logarithms of probabilities."""
        return np.log(mean)

    def smoothed(self, mean, n_samples):
        """Shrink frequencies in n_samples rows by one pseudo-row of equal probabilities."""
        return (n_samples * mean + 1.0 / self.n_categories) / (n_samples + 1.0)

    def spread(self, mean):
        """Return the scale that standardises the score."""
        return np.sqrt(mean)

    def loss(self, x, natural):
        """Return the cross-entropy of each row, summed over steps, in nats."""
        steps = natural.reshape(*natural.shape[:-1], -1, self.n_categories)
        return -(x * log_softmax(steps, axis=-1).reshape(natural.shape)).sum(axis=-1)

    def least(self, x):
        """Return the lowest possible loss of each row, with its own values as means."""
        return entr(np.clip(x, 0.0, 1.0)).sum(axis=-1)

    def distribution(self, natural):
        """Return categorical distributions of steps."""
        return Categorical(natural, self.n_categories)

    def stepwise(self, linear, following, begin):
        """Return autoregressive distributions of steps: see :class:`Autoregressive`."""
        return Autoregressive(linear, self.n_categories, following, begin)


class Categorical:
    """Independent categorical distributions, one for each step of a row.

    Parameters
    ----------
    logits : Tensor of shape (..., n_steps * n_categories)
        Flat rows, categories last.
    n_categories : int

    Examples
    --------
    >>> import torch
    >>> from skae.likelihoods.categorical import Categorical
    >>> steps = Categorical(torch.zeros(5, 3 * 4), n_categories=4)
    >>> row = torch.eye(4)[[0, 2, 1]].flatten()
    >>> bool(torch.allclose(steps.log_prob(row).exp(), torch.tensor(1 / 4**3)))
    True
    """

    def __init__(self, logits, n_categories):
        self.logits = logits
        self.n_categories = n_categories

    @property
    def mean(self):
        """Probabilities, which sum to 1 in every step."""
        return self._steps(self.logits).softmax(-1).flatten(-2)

    @property
    def location(self):
        """Log-probabilities."""
        return self._steps(self.logits).log_softmax(-1).flatten(-2)

    def derivatives(self, x):
        """Return the score of the log-probabilities and their information, (..., d).

        They are those of a change of the logits, along which probabilities sum to 1.
        """
        return x.expand_as(self.logits), self.mean

    def error(self, x):
        """Return the cross-entropy, summed over steps, in nats."""
        return -(x * self.location).sum(-1)

    def log_prob(self, x):
        """Return the log-probability, summed over steps, in nats."""
        return -self.error(x)

    def cross_log_prob(self, x):
        """Return the log-probability of every row under every distribution, (n, d) -> (n, m)."""
        return x @ self.location.T

    def sample(self, generator):
        """Draw one category for every step, as rows of zeros and ones."""
        probabilities = self._steps(self.logits).softmax(-1).flatten(0, -2)
        chosen = torch.multinomial(probabilities, 1, generator=generator)
        return torch.zeros_like(probabilities).scatter_(-1, chosen, 1.0).view_as(self.logits)

    def likeliest(self):
        """Return the most probable category of every step, as rows of zeros and ones."""
        steps = self._steps(self.logits)
        chosen = steps.argmax(-1, keepdim=True)
        return torch.zeros_like(steps).scatter_(-1, chosen, 1.0).flatten(-2)

    def _steps(self, row):
        return row.unflatten(-1, (-1, self.n_categories))


class Autoregressive:
    """Autoregressive categorical distributions: each step is given the steps before it.

    Parameters
    ----------
    linear : Tensor of shape (..., n_steps * n_categories)
        Logits without the contribution of other steps.
    n_categories : int
    following : callable
        Teacher forcing: maps rows, (..., n_steps * n_categories), to the contribution of
        previous steps to the logits of all steps.
    begin : callable
        The same step by step: returns a function that maps a step, (..., n_categories), to the
        contribution to the logits of the next one. It is first called with zeros, and keeps
        a state.
    """

    def __init__(self, linear, n_categories, following, begin):
        self.linear = linear
        self.n_categories = n_categories
        self.following = following
        self.begin = begin

    @property
    def mean(self):
        """Probabilities of every step, given the most probable categories of earlier steps."""
        return self._run(Categorical.likeliest)[0]

    def error(self, x):
        """Return the cross-entropy with teacher forcing, summed over steps, in nats."""
        logits = self.linear + self.following(x)
        return Categorical(logits, self.n_categories).error(x)

    def log_prob(self, x):
        """Return the log-probability of whole rows, in nats."""
        return -self.error(x)

    def sample(self, generator):
        """Draw one category for every step, as rows of zeros and ones."""
        return self._run(lambda step: step.sample(generator))[1]

    def _run(self, choose):
        """Return probabilities and choices of all steps; each choice is input to the next."""
        advance = self.begin()
        linear = self.linear.unflatten(-1, (-1, self.n_categories))
        chosen, probabilities, choices = torch.zeros_like(linear[..., 0, :]), [], []
        for logits in linear.unbind(-2):
            step = Categorical(logits + advance(chosen), self.n_categories)
            chosen = choose(step)
            probabilities.append(step.mean)
            choices.append(chosen)
        return torch.cat(probabilities, dim=-1), torch.cat(choices, dim=-1)


LIKELIHOOD = CategoricalLikelihood


def _advice_for_columns(n_columns, n_entries):
    """Return advice for rows that consist of several one-hot encoded columns."""
    alike = ""
    if n_entries % n_columns == 0:
        shape = n_columns, n_entries // n_columns
        alike = f"If they have {shape[1]} categories each, give input_shape={shape}. "
    return (
        f"X seems to hold {n_columns} one-hot encoded columns. {alike}Columns with different "
        "numbers of categories are not supported by likelihood='categorical': use 'bernoulli', "
        "which takes every indicator for itself."
    )
