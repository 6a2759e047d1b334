"""A trained net from the outside: arrays in, arrays out, block by block."""

import numpy as np

from ..data.validation import check_all_finite


class Fitted:
    """A net with what it was built from.

    Importing this imports no torch.

    Parameters
    ----------
    net : AutoencoderNet
    spec : Spec
    n_features : int
        Of rows as a user gives them.
    names : ndarray of str or None
        Of these features, for messages.
    """

    def __init__(self, net, spec, n_features, names=None):
        self.net = net
        self.spec = spec
        self.n_features = n_features
        self.names = names

    @property
    def module(self):
        """The torch module, as it was trained."""
        return self.net.module_

    def by_blocks(self, function, rows, copies=1, at_least=1):
        """A function of rows on blocks of an array or a Stream; one array comes out.

        `copies` is how many of each row are in memory at once, `at_least` how many rows.
        """
        from ..data.batches import in_blocks

        if len(rows) == 1 and isinstance(rows, np.ndarray):
            return function(rows)
        return in_blocks(function, rows, copies * self.widest_layer(), at_least)

    def widest_layer(self):
        """Numbers of the widest layer of networks, rows and codes included, for one row."""
        from .networks import widest_layer

        row = self.spec.input_shape or (self.n_features,)
        layer = widest_layer(self.spec.network, row, self.spec.hidden_layer_sizes)
        return max(self.n_features, layer, 2 * self.spec.start.latent_dim)

    def encode(self, method, rows):
        """A method of the module that encodes, on a block of rows; an array in their dtype."""
        start = self.spec.start
        module, device, to_standardise = self.net.encoding_module(
            rows.dtype, start.input_mean, start.input_scale
        )
        x = self.standardise(rows) if to_standardise else rows
        return self.apply(getattr(module, method), x, device, rows)

    def decode(self, method, codes):
        """A method of the module that decodes, on a block of codes; an array in their dtype."""
        module, device = self.net.inference_module(codes.dtype)
        return self.apply(getattr(module, method), codes, device)

    def in_float64(self, method, rows, *rest):
        """A method of the module on rows, and on these in units of the likelihood.

        A density with little noise magnifies rounding.
        """
        from ..data.batches import as_tensor, standardised

        module, device = self.net.inference_module(np.float64)
        rows = rows.astype(np.float64)
        mean, scale = self.spec.family.units(self.spec.start)
        with np.errstate(over="ignore"):  # what comes of it is checked
            target = standardised(rows[:, : self.n_features], mean, scale, np.float64)
        target, x = as_tensor(target, device), self.standardise(rows)
        return self.apply(lambda x: getattr(module, method)(x, target, *rest), x, device, rows)

    def draw(self, codes, rng):
        """One row for each code, from the decoder's distribution, in its units."""
        import torch

        module, device = self.net.inference_module(codes.dtype)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))

        def draw(codes):
            return self.apply(lambda z: module.decode(z).sample(generator), codes, device)

        return self.by_blocks(draw, codes)

    def standardise(self, rows):
        """Rows as the encoder reads them."""
        from ..data.batches import standardised

        start = self.spec.start
        with np.errstate(over="ignore"):  # what comes of it is checked
            return standardised(rows, start.input_mean, start.input_scale, rows.dtype)

    def apply(self, function, x, device, rows=None):
        """A function of a tensor on an array; what comes out is checked to be numbers.

        What is not finite among the `rows` that x was made of shows in what comes out,
        which is smaller.
        """
        import torch

        from ..data.batches import as_tensor
        from ..training.threads import tensor_floats

        with torch.inference_mode(), tensor_floats(False, device):
            out = function(as_tensor(x, device)).cpu().numpy()
        if rows is not None and not np.isfinite(out).all():
            with np.errstate(invalid="ignore"):
                self.check_finite(rows)
        return out

    def check_finite(self, rows):
        """Refuse what is not finite among rows, which have conditions behind their features."""
        are_rows = rows.shape[1] >= self.n_features  # and not small images made of them
        check_all_finite(rows, "X", self.names if are_rows else None)
