"""Does a live camera go on, and its page answer its owner, while 1,400 other connections are kept open to the page?

    .venv/bin/python -m benchmarks.flood

device_scripts/camera.py classifies a stream of 30 frames a second, 640x480, with MobileNetV1 0.25/128, and serves its
page. In turns nobody else is connected, and 1,000 slow connections, 200 readers of the picture and 200 connections that
send nothing are kept open: whatever the server closes is opened again. All come from one address, the owner's, which is
the worst case. The exit status is 1 if the camera classifies less than 0.9 of the frames of the quiet turns, or if the
page once takes more than a second.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from benchmarks.camera import small_v1
from benchmarks.environments import ROOT
from benchmarks.soak import calibration_frames, serving
from edgenet.assets import device_scripts

CROWD = {"slow": 1000, "reading": 200, "silent": 200}
FRAMES_PER_S = 30
FRAMES_GOAL, PAGE_GOAL_S = 0.9, 1.0
SLOW, READING, SILENT = b"GET / HTTP/1.1\r\nX: ", b"GET /picture HTTP/1.1\r\nHost: localhost\r\n\r\n", b""
_EVERY_S = 1.0
_LOADS = 10
_PATIENCE_S = 120.0


@dataclass
class Counts:
    """What became of the flood.

    Attributes:
        opened: connections that were made, again and again where the server closed them.
        closed: connections that the server closed.
    """

    opened: int = 0
    closed: int = 0


class Flood:
    """Keeps the given numbers of connections open; use it as a context manager.

    A slow connection sends one byte of its head each second. A connection that the server closes is opened
    again within a second.

    Attributes:
        counts: what has happened so far.
    """

    def __init__(self, port: int, slow: int = 0, reading: int = 0, silent: int = 0) -> None:
        self.counts = Counts()
        self._port = port
        self._wanted = [SLOW] * slow + [READING] * reading + [SILENT] * silent
        self._links: list[socket.socket | None] = [None] * len(self._wanted)
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="flood")

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stop.set()
        self._thread.join()
        for link in self._links:
            if link is not None:
                link.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            for index, opening in enumerate(self._wanted):
                self._push(index, opening)
            while (left := began + _EVERY_S - time.monotonic()) > 0 and not self._stop.is_set():
                for key, _ in self._selector.select(min(left, 0.1)):
                    self._read(key.data)

    def _push(self, index: int, opening: bytes) -> None:
        link = self._links[index]
        try:
            if link is None:
                link = self._links[index] = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                self.counts.opened += 1
                link.sendall(opening)
                link.setblocking(False)
                self._selector.register(link, selectors.EVENT_READ, index)
            elif opening is SLOW:
                link.send(b"a")
        except BlockingIOError:
            pass
        except OSError:
            self._lose(index)

    def _read(self, index: int) -> None:
        link = self._links[index]
        try:
            if link is not None and not link.recv(1 << 16):
                self._lose(index)
        except BlockingIOError:
            pass
        except OSError:
            self._lose(index)

    def _lose(self, index: int) -> None:
        link, self._links[index] = self._links[index], None
        if link is not None:
            self.counts.closed += 1
            if link.fileno() in self._selector.get_map():
                self._selector.unregister(link)
            link.close()


@dataclass(frozen=True)
class Turn:
    """What was measured while the page was flooded, or while it was not.

    Attributes:
        frames_per_s: frames that the camera classified per second.
        page_s: how long the owner's requests for the page took, seconds.
    """

    frames_per_s: float
    page_s: tuple[float, ...]


class WatchedCamera:
    """A running camera.py, whose frames are counted.

    Attributes:
        port: the page's port.
        frames: number of frames so far.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process, self.frames = process, 0
        self.port = int(json.loads(process.stdout.readline())["page"]["port"])
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.frames = json.loads(line).get("frame", self.frames)

    def watch(self, seconds: float) -> Turn:
        """Count frames for some seconds, and request the page as its owner does, twice a second."""
        began, first, took = time.perf_counter(), self.frames, []
        while time.perf_counter() - began < seconds:
            took.append(self._page_s())
            time.sleep(max(0.5 - took[-1], 0))
        return Turn((self.frames - first) / (time.perf_counter() - began), tuple(took))

    def _page_s(self) -> float:
        began = time.perf_counter()
        assert b"edgenet live" in load_page(self.port)[1]
        return time.perf_counter() - began


