"""The autoencoder that makes images larger, which starts as bicubic interpolation."""

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
from ..starts.pca import pca
from ..starts.start import ERROR_FLOOR
from ..training.threads import suitable_threads, tensor_floats
from ._base import MAX_CODES, BaseAutoencoder, units_of
from ._parameters import check_memory


@dataclass(eq=False, repr=False, kw_only=True)
class SuperResolutionAutoencoder(BaseAutoencoder):
    r"""Autoencoder of small images that answers larger ones; starts as bicubic.

    `fit` takes images at high resolution and makes small ones of them,
    :math:`u = D x`. `upscale` answers bicubic interpolation plus what an upscaling
    network knows of such images, :math:`\hat x = U u + h(u)`: with convolutions those of
    [1]_, which work at low resolution up to the last one. It minimises the squared error,
    and an epoch is kept only where images held out from it come out better, beyond chance,
    than by bicubic interpolation.

    Beside it an autoencoder learns codes of the small images. It begins at their PCA, and
    goes back there unless held-out images are better for what it learned.
    `inverse_transform` upscales what it decodes, with that share of :math:`h` which suits
    images that codes have smoothed. `upscale` needs no code: it does not depend on
    `latent_dim`.

    Parameters
    ----------
    {shared_parameters}
    scale_factor : int, default=2
        How many times as high and as wide an image becomes. A small image has
        ``ceil(size / scale_factor)`` pixels along an axis, and 2 where that would be 1
        (1 where the image has no more).
    upscaler_layer_sizes : "auto", int or array-like of int, default="auto"
        Widths of the hidden layers of the upscaling network, or channels of its 3 x 3
        convolutions; layers that are equally wide are residual. "auto" is (128, 128), and
        (32, 32, 32) for convolutions. With a `network` of one's own, which is that of
        the codes and sees small images, these are convolutions.

    Attributes
    ----------
    low_shape_ : tuple of int
        Shape of a small image, (channels, height, width).
    noise_variance_ : float
        Mean squared error of a pixel of ``upscale(downsample(X))`` on training images.
    {shared_attributes}

    See Also
    --------
    DenoisingAutoencoder : For other pairs of bad and good rows.
    torch.nn.functional.interpolate : Bicubic interpolation, which this starts as.

    Notes
    -----
    Small images are made by antialiased bicubic interpolation, as Pillow's `Image.resize`
    makes them. What is learned holds for images that were made small in this way.

    Rows without a shape are images of one line. Say ``input_shape=(channels, height,
    width)``, or give images in their shape to ``network="conv"``, which is by far the better
    network for them. All images have the size of those of `fit`: large photographs are
    fitted and upscaled in patches.

    Only ``likelihood="gaussian"``: bicubic interpolation overshoots, so it has values
    that are no probabilities.

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

    scale_factor: int = 2
    upscaler_layer_sizes: str | int | Sequence[int] = "auto"

    def upscale(self, X_low):
        """Make small images larger.

        Parameters
        ----------
        X_low : array-like of shape (n_samples, n_low_features)
            Small images, flat or of shape `low_shape_`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Images of the size of those of `fit`, in the dtype of `X_low` and flat where
            that is. Values are not clipped.
        """
        check_is_fitted(self, "net_")
        X_low = as_table(X_low, "X_low")
        X, image = self._upscale(self._validate_low(X_low)), self._spec["input_shape"]
        n_axes = len(X_low.shape)
        return X.reshape(len(X), *image[4 - n_axes :]) if n_axes > 2 else X

    def downsample(self, X):
        """Make images small, as `fit` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_low : ndarray of shape (n_samples, n_low_features)
            In the dtype of X; of shape `low_shape_` where `fit` saw images of a shape.
        """
        check_is_fitted(self, "net_")
        X_low = self._by_blocks(lambda rows: rows, self._low(self._validate_rows(X)))
        axes = len(self._row_shape)
        return X_low.reshape(len(X_low), *self.low_shape_[3 - axes :]) if axes > 1 else X_low

    def transform(self, X):
        """Encode images, small or large.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_low_features) or (n_samples, n_features)
            Large images, which are made small first; or small ones, where images have
            more than one line.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim_)
            The codes of the small images, in the dtype of X.
        """
        check_is_fitted(self, "net_")
        X = as_table(X)
        shape = X.shape
        is_low = len(shape) > 1 and np.prod(shape[1:]) == np.prod(self.low_shape_)
        # A table with too few features must not pass for one of small images.
        is_low = is_low and self._spec["input_shape"][:2] != (1, 1)
        return self._encode(self._validate_low(X) if is_low else self._validate_rows(X))

    def reconstruct(self, X):
        """Make images small and upscale them again.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            ``upscale(downsample(X))``, in the dtype of X. It is what `score` looks at, and
            closer to X than ``inverse_transform(transform(X))``, which knows the code alone.
        """
        return super().reconstruct(X)

    # What differs from other autoencoders

    def _find_input_shape(self):
        shape = super()._find_input_shape()
        if shape is not None and len(shape) == 2 and self.input_shape is None:
            return (1, *shape)
        if shape is not None and len(shape) != 3:
            raise ValueError(
                "SuperResolutionAutoencoder needs input_shape=(channels, height, width), however: "
                f"input_shape={self.input_shape}, and X has rows of shape {self._row_shape}."
            )
        if shape is not None:
            check_channels_first(shape, self.input_shape)
        return shape

    def _own_spec(self):
        from ..nn.upscaler import UPSCALER_SIZES

        default = UPSCALER_SIZES.get(self.network, UPSCALER_SIZES["conv"])
        sizes = self._layer_sizes("upscaler_layer_sizes", default)
        return {"scale_factor": self.scale_factor, "upscaler_layer_sizes": sizes}

    def _is_complete(self, start):
        return False  # images are upscaled without codes

    def _check_layers(self, n_features):
        super()._check_layers(n_features)
        spec, image = self._own_spec(), self._input_shape or ()
        sizes, factor = spec["upscaler_layer_sizes"], int(spec["scale_factor"])
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

    def _classical_start(self, table, inputs, corruption, streams, latent_dim):
        return pca(inputs, latent_dim)

    def _describe(self, table, inputs, corruption, streams, previous):
        """The start is that of the small images, and of bicubic interpolation."""
        from ..nn.bicubic import bicubic_error, low_shape

        spec = super()._describe(inputs, inputs, corruption, streams, previous)
        if spec is vars(self).get("_spec"):
            return spec
        # Pixels are mixed, so that rounding of the largest is an error of the others.
        check_near(table.mean, table.mean, 0.0, table.scale, "X")
        image, noise = spec["input_shape"], 1.0
        if self.init != "random":
            error = bicubic_error(table.sample, image, low_shape(image, spec["scale_factor"]))
            noise = max(error / table.scale**2, ERROR_FLOOR)
        start = spec["start"]
        low_noise, both = start.noise_variance, {"mean": table.mean, "scale": table.scale}
        start = replace(start, noise_variance=noise, **both)
        return {**spec, "start": start, "low_noise_variance": low_noise}

    def _make_module(self, spec):
        from ..nn.bicubic import low_shape
        from ..nn.super_resolution import SuperResolutionModule
        from ..nn.upscaler import upscaler
        from ..random import Streams

        start, image, factor = spec["start"], spec["input_shape"], spec["scale_factor"]
        shapes = low_shape(image, factor), image
        of_low = {"mean": start.input_mean, "scale": start.input_scale}
        low = replace(start, noise_variance=spec["low_noise_variance"], **of_low)
        codes = {**spec, "input_shape": shapes[0], "start": low}
        from_bicubic = spec["init"] != "random"
        network = upscaler(
            spec["network"],
            *shapes,
            factor,
            spec["upscaler_layer_sizes"],
            spec["activation"],
            Streams(seed=spec["seed"]).torch("upscaler"),
            from_bicubic,
        )
        encoder, decoder = self._make_networks(codes, low.latent_dim)
        return SuperResolutionModule(low, start, encoder, decoder, network, shapes, from_bicubic)

    def _set_net(self, net, job):
        """Set the net; held-out rows say which codes to keep, and how to upscale them."""
        from ..nn.bicubic import low_shape

        super()._set_net(net, job)
        self.low_shape_ = low_shape(job.spec["input_shape"], job.spec["scale_factor"])
        held_out = job.split.valid
        if held_out is None or job.spec["init"] == "random":
            net.module_.share.fill_(1.0)
            return
        module = net.module_
        # Sums of one order, however many threads there are.
        with suitable_threads(0), tensor_floats(False, job.device):
            if not net.is_clear(module.gain_of_codes(held_out)):
                module.forget_codes()
            if not net.is_clear(module.fit_share(held_out)):
                module.share.zero_()

    def _after_training(self, inputs, rows, rank):
        self._codes = self._encode(some_rows(inputs, MAX_CODES)).astype(np.float64)
        self.noise_variance_ = float(self._squared_errors(rows).mean() / rows.shape[1])

    # Images of two sizes

    def _low(self, X, image=None, factor=None):
        """Flat small images of flat large ones, an ndarray or a Stream."""
        from ..nn.bicubic import downsampled, low_shape

        image, factor = image or self._spec["input_shape"], factor or self._spec["scale_factor"]
        low = low_shape(image, factor)
        function = functools.partial(
            downsampled, image=image, low=low, names=vars(self).get("feature_names_in_")
        )
        return mapped(function, int(np.prod(low)), X)

    def _validate_low(self, X):
        """Small images as a float array of flat rows, or a Stream."""
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
        start = self._spec["start"]
        check_units(units_of(self._spec), X_low.dtype, "X_low")

        def function(rows):
            module, device = self.net_.inference_module(rows.dtype)
            x = self._apply(module.upscaled_mean, self._standardise(rows), device, rows)
            with np.errstate(over="ignore"):
                x = x * x.dtype.type(start.scale) + start.mean.astype(x.dtype)
            check_finite(x, rows, "X_low")
            return x

        return self._by_blocks(function, X_low)
