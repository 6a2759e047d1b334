"""A net trained on an earlier initial model, compared with one on the current initial model."""

from typing import Any, NamedTuple

import torch

from ..data.batches import Rows


class Former(NamedTuple):
    """A fitted net, with validation rows that are standardised by its own initial model.

    Parameters
    ----------
    net : AutoencoderNet
    rows : Rows or None
    corruption : callable or None
        Corruption of the encoder's input, standardised as for this net.
    """

    net: Any
    rows: Rows | None
    corruption: Any

    def losses(self, net):
        """Return validation losses of the former initial model and of the former net.

        Parameters
        ----------
        net : AutoencoderNet
            Net to compare with. The losses are in its units.
        """
        module = self._module(net)
        module.corruption = self.corruption
        factor, offset = self._in_units_of(net)
        module.count_as(net.module_, factor)
        rows = net.get_iterator(self.rows)
        of_start = net._held_out_losses(rows, module)
        module.load_state_dict(self.net.module_.state_dict())
        learned = net.judge.beside_start(of_start, net._held_out_losses(rows, module))
        return of_start * factor + offset, learned * factor + offset

    def back_in(self, net, of_start):
        """Restore the former initial model and weights in `net`; return its validation rows.

        `of_start` are the losses of the former initial model in the net's units, or None.
        """
        if of_start is not None:
            factor, offset = self._in_units_of(net)
            net.of_start_ = (of_start - offset) / factor
            net.best_losses_ = (net.best_losses_ - offset) / factor
        module = self._module(net)
        module.load_state_dict(self.net.module_.state_dict())
        net.module, net.module_ = self.net.module, module
        net.units, net.resolution = self.net.units, self.net.resolution
        return self.rows

    def _module(self, net):
        """Build a new module that equals the former initial model."""
        module = self.net.module().float().to(net.device)
        module.beta = net.beta
        return module.eval()

    def _in_units_of(self, net):
        """Return factor and offset from losses of the former net to those of `net`."""
        (factor, offset), (factor_there, offset_there) = self.net.units, net.units
        return factor / factor_there, (offset - offset_there) / factor_there


class Moved:
    """Corruption whose output is standardised by another initial model.

    Parameters
    ----------
    corruption : callable
    now, then : Start
        Initial models. `now` standardises rows for the corruption, or after it if the
        corruption takes raw rows. `then` standardises the output.
    """

    def __init__(self, corruption, now, then):
        self.corruption = corruption
        self.ratio = now.input_scale / then.input_scale
        self.shift = (now.input_mean - then.input_mean) / then.input_scale

    def __call__(self, x, generator):
        """Corrupt a batch, and standardise it again."""
        x = self.corruption(x, generator)
        return x * self.ratio + torch.as_tensor(self.shift).to(x)
