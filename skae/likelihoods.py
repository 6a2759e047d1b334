"""What a network's output means: a distribution of x, or of a code.

:class:`GaussianHead`, :class:`BernoulliHead` and :class:`CategoricalHead` turn the sum
of a decoder's linear path and its residual network into a distribution of a row.

The distributions here do what `torch.distributions` does with two differences that
training needs: they draw from a `torch.Generator`, and a log-density is three
operations, already summed over the features of a row.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Gaussian:
    """Independent normal distributions.

    Parameters
    ----------
    mean : Tensor of shape (..., d)
    log_std : Tensor of shape (..., d) or (d,)
    """

    def __init__(self, mean, log_std):
        self.mean = mean
        self.log_std = log_std

    @property
    def std(self):
        """Standard deviations."""
        return self.log_std.exp()

    def error(self, x):
        """Half the squared error in units of the noise, summed over features."""
        return self._error(self.squares(x))

    def log_prob(self, x):
        """Log-density, summed over features, in nats."""
        return self.log_prob_of_squares(self.squares(x))

    def squares(self, x):
        """Squared distances from the mean, (..., d)."""
        return F.mse_loss(self.mean, x.expand_as(self.mean), reduction="none")

    def log_prob_of_squares(self, squares):
        """As `log_prob`, of values whose `squares` are known."""
        constant = (self.log_std + _HALF_LOG_2PI).sum(-1)
        return -self._error(squares) - constant

    def _error(self, squares):
        precision = 0.5 * torch.exp(-2.0 * self.log_std)
        if precision.dim() == 1:  # the same noise for every row: one product
            return squares @ precision
        return (squares * precision).sum(-1)

    def cross_log_prob(self, x):
        """Log-density of every row under every distribution, (n, d) -> (n, m)."""
        scale = torch.exp(-self.log_std).expand_as(self.mean)
        constant = (self.log_std.expand_as(self.mean) + _HALF_LOG_2PI).sum(-1)
        squares = x.square() @ scale.square().T - 2.0 * x @ (self.mean * scale.square()).T
        return -0.5 * (squares + (self.mean * scale).square().sum(-1)) - constant

    def shifted(self, draw):
        """The value that standard normal numbers `draw` map to."""
        return self.mean + self.std * draw

    def sample(self, generator):
        """One draw for every entry of the mean; differentiable (reparametrised)."""
        mean = self.mean
        draw = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return self.shifted(draw)

    def kl_from_standard_normal(self):
        """KL(self || N(0, 1)) of every entry, in nats (Kingma & Welling 2014)."""
        return 0.5 * (self.mean.square() + torch.exp(2.0 * self.log_std) - 1.0) - self.log_std


class Bernoulli:
    """Independent Bernoulli distributions of values in [0, 1].

    Parameters
    ----------
    logits : Tensor of shape (..., d)
    """

    def __init__(self, logits):
        self.logits = logits

    @property
    def mean(self):
        """Probabilities."""
        return torch.sigmoid(self.logits)

    def error(self, x):
        """Cross-entropy, summed over features, in nats."""
        x = x.expand_as(self.logits)
        return F.binary_cross_entropy_with_logits(self.logits, x, reduction="none").sum(-1)

    def log_prob(self, x):
        """Log-probability, summed over features, in nats."""
        return -self.error(x)

    def cross_log_prob(self, x):
        """Log-probability of every row under every distribution, (n, d) -> (n, m)."""
        return x @ self.logits.T - F.softplus(self.logits).sum(-1)


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
    >>> from skae.likelihoods import Categorical
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


def make_head(spec, floor=None):
    """The head of the likelihood that `spec` names; `floor` is for Gaussian noise."""
    start, likelihood = spec["start"], spec["likelihood"]
    if likelihood == "gaussian":
        return GaussianHead(start, floor)
    if likelihood == "bernoulli":
        return BernoulliHead(start)
    return CategoricalHead(start, (spec["input_shape"] or start.mean.shape)[-1])


class GaussianHead(nn.Module):
    """Standardised rows with Gaussian noise.

    Parameters
    ----------
    start : skae._classical.Start
        Its noise variance is the noise at the start, and the unit of the residual.
    floor : float or None
        The smallest fraction of the starting noise variance that a feature's noise may
        come down to as it is learned; None leaves the noise as it is.
    """

    def __init__(self, start, floor=None):
        super().__init__()
        self.start_log_std = 0.5 * math.log(start.noise_variance)
        self.floor = floor
        log_ratio = torch.zeros(len(start.mean), dtype=torch.float32)
        if floor is None:
            self.register_buffer("log_ratio", log_ratio, persistent=False)
        else:
            self.log_ratio = nn.Parameter(log_ratio)

    def forward(self, linear, residual):
        """The distribution of rows, from the two paths of a decoder, each (..., d)."""
        mean = torch.add(linear, residual, alpha=math.exp(self.start_log_std))
        return Gaussian(mean, self.log_std())

    def log_std(self):
        """Of every feature, (d,); exactly the start's as long as `log_ratio` is 0."""
        if self.floor is None:
            return self.start_log_std + self.log_ratio
        ratio = self.floor + (1.0 - self.floor) * torch.exp(2.0 * self.log_ratio)
        return self.start_log_std + 0.5 * torch.log(ratio)

    def target(self, x):
        """What the distribution is of, given standardised rows."""
        return x


class BernoulliHead(nn.Module):
    """Rows in [0, 1], in their own units, as Bernoulli probabilities.

    Parameters
    ----------
    start : skae._classical.Start
        Its mean and scale turn standardised rows back into what they were.
    """

    mean: torch.Tensor

    def __init__(self, start):
        super().__init__()
        mean = torch.tensor(start.mean, dtype=torch.float64)
        self.register_buffer("mean", mean, persistent=False)
        self.scale = start.scale

    def forward(self, linear, residual):
        """The distribution of rows, from the two paths of a decoder, each (..., d)."""
        return Bernoulli(linear + residual)

    def target(self, x):
        """What the distribution is of, given standardised rows."""
        return (x * self.scale + self.mean).clamp(0.0, 1.0)


class CategoricalHead(BernoulliHead):
    """Rows of steps, in their own units, as the probabilities of categories.

    Parameters
    ----------
    start : skae._classical.Start
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
