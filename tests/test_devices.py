"""What is asked of CUDA where there is none: its calls are written down."""

import contextlib
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from skae import devices

GENERATOR = SimpleNamespace(device="cuda:1")


class FakeCuda(threading.local):
    """The part of `torch.cuda` that a capture needs, with calls and a current stream per thread."""

    capturing = 0  # of all threads

    def __init__(self):
        self.calls = []
        self.current = "main"

    def device(self, device):
        self.calls.append(f"on {device}")
        return contextlib.nullcontext()

    def Stream(self):
        return SimpleNamespace(wait_stream=lambda other: self.calls.append("side waits"))

    def current_stream(self):
        return SimpleNamespace(wait_stream=lambda other: self.calls.append("main waits"))

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def CUDAGraph(self):
        return SimpleNamespace(
            register_generator_state=lambda generator: self.calls.append("registered"),
            replay="replay",
        )

    @contextlib.contextmanager
    def graph(self, graph, stream, capture_error_mode):
        assert stream is self.current
        self.calls.append(f"capture, {capture_error_mode}")
        before, self.current = self.current, "captured"
        FakeCuda.capturing += 1
        try:
            yield
        finally:
            FakeCuda.capturing -= 1
        self.current = before  # torch, too, leaves the stream after a failure


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda()
    for name in ("Stream", "current_stream", "device", "stream", "CUDAGraph", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    return fake


def test_a_step_is_captured_on_the_stream_of_its_trials(cuda):
    streams = []

    def run(name):
        cuda.calls.append(name)
        streams.append(cuda.current)

    capture = devices.KINDS["cuda"].capture
    assert capture(lambda: run("trial"), lambda: run("step"), GENERATOR) == "replay"
    assert cuda.calls == [
        *("on cuda:1", "side waits", "trial", "trial", "trial"),
        *("registered", "capture, thread_local", "step", "main waits"),
    ]
    assert streams[0] not in ("main", "captured")
    assert streams == [streams[0]] * 3 + ["captured"]


def test_a_capture_that_fails_leaves_the_callers_stream(cuda):
    def step():
        raise RuntimeError("not this one")

    capture = devices.KINDS["cuda"].capture
    with pytest.raises(RuntimeError, match="not this one"):
        capture(int, step, GENERATOR)
    assert cuda.current == "main"
    assert capture(int, int, GENERATOR) == "replay"  # as soon as another one can be


@pytest.mark.usefixtures("cuda")
def test_captures_of_two_threads_take_turns():
    at_once = []

    def step():
        time.sleep(0.05)
        at_once.append(FakeCuda.capturing)

    capture = devices.KINDS["cuda"].capture
    threads = [threading.Thread(target=capture, args=(int, step, GENERATOR)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert at_once == [1, 1, 1]


@pytest.mark.parametrize(
    ("device", "there"),
    [("cuda", True), ("cuda:1", True), ("cuda:2", False), ("cpu", True), ("xpu", False)],
)
def test_devices_are_counted(device, there, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.is_available(device) == there
    assert devices.find_device("auto") == "cuda"


def test_what_fits_on_a_gpu(monkeypatch):
    rows = torch.empty(10, 4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: ({"cuda:1": 641}[device], None))
    assert devices.fits_on("cuda:1", rows)
    assert not devices.fits_on("cuda:1", torch.empty(11, 4))
