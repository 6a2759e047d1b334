"""Moments of all rows that came in chunks, and the tables that they make.

Moments of a chunk are taken around its own mean and put to those before (Chan, Golub & LeVeque
1983), so neither a large mean nor a mean that drifts costs precision. The scatter around the
mean is kept in one of two ways: as a covariance, which is exact, or as its leading axes, cut
off anew after every chunk, as scikit-learn's IncrementalPCA does (Ross et al. 2008).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..codec import Plain
from .sources import blocks
from .table import EXACT_WIDTH, Table, fix_signs

_BEYOND = 64  # axes kept beyond one for each code, in place of a covariance too large to keep


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
        """Unbiased covariance of all rows, standardised, (d, d).

        Where only axes are kept the variance that they do not explain is put on the diagonal.
        """
        if self.factor is None:
            return super().covariance()
        factor = self.factor / self.scale
        product = factor.T @ factor / (self.n_seen - 1)
        variance = self.variance / np.square(self.scale)
        np.fill_diagonal(product, np.maximum(variance, product.diagonal()))
        return product

    def regressed(self, table, classes):
        """As of a table, of all rows, whose conditions have any mean by now."""
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
        """As of a table, of all rows. Eigenvalues beyond the axes kept are given as their mean."""
        if self.factor is None:
            return super().principal_axes(latent_dim)
        rank = min(self.n_seen, len(self.mean))
        _, singular, axes = np.linalg.svd(self.factor / self.scale, full_matrices=False)
        axes[:, self.low == self.high] = 0.0  # but for rounding they are
        values = singular**2 / (self.n_seen - 1)
        left = (self.variance / np.square(self.scale)).sum() - values.sum()
        rest = max(rank - len(values), 0)
        values = np.append(values, np.full(rest, max(left, 0.0) / max(rest, 1)))
        return values, fix_signs(axes.T)


@dataclass(frozen=True)
class Moments(Plain):
    """What rows so far say."""

    n_samples: int
    mean: np.ndarray  # (d,)
    variance: np.ndarray  # (d,), unbiased
    low: np.ndarray  # (d,)
    high: np.ndarray  # (d,)
    products: Any = None  # (d, d), unbiased covariance
    # (m, d), leading axes, each as long as its singular value: the products of these rows
    # are those of all rows around their mean, but for what was cut off.
    factor: np.ndarray | None = None
    n_axes: int = 0  # the most of them

    @classmethod
    def of(cls, table, scatter=None, latent_dim=0):
        """Those of a table.

        Parameters
        ----------
        table : Table
        scatter : {"axes", "covariance", "exact"} or None
            What to keep of the scatter around the mean: as many axes as there are codes; the
            covariance, and of wide rows some more axes ("covariance") or nothing ("exact"); or
            nothing.
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
        """Whether anything is known of how features hang together."""
        return self.products is not None or self.factor is not None

    def after(self, table):
        """These and those of one more table."""
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
        mean = np.where(low == high, low, mean)  # but for rounding it is
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
        """The rows of a chunk with these moments."""
        scale = np.sqrt(self.variance.mean())
        if not np.isfinite(scale):
            raise ValueError(
                "The variance of the rows of all chunks must be finite in float64; got "
                f"{scale**2}. Scale X down first, for example with StandardScaler."
            )
        variance, products, factor = self.variance, self.products, self.factor
        varied = np.abs(self.mean[self.low < self.high])
        if scale <= 10 * np.finfo(np.float64).eps * varied.max(initial=0.0):
            variance, scale = np.zeros_like(variance), 1.0  # nothing but rounding
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
            n_seen=self.n_samples,
            chunk=chunk,
            factor=factor,
        )


@dataclass(frozen=True)
class Running(Plain):
    """Moments of all rows so far, as the decoder should answer and as the encoder sees them."""

    table: Moments
    inputs: Any  # of Moments; None where these are the same rows

    parts = {"table": Moments, "inputs": Moments}

    def after(self, table, inputs, paired):
        """These and a chunk more; `paired` is whether `inputs` are other rows than `table`."""
        of_inputs = self.inputs
        if paired:
            of_inputs = Moments.of(inputs) if of_inputs is None else of_inputs.after(inputs)
        return Running(self.table.after(table), of_inputs)

    def tables(self, table, inputs, paired):
        """Tables of a chunk with these moments; the same one unless they are `paired`."""
        running = self.table.table(table)
        return running, self.inputs.table(inputs) if paired else running

    def with_axes_of(self, start, *scatter):
        """These, with the axes of a start where axes are what starts are made of."""

        def with_axes(moments, of):
            if of != "axes":
                return moments
            norms = np.linalg.norm(start.decoder, axis=1, keepdims=True)
            axes = start.decoder / np.where(norms > 0, norms, 1.0)
            lengths = np.sqrt(start.explained * (moments.n_samples - 1)) * start.input_scale
            return replace(moments, factor=axes * lengths[:, None], n_axes=len(axes))

        return Running(with_axes(self.table, scatter[0]), with_axes(self.inputs, scatter[1]))

    def knows(self, *scatter):
        """Whether these are enough for a start that is made of this `scatter`."""
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
        """From moments of a table as denoisers take them: see `linear_denoiser`."""
        shift, cross, products = moments
        clean = getattr(table, "chunk", table).mean
        cross = cross - np.outer((clean - table.mean) / table.scale, shift)
        corrupted = shift * inputs.scale + inputs.mean
        scales = table.scale * inputs.scale, inputs.scale**2
        return cls(len(table.X), clean, corrupted, cross * scales[0], products * scales[1])

    def after(self, new):
        """These and some more."""
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
        """As denoisers take them, given what standardises rows."""
        shift = (self.corrupted - inputs.mean) / inputs.scale
        cross = self.cross / table.scale / inputs.scale
        return shift, cross, self.products / inputs.scale**2


def moments_of_first(data, latent_dim, scatter):
    """Moments of the rows of a first chunk, with what starts are made of.

    `scatter` says of which, for both tables of `data`, a FitData: see :meth:`Moments.of`.
    """
    of_table, of_inputs = scatter
    inputs = Moments.of(data.inputs, of_inputs, latent_dim) if data.paired else None
    return Running(Moments.of(data.table, of_table, latent_dim), inputs)


def moments_of_fit(data, start, scatter):
    """Moments of the rows of a fit. Of their scatter there are the axes of the start."""
    inputs = Moments.of(data.inputs) if data.paired else None
    return Running(Moments.of(data.table), inputs).with_axes_of(start, *scatter)


def _products(table):
    """Unbiased covariance of the rows of a chunk, in units of X."""
    if table.products is not None:
        return table.products
    if len(table.X) < 2:
        return np.zeros((len(table.mean), len(table.mean)))
    return table.covariance() * table.scale**2


def _scatter(table, n_axes):
    """Rows whose products are those of a chunk's rows around their mean, not many of them."""
    d = len(table.mean)
    if min(len(table.X), d) > EXACT_WIDTH:
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
    """The leading axes of rows, each as long as its singular value."""
    _, lengths, axes = np.linalg.svd(rows, full_matrices=False)
    return lengths[:n_axes, None] * axes[:n_axes]
