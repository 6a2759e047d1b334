"""The denoising autoencoder, initialised as the best linear denoiser."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from ..codec import plain
from ..data.dtypes import float_dtype
from ..data.moments import Pairs, RunningTable
from ..data.scored_copies import SCORE_COPIES, corrupted_copies, function_copies
from ..data.sources import Stream, blocks, is_stream
from ..data.split import Wishes
from ..data.table import EXACT_WIDTH, some_rows
from ..data.validation import as_table, check_all_finite, check_numbers, native
from ..starts.denoiser import linear_denoiser, score_denoiser, with_gaps
from ._base import BaseAutoencoder

_TRIAL_ROWS = 8  # rows that a callable corruption is tried on before training


@dataclass(eq=False, repr=False, kw_only=True)
class DenoisingAutoencoder(BaseAutoencoder):
    """Denoising autoencoder initialised as the best linear denoiser.

    Rows are corrupted anew in every batch, and the autoencoder learns to return the clean
    rows [1]_. The initial model is the linear map of rank `latent_dim` with the lowest expected
    squared error under the corruption, which has a closed form [2]_.

    Parameters
    ----------
    {shared_parameters}
    corruption : str or callable, default="gaussian"
        "gaussian" adds noise. The others replace entries: "masking" by the feature's mean,
        "salt_and_pepper" by its smallest or largest value, "swap" by its value in another row.
        A callable ``corruption(X, corruption_level, rng)`` gets a copy of rows and a
        `numpy.random.Generator`, and returns the corrupted rows; see Notes.
    corruption_level : float, default=0.3
        For "gaussian", the standard deviation of the noise, in units of the root mean variance
        of the features. For the others, the probability that an entry is replaced. `score`
        does not depend on it.

    Attributes
    ----------
    noise_variance_ : float
        Mean squared error of ``denoise(X)`` on the training rows per remaining dimension, as in
        PCA. Present with ``likelihood="gaussian"``.
    {shared_attributes}

    See Also
    --------
    AutoencoderTransformer : Autoencoder for clean rows.

    Notes
    -----
    A callable `corruption` is given rows in the units of X, in the shape that they have in `fit`
    (in `input_shape` if they are flat there). It may return them in this shape or flat.

    NaN is a missing entry, unless rows are given in pairs or `corruption` is a callable. To fill
    in a table, use `VAEImputer`: a denoiser changes the other entries, too.

    References
    ----------
    .. [1] Vincent, P. et al. (2010). Stacked denoising autoencoders. JMLR 11,
       3371-3408.
    .. [2] Chen, M., Xu, Z., Weinberger, K. & Sha, F. (2012). Marginalized denoising
       autoencoders for domain adaptation. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> X, _ = load_digits(return_X_y=True)
    >>> noisy = X + 4 * np.random.default_rng(0).standard_normal(X.shape)
    >>> denoiser = DenoisingAutoencoder(16, corruption_level=0.9, max_epochs=20, random_state=0)
    >>> denoised = denoiser.fit(X).denoise(noisy)
    >>> bool(np.mean((denoised - X) ** 2) < 0.5 * np.mean((noisy - X) ** 2))
    True

    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "corruption": [StrOptions({"gaussian", "masking", "salt_and_pepper", "swap"}), callable],
        "corruption_level": [Interval(Real, 0, None, closed="neither")],
    }

    corruption: str | Callable = "gaussian"
    corruption_level: float = 0.3

    _name_of_rows = "X_clean"
    _takes_gaps = True
    _parts: ClassVar[dict] = {**BaseAutoencoder._parts, "_pairs": Pairs}

    def fit(self, X, y=None, X_clean=None, *, groups=None, X_val=None, X_val_clean=None):
        """Initialise as the linear denoiser, then train and keep the best epoch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Clean rows, which are corrupted in training. With `X_clean`, corrupted rows.
        y : Ignored
            Present because a Pipeline passes labels.
        X_clean : array-like of shape (n_samples, n_features) or None, default=None
            The clean version of each row of X. `corruption` is not used then. In a Pipeline,
            request it with ``set_fit_request(X_clean=True)`` and transform it like X with
            ``Pipeline(..., transform_input=["X_clean"])``.
        groups, X_val : array-likes or None, default=None
            As in `AutoencoderTransformer.fit`.
        X_val_clean : array-like or None, default=None
            The clean version of `X_val`, needed if `X_clean` is given.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or X_clean is invalid. The estimator is then unchanged.
        KeyboardInterrupt
            On Ctrl-C. The estimator is then fitted, with the best epoch so far.
        """
        wishes = Wishes(y, groups, X_val, X_val_clean)
        return self._guarded(type(self)._fit, X, X_clean, wishes=wishes)

    def partial_fit(self, X, y=None, X_clean=None):
        """Train on a further chunk of rows, in one pass over it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The first chunk needs at least 2 rows, and at least as many as there are codes.
        y : Ignored
            Present for API consistency.
        X_clean : array-like of shape (n_samples, n_features) or None, default=None
            As in `fit`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or X_clean is invalid. The estimator is unchanged after any error.

        See Also
        --------
        AutoencoderTransformer.partial_fit : How chunks are used.
        """
        return self._guarded(type(self)._partial_fit, X, X_clean)

    def denoise(self, X):
        """Return denoised rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Corrupted rows.

        Returns
        -------
        X_denoised : ndarray of shape (n_samples, n_features)
            The same as ``reconstruct(X)``, in the dtype of X.
        """
        return self.reconstruct(X)

    def score_samples(self, X, X_clean=None):
        """Compute the denoising score of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Corrupted rows. Without `X_clean`, clean rows.
        X_clean : array-like of shape (n_samples, n_features) or None, default=None
            The clean version of each row of X. If None, each row is corrupted 8 times by the
            fitted `corruption`, at level 0.3 whatever `corruption_level` is. The draws depend
            only on the row's values (a callable's also on the other rows), so all models are
            compared on the same corrupted rows.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            1 minus the squared error of ``denoise``, relative to the total variance of the
            training rows. 1 is perfect, and 0 is as good as predicting the mean.

        Raises
        ------
        ValueError
            If X or `X_clean` is invalid, or `X_clean` is None after a fit with `X_clean`.
        """
        check_is_fitted(self, "net_")
        X, scored = self._validate_rows(X, at_least=1), self._corruption_in_score
        if X_clean is not None:
            errors = self._squared_errors(X, self._validate_clean(X_clean, X))
        elif scored is None:
            raise ValueError(
                f"{type(self).__name__} was fitted on pairs, so score must be given X_clean; got "
                "None. Pass score(X, X_clean=X_clean); in a search, call "
                "set_score_request(X_clean=True) with enable_metadata_routing=True."
            )
        else:
            function = functools.partial(self._errors_of_corrupted, *scored)
            errors = self._by_blocks(function, X, copies=SCORE_COPIES)
        return (1.0 - errors / self._total_variance).astype(X.dtype, copy=False)

    def score(self, X, y=None, X_clean=None):
        """Compute the mean of `score_samples`; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Corrupted rows. Without `X_clean`, clean rows, which are corrupted at level 0.3
            whatever `corruption_level` is.
        y : Ignored
            Present for API consistency.
        X_clean : array-like of shape (n_samples, n_features) or None, default=None
            The clean version of each row of X, as in `score_samples`.

        Returns
        -------
        score : float
        """
        return float(np.mean(self.score_samples(X, X_clean), dtype=np.float64))

    def _errors_of_corrupted(self, corruption, replacements, rows):
        """Return the squared error of each clean row, averaged over its corrupted copies."""
        if callable(corruption):
            copies = function_copies(corruption, rows, self._shape_for_callables())
        else:
            copies = corrupted_copies(rows, replacements, self._spec.start.scale)
        clean = np.repeat(rows, SCORE_COPIES, axis=0)
        return self._squared_errors(copies, clean).reshape(len(rows), -1).mean(axis=1)

    def _pair(self, X, X_clean, previous):
        if X_clean is None:
            return X, None
        if isinstance(X, Stream):
            X.gaps = False
        else:
            check_all_finite(X, "X", vars(self).get("feature_names_in_"))
        return X, self._validate_clean(X_clean, X)

    def _validate_clean(self, X_clean, X):
        """Return X_clean as a float array of flat rows or a Stream, one row for each of X."""
        X_clean = as_table(X_clean, "X_clean")
        check_numbers(X_clean, "X_clean")
        _check_feature_names(self, X_clean, reset=False)
        X_clean = self._flat(X_clean, False, "X_clean")
        if is_stream(X_clean):
            X_clean = Stream(X_clean, "X_clean")
        else:
            options = {"input_name": "X_clean", "ensure_all_finite": False}
            # A view, so that one array given as X and as X_clean still counts as pairs.
            X_clean = native(check_array(X_clean, dtype=float_dtype(X_clean), **options))[:]
            check_all_finite(X_clean, "X_clean", vars(self).get("feature_names_in_"))
        if X_clean.shape != X.shape:
            raise ValueError(
                "X_clean must have the shape of X; got X_clean.shape="
                f"{X_clean.shape} and X.shape={X.shape}."
            )
        return X_clean

    def _refine(self, trained, data):
        # None after a fit with X_clean, as the corruption is then unknown.
        self._corruption_in_score: tuple | None = None
        if data.corruption is not None:
            self._corruption_in_score = self.corruption, data.corruption.replacements

    @property
    def _reads_gaps(self):
        on_pairs = vars(self).get("_corruption_in_score", ()) is None
        return super()._reads_gaps and not callable(self.corruption) and not on_pairs

    def _shape_for_callables(self):
        """Return the shape of a row as a user's corruption sees it, or None if it is flat."""
        return self._row_shape if len(self._row_shape) > 1 else self._input_shape

    def _pair_validation(self, X, X_clean, X_val_clean):
        if (X_clean is None) != (X_val_clean is None):
            raise ValueError(
                "X_clean and X_val_clean must be given together where there is X_val; got only "
                f"{'X_clean' if X_val_clean is None else 'X_val_clean'}."
            )
        return self._pair(X, X_val_clean, None)

    def _scatter_of_start(self):
        return None if self.init == "random" else "covariance", None

    def _classical_start(self, data, streams, latent_dim):
        import torch

        from ..corruptions import paired_moments

        table, inputs, corruption = data.table, data.inputs, data.corruption
        n_pairs = None
        if corruption is not None:
            moments = corruption.moments(table)
        else:
            pairs = (
                (table.standard(table.X[first : first + len(rows)]), inputs.standard(rows))
                for first, rows in blocks(inputs.X)
            )
            moments = paired_moments(pairs, len(table.mean))
        if corruption is None or corruption.takes_raw_rows:
            pairs = Pairs.of(moments, table, inputs)
            if isinstance(table, RunningTable):
                pairs = self._pairs.after(pairs)
                moments = pairs.standardised(table, inputs)
            self._pairs: Any = pairs if len(table.mean) <= EXACT_WIDTH else None
            n_pairs = pairs.n if corruption is None else None
        if self._likelihood_of(table).is_normal:
            start = linear_denoiser(table, latent_dim, moments, n_pairs)
            if table.has_gaps:
                start = with_gaps(start, table, latent_dim, moments, corruption.kept)
        else:
            rows = some_rows(inputs.sample)
            raw = corruption is not None and corruption.takes_raw_rows
            rows = rows if raw else inputs.standard(rows)
            if corruption is not None:
                rows = corruption(torch.tensor(rows), streams.torch("start")).numpy()
            clean = some_rows(table.sample)
            start = score_denoiser(
                table, latent_dim, self._likelihood_of(table), moments, clean, rows, n_pairs
            )
        return replace(start, input_mean=inputs.mean, input_scale=inputs.scale)

    def _can_follow(self, running, paired):
        knows = super()._can_follow(running, paired)
        needs_pairs = (paired or callable(self.corruption)) and self.init != "random"
        return knows and (not needs_pairs or vars(self).get("_pairs") is not None)

    def _after_training(self, inputs, rows, rank):
        super()._after_training(inputs, rows, rank)
        if self._chunks is None:  # only `partial_fit` needs them later
            self._pairs = None

    @property
    def _corrupts_raw_rows(self):
        return callable(self.corruption)

    def _corruption_of(self, table, streams):
        from ..corruptions import BUILT_IN, Custom

        level = plain(self.corruption_level)
        if not callable(self.corruption):
            return BUILT_IN[self.corruption](level, table)
        rng, shape = streams.numpy("start"), self._shape_for_callables()
        custom = Custom(self.corruption, level, table, rng, shape)
        custom.try_on(table.sample[:_TRIAL_ROWS])
        return custom
