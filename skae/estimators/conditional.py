"""The conditional variational autoencoder, which starts as pPCA around every class mean."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import assert_all_finite, check_array, check_consistent_length
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ..data.limits import check_near
from ..data.sources import Mapped, is_small, mapped
from ..data.split import Wishes
from ..data.validation import check_numbers, is_missing
from ..density.points import normal_points
from ..nn.spec import Spec
from ..starts.conditional import conditional_pca
from ..warn import warn
from ._door import check_same
from .vae import VAESpec, VAETransformer

# More distinct numbers than these are taken for quantities, unless they are 0, 1, 2, ... or
# 1, 2, 3, ... with that number of rows each.
_MANY_CLASSES, _ROWS_OF_CLASS = 20, 10
_N_CONDITIONS = 32  # training conditions that stand for all of them, where they are numbers
_DRAWS_OF_NUMBER = 8  # of codes for each of them, together as many as for a known condition


@dataclass(frozen=True, kw_only=True)
class ConditionalSpec(VAESpec):
    """What the module of a conditional variational autoencoder is built from."""

    condition: str  # "class" or "number"

    def build(self):
        """The torch module, at its start."""
        from ..nn.conditional import ConditionalVAEModule

        return ConditionalVAEModule(self.start, *self.modules())


@dataclass(eq=False, repr=False, kw_only=True)
class ConditionalVAE(VAETransformer):
    r"""Variational autoencoder of rows given a class, or given numbers.

    Encoder and decoder are told the condition of a row, so a code says what the condition
    does not [1]_: the hand, not which digit it writes. New rows can be asked for by class,
    and a row be decoded under another one. Before training this is probabilistic PCA
    around the mean of every class, with one covariance for all of them,
    :math:`x = \mu_y + B z + \epsilon`, and with numbers for conditions around the linear
    regression on them.

    Where `y` is not given, rows say what it is: the average over conditions, weighed by
    how plausible each makes the row (and by how often it was seen). So the estimator works
    within a Pipeline, whose `transform` has no labels.

    Parameters
    ----------
    {shared_parameters}
    beta : float, default=1.0
        Weight of the KL term in training. `score` does not depend on it.
    beta_warmup : int, default=0
        Epochs over which the weight of the KL term rises to `beta`.
    whiten : bool, default=False
        Whether `transform` returns uncorrelated codes of variance 1.
    condition : {"auto", "class", "number"}, default="auto"
        What `y` holds. "auto" takes strings, booleans and whole numbers for classes, and
        other numbers, or several columns, for numbers. It warns where whole numbers look
        like quantities: more than 20 of them, unless they count from 0 or 1 and have 10
        rows each.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted (absent where conditions are numbers).
    noise_variance_ : ndarray of shape (n_features_in_,)
        Learned variance of the decoder's noise where it is alike for all rows, in units
        of X squared (present with ``likelihood="gaussian"``).
    noise_varies_ : bool
        Whether in the density the noise of a row depends on its code and condition: see
        the notes of `VAETransformer`.
    kl_per_latent_ : ndarray of shape (latent_dim_,)
        Mean KL divergence of the posterior from the prior, in nats, over at most
        10,000 training rows.
    n_code_components_ : int
        0: in the density codes have the prior, whatever the condition.
    n_active_latents_ : int
        Number of latents with a KL above 0.01 nats; the others have collapsed.
    density_shares_ : dict of str to float
        Shares of "decoder" and, where it has any, "probabilistic_pca" in the density of a
        row: see the notes of `VAETransformer`.
    {shared_attributes}

    See Also
    --------
    VAETransformer : Without conditions.

    References
    ----------
    .. [1] Sohn, K., Lee, H. & Yan, X. (2015). Learning structured output representation
       using deep conditional generative models. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import ConditionalVAE
    >>> X, y = load_iris(return_X_y=True, as_frame=False)
    >>> vae = ConditionalVAE(1, max_epochs=20, random_state=0).fit(X, y)
    >>> vae.transform(X).shape
    (150, 1)
    >>> vae.sample(3, y=2).shape  # of the third species
    (3, 4)
    >>> as_the_first = vae.inverse_transform(vae.transform(X, y), y=0)
    >>> bool(vae.score(X, y) > vae.score(X))  # labels make rows more likely
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **VAETransformer._parameter_constraints,
        "condition": [StrOptions({"auto", "class", "number"})],
    }

    _spec_type: ClassVar[type[Spec]] = ConditionalSpec

    condition: str = "auto"

    def fit(self, X, y=None, *, groups=None, X_val=None, y_val=None):
        """Compute the classical start, then train, keeping the best epoch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `VAETransformer.fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_conditions)
            Class labels, or numbers; none may be missing.
        groups, X_val : array-likes or None, default=None
            As in `VAETransformer.fit`.
        y_val : array-like of shape (n_validation_samples,) or None, default=None
            Conditions of `X_val`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or y breaks a rule; nothing was trained then, and what was
            fitted before is as it was.
        KeyboardInterrupt
            On Ctrl-C. The best epoch so far is kept as a fitted estimator.
        """
        wishes = Wishes(y, groups, X_val, y_val)
        return self._guarded(type(self)._fit, X, (y, None, None), wishes=wishes)

    def partial_fit(self, X, y=None, classes=None):
        """Go on training with a further chunk of rows: one pass over it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions)
        classes : array-like of shape (n_classes,) or None, default=None
            All labels there will be, in the first call; None takes those of its `y`. In a
            later one they have to be the same.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or y breaks a rule. Whatever is raised, the estimator is as
            it was before the call.

        See Also
        --------
        VAETransformer.partial_fit : How chunks are used.
        """
        return self._guarded(type(self)._partial_fit, X, (y, classes, vars(self).get("_seen")))

    def transform(self, X, y=None):
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            Conditions of the rows; None has the rows say.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim_)
            Posterior means, in the dtype of X.
        """
        check_is_fitted(self, "net_")
        k = self.latent_dim_
        codes = self._by_blocks(lambda rows: self._encode(rows)[:, :k], self._beside(X, y))
        return self._shown(codes)

    def inverse_transform(self, X, y=None):
        """Decode codes into rows of a condition.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim_)
            Codes, as `transform` returns them.
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            None is the average of all conditions.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The decoder's mean, in the units of the training rows and the dtype of the codes.
        """
        check_is_fitted(self, "net_")
        Z = self._hidden(self._validate_codes(X))
        if y is None:
            conditions, log_weights = self._mixture
            conditions = np.exp(log_weights) @ conditions
        else:
            conditions = self._conditions(y, len(Z))[:]
        return self._shaped(self._decode(_side_by_side(Z, conditions)))

    def reconstruct(self, X, y=None):
        """Encode and decode rows under the same condition.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            None has the rows say.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self, "net_")
        return self._shaped(self._by_blocks(self._reconstruct, self._beside(X, y)))

    def posterior(self, X, y=None):
        """The Gaussian posterior of each row's code.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            None has the rows say.

        Returns
        -------
        mean, std : ndarrays of shape (n_samples, latent_dim_)
        """
        check_is_fitted(self, "net_")
        return self._posterior(self._beside(X, y))

    def score_samples(self, X, y=None):
        r"""Log-likelihood of each row given its condition, or whatever its condition.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            None is the mixture over classes by their frequencies, :math:`\log \sum_y
            p(y) p(x | y)`; over 32 conditions of training rows where they are numbers,
            with 8 draws for each. For numbers the bound is of posterior draws alone.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats, as in `VAETransformer.score_samples`; comparable with a Gaussian
            for every class.
        """
        check_is_fitted(self, "net_")
        X = self._validate_rows(X)
        if y is not None:
            joined = self._join(X, self._conditions(y, len(X)))
            if is_small(X):  # rows of one condition share draws
                order = np.lexsort(joined[:, self.n_features_in_ :].T)
                likelihood = np.empty(len(X))
                likelihood[order] = self._log_likelihood(joined[order])
            else:
                likelihood = self._log_likelihood(joined)
            with np.errstate(over="ignore"):
                return likelihood.astype(X.dtype, copy=False)
        conditions, log_weights = self._mixture
        m, draws = len(conditions), [None] * len(conditions)
        if not hasattr(self, "classes_"):
            # Neighbours are alike, and together have as many draws as a class has.
            n_each = 2 if self.net_.module_.posterior_is_exact else _DRAWS_OF_NUMBER
            points = normal_points(n_each * m, self.latent_dim_)
            draws = [points[number::m] for number in range(m)]
        likelihoods = [
            log_weight + self._log_likelihood(self._join(X, condition), points)
            for condition, log_weight, points in zip(conditions, log_weights, draws, strict=True)
        ]
        with np.errstate(over="ignore"):
            return logsumexp(likelihoods, axis=0).astype(X.dtype, copy=False)

    def score(self, X, y=None):
        """Mean of `score_samples`; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or None

        Returns
        -------
        score : float
        """
        return float(np.mean(self.score_samples(X, y), dtype=np.float64))

    def sample(self, n_samples=1, *, y=None, random_state=None, add_noise=True):
        """Draw new rows: a code from the prior, then a row given the code and a condition.

        Parameters
        ----------
        n_samples : int, default=1
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            None draws conditions as often as training rows had them.
        random_state : int, RandomState, Generator or None, default=None
            An int gives the same rows in every call; a `numpy.random.Generator` is advanced.
            None uses the estimator's `random_state`: if that is an int, every call returns
            the same rows.
        add_noise : bool, default=True
            As in `VAETransformer.sample`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self, "net_")
        n_samples, streams = self._sampling(n_samples, random_state)
        if y is None:
            conditions, log_weights = self._mixture
            rng = streams.numpy("conditions")
            conditions = conditions[rng.choice(len(conditions), n_samples, p=np.exp(log_weights))]
        else:
            conditions = self._conditions(y, n_samples)[:]
        rng = streams.numpy("sampling")
        codes = self._draw_codes(n_samples, rng)
        return self._sample(_side_by_side(codes, conditions), add_noise, rng)

    def get_covariance(self):
        """Raise an error: the covariance of rows depends on their condition.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            "get_covariance needs an estimator without conditions; got ConditionalVAE. Use "
            "np.cov(model.sample(10_000, y=condition).T)."
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    # Conditions

    def _pair(self, X, extra, previous):
        y, classes, seen = extra
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Use "
                "VAETransformer for rows without conditions."
            )
        if previous is None:
            self._set_conditions(y, classes, len(X))
        elif classes is not None:
            known = self.classes_.tolist() if hasattr(self, "classes_") else None
            check_same("classes", known, np.unique(_as_array(classes, "classes")).tolist())
        self._count(y, len(X), seen)
        return self._join(X, self._conditions(y, len(X))), X

    def _pair_validation(self, X, extra, y):
        if y is None:
            raise ValueError("X_val needs y_val, the conditions of its rows; got y_val=None.")
        return self._join(X, self._conditions(y, len(X))), X

    def _set_conditions(self, y, classes, n_samples):
        """Find out what conditions are."""
        if classes is not None and np.size(classes) == 0:
            raise ValueError(f"classes must hold at least one label; got classes={classes}.")
        self._condition_names = _names(y)
        y, kind = _as_array(y), self.condition
        if y.dtype.kind == "f":
            assert_all_finite(y, input_name="y")
        if kind == "auto" and classes is not None:
            kind = "class"
        if kind == "auto":
            with np.errstate(invalid="ignore"):  # of numbers that are no int64
                target = type_of_target(y)
            kind = "number" if target.startswith("continuous") else "class"
            kind = "number" if y.ndim == 2 and y.shape[1] > 1 else kind
        if kind == "class":
            y = column_or_1d(y)
            self.classes_ = np.unique(y if classes is None else _as_array(classes, "classes"))
            if self.condition == "auto" and classes is None:
                _warn_of_numbers(self.classes_, n_samples)
        elif classes is not None:
            raise ValueError(
                "classes must be None where conditions are numbers, however: condition='number' "
                f"and classes={np.unique(_as_array(classes, 'classes')).tolist()}."
            )
        else:
            y = self._numbers(y, n_samples)
            # In units of a power of two, so that no square overflows and none is 0.
            unit = 2.0 ** np.frexp(np.abs(y).max(axis=0))[1].clip(-1000, 1000)
            spread = (y / unit).std(axis=0) * unit
            mean = (y / unit).mean(axis=0) * unit
            self._numbers_scale = mean, np.where(spread > 0, spread, 1.0)

    def _count(self, y, n_samples, seen):
        """Find out how often conditions are: those `seen` in earlier chunks too, if any."""
        if hasattr(self, "classes_"):
            counts = np.bincount(self._class_numbers(y, n_samples), minlength=len(self.classes_))
            counts = counts if seen is None else counts + seen[1]
            self._seen = np.eye(len(counts)), counts
            # A class still to come is taken to have been seen half a time.
            shares = np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum()
            self._mixture = self._seen[0], np.log(shares)
            return
        conditions, counts = self._conditions(y, n_samples), np.ones(n_samples)
        if seen is not None:
            conditions = np.concatenate([seen[0], conditions])
            counts = np.append(seen[1], counts)
        # Evenly along the first of them.
        order, total = np.argsort(conditions[:, 0], kind="stable"), counts.sum()
        m = min(_N_CONDITIONS, len(counts))
        places = (np.arange(m) + 0.5) * total / m
        places = np.searchsorted(np.cumsum(counts[order]), places, side="right")
        self._seen = conditions[order[places]], np.full(m, total / m)
        self._mixture = self._seen[0], np.full(m, -np.log(m))

    def _conditions(self, y, n_samples):
        """Conditions as the networks read them, (n_samples, q), from `y` or one of it.

        Indicators of many classes for many rows are made as they are read.
        """
        names, known = _names(y), self._condition_names
        if None not in (names, known) and names != known:
            raise ValueError(
                f"The column names of y must be those of fit, in the same order, {known}; got "
                f"{names}. Use y[{known}]."
            )
        if hasattr(self, "classes_"):
            shape = np.asarray(y).shape
            if len(shape) == 2:
                warn(
                    "y must be a column of labels, of shape (n_samples,); got one of shape "
                    f"{shape}. Use y.ravel().",
                    DataConversionWarning,
                )
            numbers = np.arange(len(self.classes_))
            column = self._class_numbers(y, n_samples)[:, None]
            indicators = Mapped(lambda some: some == numbers, len(numbers), column)
            return indicators[:] if is_small(indicators) else indicators
        y = _as_array(y)
        mean, scale = self._numbers_scale
        if y.shape in ((), (len(mean),)) and (y.ndim == 0 or len(mean) > 1):  # one of it
            y = np.broadcast_to(y, (n_samples, len(mean)))
        y = self._numbers(y, n_samples)
        if y.shape[1] != len(mean):
            raise ValueError(
                f"y must have {len(mean)} conditions for a row, as in fit, however: it has "
                f"{y.shape[1]}."
            )
        check_near(y.min(axis=0), y.max(axis=0), mean, scale, "y")
        return (y - mean) / scale

    def _class_numbers(self, y, n_samples):
        """The number of the class of every row, (n_samples,), from `y` or one of it."""
        y = _as_array(y)
        y = np.repeat(y, n_samples) if y.ndim == 0 else y
        y = column_or_1d(y)
        check_consistent_length(y, np.empty(n_samples))
        if (y.dtype.kind in "US") == (self.classes_.dtype.kind in "US"):
            index = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
            unknown = np.unique(y[self.classes_[index] != y])
        else:
            unknown = np.unique(y)
        if len(unknown):
            raise ValueError(
                f"y must hold classes that fit has seen, {_shortened(self.classes_)}, however: "
                f"it holds {_shortened(unknown)}."
            )
        return index

    @staticmethod
    def _numbers(y, n_samples):
        check_numbers(y, "y")
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        y = check_array(y, dtype=np.float64, input_name="y")
        check_consistent_length(y, np.empty(n_samples))
        return y

    def _beside(self, X, y):
        """Validated rows with their conditions, or alone where these are not known."""
        X = self._validate_rows(X)
        return X if y is None else self._join(X, self._conditions(y, len(X)))

    def _join(self, X, conditions):
        if len(conditions.shape) == 1:
            conditions = np.broadcast_to(conditions, (len(X), conditions.shape[-1]))
        return mapped(_side_by_side, X.shape[1] + conditions.shape[1], X, conditions)

    def _moments(self, rows):
        known = rows.shape[1] > self.n_features_in_
        return super()._moments(rows if known else self._with_likely(rows))

    def _encode(self, X):
        """Codes and, behind them, conditions."""
        if not isinstance(X, np.ndarray):
            return self._by_blocks(self._encode, X)
        if X.shape[1] == self.n_features_in_:
            return self._by_blocks(lambda rows: self._encode(self._with_likely(rows)), X)
        return _side_by_side(super()._encode(X), X[:, self.n_features_in_ :])

    def _with_likely(self, rows):
        """Rows with the conditions that they make likely."""
        conditions, log_weights = self._mixture
        of_each = [
            self._model.in_float64("plausibility", _side_by_side(rows, condition))
            for condition in conditions
        ]
        plausibility = np.array(of_each).T
        plausibility[~np.isfinite(plausibility)] = -np.inf
        # A row so far out that it is plausible under none says nothing of its condition.
        plausibility[np.isinf(plausibility).all(axis=1)] = 0.0
        shares = softmax(plausibility + log_weights, axis=1)
        return _side_by_side(rows, shares @ conditions)

    def _between(self, a, b, shares):
        k = self.latent_dim_
        codes = super()._between(a[..., :k], b[..., :k], shares)
        conditions = (1 - shares) * a[..., k:] + shares * b[..., k:]
        return np.concatenate([codes, conditions], axis=-1)

    def _log_density(self, fitted, rows, *, draws=None):
        of_block = functools.partial(self._density.of_block, fitted)
        if not hasattr(self, "classes_"):  # every row would need prior draws of its own
            return of_block(rows, of_prior=False, draws=draws)
        group = rows[:, self.n_features_in_ :].argmax(axis=1)
        bound = np.empty(len(rows))
        for number in np.unique(group):
            bound[group == number] = of_block(rows[group == number])
        return bound

    # Training

    def _describe_components(self, inputs, rows):
        """Set nothing: what a code does to a row depends on the row's condition."""

    def _own_spec(self):
        kind = self.condition
        if kind == "auto":  # which is found out once
            kind = "class" if hasattr(self, "classes_") else "number"
        return {"condition": kind}

    def _scatter_of_start(self):
        return None, None if self.init == "random" else "exact"

    def _classical_start(self, data, streams, latent_dim):
        likelihood, classes = self._likelihood_of(data.table), hasattr(self, "classes_")
        return conditional_pca(data.table, data.inputs, latent_dim, likelihood, classes)


