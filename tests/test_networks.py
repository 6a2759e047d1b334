import math

import pytest
import torch
from torch import nn

from skae.nn.mlp import ACTIVATIONS, mlp, mlp_networks
from skae.nn.networks import Sizes


def test_start_is_that_of_torch():
    """Layers begin exactly as nn.Linear's do, drawn from the generator alone."""
    state = torch.get_rng_state()
    try:
        torch.manual_seed(3)
        reference = [nn.Linear(5, 4), nn.Linear(4, 2)]
    finally:
        torch.set_rng_state(state)
    ours = mlp(5, 2, (4,), "relu", torch.Generator().manual_seed(3), last_zero=False)
    for layer, expected in zip([ours[0], ours[2]], reference, strict=True):
        torch.testing.assert_close(layer.weight, expected.weight, rtol=0, atol=0)
        torch.testing.assert_close(layer.bias, expected.bias, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("hidden", [(), (7,), (7, 3)])
def test_last_layer_can_begin_at_zero(hidden):
    net = mlp(5, 2, hidden, "gelu", torch.Generator().manual_seed(0), last_zero=True)
    assert [m.out_features for m in net if isinstance(m, nn.Linear)] == [*hidden, 2]
    assert not net(torch.ones(3, 5)).any()


def test_the_decoder_mirrors_the_encoder():
    generator = torch.Generator().manual_seed(0)
    networks = mlp_networks(Sizes((5,), 3, 2), (7, 4), "relu", generator, False)
    widths = [[m.out_features for m in net if isinstance(m, nn.Linear)] for net in networks]
    assert widths == [[7, 4, 3], [4, 7, 5]]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    net = mlp(5, 2, (4, 3), activation, torch.Generator().manual_seed(0), last_zero=False)
    assert net(torch.ones(3, 5)).isfinite().all()
    # Hidden layers are activated, the last is not.
    assert sum(type(m) is type(ACTIVATIONS[activation]()) for m in net) == 2
    assert isinstance(net[-1], nn.Linear)


def test_logistic_is_the_sigmoid():
    x = torch.tensor([0.0, 2.0])
    assert ACTIVATIONS["logistic"]()(x).tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-2))])
