"""Validation: turn the input of an estimator into flat rows, or codes, of floats."""

import math
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data

from ..codec import plain
from ..columns import Columns, as_columns
from ..data.dtypes import float_dtype
from ..data.fit_data import FitData
from ..data.limits import check_spread
from ..data.sources import Stream, flattened, in_memory, is_small, is_stream
from ..data.sparse import Sparse, as_csr
from ..data.split import choose, to_keep
from ..data.table import EmptyColumns, Table
from ..data.validation import (
    as_table,
    check_all_finite,
    check_channels_first,
    check_numbers,
    holds_sparse,
    how_to_turn,
    is_plain,
    native,
    refuse_empty,
)
from ..devices import find_device
from ..likelihoods import as_likelihood, of_columns
from ..starts.missing import LEAST_NOISE, NOISE_TO_IMPUTE, modelled
from ..starts.pca import minka_dimension
from ..starts.scores import independent
from ..training.schedule import LEAST_RATE
from ._hooks import Hooks
from ._parameters import LIMIT, check_limits, check_memory, is_auto

_AXES: dict[Any, tuple] = {  # of a row that a network reads
    "conv": ("channels", "height", "width"),
    "recurrent": ("steps", "features"),
    "hierarchical": ("steps", "features"),
}
_DEFAULT_SIZE = 2


