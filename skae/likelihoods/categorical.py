"""Categorical distributions of the steps of a row, each by itself or given those before it."""

import torch

from .bernoulli import BernoulliHead


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


class CategoricalHead(BernoulliHead):
    """Rows of steps, in their own units, as the probabilities of categories.

    Parameters
    ----------
    start : skae.starts.start.Start
    n_categories : int
        Of a step.
    """

    def __init__(self, start, n_categories):
        super().__init__(start)
        self.n_categories = n_categories

    def forward(self, linear, residual):
        """The distribution of rows, from the two paths of a decoder, each (..., d)."""
        return Categorical(linear + residual, self.n_categories)

    def stepwise(self, linear, following, begin):
        """The same where the second path knows the step before: see `Autoregressive`."""
        return Autoregressive(linear, self.n_categories, following, begin)
