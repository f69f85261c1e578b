"""A model's first run in a child process, and the values that are checked before any runtime sees them."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from edgenet_device import trial
from edgenet_device.classifier import Classifier
from edgenet_device.flatbuffer import check_values, elements, forward, slot, vector
from edgenet_device.model_file import ModelFile, open_model
from edgenet_device.runtime import load_runtime, make_interpreter
from model_files import ROOT, SIZE
from tiny_model import tiny_model

from edgenet.errors import EdgenetError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in which no model is known."""
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "_TRIED", set())
    return tmp_path / "cache"


def model_of(data: bytes) -> ModelFile:
    return ModelFile(Path("foreign.tflite"), data, hashlib.sha256(data).hexdigest(), (), None)


FAKE = """
import os, resource, signal, time
class Interpreter:
    def __init__(self, **options): pass
    def allocate_tensors(self): pass
    def get_input_details(self): return []
    def invoke(self):
        {does}
"""


def runtime_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give children a runtime whose first inference does this."""
    package = folder / "fake" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = 'fake'\n")
    (package / "interpreter.py").write_text(FAKE.format(does=does))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


@pytest.mark.parametrize(
    ("does", "found"),
    [
        ("os.abort()", "with SIGABRT in a first run"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "with SIGSEGV in a first run"),
        ("os._exit(7)", "with exit status 7 in a first run"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "hangs .* does not end within 10 s"),
        ("raise RuntimeError('tensor 5\\x1b[2J\\n lacks data')", r"cannot run .*: tensor 5 \[2J lacks data;"),
        ("assert resource.getrlimit(resource.RLIMIT_CPU)[0] > 100", "with exit status 1"),
        ("assert resource.getrlimit(resource.RLIMIT_CORE)[0] > 0", "with exit status 1"),
        ("bytearray(3 << 30)", "cannot run .*: MemoryError"),
    ],
)
def test_whatever_happens_in_the_child_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, does: str, found: str
) -> None:
    runtime_that(does, tmp_path, monkeypatch)
    with pytest.raises(EdgenetError, match=found) as error:
        make_interpreter(load_runtime(), model_of(tiny_model(size=SIZE)), 1)
    assert str(error.value).isprintable()
    assert not list(cache.rglob("*"))  # what failed is not remembered


def test_a_child_that_waits_for_ever_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime_that("time.sleep(600)", tmp_path, monkeypatch)
    monkeypatch.setattr(trial, "MOST_WAIT_S", 1)
    with pytest.raises(EdgenetError, match="hangs"):
        make_interpreter(load_runtime(), model_of(tiny_model(size=SIZE)), 1)


def test_a_model_that_ran_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    model = model_of(tiny_model(size=SIZE))
    make_interpreter(load_runtime(), model, 1)
    assert len(list((cache / "tried").iterdir())) == 1
    monkeypatch.setattr(trial, "_TRIED", set())  # as in the next process
    runtime_that("os.abort()", tmp_path, monkeypatch)
    make_interpreter(load_runtime(), model, 1)
    with pytest.raises(EdgenetError, match="SIGABRT"):
        make_interpreter(load_runtime(), model_of(model.data + b"\0"), 1)
    make_interpreter(load_runtime(), model_of(model.data + b"\0"), 1, trusted=True)


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "file"))
    make_interpreter(load_runtime(), model_of(tiny_model(size=SIZE)), 1)


def test_classify_survives_a_model_that_ends_the_runtime(
    tmp_path: Path, tiny_tflite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_that("os.abort()", tmp_path, monkeypatch)
    command = [sys.executable, ROOT / "device_scripts/classify.py", tiny_tflite, ROOT / "calibration_data"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "SIGABRT" in done.stderr
    assert len(done.stderr.splitlines()) == 1


class Parts:
    """The places in tiny_model's file that a test overwrites."""

    def __init__(self) -> None:
        self.data = bytearray(tiny_model(size=SIZE))
        self.root = forward(self.data, 0)
        self.graph = elements(self.data, self.root, 2)[0]
        self.tensors = elements(self.data, self.graph, 0)
        self.operators = elements(self.data, self.graph, 3)

    def quantization(self) -> int:
        """The first tensor's parameters with a scale."""
        found = (vector(self.data, tensor, 4) for tensor in self.tensors)
        return next(one for one in found if one is not None and vector(self.data, one, 2) is not None)

    def put(self, code: str, place: int | None, value: float) -> bytes:
        assert place is not None
        struct.pack_into(f"<{code}", self.data, place, value)
        return bytes(self.data)


