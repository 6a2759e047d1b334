"""Inference with a trained net, on arrays and block by block."""

import copy

import numpy as np

from ..data.validation import check_all_finite
from ..devices import float64_device


class Fitted:
    """A trained net, with the specification that it was built from.

    Importing this module does not import torch.

    Parameters
    ----------
    net : AutoencoderNet
    spec : Spec
    n_features : int
        Number of features of the user's rows.
    names : ndarray of str or None
        Names of these features, for error messages.
    takes_gaps : bool
        Whether rows may have missing entries, as NaN.
    """

    def __init__(self, net, spec, n_features, names=None, takes_gaps=False):
        self.net = net
        self.spec = spec
        self.n_features = n_features
        self.names = names
        self.takes_gaps = takes_gaps

    @property
    def module(self):
        """The trained torch module."""
        return self.net.module_

    def by_blocks(self, function, rows, copies=1, at_least=1, beside=()):
        """Apply a function to blocks of an array or a Stream, and return a single array.

        `copies` is the number of copies of each row that are in memory at once. `at_least` is
        the least number of rows in a block. `beside` are further tables: see `in_blocks`.
        """
        from ..data.batches import in_blocks

        if len(rows) == 1 and isinstance(rows, np.ndarray):
            return function(rows, *(table[:] for table in beside))
        return in_blocks(function, rows, copies * self.widest_layer(), at_least, beside)

    def widest_layer(self):
        """Return the size of the widest layer for one row, rows and codes included."""
        from .networks import widest_layer

        row = self.spec.input_shape or (self.n_features,)
        layer = widest_layer(self.spec.network, row, self.spec.hidden_layer_sizes)
        n_decoded = self.spec.family.n_decoded(self.n_features)
        return max(self.n_features, n_decoded, layer, 2 * self.spec.start.latent_dim)

    def encode(self, method, rows):
        """Apply an encoding method of the module to rows; return an array of their dtype."""
        if self.spec.has_gaps:
            return self.of_inputs(method, rows)
        start = self.spec.start
        module, device, to_standardise = encoding_module(
            self.net, rows.dtype, start.input_mean, start.input_scale
        )
        x = self.standardise(rows) if to_standardise else rows
        out = self.apply(getattr(module, method), x, device, rows)
        if self.takes_gaps and not np.isfinite(out).all():
            gaps = ~np.isfinite(out).all(axis=tuple(range(1, out.ndim)))
            out[gaps] = self.of_inputs(method, rows[gaps])
        return out

    def of_inputs(self, method, rows):
        """Apply a method of the module to standardised rows; return an array of their dtype."""

        def applied(module, device, rows):
            return self.apply(getattr(module, method), self.standardise(rows), device, rows)

        return self._by_gaps(applied, rows, rows.dtype)

    def _by_gaps(self, function, rows, dtype):
        """Apply a function of a module, its device and rows, which may have gaps.

        A module that was trained on complete rows gets the rows with gaps by themselves. So what
        is computed of a row does not depend on the others.
        """
        module, device = inference_module(self.net, dtype)
        if module.gaps is not None or not self.takes_gaps:
            return function(module, device, rows)
        gaps = np.isnan(rows[:, : self.n_features]).any(axis=1)
        if not gaps.any():
            return function(module, device, rows)

        def with_gaps():
            from .gaps import Gaps

            other = copy.copy(module)
            other.gaps = Gaps(self.spec.start)
            return other

        other = self.latest(f"gaps {np.dtype(dtype)}", None, with_gaps)
        of_gaps = function(other, device, rows[gaps])
        out = np.empty((len(rows), *of_gaps.shape[1:]), dtype=of_gaps.dtype)
        out[gaps] = of_gaps
        if not gaps.all():
            out[~gaps] = function(module, device, rows[~gaps])
        return out

    def in_units_of_rows(self, log_density, X):
        """Convert log-densities of standardised rows, (n,), to those of rows X.

        The log-density of a row without any entry is 0.
        """
        volume = self.spec.family.log_volume(self.spec.start)
        if not self.takes_gaps:
            return log_density - volume

        def fraction(rows):
            return 1.0 - np.isnan(rows[:, : self.n_features]).mean(axis=1)

        seen = self.by_blocks(fraction, X)
        return np.where(seen > 0, log_density - volume * seen, 0.0)

    def decode(self, method, codes):
        """Apply a decoding method of the module to codes; return an array of their dtype."""
        module, device = inference_module(self.net, codes.dtype)
        return self.apply(getattr(module, method), codes, device)

    def in_float64(self, function, rows):
        """Apply a function of the module in float64, and of x and target as in a Batch.

        Float64 is used because a density with little noise magnifies rounding errors.
        """
        from ..data.batches import as_tensor, standardised

        def applied(module, device, given):
            rows = given.astype(np.float64)
            mean, scale = self.spec.family.units(self.spec.start)
            with np.errstate(over="ignore"):  # `apply` checks the rows
                target = standardised(rows[:, : self.n_features], mean, scale, np.float64)
            target, x = as_tensor(target, device), self.standardise(rows)
            return self.apply(lambda x: function(module, x, target), x, device, given)

        return self._by_gaps(applied, rows, np.float64)

    def latest(self, name, key, make):
        """Return what `make` returned for this key, if it was the latest under this name."""
        known = self.net.inference_cache_
        if name not in known or known[name][0] != key:
            known[name] = key, make()
        return known[name][1]

    def noise_std(self):
        """Return the standard deviation of the homoscedastic noise, in units of X, (d,)."""
        module, _ = inference_module(self.net, np.float64)
        noise = module.head.log_std().detach().exp().cpu().numpy()
        return noise * self.spec.start.scale

    def draw(self, codes, rng):
        """Draw a row for every code from the decoder's distribution, in its units."""
        import torch

        module, device = inference_module(self.net, codes.dtype)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))

        def draw(codes):
            return self.apply(lambda z: module.decode(z).sample(generator), codes, device)

        return self.by_blocks(draw, codes)

    def standardise(self, rows):
        """Standardise rows for the encoder."""
        from ..data.batches import standardised

        start = self.spec.start
        with np.errstate(over="ignore"):  # `apply` checks the rows
            return standardised(rows, start.input_mean, start.input_scale, rows.dtype)

    def apply(self, function, x, device, rows=None):
        """Apply a function of tensors to an array x, and return an array.

        If the result is not finite, raise an error if the `rows` that x was computed from are
        not finite either. The result is checked first because it is smaller than the rows.
        """
        import torch

        from ..data.batches import as_tensor
        from ..threads import tensor_floats

        with torch.inference_mode(), tensor_floats(False, device):
            out = function(as_tensor(x, device)).cpu().numpy()
        if rows is not None and not np.isfinite(out).all():
            with np.errstate(invalid="ignore"):
                self.check_finite(rows)
        return out

    def check_finite(self, rows):
        """Raise an error if rows, which may end in conditions, are not finite."""
        are_rows = rows.shape[1] >= self.n_features  # False for low-resolution images
        check_all_finite(rows, "X", self.names if are_rows else None, gaps=self.takes_gaps)


def inference_module(net, dtype):
    """Return the module of a trained net in a numpy dtype, and its device.

    It is built when it is first needed.
    """
    dtype, known = np.dtype(dtype), net.inference_cache_
    if dtype not in known:
        module, device = net.module_, net.device
        if dtype == np.float64:
            # Built again, as casting module_ would not restore the float64 linear path.
            module = net.module().double()
            module.load_state_dict(net.module_.state_dict())
            module.drop_idle()
            device = float64_device(device)
        known[dtype] = module.to(device).eval(), device
    return known[dtype]


def encoding_module(net, dtype, mean, scale):
    """Return a module that encodes, its device, and whether rows must be standardised."""
    key, known = (np.dtype(dtype), "encoding"), net.inference_cache_
    if key not in known:
        module, device = inference_module(net, dtype)
        absorbing = module.absorbing(mean, scale)
        known[key] = absorbing or module, device, absorbing is None
    return known[key]
