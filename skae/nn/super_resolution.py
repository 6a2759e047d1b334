"""The torch module of super-resolution: a residual network on bicubic interpolation."""

import math

import torch

from ..likelihoods.gaussian import GaussianHead
from .autoencoder import AutoencoderModule
from .bicubic import bicubic
from .init import with_zero_output
from .upscaler import ConvUpscaler

_BATCH = 1024


class SuperResolutionModule(AutoencoderModule):
    """Autoencoder of low-resolution rows, with an upscaler after its decoder.

    The two share no weights. The upscaler's output is added to bicubic interpolation, in units
    of the interpolation's error. The upscaler is trained on original low-resolution rows, not
    on decoded ones.

    Parameters
    ----------
    low : skae.starts.start.Start
        Initial model of low-resolution rows.
    start : skae.starts.start.Start
        The same, with mean and scale of high-resolution rows, and with the residual variance
        of bicubic interpolation as noise.
    encoder, decoder, upscaler : Module
    shapes : pair of tuples
        Shapes of a low-resolution and of a high-resolution image.
    from_bicubic : bool
        Whether the upscaler's output is added to bicubic interpolation.
    """

    context: torch.Tensor
    shift: torch.Tensor
    share: torch.Tensor

    def __init__(self, low, start, encoder, decoder, upscaler, shapes, from_bicubic):
        super().__init__(low, encoder, decoder, GaussianHead(low))
        self.upscaler = upscaler
        self.upscaled = GaussianHead(start)
        self.shapes = shapes
        self.ratio = start.input_scale / start.scale if from_bicubic else 0.0
        mean = torch.tensor(start.input_mean, dtype=torch.float64)[None]
        shift = torch.zeros(len(start.mean), dtype=torch.float64)
        if from_bicubic:
            shift = (bicubic(mean, *shapes)[0] - torch.tensor(start.mean)) / start.scale
        self.register_buffer("shift", shift, persistent=False)
        # Convolutions treat all pixels in the same way, so they read the original image:
        # the mean image, which standardisation has subtracted, is added again.
        context = (mean[0] - mean.mean()) / start.input_scale
        if not isinstance(upscaler, ConvUpscaler):
            context = torch.zeros_like(context)
        self.register_buffer("context", context, persistent=False)
        self.contrast = float((1.0 + context.square().mean()).rsqrt())
        # Factor of the upscaler's output for decoded rows, which are smoother than originals.
        self.register_buffer("share", torch.ones((), dtype=torch.float32))

    def upscale(self, x, share=1.0):
        """Return the distribution of a high-resolution row, given the low-resolution one."""
        linear = torch.add(self.shift, bicubic(x, *self.shapes), alpha=self.ratio)
        image = (x + self.context) * self.contrast
        return self.upscaled(linear, share * self._through(self.upscaler, image))

    def upscaled_mean(self, x):
        """Return the mean of a high-resolution row, given the low-resolution one."""
        return self.upscale(x).mean

    def expect(self, z):
        """Return the mean of a high-resolution row, given the code of the low-resolution one."""
        return self.upscale(self.decode(z).mean, self.share).mean

    def forward(self, batch, generator):
        """Return the error of every upscaled row, (batch,).

        The reconstruction error of low-resolution rows contributes a gradient but no value, so
        the validation loss is that of the upscaled rows alone.
        """
        x, target = batch
        of_codes = self.code_errors(x)
        return self.upscale(x).error(target) + (of_codes - of_codes.detach())

    def code_errors(self, x, learned=True):
        """Return the reconstruction error of every low-resolution row, (batch,).

        If `learned` is False, it is the error of the initial model.
        """
        if learned:
            return self.decode(self.encode(x)).error(x)
        linear = self.linear_decoder(self.linear_encoder(x))
        return self.head(linear, torch.zeros_like(linear)).error(x)

    def gain_of_codes(self, rows):
        """Return how much lower each row's error is than the initial model's, ndarray (n_rows,).

        The rows are low-resolution rows and the errors are those of `code_errors`.
        """
        with torch.no_grad():
            gains = [
                self.code_errors(x, learned=False) - self.code_errors(x)
                for x, _ in rows.batches(_BATCH)
            ]
        return torch.cat(gains).cpu().double().numpy()

    def forget_codes(self):
        """Reset encoder and decoder to the initial model."""
        with_zero_output(self.encoder)
        with_zero_output(self.decoder)

    def fit_share(self, rows):
        """Set `share` to the number in [0, 1] with the least squared error on these rows.

        Return how much lower each row's error is than with a share of 0, ndarray (n_rows,).
        """
        products, squares = [], []
        with torch.no_grad():
            for x, target in rows.batches(_BATCH):
                decoded = self.decode(self.encode(x)).mean
                linear = self.upscale(decoded, 0.0).mean
                detail = self.upscale(decoded).mean - linear
                products.append((detail * (target - linear)).sum(-1))
                squares.append(detail.square().sum(-1))
        product, square = (torch.cat(parts).cpu().double() for parts in (products, squares))
        share = (product.sum() / square.sum()).nan_to_num(1.0).clamp(0.0, 1.0)
        self.share.copy_(share)
        precision = math.exp(-2.0 * self.upscaled.start_log_std)
        return (precision * (share * product - 0.5 * share**2 * square)).numpy()
