"""Freed memory that the allocator keeps."""

import ctypes
import functools


def give_back():
    """Return freed memory to the system, where the allocator is glibc's; do nothing elsewhere.

    Large arrays of changing sizes fragment the heap of glibc, which can then grow to several
    times what is in use.
    """
    trim = _trimmer()
    if trim is not None:
        trim(0)


@functools.cache
def _trimmer():
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
