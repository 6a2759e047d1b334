"""`partial_fit`: how an autoencoder is fitted on one chunk of rows after another."""

from dataclasses import replace

import numpy as np

from ..data.moments import RunningTable, moments_of_first
from ..data.split import Wishes
from ..data.table import some_rows
from ..random import Streams
from ..training.callbacks import check_callbacks
from ..training.chunks import Chunks
from ._methods import Methods


class InChunks(Methods):
    """Base class: the steps of `partial_fit`."""

    def _partial_fit(self, X, extra):
        """Train for one epoch on a chunk, validated on rows held out of all chunks."""
        from ..training.train import Progress, train_chunk

        previous = vars(self).get("net_")
        if previous is None:
            self._forget()
            before = Progress()
        else:
            curves = self.loss_curve_, self.validation_curve_
            before = Progress(self.n_samples_, self.n_iter_, self.best_epoch_, *curves)
        chunks = vars(self).get("_chunks") or Chunks(Streams(self.random_state).seed)
        streams = chunks.streams()
        data = self._read(X, extra, previous, streams, Wishes(), chunks)
        rows_before = data.chunks
        spec = self._spec_of_chunk(data, streams).with_gaps(data.has_gaps)
        data.check(spec)
        split = data.split(spec)
        held_out = data.rows_held_out()
        if held_out is not None:
            held_out = tuple(None if rows is None else rows[:] for rows in held_out)
        data = replace(data, chunks=rows_before.after(held_out, streams))
        valid = data.chunks.rows(data.device, spec.start, spec.start, spec.family, data.corruption)
        check_callbacks(self.callbacks, valid is not None)
        options = self._training_options(spec, streams, len(split.train), in_chunks=True)
        former = self._former(data, spec)
        keep_latest = self.validation_fraction is None
        split = split._replace(valid=valid)
        trained, kept = train_chunk(spec, split, data, options, previous, former, keep_latest)
        if kept == "former":
            split = split._replace(valid=former.rows)
            trained = trained._replace(spec=self._spec, split=split)

        self._chunks = data.chunks
        running = data.running
        if running is None:
            running = moments_of_first(data, spec.start.latent_dim, self._scatter_of_start())
        self._running = running
        progress = before.after_chunk(trained.net, len(data.table.X), kept)
        trained.net.best_epoch_ = progress.best_epoch
        rank = min(progress.n_samples, data.table.X.shape[1])
        rows = *_rows_so_far(data, rows_before, before.n_samples), rank
        self._adopt(trained, data, progress, running.table, rows)

    def _spec_of_chunk(self, data, streams):
        """Return the spec of the module, with the initial model of the rows of all chunks.

        If the moments of earlier rows do not suffice to update the initial model, it stays.
        """
        before = vars(self).get("_spec")
        if before is None:
            return self._describe(data, streams, None)
        if not isinstance(data.table, RunningTable):
            return before
        seen, rows = _rows_so_far(data, data.chunks, self.n_samples_)
        table = replace(data.table, sample=rows)
        inputs = replace(data.inputs, sample=seen) if data.paired else table
        return self._describe(replace(data, table=table, inputs=inputs), streams, before)

    def _former(self, data, spec):
        """Return the model kept so far, to compare it with the updated initial model."""
        from ..training.former import Former, Moved

        before = vars(self).get("_spec")
        if before is None or spec is before:
            return None
        then, now, corruption = before.start, spec.start, data.corruption
        # The corruption expects rows standardised by the current initial model.
        read_by = then if corruption is None else now
        with np.errstate(over="ignore"):  # rows may be far from the former mean
            rows = data.chunks.rows(data.device, read_by, then, spec.family, corruption)
        return Former(self.net_, rows, None if corruption is None else Moved(corruption, now, then))


def _rows_so_far(data, before, n_before):
    """Return a sample of the rows of all chunks, for the encoder and for the loss.

    Rows of this chunk are sampled at the rate at which the `n_before` earlier ones are known.
    """
    seen, rows = data.inputs.sample, data.table.sample
    if before.x is None:
        return seen, rows
    n = max(1, round(len(before.x) * len(data.table.X) / n_before))
    known = np.concatenate([before.x, some_rows(seen, n)[:]])
    if not data.paired:
        return known, known
    return known, np.concatenate([before.target, some_rows(rows, n)[:]])
