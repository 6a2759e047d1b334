"""The scikit-learn contract of every autoencoder, once."""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.validation import _check_feature_names, check_is_fitted, validate_data

from ..codec import plain
from ..data.dtypes import float_dtype
from ..data.limits import check_finite, check_near, check_spread, check_units
from ..data.moments import Moments, Running, RunningTable
from ..data.sources import Stream, flattened, is_small, is_stream
from ..data.split import HeldOut, Wishes, at_random, by_splitter, in_groups
from ..data.table import Table, some_rows
from ..data.validation import (
    as_table,
    check_all_finite,
    check_channels_first,
    check_numbers,
    how_to_turn,
    is_plain,
    native,
)
from ..density.codes import CodeDensity
from ..likelihoods.checks import check_values
from ..likelihoods.scores import family_of
from ..random import Streams
from ..starts.pca import minka_dimension
from ..starts.random_weights import no_start
from ..starts.start import Start
from ..state import check_stamp, stamp
from ..training.callbacks import check_callbacks, prints
from ..training.chunks import MIN_HELD_OUT, Chunks
from ..training.devices import find_device, fits_on, gram_on, is_available
from ._docs import PCA_ATTRIBUTES, SHARED_ATTRIBUTES, SHARED_PARAMETERS
from ._modes import InOrdinaryModes, ordinary_modes
from ._parameters import LIMIT, check_limits, check_memory, is_auto, refuse_options_of_pca

_AXES: dict[Any, tuple] = {  # of rows for networks
    "conv": ("channels", "height", "width"),
    "recurrent": ("steps", "features"),
    "hierarchical": ("steps", "features"),
}
MAX_CODES = 2000  # codes kept for the density that `sample` draws from
_STARTS = {"start", "whole_start"}  # what of a spec is a start
_KEPT = 2**22  # numbers of the rows that are held out of a large table
LATENT_DIMS = [  # of a latent space
    Interval(Integral, 0, None, closed="left"),
    Interval(RealNotInt, 0, 1, closed="neither"),
    StrOptions({"auto", "mle"}),
    None,
]
_DEFAULT_SIZE = 2


class _Job(NamedTuple):
    """What `_prepare` hands to training."""

    table: Table  # the rows that the decoder should answer
    inputs: Table  # those that the encoder sees; the same where they are
    spec: dict
    corruption: Any
    split: Any  # of _net.Split
    validation: Any  # validation rows of the user's own, as the encoder reads them, or None
    device: str
    options: dict
    running: Running | None  # moments of all chunks up to this; None in `fit` and at first


