"""Priors of codes: functions that draw from them (numpy).

Each is called as ``prior(n_samples, latent_dim, rng)``, like a user's callable, and returns an
array of shape (n_samples, latent_dim).
"""

import numpy as np

from .data.returned import as_returned

_POOL = 2**16  # draws that training selects from, and that moments are estimated from
_THICKNESS = 0.5  # of the roll, as `noise` of sklearn.datasets.make_swiss_roll


def normal(n_samples, latent_dim, rng):
    """Draw independent standard normal numbers."""
    return rng.standard_normal((n_samples, latent_dim))


def uniform(n_samples, latent_dim, rng):
    """Draw independent uniform numbers of mean 0 and variance 1."""
    return rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), (n_samples, latent_dim))


def swiss_roll(n_samples, latent_dim, rng):
    """Draw from the side view of :func:`sklearn.datasets.make_swiss_roll`, standardised."""
    if latent_dim != 2:
        raise ValueError(
            f"prior='swiss_roll' is two-dimensional; got latent_dim={latent_dim}. Use "
            "latent_dim=2 or another prior."
        )
    angle = 1.5 * np.pi * (1.0 + 2.0 * rng.random(n_samples))
    roll = angle[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    roll += _THICKNESS * rng.standard_normal(roll.shape)
    mean, variance = _moments_of_the_roll()
    return (roll - mean) / np.sqrt(variance)


BUILT_IN = {"normal": normal, "uniform": uniform, "swiss_roll": swiss_roll}


def draw(prior, n_samples, latent_dim, rng):
    """Draw from a prior by name or from a user's callable, checked, in float64."""
    if not callable(prior):
        return BUILT_IN[prior](n_samples, latent_dim, rng)
    return as_returned("prior", prior(n_samples, latent_dim, rng), (n_samples, latent_dim))


def moments(prior, latent_dim, rng):
    """Return mean and standard deviation per latent dimension, (k,) each.

    Those of a callable are estimated from draws.
    """
    if not callable(prior):
        draw(prior, 1, latent_dim, rng)  # raises an error if the prior does not fit latent_dim
        return np.zeros(latent_dim), np.ones(latent_dim)
    drawn = draw(prior, _POOL, latent_dim, rng)
    spread = drawn.std(axis=0)
    if (spread <= 1e-10 * np.abs(drawn).max(axis=0)).any():
        raise ValueError(f"prior must vary in every latent; got standard deviations {spread}.")
    return drawn.mean(axis=0), spread


def pool(prior, mean, spread, seed):
    """Return many standardised draws in float32, for training to select from."""
    drawn = draw(prior, _POOL, len(mean), np.random.default_rng(seed))
    return ((drawn - mean) / spread).astype(np.float32)


def great_circle(a, b, shares):
    """Interpolate codes spherically from a to b (Shoemake 1985), as suits a normal prior."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosine = (a * b).sum(axis=-1) / np.maximum(norms, np.finfo(a.dtype).tiny)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))[..., None]
    # No great circle is defined between parallel, opposite or zero codes: interpolate linearly.
    sine = np.where(norms > 0, np.sin(angle[..., 0]), 0.0)[..., None]
    known = sine > 1e-4
    turned = np.sin((1 - shares) * angle) * a + np.sin(shares * angle) * b
    straight = (1 - shares) * a + shares * b
    return np.where(known, turned / np.where(known, sine, 1.0), straight).astype(a.dtype)


def _moments_of_the_roll():
    """Return mean and variance of the roll, with noise.

    It is x = t cos t and y = t sin t with t uniform on [a, b] = [3 pi / 2, 9 pi / 2]. The
    integrals follow by parts, with cos a = cos b = 0, sin a = -1 and sin b = 1.
    """
    a, b = 1.5 * np.pi, 4.5 * np.pi
    mean = np.array([a + b, 2.0]) / (b - a)
    # t^2 cos^2 t = t^2 / 2 + t^2 cos(2t) / 2, and the integral of t^2 cos 2t is (a - b) / 2.
    half, turned = (b**3 - a**3) / 6.0, (a - b) / 4.0
    squares = np.array([half + turned, half - turned]) / (b - a)
    return mean, squares - mean**2 + _THICKNESS**2
