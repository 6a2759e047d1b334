"""The hooks: methods that subclasses override to define a variant."""

from typing import ClassVar

from ..likelihoods import as_likelihood, of_columns
from ..nn.spec import Spec
from ._state import State


class Hooks(State):
    """Base class: hooks with their defaults. docs/contributing.rst lists the overrides.

    Two more hooks are defined next to their use: `_training_options` and `_after_training` of
    :class:`~skae.estimators._base.BaseAutoencoder`.
    """

    _spec_type: ClassVar[type[Spec]] = Spec
    _takes_gaps = False  # whether entries of X may be missing, if the likelihood takes gaps
    _takes_sparse = False  # whether X may be a sparse matrix
    _imputes = False  # whether to train for gaps in any case, from a start with more noise
    _name_of_rows = "X"  # name in messages of rows to return that are given beside X

    def _classical_start(self, data, streams, latent_dim):
        """Compute the initial model, a :class:`~skae.starts.start.Start`.

        `data` is a :class:`~skae.data.fit_data.FitData`. In `partial_fit` its tables have the
        moments of all rows so far.
        """
        raise NotImplementedError

    def _scatter_of_start(self):
        """Return which second moments the initial model needs, of `table` and of `inputs`.

        See :meth:`~skae.data.moments.Moments.of`. The second one is for paired rows.
        """
        if self.init == "random":
            return None, None
        return "axes" if as_likelihood(self.likelihood).is_normal else "covariance", None

    def _likelihood_of(self, table):
        """Return the likelihood of the rows of a table."""
        if self._columns is not None:
            return self._columns.likelihood()
        row = self._input_shape or (len(table.mean),)
        likelihood = as_likelihood(self.likelihood).of_rows(row)
        return likelihood.of_moments(table.mean, table.variance, table.n_samples)

    @property
    def _columns(self):
        """How the columns of X are encoded, or None; in a first fit before there is a spec."""
        known = vars(self)
        return known["_spec"].columns if "_spec" in known else known.get("_read_as")

    @property
    def _n_read(self):
        """Number of features of a row as networks read it, without conditions."""
        return self.n_features_in_ if self._columns is None else self._columns.width

    @property
    def _reads_gaps(self):
        """Whether entries of X may be missing, as NaN."""
        return self._takes_gaps and as_likelihood(self.likelihood).takes_gaps

    @property
    def _reads_sparse(self):
        """Whether X may be a sparse matrix with these parameters."""
        return self._takes_sparse and not of_columns(self.likelihood)

    def _corruption_of(self, table, streams):
        """Return the corruption of the encoder's input in training, or None."""
        return None

    @property
    def _corrupts_raw_rows(self):
        """Whether the corruption takes rows that are not standardised."""
        return False

    def _own_spec(self):
        """Return the variant's own fields of the spec that a warm start may not change."""
        return {}

    def _pair(self, X, extra, previous):
        """Return the rows that the encoder reads, and the target rows or None for the same.

        X has been validated. `extra` is the variant's own argument of `fit`, or None. `previous`
        is the net that training continues from, or None.
        """
        return X, None

    def _pair_validation(self, X, extra, extra_validation):
        """Do the same as `_pair` for the validation set given to `fit`."""
        return X, None

    def _refine(self, trained, data):
        """Learn what is learned after training, with the validation set.

        Parameters
        ----------
        trained : Trained
        data : FitData

        Returns
        -------
        interrupt : KeyboardInterrupt or None
            An interrupt after which the estimator is in a complete state.
        """

    def _announce(self):
        """Issue warnings about the result of a fit."""

    def _can_follow(self, running, paired):
        """Return whether the moments of all chunks suffice to update the initial model."""
        return running.knows(*self._scatter_of_start())
