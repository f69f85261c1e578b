"""Failures that nobody expected: each is told in one line and ends the program with a status that restarts it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edgenet_device import entry
from edgenet_device.errors import WatchedThread
from edgenet_device.frames import Frame
from edgenet_device.frames import source as source_room
from edgenet_device.frames.source import Camera, NewestFrame, reopened_frames
from edgenet_device.live import status as status_room
from edgenet_device.live.page import LivePage
from edgenet_device.live.status import Health, LiveStatus
from edgenet_device.streams import quiet_native_stderr
from edgenet_device.web import server as server_room
from edgenet_device.web.address import parse_address

from edgenet.errors import EdgenetError

GREY = np.full((48, 64, 3), 128, np.uint8)


def test_an_unknown_fault_of_a_camera_is_not_its_end() -> None:
    def failing() -> Iterator[Frame]:
        yield Frame("one", GREY)
        raise OSError(errno.EMFILE, "Too many open files")

    with (
        NewestFrame(reopened_frames(failing, pytest.fail)) as newest,
        pytest.raises(EdgenetError, match=r"reads the camera failed unexpectedly \(OSError"),
    ):
        take_all(newest)


def test_a_fault_in_closing_a_camera_is_noticed_too() -> None:
    def failing() -> Iterator[Frame]:
        try:
            yield Frame("one", GREY)
        finally:
            raise ValueError("it does not close")

    with NewestFrame(failing()) as newest, pytest.raises(EdgenetError, match="ValueError: it does not close"):
        take_all(newest)


def take_all(newest: NewestFrame) -> None:
    while newest.take() is not None:
        pass


@pytest.mark.slow
def test_a_camera_that_hangs_is_a_failure_and_one_that_is_waited_for_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without this the service's watchdog would be content for ever: the program still reports the silence."""
    released, opened = threading.Event(), []

    def hanging(*given: object) -> Iterator[Frame]:
        opened.append(given)
        if len(opened) < 7:
            raise EdgenetError("the camera is gone")
        released.wait(60)
        yield Frame("late", GREY)

    def first(*given: object) -> Iterator[Frame]:
        monkeypatch.setattr(source_room, "read_frames", hanging)
        yield Frame("one", GREY)
        raise EdgenetError("the camera is gone")

    monkeypatch.setattr(source_room, "read_frames", first)
    monkeypatch.setattr(source_room, "SILENCE_SECONDS", 0.01)
    monkeypatch.setattr(source_room, "HUNG_SECONDS", 2.0)
    monkeypatch.setattr(source_room, "PAUSES", (0.5,))
    with Camera("/dev/video99", note=lambda message: None) as camera:
        assert camera.take() is not None
        with pytest.raises(EdgenetError, match="the camera hangs"):
            camera.take()
        assert len(opened) == 7  # the attempts before took longer together
        released.set()


def test_a_dead_health_thread_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no sensor")

    monkeypatch.setattr(status_room, "read_conditions", broken)
    with Health() as health:
        health._thread.join(30)
        with pytest.raises(EdgenetError, match="health failed unexpectedly"):
            LiveStatus(health, pytest.fail).state()


def test_a_dead_page_is_noticed_at_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *given: object) -> None: ...
        def unanswered(self) -> list[object]:
            raise KeyError("lost")

        def answered(self) -> list[object]:
            return []

    monkeypatch.setattr(server_room, "Connections", Broken)
    with LivePage(parse_address("0")) as page:
        page._server._thread.join(30)
        with pytest.raises(EdgenetError, match="the web server failed unexpectedly"):
            page.show({}, GREY)


def test_a_thread_that_ends_by_itself_is_noticed_and_its_own_error_is_kept() -> None:
    thread = WatchedThread("the part", lambda: None)
    thread.check()  # it has not begun
    thread.start()
    thread.join(30)
    with pytest.raises(EdgenetError, match="the part ended by itself"):
        thread.check()

    def fail() -> None:
        raise EdgenetError("no camera", "plug it in")

    failed = WatchedThread("the part", fail)
    failed.start()
    failed.join(30)
    with pytest.raises(EdgenetError, match=r"^no camera; plug it in$"):
        failed.check()


def test_without_descriptors_noise_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*given: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    for name in ("open", "dup"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, none_left)
            with quiet_native_stderr():
                pass
    before = os.fstat(2)
    with quiet_native_stderr():
        assert os.fstat(2) != before  # works again
    assert os.fstat(2) == before


@pytest.mark.parametrize(
    "error", [ValueError("odd"), ModuleNotFoundError("no x", name="x"), OSError(errno.EMFILE, "Too many")]
)
def test_a_script_tells_an_unknown_fault_in_one_line(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def main() -> int:
        raise error

    monkeypatch.delenv(entry.TRACEBACK, raising=False)
    assert entry.run(main) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: this is a fault of edgenet itself ({type(error).__name__}: ")
    monkeypatch.setenv(entry.TRACEBACK, "1")
    if not isinstance(error, OSError):
        with pytest.raises(type(error)):
            entry.run(main)


BROKEN_PART = """
import sys
sys.path.insert(0, sys.argv[1])
import camera
from edgenet_device.frames import files
from edgenet_device.live.outputs import Recording
calls = []
def broken(*given):
    calls.append(given)
    if len(calls) > 5:
        raise OSError(24, "Too many open files")
    return real(*given)
where, name = {"capture": (files, "retrieve"), "recorder": (Recording, "show")}[sys.argv[2]]
real = getattr(where, name)
setattr(where, name, broken)
sys.exit(camera.run(lambda: camera.main(sys.argv[3:])))
"""


@pytest.mark.parametrize("part", ["capture", "recorder"])
def test_a_broken_part_ends_the_camera_with_a_failure(
    copied_scripts: Path, tiny_bundle: Path, tmp_path: Path, part: str
) -> None:
    """Before, an exception in the capture thread was taken for the source's end: status 0, and no restart."""
    stop = threading.Event()
    with LivePage(parse_address("0")) as source:

        def play() -> None:
            while not stop.wait(0.05):
                source.show({}, GREY)

        player = threading.Thread(target=play)
        player.start()
        command = [sys.executable, "-E", "-s", "-c", BROKEN_PART, str(copied_scripts), part, str(tiny_bundle)]
        options = [f"{source.address.url()}picture", "--json", "--record", str(tmp_path / "recorded.mp4")]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
        stop.set()
        player.join()
    assert done.returncode == 1, done.stderr
    assert done.stdout.count('"type": "frame"') >= 1
    assert "Traceback" not in done.stderr
    assert "Too many open files" in done.stderr
