"""Random streams derived from one seed, without use of process-wide state."""

import zlib

import numpy as np
from sklearn.utils import check_random_state


class Streams:
    """Independent, named random streams that all derive from one `random_state`.

    A stream depends on the seed and on its name only. So drawing more from one stream, for
    example in longer training, does not change the others.

    Parameters
    ----------
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None
        An int gives the same streams every time. A RandomState or Generator is advanced by one
        draw. None draws the seed from numpy's global state.
    seed : int or None
        The `seed` of other streams, to recreate them.
    """

    def __init__(self, random_state=None, *, seed=None):
        most = np.iinfo(np.int32).max
        if isinstance(random_state, np.random.Generator):
            seed = int(random_state.integers(most))
        elif seed is None:
            seed = int(check_random_state(random_state).randint(most))
        self.seed = seed

    def integer(self, name):
        """Return a seed in [0, 2**32) for the stream called `name`."""
        sequence = np.random.SeedSequence([self.seed, zlib.crc32(name.encode())])
        return int(sequence.generate_state(1)[0])

    def numpy(self, name):
        """Return a new `numpy.random.Generator` at the beginning of the stream."""
        return np.random.default_rng(self.integer(name))

    def torch(self, name, device="cpu"):
        """Return a new `torch.Generator` at the beginning of the stream."""
        import torch

        return torch.Generator(device).manual_seed(self.integer(name))
