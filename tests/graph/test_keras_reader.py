"""Keras' files without TensorFlow: a small model in all three formats, what is refused, and files of the real Keras."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from other_makers import run_beside_makers
from small_keras import (
    CLASSES,
    RESCALING,
    SIDE,
    Layer,
    layer,
    layers,
    sequential,
    weights,
    write_h5,
    write_keras,
    write_tfjs,
)

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run, run_tensors
from edgenet.graph.keras_reader import read_keras
from edgenet.workflows.source_options import SourceOptions
from edgenet.workflows.sources import open_source
from edgenet.zoo import keras_hdf5

ROOT = Path(__file__).resolve().parents[2]
PIXELS = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)


def expected(pictures: np.ndarray) -> np.ndarray:
    """Return the scores of the small model, computed step by step with torch."""
    given = {name: {k: torch.from_numpy(v) for k, v in one.items()} for name, one in weights().items()}
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    kernel = given["conv"]["kernel"].permute(3, 2, 0, 1)
    # SAME padding of 8 pixels with stride 2 and a window of 3: one row below and one column to the right
    x = torch.relu(torch.conv2d(torch.nn.functional.pad(x, (0, 1, 0, 1)), kernel, given["conv"]["bias"], 2))
    norm = given["norm"]
    x = torch.nn.functional.batch_norm(
        x, norm["moving_mean"], norm["moving_variance"], norm["gamma"], norm["beta"], eps=1e-3
    )
    return (x.mean((2, 3)) @ given["scores"]["kernel"] + given["scores"]["bias"]).softmax(1).numpy()


def scores(path: Path, pictures: np.ndarray) -> np.ndarray:
    graph = read_keras(path).graph
    return np.concatenate(
        [run_tensors(graph, torch.from_numpy(picture[None])).numpy() for picture in pictures]
    )


def test_the_three_formats_hold_the_same_model(tmp_path: Path) -> None:
    model, given = sequential(layers()), weights()
    files = (
        write_h5(tmp_path / "model.h5", model, given),
        write_keras(tmp_path / "model.keras", model, given),
        write_tfjs(tmp_path, model, given),
    )
    pictures = (PIXELS / 255).astype(np.float32)
    for path in files:
        np.testing.assert_allclose(scores(path, pictures), expected(pictures), rtol=1e-5, atol=1e-6)


def test_a_model_that_scales_its_pixels_needs_no_normalization(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "model.h5", sequential(layers(first=[RESCALING])), weights())
    logits = run(open_source(path).graph, PIXELS)
    wanted = expected((PIXELS / 127.5 - 1).astype(np.float32))
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1).numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_a_model_that_does_not_scale_them_needs_one(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "model.h5", sequential(layers()), weights())
    with pytest.raises(EdgenetError, match=r"give --normalization .*Teachable Machine takes -1\.\.1"):
        open_source(path)
    wanted = expected((PIXELS / 127.5 - 1).astype(np.float32))
    logits = run(open_source(path, SourceOptions(normalization="-1..1")).graph, PIXELS)
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1).numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_teachable_machine_says_so_in_the_metadata_beside_it(tmp_path: Path) -> None:
    write_tfjs(tmp_path, sequential(layers()), weights())
    names = ["red cup", "blue cup", "no cup"]
    (tmp_path / "metadata.json").write_text(
        json.dumps({"packageName": "@teachablemachine/image", "labels": names, "imageSize": SIDE})
    )
    opened = open_source(tmp_path)
    assert opened.labels == tuple(names)
    assert opened.facts.name == tmp_path.name
    logits = run(opened.graph, PIXELS)
    wanted = expected((PIXELS / 127.5 - 1).astype(np.float32))
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1).numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_labels_beside_the_file(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "model.h5", sequential(layers(first=[RESCALING])), weights())
    (tmp_path / "labels.txt").write_text("0 cat\n1 dog\n2 bird\n")
    opened = open_source(path)
    assert opened.labels == ("cat", "dog", "bird")
    assert any("labels.txt" in warning for warning in opened.warnings)
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    opened = open_source(path)
    assert opened.labels is None
    assert "names 2 classes and the network has 3 outputs" in opened.warnings[0]


def test_one_sigmoid_is_two_classes(tmp_path: Path) -> None:
    model = sequential(layers(first=[RESCALING], last="sigmoid", outputs=1))
    path = write_keras(tmp_path / "model.keras", model, weights(outputs=1))
    one = scores(path, PIXELS.astype(np.float32))
    logits = run(open_source(path).graph, PIXELS)
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1).numpy()[:, 1:], one, rtol=1e-4, atol=1e-5)


def test_a_grey_model_takes_rgb(tmp_path: Path) -> None:
    path = write_h5(
        tmp_path / "model.h5", sequential(layers(first=[RESCALING], channels=1)), weights(channels=1)
    )
    graph = open_source(path).graph
    assert graph.shapes[graph.input] == (1, SIDE, SIDE, 3)
    grey = PIXELS @ np.array([0.299, 0.587, 0.114])
    like_grey = np.repeat(np.round(grey)[..., None], 3, axis=3).astype(np.uint8)
    # A grey photo in RGB has the same scores as the photo whose grey it is, except for rounding to whole pixels.
    np.testing.assert_allclose(run(graph, like_grey), run(graph, PIXELS), atol=0.02)


def test_a_model_without_a_size_takes_that_of_the_user_or_of_resizing(tmp_path: Path) -> None:
    open_layers = layers(first=[RESCALING])
    open_layers[0]["config"]["batch_input_shape"] = [None, None, None, 3]
    path = write_h5(tmp_path / "model.h5", sequential(open_layers), weights())
    with pytest.raises(EdgenetError, match="leaves the size of its picture open; give --resolution"):
        open_source(path)
    assert open_source(path, SourceOptions(resolution=10)).graph.size == (10, 10)
    open_layers.insert(1, layer("Resizing", "resizing", height=6, width=7, interpolation="bilinear"))
    assert read_keras(write_h5(path, sequential(open_layers), weights())).graph.size == (6, 7)


def test_layers_that_are_read_as_others(tmp_path: Path) -> None:
    """Training on several devices, and a random crop of a picture's whole, change nothing in a finished network."""
    plain = layers(first=[RESCALING])
    pixels = np.random.default_rng(1).uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)
    wanted = scores(write_h5(tmp_path / "plain.h5", sequential(plain), weights()), pixels)
    other = [
        {**one, "class_name": "SyncBatchNormalization"} if one["class_name"] == "BatchNormalization" else one
        for one in layers(first=[layer("RandomCrop", "crop", height=SIDE, width=SIDE), RESCALING])
    ]
    found = scores(write_h5(tmp_path / "other.h5", sequential(other), weights()), pixels)
    np.testing.assert_array_equal(found, wanted)


