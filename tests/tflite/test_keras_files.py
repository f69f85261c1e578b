"""Real files of Keras and TensorFlow's converter as sources; the tests are skipped without their environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_graphs import lite, photos
from small_network import PHOTOS

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.workflows.convert import convert
from edgenet.workflows.sources import SourceOptions, open_source

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".envs" / "keras_tflite" / "bin" / "python"
SCALINGS = {"pixels": "0..255", "centred": "-1..1"}
READ = (
    *("v1-centred", "v3small-pixels", "v3minimalistic-pixels", "efficientnet-pixels", "transfer-pixels"),
    *("plain-pixels", "half-centred"),
)
pytestmark = pytest.mark.slow


def python() -> str:
    if not PYTHON.exists():
        pytest.skip("no environment with TensorFlow; `python benchmarks/int8.py` makes it")
    return str(PYTHON)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that keras_files.py fills."""
    folder = tmp_path_factory.mktemp("keras")
    np.save(folder / "pixels.npy", photos(6, (96, 96)))
    command = [python(), str(Path(__file__).with_name("keras_files.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def options(name: str) -> SourceOptions:
    return SourceOptions(normalization=SCALINGS[name.split("-")[1]])


def scores(logits: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return the scores, through a softmax if the reference has one."""
    if np.abs(like.sum(1) - 1).max() > 1e-3:
        return logits
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("name", READ)
def test_the_float_reading_equals_tensorflow(made: Path, name: str) -> None:
    expected = np.load(made / f"{name}.npy")
    assert expected.std(1).min() > 1e-3
    given = run(open_source(str(made / f"{name}.tflite"), options(name)).graph, np.load(made / "pixels.npy"))
    np.testing.assert_allclose(scores(given, expected), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["v1-centred", "transfer-pixels", "plain-pixels", "half-centred"])
def test_int8_runs_in_litert(made: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "int8.tflite"
    result = convert(
        made / f"{name}.tflite",
        out,
        calibration=PHOTOS,
        photos=16,
        recipe="fast",
        normalization=options(name).normalization,
    )
    assert result.fidelity is not None
    assert result.fidelity.sqnr_db > 10
    pixels = np.load(made / "pixels.npy")
    np.testing.assert_allclose(lite(out.read_bytes(), pixels).sum(1), 1, atol=1e-5)


def test_dynamic_range_is_refused(made: Path) -> None:
    with pytest.raises(EdgenetError, match=r"its weights are int8, its activations float \(dynamic range\)"):
        open_source(str(made / "range-centred.tflite"), options("range-centred"))


def test_the_same_weights_by_two_ways(shared_data: Path, tmp_path: Path) -> None:
    """TF-slim's V1 comes through Keras, and is read by edgenet itself."""
    weights, out = shared_data / "mobilenet_v1_1.0_224_imagenet.npz", tmp_path / "v1.tflite"
    script = ROOT / "benchmarks" / "peers" / "keras_tflite" / "convert.py"
    command = [python(), str(script), str(weights), str(PHOTOS), str(out), "--float"]
    subprocess.run(command, check=True, capture_output=True)
    images = photos(2, (224, 224))
    ours = run(open_source(str(weights), SourceOptions()).graph, images)
    theirs = run(open_source(str(out), SourceOptions(normalization="-1..1")).graph, images)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-3)
