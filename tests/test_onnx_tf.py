"""`convert --backend onnx-tf` in its own environment; skipped if that is not installed (it takes 2.4 GB)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgenet_device.classifier import Classifier
from edgenet_device.model_file import open_model
from onnx import helper
from small_network import LABELS, PHOTOS, RESOLUTION, save_small_checkpoint, small_network

from edgenet import onnx_tf
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.onnx_reader import export_onnx
from edgenet.workflows.calibration import fidelity_warnings
from edgenet.workflows.convert import convert
from edgenet.workflows.onnx_source import open_onnx_network
from edgenet.workflows.package import package
from edgenet.workflows.sources import SourceOptions, open_source

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".envs" / "onnx_tf"
FOLLOWS = 0.7  # random weights at 64 pixels: 0.82 was seen, and 0 of what does not belong together
MAKE_IT = "benchmarks/README.md says how to make it"


def converted(source: Path, out: Path, *options: str) -> Any:
    """Return the output of `edgenet convert --json` there."""
    if not (ENVIRONMENT / "requirements.sha256").exists():  # the last thing that is written there
        pytest.skip(f"no environment with onnx-tf; {MAKE_IT}")
    command = [
        ENVIRONMENT / "bin" / "python",
        "-m",
        "edgenet",
        "convert",
        source,
        "--backend",
        "onnx-tf",
        "--calibration",
        PHOTOS,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [
            *map(str, command),
            "--calibration",
            str(PHOTOS),
            "--photos",
            "8",
            "--out",
            str(out),
            "--json",
            *options,
        ],
        capture_output=True,
        text=True,
        cwd=out.parent,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def correlation(source: str, tflite: Path, options: SourceOptions) -> float:
    """Return the correlation of the float network's log probabilities with the file's."""
    graph = open_source(source, options).graph
    images = load_all(open_photos(PHOTOS), graph.size[0]).images[:16]
    logits = run(graph, images)
    classifier = Classifier(tflite, threads=1)
    rows = []
    for image in images:
        rows.append(np.log(classifier.score_prepared(image) + 1e-9))
    real = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return float(np.corrcoef(real.ravel(), np.array(rows).ravel())[0, 1])


@pytest.mark.slow
def test_a_checkpoint_becomes_a_file_of_edgenets_layout(tmp_path: Path) -> None:
    source, out = save_small_checkpoint(tmp_path / "small.safetensors"), tmp_path / "small.tflite"
    report = converted(source, out)
    assert report["quantization"]["recipe"] == "onnx-tf"
    assert report["kinds"]["TRANSPOSE"] > 10  # what this route costs
    assert (report["classes"], report["labelled"]) == (len(LABELS), True)
    assert report["fidelity"]["n"] == 32
    assert open_model(out).labels == LABELS
    assert package(out, tmp_path / "small.edgenet").manifest.output.classes == len(LABELS)
    assert correlation(str(source), out, SourceOptions()) > FOLLOWS


@pytest.mark.slow
def test_an_onnx_that_ends_in_a_softmax(tmp_path: Path) -> None:
    """The network's own softmax is replaced by the file's, which is float."""
    plain, source = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    model = export_onnx(small_network().module, (RESOLUTION, RESOLUTION), onnx_tf.OPSET)
    onnx.save(model, plain)
    output = model.graph.output[0]
    model.graph.node.append(helper.make_node("Softmax", [output.name], ["probability"], axis=1))
    output.name = "probability"
    onnx.save(model, source)
    out = tmp_path / "small.tflite"
    report = converted(source, out, "--normalization", "-1..1")
    assert report["kinds"]["SOFTMAX"] == 1
    assert correlation(str(plain), out, SourceOptions(normalization="-1..1")) > FOLLOWS


def test_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_tf, "_PACKAGES", ("no_such_package",))
    source = save_small_checkpoint(tmp_path / "small.safetensors")
    with pytest.raises(EdgenetError, match=r"needs no_such_package, .*install the extra onnx-tf \(2\.4 GB\)"):
        convert(str(source), tmp_path / "x.tflite", calibration=PHOTOS, photos=8, backend="onnx-tf")
    assert not (tmp_path / "x.tflite").exists()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"backend": "tensorrt"}, "there is no backend 'tensorrt'; the backends are edgenet, "),
        ({"recipe": "minmax", "backend": "onnx-tf"}, "leave out --recipe and --keep-float, or --backend"),
        ({"keep_float": "auto", "backend": "onnx-tf"}, "do not work with --backend onnx-tf"),
    ],
)
def test_options_that_exclude_each_other(
    options: dict[str, str], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_tf, "_PACKAGES", ())
    source = save_small_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(EdgenetError, match=found):
        convert(source, tmp_path / "x.tflite", calibration=PHOTOS, photos=8, **options)


def test_a_tflite_has_no_onnx() -> None:
    with pytest.raises(EdgenetError, match="which starts from ONNX"):
        open_onnx_network("float.tflite", SourceOptions())


def test_a_newer_opset_that_cannot_be_lowered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: onnx.ModelProto, opset: int) -> None:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    path = tmp_path / "new.onnx"
    onnx.save(export_onnx(small_network().module, (RESOLUTION, RESOLUTION), 17), path)
    with pytest.raises(
        EdgenetError, match=r"has opset 17, onnx-tf knows up to 13.*export it with opset_version=13"
    ):
        open_onnx_network(str(path), SourceOptions(normalization="imagenet"))


def test_an_open_shape_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "open.onnx"
    model = export_onnx(small_network().module, (RESOLUTION, RESOLUTION), onnx_tf.OPSET)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, path)
    options = SourceOptions(normalization="imagenet", input_shape=(1, 3, 64, 64))
    shape = open_onnx_network(str(path), options).model.graph.input[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [1, 3, 64, 64]


def test_the_advice_for_a_poor_file_is_edgenets_own_quantizer() -> None:
    from edgenet.accuracy import wilson
    from edgenet.workflows.calibration import Fidelity

    (warning,) = fidelity_warnings(
        Fidelity(100, 50, 50.0, wilson(50, 100), 5.0, True, 1.0, 1.0, None), onnx_tf.NAME
    )
    assert "try edgenet's own quantizer (leave out --backend)" in warning
