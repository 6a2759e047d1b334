"""The frequencies of levels under a trained model, and their correction."""

import numpy as np

from .points import normal_points

_N_CODES = 4096
_ROUNDS = 30


def correct(fitted, codes):
    """Change the biases of a decoder so that levels have the frequencies of the training rows.

    Biases of logits are moved by the logarithm of the ratio of frequencies until they agree, as in
    iterative proportional fitting. Frequencies are averages over codes.

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
    module, family = net.module_, fitted.spec.family
    k, d = start.latent_dim, len(start.mean)
    if codes is None:
        z = normal_points(_N_CODES, k)
    else:
        z = torch.tensor(codes.draw(_N_CODES, np.random.default_rng(0)))
    bias = module.decoder.output.bias
    before = bias.detach().clone()
    first = family.n_decoded(d) - sum(family.n_levels)
    shares = torch.tensor(family.shares(start.mean)).to(bias)
    with torch.no_grad():
        logits = module.eval().decode(z.to(bias)).logits
        moved = torch.zeros_like(shares)
        for _ in range(_ROUNDS):
            found = module.head.levels.log_shares(logits + moved).exp().mean(0)
            moved += torch.log(shares / found.clamp(min=1e-12)).clamp(-1.0, 1.0)
        bias[first:] += moved

    def undo():
        with torch.no_grad():
            bias.copy_(before)
        net.inference_cache_.clear()

    net.inference_cache_.clear()
    return undo
