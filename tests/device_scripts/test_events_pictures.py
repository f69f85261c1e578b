"""Snapshots, clips and pins: what they do at an event, within which bounds, and what they never touch."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edgenet_device.errors import EdgenetError
from edgenet_device.events import gpio, hub, pictures
from edgenet_device.events.event import Event, EventMaker
from edgenet_device.events.gpio import PinOption, PinSink, opened_pin, read_pin
from edgenet_device.events.hub import EventHub
from edgenet_device.events.pictures import ClipSink, KeptFiles, SnapshotSink, avi_of
from edgenet_device.events.watcher import ANY_LABEL, Happening, Trigger
from model_files import Run

MAKER = EventMaker("m", "0")
ANY = [Trigger(ANY_LABEL)]


def entered(label: str = "great tit") -> Event:
    return MAKER.make(Happening("entered", label, 0.9), 1)


def frame(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)


# Files within a budget ------------------------------------------------------------------------------------------


def test_the_oldest_go_and_only_those_that_edgenet_wrote(tmp_path: Path) -> None:
    mine = [
        "a.jpg",
        "edgenet-x.jpg",
        "edgenet-000001-x.jpg.bak",
        "edgenet-000001-x.png",
        "keep-edgenet-000001-.jpg",
    ]
    for name in mine:
        (tmp_path / name).write_bytes(b"x" * 900)
    (tmp_path / "edgenet-000000-linked.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "edgenet-000000-folder.jpg").mkdir()
    files = KeptFiles("--snapshots", tmp_path, ".jpg", 1000)
    for number in range(10):
        files.write(entered(f"label {number}/../x"), bytes(300))
    names = sorted(path.name for path in tmp_path.iterdir())
    own = [name for name in names if "label_" in name]
    assert [name[:14] + name[-13:] for name in own] == [
        "edgenet-000008label_7_x.jpg", "edgenet-000009label_8_x.jpg", "edgenet-000010label_9_x.jpg",
    ]  # fmt: skip
    assert set(names) == {*mine, "edgenet-000000-linked.jpg", "edgenet-000000-folder.jpg", *own}
    # Another start goes on with the numbers, whatever the clock says.
    KeptFiles("--snapshots", tmp_path, ".jpg", 1000).write(entered("label_n"), bytes(300))
    assert [path.name[:14] for path in sorted(tmp_path.glob("*label_n*"))] == ["edgenet-000011"]
    with pytest.raises(EdgenetError, match="more than the budget"):
        files.write(entered(), bytes(1001))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="--clips: there is no folder"):
        KeptFiles("--clips", tmp_path / "none", ".avi", 1000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_told_once_and_recovered_from(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "PAUSES", (0.02,))
    mine = small_disk / "mine"
    mine.write_bytes(bytes(56_000))
    told: list[tuple[str, str | None]] = []
    sink = SnapshotSink(ANY, KeptFiles("--snapshots", small_disk, ".jpg", 10**9))
    with EventHub([sink], lambda *one: told.append(one)) as to:
        for seed in range(4):
            to.publish(entered(), noise(seed))
        wait_for(lambda: not any(line._waiting for line in to._lines) and bool(told))
        mine.unlink()
        to.publish(entered(), noise(9))
        wait_for(lambda: len(told) > 1)
    full = f"{small_disk} cannot be written: No space left on device; free some space there or choose another folder"
    assert told == [("the snapshots", full), ("the snapshots", None)]
    assert all(cv2.imread(str(path)) is not None for path in small_disk.glob("*.jpg"))
    assert list(small_disk.glob("*.tmp")) == list(small_disk.glob(".edgenet*")) == []


def wait_for(true: Any) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


# Snapshots and clips --------------------------------------------------------------------------------------------


def test_a_snapshot_is_the_frame_of_its_event(tmp_path: Path) -> None:
    sink = SnapshotSink([Trigger("cat")], KeptFiles("--snapshots", tmp_path, ".jpg", 10**6))
    assert sink.takes(Happening("entered", "cat", 0.9))
    assert not sink.takes(Happening("entered", "dog", 0.9))
    sink.deliver(entered("cat"), frame(200))
    sink.deliver(entered("cat"), None)  # an event without a frame
    [path] = tmp_path.iterdir()
    assert abs(int(cv2.imread(str(path)).mean()) - 200) <= 2


def test_a_film_of_jpegs_is_one_that_opencv_reads(tmp_path: Path) -> None:
    pictures = [cv2.imencode(".jpg", frame(20 * number, (65, 47)))[1].tobytes() for number in range(12)]
    path = tmp_path / "film.avi"
    path.write_bytes(avi_of(pictures, (65, 47), 8.0))
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(8, abs=0.01)
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    for number in range(12):
        read, pixels = film.read()
        assert read
        assert abs(int(pixels.mean()) - 20 * number) <= 3
    assert not film.read()[0]


def means(path: Path) -> list[int]:
    """Return the mean value of each frame of a film."""
    film, found = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        found.append(round(float(read[1].mean())))
    return found


def test_a_clip_has_the_seconds_before_and_after(tmp_path: Path) -> None:
    sink = ClipSink(ANY, KeptFiles("--clips", tmp_path, ".avi", 10**8), 1.0, 0.5)
    for number in range(60):
        sink.take_frame(frame(4 * number), 100 + number / 10)
        if number in (30, 32):  # the second event is within the clip
            sink.deliver(entered(), None)
    [path] = tmp_path.iterdir()
    assert means(path) == pytest.approx([4 * number for number in range(20, 36)], abs=2)
    sink.deliver(entered(), None)
    sink.close()  # the program ends in the middle of a clip
    assert len(list(tmp_path.iterdir())) == 2


def test_a_clip_ends_when_the_camera_is_lost_or_changes_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = ClipSink(ANY, KeptFiles("--clips", tmp_path, ".avi", 10**8), 1.0, 5.0)
    sink.take_frame(frame(1), 1.0)
    sink.deliver(entered(), None)
    left = sink.work()
    assert left is not None
    now = time.monotonic() + left
    monkeypatch.setattr(pictures.time, "monotonic", lambda: now)
    assert sink.work() is None
    assert len(list(tmp_path.iterdir())) == 1
    sink.deliver(entered(), None)
    sink.take_frame(frame(1, (32, 32)), 2.0)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_clip_keeps_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES", 100_000)
    sink = ClipSink(ANY, KeptFiles("--clips", tmp_path, ".avi", 10**8), 1000.0, 1000.0)
    for number in range(100):
        sink.take_frame(noise(number), float(number))
        if number == 50:
            sink.deliver(entered(), None)
        assert sink._bytes == sum(len(data) for _, data in sink._pictures) <= 100_000
    assert len(list(tmp_path.iterdir())) == 1


def test_the_hub_gives_frames_at_the_sinks_rate_and_never_waits(tmp_path: Path) -> None:
    sink = ClipSink(ANY, KeptFiles("--clips", tmp_path, ".avi", 10**8), 10.0, 0.0)
    with EventHub([sink], lambda *one: None) as to:
        for number in range(90):
            to.frame(frame(number), number / 30)
            wait_for(lambda: to._lines[0]._frame is None)
    assert 28 <= len(sink._pictures) <= 31


def test_camera_keeps_snapshots_and_clips(
    run_copied: Run, tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    for name in ("photos", "films"):
        (tmp_path / name).mkdir()
    done = run_copied(
        *(
            "camera.py",
            tiny_bundle,
            video,
            "--smooth",
            0,
            "--hold",
            0.2,
            "--release",
            0.2,
            "--on-label",
            "green",
        ),
        *("--snapshots", "photos", "--clips", "films", "--clip-before", 0.5, "--clip-after", 0.5),
    )
    assert done.returncode == 0, done.stderr
    [photo] = (tmp_path / "photos").iterdir()
    blue, green, red = cv2.imread(str(photo)).reshape(-1, 3).mean(0)
    assert green > 200 > 50 > max(red, blue)
    [film] = (tmp_path / "films").iterdir()
    assert means(film)


# Pins -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pins() -> Iterator[Any]:
    gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")
    from gpiozero.pins.mock import MockFactory

    before, gpiozero.Device.pin_factory = gpiozero.Device.pin_factory, MockFactory()
    yield gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory.reset()
    gpiozero.Device.pin_factory = before


def test_a_pin_is_on_while_its_label_is_present(pins: Any) -> None:
    sink = PinSink("17", Trigger("cat", 2.0))
    pin = pins.pin(17)
    steps = [
        (Happening("entered", "cat", 0.9), False),
        (Happening("held", "cat", 0.9, 2.0), True),
        (Happening("left", "dog"), True),
        (Happening("left", "cat", None, 3.0), False),
        (Happening("held", "cat", 0.9, 2.0), True),
    ]
    for happening, on in steps:
        if sink.takes(happening):
            sink.deliver(MAKER.make(happening, 1), None)
        assert pin.state is on
    sink.close()
    assert not pin.state


def test_a_pin_in_use_is_one_line(pins: Any) -> None:
    used = PinSink("GPIO17", Trigger("cat"))
    with pytest.raises(EdgenetError, match=r"the pin 17 is in use .*; give another pin, or end the program"):
        PinSink("17", Trigger("cat"))
    used.close()
    with pytest.raises(EdgenetError, match="the pin 99 cannot be used: "):
        opened_pin("99")


def test_a_pin_that_another_program_uses(pins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(pin: object) -> None:
        raise RuntimeError("'GPIO busy'")  # what lgpio says, which gpiozero passes on

    monkeypatch.setattr("gpiozero.DigitalOutputDevice", busy)
    with pytest.raises(EdgenetError, match="the pin 17 is in use"):
        opened_pin("17")


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has pins")
def test_a_machine_without_pins_is_one_line(pins: Any, capfd: pytest.CaptureFixture[str]) -> None:
    gpiozero = __import__("gpiozero")
    gpiozero.Device.pin_factory, mock = None, pins
    try:
        with pytest.raises(
            EdgenetError, match=r"gpiozero finds no pins on this machine .*; on a Raspberry Pi"
        ):
            opened_pin("17")
    finally:
        gpiozero.Device.pin_factory = mock
    assert capfd.readouterr() == ("", "")


def test_without_gpiozero_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gpiozero", None)
    with pytest.raises(EdgenetError, match=r"--gpio needs the package gpiozero.*python3-gpiozero"):
        gpio.opened_pin("17")


def test_the_option_of_a_pin() -> None:
    assert read_pin("17=cat:5") == PinOption("17", "cat:5")
    assert read_pin("BOARD11=a=b") == PinOption("BOARD11", "a=b")
    for text in ("", "17", "17=", "=cat", "x17=cat", "1 7=cat", "17\n=cat"):
        with pytest.raises(EdgenetError, match=r"is not PIN=LABEL\[:SECONDS\]"):
            read_pin(text)