class Door(Hooks):
    """Base class: validation of rows, of codes and of parameters that depend on the rows."""

    def _read(self, X, extra, previous, streams, wishes, chunks=None):
        """Validate the rows of a fit; return a :class:`~skae.data.fit_data.FitData`.

        Parameters
        ----------
        X : array-like
            As given by the user.
        extra : object
            What the variant's `fit` takes beside X.
        previous : AutoencoderNet or None
            The net that training continues from.
        streams : Streams
        wishes : Wishes
        chunks : Chunks or None
            Memory of earlier chunks. None in `fit`.
        """
        from ..data.batches import gram_on

        device = find_device(self.device)
        if not self._reads_columns:
            X = as_table(X, gaps=self._reads_gaps, sparse=self._reads_sparse)
        self._row_shape = tuple(getattr(X, "shape", ()))[1:]
        if previous is None or self.input_shape is not None:
            self._input_shape: tuple | None = self._find_input_shape()
        if previous is not None:
            self._check_same_kind()
        X = self._validate_rows(X, at_least=2 if previous is None else 1, reset=previous is None)
        seen, answered = self._pair(X, extra, previous)
        paired = answered is not None
        rows, name = (answered, self._name_of_rows) if paired else (X, "X")
        if chunks is not None:  # validation rows of another kind of chunk cannot be used for this
            chunks = chunks.of_kind((paired, self._corrupts_raw_rows))
        self._check_latent_dim(len(rows), min(rows.shape[1], seen.shape[1]), previous)
        self._check_layers(seen.shape[1])
        self._check_optimizer()
        validation = None
        if wishes.X is not None:
            X_val = self._validate_rows(wishes.X, at_least=1)
            seen_val, rows_val = self._pair_validation(X_val, extra, wishes.extra)
            seen_val = in_memory(seen_val)
            validation = seen_val, seen_val if rows_val is None else in_memory(rows_val)
        look_for_copies = chunks is None and self.max_epochs > 0
        rng = streams.numpy("split")
        held_out = choose(rows, self.validation_fraction, wishes, rng, chunks, look_for_copies)
        kept = None
        if not is_small(rows):  # large tables are read in order
            held_out = held_out.in_order()
            kept = to_keep(rows, held_out, streams.numpy("split"))
        table = self._table(rows, kept, gram_on(device), previous)
        self._likelihood_of(table).check(rows, ends=(table.low.min(), table.high.max()))
        running = None
        if previous is not None and chunks is None:  # a warm start keeps the standardisation
            start = self._spec.start
            table = replace(table, mean=start.mean, scale=start.scale)
        inputs = self._inputs_table(seen, kept, table, previous) if paired else table
        if previous is None:
            check_spread(table, name)
            check_spread(inputs, "X")
        elif chunks is not None:
            running = self._running.after(table, inputs, paired)
            if self._can_follow(running, paired):
                table, inputs = running.tables(table, inputs, paired)
            else:  # moments of earlier rows are not known, so the initial model stays
                start = self._spec.start
                table = replace(table, mean=start.mean, scale=start.scale)
                inputs = inputs if paired else table
        corruption = None if paired else self._corruption_of(table, streams)
        return FitData(
            table, inputs, paired, held_out, validation, corruption, device, name, running, chunks
        )

    def _table(self, rows, kept, gram, previous):
        """Return the moments of rows; with gaps, those of probabilistic PCA."""
        try:
            table = Table.of(rows, kept, gram)
        except EmptyColumns as error:
            names = vars(self).get("feature_names_in_")
            names = names if self._columns is None else self._columns.names_read
            refuse_empty(error.numbers, names)
        if not (table.has_gaps or self._imputes):
            return table
        asked = self._asked_codes if previous is None else self.latent_dim_
        least = NOISE_TO_IMPUTE if self._imputes else LEAST_NOISE
        scaled = replace(table, scale=self._spread_of(table))
        return replace(modelled(scaled, asked, least), scale=table.scale)

    def _spread_of(self, table):
        """Return the unit of features in which factors are found: of their scores."""
        likelihood = self._likelihood_of(table)
        return table.scale if likelihood.is_normal else independent(table, likelihood)[1]

    def _inputs_table(self, seen, kept, table, previous):
        """Return the moments of rows that the encoder reads, if they are not those of `table`."""
        return Table.of(seen, kept)

    def _kind(self, n_rows=0):
        """Return the parameters that a warm start and `partial_fit` may not change.

        `n_rows` is the number of training rows of the first fit.
        """
        kind = {
            "network": self.network,
            "input_shape": self._input_shape,
            "hidden_layer_sizes": self._hidden_layer_sizes(n_rows),
            "latent_dim": self._asked_codes,
            "activation": self.activation,
            "likelihood": self.likelihood,
            "init": self.init,
            **self._own_spec(),
        }
        return {name: plain(value) for name, value in kind.items()}

    def _check_same_kind(self):
        from ..nn.networks import MANY_IMAGES

        many = self._spec.hidden_layer_sizes == self._hidden_layer_sizes(MANY_IMAGES)
        for name, value in self._kind(MANY_IMAGES if many else 0).items():
            check_same(name, getattr(self._spec, name), value)

    def _validate_rows(self, X, *, at_least=None, reset=False):
        """Validate X; return a float array, or a Stream of a table too large for that.

        `at_least` is the number of rows that training needs. If it is None, X is not searched for
        NaN and infinity: `Fitted.apply` does so when it finds them in the output.
        """
        if self._reads_columns:
            return self._encoded(X, at_least, reset)
        gaps = self._reads_gaps
        if not is_plain(X):
            X = as_table(X, gaps=gaps, sparse=self._reads_sparse)
            if holds_sparse(X):
                return self._sparse_rows(X, at_least, reset)
            if not reset and hasattr(X, "columns"):  # unexpected columns are reported first
                _check_feature_names(self, X, reset=False)
            check_numbers(X, "X")
        X = self._flat(X, reset)
        if is_stream(X):
            X = validate_data(self, X, reset=reset, skip_check_array=True)
            return Stream(X, gaps=gaps)
        X = validate_data(
            self,
            X,
            dtype=X.dtype if is_plain(X) else float_dtype(X),
            reset=reset,
            ensure_min_samples=at_least or 1,
            ensure_all_finite=False,
        )
        if at_least is not None:
            check_all_finite(X, "X", vars(self).get("feature_names_in_"), gaps=gaps)
        return native(X)

    def _sparse_rows(self, X, at_least, reset):
        """Validate a sparse matrix, or a data frame of sparse columns."""
        _check_feature_names(self, X, reset=reset)
        _check_n_features(self, X, reset=reset)
        X = check_array(
            as_csr(X),
            accept_sparse="csr",
            dtype=float_dtype(X),
            estimator=self,
            ensure_min_samples=at_least or 1,
            ensure_all_finite=False,
        )
        rows = Sparse(X)
        rows.check(vars(self).get("feature_names_in_"))
        return rows

    @property
    def _reads_columns(self):
        """Whether columns of X may have different likelihoods."""
        return of_columns(self.likelihood)

    def _encoded(self, X, at_least, reset):
        """Return the rows of a table as floats, with indicators in place of categories."""
        frame, is_frame = as_columns(X)
        if is_frame:
            _check_feature_names(self, X, reset=reset)
        _check_n_features(self, frame, reset)
        least = at_least or 1
        if len(frame) < least:
            raise ValueError(
                f"Found array with {len(frame)} sample(s) (shape={frame.shape}) while a minimum of "
                f"{least} is required by {type(self).__name__}."
            )
        if reset:
            wishes = dict(self.likelihood) if isinstance(self.likelihood, Mapping) else {}
            self._read_as: Columns | None = Columns.find(frame, wishes, is_frame)
        columns = self._columns
        if is_frame and columns.is_frame and list(frame.columns) != columns.names:
            raise ValueError(
                f"X must have the columns of fit, in their order, {columns.names}; got "
                f"{list(frame.columns)}."
            )
        rows = columns.encode(frame)
        if not self._reads_gaps:
            check_all_finite(rows, "X", columns.names_read)
        return rows

    def _find_input_shape(self):
        """Return the shape of a row as the networks see it, or None if rows are flat."""
        if self._reads_columns and not (self.network == "mlp" and self.input_shape is None):
            raise ValueError(
                "likelihood='auto', or a mapping, needs network='mlp' and input_shape=None; got "
                f"network={self.network!r} and input_shape={self.input_shape}."
            )
        axes = _AXES.get(self.network, ())
        if self.input_shape is None:
            shape = self._row_shape if len(self._row_shape) > 1 else ()
            steps = as_likelihood(self.likelihood).has_steps
            if self.network == "mlp" and not steps and shape:
                raise ValueError(
                    "network='mlp' reads flat rows; got X with rows of shape "
                    f"{tuple(shape)}. Give input_shape={tuple(shape)}, use network='conv' or "
                    "'recurrent', or flatten them with X.reshape(len(X), -1)."
                )
            if (self.network == "mlp" and not steps) or not (axes or shape):
                return None
            if len(shape) == len(axes) - 1 == 2:  # grey images without an axis of channels
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
        """Flatten rows of shape `input_shape`."""
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
        most, takes_first = self.latent_dim_, self._spec.takes_first_codes
        if n_codes > most or (n_codes < most and not takes_first):
            at_most = "at most " if takes_first else ""
            raise ValueError(
                f"X must hold codes, with {at_most}latent_dim_={most} columns; got {n_codes}."
            )

    def _check_latent_dim(self, n_samples, n_features, previous):
        for name in ("latent_dim", "n_components", "batch_size", "hidden_layer_sizes"):
            if isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be a number; got {name}={getattr(self, name)}.")
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
        """The value of `latent_dim` or `n_components`, whichever was given."""
        given = [v for v in (self.latent_dim, self.n_components) if not is_auto(v)]
        if len(given) == 2 and given[0] != given[1]:
            raise ValueError(
                "latent_dim and n_components are two names of one parameter and must be equal; got "
                f"latent_dim={given[0]!r} and n_components={given[1]!r}. Give one of them."
            )
        asked = given[0] if given else _DEFAULT_SIZE
        return int(asked) if isinstance(asked, Integral) else asked

    def _wanted_codes(self, table):
        """Return the number of codes for a table; a float is a fraction of variance."""
        asked = self._asked_codes
        if asked is None:
            return min(table.X.shape)
        return minka_dimension(table) if asked == "mle" else asked

    def _validate_params(self):
        super()._validate_params()
        check_limits(self)

    def _check_layers(self, n_features):
        """Raise an error if networks for `n_features` do not fit in memory."""
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

            lr = LEAST_RATE if self.lr == "auto" else plain(self.lr)
            check_optimizer(self.optimizer, plain(self.weight_decay), lr)

    def _hidden_layer_sizes(self, n_rows=0):
        """Return the sizes of layers, of which "auto" depends on the number of images."""
        from ..nn.networks import DEFAULT_SIZES, MANY_IMAGES, SIZES_OF_MANY

        default = DEFAULT_SIZES.get(self.network, ())
        if self.network == "conv" and n_rows >= MANY_IMAGES:
            default = SIZES_OF_MANY
        return self._layer_sizes("hidden_layer_sizes", default)

    def _layer_sizes(self, name, default):
        """Return the sizes that a parameter gives, with `default` for "auto"."""
        value = getattr(self, name)
        if isinstance(value, str):
            return default
        sizes = tuple(np.atleast_1d(value).tolist())
        if not all(type(size) is int and 0 < size < LIMIT for size in sizes):
            raise ValueError(f"{name} must be positive ints; got {name}={value}.")
        return sizes


def check_same(name, before, now):
    """Raise an error if a parameter of the network has changed since it was built."""
    if before != now:
        raise ValueError(
            "warm_start=True and partial_fit go on with a network of the same kind; "
            f"{name} was {before!r} and is {now!r}. Begin anew with fit and warm_start=False."
        )
