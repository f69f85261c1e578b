"""Keras' .h5 files and folded .tflite files give the logits of their makers' own networks; other files are refused."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from ai_edge_litert.interpreter import Interpreter
from small_classifiers import Layout, classifier_file

from benchmarks.peers.pretrained.filling import filled, picture
from edgenet.errors import EdgenetError
from edgenet.zoo.catalogue import PretrainedWeights, find_entry
from edgenet.zoo.checkpoint import load_tensors
from edgenet.zoo.classifier import SLIM, NetworkOptions
from edgenet.zoo.finished_files import check_results, read_folded
from edgenet.zoo.layouts import meta_network
from edgenet.zoo.pretrained import load_pretrained, options_of, read_keras, read_pretrained
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import build, parse_variant

PEERS = json.loads(gzip.decompress(Path(__file__).with_name("peer_networks.json.gz").read_bytes()))
KERAS = {
    "keras:MobileNet:0.25": "mobilenet_v1_0.25_128",
    "keras:MobileNetV2:0.35": "mobilenet_v2_0.35_96",
    "keras:MobileNetV3Small:0.75": "mobilenet_v3_small_0.75_224",
    "keras:MobileNetV3Large:1.0:minimalistic": "mobilenet_v3_large_minimalistic_1.0_224",
}


def write_h5(path: Path, peer: dict[str, Any], whole_model: bool) -> None:
    """Write a peer's weights as Keras does: groups of layers whose attributes list the names, in order."""
    layers: dict[str, list[tuple[str, np.ndarray]]] = {}
    for name, shape in peer["tensors"]:
        layer, _, weight = name.partition(" ")
        layers.setdefault(layer, []).append((weight, filled(name, tuple(shape))))
    with h5py.File(path, "w") as file:
        top = file.create_group("model_weights") if whole_model else file
        top.attrs["layer_names"] = [b"input", *(layer.encode() for layer in layers)]
        top.create_group("input").attrs["weight_names"] = []
        for layer, weights in layers.items():
            group = top.create_group(layer)
            group.attrs["weight_names"] = [weight.encode() for weight, _ in weights]
            for weight, values in weights:
                group[weight] = values


@torch.no_grad()
@pytest.mark.parametrize("name", KERAS)
def test_logits_are_those_of_keras_own_application(name: str, tmp_path: Path) -> None:
    peer = next(p for p in PEERS if p["network"] == name)
    write_h5(tmp_path / "net.h5", peer, whole_model="V3" in name)
    variant, options = parse_variant(KERAS[name]), NetworkOptions(classes=10, normalization=SLIM)
    tensors = read_keras(tmp_path / "net.h5", meta_network(variant, options).state_dict())
    network = load_tensors(variant, options, tensors, name)
    logits, expected = network(torch.from_numpy(picture(peer["side"])))[0], torch.tensor(peer["logits"])
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_every_recorded_application_is_tested() -> None:
    assert {p["network"] for p in PEERS if p["network"].startswith("keras:")} == set(KERAS)


def test_other_h5_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    peer = next(p for p in PEERS if p["network"] == "keras:MobileNet:0.25")
    expected = meta_network(parse_variant("mobilenet_v1_0.25_128"), NetworkOptions(10)).state_dict()
    with pytest.raises(EdgenetError, match="there is no file"):
        read_keras(path, expected)
    path.write_bytes(b"\x89HDF\r\n\x1a\n and nothing else")
    with pytest.raises(EdgenetError, match="cannot be read as an HDF5 file"):
        read_keras(path, expected)
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(EdgenetError, match="not one of Keras' weights"):
        read_keras(path, expected)
    write_h5(path, {"tensors": peer["tensors"][:-1]}, whole_model=False)
    with pytest.raises(EdgenetError, match="holds 136 weights, but the network has 137"):
        read_keras(path, expected)
    swapped = [*peer["tensors"]]
    swapped[1], swapped[2] = swapped[2], swapped[1]
    write_h5(path, {"tensors": swapped}, whole_model=False)
    with pytest.raises(EdgenetError, match=r"has conv1_bn/beta in the place of features\.0\.norm\.weight"):
        read_keras(path, expected)
    write_h5(path, peer, whole_model=False)
    with h5py.File(path, "a") as file:
        del file["conv_preds"]
    with pytest.raises(EdgenetError, match="cannot be read as an HDF5 file"):
        read_keras(path, expected)


@pytest.fixture(scope="module")
def official_tflite(shared_cases: Path) -> Path:
    return shared_cases / "models" / "mobilenet_v1_0.25_224_1_metadata_1.tflite"


