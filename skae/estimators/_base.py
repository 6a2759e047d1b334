"""The contract of every autoencoder: how it is fitted."""

import math
from dataclasses import dataclass, replace

import numpy as np

from ..codec import plain
from ..data.moments import moments_of_fit
from ..data.split import Wishes
from ..data.table import some_rows
from ..random import Streams
from ..starts.random_weights import no_start
from ..training.callbacks import check_callbacks, prints
from ._in_chunks import InChunks
from ._modes import ordinary_modes

MAX_CODES = 2000  # codes kept for the density that `sample` draws from


@dataclass(eq=False, repr=False)
class BaseAutoencoder(InChunks):
    """Fitting, for all autoencoders.

    The bases have the rest: parameters, state, what a variant says of itself
    (:mod:`skae.estimators._hooks`), the door that rows come in by, the methods of a fitted model,
    and `partial_fit`.
    """

    def fit(self, X, y=None, *, groups=None, X_val=None):
        """Compute the classical start, then train, keeping the best epoch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; at least 2 rows. A large memory map, zarr, h5py or dask
            array, or data frame of several types or of Arrow's, is read by blocks and
            never loaded whole. If it has more than 2,048 columns its closed form is
            approximate.
        y : Ignored
            Present because a Pipeline passes labels; a splitter given as
            `validation_fraction` reads them.
        groups : array-like of shape (n_samples,) or None, default=None
            Labels of rows that depend on each other, as measurements of one subject. Whole
            groups are held out to choose the epoch, and each is judged as one.
        X_val : array-like of shape (n_validation_samples, n_features) or None, default=None
            Validation rows to choose the epoch by. Then no row of X is held out.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or X is invalid; nothing was trained then, and what was fitted
            before is as it was.
        KeyboardInterrupt
            On Ctrl-C. The best epoch so far is kept as a fitted estimator.
        """
        return self._guarded(type(self)._fit, X, wishes=Wishes(y, groups, X_val))

    def partial_fit(self, X, y=None):
        """Go on training with a further chunk of rows: one pass over it.

        The closed form and what rows are standardised by follow the rows of all chunks;
        that of PCA is what `sklearn.decomposition.IncrementalPCA` finds. Of every chunk
        `validation_fraction` is held out, and at most 2,000 such rows of all chunks are
        kept. They choose between the latest weights, those kept so far and the start.
        With ``max_epochs=0`` nothing is trained. Otherwise `max_epochs` and
        `early_stopping` do not matter, and the learning rate falls with the number of
        steps. After `fit` the table of that counts as the first chunk (after warm starts,
        that of the first `fit`); `fit` forgets all chunks before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Of the first chunk at least 2 rows, and as many as there are codes.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or X breaks a rule. Whatever is raised, the estimator is as it
            was before the call.
        """
        return self._guarded(type(self)._partial_fit, X)

    # How it is fitted

    def _after_training(self, inputs, rows, rank):
        """Set the variant's own fitted attributes, and what `sample` needs.

        These are training rows (of a large table a sample) as the encoder sees them and as
        the decoder should answer; `rank` is the most components that PCA would find in
        the whole table.
        """
        self._codes = self._encode(some_rows(inputs, MAX_CODES)).astype(np.float64)
        if self._spec.family.is_normal:
            # As in PCA: per dimension that the codes leave.
            remaining = (rank - self.latent_dim_) * (len(rows) - 1)
            error = self._squared_errors(inputs, None if inputs is rows else rows).sum()
            self.noise_variance_ = float(error / remaining) if remaining else 0.0

    def _guarded(self, fit, X, extra=None, **wishes):
        """Run a fit that either succeeds or changes nothing.

        It runs on a copy of the estimator, whose state then becomes this one's in a single
        assignment: an exception or an interrupt finds the old state or the new one, whole.
        """
        new = object.__new__(type(self))
        new.__dict__ = vars(self).copy()
        new._validate_params()
        given = vars(self).keys() - set(vars(self).get("_fitted", ()))
        with ordinary_modes():
            interrupt = fit(new, X, extra, **wishes)
        new._fitted = sorted(vars(new).keys() - given)  # what a further `fit` forgets
        if interrupt is None:
            new._announce()  # first, as a warning may be an error
        self.__dict__ = new.__dict__
        if interrupt is not None:
            raise interrupt
        return self

    def _fit(self, X, extra, wishes):
        """Read, initialise, train, adopt; returns the KeyboardInterrupt that ended it, or None."""
        from ..training.train import progress_of_fit, train

        previous = vars(self).get("net_") if self.warm_start else None
        if previous is None:
            self._forget()
        streams = Streams(self.random_state)
        data = self._read(X, extra, previous, streams, wishes)
        spec = self._describe(data, streams, None) if previous is None else self._spec
        data.check(spec)
        split = data.split(spec)
        check_callbacks(self.callbacks, split.valid is not None)
        options = self._training_options(spec, streams, len(split.train))
        trained = train(spec, split, data, options, previous)

        self._chunks = None
        if previous is None:
            self._running = moments_of_fit(data, spec.start, self._scatter_of_start())
        progress = progress_of_fit(trained.net, len(data.table.X))
        rows = data.inputs.sample, data.table.sample, min(data.table.X.shape)
        late = self._adopt(trained, data, progress, data.table, rows)
        return trained.interrupt or late

    def _forget(self):
        """Drop all that an earlier fit has set."""
        for name in vars(self).get("_fitted", ()):
            self.__dict__.pop(name, None)

    def _describe(self, data, streams, before):
        """The spec: what the module is built from.

        `before` is the spec of the chunks before this one, or None; the number of codes is then
        decided.
        """
        k = self._wanted_codes(data.table) if before is None else before.n_codes
        start = self._start(data, streams, k)
        if before is not None:
            return replace(before, start=start, n_samples=data.table.n_samples)
        own = {"start": start, "n_samples": len(data.table.X), "seed": streams.integer("init")}
        return self._spec_type(**self._kind(), **own)

    def _start(self, data, streams, latent_dim):
        """What training begins as."""
        if self.init == "random":
            likelihood = self._likelihood_of(data.table)
            return no_start(data.table, data.inputs, latent_dim, likelihood)
        return self._classical_start(data, streams, latent_dim)

    def _training_options(self, spec, streams, n_train):
        """What the net is told about training."""
        automatic = self.batch_size == "auto"
        options = {
            "streams": streams,
            "lr": self.lr,
            "precision": self.precision,
            "max_epochs": 0 if spec.is_complete() else self.max_epochs,
            "batch_size": automatic_batch_size(n_train) if automatic else self.batch_size,
            "optimizer": self.optimizer,
            "weight_decay": self.weight_decay,
            "early_stopping": self.early_stopping,
            "n_iter_no_change": self.n_iter_no_change,
            "callbacks": self.callbacks,
            "progress": bool(self.verbose),
            "verbose": int(bool(self.verbose) or prints(self.callbacks)),
        }
        return {name: plain(value) for name, value in options.items()}

    def _adopt(self, trained, data, progress, table, rows):
        """Take over what was trained. All fitted attributes are set here, and in its two hooks.

        `table` has the moments of all rows seen. `rows` are training rows (of a large table a
        sample), for the encoder and for the loss, and the most components that PCA would find
        in all rows.
        """
        spec = trained.spec
        self.net_, self._spec, self.device_ = trained.net, spec, data.device
        self.latent_dim_: int = spec.start.latent_dim
        self.mean_ = table.mean
        self._dtype = data.inputs.X.dtype.name
        self._total_variance = _total_variance(table)
        self._density_of_codes = None
        for name, value in progress.items():
            setattr(self, name, value)
        with trained.net.threads():
            late = self._refine(trained, data)
            self._after_training(*rows)
        return late


def _total_variance(table):
    total = table.variance.sum() * (table.n_samples - 1) / table.n_samples
    return total if total > 0 else 1.0


def automatic_batch_size(n_samples):
    """A power of two near n / 32, from 16 to 256."""
    return int(np.clip(2 ** round(math.log2(max(n_samples / 32, 1))), 16, 256))