@dataclass(eq=False, repr=False)
class BaseAutoencoder(
    InOrdinaryModes, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Validation, fitting, the verbs and pickling, for all autoencoders.

    Parameters are the fields of a dataclass, whose constructor only assigns. A variant
    says what differs: its own parameters and their constraints,
    ``_classical_start``, and where needed ``_make_module``, ``_loss_units``,
    ``_corruption_of`` and ``_after_training``.
    """

    # Where the HTML diagram of an estimator links to.
    _doc_link_module: ClassVar[str] = "skae"
    _doc_link_template: ClassVar[str] = (
        "https://skae.readthedocs.io/en/stable/generated/skae.{estimator_name}.html"
    )

    _parameter_constraints: ClassVar[dict] = {
        "latent_dim": LATENT_DIMS,
        "n_components": LATENT_DIMS,
        "network": [StrOptions({"mlp", "conv", "recurrent", "hierarchical"}), callable],
        "input_shape": ["array-like", None],
        "hidden_layer_sizes": [
            StrOptions({"auto"}),
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "activation": [
            StrOptions(
                {"elu", "gelu", "identity", "leaky_relu", "logistic"}
                | {"relu", "selu", "silu", "softplus", "tanh"}
            )
        ],
        "init": [StrOptions({"pca", "random"})],
        "likelihood": [StrOptions({"gaussian", "bernoulli", "categorical"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions({"adam", "adamw", "sgd"}), type],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [
            None,
            Interval(Real, 0, 1, closed="neither"),
            HasMethods(["split", "get_n_splits"]),
        ],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "precision": [StrOptions({"float32", "tf32", "bf16"})],
        "callbacks": [None, list],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    latent_dim: int | float | str | None = "auto"
    _: KW_ONLY
    n_components: int | float | str | None = "auto"
    network: str | Callable = "mlp"
    input_shape: Sequence[int] | None = None
    hidden_layer_sizes: str | int | Sequence[int] = "auto"
    activation: str = "silu"
    init: str = "pca"
    likelihood: str = "gaussian"
    lr: float = 2e-3
    max_epochs: int = 100
    batch_size: int | str = "auto"
    optimizer: str | type = "adamw"
    weight_decay: float = 0.01
    early_stopping: bool = True
    validation_fraction: Any = 0.1
    n_iter_no_change: int = 20
    device: str = "auto"
    precision: str = "float32"
    callbacks: list | None = None
    warm_start: bool = False
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    def _doc_link_url_param_generator(self):
        return {"estimator_name": type(self).__name__}

    def __new__(cls, *args, **kwargs):
        """Say of a parameter that only PCA has that it is to be left out."""
        refuse_options_of_pca(cls, kwargs)
        return super().__new__(cls)

    def __init_subclass__(cls, **kwargs):
        """Write out the parameters and attributes that every docstring shares."""
        super().__init_subclass__(**kwargs)
        if cls.__doc__:
            doc = inspect.cleandoc(cls.__doc__)
            doc = doc.replace("{shared_parameters}", inspect.cleandoc(SHARED_PARAMETERS))
            doc = doc.replace("{shared_attributes}", inspect.cleandoc(SHARED_ATTRIBUTES))
            cls.__doc__ = doc.replace("{pca_attributes}", inspect.cleandoc(PCA_ATTRIBUTES))

    # What a variant says

    def _classical_start(self, table, inputs, corruption, streams, latent_dim):
        """The :class:`~skae.starts.start.Start` of this method.

        `inputs` is the table that the encoder will see, `table` the one it should answer.
        """
        raise NotImplementedError

    def _start(self, table, inputs, corruption, streams, latent_dim):
        """Where training begins."""
        if self.init == "random":
            return no_start(table, latent_dim, self._family(table))
        return self._classical_start(table, inputs, corruption, streams, latent_dim)

    def _scatter_of_start(self):
        """What of their scatter a start is made of, for `table` and for `inputs` where it differs.

        See :meth:`~skae.data.moments.Moments.of`.
        """
        if self.init == "random":
            return None, None
        return "axes" if self.likelihood == "gaussian" else "covariance", None

    def _family(self, table):
        """What the likelihood is to a classical start; None for normal noise."""
        return family_of(self.likelihood, self._input_shape or (len(table.mean),))

    def _corruption_of(self, table, streams):
        """What the encoder's input goes through in training, or None."""
        return None

    def _make_module(self, spec):
        """The torch module that `spec` describes."""
        from ..likelihoods.heads import make_head
        from ..nn.autoencoder import AutoencoderModule

        start = spec["start"]
        encoder, decoder = self._make_networks(spec, start.latent_dim)
        return AutoencoderModule(start, encoder, decoder, make_head(spec))

    def _own_spec(self):
        """What else the module is built from, as values that may not change in a warm start."""
        return {}

    def _loss_units(self, spec):
        """Factor and offset that turn the module's loss into the one to report."""
        if spec["likelihood"] != "gaussian":
            return 1.0, 0.0
        return 2.0 * spec["start"].noise_variance * spec["start"].scale ** 2, 0.0

    def _is_complete(self, start):
        """Whether a start leaves nothing to be learned, so that training ends at once."""
        return start.latent_dim == 0

    def _pair(self, X, extra, previous):
        """What the encoder sees and what the decoder should answer, from validated rows.

        `extra` is the variant's own argument of `fit`, or None, and `previous` the net that
        training goes on with, or None.
        """
        return X, X

    def _pair_validation(self, X, extra, extra_validation):
        """As `_pair`, for the validation rows that were given to `fit`."""
        return X, X

    def _kind_of_chunk(self, extra):
        """What has to be the same for held-out rows of two chunks to be kept together."""
        return ()

    def _look_at_held_out(self, job, held_out, first):
        """Set what rows that were held out say of the fitted net, or others where none were.

        `held_out()` answers these rows as the encoder sees them; `first` is whether this is
        a fit that began at the start. Answers a KeyboardInterrupt that left the estimator
        whole, or None.
        """

    def _after_training(self, inputs, rows, rank):
        """Set the variant's own fitted attributes, and what `sample` needs.

        These are training rows (of a large table a sample) as the encoder sees them and as
        the decoder should answer; `rank` is the most components that PCA would find in
        the whole table.
        """
        self._codes = self._encode(some_rows(inputs, MAX_CODES)).astype(np.float64)
        if self._spec["likelihood"] == "gaussian":
            # As in PCA: per dimension that the codes leave.
            remaining = (rank - self.latent_dim_) * (len(rows) - 1)
            error = self._squared_errors(inputs, None if inputs is rows else rows).sum()
            self.noise_variance_ = float(error / remaining) if remaining else 0.0

    def _announce(self):
        """Warn of what a fit turned out to be."""

    # Fitting

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

    def _guarded(self, fit, X, extra=None, **wishes):
        """Run a fit that either succeeds or changes nothing.

        It runs on a copy of the estimator, whose state then becomes this one's in a single
        assignment: an exception or an interrupt finds the old state or the new one, whole.
        """
        new = object.__new__(type(self))
        new.__dict__ = vars(self).copy()
        new.__dict__.pop("noise_variance_", None)  # not every likelihood has one
        new._validate_params()
        with ordinary_modes():
            interrupt = fit(new, X, extra, **wishes)
        if interrupt is None:
            new._announce()  # first, as a warning may be an error
        self.__dict__ = new.__dict__
        if interrupt is not None:
            raise interrupt
        return self

    def _fit(self, X, extra, wishes):
        """Fit; answers the KeyboardInterrupt that ended it early, or None."""
        previous = vars(self).get("net_") if self.warm_start else None
        streams = Streams(self.random_state)
        job = self._prepare(X, extra, previous, streams, wishes=wishes)
        net = self._make_net(job.spec, job.device, **job.options).initialize()
        if previous is not None:
            net.begin_from(previous.module_)
        net.module_.corruption = job.corruption
        interrupt = None
        try:
            net.partial_fit(job.split)
        except KeyboardInterrupt as error:
            if net.best_epoch_ is None:  # before there was anything to keep
                raise
            net.settle(job.split.valid)
            interrupt = error
        net.module_.corruption = None

        self._chunks = None
        self._set_net(net, job)
        if previous is None:
            self._running = self._moments_of_fit(job)
        self.n_samples_ = self.n_samples_seen_ = len(job.table.X)
        self.n_iter_ = len(net.loss_curve_)
        self.best_epoch_ = net.best_epoch_
        self.loss_curve_ = np.array(net.loss_curve_)
        self.validation_curve_ = np.array(net.validation_curve_)
        if len(self.validation_curve_):  # an epoch that broke off has no held-out loss
            missing = self.n_iter_ + 1 - len(self.validation_curve_)
            self.validation_curve_ = np.append(self.validation_curve_, [np.nan] * missing)
        self._total_variance = _total_variance(job.table)
        with net.threads():
            late = self._look_at_held_out(job, lambda: _held_out(job, None), previous is None)
            self._after_training(job.inputs.sample, job.table.sample, min(job.table.X.shape))
        return interrupt or late

    def _partial_fit(self, X, extra):
        """Train for one epoch on a chunk, judged on rows held out of all chunks."""
        previous = vars(self).get("net_")
        first = previous is None
        before = vars(self).get("_chunks") or Chunks(Streams(self.random_state).seed)
        # Rows held out of chunks of another kind are of no use to those of this.
        before = before.of_kind(self._kind_of_chunk(extra))
        streams = before.streams()
        job = self._prepare(X, extra, previous, streams, before)
        chunks = before.after(_rows_held_out(job), streams)
        net = self._make_net(job.spec, job.device, **job.options).initialize()
        former: Any = None
        start, corruption = job.spec["start"], job.corruption
        if not first:
            net.go_on_from(previous)
            former = self._former(previous, chunks, job)
        net.module_.corruption = corruption
        valid = chunks.rows(job.device, start, start, corruption)
        job = job._replace(split=job.split._replace(valid=valid))
        kept = net.train_chunk(job.split, former, self.validation_fraction is None)
        net.module_.corruption = None
        if kept == "former":
            valid = former.rows
            job = job._replace(spec=self._spec, split=job.split._replace(valid=valid))

        self._chunks = chunks
        self._running = job.running or self._moments_of_first(job)
        self._set_net(net, job)
        self.mean_ = self._running.table.mean
        self._total_variance = _total_variance(self._running.table)
        self.n_samples_ = len(job.table.X) + (0 if first else self.n_samples_)
        self.n_samples_seen_ = self.n_samples_
        self.n_iter_ = len(net.loss_curve_) + (0 if first else self.n_iter_)
        if kept in ("start", "latest"):
            self.best_epoch_ = self.n_iter_ if kept == "latest" else 0
        net.best_epoch_ = self.best_epoch_
        if first:
            self.loss_curve_ = self.validation_curve_ = np.empty(0)
        self.loss_curve_ = np.append(self.loss_curve_, net.loss_curve_)
        new = net.validation_curve_[0 if first else 1 :]
        if len(self.validation_curve_) or len(new):  # unknown losses are NaN
            curve = np.full(self.n_iter_ + 1, np.nan)
            curve[: len(self.validation_curve_)] = self.validation_curve_
            curve[len(curve) - len(new) :] = new
            self.validation_curve_ = curve
        n_before = self.n_samples_ - len(job.table.X)
        inputs, rows = _rows_so_far(job.table, job.inputs, before, n_before)
        with net.threads():
            self._look_at_held_out(job, lambda: _held_out(job, chunks.x), False)
            self._after_training(inputs, rows, min(self.n_samples_, rows.shape[1]))

    def _former(self, net, chunks, job):
        """What was kept before a chunk, to be judged beside a start that is another now."""
        from ..training.former import Former, Moved

        if job.spec is self._spec:
            return None
        then, now, corruption = self._spec["start"], job.spec["start"], job.corruption
        # Rows are corrupted as they are now, whatever start they are then read by.
        read_by = then if corruption is None else now
        with np.errstate(over="ignore"):  # rows may be far from the former start
            rows = chunks.rows(job.device, read_by, then, corruption)
        return Former(net, rows, None if corruption is None else Moved(corruption, now, then))

    def _moments_of_first(self, job):
        """Moments of the rows of a first chunk, with what starts are made of."""
        k, same = job.spec["start"].latent_dim, job.inputs is job.table
        of_table, of_inputs = self._scatter_of_start()
        inputs = None if same else Moments.of(job.inputs, of_inputs, k)
        return Running(Moments.of(job.table, of_table, k), inputs)

    def _moments_of_fit(self, job):
        """Moments of the rows of a fit. Of their scatter there are the axes of the start."""
        inputs = None if job.inputs is job.table else Moments.of(job.inputs)
        running = Running(Moments.of(job.table), inputs)
        return running.with_axes_of(job.spec["start"], *self._scatter_of_start())

    def _follow(self, running, table, inputs):
        """Tables of a chunk by which rows of all chunks are standardised, and its start found.

        Where the start cannot follow, as not enough is known of rows before, it stays.
        """
        if self._can_follow(running, inputs is not table):
            return running.tables(table, inputs)
        start = self._spec["start"]
        stays = replace(table, mean=start.mean, scale=start.scale)
        return stays, stays if inputs is table else inputs

    def _known(self, table, inputs, chunks):
        """Tables whose samples are of the rows of all chunks."""
        if not isinstance(table, RunningTable):
            return table, inputs
        seen, rows = _rows_so_far(table, inputs, chunks, self.n_samples_)
        known = replace(table, sample=rows)
        return known, known if inputs is table else replace(inputs, sample=seen)

    def _can_follow(self, running, paired):
        """Whether moments of all chunks are enough to find a start with."""
        return running.knows(*self._scatter_of_start())

    def _prepare(self, X, extra, previous, streams, chunks=None, wishes=None):
        """Everything that comes before training, or an error where a rule is broken."""
        wishes = wishes or Wishes()
        device = find_device(self.device)
        X = as_table(X)
        self._row_shape = tuple(X.shape)[1:]
        if previous is None or self.input_shape is not None:
            self._input_shape: tuple | None = self._find_input_shape()
        if previous is not None:
            self._check_same_kind()
        X = self._validate_rows(X, at_least=2 if previous is None else 1, reset=previous is None)
        given = X
        seen, X = self._pair(X, extra, previous)
        name = "X" if X is given else "X_clean"
        self._check_latent_dim(len(X), min(X.shape[1], seen.shape[1]), previous)
        self._check_layers(seen.shape[1])
        self._check_optimizer()
        validation = None
        if wishes.X is not None:
            X_val = self._validate_rows(wishes.X, at_least=1)
            validation = self._pair_validation(X_val, extra, wishes.extra)
        held_out, kept = self._held_out(X, streams, chunks, wishes), None
        if not is_small(X):  # which is read in order
            held_out = held_out.in_order()
            kept = _sample_of(held_out, X, streams)
        table = Table.of(X, kept, gram_on(device))
        check_values(X, self.likelihood, self._input_shape, (table.low.min(), table.high.max()))
        running = None
        if previous is not None and chunks is None:  # rows go on being standardised as they were
            start = self._spec["start"]
            table = replace(table, mean=start.mean, scale=start.scale)
        inputs = table if seen is X else Table.of(seen, kept)
        if previous is None:
            check_spread(table, name)
            check_spread(inputs, "X")
        elif chunks is not None:
            running = self._running.after(table, inputs)
            table, inputs = self._follow(running, table, inputs)
        corruption = self._corruption_of(table, streams) if inputs is table else None
        known, seen_so_far = self._known(table, inputs, chunks)
        spec = self._describe(known, seen_so_far, corruption, streams, previous)
        start = spec["start"]
        check_units(units_of(spec), inputs.X.dtype, "X")
        check_near(table.low, table.high, start.mean, start.scale, name)
        check_near(inputs.low, inputs.high, start.input_mean, start.input_scale, "X")
        if validation is not None:
            seen, answered = (rows[:] for rows in validation)
            check_values(answered, self.likelihood, self._input_shape, name="X_val")
            for rows, mean, scale in (
                (answered, start.mean, start.scale),
                (seen, start.input_mean, start.input_scale),
            ):
                check_near(rows.min(axis=0), rows.max(axis=0), mean, scale, "X_val")
        split = self._split(table, inputs, held_out, validation, spec, corruption, device)
        of_chunks = chunks is not None and chunks.x is not None
        check_callbacks(self.callbacks, of_chunks or split.valid is not None)
        options = self._training_options(spec, streams, len(split.train))
        seen = None if validation is None else validation[0]
        return _Job(table, inputs, spec, corruption, split, seen, device, options, running)

    def _set_net(self, net, job):
        self.net_ = net
        self._density_of_codes: dict | None = None
        self._spec: dict = job.spec
        self.device_ = job.device
        self.latent_dim_: int = job.spec["start"].latent_dim
        self.mean_ = job.spec["start"].mean
        self._dtype = job.inputs.X.dtype.name

    def _describe(self, table, inputs, corruption, streams, previous):
        """What the module is built from: plain values and the closed-form start."""
        if previous is not None:
            if not isinstance(table, RunningTable):
                return self._spec
            # The number of codes was decided by the first chunk.
            k = self._spec.get("whole_start", self._spec["start"]).latent_dim
            start = self._start(table, inputs, corruption, streams, k)
            return {**self._spec, "start": start, "n_samples": table.n_samples}
        latent_dim = self._wanted_codes(table)
        start = self._start(table, inputs, corruption, streams, latent_dim)
        seed = streams.integer("init")
        return {**self._kind(), "start": start, "n_samples": len(table.X), "seed": seed}

    def _kind(self):
        """Of network: what a warm start and `partial_fit` need to be the same."""
        kind = {
            "network": self.network,
            "input_shape": self._input_shape,
            "hidden_layer_sizes": self._hidden_layer_sizes(),
            "latent_dim": self._asked_codes,
            "activation": self.activation,
            "likelihood": self.likelihood,
            "init": self.init,
            **self._own_spec(),
        }
        return {name: plain(value) for name, value in kind.items()}

    def _check_same_kind(self):
        for name, value in self._kind().items():
            check_same(name, self._spec[name], value)

    def _split(self, table, inputs, held_out, validation, spec, corruption, device):
        """Rows on the device, or streamed to it, some of them held out."""
        import torch

        from ..data.batches import Reader, Rows, Split, StreamedRows, as_tensor

        start = spec["start"]
        x = target = Reader(table.X, start.mean, start.scale)
        if inputs is not table:
            x = Reader(inputs.X, start.input_mean, start.input_scale)
        elif corruption is not None and corruption.takes_raw_rows:
            x = Reader(inputs.X)

        def rows(seen, answered, index):
            tensor = x.tensor(seen, device)
            same = target is x
            return Rows(tensor, tensor if same else target.tensor(answered, device), index)

        if is_small(table.X) or fits_on(device, table.X):
            index = held_out.train
            if index is None:
                index = np.delete(np.arange(len(table.X)), held_out.rows)
            train = rows(inputs.X, table.X, as_tensor(index, device))
        else:
            left_out = held_out.rows
            if held_out.train is not None:
                left_out = np.delete(np.arange(len(table.X)), held_out.train)
            train = StreamedRows(x, target, left_out, device)
        n = len(held_out.rows)
        if validation is not None:
            seen, answered = validation
            valid = rows(seen, answered, torch.arange(len(seen), device=device))
        elif is_small(table.X):
            valid = Rows(train.x, train.target, as_tensor(held_out.rows, device))
        else:
            here = torch.arange(n, device=device)
            valid = rows(inputs.sample[:n], table.sample[:n], here)
        return Split(train, valid if len(valid) else None, held_out.groups)

    def _held_out(self, X, streams, chunks, wishes):
        """Which rows of X are held out, as a :class:`~skae.data.split.HeldOut`."""
        rng = streams.numpy("split")
        if wishes.X is not None:
            if hasattr(self.validation_fraction, "split"):
                raise ValueError(
                    "X_val takes the place of rows of X that a splitter holds out; got X_val and "
                    f"validation_fraction={self.validation_fraction!r}. Leave one of them out."
                )
            check_consistent_length(X, wishes.groups)
            return HeldOut(np.empty(0, dtype=np.intp))
        if wishes.extra is not None:
            raise ValueError(
                "y_val and X_val_clean belong to X_val; got X_val=None. Give rows as X_val, too."
            )
        if hasattr(self.validation_fraction, "split"):
            return by_splitter(self.validation_fraction, len(X), wishes)
        n_held_out = self._n_held_out(X, chunks)
        if wishes.groups is not None:
            check_consistent_length(X, wishes.groups)
            return in_groups(wishes.groups, n_held_out, rng)
        if is_small(X):
            look_for_copies = chunks is None and self.max_epochs > 0
            return at_random(X, n_held_out, rng, look_for_copies)
        # Repeated rows are not looked for: in a table this large none is learned by heart.
        return HeldOut(rng.choice(len(X), n_held_out, replace=False))

    def _n_held_out(self, X, chunks=None):
        """How many rows of X to hold out, in view of those held out of earlier chunks."""
        n_samples, n_features = X.shape
        if self.validation_fraction is None:
            return 0
        enough, most = MIN_HELD_OUT, n_samples - 1
        if chunks is not None:
            enough, of_chunk = chunks.to_hold_out(n_features)
            most = min(most, of_chunk)
        if not is_small(X):
            most = min(most, _most_to_keep(n_features))
        wanted = math.ceil(plain(self.validation_fraction) * n_samples)
        return min(max(wanted, min(enough, n_samples // 4)), most)

    def _make_net(self, spec, device, **training):
        from ..training.net import AutoencoderNet

        training = {name: plain(value) for name, value in training.items()}
        # Per feature, against rounding in float32 of about 3e-7 of a standardised value.
        resolution = len(spec["start"].mean) * (1e-5 + 1e-13 / spec["start"].noise_variance)
        units = self._loss_units(spec)
        module = functools.partial(self._make_module, spec)
        return AutoencoderNet(module, device=device, units=units, resolution=resolution, **training)

    def _training_options(self, spec, streams, n_train):
        """What the net is told about training."""
        return {
            "streams": streams,
            "lr": self.lr,
            "precision": self.precision,
            "max_epochs": 0 if self._is_complete(spec["start"]) else self.max_epochs,
            "batch_size": _auto_batch_size(n_train)
            if self.batch_size == "auto"
            else self.batch_size,
            "optimizer": self.optimizer,
            "weight_decay": self.weight_decay,
            "early_stopping": self.early_stopping,
            "n_iter_no_change": self.n_iter_no_change,
            "callbacks": self.callbacks,
            "progress": bool(self.verbose),
            "verbose": int(bool(self.verbose) or prints(self.callbacks)),
        }

    def _make_networks(self, spec, n_codes, reads_past=False, latent_dim=None, generator=None):
        """An encoder with `n_codes` outputs, and the decoder that belongs to it.

        `latent_dim` is how many numbers the decoder reads; None for the start's codes. Their
        weights are drawn from a generator of their own unless there is one.
        """
        import torch

        from ..nn.networks import Sizes, make_networks

        start = spec["start"]
        n_read = len(start.encoder)
        latent_dim = latent_dim or start.latent_dim
        row = spec["input_shape"] or (len(start.mean),)
        sizes = Sizes(row, n_codes, latent_dim, n_read - len(start.mean), reads_past)
        generator = generator or torch.Generator().manual_seed(spec["seed"])
        kind = spec["network"], sizes, spec["hidden_layer_sizes"], spec["activation"]
        return make_networks(*kind, generator, spec["init"] != "random")

    # Validation

    def _validate_rows(self, X, *, at_least=None, reset=False):
        """X as a float array, or a Stream of a table too large to be one.

        `at_least` is the number of rows that training needs; elsewhere `_apply` finds what
        is not finite.
        """
        if not is_plain(X):
            X = as_table(X)
            if not reset and hasattr(X, "columns"):  # columns that should not be there come first
                _check_feature_names(self, X, reset=False)
            check_numbers(X, "X")
        X = self._flat(X, reset)
        if is_stream(X):
            return Stream(validate_data(self, X, reset=reset, skip_check_array=True))
        X = validate_data(
            self,
            X,
            dtype=X.dtype if is_plain(X) else float_dtype(X),
            reset=reset,
            ensure_min_samples=at_least or 1,
            ensure_all_finite=False,
        )
        if at_least is not None:
            self._check_finite(X)
        return native(X)

    def _check_finite(self, rows):
        """Refuse what is not finite among rows, which have conditions behind their features."""
        are_rows = rows.shape[1] >= self.n_features_in_  # and not small images made of them
        check_all_finite(rows, "X", vars(self).get("feature_names_in_") if are_rows else None)

    def _find_input_shape(self):
        """The shape in which networks see a row, None for one flat."""
        axes = _AXES.get(self.network, ())
        if self.input_shape is None:
            shape = self._row_shape if len(self._row_shape) > 1 else ()
            steps = self.likelihood == "categorical"
            if self.network == "mlp" and not steps and shape:
                raise ValueError(
                    "network='mlp' reads flat rows, however: X has rows of shape "
                    f"{tuple(shape)}. Give input_shape={tuple(shape)}, use network='conv' or "
                    "'recurrent', or flatten them with X.reshape(len(X), -1)."
                )
            if (self.network == "mlp" and not steps) or not (axes or shape):
                return None
            if len(shape) == len(axes) - 1 == 2:  # images in grey
                shape = (1, *shape)
        else:
            shape = tuple(np.atleast_1d(self.input_shape).tolist())
        if axes and len(shape) != len(axes):
            raise ValueError(
                f"network={self.network!r} needs input_shape=({', '.join(axes)}); got input_shape="
                f"{self.input_shape} and rows of shape {self._row_shape}. Give input_shape where "
                "rows are flat, and X[None] where X is a single row."
            )
        if not shape or not all(type(size) is int and size > 0 for size in shape):
            what = f"input_shape={self.input_shape}"
            if self.input_shape is None:
                what = f"rows of shape {self._row_shape}, which are empty"
            raise ValueError(f"input_shape must be positive ints; got {what}.")
        if self.network == "conv":
            check_channels_first(shape, self.input_shape)
        return shape

    def _flat(self, X, reset, name="X"):
        """Rows in `input_shape` as rows of features."""
        shape, rest = self._input_shape, tuple(getattr(X, "shape", ()))[1:]
        if shape is None or not rest:
            return X
        n_features = math.prod(shape)
        if rest in (shape, shape[1:] if shape[0] == 1 else shape) and len(rest) > 1:
            return flattened(X)
        advice = "" if rest == (n_features,) else how_to_turn(X, shape, name)
        if len(rest) > 1 or (reset and rest != (n_features,)) or advice:
            raise ValueError(
                f"{name} must have rows of shape {shape}, as input_shape, or of {n_features} "
                f"features; got rows of shape {rest}.{advice}"
            )
        return X

    def _validate_codes(self, Z):
        Z = as_table(Z)
        check_numbers(Z, "X")
        names, known = list(getattr(Z, "columns", ())), self.get_feature_names_out().tolist()
        if names != known and sorted(map(str, names)) == sorted(known):
            raise ValueError(
                f"The column names of X must be in the order of transform, {known}; got {names}. "
                f"Use X[{known}]."
            )
        no_codes = getattr(Z, "shape", ())[1:] == (0,)
        Z = check_array(
            Z,
            dtype=float_dtype(Z),
            input_name="X",
            estimator=self,
            ensure_min_features=1 - no_codes,
            ensure_all_finite=False,
        )
        check_all_finite(Z)
        Z = native(Z)
        self._check_n_codes(Z.shape[1])
        return Z

    def _check_n_codes(self, n_codes):
        if n_codes != self.latent_dim_:
            raise ValueError(
                f"X must hold codes, with latent_dim_={self.latent_dim_} columns; got {n_codes}."
            )

    def _check_latent_dim(self, n_samples, n_features, previous):
        for name in ("latent_dim", "n_components", "batch_size", "hidden_layer_sizes"):
            if isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be a number, however: {name}={getattr(self, name)}.")
        asked, most = self._asked_codes, min(n_samples, n_features)
        if previous is None and isinstance(asked, Integral) and asked > most:
            name = "latent_dim" if is_auto(self.n_components) else "n_components"
            raise ValueError(
                f"{name}={asked} must be between 0 and min(n_samples, n_features)={most}; X has "
                f"{n_samples} samples and {n_features} features."
            )
        if asked == "mle" and n_samples < n_features:
            raise ValueError(
                "n_components='mle' is only supported if n_samples >= n_features; X has "
                f"{n_samples} samples and {n_features} features. Give a number of components."
            )

    @property
    def _asked_codes(self):
        """What `latent_dim` says, or `n_components`, whichever was given."""
        given = [v for v in (self.latent_dim, self.n_components) if not is_auto(v)]
        if len(given) == 2 and given[0] != given[1]:
            raise ValueError(
                "latent_dim and n_components are two names of one parameter and must be equal; got "
                f"latent_dim={given[0]!r} and n_components={given[1]!r}. Give one of them."
            )
        asked = given[0] if given else _DEFAULT_SIZE
        return int(asked) if isinstance(asked, Integral) else asked

    def _wanted_codes(self, table):
        """How many codes a table's closed form is to have; a float is a share of variance."""
        asked = self._asked_codes
        if asked is None:
            return min(table.X.shape)
        return minka_dimension(table) if asked == "mle" else asked

    def _validate_params(self):
        super()._validate_params()
        check_limits(self)

    def _check_layers(self, n_features):
        """Refuse networks for `n_features` that do not fit in memory."""
        if callable(self.network):
            return
        axis = {"conv": 0, "recurrent": -1, "hierarchical": -1}.get(self.network)
        row = self._input_shape or (n_features,)
        n_read = n_features if axis is None else row[axis]
        sizes = self._hidden_layer_sizes()
        check_memory(f"hidden_layer_sizes={sizes}", self.network, (n_read, *sizes))

    def _check_optimizer(self):
        if not isinstance(self.optimizer, str):
            from ..training.optimizers import check_optimizer

            check_optimizer(self.optimizer, plain(self.weight_decay), plain(self.lr))

    def _hidden_layer_sizes(self):
        from ..nn.networks import DEFAULT_SIZES

        return self._layer_sizes("hidden_layer_sizes", DEFAULT_SIZES.get(self.network, ()))

    def _layer_sizes(self, name, default):
        """The sizes that a parameter gives, or what "auto" stands for."""
        value = getattr(self, name)
        if isinstance(value, str):
            return default
        sizes = tuple(np.atleast_1d(value).tolist())
        if not all(type(size) is int and 0 < size < LIMIT for size in sizes):
            raise ValueError(f"{name} must be positive ints, however: {name}={value}.")
        return sizes

    # The verbs

    def transform(self, X):
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim_)
            The codes, in the dtype of X. For a VAE they are posterior means.
        """
        check_is_fitted(self, "net_")
        return self._shown(self._encode(self._validate_rows(X)))

    def inverse_transform(self, X):
        """Decode codes into rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim_)
            Codes, as `transform` returns them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The mean of the decoder's distribution, in the units of the training rows and
            the dtype of the codes.
        """
        check_is_fitted(self, "net_")
        return self._shaped(self._decode(self._hidden(self._validate_codes(X))))

    def reconstruct(self, X):
        """Encode and decode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            ``inverse_transform(transform(X))``, in the dtype of X.
        """
        check_is_fitted(self, "net_")
        return self._shaped(self._by_blocks(self._reconstruct, self._validate_rows(X)))

    def score_samples(self, X):
        """How well each row is reconstructed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples,)
            1 minus the squared error of a row in units of the total variance of the
            training rows: 1 is perfect, 0 as good as the mean. The average over the
            training rows is the fraction of their variance that is reconstructed.
        """
        check_is_fitted(self, "net_")
        X = self._validate_rows(X)
        with np.errstate(over="ignore"):
            score = 1.0 - self._squared_errors(X) / self._total_variance
            score = score.astype(X.dtype, copy=False)
        check_finite(score, X, "X")
        return score

    def score(self, X, y=None):
        """Mean of `score_samples`; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
            Present for API consistency.

        Returns
        -------
        score : float
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def sample(self, n_samples=1, *, random_state=None):
        """Draw new rows.

        Codes are drawn from a Gaussian mixture fitted to training codes (Ghosh et al.
        2020) and decoded.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState, Generator or None, default=None
            An int gives the same rows in every call; a `numpy.random.Generator` is advanced.
            None uses the estimator's `random_state`: if that is an int, every call returns
            the same rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self, "net_")
        n_samples, streams = self._sampling(n_samples, random_state)
        codes = self._draw_codes(n_samples, streams.numpy("sampling"))
        return self._shaped(self._decode(codes))

    def interpolate(self, X_a, X_b, steps=8):
        """Rows on the way from one row to another, by way of their codes.

        Parameters
        ----------
        X_a, X_b : array-likes of shape (n_samples, n_features)
            Each row of X_a is led to the same row of X_b.
        steps : int, default=8
            Number of rows on each way, the reconstructions of both ends included.

        Returns
        -------
        X : ndarray of shape (n_samples, steps, n_features)
        """
        check_is_fitted(self, "net_")
        if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 2:
            raise ValueError(f"steps must be an int of at least 2, however: steps={steps!r}.")
        a, b = (self._encode(self._validate_rows(X)) for X in (X_a, X_b))
        if a.shape != b.shape:
            raise ValueError(
                f"X_a and X_b must have as many rows, however: they have {len(a)} and {len(b)}."
            )
        shares = np.linspace(0.0, 1.0, int(steps), dtype=a.dtype)[:, None]
        codes = self._between(a[:, None], b[:, None], shares)
        X = self._shaped(self._decode(codes.reshape(-1, codes.shape[-1])))
        return X.reshape(len(a), int(steps), *X.shape[1:])

    def _between(self, a, b, shares):
        """Codes on the way from a to b: a straight line."""
        return (1 - shares) * a + shares * b

    def _draw_codes(self, n_samples, rng):
        if not self.latent_dim_:
            return np.empty((n_samples, 0), dtype=self._dtype)
        density = self._density_of_codes
        if density is None:  # learned at first use, as many models are never drawn from
            density = asdict(CodeDensity.of(self._codes, np.random.default_rng(0)))
            self._density_of_codes = density
        return CodeDensity(**density).draw(n_samples, rng).astype(self._dtype)

    def _sampling(self, n_samples, random_state):
        """The number of rows to draw as an int, and the streams to draw them from."""
        if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive int, however: n_samples={n_samples!r}.")
        random_state = self.random_state if random_state is None else random_state
        return int(n_samples), Streams(random_state)

    def _encode(self, X):
        """Codes of validated rows in the user's units, in the dtype of X."""
        if X.dtype != np.float64:  # which holds the units of any model
            check_units(units_of(self._spec), X.dtype, "X")
        code_scale = self._spec["start"].code_scale.astype(X.dtype)

        def function(rows):
            with np.errstate(over="ignore", invalid="ignore"):
                codes = self._apply_encoder("embed", rows) * code_scale
                if not np.isfinite(codes).all():
                    check_finite(codes, rows, "X")
            return codes

        return self._by_blocks(function, X)

    def _decode(self, Z):
        """Rows of validated codes, in the dtype of Z."""
        start = self._spec["start"]
        check_units(units_of(self._spec), Z.dtype, "Z")
        code_scale = start.code_scale[: Z.shape[1]].astype(Z.dtype)

        def function(codes):
            with np.errstate(over="ignore", invalid="ignore"):
                x = self._apply_decoder("expect", codes / code_scale)
                if self._spec["likelihood"] == "gaussian":
                    x = x * x.dtype.type(start.scale) + start.mean.astype(x.dtype)
            check_finite(x, codes, "Z")
            return x

        return self._by_blocks(function, Z)

    def _shown(self, codes):
        """Codes as `transform` returns them: in order of the variance they explain, whitened."""
        order, white = vars(self).get("_order"), vars(self).get("_whitening")
        codes = codes if order is None else codes[:, order]
        if white is None:
            return codes
        centre, there, _ = (value.astype(codes.dtype) for value in white)
        return (codes - centre) @ there

    def _hidden(self, codes):
        """The codes that `_shown` would show as these."""
        order, white = vars(self).get("_order"), vars(self).get("_whitening")
        if white is not None:
            k = codes.shape[1]  # the first of them, where codes are ordered
            centre, _, back = (value.astype(codes.dtype) for value in white)
            codes = codes @ back[:k, :k] + centre[:k]
        return codes if order is None else codes[:, np.argsort(order)]

    def _reconstruct(self, X):
        return self._decode(self._encode(X))

    def _shaped(self, X):
        """Rows in the shape that `fit` saw them in."""
        return X if len(self._row_shape) < 2 else X.reshape(len(X), *self._row_shape)

    def _squared_errors(self, X, answers=None):
        """Of the reconstruction of each row, in float64."""

        def errors(rows, answers):
            with np.errstate(over="ignore"):
                return np.square(answers - self._reconstruct(rows), dtype=np.float64).sum(axis=1)

        if answers is None:
            return self._by_blocks(lambda rows: errors(rows, rows), X)
        return errors(X, answers)

    def _by_blocks(self, function, rows, copies=1, at_least=1):
        """A function of rows on blocks of an array or a Stream; one array comes out.

        `copies` is how many of each row are in memory at once, `at_least` how many rows.
        """
        from ..data.batches import in_blocks

        if len(rows) == 1 and isinstance(rows, np.ndarray):
            return function(rows)
        return in_blocks(function, rows, copies * self._widest_layer(), at_least)

    def _widest_layer(self):
        """Numbers of the widest layer of networks, rows and codes included, for one row."""
        from ..nn.networks import widest_layer

        row = self._spec["input_shape"] or (self.n_features_in_,)
        layer = widest_layer(self._spec["network"], row, self._spec["hidden_layer_sizes"])
        return max(self.n_features_in_, layer, 2 * self.latent_dim_)

    def _apply_decoder(self, method, codes):
        """A method of the module that decodes, on a block of codes; an array in their dtype."""
        module, device = self.net_.inference_module(codes.dtype)
        return self._apply(getattr(module, method), codes, device)

    def _apply_encoder(self, method, rows):
        """A method of the module that encodes, on a block of rows; an array in their dtype."""
        start = self._spec["start"]
        module, device, to_standardise = self.net_.encoding_module(
            rows.dtype, start.input_mean, start.input_scale
        )
        x = self._standardise(rows) if to_standardise else rows
        return self._apply(getattr(module, method), x, device, rows)

    def _standardise(self, rows):
        from ..data.batches import standardised

        start = self._spec["start"]
        with np.errstate(over="ignore"):  # what comes of it is checked
            return standardised(rows, start.input_mean, start.input_scale, rows.dtype)

    def _apply(self, function, x, device, rows=None):
        """A function of a tensor on an array; what comes out is checked to be numbers.

        What is not finite among the `rows` that x was made of shows in what comes out,
        which is smaller.
        """
        import torch

        from ..data.batches import as_tensor
        from ..training.threads import tensor_floats

        with torch.inference_mode(), tensor_floats(False, device):
            out = function(as_tensor(x, device)).cpu().numpy()
        if rows is not None and not np.isfinite(out).all():
            with np.errstate(invalid="ignore"):
                self._check_finite(rows)
        return out

    @property
    def _n_features_out(self):
        return self.latent_dim_

    @property
    def n_components_(self):
        """The number of codes, by its name in PCA."""
        return self.latent_dim_

    # Parameters

    def set_params(self, **params):
        """Set parameters, as in every estimator of scikit-learn.

        Parameters
        ----------
        **params : dict
            `latent_dim` and `n_components` are two names of one parameter: setting one
            replaces the other.

        Returns
        -------
        self : object
            The estimator.
        """
        refuse_options_of_pca(type(self), params)
        for name in params:
            if name.startswith("callbacks__"):
                raise ValueError(
                    f"{name} cannot be set, as callbacks is a list; give the callbacks themselves, "
                    "callbacks=[...]. A search may go over several such lists."
                )
        for one, other in (("latent_dim", "n_components"), ("n_components", "latent_dim")):
            if one in params and other not in params:
                params = {**params, other: "auto"}
        return super().set_params(**params)

    # State

    def __sklearn_is_fitted__(self):
        return "net_" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self):
        """What was fitted as plain arrays and values, with no torch object among them."""
        state = super().__getstate__().copy()
        if "net_" in state:
            state["net_"] = self.net_.to_arrays()
            starts = {name: asdict(self._spec[name]) for name in _STARTS & self._spec.keys()}
            state["_spec"] = {**self._spec, **starts}
            state["_chunks"] = None if self._chunks is None else vars(self._chunks)
            state["_running"] = self._running.to_arrays()
            state |= stamp()
        return state

    def __setstate__(self, state):
        state = state.copy()
        if "net_" in state:
            check_stamp(type(self).__name__, state, stacklevel=2)
        arrays = state.pop("net_", None)
        super().__setstate__(state)
        if arrays is not None:
            starts = {name: Start(**self._spec[name]) for name in _STARTS & self._spec.keys()}
            self._spec = {**self._spec, **starts}
            self._chunks = None if self._chunks is None else Chunks(**self._chunks)
            self._running = Running.from_arrays(self._running)
            with ordinary_modes():
                if not is_available(self.device_):
                    self.device_ = "cpu"
                self.net_ = self._make_net(self._spec, self.device_).from_arrays(arrays)


