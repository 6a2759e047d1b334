"""Steps that each hold the probabilities of categories: cross-entropy.

The steps of a row are independent given its code, or each also depends on those before it.
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


@dataclass(frozen=True)
class CategoricalLikelihood(Likelihood):
    """Rows of steps, each of which holds the probabilities of `n_categories`.

    Around independent categoricals with probabilities p, the score of a step is x - p
    and its Fisher information diag(p) - p p'. Scores divided by the root of p are
    orthogonal to that root, and for logits along such directions the information is the
    identity. PCA of these scores is correspondence analysis (Greenacre 1984).
    """

    n_categories: int = 0

    has_steps = True

    def of_rows(self, row):
        """The likelihood of rows whose last axis is categories."""
        return replace(self, n_categories=row[-1])

    def check(self, X, name="X", ends=None):
        """Refuse values that are not in [0, 1], and steps that do not sum to 1."""
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
        """Logarithms of probabilities."""
        return np.log(mean)

    def smoothed(self, mean, n_samples):
        """Frequencies in so many rows and one more, spread evenly over the categories."""
        return (n_samples * mean + 1.0 / self.n_categories) / (n_samples + 1.0)

    def spread(self, mean):
        """What standardises the score."""
        return np.sqrt(mean)

    def loss(self, x, natural):
        """Cross-entropy of each row, summed over steps, in nats."""
        steps = natural.reshape(*natural.shape[:-1], -1, self.n_categories)
        return -(x * log_softmax(steps, axis=-1).reshape(natural.shape)).sum(axis=-1)

    def least(self, x):
        """The loss of each row under its own values, the lowest that there is."""
        return entr(np.clip(x, 0.0, 1.0)).sum(axis=-1)

    def distribution(self, natural):
        """Categorical distributions of steps."""
        return Categorical(natural, self.n_categories)

    def stepwise(self, linear, following, begin):
        """The same where a step depends on those before it: see :class:`Autoregressive`."""
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

    def error(self, x):
        """Cross-entropy, summed over steps, in nats."""
        return -(x * self._log_probabilities()).sum(-1)

    def log_prob(self, x):
        """Log-probability, summed over steps, in nats."""
        return -self.error(x)

    def cross_log_prob(self, x):
        """Log-probability of every row under every distribution, (n, d) -> (n, m)."""
        return x @ self._log_probabilities().T

    def sample(self, generator):
        """One category for every step, as rows of zeros and ones."""
        probabilities = self._steps(self.logits).softmax(-1).flatten(0, -2)
        chosen = torch.multinomial(probabilities, 1, generator=generator)
        return torch.zeros_like(probabilities).scatter_(-1, chosen, 1.0).view_as(self.logits)

    def likeliest(self):
        """The likeliest category of every step, as rows of zeros and ones."""
        steps = self._steps(self.logits)
        chosen = steps.argmax(-1, keepdim=True)
        return torch.zeros_like(steps).scatter_(-1, chosen, 1.0).flatten(-2)

    def _steps(self, row):
        return row.unflatten(-1, (-1, self.n_categories))

    def _log_probabilities(self):
        return self._steps(self.logits).log_softmax(-1).flatten(-2)


class Autoregressive:
    """Categorical distributions of steps, each given the steps before it.

    Parameters
    ----------
    linear : Tensor of shape (..., n_steps * n_categories)
        Logits, as far as they do not depend on other steps.
    n_categories : int
    following : callable
        Rows (..., n_steps * n_categories) -> what every step of them adds to the logits
        of the next, the first of which follows nothing.
    begin : callable
        The same one step after the other: answers a function of the step before (...,
        n_categories), zeros at first, with a memory of those before it.
    """

    def __init__(self, linear, n_categories, following, begin):
        self.linear = linear
        self.n_categories = n_categories
        self.following = following
        self.begin = begin

    @property
    def mean(self):
        """Probabilities of every step given the likeliest ones before it."""
        return self._run(Categorical.likeliest)[0]

    def error(self, x):
        """Cross-entropy of every step given the ones before it in x, summed, in nats."""
        logits = self.linear + self.following(x)
        return Categorical(logits, self.n_categories).error(x)

    def log_prob(self, x):
        """Log-probability of whole rows, in nats."""
        return -self.error(x)

    def sample(self, generator):
        """One category for every step, as rows of zeros and ones."""
        return self._run(lambda step: step.sample(generator))[1]

    def _run(self, choose):
        """Probabilities and choices of all steps, each choice known to the next step."""
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
    """Where every step is made of several one-hot encoded columns."""
    alike = ""
    if n_entries % n_columns == 0:
        shape = n_columns, n_entries // n_columns
        alike = f"If they have {shape[1]} categories each, give input_shape={shape}. "
    return (
        f"X seems to hold {n_columns} one-hot encoded columns. {alike}Columns with different "
        "numbers of categories are not supported by likelihood='categorical': use 'bernoulli', "
        "which takes every indicator for itself."
    )
