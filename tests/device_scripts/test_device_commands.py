"""The scripts as people start them: copied alone into a folder, as modules, and imported."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.frames import Frame
from edgenet_device.frames import source as source_room
from edgenet_device.live import classify
from model_files import ROOT, Run

from edgenet.errors import EdgenetError

SCRIPTS = sorted((ROOT / "device_scripts").rglob("*.py"))


def test_classify_a_video(run_copied: Run, tiny_tflite: Path, video: Path) -> None:
    done = run_copied("classify.py", tiny_tflite, video, "--every", 10, "--top", 1)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["red", "green", "blue"]
    for stage in ("capture", "preprocess", "inference", "postprocess"):
        assert any(line.startswith(stage) and line.endswith("%") for line in lines)


def test_classify_as_json_with_a_sheet(
    run_copied: Run, tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "seen.png"
    done = run_copied("classify.py", tiny_bundle, video, "--json", "--frames", 15, "--contact-sheet", sheet)
    assert done.returncode == 0, done.stderr
    *frames, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [frame["top"][0]["label"] for frame in frames] == ["red"] * 10 + ["green"] * 5
    assert summary["frames"] == 15
    assert sum(stage["share"] for stage in summary["stages"].values()) == pytest.approx(1)
    assert summary["delegate"] == {"name": "XNNPACK", "nodes_taken": 4, "nodes_total": 4, "partitions": 1}
    assert summary["contact_sheet"] == str(sheet)
    assert cv2.imread(str(sheet)).shape[1] == 4 * 288 + 3 * 20 + 2 * 32


def test_classify_a_folder_with_a_broken_photo(run_copied: Run, tiny_tflite: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    cv2.imwrite(str(folder / "sea.png"), np.full((40, 50, 3), (255, 0, 0), np.uint8))
    done = run_copied("classify.py", tiny_tflite, folder)
    assert done.returncode == 0
    assert done.stdout.startswith("sea.png:  blue ")
    assert "skipped 1 of 2" in done.stderr
    assert "bad.jpg" in done.stderr


def test_measure_latency(run_copied: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = run_copied("measure_latency.py", tiny_bundle, "--runs", 60, "--min-seconds", 0, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "p99" in done.stdout
    report = json.loads(out.read_text())
    assert report["schema"] == "edgenet.latency.v1"
    assert report["model"]["operators_by_type"] == {
        "DEQUANTIZE": 1,
        "FULLY_CONNECTED": 1,
        "MEAN": 1,
        "SOFTMAX": 1,
    }
    assert report["delegate"]["nodes_taken"] == report["model"]["operators"] == 4
    steady = report["steady_state"]
    assert steady["n"] == len(steady["samples_ns"]) == 60
    assert round(steady["p50_ms"] * 1e6) == sorted(steady["samples_ns"])[29]
    assert steady["min_ms"] <= steady["p50_ms"] <= steady["p90_ms"] <= steady["p99_ms"] <= steady["max_ms"]
    cold = report["cold_start"]
    assert cold["n"] == len(cold["samples"]) == 3
    assert cold["total_ms"] > cold["import_ms"] + cold["load_ms"] + cold["first_inference_ms"] > 0
    assert report["sustained"] is None
    assert report["peak_memory_bytes"] > 10_000_000
    assert report["valid"] == (not report["reasons"])


@pytest.mark.parametrize(
    ("script", "arguments", "found"),
    [
        ("classify.py", ("nope.tflite", "x.jpg"), "nope.tflite does not exist"),
        ("classify.py", ("MODEL", "nope.jpg"), "nope.jpg does not exist"),
        ("classify.py", ("MODEL", "97"), "no camera /dev/video97"),
        ("classify.py", ("MODEL", "x.jpg", "--contact-sheet", "sheet.gif"), "does not end in .png"),
        ("measure_latency.py", ("broken.tflite",), "neither a .tflite nor a bundle"),
        (
            "measure_latency.py",
            ("MODEL", "--out", "nowhere/r.json"),
            "there is no folder nowhere; make it first",
        ),
        ("edgenet_device", ("time-cold-start", "broken.tflite", "1"), "neither a .tflite nor a bundle"),
    ],
)
def test_failures_are_one_line(
    run_copied: Run, tiny_tflite: Path, tmp_path: Path, script: str, arguments: tuple[str, ...], found: str
) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"broken in transport")
    done = run_copied(script, *(tiny_tflite if a == "MODEL" else a for a in arguments))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert found in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("classify.py", ()),
        ("classify.py", ("m", "0", "--top", "0")),
        ("classify.py", ("m", "0", "--frames", "many")),
        ("measure_latency.py", ("m", "--cold-starts", "2")),
        ("measure_latency.py", ("m", "--min-seconds", "nan")),
        ("edgenet_device", ("time-cold-start", "m")),
        ("edgenet_device", ("try-something",)),
        ("edgenet_device", ()),
    ],
)
def test_wrong_usage_is_2(run_copied: Run, script: str, arguments: tuple[str, ...]) -> None:
    done = run_copied(script, *arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr


def run_here(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script of the repository, in its folder."""
    command = [sys.executable, str(ROOT / "device_scripts" / f"{script}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)


def test_classify_as_a_module(tiny_tflite: Path, video: Path) -> None:
    done = run_here("classify", tiny_tflite, video, "--frames", 1)
    assert done.returncode == 0, done.stderr


def test_measure_latency_as_a_module_and_too_few_runs_are_not_valid(tiny_tflite: Path) -> None:
    done = run_here("measure_latency", tiny_tflite, "--runs", 10, "--min-seconds", 0, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert not report["valid"]
    assert "too few runs: 10, need 50" in report["reasons"]


def test_ctrl_c_ends_quietly_with_130_and_the_summary(
    copied_scripts: Path, tiny_tflite: Path, video: Path
) -> None:
    """The script is interrupted in the middle of a video; it summarizes the frames so far."""
    # One pipe page of output, unread, holds the script back until the signal is there.
    command = [sys.executable, str(copied_scripts / "classify.py"), str(tiny_tflite), str(video), "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        pipesize=4096,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # as in a terminal, whoever runs the tests
    ) as child:
        first = child.stdout.readline()
        child.send_signal(signal.SIGINT)
        rest, complaint = child.communicate(timeout=60)
    assert child.returncode == 130
    assert complaint == ""
    assert json.loads(first)["top"][0]["label"] == "red"
    summary = json.loads(rest.splitlines()[-1])
    assert summary["type"] == "summary"
    assert 1 <= summary["frames"] < 30


def test_a_source_that_dies_loses_nothing(tiny_tflite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a camera that is unplugged: the error comes after the summary of what was seen."""

    def dying(*_: object) -> Iterator[Frame]:
        yield Frame("camera 0#0", np.full((48, 64, 3), (0, 0, 255), np.uint8))
        raise EdgenetError("camera 0 stopped after 1 frames")

    monkeypatch.setattr(source_room, "read_frames", dying)
    out = io.StringIO()
    with pytest.raises(EdgenetError, match="stopped after 1"):
        classify.classify_source(classify.Task(tiny_tflite, "0", 3, 1, None, 1, True, None), out)
    frame, summary = map(json.loads, out.getvalue().splitlines())
    assert frame["top"][0]["label"] == "red"
    assert summary["frames"] == 1


def test_a_missing_package_is_one_line(copied_scripts: Path, tiny_tflite: Path, video: Path) -> None:
    code = (
        "import sys, runpy; sys.modules['cv2'] = None; "
        f"sys.argv = ['classify.py', {str(tiny_tflite)!r}, {str(video)!r}]; "
        f"runpy.run_path({str(copied_scripts / 'classify.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the package cv2 is not installed; pip install opencv")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_python_3_9_reads_every_file(path: Path) -> None:
    source = path.read_text()
    ast.parse(source, feature_version=(3, 9))
    assert path.name == "__init__.py" or "from __future__ import annotations" in source
    for word in ("torch", "PIL", "edgenet"):
        assert not re.search(rf"^\s*(import|from) {word}\b(?!_)", source, re.MULTILINE)
