"""The denoising autoencoder, which starts as the best linear denoiser."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import ClassVar

from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names

from ._base import _FLOATS, BaseAutoencoder, _check_numbers
from ._classical import _EXACT_WIDTH, linear_denoiser, logit_denoiser, some_rows
from ._moments import Pairs, RunningTable
from ._sources import Stream, blocks, is_stream, with_shape


@dataclass(eq=False, repr=False, kw_only=True)
class DenoisingAutoencoder(BaseAutoencoder):
    """Denoising autoencoder that starts as the best linear denoiser.

    Rows are corrupted afresh in every batch, and the autoencoder learns to answer the
    clean row [1]_. It begins at the linear map of rank `latent_dim` that has the least
    squared error on average over the corruption, which has a closed form [2]_.

    Parameters
    ----------
    {shared_parameters}
    corruption : str or callable, default="gaussian"
        What happens to the entries of a row: "gaussian" adds noise; "masking" puts in
        the feature's mean, as for a missing value; "salt_and_pepper" puts in the
        feature's smallest or largest value; "swap" puts in the feature's value in
        another row. A callable is called as ``corruption(X, corruption_level, rng)``
        with rows in the units of X, a copy of them, and a `numpy.random.Generator`, and
        returns the corrupted rows.
    corruption_level : float, default=0.3
        "gaussian": standard deviation of the noise, in units of the root mean variance
        of the features. The others: probability that an entry is replaced.

    Attributes
    ----------
    noise_variance_ : float
        Mean squared error of ``denoise(X)`` on the training rows, per remaining
        dimension, as in PCA (present with ``likelihood="gaussian"``).
    {shared_attributes}

    See Also
    --------
    AutoencoderTransformer : For rows that are clean.

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

    NaN is refused. For missing entries fit complete rows with "masking", put in the mean
    where an entry is missing, as it does, and take what `denoise` answers there:

    >>> from sklearn.impute import SimpleImputer
    >>> model = DenoisingAutoencoder(16, corruption="masking", max_epochs=20, random_state=0)
    >>> missing = np.random.default_rng(0).random(X.shape) < 0.3
    >>> by_mean = SimpleImputer().fit(X).transform(np.where(missing, np.nan, X))
    >>> filled = np.where(missing, model.fit(X).denoise(by_mean), X)
    >>> error, error_of_mean = (np.mean((Y - X)[missing] ** 2) for Y in (filled, by_mean))
    >>> bool(error < 0.5 * error_of_mean)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "corruption": [StrOptions({"gaussian", "masking", "salt_and_pepper", "swap"}), callable],
        "corruption_level": [Interval(Real, 0, None, closed="neither")],
    }

    corruption: str | Callable = "gaussian"
    corruption_level: float = 0.3

    def fit(self, X, y=None, X_clean=None):
        """Compute the linear denoiser, then train, keeping the best epoch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Clean rows, which are corrupted in training; or, with `X_clean`, rows that
            are corrupted already.
        y : Ignored
            Present because a Pipeline passes labels.
        X_clean : array-like of shape (n_samples, n_features) or None, default=None
            The clean version of each row of X; then `corruption` is not used. Inside a
            Pipeline, request it with ``set_fit_request(X_clean=True)`` and have it
            transformed like X with ``Pipeline(..., transform_input=["X_clean"])``.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or X_clean breaks a rule; nothing was trained then, and
            what was fitted before is as it was.
        KeyboardInterrupt
            On Ctrl-C. The best epoch so far is kept as a fitted estimator.
        """
        return self._guarded(type(self)._fit, X, X_clean)

    def partial_fit(self, X, y=None, X_clean=None):
        """Go on training with a further chunk of rows: one pass over it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Of the first chunk at least 2 rows, and as many as there are codes.
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
            If a parameter, X or X_clean breaks a rule. Whatever is raised, the estimator
            is as it was before the call.

        See Also
        --------
        AutoencoderTransformer.partial_fit : How chunks are used.
        """
        return self._guarded(type(self)._partial_fit, X, X_clean)

    def denoise(self, X):
        """Remove corruption from rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Corrupted rows.

        Returns
        -------
        X_denoised : ndarray of shape (n_samples, n_features)
            In the dtype of X; the same as ``reconstruct(X)``.
        """
        return self.reconstruct(X)

    def _pair(self, X, X_clean, previous):
        if X_clean is None:
            return X, X
        X_clean = with_shape(X_clean)
        _check_numbers(X_clean, "X_clean")
        _check_feature_names(self, X_clean, reset=False)
        X_clean = self._flat(X_clean, reset=False)
        if is_stream(X_clean):
            X_clean = Stream(X_clean, "X_clean")
        else:
            # A view, as rows that come twice are pairs all the same.
            X_clean = check_array(X_clean, dtype=_FLOATS, input_name="X_clean")[:]
        if X_clean.shape != X.shape:
            raise ValueError(
                "X_clean must have the shape of X, however: X_clean.shape="
                f"{X_clean.shape} and X.shape={X.shape}."
            )
        return X, X_clean

    def _kind_of_chunk(self, X_clean):
        return X_clean is not None, callable(self.corruption)

    def _scatter_of_start(self):
        return None if self.init == "random" else "covariance", None

    def _classical_start(self, table, inputs, corruption, streams, latent_dim):
        import torch

        from .corruptions import paired_moments

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
                pairs = Pairs(**self._pairs).after(pairs)
                moments = pairs.standardised(table, inputs)
            self._pairs = vars(pairs) if len(table.mean) <= _EXACT_WIDTH else None
            n_pairs = pairs.n if corruption is None else None
        if self.likelihood == "gaussian":
            start = linear_denoiser(table, latent_dim, moments, n_pairs)
        else:
            rows = some_rows(inputs.sample)
            raw = corruption is not None and corruption.takes_raw_rows
            rows = rows if raw else inputs.standard(rows)
            if corruption is not None:
                rows = corruption(torch.tensor(rows), streams.torch("start")).numpy()
            clean = some_rows(table.sample)
            start = logit_denoiser(
                table, latent_dim, self._family(table), moments, clean, rows, n_pairs
            )
        return replace(start, input_mean=inputs.mean, input_scale=inputs.scale)

    def _can_follow(self, running, paired):
        knows = super()._can_follow(running, paired)
        needs_pairs = (paired or callable(self.corruption)) and self.init != "random"
        return knows and (not needs_pairs or vars(self).get("_pairs") is not None)

    def _after_training(self, inputs, rows, rank):
        super()._after_training(inputs, rows, rank)
        if self._chunks is None:  # what only chunks go on with
            self._pairs = None

    def _corruption_of(self, table, streams):
        from .corruptions import BUILT_IN, Custom

        if callable(self.corruption):
            return Custom(self.corruption, self.corruption_level, table, streams.numpy("start"))
        return BUILT_IN[self.corruption](self.corruption_level, table)