def check_same(name, before, now):
    if before != now:
        raise ValueError(
            "warm_start=True and partial_fit go on with a network of the same kind, however: "
            f"{name} was {before!r} and is {now!r}. Begin anew with fit and warm_start=False."
        )


def _held_out(job, of_chunks):
    """Rows that were held out, as the encoder sees them; some of the table where none were.

    `of_chunks` are those of all chunks, or None.
    """
    if of_chunks is not None:
        return of_chunks
    if job.validation is not None:
        return job.validation
    if job.split.valid is None:
        return some_rows(job.inputs.sample, MAX_CODES)
    return job.inputs.sample[job.split.valid.index.cpu().numpy()]


def _sample_of(held_out, X, streams):
    """Sorted numbers of the rows of a large table to keep: those held out, or some rows."""
    if len(held_out.rows):
        return held_out.rows
    n_rows = min(len(X), _most_to_keep(X.shape[1]))
    return np.sort(streams.numpy("split").choice(len(X), n_rows, replace=False))


def _rows_held_out(job):
    """Rows of a chunk that are held out, as the encoder sees them and as it should answer.

    The latter are None where they are the same; None alone where no rows are held out.
    """
    if job.split.valid is None:
        return None
    index = job.split.valid.index.cpu().numpy()
    same = job.inputs is job.table
    return job.inputs.sample[index], None if same else job.table.sample[index]


def _rows_so_far(table, inputs, before, n_before):
    """Rows of this chunk and those before, evenly: as the encoder sees and as it should answer.

    Of this chunk there are as many as are still known, on average, of others.
    """
    if before.x is None:
        return inputs.sample, table.sample
    n = max(1, round(len(before.x) * len(table.X) / n_before))
    known = np.concatenate([before.x, some_rows(inputs.sample, n)])
    if inputs is table:
        return known, known
    return known, np.concatenate([before.target, some_rows(table.sample, n)])


def _most_to_keep(n_features):
    return max(MIN_HELD_OUT, _KEPT // n_features)


def units_of(spec):
    """The standard deviations that codes and rows of a model are multiplied by."""
    start = spec["start"]
    return np.append(start.code_scale, start.scale if spec["likelihood"] == "gaussian" else 1.0)


def _total_variance(table):
    total = table.variance.sum() * (table.n_samples - 1) / table.n_samples
    return total if total > 0 else 1.0


def _auto_batch_size(n_samples):
    """A power of two near n / 32, from 16 to 256."""
    return int(np.clip(2 ** round(math.log2(max(n_samples / 32, 1))), 16, 256))
