"""Threads of OpenMP: none that a forked child waits for, and none on small products."""

from _programs import output_of

FORKED = """
import multiprocessing
import numpy as np
import torch
from skae import AutoencoderTransformer, VAETransformer

X = np.random.default_rng(0).standard_normal((600, 64))
options = {"hidden_layer_sizes": (512, 256), "batch_size": 256, "max_epochs": 1, "random_state": 0}


def fit(part):
    both = AutoencoderTransformer, VAETransformer
    return [cls(2, **options).fit(part).score(part) for cls in both]


if __name__ == "__main__":
    torch.set_num_threads(2)
    model = AutoencoderTransformer(2, **options).fit(X)
    model.sample(2)
    parts = np.array_split(X, 2)
    for function in (model.transform, model.score, model.sample, model.partial_fit, fit):
        arguments = (2, 3) if function == model.sample else parts
        with multiprocessing.get_context("fork").Pool(2) as pool:
            there = pool.map_async(function, arguments).get(100)
        if function == model.transform:
            np.testing.assert_allclose(np.concatenate(there), model.transform(X), atol=1e-5)
    print("done", torch.get_num_threads())
"""


def test_forked_children_return():
    assert output_of(FORKED, OMP_NUM_THREADS="2") == "done 2\n"
