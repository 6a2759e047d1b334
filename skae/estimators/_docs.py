"""Parts of docstrings that all estimators share."""

SHARED_PARAMETERS = """\
    latent_dim : int, float in (0, 1), None, "mle" or "auto", default="auto"
        Number of codes, from 0 to min(n_samples, n_features), which None stands for. A
        float is the share of variance that PCA is to keep, and "mle" Minka's estimate, as
        in PCA. "auto" is `n_components` where that is given, and 2 otherwise.
    n_components : int, float in (0, 1), None, "mle" or "auto", default="auto"
        The same by its name in PCA. `set_params` of one replaces the other.
    network : {"mlp", "conv", "recurrent", "hierarchical"} or callable, default="mlp"
        What is trained on top of the classical start: fully connected layers;
        convolutions, each of which halves an image; or layers of gated recurrent units
        that go through the steps of a sequence, in both directions to encode it.
        "hierarchical" is "recurrent" for long sequences: a further layer, the conductor,
        leads the decoder through segments of at most 16 steps. A callable is called as
        ``network(input_shape, n_codes, latent_dim)`` and returns two torch modules: an
        encoder, (batch, \\*input_shape) -> (batch, n_codes), and a decoder, (batch,
        latent_dim) -> (batch, \\*input_shape). What torch draws in that call and in training, as
        weights of layers and dropout, comes from `random_state`; modules that were made before
        keep their weights.
    input_shape : tuple of int or None, default=None
        The shape of a row for networks that are not an MLP: (channels, height, width)
        of an image, (steps, features) of a sequence. Rows may then come flat or in this
        shape, and come back as they were given to `fit`. None takes the shape that X has.
    hidden_layer_sizes : "auto", int or array-like of int, default="auto"
        Widths of the encoder's hidden layers, or channels of its convolutions; the
        decoder mirrors them. "auto" is (128, 64), (32, 64) for convolutions and (64,) for
        recurrent layers.
    activation : str, default="silu"
        Of the hidden layers: "elu", "gelu", "identity", "leaky_relu", "logistic",
        "relu", "selu", "silu", "softplus" or "tanh". Recurrent layers have their own.
    init : {"pca", "random"}, default="pca"
        Whether training begins at the classical start or at random weights.
    likelihood : {"gaussian", "bernoulli", "categorical"}, default="gaussian"
        What a decoded value means: the mean of a normal distribution (squared error), a
        probability (cross-entropy, for values in [0, 1]), or one of the probabilities of
        a step. A row is then made of steps (the last axis of `input_shape`; without one it
        is a single step) whose values sum to 1, as when they are one-hot.
    lr : float, default=2e-3
        Highest learning rate. It rises over the first steps, then falls along a cosine
        to 0 at `max_epochs`; a skorch `LRScheduler` among the callbacks replaces this.
    max_epochs : int, default=100
        With 0 the estimator is its classical start.
    batch_size : int or "auto", default="auto"
        "auto" is a power of two near a 32nd of the rows, from 16 to 256.
    optimizer : str or torch.optim.Optimizer subclass, default="adamw"
        "adam" or "adamw" (with epsilon 1e-5), "sgd" (with momentum 0.9), or a class.
    weight_decay : float, default=0.01
        Handed to optimisers that know it.
    early_stopping : bool, default=True
        Whether to stop when the held-out loss has not fallen for `n_iter_no_change`
        epochs. The best epoch is kept either way.
    validation_fraction : float in (0, 1), splitter or None, default=0.1
        Share of the rows that are held out to choose the epoch, and never fewer than
        60 of them, or a quarter of a small table. The last split of a scikit-learn splitter
        holds out its test rows; ``KFold(10)`` those at the end, for windows that overlap.
        None trains on all rows and keeps the last epoch, good or bad.
    n_iter_no_change : int, default=20
    device : str, default="auto"
        "cpu", "cuda", "cuda:N", "mps", or "auto" for CUDA where there is one.
    precision : {"float32", "tf32", "bf16"}, default="float32"
        Of matrix products, convolutions and recurrent layers in training steps: "tf32" is
        for CUDA, "bf16" (of the networks alone) for devices that are quick at it. The
        classical start, the choice of the epoch and inference are not affected.
    callbacks : list of skorch callbacks or None, default=None
    warm_start : bool, default=False
        Whether a further `fit` goes on from the fitted weights.
    random_state : int, RandomState or None, default=None
        An int gives the same result in every fit. None draws a seed from numpy's
        global state.
    verbose : int, default=0
        1 shows a progress bar with both losses.
"""


SHARED_ATTRIBUTES = """\
    net_ : skorch.NeuralNet
        The fitted net; its torch module is ``net_.module_``.
    latent_dim_, n_components_ : int
        Number of codes.
    mean_ : ndarray of shape (n_features_in_,)
        Mean of the training rows.
    n_samples_, n_samples_seen_ : int
        Number of rows given to `fit`, or of all chunks together.
    n_iter_ : int
        Number of epochs run.
    best_epoch_ : int
        The epoch that was kept; 0 is the classical start.
    loss_curve_ : ndarray of shape (n_iter_,)
        Mean training loss of a row per epoch: squared error in units of X squared,
        cross-entropy in nats, or for a VAE minus the ELBO in nats in the units of X.
    validation_curve_ : ndarray of shape (n_iter_ + 1,)
        The same of the held-out rows, with that before the first epoch in front; empty
        where no rows were held out. A VAE's is beside the classical start, which has one
        part in n + 1 of the density.
    device_ : str
        Where it was trained.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had string names.
"""


PCA_ATTRIBUTES = """\
    components_ : ndarray of shape (latent_dim_, n_features_in_)
        Effect of each code on each feature. While nothing was learned, the principal axes.
        After training the mean over training rows of the decoder's Jacobian: a
        linearisation, so rows of it need be neither orthogonal nor of length 1.
    explained_variance_ratio_ : ndarray of shape (latent_dim_,)
        Share of the variance that each code explains, in falling order. While nothing was
        learned, PCA's. After training it sums to the share of the training rows' variance
        that is reconstructed; codes are put in one after the other, in both orders (for
        codes that interact in pairs, their Shapley values), and negative parts count as 0.
    explained_variance_, singular_values_ : ndarrays of shape (latent_dim_,)
        The same as a variance, and as the singular values that PCA would have. After
        training this is not the variance of the codes, whose scale is free.
"""
