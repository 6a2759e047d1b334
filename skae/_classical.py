"""The classical methods that estimators start as, in closed form (numpy, float64).

Every function returns a :class:`Start`: a linear autoencoder of standardised rows
``x = (X - mean) / scale``, where `scale` is one number, so that squared errors keep
their meaning::

    codes = x @ encoder + encoder_bias
    x_hat = codes @ decoder + decoder_bias
"""

import numbers
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import entr, log_softmax, logit

from ._sources import Stream, blocks, is_small, mapped

# Smallest noise variance, relative to the mean variance of a feature: of a density, which
# is scored in float64, and as the unit of an error, which is trained in float32.
_DENSITY_FLOOR = 1e-20
_ERROR_FLOOR = 1e-9
_EXACT_WIDTH = 2048  # features up to which a covariance is formed
_EXACT_LENGTH = 1024  # rows or features, whichever are fewer, up to which there is an SVD
_SKETCH = 512  # axes beyond those asked for that a sketch of a wide stream has
_SKETCH_IN_MEMORY = 64  # and where further passes cost little
_SEARCH_ROWS = 5000  # rows that a line search looks at


@dataclass(frozen=True)
class Start:
    """A linear autoencoder of standardised rows, k codes for d features."""

    mean: np.ndarray  # (d,), of decoded rows, in units of X
    scale: float  # in units of X
    input_mean: np.ndarray  # (d,), of the encoder's rows: the same but for paired rows
    input_scale: float
    encoder: np.ndarray  # (d, k)
    encoder_bias: np.ndarray  # (k,)
    decoder: np.ndarray  # (k, d)
    decoder_bias: np.ndarray  # (d,)
    # Variance that the codes leave, per feature, of x; (d,) in factor analysis.
    noise_variance: float | np.ndarray
    code_scale: np.ndarray  # (k,), what turns a code into the user's units
    log_variance: np.ndarray  # (k,), of a code's posterior given this noise
    explained: np.ndarray  # (k,), variance of what `decoder` decodes that each code explains

    @property
    def latent_dim(self):
        return self.encoder.shape[1]


