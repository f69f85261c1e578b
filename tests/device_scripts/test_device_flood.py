"""A camera whose page is flooded: it goes on, its owner is served, and it ends with the right status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from endless_stream import playing

from benchmarks.flood import Flood, load_page


class RunningCamera:
    """A running camera.py with a live page.

    Attributes:
        process: the process.
        port: the page's port.
        frames: number of frames so far.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process, self.frames = process, 0
        self.port = int(json.loads(process.stdout.readline())["page"]["port"])
        self._lines: Queue[dict[str, Any]] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.frames = json.loads(line).get("frame", self.frames)

    def wait_for_more_frames(self, count: int) -> None:
        """Wait until that many more frames were classified; fail if the camera ends, or after a minute."""
        goal, until = self.frames + count, time.monotonic() + 60
        while self.frames < goal:
            assert self.process.poll() is None
            assert time.monotonic() < until, "no frames come any more"
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop the camera as a service manager does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def join(self) -> None:
        """Wait until what the camera wrote is read to its end."""
        self._reader.join()


@contextmanager
def camera(scripts: Path, model: Path, source: str, descriptors: int) -> Iterator[RunningCamera]:
    limited = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"]
    command = [sys.executable, "-E", "-s", str(scripts / "camera.py"), str(model), source]
    with subprocess.Popen(
        [*limited, *command, "--serve", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            running = RunningCamera(process)
            yield running
        finally:
            process.kill()
        running.join()


def check(camera: RunningCamera, flood: Flood, at_least: int) -> None:
    """Check that frames and the owner's page keep coming until the flood has made so many connections."""
    until = time.monotonic() + 300
    while flood.counts.opened < at_least:
        assert time.monotonic() < until, f"only {flood.counts.opened} connections"
        camera.wait_for_more_frames(5)
        status, body = load_page(camera.port)
        assert status == 200
        assert b"<title>edgenet live</title>" in body
    assert flood.counts.closed > 0


@pytest.mark.slow
def test_a_camera_with_few_descriptors_outlives_a_flood(copied_scripts: Path, tiny_bundle: Path) -> None:
    """With 60 descriptors the server cannot even reach its own limits: connections cannot be accepted."""
    with playing(20) as source, camera(copied_scripts, tiny_bundle, source, descriptors=60) as running:
        running.wait_for_more_frames(3)
        with Flood(running.port, slow=150, silent=20) as flood:
            check(running, flood, at_least=400)
        running.wait_for_more_frames(3)
        assert running.stop() == 128 + signal.SIGTERM


@pytest.mark.slow
def test_a_camera_outlives_slow_reading_and_silent_crowds(copied_scripts: Path, tiny_bundle: Path) -> None:
    with playing(20) as source, camera(copied_scripts, tiny_bundle, source, descriptors=1024) as running:
        running.wait_for_more_frames(3)
        with Flood(running.port, slow=1000, reading=200, silent=200) as flood:
            check(running, flood, at_least=5000)
        running.wait_for_more_frames(3)
        assert running.stop() == 128 + signal.SIGTERM
