"""The autoencoder that starts as independent component analysis."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.utils._param_validation import StrOptions

from skae.data.table import some_rows
from skae.estimators._base import BaseAutoencoder
from skae.starts.pca import pca


@dataclass(eq=False, repr=False, kw_only=True)
class IndependentAutoencoder(BaseAutoencoder):
    """Autoencoder that starts as independent component analysis.

    The codes of PCA, each with variance 1, are rotated until they are as independent as a
    rotation makes them. The reconstruction of the start is PCA's.

    Parameters
    ----------
    {shared_parameters}
    fun : {"logcosh", "exp", "cube"}, default="logcosh"
        What `sklearn.decomposition.FastICA` measures independence by.

    Attributes
    ----------
    noise_variance_ : float
        Mean squared error that the codes leave per remaining dimension, as in PCA.
    {shared_attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from independent import IndependentAutoencoder
    >>> rng = np.random.default_rng(0)
    >>> sources = rng.uniform(-1, 1, (1000, 2))
    >>> X = sources @ [[2, 1, 1], [1, 2, -1]] + 0.01 * rng.standard_normal((1000, 3))
    >>> model = IndependentAutoencoder(2, max_epochs=0, random_state=0).fit(X)
    >>> together = np.corrcoef(model.transform(X).T, sources.T)[:2, 2:]
    >>> bool((np.abs(together).max(axis=1) > 0.99).all())  # each code is one source
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "likelihood": [StrOptions({"gaussian"})],
        "fun": [StrOptions({"logcosh", "exp", "cube"})],
    }

    fun: str = "logcosh"

    def _classical_start(self, data, streams, latent_dim):
        table = data.table
        start = pca(table, latent_dim)
        if start.latent_dim == 0:  # as latent_dim=0 may ask for
            return start
        codes = table.standard(some_rows(table.sample)) @ start.encoder
        seed = streams.integer("rotation")
        ica = FastICA(fun=self.fun, whiten=False, max_iter=1000, random_state=seed).fit(codes)
        rotation = ica.components_.T
        return replace(
            start,
            encoder=start.encoder @ rotation,
            decoder=rotation.T @ start.decoder,
            code_scale=np.ones(start.latent_dim),
            log_variance=np.log(np.exp(start.log_variance) @ rotation**2),
        )
