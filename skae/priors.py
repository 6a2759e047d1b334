"""What codes are to be distributed like: functions that draw from a prior (numpy).

Every one is called as ``prior(n_samples, latent_dim, rng)``, as a user's own, and answers
an array of shape (n_samples, latent_dim).
"""

import numpy as np

from .data.returned import as_returned

_POOL = 2**16  # draws that training picks from, and that moments are taken of
_THICKNESS = 0.5  # of the roll, as `noise` of sklearn.datasets.make_swiss_roll


def normal(n_samples, latent_dim, rng):
    """Independent standard normal numbers."""
    return rng.standard_normal((n_samples, latent_dim))


def uniform(n_samples, latent_dim, rng):
    """Independent uniform numbers of variance 1."""
    return rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), (n_samples, latent_dim))


def swiss_roll(n_samples, latent_dim, rng):
    """The roll of :func:`sklearn.datasets.make_swiss_roll` seen from its side, standardised."""
    if latent_dim != 2:
        raise ValueError(
            f"prior='swiss_roll' is two-dimensional, however: latent_dim={latent_dim}. Use "
            "latent_dim=2 or another prior."
        )
    angle = 1.5 * np.pi * (1.0 + 2.0 * rng.random(n_samples))
    roll = angle[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    roll += _THICKNESS * rng.standard_normal(roll.shape)
    mean, variance = _moments_of_the_roll()
    return (roll - mean) / np.sqrt(variance)


BUILT_IN = {"normal": normal, "uniform": uniform, "swiss_roll": swiss_roll}


def draw(prior, n_samples, latent_dim, rng):
    """Draws from a prior by name or from a user's callable, checked, in float64."""
    if not callable(prior):
        return BUILT_IN[prior](n_samples, latent_dim, rng)
    return as_returned("prior", prior(n_samples, latent_dim, rng), (n_samples, latent_dim))


def moments(prior, latent_dim, rng):
    """Mean and standard deviation of every latent, (k,) each: of a callable's by its draws."""
    if not callable(prior):
        draw(prior, 1, latent_dim, rng)  # an error where it does not go with latent_dim
        return np.zeros(latent_dim), np.ones(latent_dim)
    drawn = draw(prior, _POOL, latent_dim, rng)
    spread = drawn.std(axis=0)
    if (spread <= 1e-10 * np.abs(drawn).max(axis=0)).any():
        raise ValueError(
            f"prior must vary in every latent, however: its standard deviations are {spread}."
        )
    return drawn.mean(axis=0), spread


def pool(prior, mean, spread, seed):
    """Many standardised draws, for training to pick from, in float32."""
    drawn = draw(prior, _POOL, len(mean), np.random.default_rng(seed))
    return ((drawn - mean) / spread).astype(np.float32)


def great_circle(a, b, shares):
    """Codes on the way from a to b where those of a normal prior are (Shoemake 1985)."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosine = (a * b).sum(axis=-1) / np.maximum(norms, np.finfo(a.dtype).tiny)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))[..., None]
    # Between codes in one direction, in opposite ones or without one there is no circle.
    sine = np.where(norms > 0, np.sin(angle[..., 0]), 0.0)[..., None]
    known = sine > 1e-4
    turned = np.sin((1 - shares) * angle) * a + np.sin(shares * angle) * b
    straight = (1 - shares) * a + shares * b
    return np.where(known, turned / np.where(known, sine, 1.0), straight).astype(a.dtype)


def _moments_of_the_roll():
    """Of x = t cos t and y = t sin t with t uniform on [a, b] = [3 pi / 2, 9 pi / 2].

    With noise; by parts, and as cos a = cos b = 0, sin a = -1 and sin b = 1.
    """
    a, b = 1.5 * np.pi, 4.5 * np.pi
    mean = np.array([a + b, 2.0]) / (b - a)
    # t^2 cos^2 t = t^2 / 2 + t^2 cos(2t) / 2, and the integral of t^2 cos 2t is (a - b) / 2.
    half, turned = (b**3 - a**3) / 6.0, (a - b) / 4.0
    squares = np.array([half + turned, half - turned]) / (b - a)
    return mean, squares - mean**2 + _THICKNESS**2
