"""Lazy import of torch and skorch."""

import contextlib
import functools
import signal
import threading


@functools.cache
def import_torch():
    """Import all modules that training needs, without interrupts.

    An interrupt during the import would leave modules that this process can never import again,
    so it is delayed until the import ends.
    """
    with _interrupts_held():
        from .. import threads
        from . import net  # noqa: F401

        threads.spare_forked_children()


@contextlib.contextmanager
def _interrupts_held():
    """Delay Ctrl-C until the end of the context."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield  # signals go to the main thread, and to handlers in C
        return
    came: list = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)