def _first(parts: Parts, table: int, field: int) -> int:
    place = vector(parts.data, table, field)
    assert place is not None
    return place + 4


def _weights(parts: Parts) -> tuple[int, int]:
    """The index and the place of the first tensor with a buffer of its own."""
    return next(
        (index, tensor)
        for index, tensor in enumerate(parts.tensors)
        if (place := slot(parts.data, tensor, 2)) is not None and parts.data[place] > 0
    )


def test_a_sound_file_passes() -> None:
    check_values(tiny_model(size=SIZE), "tiny")


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -1.0, 0.0, 2e38, 1e-30])
def test_wrong_scales_are_refused(tmp_path: Path, scale: float) -> None:
    parts = Parts()
    path = tmp_path / "m.tflite"
    path.write_bytes(parts.put("f", _first(parts, parts.quantization(), 2), scale))
    with pytest.raises(EdgenetError, match=r"m\.tflite is damaged: its tensor \d+ has the scale"):
        open_model(path)


def test_other_wrong_values_are_refused() -> None:
    def refused(code: str, place: int | None, value: int, parts: Parts) -> str:
        with pytest.raises(EdgenetError) as error:
            check_values(parts.put(code, place, value), "m")
        return error.value.found

    parts = Parts()
    assert "zero point outside" in refused("q", _first(parts, parts.quantization(), 3), 1 << 40, parts)
    parts = Parts()
    assert "has the shape" in refused("i", _first(parts, parts.tensors[0], 0), -2, parts)
    parts = Parts()
    assert "names the buffer" in refused("I", slot(parts.data, _weights(parts)[1], 2), 9999, parts)
    parts = Parts()
    assert "is not among" in refused("i", _first(parts, parts.operators[0], 1), 9999, parts)
    parts = Parts()
    assert "is not among" in refused("i", _first(parts, parts.operators[0], 2), -5, parts)
    parts = Parts()
    index, tensor = _weights(parts)
    found = refused("I", slot(parts.data, tensor, 2), 0, parts)
    assert f"reads the tensor {index}, which has no data" in found


def test_invoke_is_guarded(tiny_tflite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(tiny_tflite, threads=1)

    class Broken:
        def invoke(self) -> None:
            raise RuntimeError("Input tensor 56 lacks data")

    monkeypatch.setattr(classifier, "_interpreter", Broken())
    with pytest.raises(EdgenetError, match=r"cannot run .*: Input tensor 56 lacks data"):
        classifier.invoke()


def test_after_a_first_run_the_camera_compiles_nothing(
    tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    """The service may not write beside its scripts, so what is not compiled before costs it time at every start."""
    scripts = tmp_path / "scripts"
    shutil.copytree(ROOT / "device_scripts", scripts, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*command: object) -> None:
        there = {**os.environ, "PYTHONPATH": str(scripts)}
        there.pop("PYTHONDONTWRITEBYTECODE", None)
        subprocess.run(
            [sys.executable, *map(str, command)], env=there, check=True, capture_output=True, timeout=120
        )

    def compiled() -> set[str]:
        return {path.name for path in scripts.rglob("*.pyc")}

    run("-m", "edgenet_device", "try-model", tiny_bundle)
    before = compiled()
    run(
        scripts / "camera.py",
        tiny_bundle,
        video,
        "--serve",
        "0",
        "--json",
        "--state",
        tmp_path / "state.json",
    )
    assert before
    assert compiled() == before
