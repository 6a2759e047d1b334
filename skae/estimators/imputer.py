"""An imputer with the habits of scikit-learn's: two variational autoencoders fill in gaps."""

import math
import numbers
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.model_selection import PredefinedSplit
from sklearn.utils import check_scalar
from sklearn.utils._param_validation import Interval, MissingValues, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from ..data.dtypes import float_dtype
from ..data.frames import as_frame, is_frame
from ..data.scales import KINDS, fit_scale, to_scores, to_values
from ..data.split import at_random, number_held_out
from ..data.table import Table, some_rows
from ..data.validation import as_table, check_all_finite, check_numbers, is_missing
from ..density.imputation import means_of_start
from ..points import normal_points
from ..random import Streams
from ..starts.missing import NOISE_TO_IMPUTE, modelled
from ..starts.probabilistic_pca import probabilistic_pca
from ..training.schedule import automatic_rate, batch_size_near
from ..warn import warn
from ._parameters import Parameters
from .vae import VAESpec, VAETransformer

_MOST_CODES = 32  # latent dimensions with latent_dim="auto"
_ROWS_PER_CODE = 10
_ITERATIONS = 50  # the most to compare scales
_HIDDEN = 0.2  # fraction of the entries that are hidden to compare scales, or models
_JUDGED_ROWS = 2000  # the most rows for this
_CLEARLY_WORSE = 1.15  # ratio of errors from which a scale is not used at all
_VALUES = 2**24  # the most values in memory
_N_POINTS = 64  # of the conditional distribution of an entry, whose median is taken
_STEPS = 8  # of an epoch, if batches may be that small
_MOST_STEPS = 2400  # of training
_MOST_EPOCHS = 300
_RATE, _LEAST_RATE = 0.02, 0.004


class _MemberSpec(VAESpec):
    """Specification of a module whose loss is the importance-weighted bound alone."""

    def build(self):
        module = super().build()
        module.elbo_share = 0.0
        return module


class _Member(VAETransformer):
    """A variational autoencoder that is trained to impute."""

    _spec_type = _MemberSpec
    _imputes = True

    def _announce(self):
        """Nothing: that latents have collapsed does not matter here."""


