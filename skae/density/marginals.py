"""The frequencies of levels under a trained model, and their correction."""

import numpy as np

from ..points import normal_points

_N_CODES = 4096


def correct(fitted, codes):
    """Change the biases of a decoder so that levels have the frequencies of the training rows.

    Frequencies are averages over codes.

    Parameters
    ----------
    fitted : Fitted
    codes : CodeDensity or None
        Density of codes; None for the prior.

    Returns
    -------
    undo : callable
        Restores the biases.
    """
    import torch

    net, start = fitted.net, fitted.spec.start
    module = net.module_
    if codes is None:
        z = normal_points(_N_CODES, start.latent_dim)
    else:
        z = torch.tensor(codes.draw(_N_CODES, np.random.default_rng(0)))
    bias = module.decoder.output.bias
    before = bias.detach().clone()
    with torch.no_grad():
        bias += fitted.spec.family.corrections(module.eval().decode(z.to(bias)), start.mean)

    def undo():
        with torch.no_grad():
            bias.copy_(before)
        net.inference_cache_.clear()

    net.inference_cache_.clear()
    return undo