@dataclass(frozen=True)
class Table:
    """What one pass over a table of shape (n, d) says about it."""

    X: np.ndarray  # or a Stream
    mean: np.ndarray  # (d,)
    variance: np.ndarray  # (d,), unbiased, in units of X squared
    scale: float  # root of the mean variance, 1.0 where nothing varies
    low: np.ndarray  # (d,), the smallest value of each feature
    high: np.ndarray  # (d,), and the largest
    products: Any  # (d, d), unbiased covariance in units of X, or None; see `of`
    sample: np.ndarray  # rows of X, all of them unless it is large

    @classmethod
    def of(cls, X, kept=None, gram=None):
        """Read the table once.

        Parameters
        ----------
        X : ndarray or Stream of shape (n, d)
        kept : ndarray of int or None
            Sorted numbers of the rows to keep as the sample; None keeps X itself.
        gram : callable or None
            What multiplies rows with themselves, where a device is quicker at it.

        Notes
        -----
        Moments of blocks are taken around their own means and put together (Chan, Golub &
        LeVeque 1983), so a large mean costs no precision. The covariance is there for
        moderate widths of tables that are not wider than long; for others `principal_axes`
        reads the rows.
        """
        n_samples, n_features = X.shape
        mean, squares = np.zeros(n_features), np.zeros(n_features)
        low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
        narrow = n_features <= min(n_samples, _EXACT_WIDTH)
        products = np.zeros((n_features, n_features)) if narrow else None
        sample = X if kept is None else np.empty((len(kept), n_features), dtype=X.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for first, block in blocks(X):
                low = np.minimum(low, block.min(axis=0))
                high = np.maximum(high, block.max(axis=0))
                if kept is not None:
                    here = slice(*np.searchsorted(kept, [first, first + len(block)]))
                    sample[here] = block[kept[here] - first]
                centre = block.mean(axis=0, dtype=np.float64)
                rows = block - centre
                shift = centre - mean
                mean = mean + shift * (len(block) / (first + len(block)))
                between = len(block) * first / (first + len(block))
                if narrow:
                    products += gram(rows) if gram else rows.T @ rows
                    if first:
                        products += between * np.outer(shift, shift)
                else:
                    squares += np.square(rows, out=rows).sum(axis=0) + between * shift**2
            # Features that do not vary: rounding of large values is no variance.
            same = low == high
            mean[same] = low[same]
            if products is not None:
                products[same] = products[:, same] = 0.0
                products /= max(n_samples - 1, 1)
                squares = products.diagonal()
            else:
                squares[same] = 0.0
                squares /= max(n_samples - 1, 1)
            variance = np.maximum(squares, 0.0)
            scale = np.sqrt(variance.mean())
            total = n_samples * variance.sum()
        if not np.isfinite(total):
            raise ValueError(
                "The variance of X must be finite in float64, and so must its sum over all values; "
                f"got {total}. Divide X by its largest absolute value first: StandardScaler "
                "overflows there, too."
            )
        if scale <= 10 * np.finfo(np.float64).eps * np.abs(mean[~same]).max(initial=0.0):
            variance, scale = np.zeros(n_features), 1.0  # nothing but rounding
            products = None if products is None else np.zeros_like(products)
        return cls(X, mean, variance, float(scale), low, high, products, sample)

    @property
    def n_samples(self):
        """Number of rows that the moments are of."""
        return len(self.X)

    def rows(self):
        """Blocks of X in float64."""
        for _, block in blocks(self.X):
            yield block.astype(np.float64, copy=False)

    def standard(self, rows):
        """``(rows - mean) / scale`` in float64."""
        return (rows - self.mean) / self.scale

    def standardised(self):
        """Blocks of X, standardised."""
        for _, block in blocks(self.X):
            yield self.standard(block)

    def covariance(self):
        """Unbiased covariance of the standardised rows, (d, d)."""
        if self.products is not None:
            scale = np.broadcast_to(self.scale, self.mean.shape)
            return self.products / np.outer(scale, scale)
        product = np.zeros((len(self.mean), len(self.mean)))
        for rows in self.standardised():
            product += rows.T @ rows
        return product / (len(self.X) - 1)

    def regressed(self, table, classes):
        """What conditions behind the rows of `table` say of these rows.

        `classes` says whether they are classes; numbers have mean 0.

        Returns
        -------
        products : ndarray of shape (q, q)
            Of conditions with each other, summed over rows.
        effects : ndarray of shape (q, d)
            What a condition adds to standardised rows, beyond that of the `centre`.
        centre : ndarray of shape (q,)
        within : Table
            Of what is left of rows. It has no sample.
        """
        d = len(table.mean)
        q = len(self.mean) - d
        products, cross, centre = np.zeros((q, q)), np.zeros((q, d)), np.zeros(q)
        for _, rows in blocks(self.X):
            conditions = rows[:, d:].astype(np.float64)
            products += conditions.T @ conditions
            cross += conditions.T @ table.standard(rows[:, :d])
        effects = np.linalg.pinv(products, hermitian=True) @ cross
        rows = mapped(lambda rows: left_by(rows, table, effects, centre), d, self.X)
        return products, effects, centre, Table.of(rows, kept=np.empty(0, dtype=int))

    def principal_axes(self, latent_dim):
        """Eigenvalues of the covariance, falling, and eigenvectors as columns.

        As in scikit-learn's PCA there are min(n, d) eigenvalues, and the sign of an axis
        makes its largest entry positive. Of a table that is both wide and long, for which
        scikit-learn turns to random projections too, only the first axes are found, enough
        for `latent_dim`, and the eigenvalues after them are given as their mean.
        """
        n_short = min(self.X.shape)
        share = not isinstance(latent_dim, numbers.Integral)
        if self.products is not None:
            values, axes = _eigh(self.covariance())
        elif is_small(self.X) and (n_short <= _EXACT_LENGTH or share):
            rows = np.concatenate(list(self.standardised()))
            _, singular, axes = np.linalg.svd(rows, full_matrices=False)
            values, axes = singular**2 / (len(rows) - 1), axes.T
        else:
            values, axes = self._leading_axes(latent_dim)
        return np.maximum(values, 0.0), _fix_signs(axes)

    def _leading_axes(self, latent_dim):
        """By Nystrom's approximation of the covariance (Tropp et al. 2017).

        Two passes over a stream; in memory, where a pass is cheap, six of a smaller sketch,
        each of which looks closer at the leading axes (Halko et al. 2011).
        """
        rank = min(self.X.shape)
        wanted = int(latent_dim) if isinstance(latent_dim, numbers.Integral) else 0
        in_memory = not isinstance(self.X, Stream)
        beyond = max(_SKETCH_IN_MEMORY, wanted) if in_memory and wanted else _SKETCH
        width = min(rank, wanted + beyond)
        basis = np.random.default_rng(0).standard_normal((len(self.mean), width))
        for _ in range(6 if in_memory else 2):
            basis = np.linalg.qr(basis)[0]
            sketch = np.zeros_like(basis)
            for rows in self.standardised():
                sketch += rows.T @ (rows @ basis)
            sketch /= len(self.X) - 1
            basis, previous = sketch, basis
        # A little of the identity keeps the Cholesky factor in existence.
        nudge = 1e-12 * np.linalg.norm(sketch) + 1e-100
        sketch += nudge * previous
        core = previous.T @ sketch
        factor = np.linalg.cholesky((core + core.T) / 2.0)
        axes, singular, _ = np.linalg.svd(
            solve_triangular(factor, sketch.T, lower=True).T, full_matrices=False
        )
        values = np.where(singular**2 > 10.0 * nudge, singular**2 - nudge, 0.0)
        total = (self.variance / np.square(self.scale)).sum()
        if wanted == 0 and values.sum() < latent_dim * total:
            raise ValueError(
                f"latent_dim={latent_dim} takes more than {width} codes of this large and wide "
                "table. Say how many with an int."
            )
        left = max(total - values.sum(), 0.0) / max(rank - width, 1)
        return np.append(values, np.full(rank - width, min(left, values[-1]))), axes


def choose_latent_dim(latent_dim, eigenvalues):
    """The number of codes: an int as it is, a float as the share of variance to keep."""
    if isinstance(latent_dim, numbers.Integral):
        return int(latent_dim)
    share = np.cumsum(eigenvalues / max(eigenvalues.sum(), np.finfo(float).tiny))
    return min(int(np.searchsorted(share, latent_dim, side="right")) + 1, len(eigenvalues))


def minka_dimension(table):
    """Minka's estimate of the number of components (2000), as in PCA(n_components="mle")."""
    from sklearn.decomposition._pca import _infer_dimension  # which has no public name

    values, _ = table.principal_axes(1.0)
    try:
        return int(_infer_dimension(values * table.scale**2, len(table.X)))
    except ValueError:  # a logarithm of 0
        raise ValueError(
            "n_components='mle' needs principal components of different variances; got some that "
            "are equal. Give a number of components."
        ) from None


def pca(table, latent_dim):
    """Principal component analysis: codes are scores, in the units of X."""
    values, axes = table.principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    return _linear(table, axes[:, :k], axes[:, :k], values[:k], _noise(values, k))


def probabilistic_pca(table, latent_dim):
    """Probabilistic PCA (Tipping & Bishop 1999), with its exact posterior.

    In the eigenbasis the posterior of a code is Gaussian with diagonal covariance
    ``noise / eigenvalue``, so an encoder with independent codes represents it exactly.
    """
    values, axes = table.principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    noise = max(_noise(values, k), _DENSITY_FLOOR)
    explained, axes = values[:k], axes[:, :k]
    values = np.maximum(explained, noise)
    weights = np.sqrt(values - noise)
    return replace(
        _linear(table, axes, axes, np.ones(k), noise),
        explained=explained,
        noise_variance=noise,
        encoder=axes * (weights / values),
        decoder=(axes * weights).T,
        code_scale=np.ones(k),
        log_variance=np.log(noise / values),
    )


class Bernoullis:
    """Rows in [0, 1] as probabilities, and what logit space is for them.

    Around independent Bernoullis with means p, the score of a row is x - p and its
    Fisher information p (1 - p).
    """

    logits = staticmethod(logit)

    def smoothed(self, mean, n_samples):
        """Means of so many rows, kept off both ends by half a row."""
        return (n_samples * mean + 0.5) / (n_samples + 1.0)

    def spread(self, p):
        """What standardises the score."""
        return np.sqrt(p * (1.0 - p))

    def least(self, x):
        """The loss of each row under its own values, the lowest that there is."""
        return (entr(x) + entr(1.0 - x)).sum(axis=-1)

    def loss(self, x, logits):
        """Cross-entropy of each row, summed over features, in nats."""
        return (np.logaddexp(0.0, logits) - x * logits).sum(axis=-1)


class Categoricals:
    """Rows of steps, each of which holds the probabilities of `n_categories`.

    Around independent categoricals with probabilities p, the score of a step is x - p
    and its Fisher information diag(p) - p p'. Scores divided by the root of p are
    orthogonal to that root, and for logits along such directions the information is the
    identity. PCA of these scores is correspondence analysis (Greenacre 1984).
    """

    logits = staticmethod(np.log)

    def __init__(self, n_categories):
        self.n_categories = n_categories

    def smoothed(self, mean, n_samples):
        """Frequencies in so many rows and one more, spread evenly over the categories."""
        return (n_samples * mean + 1.0 / self.n_categories) / (n_samples + 1.0)

    def spread(self, p):
        """What standardises the score."""
        return np.sqrt(p)

    def least(self, x):
        """The loss of each row under its own values, the lowest that there is."""
        return entr(x).sum(axis=-1)

    def loss(self, x, logits):
        """Cross-entropy of each row, summed over steps, in nats."""
        steps = logits.reshape(*logits.shape[:-1], -1, self.n_categories)
        return -(x * log_softmax(steps, axis=-1).reshape(logits.shape)).sum(axis=-1)


def family_of(likelihood, row):
    """What a likelihood is to a closed form, of rows of this shape; None for normal noise."""
    if likelihood == "gaussian":
        return None
    return Bernoullis() if likelihood == "bernoulli" else Categoricals(row[-1])


def logit_pca(table, latent_dim, family):
    """PCA in logit space: the autoencoder's start for a `family` of probabilities.

    PCA of the standardised score around independent features gives directions, and a
    line search how far to go along them, so the start is never worse than none.
    """
    _, spread = _independent(table, family)
    values, axes = replace(table, scale=spread).principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    start = _linear(table, axes[:, :k], axes[:, :k], values[:k], 1.0)
    clean = some_rows(table.sample)
    return _in_logits(start, table, family, clean, table.standard(clean))


def logit_probabilistic_pca(table, latent_dim, family, within=None, logits=0.0):
    """Probabilistic PCA in logit space: the VAE's start for a `family` of probabilities.

    `within` is the table of what is left of rows when their conditions' mean is taken
    off, and `logits`, (n, d), what these add to the logits of the rows of its sample.

    To second order around independent features the ELBO is that of probabilistic PCA
    of the standardised score with unit noise, whose optimum is known. Going only part
    of the way (down to none) is chosen where the exact ELBO says so.
    """
    within = table if within is None else within
    bias, spread = _independent(table, family)
    values, axes = replace(within, scale=spread).principal_axes(latent_dim)
    k = choose_latent_dim(latent_dim, values)
    axes, values = axes[:, :k], np.maximum(values[:k], 1.0)
    rows = some_rows(table.sample)
    scores = ((some_rows(within.sample) - within.mean) / spread) @ axes
    draws = np.random.default_rng(0).standard_normal((8, 1, k))

    def posterior(step):
        weights = step * np.sqrt(values - 1.0)
        return weights, weights / (1.0 + weights**2), 1.0 / (1.0 + weights**2)

    def negative_elbo(step):
        weights, gain, variance = posterior(step)
        mean = scores * gain
        codes = mean + np.sqrt(variance) * draws
        decoded = bias + logits + codes @ (axes * weights / spread[:, None]).T
        kl = 0.5 * (mean**2 + variance - 1.0 - np.log(variance)).sum(axis=1)
        return (family.loss(rows, decoded).mean(axis=0) + kl).mean()

    step = min(np.linspace(1.0, 0.0, 9), key=negative_elbo)
    weights, gain, variance = posterior(step)
    return replace(
        _linear(table, axes, axes, np.ones(k), 1.0),
        encoder=axes * gain * (table.scale / spread)[:, None],
        decoder=(axes * weights).T / spread,
        decoder_bias=bias,
        code_scale=np.ones(k),
        log_variance=np.log(variance),
    )


def conditional_pca(table, inputs, latent_dim, family, classes):
    """Probabilistic PCA around the mean that a row's conditions predict.

    Parameters
    ----------
    table : Table
        Of rows.
    inputs : Table
        Of the same rows, (n, d + q), with q conditions behind them: indicators of
        classes, or numbers of mean 0.
    latent_dim : int or float
    family : Bernoullis, Categoricals or None
        None for rows with normal noise.
    classes : bool
        Whether conditions are classes, which have frequencies of their own in logit space;
        what numbers do there is left to the network.
    """
    products, effects, centre, within = inputs.regressed(table, classes)
    within = replace(within, sample=left_by(some_rows(inputs.sample), table, effects, centre))
    if family is None:
        start = probabilistic_pca(replace(within, scale=table.scale), latent_dim)
        return with_conditions(start, table, effects, effects, centre)
    on_logits = np.zeros_like(effects)
    if classes:
        sizes = products.diagonal()[:, None]
        # Towards the frequencies of all rows, where a class has few.
        overall = family.smoothed(table.mean, table.n_samples)
        p = (sizes * (table.mean + effects * table.scale) + overall) / (sizes + 1.0)
        on_logits = family.logits(p) - _independent(table, family)[0]
    logits = some_rows(inputs.sample)[:, len(table.mean) :] @ on_logits
    start = logit_probabilistic_pca(table, latent_dim, family, within, logits)
    return with_conditions(start, table, effects, on_logits, centre)


def left_by(rows, table, effects, centre):
    """What is left of rows when the effects of the conditions behind them are taken off."""
    d = len(table.mean)
    return rows[:, :d] - table.mean - (rows[:, d:] - centre) @ (effects * table.scale)


def with_conditions(start, table, seen, answered, centre):
    """A start whose rows and codes are followed by conditions.

    `seen` (q, d) is what they add to a standardised row, which the encoder takes off, and
    `answered` (q, d) what they add to what is decoded, beyond their `centre` (q,).
    """
    q = len(seen)
    return replace(
        start,
        mean=table.mean,
        scale=table.scale,
        input_mean=np.append(table.mean, np.zeros(q)),
        input_scale=np.append(np.full(len(table.mean), table.scale), np.ones(q)),
        encoder=np.vstack([start.encoder, -seen @ start.encoder]),
        encoder_bias=start.encoder_bias + centre @ seen @ start.encoder,
        decoder_bias=start.decoder_bias - centre @ answered,
        decoder=np.vstack([start.decoder, answered]),
        code_scale=np.ones(1),
    )


def linear_denoiser(table, latent_dim, moments, n_pairs=None):
    """The rank-k linear map from corrupted rows to clean ones of least squared error.

    Reduced-rank regression (Izenman 1975) on the moments of the corruption, as in the
    marginalised denoising autoencoder (Chen et al. 2012).

    Parameters
    ----------
    table : Table
        Of the clean rows.
    latent_dim : int or float
        The rank, or the share of the predictable variance to keep.
    moments : tuple of ndarrays of shapes (d,), (d, d) and (d, d)
        Of standardised rows: the mean of a corrupted row, its covariance with the
        clean row (clean first), and its covariance.
    n_pairs : int or None
        The number of pairs of rows that the moments are estimated from, which
        calls for a ridge where it is small; None for moments that are exact.
    """
    shift, cross, corrupted = moments
    total = (table.variance / table.scale**2).sum()
    regression = cross @ _inverse(cross, corrupted, total, n_pairs)
    values, axes = _eigh(regression @ cross.T)
    values, axes = np.maximum(values, 0.0), _fix_signs(axes)
    k = choose_latent_dim(latent_dim, values)
    axes, values = axes[:, :k], values[:k]
    noise = max(total - values.sum(), 0.0) / len(axes)
    start = _linear(table, regression.T @ axes, axes, values, noise)
    return replace(start, encoder_bias=-shift @ start.encoder)


def logit_denoiser(table, latent_dim, family, moments, clean, corrupted, n_pairs=None):
    """As `linear_denoiser`, of the standardised score in logit space (see `logit_pca`).

    `clean`, rows of X, and `corrupted`, the same rows corrupted and standardised, are
    what the line search looks at.
    """
    _, spread = _independent(table, family)
    ratio = table.scale / spread
    shift, cross, covariance = moments
    outer = np.outer(ratio, ratio)
    scaled = (shift * ratio, cross * outer, covariance * outer)
    start = linear_denoiser(replace(table, scale=spread), latent_dim, scaled, n_pairs)
    return _in_logits(start, table, family, clean, corrupted)


def no_start(table, latent_dim, family=None):
    """No linear path at all: what is left to a network that starts at random."""
    if not isinstance(latent_dim, numbers.Integral):
        latent_dim = choose_latent_dim(latent_dim, table.principal_axes(latent_dim)[0])
    n_features = len(table.mean)
    empty = np.zeros((n_features, latent_dim))
    start = _linear(table, empty, empty, np.ones(latent_dim), 1.0)
    if family is not None:
        start = replace(start, decoder_bias=_independent(table, family)[0])
    return replace(start, code_scale=np.ones(latent_dim), explained=np.zeros(latent_dim))


def _linear(table, reader, axes, values, noise):
    """Codes ``x @ reader`` scaled to unit variance, decoded along `axes`."""
    # A code of no variance is left in its own units: there is nothing to scale.
    spread = np.sqrt(values)
    varies = spread > 1e-10 * spread.max(initial=1e-300)
    spread = np.where(varies, spread, 1.0)
    n_features, k = axes.shape
    noise = max(float(noise), _ERROR_FLOOR)
    return Start(
        mean=table.mean,
        scale=table.scale,
        input_mean=table.mean,
        input_scale=table.scale,
        encoder=reader / spread,
        encoder_bias=np.zeros(k),
        decoder=(axes * spread).T,
        decoder_bias=np.zeros(n_features),
        noise_variance=noise,
        code_scale=spread * np.mean(table.scale),
        log_variance=np.log(np.minimum(noise / spread**2, 1.0)),
        explained=np.where(varies, values, 0.0),
    )


def _in_logits(start, table, family, clean, inputs):
    """A linear map of standardised scores as a map to logits, as far as it helps."""
    bias, spread = _independent(table, family)
    encoder = start.encoder * (table.scale / spread)[:, None]
    decoder = start.decoder / spread
    direction = (inputs @ encoder + start.encoder_bias) @ decoder

    def loss(step):
        return family.loss(clean, bias + step * direction).mean()

    from scipy.optimize import minimize_scalar

    step = minimize_scalar(loss, bounds=(0.0, 10.0), method="bounded").x
    return replace(
        start,
        scale=table.scale,
        input_scale=table.scale,
        encoder=encoder,
        decoder=decoder * (step if loss(step) < loss(0.0) else 0.0),
        decoder_bias=bias,
        code_scale=np.linalg.norm(start.decoder, axis=1),
        log_variance=np.zeros(start.latent_dim),
    )


def error_left(start, table, family):
    """What a start leaves to be explained, per row, as the loss counts it, in nats.

    Half the squared error in units of the noise is half a nat per dimension, those of the
    codes included, and of probabilities it is half the deviance.
    """
    if family is None:
        return 0.5 * min(table.n_samples, len(table.mean))
    rows = some_rows(table.sample)
    codes = table.standard(rows) @ start.encoder + start.encoder_bias
    logits = codes @ start.decoder + start.decoder_bias
    least = family.least(np.clip(rows, 0.0, 1.0))
    return float((family.loss(rows, logits) - least).mean())


def _inverse(cross, corrupted, total, n_pairs):
    """Inverse covariance of corrupted rows, with a ridge where few pairs ask for one.

    The ridge is the smallest whose generalised cross-validation error (Golub, Heath &
    Wahba 1979) is within one per cent of the least.
    """
    if n_pairs is None:
        return np.linalg.pinv(corrupted, hermitian=True)
    values, axes = _eigh(corrupted)
    known = values > 1e-12 * values.max(initial=1e-300)
    values, axes = values[known], axes[:, known]
    explained = np.square(cross @ axes).sum(axis=0)

    def error(ridge):
        left = total - (explained * (2.0 / (values + ridge) - values / (values + ridge) ** 2)).sum()
        freedom = 1.0 - (1.0 + (values / (values + ridge)).sum()) / n_pairs
        return left / freedom**2 if freedom > 1e-9 else np.inf

    ridges = np.append(0.0, np.logspace(-6, 3, 37) * corrupted.trace() / len(corrupted))
    errors = np.array([error(ridge) for ridge in ridges])
    ridge = ridges[np.argmax(errors <= 1.01 * errors.min())]
    return axes / (values + ridge) @ axes.T


def _noise(values, k):
    """Mean of the eigenvalues that k components leave, as PCA.noise_variance_."""
    return float(values[k:].mean()) if k < len(values) else 0.0


def _independent(table, family):
    """Logits of independent features, and the spread of the score around them."""
    p = family.smoothed(table.mean, table.n_samples)
    return family.logits(p), family.spread(p)


def some_rows(X, n_rows=_SEARCH_ROWS):
    """At most `n_rows` rows of X, any of them equally likely, the same in every call."""
    if len(X) <= n_rows:
        return X
    return X[np.sort(np.random.default_rng(0).choice(len(X), n_rows, replace=False))]


def _eigh(symmetric):
    values, axes = np.linalg.eigh(symmetric)
    return values[::-1], axes[:, ::-1]


def _fix_signs(axes):
    """Make the largest entry of every column positive."""
    largest = np.abs(axes).argmax(axis=0)
    signs = np.sign(axes[largest, np.arange(axes.shape[1])])
    return axes * np.where(signs == 0, 1.0, signs)