def scores_of(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Return the file's own scores for normalized RGB [1,3,224,224]."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels.transpose(0, 2, 3, 1))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


@torch.no_grad()
@pytest.mark.parametrize("packed", [False, True], ids=["alone", "in a .tgz"])
def test_official_tflite_gives_the_scores_of_litert_without_background(
    official_tflite: Path, tmp_path: Path, packed: bool
) -> None:
    path, entry = official_tflite, find_entry("mobilenet_v1_0.25_224")
    if packed:
        path, entry = tmp_path / "mobilenet_v1_0.25_224.tgz", find_entry("mobilenet_v1_0.25_224:slim")
        write_tgz(path, {"model_quant.tflite": b"quantized", "./net.tflite": official_tflite.read_bytes()})
    loaded = read_pretrained(path, entry)
    pixels = np.tanh(picture(224))
    scores = loaded.module(torch.from_numpy(pixels))[0].softmax(0).numpy()
    expected = scores_of(official_tflite, pixels)[1:]
    np.testing.assert_allclose(scores, expected / expected.sum(), atol=1e-6)
    assert (len(loaded.labels), loaded.labels[0]) == (1000, "tench")
    assert loaded.normalization == SLIM


def write_tgz(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_network_that_does_not_compute_what_its_file_does_is_refused(official_tflite: Path) -> None:
    module = read_pretrained(official_tflite, find_entry("mobilenet_v1_0.25_224")).module
    check_results(official_tflite, module, 224)
    with torch.no_grad():
        module.features[3].pointwise.norm.bias[5] += 3
    with pytest.raises(EdgenetError, match="computes other scores than a network with its weights"):
        check_results(official_tflite, module, 224)


def test_other_tflite_files_are_refused(official_tflite: Path, tmp_path: Path) -> None:
    v2 = meta_network(parse_variant("mobilenet_v2_0.35_224"), NetworkOptions()).state_dict()
    with pytest.raises(EdgenetError, match="has 28 convolutions, but the network has 53"):
        read_folded(official_tflite, v2, 1e-3)
    (tmp_path / "cut.tflite").write_bytes(official_tflite.read_bytes()[:5000])
    with pytest.raises(EdgenetError, match=r"cut.tflite is not a complete \.tflite"):
        read_folded(tmp_path / "cut.tflite", v2, 1e-3)
    write_tgz(tmp_path / "empty.tgz", {"readme.txt": b"x", "net_quant.tflite": b"x"})
    with pytest.raises(EdgenetError, match=r"contains no float \.tflite"):
        read_folded(tmp_path / "empty.tgz", v2, 1e-3)
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "empty.tgz").read_bytes()[:40])
    with pytest.raises(EdgenetError, match="cannot be unpacked"):
        read_folded(tmp_path / "cut.tgz", v2, 1e-3)


@pytest.fixture
def timm_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[PretrainedWeights, torch.nn.Module]:
    """A network of timm's names in the cache, under the name of a row of the catalogue, and the network itself."""
    entry = find_entry("mobilenet_v1_1.0_224:timm")
    torch.manual_seed(4)
    with torch.no_grad():
        network = build("mobilenet_v1_1.0_224", padding="symmetric", epsilon=1e-5).eval()
    names = {"features.0.conv": "conv_stem", "features.0.norm": "bn1", "classifier": "classifier"}
    stages = (1, 2, 2, 6, 2)
    places = [(stage, block) for stage, blocks in enumerate(stages) for block in range(blocks)]
    for index, (stage, block) in enumerate(places, start=1):
        for ours, theirs in (("depthwise", "dw"), ("pointwise", "pw")):
            number = 1 if theirs == "dw" else 2
            names[f"features.{index}.{ours}.conv"] = f"blocks.{stage}.{block}.conv_{theirs}"
            names[f"features.{index}.{ours}.norm"] = f"blocks.{stage}.{block}.bn{number}"
    state = {
        f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}": t for n, t in network.state_dict().items()
    }
    safetensors.torch.save_file(state, tmp_path / entry.file)
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path))
    return entry, network


@torch.no_grad()
def test_network_by_name_comes_from_the_cache_as_the_catalogue_says(
    timm_file: tuple[PretrainedWeights, torch.nn.Module],
) -> None:
    entry, network = timm_file
    loaded = load_network("mobilenet_v1_1.0_224")
    x = torch.from_numpy(picture(64))
    torch.testing.assert_close(loaded.module(x), network(x))
    assert loaded.module.options == options_of(entry)
    assert loaded.normalization.mean == (127.5,) * 3
    assert loaded.origin == f"timm, mobilenetv1_100.ra4_e3600_r224_in1k ({entry.file})"
    assert loaded.licence.startswith("Apache-2.0 (timm); trained on ImageNet")
    assert load_network("mobilenet_v1_1.0_224:timm", resolution=160).variant.name == "mobilenet_v1_1.0_160"
    with pytest.raises(EdgenetError, match='no weights with the tag "torchvision"'):
        load_network("mobilenet_v1_1.0_224:torchvision")


def test_file_of_another_network_is_refused(timm_file: tuple[PretrainedWeights, torch.nn.Module]) -> None:
    entry, _ = timm_file
    other = dataclasses.replace(entry, variant="mobilenet_v1_0.5_224")
    with pytest.raises(EdgenetError, match=r"does not hold mobilenet_v1_0\.5_224 .* of another shape"):
        load_pretrained(other)


def test_a_training_can_start_from_the_official_tflite(official_tflite: Path) -> None:
    loaded = load_network(official_tflite)
    assert (loaded.variant.name, len(loaded.labels), loaded.labels[1]) == (
        "mobilenet_v1_0.25_224",
        1001,
        "tench",
    )
    assert (loaded.normalization, loaded.assumed) == (SLIM, ())
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
    with torch.no_grad():
        scores = loaded.with_pixels()(torch.from_numpy(pixels))[0].softmax(0).numpy()
    np.testing.assert_allclose(scores, scores_of(official_tflite, (pixels - 127.5) / 127.5), atol=1e-6)


def test_a_float_tflite_is_one_of_our_networks_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(classifier_file(Layout()))
    with pytest.raises(EdgenetError, match=r"has 1 layers? with weights, and is none of the networks"):
        load_network(path)
    path.write_bytes(classifier_file(Layout(dtype="int8")))
    with pytest.raises(EdgenetError, match=r"has weights of the type int8.* give the float \.tflite"):
        load_network(path)
