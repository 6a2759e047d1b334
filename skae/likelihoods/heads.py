"""The head of a likelihood by its name."""

from .bernoulli import BernoulliHead
from .categorical import CategoricalHead
from .gaussian import GaussianHead


def make_head(spec, floor=None):
    """The head of the likelihood that `spec` names; `floor` is for Gaussian noise."""
    start, likelihood = spec.start, spec.likelihood
    if likelihood == "gaussian":
        return GaussianHead(start, floor)
    if likelihood == "bernoulli":
        return BernoulliHead(start)
    return CategoricalHead(start, (spec.input_shape or start.mean.shape)[-1])
