"""torch and skorch, imported when they are first needed."""

import contextlib
import functools
import signal
import threading


@functools.cache
def import_torch():
    """Import all that training needs, whole.

    An interrupt in the middle would leave modules that can never be imported again in this
    process: it is held back until the end.
    """
    with _interrupts_held():
        from . import net, threads  # noqa: F401

        threads.spare_forked_children()


@contextlib.contextmanager
def _interrupts_held():
    """A context in which Ctrl-C waits; at its end it does what it would have done."""
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
