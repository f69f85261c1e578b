"""Recordings, and what happens to them when the disk is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from edgenet_device.live.outputs import Recording, recording_rate
from model_files import Run

from edgenet.errors import EdgenetError


def frames_in(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    return count


def test_every_frame_of_a_file_is_recorded_with_its_labels(
    run_copied: Run, tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    done = run_copied("camera.py", tiny_bundle, video, "--record", tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr
    assert frames_in(tmp_path / "out.mp4") == 30
    assert recording_rate(str(video)) == 10
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    _, first = capture.read()
    assert first.shape == (64, 96, 3)
    assert first[:10, :, 2].mean() > 200  # red, and darker where the labels are
    assert first[-30:, 80:, 2].mean() < 130


def test_an_output_that_cannot_be_written_is_reported_before_the_work(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "x.avi", "does not end in .mp4"),
        (tmp_path / "no" / "x.mp4", "there is no folder"),
    ):
        with pytest.raises(EdgenetError, match=message):
            Recording(path, 10, False, print)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 66 MiB: two more than the reserve."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=66m", "tmpfs", str(folder)], check=False
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("a disk of its own needs root and mount(8)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_recording_and_nothing_else(
    run_copied: Run, tiny_bundle: Path, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "filler").write_bytes(bytes(3 * 2**20))  # now less than the reserve is left
    source = Path(__file__).resolve().parents[2] / "edgenet" / "assets" / "clip.mp4"
    done = run_copied(
        "camera.py", tiny_bundle, source, "--record", small_disk / "out.mp4", "--frames", 40, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "recording stopped: the disk is almost full (66 MB left)" in done.stderr
    assert done.stdout.count('"type": "frame"') == 40
    assert "recording stopped" in done.stdout.splitlines()[2]  # on every screen, too


def test_what_was_recorded_until_the_disk_was_full_can_be_played(small_disk: Path) -> None:
    said: list[str] = []
    clip = cv2.VideoCapture(str(Path(__file__).resolve().parents[2] / "edgenet" / "assets" / "clip.mp4"))
    state = {"top": [{"label": "owl", "score": 0.5}], "label": "owl", "warnings": []}
    with Recording(small_disk / "out.mp4", 30, False, said.append) as recording:
        for _ in range(3):
            recording.show(state, clip.read()[1])
        (small_disk / "filler").write_bytes(bytes(3 * 2**20))
        recording._looked = 0  # a second later
        for _ in range(3):
            recording.show(state, clip.read()[1])
    assert len(said) == 1
    assert frames_in(small_disk / "out.mp4") == 3
