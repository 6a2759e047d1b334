"""What the networks of a VAE say, in the units of X, and parts of its density."""

import pickle

import numpy as np
import torch

from skae.nn.fitted import inference_module


def unit(vae):
    """The unit of standardised rows."""
    module, _ = inference_module(vae.net_, np.float64)
    std = module.head.log_std().detach().exp().numpy()
    return float((np.sqrt(vae.noise_variance_) / std).mean())


def standardised(vae, X):
    """Rows as the networks read them."""
    return torch.tensor((X - vae.mean_) / unit(vae))


def decoded(vae, codes):
    """Means and standard deviations of rows, given codes in the order of the networks."""
    module, _ = inference_module(vae.net_, np.float64)
    with torch.inference_mode():
        rows = module.decode(torch.tensor(codes))
    std = rows.std.expand_as(rows.mean)
    return vae.mean_ + unit(vae) * rows.mean.numpy(), unit(vae) * std.numpy()


def part_of(vae, name):
    """A copy whose density is one part of the mixture alone, such as "decoder"."""
    copy = pickle.loads(pickle.dumps(vae))
    copy.density_shares_.update({other: float(other == name) for other in vae.density_shares_})
    return copy
