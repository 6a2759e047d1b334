"""Parts of docstrings that all estimators share."""

SHARED_PARAMETERS = """\
    latent_dim : int, float in (0, 1), None, "mle" or "auto", default="auto"
        Number of latent dimensions, from 0 to ``min(n_samples, n_features)``. None is this
        maximum. As in PCA, a float is the fraction of variance to retain, and "mle" is
        Minka's estimate. "auto" is `n_components` if that is given, and 2 otherwise. See
        :doc:`/guide/latents`.
    n_components : int, float in (0, 1), None, "mle" or "auto", default="auto"
        Alias of `latent_dim`, as PCA calls it. With `set_params`, setting one of them replaces
        the other.
    network : {"mlp", "conv", "recurrent", "hierarchical"} or callable, default="mlp"
        Architecture of encoder and decoder: fully connected layers, convolutions, or gated
        recurrent units ("hierarchical" for long sequences). A callable ``network(input_shape,
        n_codes, latent_dim)`` returns two torch modules, an encoder and a decoder. See
        :doc:`/guide/networks`.
    input_shape : tuple of int or None, default=None
        Shape of a row as the networks see it: (channels, height, width) of an image, (steps,
        features) of a sequence. Rows may be flat or have this shape, and are returned as they
        were given to `fit`. If None, it is inferred from X.
    hidden_layer_sizes : "auto", int or array-like of int, default="auto"
        Widths of the encoder's hidden layers, which the decoder mirrors, or channels of the
        convolutions of both. "auto" is (128, 64) for "mlp", (64,) for recurrent networks, and
        (32, 32) for "conv", or (32, 64, 64) with at least 10,000 images.
    activation : str, default="silu"
        Activation function of the hidden layers: "elu", "gelu", "identity", "leaky_relu",
        "logistic", "relu", "selu", "silu", "softplus" or "tanh". Gated recurrent units keep
        their own.
    init : {"pca", "random"}, default="pca"
        Initial model: the classical method ("pca", see :doc:`/guide/starts`) or networks with
        random weights.
    likelihood : str, mapping or Likelihood, default="gaussian"
        Distribution of a row given its code: "gaussian" (squared error), "bernoulli"
        (cross-entropy, for values in [0, 1]), "categorical" (cross-entropy; the last axis of
        `input_shape` holds probabilities that sum to 1), "poisson" (counts),
        "negative_binomial" (counts that vary more), or a `skae.likelihoods.Likelihood`. See
        :doc:`/guide/likelihoods`. "auto" is for tables with columns of several kinds, and a mapping
        from columns to likelihoods chooses some of them: see :doc:`/guide/tables`.
    lr : float or "auto", default="auto"
        Highest learning rate. It rises over the first steps, then decays to 0 at `max_epochs`
        along a cosine. A skorch `LRScheduler` in `callbacks` replaces this schedule. "auto" is
        0.015 if an epoch has at most 8 steps, and less the more it has, down to 0.002. In
        `partial_fit`, and with "sgd" or a class as `optimizer`, it is 0.002.
    max_epochs : int, default=100
        Maximum number of epochs. With 0, the estimator is the initial model.
    batch_size : int or "auto", default="auto"
        Number of rows per training step. "auto" is a power of two near 1/16 of the training rows,
        from 32 to 256; in `partial_fit` near 1/32, from 16. It is smaller for rows of more than
        4,096 features.
    optimizer : str or torch.optim.Optimizer subclass, default="adamw"
        "adam" or "adamw" (with epsilon 1e-5), "sgd" (with momentum 0.9), or a class.
    weight_decay : float, default=0.01
        Passed to optimizers that support it.
    early_stopping : bool, default=True
        Whether to stop when the validation loss (of squared errors: the mean distance) has not
        fallen for `n_iter_no_change` epochs. The best epoch is kept in either case.
    validation_fraction : float in (0, 1), splitter or None, default=0.1
        Fraction of rows held out as validation set, which chooses the epoch to keep: at least
        60 rows, or a quarter of a table of fewer than 240. A scikit-learn splitter holds out
        the test rows of its last split. If None, all rows are used for training and the last
        epoch is kept. See :doc:`/guide/training`.
    n_iter_no_change : int, default=20
        Number of epochs without improvement after which `early_stopping` ends training.
    device : str, default="auto"
        "cpu", "cuda", "cuda:N" or "mps". "auto" is CUDA if it is available, else the CPU.
    precision : {"float32", "tf32", "bf16"}, default="float32"
        Precision of products and convolutions in training steps: "tf32" is for CUDA, "bf16" (of the
        networks only) for devices that support it well. Initialisation, validation and
        inference are not affected.
    callbacks : list of skorch callbacks or None, default=None
        Callbacks that are called in training. See :doc:`/guide/training`.
    warm_start : bool, default=False
        Whether a further `fit` continues from the fitted weights.
    random_state : int, RandomState or None, default=None
        Seed of the validation split, the weights, the order of rows and noise. An int gives
        the same result in every fit. None draws a seed from numpy's global state.
    verbose : int, default=0
        1 shows a progress bar with the training and the validation loss.
"""


SHARED_ATTRIBUTES = """\
    net_ : skorch.NeuralNet
        The fitted net; its torch module is ``net_.module_``.
    latent_dim_, n_components_ : int
        Number of latent dimensions.
    mean_ : ndarray of shape (n_features_in_,)
        Mean of the training rows.
    n_samples_, n_samples_seen_ : int
        Number of rows given to `fit`, or in all calls of `partial_fit`.
    n_iter_ : int
        Number of epochs run.
    best_epoch_ : int
        Epoch whose weights are kept. 0 is the initial model.
    loss_curve_ : ndarray of shape (n_iter_,)
        Mean training loss per row of each epoch: squared error in units of X squared,
        cross-entropy in nats, or for a VAE the negative ELBO in nats in the units of X.
    validation_curve_ : ndarray of shape (n_iter_ + 1,)
        The same for the validation set, beginning with the loss before the first epoch; empty
        without a validation set. For a VAE initialised as probabilistic PCA it is the loss of a
        mixture in which the initial model has weight 1 / (n_samples + 1).
    likelihoods_ : dict of str to str
        Likelihood of every column. Present with ``likelihood="auto"`` or a mapping.
    device_ : str
        Device that was used for training.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had string names.
"""


PCA_ATTRIBUTES = """\
    components_ : ndarray of shape (latent_dim_, n_features_in_)
        Effect of each code on each feature: the principal axes if training has changed
        nothing, else the decoder's Jacobian, averaged over training rows. Rows of it need
        be neither orthogonal nor of length 1.
    explained_variance_ratio_ : ndarray of shape (latent_dim_,)
        Fraction of the variance that each code explains, in decreasing order: PCA's if
        training has changed nothing. Otherwise they sum to the fraction of variance that is
        reconstructed on training rows. Each code's part is proportional to the error that it
        removes when codes are added one by one, averaged over forward and reverse order.
    explained_variance_, singular_values_ : ndarrays of shape (latent_dim_,)
        The same as variances, and as the singular values that PCA would have. After training
        these are not the variances of the codes, whose scale is arbitrary.
"""