def _side_by_side(rows, conditions):
    """Rows with conditions, one for each or one for all, in the dtype of the rows."""
    conditions = np.broadcast_to(conditions, (len(rows), conditions.shape[-1]))
    return np.concatenate([rows, conditions.astype(rows.dtype, copy=False)], axis=1)


def _names(y):
    """The names of the columns of a data frame, if these are strings."""
    names = list(getattr(y, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None


def _as_array(y, name="y"):
    """Labels or numbers as an array, of strings where pandas has objects; none is missing."""
    mask = np.ma.getmask(y)
    # In a list a missing label beside others would become the text "nan".
    y = np.asarray(y, dtype=None if hasattr(y, "__array__") else object)
    if y.dtype.kind in "OT":
        missing = np.array([is_missing(value) for value in y.flat], dtype=bool).reshape(y.shape)
    else:
        missing = y != y  # NaN and NaT
    rows = np.flatnonzero((missing | mask).reshape(len(y) if y.ndim else 1, -1).any(axis=1))
    if len(rows):
        raise ValueError(
            f"{name} must have no missing values (NaN, None, NA or NaT); got {len(rows)}, the "
            f"first in row {rows[0]}. Drop these rows, or give them a label of their own."
        )
    return np.asarray(y.tolist()) if y.dtype.kind in "OT" else y


def _warn_of_numbers(classes, n_samples):
    """Warn where labels look like quantities: many distinct numbers, and no codes of classes."""
    n = len(classes)
    if classes.dtype.kind not in "iuf" or n <= _MANY_CLASSES:
        return
    are_codes = classes[0] in (0, 1) and classes[-1] - classes[0] == n - 1
    if not are_codes or n_samples < _ROWS_OF_CLASS * n:
        warn(
            f"y holds {n} distinct whole numbers in {n_samples} rows, and each is taken for a "
            "class of its own. Use condition='number' if they are quantities, as ages are, or "
            "condition='class' if they are labels.",
            UserWarning,
        )


def _shortened(values):
    """The first of some values, as a message names them."""
    names = [repr(value) for value in values[:10].tolist()]
    return f"[{', '.join(names)}{', ...' if len(values) > 10 else ''}]"
