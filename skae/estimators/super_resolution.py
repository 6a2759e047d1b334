"""The super-resolution autoencoder, initialised as bicubic interpolation."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ..data.dtypes import float_dtype
from ..data.limits import check_finite, check_near, check_units
from ..data.sources import Stream, flattened, is_stream, mapped
from ..data.table import some_rows
from ..data.validation import (
    as_table,
    check_all_finite,
    check_channels_first,
    check_numbers,
    how_to_turn,
    native,
)
from ..nn.spec import Spec
from ..random import Streams
from ..starts.pca import pca
from ..starts.start import ERROR_FLOOR
from ..threads import suitable_threads, tensor_floats
from ._base import MAX_CODES, BaseAutoencoder
from ._parameters import check_memory


@dataclass(frozen=True, kw_only=True)
class SuperResolutionSpec(Spec):
    """Everything the module of a super-resolution autoencoder is built from.

    `start` is the initial model of small images, with the mean and the scale of large ones.
    """

    scale_factor: int
    upscaler_layer_sizes: tuple
    low_noise_variance: float = 1.0  # residual variance of small images given their codes

    @property
    def low_shape(self):
        """Shape of a small image, (channels, height, width)."""
        from ..nn.bicubic import low_shape

        return low_shape(self.input_shape, self.scale_factor)

    def build(self):
        """Build the torch module, with the weights of the initial model."""
        from ..nn.super_resolution import SuperResolutionModule
        from ..nn.upscaler import upscaler

        start, shapes = self.start, (self.low_shape, self.input_shape)
        low = replace(
            start,
            mean=start.input_mean,
            scale=start.input_scale,
            noise_variance=self.low_noise_variance,
        )
        from_bicubic = self.init != "random"
        network = upscaler(
            self.network,
            *shapes,
            self.scale_factor,
            self.upscaler_layer_sizes,
            self.activation,
            Streams(seed=self.seed).torch("upscaler"),
            from_bicubic,
        )
        of_codes = replace(self, input_shape=shapes[0], start=low)
        encoder, decoder = of_codes.networks(low.latent_dim)
        return SuperResolutionModule(low, start, encoder, decoder, network, shapes, from_bicubic)

    def is_complete(self):
        """Return False: without codes there still is an upscaling network to train."""
        return False


@dataclass(eq=False, repr=False, kw_only=True)
class SuperResolutionAutoencoder(BaseAutoencoder):
    r"""Super-resolution autoencoder initialised as bicubic interpolation.

    `fit` takes images at high resolution and downsamples them, :math:`u = D x`. `upscale`
    returns bicubic interpolation plus the output of an upscaling network,
    :math:`\hat x = U u + h(u)`. With convolutions, this works at low resolution up to its last
    layer [1]_. Training minimises the squared error. An epoch is kept only if it upscales
    validation images better than bicubic interpolation, by more than two standard errors.

    A separate autoencoder learns codes of the small images. It is initialised as PCA, and reset
    to it unless it reconstructs the validation images better. `inverse_transform` decodes codes
    to small images and upscales them. There :math:`h` is multiplied by a factor fitted to the
    validation images, as decoded images are smoother. `upscale` does not depend on the codes.

    Parameters
    ----------
    {shared_parameters}
    scale_factor : int, default=2
        Factor by which the height and the width of an image grow. A small image has
        ``ceil(size / scale_factor)`` pixels along an axis, but at least 2 (or 1, if the large
        image has 1).
    upscaler_layer_sizes : "auto", int or array-like of int, default="auto"
        Widths of the hidden layers of the upscaling network for ``network="mlp"``; otherwise
        channels of its 3 x 3 convolutions, with residual connections between layers of equal
        width. "auto" is (128, 128), or (32, 32, 32) for convolutions.

    Attributes
    ----------
    low_shape_ : tuple of int
        Shape of a small image, (channels, height, width).
    noise_variance_ : float
        Mean squared error per pixel of ``upscale(downsample(X))`` on training images.
    {shared_attributes}

    See Also
    --------
    DenoisingAutoencoder : Autoencoder for other pairs of corrupted and clean rows.
    torch.nn.functional.interpolate : Bicubic interpolation, the initial model.

    Notes
    -----
    Images are downsampled by antialiased bicubic interpolation, like Pillow's `Image.resize`.
    The upscaling network is meant for images that were downsampled in this way.

    Give images in their shape to ``network="conv"``, which is by far the better network for
    them, or flat with ``input_shape=(channels, height, width)``. Other flat rows are treated as
    images of a single line of pixels. All images must have the size of those in `fit`: fit and
    upscale large photographs in patches.

    `network` is "mlp", "conv" or a callable, which builds the networks of the codes from the
    shape of small images. `likelihood` is "gaussian", since bicubic interpolation overshoots
    the range of probabilities.

    References
    ----------
    .. [1] Shi, W. et al. (2016). Real-time single image and video super-resolution using
       an efficient sub-pixel convolutional neural network. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import SuperResolutionAutoencoder
    >>> X = load_digits().images / 16
    >>> model = SuperResolutionAutoencoder(4, network="conv", max_epochs=20, random_state=0)
    >>> X_low = model.fit(X[:1500]).downsample(X[1500:])
    >>> X_low.shape, model.upscale(X_low).shape, model.transform(X_low).shape
    ((297, 4, 4), (297, 8, 8), (297, 4))
    >>> start = SuperResolutionAutoencoder(network="conv", max_epochs=0).fit(X[:1500])
    >>> bicubic, ours = (np.square(m.upscale(X_low) - X[1500:]).mean() for m in (start, model))
    >>> bool(ours < 0.6 * bicubic)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "network": [StrOptions({"mlp", "conv"}), callable],
        "likelihood": [StrOptions({"gaussian"})],
        "scale_factor": [Interval(Integral, 2, None, closed="left")],
        "upscaler_layer_sizes": BaseAutoencoder._parameter_constraints["hidden_layer_sizes"],
    }

    _spec_type: ClassVar[type[Spec]] = SuperResolutionSpec

    scale_factor: int = 2
    upscaler_layer_sizes: str | int | Sequence[int] = "auto"

    def upscale(self, X_low):
        """Upscale small images.

        Parameters
        ----------
        X_low : array-like of shape (n_samples, n_low_features)
            Small images, flat or of shape `low_shape_`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Images of the size of those in `fit`, in the dtype of `X_low`, and flat if `X_low`
            is flat. Values are not clipped.
        """
        check_is_fitted(self, "net_")
        X_low = as_table(X_low, "X_low")
        X, image = self._upscale(self._validate_low(X_low)), self._spec.input_shape
        n_axes = len(X_low.shape)
        return X.reshape(len(X), *image[4 - n_axes :]) if n_axes > 2 else X

    def downsample(self, X):
        """Downsample large images, as `fit` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Large images.

        Returns
        -------
        X_low : ndarray of shape (n_samples, n_low_features)
            Small images in the dtype of X, of shape `low_shape_` if `fit` was given images that
            are not flat.
        """
        check_is_fitted(self, "net_")
        X_low = self._by_blocks(lambda rows: rows, self._low(self._validate_rows(X)))
        axes = len(self._row_shape)
        return X_low.reshape(len(X_low), *self.low_shape_[3 - axes :]) if axes > 1 else X_low

    def transform(self, X):
        """Encode small or large images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_low_features) or (n_samples, n_features)
            Large images, which are downsampled first; or small images. Images of a single line
            must be large.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim_)
            The codes of the small images, in the dtype of X.
        """
        check_is_fitted(self, "net_")
        X = as_table(X)
        shape = X.shape
        is_low = len(shape) > 1 and np.prod(shape[1:]) == np.prod(self.low_shape_)
        # In a table of flat rows, too few features are an error, not small images.
        is_low = is_low and self._spec.input_shape[:2] != (1, 1)
        return self._encode(self._validate_low(X) if is_low else self._validate_rows(X))

    def reconstruct(self, X):
        """Downsample images and upscale them again.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Large images.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            ``upscale(downsample(X))``, in the dtype of X, which `score` evaluates. It is closer
            to X than ``inverse_transform(transform(X))``, which uses the codes only.
        """
        return super().reconstruct(X)

    # Hooks of the base classes

    def _find_input_shape(self):
        shape = super()._find_input_shape()
        if shape is not None and len(shape) == 2 and self.input_shape is None:
            return (1, *shape)
        if shape is not None and len(shape) != 3:
            raise ValueError(
                "SuperResolutionAutoencoder needs input_shape=(channels, height, width); got "
                f"input_shape={self.input_shape} and rows of shape {self._row_shape}."
            )
        if shape is not None:
            check_channels_first(shape, self.input_shape)
        return shape

    def _own_spec(self):
        from ..nn.upscaler import UPSCALER_SIZES

        default = UPSCALER_SIZES.get(self.network, UPSCALER_SIZES["conv"])
        sizes = self._layer_sizes("upscaler_layer_sizes", default)
        return {"scale_factor": self.scale_factor, "upscaler_layer_sizes": sizes}

    def _check_layers(self, n_features):
        super()._check_layers(n_features)
        own, image = self._own_spec(), self._input_shape or ()
        sizes, factor = own["upscaler_layer_sizes"], int(own["scale_factor"])
        what = f"upscaler_layer_sizes={sizes} with scale_factor={factor}"
        if self.network == "mlp":
            check_memory(what, "mlp", (n_features, *sizes, math.prod(image)))
        else:
            check_memory(what, "conv", (image[0], *sizes, image[0] * factor**2))

    def _pair(self, X, extra, previous):
        if self._input_shape is None:
            self._input_shape = (1, 1, X.shape[1])
        return self._low(X, self._input_shape, int(self.scale_factor)), X

    def _pair_validation(self, X, extra, extra_validation):
        return self._low(X, self._input_shape, int(self.scale_factor)), X

    def _scatter_of_start(self):
        return None, None if self.init == "random" else "axes"

    def _classical_start(self, data, streams, latent_dim):
        return pca(data.inputs, latent_dim)

    def _describe(self, data, streams, before):
        """Describe the initial model: PCA of the small images, and bicubic interpolation."""
        from ..nn.bicubic import bicubic_error

        table = data.table
        spec = super()._describe(replace(data, table=data.inputs), streams, before)
        # Interpolation mixes pixels, so the rounding error of the largest affects the others.
        check_near(table.mean, table.mean, 0.0, table.scale, "X")
        noise = 1.0
        if self.init != "random":
            error = bicubic_error(table.sample, spec.input_shape, spec.low_shape)
            noise = max(error / table.scale**2, ERROR_FLOOR)
        start = spec.start
        low_noise = start.noise_variance
        start = replace(start, noise_variance=noise, mean=table.mean, scale=table.scale)
        return replace(spec, start=start, low_noise_variance=low_noise)

    def _refine(self, trained, data):
        """Choose on the validation set whether to keep learned codes, and how to upscale them."""
        self.low_shape_ = trained.spec.low_shape
        held_out, net = trained.split.valid, trained.net
        if held_out is None or trained.spec.init == "random":
            net.module_.share.fill_(1.0)
            return
        module = net.module_
        # One order of summation, however many threads there are.
        with suitable_threads(0), tensor_floats(False, data.device):
            if not net.judge.is_clear(module.gain_of_codes(held_out)):
                module.forget_codes()
            if not net.judge.is_clear(module.fit_share(held_out)):
                module.share.zero_()

    def _after_training(self, inputs, rows, rank):
        self._codes = self._encode(some_rows(inputs, MAX_CODES)).astype(np.float64)
        self.noise_variance_ = float(self._squared_errors(rows, rows).mean() / rows.shape[1])

    # Small and large images

    def _low(self, X, image=None, factor=None):
        """Downsample flat large images to flat small ones, an ndarray or a Stream."""
        from ..nn.bicubic import downsampled, low_shape

        image, factor = image or self._spec.input_shape, factor or self._spec.scale_factor
        low = low_shape(image, factor)
        function = functools.partial(
            downsampled, image=image, low=low, names=vars(self).get("feature_names_in_")
        )
        return mapped(function, int(np.prod(low)), X)

    def _validate_low(self, X):
        """Validate small images; return a float array of flat rows, or a Stream."""
        low, n_features = self.low_shape_, int(np.prod(self.low_shape_))
        X = as_table(X, "X_low")
        check_numbers(X, "X_low")
        rest = tuple(X.shape)[1:]
        if len(rest) > 1 and rest in (low, low[1:] if low[0] == 1 else low):
            X = flattened(X)
            rest = (n_features,)
        if len(rest) < 2:
            if is_stream(X):
                X = Stream(X, "X_low")
            else:
                options = {"input_name": "X_low", "estimator": self, "ensure_all_finite": False}
                X = native(check_array(X, dtype=float_dtype(X), **options))
                check_all_finite(X, "X_low")
            rest = X.shape[1:]
        if rest != (n_features,):
            raise ValueError(
                f"X_low must have rows of shape {low} or of {n_features} features; got rows of "
                f"shape {rest}.{how_to_turn(X, low, 'X_low')}"
            )
        return X

    def _encode(self, X):
        return super()._encode(self._low(X) if X.shape[1] == self.n_features_in_ else X)

    def _reconstruct(self, X):
        return self._upscale(self._low(X))

    def _upscale(self, X_low):
        start, model = self._spec.start, self._model
        check_units(self._spec.units(), X_low.dtype, "X_low")

        def function(rows):
            x = model.of_inputs("upscaled_mean", rows)
            with np.errstate(over="ignore"):
                x = x * x.dtype.type(start.scale) + start.mean.astype(x.dtype)
            check_finite(x, rows, "X_low")
            return x

        return self._by_blocks(function, X_low)
