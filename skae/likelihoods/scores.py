"""What likelihoods of probabilities are to a closed form."""

import numpy as np
from scipy.special import entr, log_softmax, logit


class Bernoullis:
    """Rows in [0, 1] as probabilities, and what logit space is for them.

    Around independent Bernoullis with means p, the score of a row is x - p and its
    Fisher information p (1 - p).
    """

    logits = staticmethod(logit)

    def smoothed(self, mean, n_samples):
        """Means of so many rows, kept off both ends by half a row."""
        return (n_samples * mean + 0.5) / (n_samples + 1.0)

    def spread(self, p):
        """What standardises the score."""
        return np.sqrt(p * (1.0 - p))

    def least(self, x):
        """The loss of each row under its own values, the lowest that there is."""
        return (entr(x) + entr(1.0 - x)).sum(axis=-1)

    def loss(self, x, logits):
        """Cross-entropy of each row, summed over features, in nats."""
        return (np.logaddexp(0.0, logits) - x * logits).sum(axis=-1)


class Categoricals:
    """Rows of steps, each of which holds the probabilities of `n_categories`.

    Around independent categoricals with probabilities p, the score of a step is x - p
    and its Fisher information diag(p) - p p'. Scores divided by the root of p are
    orthogonal to that root, and for logits along such directions the information is the
    identity. PCA of these scores is correspondence analysis (Greenacre 1984).
    """

    logits = staticmethod(np.log)

    def __init__(self, n_categories):
        self.n_categories = n_categories

    def smoothed(self, mean, n_samples):
        """Frequencies in so many rows and one more, spread evenly over the categories."""
        return (n_samples * mean + 1.0 / self.n_categories) / (n_samples + 1.0)

    def spread(self, p):
        """What standardises the score."""
        return np.sqrt(p)

    def least(self, x):
        """The loss of each row under its own values, the lowest that there is."""
        return entr(x).sum(axis=-1)

    def loss(self, x, logits):
        """Cross-entropy of each row, summed over steps, in nats."""
        steps = logits.reshape(*logits.shape[:-1], -1, self.n_categories)
        return -(x * log_softmax(steps, axis=-1).reshape(logits.shape)).sum(axis=-1)


def family_of(likelihood, row):
    """What a likelihood is to a closed form, of rows of this shape; None for normal noise."""
    if likelihood == "gaussian":
        return None
    return Bernoullis() if likelihood == "bernoulli" else Categoricals(row[-1])