@dataclass(eq=False, repr=False)
class VAEImputer(TransformerMixin, BaseEstimator):
    """Imputation of missing values by variational autoencoders.

    It stands where `sklearn.impute.IterativeImputer` stands, without parameters about regressions
    (`estimator`, `max_iter`, `tol` and others). Two `VAETransformer` are trained on
    the entries that are there: one on standardised values, one on normal scores, in which
    skewed columns are symmetric. Initially each is a normal distribution, fitted by expectation
    maximisation, and a missing entry is its conditional mean. Training is accepted only if it
    clearly lowers the error of hidden entries of rows that are held out.

    Parameters
    ----------
    latent_dim : int or "auto", default="auto"
        Number of latent dimensions. "auto" is one less than the number of columns, at most 32, and
        at most a tenth of the rows if that is more than 2.
    scale : {"values", "normal_scores", "auto"}, default="auto"
        Scale of the columns. "auto" compares the errors of the initial models for entries that
        are hidden, and trains with both scales unless one is clearly worse.
    strategy : {"median", "mean"}, default="median"
        Which statistic of its conditional distribution replaces a missing entry. It is not that of
        the column, as in `SimpleImputer`. Medians and draws are rounded: to whole numbers in
        columns of whole numbers, and to a nearby value if more than 1 % of the column has it.
        Means are not rounded.
    missing_values : int, float, np.nan, None or pandas.NA, default=np.nan
        Placeholder of missing values. The last three mean the same.
    sample_posterior : bool, default=False
        Whether to fill in a draw from the conditional distribution. If `random_state` is an int,
        every call of `transform` gives the same draws: use `impute` for multiple imputation.
    add_indicator : bool, default=False
        Whether to append the columns of `sklearn.impute.MissingIndicator`.
    keep_empty_features : bool, default=False
        Whether to keep columns without any value in `fit`, filled with 0.
    hidden_layer_sizes : "auto", int or array-like of int, default="auto"
        As in `VAETransformer`.
    lr : float or "auto", default="auto"
        Highest learning rate. "auto" is 0.02, and less with more than 8 steps per epoch.
    max_epochs : int or "auto", default="auto"
        Maximum number of epochs. "auto" is 300, and less with more than 8 steps per epoch. With 0,
        the initial model imputes.
    batch_size : int or "auto", default="auto"
        Number of rows per training step. "auto" is a power of two near 1/8 of the rows, from 32
        to 256.
    n_iter_no_change : int, default=60
        Number of epochs without improvement on held-out rows after which training ends.
    validation_fraction : float in (0, 1), default=0.1
        Fraction of rows held out: at least 60 rows, or a quarter of a table of fewer than 240.
    device, precision : str
        As in `VAETransformer`.
    random_state : int, RandomState or None, default=None
        Seed. An int gives the same result in every fit.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    models_ : dict of str to VAETransformer
        The fitted models by scale. They read scores of that scale, not values of X.
    initial_scale_ : str
        Scale of the initial model.
    uses_training_ : bool
        Whether the trained models impute. If not, the initial model does.
    hidden_error_ : dict of str to float
        Mean absolute error of hidden entries of held-out rows, in standard deviations of their
        columns, of the "initial" and the "trained" model. Empty with ``max_epochs=0``, and if there
        are too few rows to hold some out.
    indicator_ : MissingIndicator or None
        The indicator that is appended.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had string names.

    See Also
    --------
    VAETransformer.impute : The same for a model that is used for its codes.
    sklearn.impute.IterativeImputer : Imputation by a regression for each column.

    Notes
    -----
    The initial model is probabilistic PCA of the entries that are there [1]_, or in normal scores
    a Gaussian copula [2]_. Training maximises the bound of MIWAE [3]_. To impute, codes are drawn
    from the posterior given the entries that are there, by importance sampling. Both models
    have the same weight. See :doc:`/guide/missing`.

    References
    ----------
    .. [1] Ilin, A. & Raiko, T. (2010). Practical approaches to principal component analysis in
       the presence of missing values. JMLR 11, 1957-2000.
    .. [2] Zhao, Y. & Udell, M. (2020). Missing value imputation for mixed data via Gaussian
       copula. KDD.
    .. [3] Mattei, P.-A. & Frellsen, J. (2019). MIWAE: deep generative modelling and imputation of
       incomplete data sets. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skae import VAEImputer
    >>> complete = load_breast_cancer().data[:, :10]
    >>> missing = np.random.default_rng(0).random(complete.shape) < 0.2
    >>> X = np.where(missing, np.nan, complete)
    >>> imputer = VAEImputer(max_epochs=20, random_state=0)
    >>> filled = imputer.fit_transform(X)
    >>> error = np.abs(filled - complete)[missing].sum()
    >>> of_medians = np.abs(np.nanmedian(X, axis=0) - complete)[missing].sum()
    >>> bool(error < 0.5 * of_medians)
    True
    """

    _doc_link_module: ClassVar[str] = Parameters._doc_link_module
    _doc_link_template: ClassVar[str] = Parameters._doc_link_template
    _doc_link_url_param_generator = Parameters._doc_link_url_param_generator

    _parameter_constraints: ClassVar[dict] = {
        "latent_dim": [StrOptions({"auto"}), Interval(numbers.Integral, 0, None, closed="left")],
        "scale": [StrOptions({"auto", *KINDS})],
        "strategy": [StrOptions({"median", "mean"})],
        "missing_values": [MissingValues(numeric_only=True), None],
        "sample_posterior": ["boolean"],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "max_epochs": [StrOptions({"auto"}), Interval(numbers.Integral, 0, None, closed="left")],
        "validation_fraction": [Interval(numbers.Real, 0, 1, closed="neither")],
        **{
            name: Parameters._parameter_constraints[name]
            for name in (
                *("hidden_layer_sizes", "lr", "batch_size", "n_iter_no_change"),
                *("device", "precision", "random_state", "verbose"),
            )
        },
    }

    latent_dim: int | str = "auto"
    _: KW_ONLY
    scale: str = "auto"
    strategy: str = "median"
    missing_values: Any = np.nan
    sample_posterior: bool = False
    add_indicator: bool = False
    keep_empty_features: bool = False
    hidden_layer_sizes: str | int | Sequence[int] = "auto"
    lr: float | str = "auto"
    max_epochs: int | str = "auto"
    batch_size: int | str = "auto"
    n_iter_no_change: int = 60
    validation_fraction: float = 0.1
    device: str = "auto"
    precision: str = "float32"
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_missing(self.missing_values)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X, y=None):
        """Fit the models to the entries that are there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers, in at least 2 rows.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : object
            The fitted imputer.

        Raises
        ------
        ValueError
            If a parameter or X is invalid. The imputer is then unchanged.
        """
        new = object.__new__(type(self))
        new.__dict__ = vars(self).copy()
        new._validate_params()
        new._fit(X)
        self.__dict__ = new.__dict__
        return self

    def _fit(self, X):
        X = self._validated(X, reset=True)
        gaps = np.isnan(X)
        self._is_kept = ~gaps.all(axis=0)
        if not self._is_kept.any():
            raise ValueError("X must have a column with a value; got none.")
        self._warn_of_empty()
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(X)
        X = X[:, self._is_kept].astype(np.float64)
        std = np.array([part["std"] for part in fit_scale(X, "values")])
        streams = Streams(self.random_state)
        k = min(self._n_codes(X), min(X.shape) - 1)
        rng = streams.numpy("hidden entries")
        self.initial_scale_, kinds = self._choose_scales(X, std, k, rng)
        self._scales = {kind: fit_scale(X, kind) for kind in kinds}
        trains = self.max_epochs != 0 and k > 0
        n_valid = number_held_out(X, self.validation_fraction) if trains else 0
        held_out = at_random(X, n_valid, streams.numpy("split")).rows
        self.models_ = {}
        for kind in kinds if trains else [self.initial_scale_]:
            model = self._model(k, len(X), held_out, streams, kind)
            self.models_[kind] = model.fit(to_scores(X, self._scales[kind], kind))
        self.uses_training_, self.hidden_error_ = False, {}
        if trains:
            self._judge(some_rows(X[held_out], _JUDGED_ROWS), std, streams)

    def _n_codes(self, X):
        if self.latent_dim == "auto":
            return min(_MOST_CODES, max(2, len(X) // _ROWS_PER_CODE))
        if self.latent_dim >= min(X.shape):
            raise ValueError(
                "latent_dim must be less than the number of columns with a value, and of rows; "
                f"got latent_dim={self.latent_dim}, {X.shape[1]} columns and {len(X)} rows. Use "
                "latent_dim='auto'."
            )
        return self.latent_dim

    def _choose_scales(self, X, std, k, rng):
        """Return the scale of the initial model, and those to train with.

        `std` are the standard deviations of the columns, (d,).
        """
        if self.scale != "auto":
            return self.scale, [self.scale]
        X = some_rows(X, _JUDGED_ROWS)
        some = ~np.isnan(X).all(axis=0)
        X, std = X[:, some], std[some]
        k = min(k, min(X.shape) - 1)
        hidden = (rng.random(X.shape) < _HIDDEN) & ~np.isnan(X)
        hidden &= (~np.isnan(X) & ~hidden).any(axis=0)  # every column keeps a value
        seen = np.where(hidden, np.nan, X)
        if not hidden.any():
            return "values", ["values"]
        errors = {}
        for kind in KINDS:
            scale = fit_scale(seen, kind)
            scores = to_scores(seen, scale, kind)
            table = modelled(Table.of(scores), k, NOISE_TO_IMPUTE, _ITERATIONS)
            filled = means_of_start(probabilistic_pca(table, k), scores)
            errors[kind] = _errors(to_values(filled, scale, kind), X, hidden, std)
        values, scores = errors["values"], errors["normal_scores"]
        initial = "normal_scores" if _lower_by(1, scores, values) else "values"
        most = _CLEARLY_WORSE * min(values.mean(), scores.mean())
        return initial, [kind for kind in KINDS if kind == initial or errors[kind].mean() <= most]

    def _model(self, k, n, held_out, streams, kind):
        """Return a model to fit to n rows, of which those held out are validation rows."""
        n_train = n - len(held_out)
        size, lr, epochs, splitter = self.batch_size, self.lr, self.max_epochs, None
        if size == "auto":
            size = batch_size_near(n_train / _STEPS)
        if lr == "auto":
            lr = automatic_rate(n_train, size, _LEAST_RATE, _RATE)
        if isinstance(epochs, str):
            epochs = max(min(_MOST_EPOCHS, _MOST_STEPS // math.ceil(n_train / size)), 1)
        if len(held_out):
            folds = np.full(n, -1)
            folds[held_out] = 0
            splitter = PredefinedSplit(folds)
        return _Member(
            k,
            hidden_layer_sizes=self.hidden_layer_sizes,
            lr=lr,
            max_epochs=epochs if splitter else 0,
            batch_size=size,
            n_iter_no_change=self.n_iter_no_change,
            validation_fraction=splitter,
            device=self.device,
            precision=self.precision,
            random_state=streams.integer(kind) % 2**31,
            verbose=self.verbose,
        )

    def _judge(self, X, std, streams):
        """Compare the initial model with the trained ones by hidden entries of held-out rows X."""
        n_groups = round(1 / _HIDDEN)
        groups = streams.numpy("judged entries").integers(n_groups, size=X.shape)
        errors = {"initial": np.zeros(len(X)), "trained": np.zeros(len(X))}
        for group in range(n_groups):
            hidden = (groups == group) & ~np.isnan(X)
            seen = np.where(hidden, np.nan, X)
            for name, impute in (("initial", self._by_start), ("trained", self._by_models)):
                errors[name] += _errors(impute(seen), X, hidden, std)
        is_trained = any(model.best_epoch_ for model in self.models_.values())
        self.uses_training_ = is_trained and _lower_by(2, errors["trained"], errors["initial"])
        n_entries = (~np.isnan(X)).sum()
        self.hidden_error_ = {name: float(of.sum() / n_entries) for name, of in errors.items()}

    def transform(self, X):
        """Fill in missing values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_imputed : ndarray of shape (n_samples, n_features_out)
            Without columns that had no value in `fit`, unless `keep_empty_features`, and followed
            by those of the indicator, if there is one. Other entries are unchanged.
        """
        check_is_fitted(self, "models_")
        X = self._validated(X)
        if self.sample_posterior:
            filled = self._drawn(X, 1, Streams(self.random_state))[0]
        else:
            filled = self._filled(X)
        if not self.keep_empty_features:
            filled = filled[:, self._is_kept]
        if self.indicator_ is not None:
            filled = np.hstack([filled, self.indicator_.transform(X).astype(filled.dtype)])
        return filled

    def impute(self, X, n_draws=None, *, random_state=None):
        """Fill in missing values, or draw them for multiple imputation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_draws : int or None, default=None
            Number of draws from the distribution of what is missing, given the other entries of
            its row. None for `strategy`.
        random_state : int, RandomState, Generator or None, default=None
            For the draws. An int gives the same draws in every call. None uses that of the
            imputer.

        Returns
        -------
        X_imputed : array-like of shape (n_samples, n_features), or ndarray of shape \
                (n_draws, n_samples, n_features)
            All columns of X; those without a value in `fit` are filled with 0. For a data frame a
            data frame is returned, unless `n_draws` is given.
        """
        check_is_fitted(self, "models_")
        rows = self._validated(X)
        if n_draws is not None:
            check_scalar(n_draws, "n_draws", numbers.Integral, min_val=1)
            random_state = self.random_state if random_state is None else random_state
            return self._drawn(rows, n_draws, Streams(random_state))
        filled = self._filled(rows)
        return as_frame(X, filled, np.isnan(rows)) if is_frame(X) else filled

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X. None for those of `fit`, or "x0", "x1", ...

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self, "models_")
        names = _check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[self._is_kept]
        if self.indicator_ is None:
            return kept
        return np.concatenate([kept, self.indicator_.get_feature_names_out(names)])

    def _validated(self, X, reset=False):
        """Return X as floats, with NaN for missing values."""
        X = as_table(X, gaps=True)
        check_numbers(X, "X")
        X = validate_data(
            self,
            X,
            dtype=float_dtype(X),
            reset=reset,
            ensure_min_samples=2 if reset else 1,
            ensure_all_finite=False,
        )
        names = vars(self).get("feature_names_in_")
        if is_missing(self.missing_values):
            check_all_finite(X, "X", names, gaps=True)
            return X
        if np.isnan(X).any():
            raise ValueError(
                f"X contains NaN beside the placeholder missing_values={self.missing_values!r}. "
                "Replace one by the other."
            )
        check_all_finite(X, "X", names)
        return np.where(X.dtype.type(self.missing_values) == X, np.nan, X)

    def _warn_of_empty(self):
        if self.keep_empty_features or self._is_kept.all():
            return
        names = _check_feature_names_in(self)[~self._is_kept].tolist()
        warn(
            f"Columns without any value in fit are left out: {names}. With "
            "keep_empty_features=True they are filled with 0.",
            UserWarning,
        )

    def _filled(self, X):
        return self._of_gaps(X, self._by_models if self.uses_training_ else self._by_start)

    def _drawn(self, X, n_draws, streams):
        rng = streams.numpy("imputation")

        def draw(rows):
            which = rng.integers(len(self._kinds), size=(n_draws, len(rows)))
            options = n_draws, rng.uniform, self.uses_training_, True
            draws = [self._draws_of(kind, rows, *options) for kind in self._kinds]
            chosen = np.take_along_axis(np.array(draws), which[None, :, :, None], axis=0)[0]
            return chosen.transpose(1, 0, 2)

        shape = n_draws, X.shape[1]
        return self._of_gaps(X, draw, shape).transpose(1, 0, 2)

    @property
    def _kinds(self):
        """Scales of the models that impute."""
        return list(self.models_) if self.uses_training_ else [self.initial_scale_]

    def _of_gaps(self, X, function, shape=None):
        """Apply a function to rows with gaps, without empty columns, and keep what is there.

        `shape` is that of its result for a row, if it is not a row.
        """
        gaps, kept = np.isnan(X), self._is_kept
        out = np.broadcast_to(X[:, None, :], (len(X), *shape)).copy() if shape else X.copy()
        rows = np.flatnonzero(gaps[:, kept].any(axis=1))
        n_draws = shape[0] if shape else _N_POINTS
        k = next(iter(self.models_.values())).latent_dim_
        step = max(1, _VALUES // (2 * max(n_draws * X.shape[1], k * k)))
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            filled = function(X[np.ix_(some, kept)].astype(np.float64))
            there = ~gaps[np.ix_(some, kept)]
            there = there[:, None, :] if shape else there
            part = out[some]
            part[..., kept] = np.where(there, part[..., kept], filled)
            out[some] = part
        out[..., ~kept] = np.where(np.isnan(out[..., ~kept]), 0.0, out[..., ~kept])
        return out

    def _by_start(self, X):
        """Fill in rows with the initial model."""
        kind = self.initial_scale_
        scale, start = self._scales[kind], self.models_[kind]._spec.start
        if kind != "values" and self.strategy == "mean":
            return self._draws_of(kind, X, _N_POINTS, _even, False, False).mean(axis=0)
        filled = means_of_start(start, to_scores(X, scale, kind))
        return to_values(filled, scale, kind, self.strategy == "median")

    def _by_models(self, X):
        """Fill in rows with the trained models, from points of both conditional distributions."""
        rounds = self.strategy == "median"
        draws = [self._draws_of(kind, X, _N_POINTS, _even, True, rounds) for kind in self.models_]
        points = np.concatenate(draws)
        if self.strategy == "mean":
            return points.mean(axis=0)
        return np.quantile(points, 0.5, axis=0, method="inverted_cdf")  # one of the points

    def _draws_of(self, kind, X, n_draws, uniform, trained, rounds):
        """Draw missing values with the model of one scale, (n_draws, n, d).

        `uniform` is that of :meth:`VAETransformer._imputations`. `trained` says whether to use
        the trained model, or its initial model.
        """
        scale, model = self._scales[kind], self.models_[kind]
        draws = model._imputations(to_scores(X, scale, kind), n_draws, uniform, trained)
        return to_values(draws, scale, kind, rounds)


def _errors(filled, X, hidden, std):
    """Return sums over the hidden entries of rows of absolute errors in standard deviations."""
    return np.where(hidden, np.abs(filled - X), 0.0) @ (1.0 / std)


def _lower_by(n_errors, a, b):
    """Return whether errors of rows are lower by more than some standard errors of the mean."""
    less = b - a
    return bool(less.mean() > n_errors * less.std() / math.sqrt(len(less)))


def _even(low, high, shape):
    """Return fixed low-discrepancy numbers from 0 to 1, (1, n_draws, n_numbers)."""
    return ndtr(normal_points(*shape[1:]).numpy())[None]
