"""The base class of all autoencoders: `fit` and the steps that it consists of."""

from dataclasses import dataclass, replace

import numpy as np

from ..codec import plain
from ..data.moments import moments_of_fit
from ..data.split import Wishes
from ..data.table import some_rows
from ..random import Streams
from ..starts.random_weights import no_start
from ..training.callbacks import check_callbacks, prints
from ..training.schedule import LEAST_RATE, automatic_batch_size, automatic_rate
from ._in_chunks import InChunks
from ._modes import ordinary_modes

MAX_CODES = 2000  # training codes kept, for the mixture that `sample` draws from


@dataclass(eq=False, repr=False)
class BaseAutoencoder(InChunks):
    """Base class of all autoencoders, with `fit`.

    Its base classes have the rest: parameters, pickling, hooks for subclasses
    (:mod:`skae.estimators._hooks`), validation of X, the methods of a fitted model, and
    `partial_fit`.
    """

    def fit(self, X, y=None, *, groups=None, X_val=None):
        """Initialise the model, then train it and keep the best epoch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers, in at least 2 rows. `AutoencoderTransformer` and `VAETransformer` take NaN as a
            missing entry (see :doc:`/guide/missing`) and sparse matrices, which they make dense
            batch by batch. Large memory maps, zarr, h5py and dask arrays, Arrow tables and data
            frames of several dtypes are read block by block. For such a table with more than
            2,048 columns, the initial model is approximate. See
            :doc:`/guide/streams`.
        y : Ignored
            Present because a Pipeline passes labels. Only a splitter given as
            `validation_fraction` uses them.
        groups : array-like of shape (n_samples,) or None, default=None
            Group labels of rows that depend on each other, such as repeated measurements of a
            subject. Whole groups are held out for validation, and standard errors are of groups.
        X_val : array-like of shape (n_validation_samples, n_features) or None, default=None
            Validation set. If given, no row of X is held out.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or X is invalid. The estimator is then unchanged.
        KeyboardInterrupt
            On Ctrl-C. The estimator is then fitted, with the best epoch so far.
        """
        return self._guarded(type(self)._fit, X, wishes=Wishes(y, groups, X_val))

    def partial_fit(self, X, y=None):
        """Train on a further chunk of rows, in one pass over it.

        The initial model and the standardisation of rows are updated with the moments of every
        chunk; PCA is updated as in `sklearn.decomposition.IncrementalPCA`. Of every chunk,
        `validation_fraction` is held out, and at most 2,000 such rows are kept in total. Their
        loss decides between the latest weights, those kept so far and the initial model.

        With ``max_epochs=0`` nothing is trained. Otherwise, `max_epochs` and `early_stopping` are
        ignored, and the learning rate decays with the number of steps. The table of a previous
        `fit` counts as the first chunk (after warm starts, that of the first `fit`). `fit`
        discards all chunks before it. See :doc:`/guide/streams`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The first chunk needs at least 2 rows, and at least as many as there are codes.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or X is invalid. The estimator is unchanged after any error.
        """
        return self._guarded(type(self)._partial_fit, X)

    # The steps of a fit

    def _after_training(self, inputs, rows, rank):
        """Set the variant's own fitted attributes, and the codes that `sample` needs.

        `inputs` and `rows` are training rows (a sample of a large table), as the encoder reads
        them and as the decoder should return them. `rank` is the largest number of components
        that PCA could find in the whole table.
        """
        self._codes = self._encode(some_rows(inputs, MAX_CODES)).astype(np.float64)
        if self._spec.family.is_normal:
            # As in PCA: per remaining dimension.
            remaining = (rank - self.latent_dim_) * (len(rows) - 1)
            error = self._squared_errors(inputs, rows).sum()
            self.noise_variance_ = float(error / remaining) if remaining else 0.0

    def _guarded(self, fit, X, extra=None, **wishes):
        """Run a fit that either succeeds or leaves the estimator unchanged.

        The fit runs on a copy, whose state replaces that of the estimator in a single
        assignment. So an exception or an interrupt never leaves a partly fitted estimator.
        """
        new = object.__new__(type(self))
        new.__dict__ = vars(self).copy()
        new._validate_params()
        given = vars(self).keys() - set(vars(self).get("_fitted", ()))
        with ordinary_modes():
            interrupt = fit(new, X, extra, **wishes)
        new._fitted = sorted(vars(new).keys() - given)  # names that the next `fit` deletes
        if interrupt is None:
            new._announce()  # before the assignment, as warnings may be turned into errors
        self.__dict__ = new.__dict__
        if interrupt is not None:
            raise interrupt
        return self

    def _fit(self, X, extra, wishes):
        """Read, initialise, train and adopt; return a KeyboardInterrupt that came, or None."""
        from ..training.train import Progress, train

        previous = vars(self).get("net_") if self.warm_start else None
        if previous is None:
            self._forget()
        streams = Streams(self.random_state)
        data = self._read(X, extra, previous, streams, wishes)
        spec = self._describe(data, streams, None) if previous is None else self._spec
        spec = spec.with_gaps(data.has_gaps or self._imputes)
        data.check(spec)
        split = data.split(spec)
        check_callbacks(self.callbacks, split.valid is not None)
        options = self._training_options(spec, streams, len(split.train))
        trained = train(spec, split, data, options, previous)

        self._chunks = None
        if previous is None:
            self._running = moments_of_fit(data, spec.start, self._scatter_of_start())
        progress = Progress.of_fit(trained.net, len(data.table.X))
        rows = data.inputs.sample, data.table.sample, min(data.table.X.shape)
        late = self._adopt(trained, data, progress, data.table, rows)
        return trained.interrupt or late

    def _forget(self):
        """Delete all attributes that an earlier fit has set."""
        for name in vars(self).get("_fitted", ()):
            self.__dict__.pop(name, None)

    def _describe(self, data, streams, before):
        """Return the spec, from which the module is built.

        `before` is the spec of earlier chunks, or None. If there is one, it fixes the number of
        codes.
        """
        k = self._wanted_codes(data.table) if before is None else before.n_codes
        start = self._start(data, streams, k)
        if before is not None:
            return replace(before, start=start, n_samples=data.table.n_samples)
        n_rows = len(data.table.X)
        own = {"start": start, "n_samples": n_rows, "seed": streams.integer("init")}
        own["columns"] = self._columns
        return self._spec_type(**self._kind(n_rows), **own)

    def _start(self, data, streams, latent_dim):
        """Compute the initial model."""
        if self.init == "random":
            likelihood = self._likelihood_of(data.table)
            return no_start(data.table, data.inputs, latent_dim, likelihood)
        return self._classical_start(data, streams, latent_dim)

    def _training_options(self, spec, streams, n_train, in_chunks=False):
        """Return the options of the net that are about training."""
        size, lr = self.batch_size, self.lr
        if size == "auto":
            size = automatic_batch_size(n_train, in_chunks, len(spec.start.mean))
        if lr == "auto":
            adaptive = self.optimizer in ("adam", "adamw") and not in_chunks
            lr = automatic_rate(n_train, int(size)) if adaptive else LEAST_RATE
        options = {
            "streams": streams,
            "lr": lr,
            "precision": self.precision,
            "max_epochs": 0 if spec.is_complete() else self.max_epochs,
            "batch_size": size,
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
        """Set all fitted attributes, here and in the hooks `_refine` and `_after_training`.

        `table` has the moments of all rows seen. `rows` are the arguments of `_after_training`.
        """
        spec = trained.spec
        self.net_, self._spec, self.device_ = trained.net, spec, data.device
        self.__dict__.pop("_read_as", None)  # the spec has it
        self.latent_dim_: int = spec.start.latent_dim
        self.mean_ = table.mean
        self._dtype = data.inputs.X.dtype.name
        if self._columns is not None:
            self.likelihoods_ = self._columns.likelihoods
        self._total_variance = _total_variance(table)
        self._variances = table.variance
        self._density_of_codes = None
        self.n_samples_ = self.n_samples_seen_ = progress.n_samples
        self.n_iter_, self.best_epoch_ = progress.n_iter, progress.best_epoch
        self.loss_curve_, self.validation_curve_ = progress.loss_curve, progress.validation_curve
        with trained.net.threads():
            late = self._refine(trained, data)
            if spec.has_gaps:
                filled = self._without_gaps(rows[0])
                rows = filled, filled[:, : self._n_read], rows[2]
            self._after_training(*rows)
        return late


def _total_variance(table):
    total = table.variance.sum() * (table.n_samples - 1) / table.n_samples
    return total if total > 0 else 1.0
