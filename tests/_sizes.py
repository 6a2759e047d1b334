"""Sizes of memory and of blocks: the one place in the tests that knows where they are kept."""

PLACES = {
    "resident": "skae.data.sources.RESIDENT",  # of a table that may be copied whole
    "block": "skae.data.sources._BLOCK",  # read at a time
    "shuffled_block": "skae.data.sources._FINE",  # read at a time in any order, from storage
    "shuffled_block_in_memory": "skae.data.sources._FINEST",
    "chunk": "skae.data.sources._LARGEST",  # of storage, that is read at once
    "group": "skae.data.batches._GROUP",  # of rows that are shuffled together
    "array": "skae.data.batches._BLOCK",  # of a batched computation
    "kept": "skae.data.split._KEPT",  # of the rows held out of a large table
    "kept_rows": "skae.training.chunks._MOST_ROWS",  # held out of all chunks; rows, not numbers
    "sketch": "skae.data.table._SKETCH",  # axes of a wide table, beyond those asked for
    "exact_width": "skae.data.table.EXACT_WIDTH",  # features of which a covariance is formed
    "exact_length": "skae.data.table._EXACT_LENGTH",  # rows or features that an SVD is made of
}


def small_memory(monkeypatch, **sizes):
    """Change sizes for one test, as if there was little memory; most are of numbers."""
    for name, size in sizes.items():
        monkeypatch.setattr(PLACES[name], size)


def ample_device(monkeypatch):
    """Let tables of any size have a place on the device, for one test."""
    monkeypatch.setattr("skae.data.fit_data.fits_on", lambda device, X: True)