def load_page(port: int) -> tuple[int, bytes]:
    """Return the status and the body of the page as its owner gets it, who loads it again if it does not come.

    A connection whose request is late, as on a busy machine, makes room for others.
    """
    for _ in range(_LOADS - 1):
        with suppress(ConnectionError):
            return _load_once(port)
    return _load_once(port)


def _load_once(port: int) -> tuple[int, bytes]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        link.request("GET", "/")
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


def main() -> int:
    """Read the command line, measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=4, help="turns of each kind (4)")
    parser.add_argument("--seconds", type=float, default=10, help="length of a turn (10)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quiet, flooded, opened = measure(small_v1(Path(folder)).int8, given.turns, given.seconds)
    ratio = median(there.frames_per_s / here.frames_per_s for here, there in zip(quiet, flooded, strict=True))
    slowest = max(took for turn in flooded for took in turn.page_s)
    print("             frames/s  page p50, ms  slowest, ms")
    for name, turns in (("alone", quiet), ("flooded", flooded)):
        took = [1000 * one for turn in turns for one in turn.page_s]
        print(
            f"{name:11} {median(t.frames_per_s for t in turns):9.1f} {median(took):13.1f} {max(took):12.1f}"
        )
    print(f"{opened} connections were made; {ratio:.3f} of the frames per second, median over the turns")
    missed = ratio < FRAMES_GOAL or slowest > PAGE_GOAL_S
    print("missed" if missed else "all goals are met")
    return int(missed)


def measure(model: Path, turns: int, seconds: float) -> tuple[list[Turn], list[Turn], int]:
    """Watch a camera in turns alone and flooded.

    Args:
        model: the .tflite that it runs.
        turns: number of turns of each kind.
        seconds: length of each.

    Returns:
        The quiet turns, the flooded turns, and the number of connections that the crowd made.
    """
    quiet, flooded, opened = [], [], 0
    with serving(calibration_frames(), FRAMES_PER_S) as (_, url), running_camera(model, url) as camera:
        while camera.frames < FRAMES_PER_S:
            time.sleep(0.1)
        for _ in range(turns):
            quiet.append(camera.watch(seconds))
            with crowd(camera.port) as counts:
                flooded.append(camera.watch(seconds))
            opened += counts.opened
    return quiet, flooded, opened


@contextmanager
def running_camera(model: Path, url: str) -> Iterator[WatchedCamera]:
    """Yield a running camera.py with a page; its network runs on one thread."""
    command = [sys.executable, device_scripts() / "camera.py", model, url, "--threads", "1", "--serve", "0"]
    with subprocess.Popen(
        [*map(str, command), "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield WatchedCamera(process)
        finally:
            process.terminate()


@contextmanager
def crowd(port: int) -> Iterator[Counts]:
    """Keep the crowd connected during the block, from a process of its own; yield what became of it, filled at the end.

    The process takes only CPU time that nobody else wants, because a real crowd runs on other machines.

    Raises:
        RuntimeError: the crowd could not connect.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_crowd, args=(port, theirs), daemon=True)
    process.start()
    counts = Counts()
    if not ours.poll(_PATIENCE_S):
        raise RuntimeError(f"the crowd is not connected after {_PATIENCE_S:g} s")
    ours.recv()
    try:
        yield counts
    finally:
        ours.send(None)
        counts.opened, counts.closed = ours.recv()
        process.join()


def _crowd(port: int, caller: Connection) -> None:
    os.nice(10)
    with Flood(port, **CROWD) as flood:
        while flood.counts.opened < sum(CROWD.values()):
            time.sleep(0.05)
        caller.send(None)  # each has been connected once
        caller.recv()
    caller.send((flood.counts.opened, flood.counts.closed))


if __name__ == "__main__":
    sys.exit(main())
