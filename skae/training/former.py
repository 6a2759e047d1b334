"""What was learned on the start of earlier chunks, judged beside a start that has moved on."""

from typing import Any, NamedTuple

import torch

from ..data.batches import Rows


class Former(NamedTuple):
    """A fitted net, with the held-out rows as its own start standardises them.

    Parameters
    ----------
    net : AutoencoderNet
    rows : Rows or None
    corruption : callable or None
        What the encoder's input goes through, standardised as for this net.
    """

    net: Any
    rows: Rows | None
    corruption: Any

    def losses(self, net):
        """Held-out losses of the former start and of what was learned on it, in another's units.

        Parameters
        ----------
        net : AutoencoderNet
            The net that these are compared with.
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
        """Give a net what was learned on the former start, and answer the held-out rows of that.

        `of_start` are the losses of that start in the net's units, or None.
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
        """A new module at the former start."""
        module = self.net.module().float().to(net.device)
        module.beta = net.beta
        return module.eval()

    def _in_units_of(self, net):
        """Factor and offset that turn losses on the former start into a net's."""
        (factor, offset), (factor_there, offset_there) = self.net.units, net.units
        return factor / factor_there, (offset - offset_there) / factor_there


class Moved:
    """A corruption whose rows are standardised as by another start.

    Parameters
    ----------
    corruption : callable
    now, then : Start
        What standardises rows for the corruption (or after it, where it takes raw ones), and
        what should.
    """

    def __init__(self, corruption, now, then):
        self.corruption = corruption
        self.ratio = now.input_scale / then.input_scale
        self.shift = (now.input_mean - then.input_mean) / then.input_scale

    def __call__(self, x, generator):
        """Corrupt a batch."""
        x = self.corruption(x, generator)
        return x * self.ratio + torch.as_tensor(self.shift).to(x)
