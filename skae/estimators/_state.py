"""Conversion of the fitted state of an estimator to plain arrays, and back."""

from typing import Any, ClassVar

import numpy as np

from ..codec import Plain
from ..data.moments import Running
from ..density.codes import CodeDensity
from ..devices import is_available
from ..likelihoods import of_columns
from ..nn.spec import Spec
from ..state import check_stamp, stamp
from ..training.chunks import Chunks
from ._modes import ordinary_modes
from ._parameters import Parameters


class State(Parameters):
    """Base class: pickling, with no torch object in the pickle."""

    net_: Any  # AutoencoderNet
    device_: str
    latent_dim_: int
    mean_: np.ndarray
    n_samples_: int
    _spec: Any  # Spec: everything the module is built from
    _spec_type: ClassVar[type[Spec]]
    _chunks: Any  # Chunks: validation rows of `partial_fit`; None after `fit`
    _running: Any  # Running: moments of all rows so far
    _row_shape: tuple  # of a row of X, as given by the user
    _input_shape: tuple | None  # of a row as the networks see it
    _dtype: str  # of samples
    _total_variance: float
    _density_of_codes: CodeDensity | None  # that `sample` draws from, for models without a prior
    _codes: np.ndarray  # that it is fitted to
    _fitted: list  # names of all attributes set by a fit

    # Fitted attributes that are pickled as arrays, beside the spec, with their types.
    _parts: ClassVar[dict[str, type[Plain]]] = {
        "_chunks": Chunks,
        "_running": Running,
        "_density_of_codes": CodeDensity,
    }

    def __sklearn_is_fitted__(self):
        return "net_" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self._reads_gaps
        tags.input_tags.sparse = self._reads_sparse
        tags.input_tags.categorical = tags.input_tags.string = of_columns(self.likelihood)
        return tags

    def __getstate__(self):
        """Return the state as plain arrays and values, with no torch object among them."""
        state = super().__getstate__().copy()
        if "net_" in state:
            state["net_"] = self.net_.to_arrays()
            for name in ("_spec", *self._parts):
                if state.get(name) is not None:
                    state[name] = state[name].to_arrays()
            state |= stamp()
        return state

    def __setstate__(self, state):
        state = state.copy()
        if "net_" in state:
            check_stamp(type(self).__name__, state, stacklevel=2)
        arrays = state.pop("net_", None)
        super().__setstate__(state)
        if arrays is not None:
            for name, part in {"_spec": self._spec_type, **self._parts}.items():
                if vars(self).get(name) is not None:
                    setattr(self, name, part.from_arrays(vars(self)[name]))
            with ordinary_modes():
                from ..training.train import make_net

                if not is_available(self.device_):
                    self.device_ = "cpu"
                self.net_ = make_net(self._spec, self.device_).from_arrays(arrays)
