"""What tests have in common that look at a whole process, or at single lines of it."""

import os
import subprocess
import sys
from collections import Counter


class InterruptedAt:
    """Raises KeyboardInterrupt at the n-th line that runs in a function, or in what it calls."""

    def __init__(self, function, number, below=False):
        self.code = function.__code__
        self.left = number
        self.below = below

    def __call__(self, frame, event, arg):
        looked_at = frame.f_back if self.below else frame
        if looked_at is None or looked_at.f_code is not self.code:
            return None
        return self.at

    def at(self, frame, event, arg):
        """Count a line."""
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.at


class InterruptedIn:
    """Raises KeyboardInterrupt at the n-th line that runs in a package, within a function.

    Of a line that runs again and again only the first times count, at `most` so many.
    """

    def __init__(self, package, function, number, most):
        self.folder = os.path.dirname(package.__file__)
        self.function = function.__code__
        self.left, self.most = number, most
        self.is_within = False
        self.times = Counter()

    def __call__(self, frame, event, arg):
        self.is_within = self.is_within or frame.f_code is self.function
        is_here = self.is_within and frame.f_code.co_filename.startswith(self.folder)
        return self.at if is_here else None

    def at(self, frame, event, arg):
        """Count a line."""
        line = frame.f_code, frame.f_lineno
        if event == "line" and self.times[line] < self.most:
            self.times[line] += 1
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        if event == "return" and frame.f_code is self.function:
            self.is_within = False
        return self.at


def output_of(program, **environment):
    """What a program prints; with what it says beside that where it prints nothing."""
    path = os.pathsep.join(sys.path)
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
        timeout=300,
    )
    return run.stdout or run.stderr
