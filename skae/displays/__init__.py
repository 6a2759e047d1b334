"""Displays of the latent space, of decoded rows and of training, in scikit-learn's style.

A display stores the data that it draws. `from_estimator` computes the data and draws it, and
`plot` draws it again. The estimator may be any fitted transformer with an `inverse_transform`,
such as `PCA`, a Pipeline or a search. Only :class:`TrainingCurveDisplay` needs an autoencoder.
The displays need matplotlib: ``pip install "skae[plot]"``.
"""

from .latent_manifold import LatentManifoldDisplay
from .latent_space import LatentSpaceDisplay
from .latent_traversal import LatentTraversalDisplay
from .reconstruction import ReconstructionDisplay
from .training_curve import TrainingCurveDisplay

__all__ = [
    "LatentManifoldDisplay",
    "LatentSpaceDisplay",
    "LatentTraversalDisplay",
    "ReconstructionDisplay",
    "TrainingCurveDisplay",
]
