"""How displays use a fitted transformer."""

import numpy as np
from scipy.special import ndtri
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._rows import flat_rows


def autoencoder_of(estimator):
    """Return the fitted last step of a search or of a Pipeline, or the estimator itself."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    check_is_fitted(estimator)
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def has_prior(model):
    """Return whether codes have the standard normal distribution as prior."""
    return hasattr(model, "posterior") or getattr(model, "prior", None) == "normal"


def rows_for(estimator, X):
    """Return rows in the shape that the estimator expects: flat, unless it has one."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    return X if getattr(estimator, "_input_shape", None) else flat_rows(X)


def encode_rows(estimator, X):
    return np.asarray(estimator.transform(rows_for(estimator, X)))


def decode_codes(estimator, Z):
    if not hasattr(estimator, "inverse_transform"):
        _name_what_cannot_decode(estimator)
    return flat_rows(np.asarray(estimator.inverse_transform(Z)))


def _name_what_cannot_decode(estimator):
    estimator = getattr(estimator, "best_estimator_", estimator)
    check_is_fitted(estimator)
    what = f"{type(estimator).__name__} has none."
    for name, step in getattr(estimator, "steps", []):
        if step != "passthrough" and not hasattr(step, "inverse_transform"):
            what = f"step {name!r} of the Pipeline, a {type(step).__name__}, has none."
            what += " Show pipeline[-1] with rows of pipeline[:-1].transform(X)."
    raise AttributeError(f"Displays of decoded rows need an inverse_transform; {what}")


def reconstruct_rows(estimator, X):
    if hasattr(estimator, "reconstruct"):
        return flat_rows(np.asarray(estimator.reconstruct(rows_for(estimator, X))))
    return decode_codes(estimator, encode_rows(estimator, X))


def latent_grid(estimator, X, n_steps, quantiles):
    """Return quantiles of each latent dimension, (n_latents, n_steps), and the mean code."""
    model = autoencoder_of(estimator)
    first, last = quantiles
    shares: np.ndarray = np.linspace(first, last, n_steps)
    if X is not None:
        codes = encode_rows(estimator, X)
        return np.quantile(codes, shares, axis=0).T, codes.mean(axis=0)
    if not has_prior(model):
        raise ValueError(
            "X must be given where codes have no normal prior; got X=None and "
            f"a {type(model).__name__}. Give the training rows."
        )
    return np.tile(ndtri(shares), (model.latent_dim_, 1)), np.zeros(model.latent_dim_)
