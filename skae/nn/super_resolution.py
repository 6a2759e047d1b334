"""The torch side of super-resolution: what is learned on top of bicubic interpolation."""

import math

import torch

from ..likelihoods.gaussian import GaussianHead
from .autoencoder import AutoencoderModule
from .bicubic import bicubic
from .init import with_zero_output
from .upscaler import ConvUpscaler

_BATCH = 1024


class SuperResolutionModule(AutoencoderModule):
    """An autoencoder of low-resolution rows, and an upscaler behind its decoder.

    The two share no weights. The upscaler adds to bicubic interpolation, in units of the
    error that this has; it is trained on low-resolution rows as they are, not as decoded.

    Parameters
    ----------
    low : skae.starts.start.Start
        Of low-resolution rows.
    start : skae.starts.start.Start
        The same, with the mean and the scale of high-resolution rows, and the noise that
        bicubic interpolation leaves.
    encoder, decoder, upscaler : Module
    shapes : pair of tuples
        Of a low-resolution image and of a whole one.
    from_bicubic : bool
        Whether bicubic interpolation is there at all.
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
        # Convolutions treat all pixels alike, so they read the image itself, of which
        # standardisation has taken the mean image away.
        context = (mean[0] - mean.mean()) / start.input_scale
        if not isinstance(upscaler, ConvUpscaler):
            context = torch.zeros_like(context)
        self.register_buffer("context", context, persistent=False)
        self.contrast = float((1.0 + context.square().mean()).rsqrt())
        # Of what is added, how much is right for rows that codes have smoothed.
        self.register_buffer("share", torch.ones((), dtype=torch.float32))

    def upscale(self, x, share=1.0):
        """The distribution of a high-resolution row, given the low-resolution one."""
        linear = torch.add(self.shift, bicubic(x, *self.shapes), alpha=self.ratio)
        image = (x + self.context) * self.contrast
        return self.upscaled(linear, share * self._through(self.upscaler, image))

    def upscaled_mean(self, x):
        """The mean of a high-resolution row, given the low-resolution one."""
        return self.upscale(x).mean

    def expect(self, z):
        """The mean of a high-resolution row, given the code of the low-resolution one."""
        return self.upscale(self.decode(z).mean, self.share).mean

    def forward(self, batch, generator):
        """Error of every upscaled row, (batch,); codes are trained beside it.

        Their error has a gradient but no value here: epochs are judged by what is upscaled.
        """
        x, target = batch
        of_codes = self.code_errors(x)
        return self.upscale(x).error(target) + (of_codes - of_codes.detach())

    def code_errors(self, x, learned=True):
        """Error of every low-resolution row as its code has it, or as the start's has."""
        if learned:
            return self.decode(self.encode(x)).error(x)
        linear = self.linear_decoder(self.linear_encoder(x))
        return self.head(linear, torch.zeros_like(linear)).error(x)

    def gain_of_codes(self, rows):
        """By how much learned codes have less error than the start's, (n_rows,), an ndarray."""
        with torch.no_grad():
            gains = [
                self.code_errors(x, learned=False) - self.code_errors(x)
                for x, _ in rows.batches(_BATCH)
            ]
        return torch.cat(gains).cpu().double().numpy()

    def forget_codes(self):
        """Make encoder and decoder those of the start again."""
        with_zero_output(self.encoder)
        with_zero_output(self.decoder)

    def fit_share(self, rows):
        """Set `share` to the number from 0 to 1 of least squared error on these rows.

        Answers by how much every row then has less error than with none, (n_rows,).
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
