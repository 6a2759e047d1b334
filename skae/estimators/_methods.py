"""The methods of a fitted autoencoder, computed block by block."""

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..data.frames import as_frame, is_frame
from ..data.limits import check_finite, check_units
from ..data.validation import check_all_finite
from ..density.codes import CodeDensity
from ..density.imputation import means_of_start
from ..nn.fitted import Fitted
from ..random import Streams
from ._door import Door
from ._modes import InOrdinaryModes


class Methods(InOrdinaryModes, Door):
    """Base class: the methods that all fitted estimators have."""

    def transform(self, X):
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim_)
            Codes, in the dtype of X. For a VAE they are the posterior means.
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
            Mean of the decoder's distribution, in the units of the training rows and the dtype
            of the codes.
        """
        check_is_fitted(self, "net_")
        return self._shaped(self._decode(self._hidden(self._validate_codes(X))), like=X)

    def reconstruct(self, X):
        """Encode and decode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            ``inverse_transform(transform(X))``, in the dtype of X.
        """
        check_is_fitted(self, "net_")
        return self._shaped(self._by_blocks(self._reconstruct, self._validate_rows(X)), like=X)

    def score_samples(self, X):
        """Compute the reconstruction score of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            1 minus the squared reconstruction error, relative to the total variance of the
            training rows. 1 is perfect, and 0 is as good as predicting the mean. The average
            over the training rows is the fraction of their variance that is reconstructed.
        """
        check_is_fitted(self, "net_")
        X = self._validate_rows(X)
        with np.errstate(over="ignore"):
            score = 1.0 - self._squared_errors(X, X) / self._total_variance
            score = score.astype(X.dtype, copy=False)
        check_finite(score, X, "X")
        return score

    def score(self, X, y=None):
        """Compute the mean of `score_samples`; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        score : float
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def sample(self, n_samples=1, *, random_state=None):
        """Draw new rows.

        Codes are drawn and decoded: from the prior, if the model has one, or else from a Gaussian
        mixture fitted to training codes (Ghosh et al. 2020).

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
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
        """Interpolate between rows, by way of their codes.

        Parameters
        ----------
        X_a, X_b : array-likes of shape (n_samples, n_features)
            Rows to interpolate between: from each row of X_a to the same row of X_b.
        steps : int, default=8
            Number of rows from one to the other, including the reconstructions of both.

        Returns
        -------
        X : ndarray of shape (n_samples, steps, n_features)
            With ``likelihood="auto"`` and data frames, a data frame of n_samples * steps rows.
        """
        check_is_fitted(self, "net_")
        if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 2:
            raise ValueError(f"steps must be an int of at least 2; got steps={steps!r}.")
        a, b = (self._encode(self._validate_rows(X)) for X in (X_a, X_b))
        if a.shape != b.shape:
            raise ValueError(f"X_a and X_b must have as many rows; got {len(a)} and {len(b)}.")
        shares = np.linspace(0.0, 1.0, int(steps), dtype=a.dtype)[:, None]
        codes = self._between(a[:, None], b[:, None], shares)
        X = self._shaped(self._decode(codes.reshape(-1, codes.shape[-1])))
        if hasattr(X, "iloc"):  # a data frame, in which the steps from a row follow each other
            return X
        return X.reshape(len(a), int(steps), *X.shape[1:])

    def _between(self, a, b, shares):
        """Interpolate codes from a to b, linearly."""
        return (1 - shares) * a + shares * b

    def _draw_codes(self, n_samples, rng):
        if not self.latent_dim_:
            return np.empty((n_samples, 0), dtype=self._dtype)
        density = self._density_of_codes
        if density is None:  # fitted on first use, as many models are never sampled from
            density = CodeDensity.of(self._codes, np.random.default_rng(0))
            self._density_of_codes = density
        return density.draw(n_samples, rng).astype(self._dtype)

    def _sampling(self, n_samples, random_state, name="n_samples"):
        """Return the number of rows to draw as an int, and the streams to draw them from."""
        if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
            raise ValueError(f"{name} must be a positive int; got {name}={n_samples!r}.")
        random_state = self.random_state if random_state is None else random_state
        return int(n_samples), Streams(random_state)

    def _encode(self, X):
        """Encode validated rows to codes in the user's units, in the dtype of X."""
        if X.dtype != np.float64:  # float64 can represent the units of any model
            check_units(self._spec.units(), X.dtype, "X")
        code_scale, model = self._spec.start.code_scale.astype(X.dtype), self._model

        def function(rows):
            with np.errstate(over="ignore", invalid="ignore"):
                codes = model.encode("embed", rows) * code_scale
                if not np.isfinite(codes).all():
                    check_finite(codes, rows, "X")
            return codes

        return self._by_blocks(function, X)

    def _decode(self, Z):
        """Decode validated codes to rows, in the dtype of Z."""
        start, model = self._spec.start, self._model
        check_units(self._spec.units(), Z.dtype, "Z")
        code_scale = start.code_scale[: Z.shape[1]].astype(Z.dtype)

        def function(codes):
            with np.errstate(over="ignore", invalid="ignore"):
                x = model.decode("expect", codes / code_scale)
                x = self._spec.family.in_units(x, start)
            check_finite(x, codes, "Z")
            return x

        return self._by_blocks(function, Z)

    def _shown(self, codes):
        """Reorder codes by explained variance and whiten them, as `transform` returns them."""
        order, white = vars(self).get("_order"), vars(self).get("_whitening")
        codes = codes if order is None else codes[:, order]
        if white is None:
            return codes
        centre, there, _ = (value.astype(codes.dtype) for value in white)
        return (codes - centre) @ there

    def _hidden(self, codes):
        """Invert `_shown`."""
        order, white = vars(self).get("_order"), vars(self).get("_whitening")
        if white is not None:
            k = codes.shape[1]  # may be fewer than latent_dim_ if codes are ordered
            centre, _, back = (value.astype(codes.dtype) for value in white)
            codes = codes @ back[:k, :k] + centre[:k]
        return codes if order is None else codes[:, np.argsort(order)]

    def _reconstruct(self, X):
        return self._decode(self._encode(X))

    def _shaped(self, X, rng=None, like=None):
        """Return decoded rows in the form that they had in `fit`; `rng` is for drawn rows.

        A data frame has the index of `like`, if that is one.
        """
        if self._columns is not None:
            found = self._columns.decode(X, rng)
            return found.set_axis(like.index) if is_frame(found) and is_frame(like) else found
        return X if len(self._row_shape) < 2 else X.reshape(len(X), *self._row_shape)

    def _squared_errors(self, inputs, rows):
        """Return the squared error of the reconstruction of each of some inputs, in float64.

        `rows` are what it should be, arrays or Streams as the inputs.
        """

        def errors(inputs, rows):
            with np.errstate(over="ignore"):
                left = rows - self._reconstruct(inputs)
                if self._reads_gaps:
                    return self._of_seen(np.square(left, dtype=np.float64))
                return np.square(left, dtype=np.float64).sum(axis=1)

        return self._model.by_blocks(errors, inputs, beside=(rows,))

    def _check_imputes(self):
        if not self._reads_gaps:
            raise ValueError(
                "impute needs likelihood='gaussian' and ordered=False; got "
                f"{type(self).__name__} with likelihood={self.likelihood!r}."
            )

    def _filled(self, X, function, copies=1):
        """Return X with what a function of rows with gaps fills in, as a data frame if X is one.

        `copies` is that of `_by_blocks`.
        """
        rows = self._rows_to_impute(X)
        filled, gaps = rows.copy(), np.isnan(rows)
        some = gaps.any(axis=1)
        if some.any():
            there = self._by_blocks(function, rows[some], copies)
            filled[some] = np.where(gaps[some], there, rows[some])
        return self._imputed(X, filled, gaps)

    def _imputed(self, X, filled, gaps):
        """Return rows that were filled in in the form of X; `gaps` are those of its rows."""
        if self._columns is not None:
            return self._columns.fill(X, self._columns.decode(filled))
        return as_frame(X, filled, gaps) if is_frame(X) else self._shaped(filled)

    def _rows_to_impute(self, X):
        rows = self._validate_rows(X)[:]
        check_all_finite(rows, "X", vars(self).get("feature_names_in_"), gaps=True)
        return rows

    def _without_gaps(self, X):
        """Replace missing entries of rows by their conditional means under the initial model."""
        start, d = self._spec.start, self._n_read

        def filled(rows):
            means = means_of_start(start, rows).astype(rows.dtype)
            return np.concatenate([means, rows[:, d:]], axis=1)  # conditions are complete

        return self._by_blocks(filled, X)

    def _of_seen(self, squares):
        """Sum squared errors, (n, d), over the entries that are there.

        Sums of rows with gaps are divided by the fraction of the variance that the other columns
        have, so that the mean of a column has the same error on average. Without any entry it is
        the total variance.
        """
        gaps = np.isnan(squares)
        if not gaps.any():
            return squares.sum(axis=1)
        variance = self._variances / self._variances.sum()
        there = 1.0 - gaps @ variance
        sums = np.where(gaps, 0.0, squares).sum(axis=1) / np.where(there > 0, there, 1.0)
        return np.where(gaps.all(axis=1), self._total_variance, sums)

    @property
    def _model(self):
        """The fitted net, with arrays as input and output."""
        names = None if self._columns is not None else vars(self).get("feature_names_in_")
        return Fitted(self.net_, self._spec, self._n_read, names, self._reads_gaps)

    def _by_blocks(self, function, rows, copies=1):
        """Apply a function of rows to blocks of an array or a Stream; return one array."""
        return self._model.by_blocks(function, rows, copies)

    @property
    def _n_features_out(self):
        return self.latent_dim_

    @property
    def n_components_(self):
        """Number of codes, as PCA calls it."""
        return self.latent_dim_
