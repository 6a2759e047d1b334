"""Pictures of codes, of what they decode to and of training, as scikit-learn's displays.

A display keeps the data that it draws; `from_estimator` computes them and draws, and
`plot` draws again. Estimators may be any fitted transformer with an `inverse_transform`,
such as `PCA`, a Pipeline or a search; only :class:`TrainingCurveDisplay` needs an
autoencoder. ``pip install "skae[plot]"`` brings the matplotlib that they draw with.
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
