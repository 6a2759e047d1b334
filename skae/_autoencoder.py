"""The deterministic autoencoder, which starts as PCA."""

from . import _classical
from ._base import BaseAutoencoder


class AutoencoderTransformer(BaseAutoencoder):
    r"""Autoencoder that starts as PCA and is only ever changed for the better.

    Encoder and decoder are those of PCA plus neural networks whose outputs are zero at
    first, :math:`z = A(x - \mu) + f(x)` and :math:`\hat x = \mu + B z + g(z)`. Training
    minimises the squared error of the reconstruction, and an epoch is kept only where
    rows held out from it are reconstructed better, beyond chance, than by PCA.

    Parameters
    ----------
    latent_dim : int or float in (0, 1), default=2
        Number of codes. A float is the share of variance that the classical start is
        to keep, as in PCA.
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
        Mean squared error that the codes leave per remaining dimension, as in PCA
        (absent with ``likelihood="bernoulli"``).
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
    VAETransformer : With a density: likelihoods, and new rows from a prior.
    DenoisingAutoencoder : For rows with noise or missing entries.
    sklearn.decomposition.PCA : What it starts as.

    Notes
    -----
    With ``likelihood="bernoulli"`` the start is PCA of the standardised score around
    independent Bernoullis, in logit space, no worse than these.

    References
    ----------
    Hinton, G. E. & Salakhutdinov, R. R. (2006). Reducing the dimensionality of data
    with neural networks. Science 313, 504-507.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(2, max_epochs=20, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (1797, 2)
    >>> start = AutoencoderTransformer(2, max_epochs=0).fit(X)  # PCA itself
    >>> bool(autoencoder.score(X) > start.score(X))
    True
    """

    def _classical_start(self, table, X, streams):
        if self.likelihood == "bernoulli":
            return _classical.logit_pca(table, self.latent_dim)
        return _classical.pca(table, self.latent_dim)
