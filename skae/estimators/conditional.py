"""The conditional variational autoencoder, initialised as pPCA around class means."""

import functools
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from ..data.conditions import Conditions, labels_of
from ..data.sources import is_small, mapped
from ..data.split import Wishes
from ..density.imputation import N_DRAWS, conditional_means
from ..nn.spec import Spec
from ..points import normal_points
from ..starts.conditional import conditional_pca
from ..starts.missing import RegressedTable
from ._door import check_same
from .vae import VAESpec, VAETransformer

_DRAWS_OF_NUMBER = 8  # draws of codes per representative condition, if conditions are numbers


@dataclass(frozen=True, kw_only=True)
class ConditionalSpec(VAESpec):
    """Everything the module of a conditional variational autoencoder is built from."""

    condition: str  # "class" or "number"

    def build(self):
        """Build the torch module, with the weights of the initial model."""
        from ..nn.conditional import ConditionalVAEModule

        return ConditionalVAEModule(self.start, *self.modules())


@dataclass(eq=False, repr=False, kw_only=True)
class ConditionalVAE(VAETransformer):
    r"""Variational autoencoder conditioned on a class, or on numbers.

    Encoder and decoder also read the condition of a row, so the code describes the rest [1]_:
    of handwritten digits, the style and not the digit. Rows can be sampled for a given class,
    and a row can be decoded under another class. The initial model is probabilistic PCA around
    the class means, with one covariance for all classes, :math:`x = \mu_y + B z + \epsilon`. For
    numerical conditions, :math:`\mu_y` is the linear regression on them.

    If `y` is not given, it is inferred from X, as the average over conditions weighted by their
    approximate posterior probabilities. So the estimator works in a Pipeline, whose `transform`
    has no labels.

    Parameters
    ----------
    {shared_parameters}
    beta : float, default=1.0
        Weight of the KL term in training. `score` does not depend on it.
    beta_warmup : int, default=0
        Number of epochs over which the weight of the KL term rises to `beta`.
    whiten : bool, default=False
        Whether `transform` returns uncorrelated codes of variance 1.
    condition : {"auto", "class", "number"}, default="auto"
        Whether `y` holds class labels or numbers. With "auto", strings, booleans and whole
        numbers are class labels; other numbers, or several columns, are numbers. It warns if
        whole numbers look like quantities: more than 20 distinct values, unless they count
        from 0 or 1 with 10 rows each.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The sorted labels. Absent if conditions are numbers.
    noise_variance_ : ndarray of shape (n_features_in_,)
        Variance of the decoder's homoscedastic noise, in units of X squared. Present with
        ``likelihood="gaussian"``.
    noise_varies_ : bool
        Whether the density has heteroscedastic noise, which depends on code and condition; see
        the Notes of `VAETransformer`.
    kl_per_latent_ : ndarray of shape (latent_dim_,)
        KL divergence of the posterior from the prior for each latent dimension, in nats,
        averaged over at most 10,000 training rows.
    n_code_components_ : int
        Always 0, as codes have the standard normal prior for every condition.
    n_active_latents_ : int
        Number of latent dimensions with a KL divergence above 0.01 nats. The others have
        collapsed.
    density_shares_ : dict of str to float
        Mixture weights in the density: of "decoder" and, if present, of "probabilistic_pca";
        see the Notes of `VAETransformer`.
    {shared_attributes}

    See Also
    --------
    VAETransformer : Variational autoencoder without conditions.

    Notes
    -----
    Entries of X may be missing, as NaN, with ``likelihood="gaussian"``. Those of y may not.

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
    _takes_sparse = False
    _parts: ClassVar[dict] = {**VAETransformer._parts, "_conditions": Conditions}

    condition: str = "auto"

    def fit(self, X, y=None, *, groups=None, X_val=None, y_val=None):
        """Initialise as probabilistic PCA, then train and keep the best epoch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `VAETransformer.fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_conditions)
            Class labels or numbers, without missing values.
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
            If a parameter, X or y is invalid. The estimator is then unchanged.
        KeyboardInterrupt
            On Ctrl-C. The estimator is then fitted, with the best epoch so far.
        """
        wishes = Wishes(y, groups, X_val, y_val)
        return self._guarded(type(self)._fit, X, (y, None, False), wishes=wishes)

    def partial_fit(self, X, y=None, classes=None):
        """Train on a further chunk of rows, in one pass over it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions)
            Class labels or numbers, without missing values.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels that will occur in any chunk, for the first call. None takes the labels
            of its `y`. Later calls must give the same labels or None.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or y is invalid. The estimator is unchanged after any error.

        See Also
        --------
        VAETransformer.partial_fit : How chunks are used.
        """
        return self._guarded(type(self)._partial_fit, X, (y, classes, True))

    def transform(self, X, y=None):
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            Conditions of the rows, or one for all rows. If None, they are inferred from X.

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
        """Decode codes into rows of a given condition.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim_)
            Codes, as `transform` returns them.
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            Conditions to decode under, or one for all rows. None is the mean condition.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The decoder's mean, in the units of the training rows and the dtype of the codes.
        """
        check_is_fitted(self, "net_")
        Z = self._hidden(self._validate_codes(X))
        if y is None:
            conditions, log_weights = self._mixture()
            conditions = np.exp(log_weights) @ conditions
        else:
            conditions = self._conditions.as_read(y, len(Z))[:]
        return self._shaped(self._decode(_side_by_side(Z, conditions)), like=X)

    def reconstruct(self, X, y=None):
        """Encode and decode rows under the same condition.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            Conditions of the rows, or one for all rows. If None, they are inferred from X.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self, "net_")
        return self._shaped(self._by_blocks(self._reconstruct, self._beside(X, y)), like=X)

    def posterior(self, X, y=None):
        """Return the Gaussian posterior of each row's code.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            Conditions of the rows, or one for all rows. If None, they are inferred from X.

        Returns
        -------
        mean, std : ndarrays of shape (n_samples, latent_dim_)
            Mean and standard deviation of each code, in the dtype of X.
        """
        check_is_fitted(self, "net_")
        return self._posterior(self._beside(X, y))

    def score_samples(self, X, y=None):
        r"""Compute the log-likelihood of each row, given its condition or marginally.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            If None, the marginal likelihood, :math:`\log \sum_y p(y) p(x | y)`, with class
            frequencies :math:`p(y)`. For numerical conditions, the sum is over 32 representative
            training conditions with 8 draws each, all near posterior modes.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats, as in `VAETransformer.score_samples`. Comparable with one Gaussian density
            per class.
        """
        check_is_fitted(self, "net_")
        volume = self._log_volume(X)
        X = self._validate_rows(X)
        self._spec.family.check(X)
        if y is not None:
            joined = self._join(X, self._conditions.as_read(y, len(X)))
            if is_small(X):  # rows of one class share decoded draws, so put them side by side
                order = np.lexsort(joined[:, self._n_read :].T)
                likelihood = np.empty(len(X))
                likelihood[order] = self._log_likelihood(joined[order])
            else:
                likelihood = self._log_likelihood(joined)
            with np.errstate(over="ignore"):
                return (likelihood + volume).astype(X.dtype, copy=False)
        with np.errstate(over="ignore"):
            likelihood = logsumexp(self._log_joint(X), axis=0) + volume
            return likelihood.astype(X.dtype, copy=False)

    def impute(self, X, n_draws=None, *, y=None, random_state=None):
        """Fill in missing entries, given the others and conditions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows with NaN for missing entries.
        n_draws : int or None, default=None
            As in `VAETransformer.impute`.
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            Conditions of the rows, or one for all rows. If None, all conditions of `score_samples`
            count, with their probabilities given what is there.
        random_state : int, RandomState, Generator or None, default=None
            For the draws: as in `sample`.

        Returns
        -------
        X_imputed : array-like or list of array-likes
            As in `VAETransformer.impute`.
        """
        check_is_fitted(self, "net_")
        self._check_imputes()
        rows = self._rows_to_impute(X)
        if y is not None:
            conditions, shares = [self._conditions.as_read(y, len(rows))], np.ones((1, len(rows)))
        else:
            conditions, _ = self._mixture()
            shares = softmax(self._log_joint(rows), axis=0)
        if n_draws is None:
            means = functools.partial(conditional_means, self._density, self._model)
            filled = sum(
                share[:, None] * self._by_blocks(means, self._join(rows, condition), 4 * N_DRAWS)
                for condition, share in zip(conditions, shares, strict=True)
            )
            gaps = np.isnan(rows)
            filled = np.where(gaps, filled, rows).astype(rows.dtype)
            return self._imputed(X, filled, gaps)
        n_draws, streams = self._sampling(n_draws, random_state, "n_draws")
        rng, gaps = streams.numpy("imputation"), np.isnan(rows).any(axis=1)
        conditions = [self._join(rows, condition)[:][gaps] for condition in conditions]
        shares = shares[:, gaps]

        def draw(rows):
            which = (rng.random((n_draws, len(rows), 1)) > shares.cumsum(axis=0).T).sum(axis=-1)
            which = np.minimum(which, len(shares) - 1)
            draws = np.empty((n_draws, *rows.shape), dtype=rows.dtype)
            for number, joined in enumerate(conditions):
                here = which == number
                some = here.any(axis=0)
                if some.any():
                    drawn = self._imputations(joined[some], n_draws, rng.uniform)
                    draws[:, some] = np.where(here[:, some, None], drawn, draws[:, some])
            return draws

        return self._drawn(X, rows, n_draws, draw, rng)

    def score(self, X, y=None):
        """Compute the mean of `score_samples`; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or None
            As in `score_samples`.

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
            Number of rows.
        y : array-like of shape (n_samples,) or (n_samples, n_conditions), or one, or None
            Conditions of the rows, or one for all rows. None draws them with the frequencies of
            the training set.
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
            conditions, log_weights = self._mixture()
            rng = streams.numpy("conditions")
            conditions = conditions[rng.choice(len(conditions), n_samples, p=np.exp(log_weights))]
        else:
            conditions = self._conditions.as_read(y, n_samples)[:]
        rng = streams.numpy("sampling")
        codes = self._draw_codes(n_samples, rng)
        return self._sample(_side_by_side(codes, conditions), add_noise, rng)

    def get_covariance(self):
        """Raise an error, as the covariance of rows depends on their condition.

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
        y, classes, is_chunk = extra
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Use "
                "VAETransformer for rows without conditions."
            )
        n_samples = len(X)
        if previous is None:
            conditions = Conditions.find(y, self.condition, classes, n_samples)
        else:
            conditions = self._conditions
            if classes is not None:
                known = conditions.classes.tolist() if conditions.are_classes else None
                check_same("classes", known, labels_of(classes))
            if not is_chunk:  # a fit counts conditions anew
                conditions = replace(conditions, rows=None, counts=None)
        if conditions.are_classes:
            self.classes_ = conditions.classes
        self._conditions: Conditions = conditions.after(y, n_samples)
        return self._join(X, conditions.as_read(y, n_samples)), X

    def _pair_validation(self, X, extra, y):
        if y is None:
            raise ValueError("X_val needs y_val, the conditions of its rows; got y_val=None.")
        return self._join(X, self._conditions.as_read(y, len(X))), X

    def _log_joint(self, X):
        """Return log-likelihoods of rows and each representative condition together, (m, n)."""
        conditions, log_weights = self._mixture()
        m, draws = len(conditions), [None] * len(conditions)
        if not self._conditions.are_classes:
            # Conditions next to each other are similar, so they can split the draws of a class.
            n_each = 2 if self.net_.module_.posterior_is_exact else _DRAWS_OF_NUMBER
            points = normal_points(n_each * m, self.latent_dim_)
            draws = [points[number::m] for number in range(m)]
        return [
            log_weight + self._log_likelihood(self._join(X, condition), points)
            for condition, log_weight, points in zip(conditions, log_weights, draws, strict=True)
        ]

    def _mixture(self):
        """Return representative conditions and the logarithms of their frequencies."""
        return self._conditions.rows, self._conditions.log_weights()

    def _beside(self, X, y):
        """Return validated rows with their conditions appended, if these are given."""
        X = self._validate_rows(X)
        return X if y is None else self._join(X, self._conditions.as_read(y, len(X)))

    def _join(self, X, conditions):
        if len(conditions.shape) == 1:
            conditions = np.broadcast_to(conditions, (len(X), conditions.shape[-1]))
        return mapped(_side_by_side, X.shape[1] + conditions.shape[1], X, conditions)

    def _moments(self, rows):
        known = rows.shape[1] > self._n_read
        return super()._moments(rows if known else self._with_likely(rows))

    def _encode(self, X):
        """Return codes with conditions appended, (n, k + q)."""
        if not isinstance(X, np.ndarray):
            return self._by_blocks(self._encode, X)
        if X.shape[1] == self._n_read:
            return self._by_blocks(lambda rows: self._encode(self._with_likely(rows)), X)
        return _side_by_side(super()._encode(X), X[:, self._n_read :])

    def _with_likely(self, rows):
        """Return rows with their expected conditions appended, by approximate Bayes' rule."""
        conditions, log_weights = self._mixture()
        of_each = [
            self._model.in_float64(_plausibility, _side_by_side(rows, condition))
            for condition in conditions
        ]
        plausibility = np.array(of_each).T
        plausibility[~np.isfinite(plausibility)] = -np.inf
        # For a row of density 0 under every condition, the frequencies alone decide.
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
        if not self._conditions.are_classes:  # prior draws would be decoded for every row
            return of_block(rows, of_prior=False, draws=draws)
        group = rows[:, self._n_read :].argmax(axis=1)
        bound = np.empty(len(rows))
        for number in np.unique(group):
            bound[group == number] = of_block(rows[group == number])
        return bound

    # Training

    def _describe_components(self, inputs, rows):
        """Set no components, as the effect of a code depends on the condition."""

    def _own_spec(self):
        kind = self.condition
        if kind == "auto":  # found in the first fit, and then fixed
            kind = "class" if self._conditions.are_classes else "number"
        return {"condition": kind}

    def _inputs_table(self, seen, kept, table, previous):
        inputs = super()._inputs_table(seen, kept, table, previous)
        if not table.has_gaps or self.init == "random":
            return inputs
        asked = self._asked_codes if previous is None else self.latent_dim_
        kind = asked, self._conditions.are_classes
        return RegressedTable.of_rows(inputs, table, self._spread_of(table), *kind)

    def _scatter_of_start(self):
        return None, None if self.init == "random" else "exact"

    def _classical_start(self, data, streams, latent_dim):
        likelihood, classes = self._likelihood_of(data.table), self._conditions.are_classes
        return conditional_pca(data.table, data.inputs, latent_dim, likelihood, classes)


def _plausibility(module, x, target):
    return module.plausibility(x, target)


def _side_by_side(rows, conditions):
    """Append conditions, one per row or one for all, to rows, in the dtype of the rows."""
    conditions = np.broadcast_to(conditions, (len(rows), conditions.shape[-1]))
    return np.concatenate([rows, conditions.astype(rows.dtype, copy=False)], axis=1)
