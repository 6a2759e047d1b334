"""The denoising autoencoder, which starts as the best linear denoiser."""

from dataclasses import replace
from numbers import Real

from sklearn.utils._param_validation import Interval, StrOptions

from . import _classical
from ._base import BaseAutoencoder


class DenoisingAutoencoder(BaseAutoencoder):
    """Denoising autoencoder that starts as the best linear denoiser.

    Rows are corrupted afresh in every batch, and the autoencoder learns to answer the
    clean row [1]_. It begins at the linear map of rank `latent_dim` that has the least
    squared error on average over the corruption, which has a closed form [2]_.

    Parameters
    ----------
    latent_dim : int or float in (0, 1), default=2
        Number of codes. A float is the share of variance that the classical start is
        to keep, as in PCA.
    corruption : str or callable, default="gaussian"
        What happens to the entries of a row: "gaussian" adds noise; "masking" puts in
        the feature's mean, as for a missing value; "salt_and_pepper" puts in the
        feature's smallest or largest value; "swap" puts in the feature's value in
        another row. A callable is called as ``corruption(X, corruption_level, rng)``
        with rows in the units of X and a `numpy.random.Generator`, and returns the
        corrupted rows.
    corruption_level : float, default=0.3
        "gaussian": standard deviation of the noise, in units of the root mean variance
        of the features. The others: probability that an entry is replaced.
    hidden_layer_sizes : int or array-like of int, default=(128, 64)
        Widths of the encoder's hidden layers; the decoder mirrors them.
    activation : str, default="gelu"
        Of the hidden layers: "elu", "gelu", "identity", "leaky_relu", "logistic",
        "relu", "selu", "silu", "softplus" or "tanh".
    init : {"pca", "random"}, default="pca"
        Whether training begins at the classical start or at random weights.
    likelihood : {"gaussian", "bernoulli"}, default="gaussian"
        What a decoded value means: the mean of a normal distribution (squared error)
        or a probability (cross-entropy, for values in [0, 1]).
    lr : float, default=2e-3
        Highest learning rate. It rises over the first steps, then falls along a cosine
        to 0 at `max_epochs`; a skorch `LRScheduler` among the callbacks replaces this.
    max_epochs : int, default=100
        With 0 the estimator is its classical start.
    batch_size : int or "auto", default="auto"
        "auto" is a power of two near a 32nd of the rows, from 16 to 256.
    optimizer : str or torch.optim.Optimizer subclass, default="adamw"
        "adam", "adamw" or "sgd" (with momentum 0.9), or a class.
    weight_decay : float, default=0.01
        Handed to optimisers that know it.
    early_stopping : bool, default=True
        Whether to stop when the held-out loss has not fallen for `n_iter_no_change`
        epochs. The best epoch is kept either way.
    validation_fraction : float in (0, 1) or None, default=0.1
        Share of the rows that are held out to choose the epoch, and never fewer than
        30 of them, or a quarter of a small table. None trains on all rows and keeps
        the last epoch, good or bad.
    n_iter_no_change : int, default=20
    device : str, default="auto"
        "cpu", "cuda", "cuda:N", "mps", or "auto" for CUDA where there is one.
    callbacks : list of skorch callbacks or None, default=None
    warm_start : bool, default=False
        Whether a further `fit` goes on from the fitted weights.
    random_state : int, RandomState or None, default=None
        An int gives the same result in every fit. None draws a seed from numpy's
        global state.
    verbose : int, default=0
        1 shows a progress bar with both losses.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The fitted net; its torch module is ``net_.module_``.
    latent_dim_ : int
        Number of codes.
    mean_ : ndarray of shape (n_features_in_,)
        Mean of the training rows.
    noise_variance_ : float
        Mean squared error of a denoised feature (absent with
        ``likelihood="bernoulli"``).
    n_samples_ : int
        Number of rows given to `fit`.
    n_iter_ : int
        Number of epochs run.
    best_epoch_ : int
        The epoch that was kept; 0 is the classical start.
    loss_curve_ : ndarray of shape (n_iter_,)
        Mean training loss per epoch: squared error per row,
        in units of X squared, or cross-entropy in nats.
    validation_curve_ : ndarray of shape (n_iter_ + 1,)
        The same of the held-out rows, with the classical start in front; empty where
        no rows were held out.
    device_ : str
        Where it was trained.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had string names.

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
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "corruption": [StrOptions({"gaussian", "masking", "salt_and_pepper", "swap"}), callable],
        "corruption_level": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        latent_dim=2,
        *,
        corruption="gaussian",
        corruption_level=0.3,
        hidden_layer_sizes=(128, 64),
        activation="gelu",
        init="pca",
        likelihood="gaussian",
        lr=2e-3,
        max_epochs=100,
        batch_size="auto",
        optimizer="adamw",
        weight_decay=0.01,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        device="auto",
        callbacks=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            latent_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            init=init,
            likelihood=likelihood,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            device=device,
            callbacks=callbacks,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.corruption = corruption
        self.corruption_level = corruption_level

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
        return self._fit(X, X_clean)

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

    def _classical_start(self, table, X, streams):
        corruption = self._corruption_of(table, X, streams)
        if corruption is None:
            from .corruptions import paired_moments

            pairs = zip(table.standardised(), replace(table, X=X).standardised(), strict=True)
            moments = paired_moments(pairs, len(table.mean))
        else:
            moments = corruption.moments(table)
        if self.likelihood == "gaussian":
            return _classical.linear_denoiser(table, self.latent_dim, moments)
        import torch

        rows = (_classical.some_rows(X) - table.mean) / table.scale
        if corruption is not None:
            rows = corruption(torch.from_numpy(rows), streams.torch("start")).numpy()
        clean = _classical.some_rows(table.X)
        return _classical.logit_denoiser(table, self.latent_dim, moments, clean, rows)

    def _before_training(self, module, table, X, streams):
        module.corruption = self._corruption_of(table, X, streams)

    def _corruption_of(self, table, X, streams):
        """The corruption to train with; None where X comes corrupted."""
        from .corruptions import BUILT_IN, Custom

        if X is not table.X:
            return None
        if callable(self.corruption):
            return Custom(self.corruption, self.corruption_level, table, streams.numpy("start"))
        return BUILT_IN[self.corruption](self.corruption_level, table)
