"""Moments of the rows of all chunks, for `partial_fit`.

Moments of a chunk are computed around its own mean and merged with earlier ones (Chan, Golub &
LeVeque 1983), so neither a large nor a drifting mean costs precision. The scatter around the mean
is kept in one of two ways: as a covariance, which is exact, or as its leading axes, truncated
after every chunk as in scikit-learn's IncrementalPCA (Ross et al. 2008).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..codec import Plain
from .sources import blocks, is_sparse
from .table import EXACT_WIDTH, Table, eigh, fix_signs

_BEYOND = 64  # axes kept in addition to one per code, if the covariance is too large to keep


@dataclass(frozen=True)
class RunningTable(Table):
    """A chunk of rows with the moments of all rows so far."""

    n_seen: int
    chunk: Table
    factor: np.ndarray | None  # (m, d): see `Moments`

    @property
    def n_samples(self):
        return self.n_seen

    def covariance(self):
        """Return the unbiased covariance of all rows, standardised, (d, d).

        If only axes are kept, the variance that they do not explain is added to the diagonal.
        """
        if self.factor is None:
            return super().covariance()
        factor = self.factor / self.scale
        product = factor.T @ factor / (self.n_seen - 1)
        variance = self.variance / np.square(self.scale)
        np.fill_diagonal(product, np.maximum(variance, product.diagonal()))
        return product

    def regressed(self, table, classes):
        """Do the same as `Table.regressed` for all rows; conditions need not have mean 0."""
        d, n = len(table.mean), self.n_seen
        scatter, mean = self.products * (n - 1), self.mean[d:]
        centre = np.zeros_like(mean) if classes else mean
        products = scatter[d:, d:] + n * np.outer(mean - centre, mean - centre)
        cross = scatter[d:, :d]
        effects = np.linalg.pinv(products, hermitian=True) @ cross
        left = (scatter[:d, :d] - effects.T @ products @ effects) / (n - 1)
        variance = np.maximum(left.diagonal(), 0.0)
        moments = {"mean": np.zeros(d), "variance": variance, "products": left}
        within = replace(self, **moments, scale=float(np.sqrt(variance.mean())))
        return products, effects / table.scale, centre, within

    def principal_axes(self, latent_dim):
        """Do the same as `Table.principal_axes` for all rows.

        Eigenvalues beyond the axes that are kept are replaced by their mean.
        """
        if self.factor is None:
            return super().principal_axes(latent_dim)
        rank = min(self.n_seen, len(self.mean))
        _, singular, axes = np.linalg.svd(self.factor / self.scale, full_matrices=False)
        axes[:, self.low == self.high] = 0.0  # remove rounding errors
        values = singular**2 / (self.n_seen - 1)
        left = (self.variance / np.square(self.scale)).sum() - values.sum()
        rest = max(rank - len(values), 0)
        values = np.append(values, np.full(rest, max(left, 0.0) / max(rest, 1)))
        return values, fix_signs(axes.T)


@dataclass(frozen=True)
class Moments(Plain):
    """Moments of the rows so far."""

    n_samples: int
    mean: np.ndarray  # (d,)
    variance: np.ndarray  # (d,), unbiased
    low: np.ndarray  # (d,)
    high: np.ndarray  # (d,)
    products: Any = None  # (d, d), unbiased covariance
    # (m, d), leading axes, each as long as its singular value. ``factor.T @ factor`` is the scatter
    # of all rows around their mean, except for what was truncated.
    factor: np.ndarray | None = None
    n_axes: int = 0  # the largest number of axes

    @classmethod
    def of(cls, table, scatter=None, latent_dim=0):
        """Compute the moments of a table.

        Parameters
        ----------
        table : Table
        scatter : {"axes", "covariance", "exact"} or None
            What to keep of the scatter around the mean: "axes", one per code; or the covariance
            (of wide tables some more axes for "covariance", and nothing for "exact"). None
            keeps nothing.
        latent_dim : int
        """
        moments = cls(len(table.X), table.mean, table.variance, table.low, table.high)
        if scatter is None:
            return moments
        if scatter != "axes" and len(table.mean) <= EXACT_WIDTH:
            return replace(moments, products=_products(table))
        if scatter == "exact":
            return moments
        n_axes = latent_dim + (_BEYOND if scatter == "covariance" else 0)
        return replace(moments, factor=_cut(_scatter(table, n_axes), n_axes), n_axes=n_axes)

    @property
    def has_scatter(self):
        """Whether there is a covariance or its leading axes."""
        return self.products is not None or self.factor is not None

    def after(self, table):
        """Merge these moments with those of one more table."""
        n, n_new = self.n_samples + len(table.X), len(table.X)
        between = self.n_samples * n_new / n
        low, high = np.minimum(self.low, table.low), np.maximum(self.high, table.high)
        products = factor = None
        with np.errstate(over="ignore", invalid="ignore"):
            shift = table.mean - self.mean
            mean = self.mean + shift * (n_new / n)

            def joined(old, new, between_means):
                return ((self.n_samples - 1) * old + (n_new - 1) * new + between_means) / (n - 1)

            variance = joined(self.variance, table.variance, between * shift**2)
            if self.products is not None:
                outer = between * np.outer(shift, shift)
                products = joined(self.products, _products(table), outer)
            if self.factor is not None:
                rows = self.factor, _scatter(table, self.n_axes), np.sqrt(between) * shift[None]
                factor = _cut(np.vstack(rows), self.n_axes)
        mean = np.where(low == high, low, mean)  # remove rounding errors
        return replace(
            self,
            n_samples=n,
            mean=mean,
            variance=variance,
            low=low,
            high=high,
            products=products,
            factor=factor,
        )

    def table(self, chunk):
        """Return a table of the rows of a chunk with these moments."""
        scale = np.sqrt(self.variance.mean())
        if not np.isfinite(scale):
            raise ValueError(
                "The variance of the rows of all chunks must be finite in float64; got "
                f"{scale**2}. Scale X down first, for example with StandardScaler."
            )
        variance, products, factor = self.variance, self.products, self.factor
        varied = np.abs(self.mean[self.low < self.high])
        if scale <= 10 * np.finfo(np.float64).eps * varied.max(initial=0.0):
            variance, scale = np.zeros_like(variance), 1.0  # rounding errors only
            products = None if products is None else np.zeros_like(products)
            factor = None if factor is None else np.zeros_like(factor)
        return RunningTable(
            X=chunk.X,
            mean=self.mean,
            variance=variance,
            scale=float(scale),
            low=self.low,
            high=self.high,
            products=products,
            sample=chunk.sample,
            has_gaps=chunk.has_gaps,
            n_seen=self.n_samples,
            chunk=chunk,
            factor=factor,
        )


@dataclass(frozen=True)
class Running(Plain):
    """Moments of all rows so far, as the decoder should return and as the encoder reads them."""

    table: Moments
    inputs: Any  # Moments; None if these are the same rows

    parts = {"table": Moments, "inputs": Moments}

    def after(self, table, inputs, paired):
        """Merge with a further chunk; `paired` says whether `inputs` differ from `table`."""
        of_inputs = self.inputs
        if paired:
            of_inputs = Moments.of(inputs) if of_inputs is None else of_inputs.after(inputs)
        return Running(self.table.after(table), of_inputs)

    def tables(self, table, inputs, paired):
        """Return tables of a chunk with these moments, twice the same unless `paired`."""
        running = self.table.table(table)
        return running, self.inputs.table(inputs) if paired else running

    def with_axes_of(self, start, *scatter):
        """Return these moments with the axes of an initial model, where `scatter` is "axes"."""

        def with_axes(moments, of):
            if of != "axes":
                return moments
            norms = np.linalg.norm(start.decoder, axis=1, keepdims=True)
            axes = start.decoder / np.where(norms > 0, norms, 1.0)
            lengths = np.sqrt(start.explained * (moments.n_samples - 1)) * start.input_scale
            return replace(moments, factor=axes * lengths[:, None], n_axes=len(axes))

        return Running(with_axes(self.table, scatter[0]), with_axes(self.inputs, scatter[1]))

    def knows(self, *scatter):
        """Return whether these suffice for an initial model that needs this `scatter`."""
        pairs = zip((self.table, self.inputs), scatter, strict=True)
        return all(of is None or moments.has_scatter for moments, of in pairs)


@dataclass(frozen=True)
class Pairs(Plain):
    """Moments of pairs of rows, clean and corrupted, in units of X."""

    n: int
    clean: np.ndarray  # (d,), mean
    corrupted: np.ndarray  # (d,), mean
    cross: np.ndarray  # (d, d), covariance, clean first
    products: np.ndarray  # (d, d), covariance of corrupted rows

    @classmethod
    def of(cls, moments, table, inputs):
        """Convert moments of standardised rows, as in `linear_denoiser`, to units of X."""
        shift, cross, products = moments
        clean = getattr(table, "chunk", table).mean
        cross = cross - np.outer((clean - table.mean) / table.scale, shift)
        corrupted = shift * inputs.scale + inputs.mean
        scales = table.scale * inputs.scale, inputs.scale**2
        return cls(len(table.X), clean, corrupted, cross * scales[0], products * scales[1])

    def after(self, new):
        """Merge with the moments of further pairs."""
        n = self.n + new.n
        old_share, share = self.n / n, new.n / n
        of_clean, of_corrupted = new.clean - self.clean, new.corrupted - self.corrupted

        def joined(old, new, shift):
            return old_share * old + share * new + old_share * share * np.outer(shift, of_corrupted)

        return Pairs(
            n,
            self.clean + share * of_clean,
            self.corrupted + share * of_corrupted,
            joined(self.cross, new.cross, of_clean),
            joined(self.products, new.products, of_corrupted),
        )

    def standardised(self, table, inputs):
        """Convert to moments of standardised rows, as `linear_denoiser` takes them."""
        shift = (self.corrupted - inputs.mean) / inputs.scale
        cross = self.cross / table.scale / inputs.scale
        return shift, cross, self.products / inputs.scale**2


def moments_of_first(data, latent_dim, scatter):
    """Compute the moments of a first chunk, with the scatter that the initial model needs.

    `scatter` has the kind for `data.table` and for `data.inputs`: see :meth:`Moments.of`.
    """
    of_table, of_inputs = scatter
    inputs = Moments.of(data.inputs, of_inputs, latent_dim) if data.paired else None
    return Running(Moments.of(data.table, of_table, latent_dim), inputs)


def moments_of_fit(data, start, scatter):
    """Compute the moments of the rows of a `fit`, with the axes of its initial model."""
    inputs = Moments.of(data.inputs) if data.paired else None
    return Running(Moments.of(data.table), inputs).with_axes_of(start, *scatter)


def _products(table):
    """Return the unbiased covariance of the rows of a chunk, in units of X squared."""
    if table.products is not None:
        return table.products
    if len(table.X) < 2:
        return np.zeros((len(table.mean), len(table.mean)))
    return table.covariance() * table.scale**2


def _scatter(table, n_axes):
    """Return a matrix R of few rows, with ``R.T @ R`` the scatter of a chunk around its mean."""
    d = len(table.mean)
    if table.has_gaps and d <= EXACT_WIDTH:
        values, axes = eigh(_products(table) * (len(table.X) - 1))
        return (axes * np.sqrt(np.maximum(values, 0.0))).T
    if min(len(table.X), d) > EXACT_WIDTH or table.has_gaps or is_sparse(table.X):
        values, axes = table.principal_axes(n_axes)
        lengths = np.sqrt(values[: axes.shape[1]] * (len(table.X) - 1)) * table.scale
        return (axes * lengths).T
    rows = np.empty((0, d))
    for _, block in blocks(table.X):
        rows = np.vstack([rows, block - table.mean])
        if len(rows) > d:
            rows = np.asarray(np.linalg.qr(rows, mode="r"))
    return rows


def _cut(rows, n_axes):
    """Return the leading axes of rows, each as long as its singular value."""
    _, lengths, axes = np.linalg.svd(rows, full_matrices=False)
    return lengths[:n_axes, None] * axes[:n_axes]