LAMBDA = layer("Lambda", "code", function=["4wEAAAAAAAAAAAAAAAEAAAAAAAAA", None, None])
REFUSED: dict[str, tuple[Layer, str]] = {
    "lambda": (LAMBDA, "the layer 'code', a Lambda .* it holds Python code, which edgenet never runs"),
    "custom": (layer("Mine", "m"), "the layer 'm', a Mine .* this layer is not supported"),
    "registered": (
        {**layer("Rescaling", "m", scale=1.0), "registered_name": "my>Rescaling"},
        "this layer is not supported",
    ),
    "activation": (layer("Activation", "a", activation="selu"), "its activation is selu"),
    "crop": (layer("RandomCrop", "c", height=4, width=4), "it crops to 4x4"),
    "no name of the class": ({"config": {"name": "x"}}, "describes its layers wrongly"),
    "a text for a number": (layer("ZeroPadding2D", "p", padding="wide"), "describes its layers wrongly"),
    "channels first": (
        layer("ZeroPadding2D", "p", padding=1, data_format="channels_first"),
        "its data_format is channels_first",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_are_refused(tmp_path: Path, name: str) -> None:
    wrong, message = REFUSED[name]
    path = write_h5(tmp_path / "model.h5", sequential(layers(first=[wrong])), weights())
    with pytest.raises(EdgenetError, match=message):
        read_keras(path)


def test_weights_without_layers_are_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "model.h5", sequential(layers()), weights())
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["layer_names"] = [b"conv"]
    with pytest.raises(EdgenetError, match=r"holds only weights, without the layers; save the whole model"):
        read_keras(path)


def test_weights_that_are_missing_or_not_finite(tmp_path: Path) -> None:
    given: dict[str, Any] = {name: dict(one) for name, one in weights().items()}
    del given["scores"]["bias"]
    with pytest.raises(EdgenetError, match="the weights of the layer 'scores'"):
        read_keras(write_h5(tmp_path / "model.h5", sequential(layers()), given))
    given = {name: dict(one) for name, one in weights().items()}
    given["conv"]["kernel"] = given["conv"]["kernel"] * np.float32(np.nan)
    with pytest.raises(EdgenetError, match="its kernel holds 108 NaN among 108 values"):
        read_keras(write_h5(tmp_path / "model.h5", sequential(layers()), given))


@pytest.mark.parametrize("kept", [20, 1000, 4000])
def test_files_that_are_cut_short(tmp_path: Path, kept: int) -> None:
    model, given = sequential(layers()), weights()
    for path in (write_h5(tmp_path / "m.h5", model, given), write_keras(tmp_path / "m.keras", model, given)):
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(EdgenetError, match="not a complete Keras model"):
            read_keras(path)


def test_a_file_that_keeps_the_library_busy_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzz found such files; this child stands for the library, which computes without an end."""
    endless = "from edgenet.zoo.keras_hdf5 import _limit_computing\n_limit_computing(1)\nwhile True: pass"
    monkeypatch.setattr(keras_hdf5, "_CHILD", f"import sys; sys.path[:] = sys.argv[3:]\n{endless}")
    with pytest.raises(keras_hdf5.Hdf5Error, match="does not come to an end with it"):
        keras_hdf5.read_hdf5(b"", "whole", 1)


def test_a_file_must_not_lead_to_another(tmp_path: Path) -> None:
    """HDF5 can take a dataset from another file, also one that the model's maker has no business with."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["key"] = np.ones((4, CLASSES), np.float32)
    path = write_h5(tmp_path / "model.h5", sequential(layers()), weights())
    with h5py.File(path, "r+") as file:
        del file["model_weights/scores/scores/kernel:0"]
        file["model_weights/scores/scores/kernel:0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "key")
    with pytest.raises(EdgenetError, match="a link to elsewhere"):
        read_keras(path)


def test_a_small_file_must_not_become_large(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "model.h5", sequential(layers()), weights())
    with h5py.File(path, "r+") as file:
        del file["model_weights/scores/scores/kernel:0"]
        file.create_dataset(
            "model_weights/scores/scores/kernel:0", (1 << 28,), np.float32, compression="gzip"
        )
    with pytest.raises(EdgenetError, match="would unpack to 1,073"):
        read_keras(path)


def test_shards_that_are_missing_or_lead_away(tmp_path: Path) -> None:
    path = write_tfjs(tmp_path, sequential(layers()), weights())
    text = path.read_text()
    path.write_text(text.replace("group1-shard2of2.bin", "../secret.bin"))
    with pytest.raises(EdgenetError, match="its shards have to lie beside it"):
        read_keras(path)
    path.write_text(text)
    (tmp_path / "group1-shard2of2.bin").unlink()
    with pytest.raises(EdgenetError, match=r"needs .*group1-shard2of2\.bin, which is not there"):
        read_keras(path)


def test_a_graph_model_of_tensorflow_js_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(
        json.dumps({"format": "graph-model", "modelTopology": {"node": []}, "weightsManifest": []})
    )
    with pytest.raises(EdgenetError, match="graph model, which holds no Keras layers"):
        read_keras(path)


def test_a_savedmodel_is_refused_with_the_lines_that_help(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\xd6\xb81\n\xd9\x1a\x12")
    for path in (tmp_path, tmp_path / "saved_model.pb"):
        with pytest.raises(EdgenetError, match=r"TFLiteConverter\.from_saved_model\('.*'\)\.convert\(\)"):
            open_source(path)


def test_the_weights_of_keras_are_no_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", bytes(100_000_000))
    with pytest.raises(EdgenetError, match="would unpack to 100,000,004"):
        read_keras(path)


KERAS_2 = ROOT / ".envs" / "onnx2tf" / "bin" / "python"
"""The environment with Keras 2, which needs TensorFlow; Keras 3 runs beside our own packages."""
REAL = ("v3small", "tutorial", "partly-frozen", "many-layers", "adapted")


@pytest.fixture(scope="module", params=["tf_keras", "keras"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models that the real Keras wrote, and their outputs."""
    folder = tmp_path_factory.mktemp(request.param)
    script = Path(__file__).with_name("keras_models.py")
    if request.param == "keras":
        run_beside_makers(script, "keras", folder, *REAL)
        return folder
    if not KERAS_2.exists():
        pytest.skip(
            "no environment with Keras 2, which needs TensorFlow; `python -m benchmarks.peers` makes it"
        )
    done = subprocess.run([KERAS_2, script, "tf_keras", folder, *REAL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_files_of_the_real_keras(written: Path, name: str) -> None:
    wanted = np.load(written / f"{name}.npy")
    for suffix in (".h5", ".keras"):
        path = written / f"{name}{suffix}"
        height, width = read_keras(path).graph.size
        pixels = np.random.default_rng(5).integers(0, 256, (2, height, width, 3)).astype(np.float32)
        np.testing.assert_allclose(scores(path, pixels), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_teachable_machines_own_export(shared_data: Path) -> None:
    """Their .h5 holds a Sequential model of two others, one of which holds a Functional one."""
    path = shared_data.parent / "cases" / "models" / "teachable_machine.h5"
    if not path.exists():
        pytest.skip("no shared cases")
    opened = open_source(path, SourceOptions(normalization="-1..1"))
    assert (opened.graph.size, opened.graph.classes) == ((224, 224), 3)
