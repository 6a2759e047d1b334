"""What a variant says of itself: the methods of an estimator that others override."""

from typing import ClassVar

from ..likelihoods import as_likelihood
from ..nn.spec import Spec
from ._state import State


class Hooks(State):
    """Base of estimators with nothing of their own. docs/contributing.rst lists what overrides.

    Two more are where they are used: `_training_options` and `_after_training` of
    :class:`~skae.estimators._base.BaseAutoencoder`.
    """

    _spec_type: ClassVar[type[Spec]] = Spec

    def _classical_start(self, data, streams, latent_dim):
        """The :class:`~skae.starts.start.Start` of this method.

        `data` is a :class:`~skae.data.fit_data.FitData`; of a chunk it has the moments of all rows.
        """
        raise NotImplementedError

    def _scatter_of_start(self):
        """What of their scatter a start is made of, for `table` and for `inputs` where it differs.

        See :meth:`~skae.data.moments.Moments.of`.
        """
        if self.init == "random":
            return None, None
        return "axes" if as_likelihood(self.likelihood).is_normal else "covariance", None

    def _likelihood_of(self, table):
        """The likelihood of the rows of a table."""
        row = self._input_shape or (len(table.mean),)
        return as_likelihood(self.likelihood).of_rows(row)

    def _corruption_of(self, table, streams):
        """What the encoder's input goes through in training, or None."""
        return None

    def _own_spec(self):
        """What else the module is built from, as values that may not change in a warm start."""
        return {}

    def _pair(self, X, extra, previous):
        """The rows that the encoder reads, and those to return; None where these are the same.

        From validated rows. `extra` is the variant's own argument of `fit`, or None, and
        `previous` the net that training goes on with, or None.
        """
        return X, None

    def _pair_validation(self, X, extra, extra_validation):
        """As `_pair`, for the validation rows that were given to `fit`."""
        return X, None

    def _refine(self, trained, data):
        """What is learned after training, and judged by rows that were held out.

        Parameters
        ----------
        trained : Trained
        data : FitData

        Returns
        -------
        interrupt : KeyboardInterrupt or None
            One that left the estimator whole.
        """

    def _announce(self):
        """Warn of what a fit turned out to be."""

    def _can_follow(self, running, paired):
        """Whether moments of all chunks, a Running, are enough to find the start with."""
        return running.knows(*self._scatter_of_start())
