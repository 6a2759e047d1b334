"""What tests have in common that look at a whole process, or at single lines of it."""

import os
import subprocess
import sys


class InterruptedAt:
    """Raises KeyboardInterrupt at the n-th line that runs in a function."""

    def __init__(self, function, number):
        self.code = function.__code__
        self.left = number

    def __call__(self, frame, event, arg):
        if frame.f_code is not self.code:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


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
