"""Contenders alternate in one process; medians and ratios are what is reported."""

import statistics
import time


def alternate(contenders, repeats):
    """Median seconds of each contender, which take turns.

    Parameters
    ----------
    contenders : dict of callables
        Each returns the seconds it took, or None to have the call itself timed.
    repeats : int
        Turns, after one to warm up.
    """
    seconds = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, run in contenders.items():
            began = time.perf_counter()
            own = run()
            if turn:
                seconds[name].append(time.perf_counter() - began if own is None else own)
    return {name: statistics.median(times) for name, times in seconds.items()}
