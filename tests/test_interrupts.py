"""Ctrl-C at any moment: while torch is imported, and at any line of what training does."""

import itertools
import sys

import numpy as np
import pytest
import torch
from _programs import InterruptedIn, output_of
from skorch.callbacks import Callback

import skae.training
from skae import AutoencoderTransformer, VAETransformer
from skae.training.net import AutoencoderNet


def weights_of(net):
    return [value.clone() for value in net.module_.state_dict().values()]


class Watch(Callback):
    """Keeps a copy of the weights of every epoch."""

    def on_train_begin(self, net, **kwargs):
        self.weights = [weights_of(net)]

    def on_epoch_end(self, net, **kwargs):
        self.weights.append(weights_of(net))


class Spoil(Callback):
    """Leaves other weights than those of any epoch behind."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == net.max_epochs:
            for value in net.module_.parameters():
                value.data.add_(1.0)


@pytest.mark.parametrize(("cls", "most"), [(AutoencoderTransformer, 2), (VAETransformer, 1)])
def test_a_fit_is_as_before_or_that_of_its_best_epoch(cls, most, bent):
    """At any line of training, the first times that it runs."""
    X, old = bent, bent[200:260]
    options = {"max_epochs": 3, "batch_size": 64, "lr": 0.05, "random_state": 0}
    options["hidden_layer_sizes"] = 16
    watch = Watch()
    whole = cls(2, callbacks=[watch], **options).fit(X)
    assert whole.best_epoch_ > 0
    model = cls(2, callbacks=[Spoil()], **options).fit(old)
    fitted = vars(model).copy()
    before = model.transform(X)
    n_kept = n_taken_over = 0
    for number in itertools.count(1):
        model.__dict__ = fitted.copy()
        sys.settrace(InterruptedIn(skae.training, AutoencoderNet.partial_fit, number, most))
        try:
            model.fit(X)
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        assert torch.is_grad_enabled()
        if model.n_samples_ == len(old):
            np.testing.assert_array_equal(model.transform(X), before)
            n_kept += 1
            continue
        n_taken_over += 1
        assert model.n_iter_ + 1 == len(model.validation_curve_)
        kept = model.net_.module_.state_dict()
        expected = dict(zip(kept, watch.weights[model.best_epoch_], strict=True))
        for part, value in kept.items():
            if not part.startswith("noise."):  # which is judged after the last epoch
                assert torch.equal(value, expected[part])
    assert n_kept > 10
    assert n_taken_over > 100


AT_IMPORT = """
import importlib.abc, signal, sys
import numpy as np
import skae

signal.signal(signal.SIGINT, signal.default_int_handler)


class Interrupt(importlib.abc.MetaPathFinder):
    names = ["torch", "torch.nn", "torch.optim", "skorch", "skae.training.net"]

    def find_spec(self, name, path, target=None):
        if name in self.names:
            self.names.remove(name)
            signal.raise_signal(signal.SIGINT)


sys.meta_path.insert(0, Interrupt())
assert "torch" not in sys.modules
model, X = skae.AutoencoderTransformer(2, max_epochs=1), np.random.default_rng(0).random((60, 4))
try:
    model.fit(X)
except KeyboardInterrupt:
    assert not Interrupt.names, Interrupt.names
    assert not hasattr(model, "net_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print(model.fit(X).transform(X).shape)
"""


def test_an_interrupt_waits_until_torch_is_imported():
    assert output_of(AT_IMPORT) == "(60, 2)\n"
