"""The verbs `camera` and `capture` on this machine; over ssh they are tested with the virtual Pi."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from edgenet_device.frames.view import View
from tiny_model import tiny_model

from edgenet.commands.app import app
from edgenet.errors import EdgenetError
from edgenet.workflows.camera import camera, capture

CLIP = Path(__file__).resolve().parents[2] / "edgenet" / "assets" / "clip.mp4"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_model(size=32))
    return path


def test_states_come_and_are_counted(model: Path, tmp_path: Path) -> None:
    states: list[dict[str, object]] = []
    recording = tmp_path / "out.mp4"
    result = camera(model, source=str(CLIP), frames=5, serve="0", record=recording, show=states.append)
    assert [state["type"] for state in states] == ["start"] + ["frame"] * 5
    assert states[0]["page"]["url"].startswith("http://127.0.0.1:")  # type: ignore[index]
    assert (result.frames, result.missed) == (5, 0)
    assert set(result.stages_p50_ms) == {"capture", "preprocess", "inference", "postprocess"}
    assert recording.stat().st_size > 1000


def test_a_failure_on_the_device_is_one_line_here(model: Path) -> None:
    with pytest.raises(EdgenetError, match="local: there is no camera /dev/video97"):
        camera(model, source="97")
    with pytest.raises(EdgenetError, match="nope does not exist"):
        capture("cup", model.parent / "data", source="nope")


def test_photos_are_collected(tmp_path: Path) -> None:
    said: list[str] = []
    result = capture("cup", tmp_path, source=str(CLIP), count=3, log=said.append)
    assert (result.kept, result.photos) == (3, 3)
    assert len(list((tmp_path / "cup").glob("*.jpg"))) == 3
    with pytest.raises(EdgenetError, match="cannot be the name"):
        capture("../cup", tmp_path, source=str(CLIP))


def test_what_is_collected_and_classified_is_turned(model: Path, tmp_path: Path) -> None:
    view = View(rotate=90, region=(0, 0, 1, 0.5))
    assert capture("cup", tmp_path, source=str(CLIP), count=1, view=view).kept == 1
    (photo,) = (tmp_path / "cup").glob("*.jpg")
    height, width = cv2.imread(str(photo)).shape[:2]
    whole = cv2.VideoCapture(str(CLIP))
    assert (width, 2 * height) == (
        whole.get(cv2.CAP_PROP_FRAME_HEIGHT),
        whole.get(cv2.CAP_PROP_FRAME_WIDTH),
    )
    recording = tmp_path / "out.mp4"
    options = ["--rotate", "90", "--frames", "2", "--json", "--record", str(recording)]
    app(["camera", str(model), "--source", str(CLIP), *options], standalone_mode=False)
    recorded = cv2.VideoCapture(str(recording))
    assert recorded.get(cv2.CAP_PROP_FRAME_WIDTH) < recorded.get(cv2.CAP_PROP_FRAME_HEIGHT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rotate", "45"], "the camera's rotate cannot be 45"),
        (["--size", "big"], "'big' is not WIDTHxHEIGHT"),
        (
            ["--on", "browser", "--flip", "h"],
            "the camera's picture cannot be set or turned with --on browser",
        ),
    ],
)
def test_wrong_pictures_are_usage_errors(model: Path, options: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message) as raised:
        app(["camera", str(model), *options], standalone_mode=False)
    assert getattr(raised.value, "exit_code", None) == 2


def test_on_the_command_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["camera", str(model), "--source", str(CLIP), "--frames", "2", "--json"], standalone_mode=False)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["start", "frame", "frame", "result"]
