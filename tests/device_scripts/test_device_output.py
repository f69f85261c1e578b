"""Command lines and outputs of the scripts: SOURCE, wrong usage, and an output that cannot take what is printed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from edgenet_device.latency import measure
from model_files import ROOT, SIZE, Run, with_labels
from tiny_model import tiny_model

SCRIPTS = ("camera", "classify", "capture", "measure_latency")
FULL = "error: the output cannot be written: No space left on device\n"


@pytest.fixture
def swedish_tflite(tmp_path: Path) -> Path:
    path = tmp_path / "swedish.tflite"
    path.write_bytes(with_labels(tiny_model(size=SIZE), ("röd", "grön", "blå")))
    return path


def start(folder: Path, script: str, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start a script as a shell does, whoever started the tests: Ctrl-C is not ignored."""
    command = [sys.executable, "-s", str(folder / script), *map(str, arguments)]
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def arguments_of(script: str, model: Path, video: Path) -> tuple[object, ...]:
    if script == "measure_latency.py":
        return (model, "--runs", 5, "--min-seconds", 0)
    return (model, video)


# The command line -----------------------------------------------------------------------------------------------


def loaded_script(name: str) -> ModuleType:
    """A script as a module of this process, in which Ctrl-C stays as it was."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "device_scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = signal.getsignal(signal.SIGINT)
    try:
        spec.loader.exec_module(module)
    finally:
        signal.signal(signal.SIGINT, before)
    return module


@pytest.mark.parametrize("name", ["camera", "classify"])
def test_the_source_may_stand_anywhere(
    capsys: pytest.CaptureFixture[str], tiny_bundle: Path, video: Path, name: str
) -> None:
    script, labels = loaded_script(name), []
    for arguments in (
        (tiny_bundle, video),
        (tiny_bundle, "--source", video),
        (f"--source={video}", tiny_bundle),
        (tiny_bundle, "--top", 3, video),
    ):
        assert script.main([*map(str, arguments), "--frames", "3", "--threads", "1"]) == 0
        shown = capsys.readouterr().out
        labels.append([line.split()[1] for line in shown.splitlines() if ":  " in line])
    assert labels == [labels[0]] * 4
    assert labels[0][0] == "red"


def test_photos_are_collected_from_a_source_by_its_option(
    run_copied: Run, video: Path, tmp_path: Path
) -> None:
    done = run_copied(
        "capture.py", "colour", tmp_path / "data", "--source", ROOT / "calibration_data", "--count", 2
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("2 photos kept\n")
    assert len(list((tmp_path / "data" / "colour").glob("*.jpg"))) == 2


@pytest.mark.parametrize(
    ("script", "arguments", "found"),
    [
        ("camera.py", ("m", "0", "--source", "1"), "give either the argument SOURCE or the option --source"),
        ("classify.py", ("m", "x.jpg", "--source=y.jpg"), "give either the argument SOURCE or the option"),
        ("capture.py", ("cup", "photos", "0", "--source", "1"), "give either the argument SOURCE or"),
        ("classify.py", ("m",), "the following arguments are required: SOURCE"),
        ("camera.py", (), "the following arguments are required"),
        ("camera.py", ("m", "--threshold", "2"), "argument --threshold: 2 is not between 0 and 1"),
        ("camera.py", ("m", "--smooth", "nan"), "argument --smooth: nan is not between 0 and 60"),
        ("capture.py", ("cup", "photos", "--every", "61"), "61 is not between 0 and 60"),
        ("measure_latency.py", ("m", "--sustained", "59"), "59 s is too short"),
        ("measure_latency.py", ("m", "--settle", "86401"), "86401 is not between 0 and 86400"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    run_copied: Run, script: str, arguments: tuple[str, ...], found: str
) -> None:
    done = run_copied(script, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: {script} ")
    assert found in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_states_every_default(run_copied: Run, script: str) -> None:
    short, long = run_copied(f"{script}.py", "-h"), run_copied(f"{script}.py", "--help")
    assert (short.returncode, short.stderr) == (0, "")
    assert short.stdout == long.stdout
    assert "(default: " in short.stdout
    if script != "measure_latency":
        assert "--source SOURCE" in short.stdout


# A measurement that must be valid -------------------------------------------------------------------------------


def test_a_figure_that_is_not_valid_is_3_where_a_valid_one_is_required(
    run_copied: Run, tiny_tflite: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    arguments = (tiny_tflite, "--runs", 10, "--min-seconds", 0, "--json")
    done = run_copied("measure_latency.py", *arguments, "--out", out, "--require-valid")
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(out.read_text()) == json.loads(done.stdout)
    assert not json.loads(done.stdout)["valid"]


@pytest.mark.parametrize(
    ("valid", "status"), [((True,), 0), ((True, True), 0), ((True, False), 3), ((False, True), 3)]
)
def test_every_figure_must_be_valid(
    monkeypatch: pytest.MonkeyPatch, valid: tuple[bool, ...], status: int
) -> None:
    script = loaded_script("measure_latency")
    monkeypatch.setattr(measure, "measure", lambda *given: [{"valid": each} for each in valid])
    models = [f"{number}.tflite" for number in range(len(valid))]
    assert script.main([*models, "--lines", "--require-valid"]) == status
    assert script.main([*models, "--lines"]) == 0


# The output -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_labels_that_the_terminal_cannot_show(
    copied_scripts: Path, swedish_tflite: Path, video: Path
) -> None:
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for script, arguments in (
        ("classify.py", (swedish_tflite, video, "--every", 10)),
        ("camera.py", (swedish_tflite, video, "--smooth", 0)),
        ("measure_latency.py", (swedish_tflite, "--runs", 5, "--min-seconds", 0)),
    ):
        with start(copied_scripts, script, *arguments, stdout=subprocess.PIPE, env=ascii_only) as running:
            out, complaint = running.communicate(timeout=120)
        assert (running.returncode, complaint) == (0, b"")
        if script != "measure_latency.py":
            assert b":  r?d" in out
            assert b":  bl?" in out


@pytest.mark.slow
@pytest.mark.parametrize("script", ["classify.py", "camera.py", "measure_latency.py"])
def test_a_full_disk_is_one_line(copied_scripts: Path, tiny_bundle: Path, video: Path, script: str) -> None:
    given = arguments_of(script, tiny_bundle, video)
    for arguments in (given, ("--json", *given), ("-h",)):
        with (
            open("/dev/full", "wb") as full,
            start(copied_scripts, script, *arguments, stdout=full) as running,
        ):
            _, complaint = running.communicate(timeout=120)
        assert (running.returncode, complaint.decode()) == (1, FULL)


def test_two_full_disks_are_still_1(copied_scripts: Path, tiny_bundle: Path, video: Path) -> None:
    command = f'exec "{sys.executable}" "{copied_scripts}/classify.py" "{tiny_bundle}" "{video}" >/dev/full 2>/dev/full'
    assert subprocess.run(["sh", "-c", command], timeout=120, check=False).returncode == 1


@pytest.mark.parametrize("script", ["classify.py", "camera.py"])
def test_a_reader_that_has_read_enough(
    copied_scripts: Path, tiny_bundle: Path, video: Path, script: str
) -> None:
    with start(
        copied_scripts, script, tiny_bundle, video, "--json", stdout=subprocess.PIPE, pipesize=4096
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith(b"{")
        running.stdout.close()
        running.stdout = None
        _, complaint = running.communicate(timeout=120)
    assert (running.returncode, complaint) == (141, b"")


@pytest.mark.slow
@pytest.mark.parametrize("script", ["classify.py", "camera.py", "measure_latency.py"])
def test_a_closed_output_is_one_line(
    copied_scripts: Path, tiny_bundle: Path, video: Path, script: str
) -> None:
    words = " ".join(f'"{word}"' for word in arguments_of(script, tiny_bundle, video))
    command = f'exec "{sys.executable}" "{copied_scripts}/{script}" {words}'
    done = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        b"error: the output cannot be written: Bad file descriptor\n",
    )
    everything = subprocess.run(["sh", "-c", f"{command} <&- >&- 2>&-"], timeout=120, check=False)
    assert everything.returncode == 1


def test_a_closed_error_output_changes_nothing(
    copied_scripts: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    command = (
        f'exec "{sys.executable}" "{copied_scripts}/classify.py" "{tiny_bundle}" "{tmp_path}/nope.jpg" 2>&-'
    )
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("module", ["argparse", "numpy", "cv2", "edgenet_device/entry"])
@pytest.mark.parametrize("script", [f"{script}.py" for script in SCRIPTS])
def test_ctrl_c_during_an_import_shows_no_traceback(
    copied_scripts: Path, tiny_bundle: Path, video: Path, tmp_path: Path, script: str, module: str
) -> None:
    """A module of the same name beside the script presses Ctrl-C while it is imported."""
    if (script, module) == ("measure_latency.py", "cv2"):
        pytest.skip("measuring needs no OpenCV")
    folder = tmp_path / "scripts"
    shutil.copytree(copied_scripts, folder)
    (folder / f"{module}.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    arguments = (
        ("cup", tmp_path, video) if script == "capture.py" else arguments_of(script, tiny_bundle, video)
    )
    with start(folder, script, *arguments, stdout=subprocess.PIPE) as running:
        out, complaint = running.communicate(timeout=120)
    assert (running.returncode, out, complaint) == (130, b"", b"")


def test_ctrl_c_while_measuring_is_130(copied_scripts: Path, tiny_bundle: Path) -> None:
    with start(
        copied_scripts,
        "measure_latency.py",
        tiny_bundle,
        "--min-seconds",
        600,
        "--lines",
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if json.loads(line)["stage"] == "runs":
                break
        running.send_signal(signal.SIGINT)
        _, complaint = running.communicate(timeout=120)
    assert (running.returncode, complaint) == (130, b"")
