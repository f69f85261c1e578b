"""Networks that cannot be converted: each is refused with one line, and an older output stays."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from command_line import Edgenet
from onnx import TensorProto, helper
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_network import LABELS, PHOTOS, save_small_checkpoint

from edgenet.zoo.catalogue import find_entry
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.registry import build_with

OLD = b"an older file"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "net.tflite"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


Refused = Callable[..., str]


@pytest.fixture
def refused(edgenet: Edgenet, out: Path) -> Refused:
    """Converts a source and checks that it is refused with one line that holds the parts, and nothing is lost."""

    def check(source: object, *parts: str, options: tuple[object, ...] = ()) -> str:
        line = edgenet("convert", source, "-o", out, "--float", *options).refusal(*parts)
        assert out.read_bytes() == OLD
        assert list(out.parent.iterdir()) == [out]
        return line

    return check


def test_missing_files(refused: Refused, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".npz", ".pth", ".onnx", ".tflite"):
        refused(tmp_path / f"none{suffix}", f"none{suffix}", "check the path")


def test_unknown_variant_names_the_nearest(refused: Refused) -> None:
    refused("mobilnet_v2_1.0_224", "is not the name of a variant", "nearest names are: mobilenet_v2_1.0_224")


def test_variant_without_weights(refused: Refused) -> None:
    refused("mobilenet_v1_0.4_160", "no pretrained weights for mobilenet_v1_0.4_160", "mobilenet_v1_0.5_160")


def test_unknown_format(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "net.mlmodel").write_bytes(b"\x08\x05\x00\x01")
    refused(tmp_path / "net.mlmodel", "not in a known format of weights", ".safetensors")


def test_unknown_recipe(edgenet: Edgenet, made: Path, out: Path) -> None:
    ran = edgenet(
        *("convert", made / "small.safetensors", "-o", out, "--calibration", PHOTOS, "--recipe", "magic")
    )
    assert ran.status == 2
    assert "'magic' is not one of" in " ".join(ran.err.split())
    assert "minmax" in ran.err
    assert out.read_bytes() == OLD


def test_labels_of_another_number(refused: Refused, made: Path, tmp_path: Path) -> None:
    labels = tmp_path / "names.txt"
    labels.write_text("cat\ndog\n")
    refused(
        made / "small.safetensors",
        "names.txt names 2 classes and the network has 5 outputs",
        "one label per line",
        options=("--labels", labels),
    )


def test_labels_that_cannot_be_read(refused: Refused, made: Path, tmp_path: Path) -> None:
    refused(made / "small.safetensors", "cannot read the labels", options=("--labels", tmp_path / "none.txt"))
    refused(made / "small.safetensors", "cannot read the labels", options=("--labels", tmp_path))
    (tmp_path / "latin.txt").write_bytes("Käfer\n".encode("latin-1"))
    refused(made / "small.safetensors", "not UTF-8", options=("--labels", tmp_path / "latin.txt"))


def test_checkpoint_of_another_architecture(refused: Refused, tmp_path: Path) -> None:
    """The metadata of V1 over the tensors of V2."""
    first = save_small_checkpoint(tmp_path / "v1.safetensors")
    second = save_small_checkpoint(tmp_path / "v2.safetensors", "mobilenet_v2", 0.35)
    with safe_open(first, framework="pt") as file:
        metadata = file.metadata()
    mixed = tmp_path / "mixed.safetensors"
    save_file(load_file(second), mixed, metadata)
    refused(mixed, "mixed.safetensors does not hold mobilenet_v1_0.25_64", "tensors missing")


@pytest.mark.parametrize("variant", [("mobilenet_v1_0.25_32",), ()])
def test_train_is_told_another_architecture(
    edgenet: Edgenet, tmp_path: Path, variant: tuple[str, ...]
) -> None:
    labelled = tmp_path / "photos"
    for number, photo in enumerate(sorted(PHOTOS.glob("*.jpg"))[:24]):
        (labelled / str(number % 2)).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, labelled / str(number % 2))
    torch.save(build_with("mobilenet_v1_0.25_32", NetworkOptions(3)).state_dict(), tmp_path / "net.pth")
    arguments = ("--data", labelled, "-o", tmp_path / "run", "--pretrained", tmp_path / "net.pth")
    failed = edgenet("train", *variant, *arguments, "--architecture", "mobilenet_v2_1.0_224")
    assert failed.status == 1
    assert "does not hold mobilenet_v2_1.0_224 with 3 classes" in failed.err


def test_state_dict_of_another_architecture(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save({"layer1.0.conv1.weight": torch.zeros(4, 3, 3, 3)}, path)
    refused(path, "a network that edgenet does not know", "layer1.0.conv1.weight", "torch.onnx.export(")


def test_a_pickle_that_would_run_code(refused: Refused, tmp_path: Path) -> None:
    """Such a file is refused before anything in it runs."""
    proof = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (open, (str(proof), "w"))

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Evil()))
    refused(path, "is a Python pickle, not a network", "edgenet never unpickles one")
    assert not proof.exists()


def test_truncated_checkpoint(refused: Refused, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes((made / "small.safetensors").read_bytes()[:-1000])
    refused(path, "not a complete safetensors file")


def test_weights_that_are_not_finite(refused: Refused, made: Path, tmp_path: Path) -> None:
    source = made / "small.safetensors"
    tensors = load_file(source)
    tensors["classifier.bias"][2] = float("nan")
    with safe_open(source, framework="pt") as file:
        save_file(tensors, tmp_path / "nan.safetensors", file.metadata())
    refused(tmp_path / "nan.safetensors", "not finite: classifier.bias")


def test_wrong_checksum_of_pretrained_weights(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the cache that is not what its name says."""
    entry = find_entry("mobilenet_v2_1.0_224")
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    cached = tmp_path / "cache" / entry.file
    cached.write_bytes(b"other bytes")
    refused(
        "mobilenet_v2_1.0_224", f"{cached} is a file of an unknown kind, not {entry.file}", f"delete {cached}"
    )
    with zipfile.ZipFile(cached, "w") as archive:
        archive.writestr("net/data.pkl", b"other bytes")
    found = hashlib.sha256(cached.read_bytes()).hexdigest()
    wanted = entry.checksum.partition(":")[2]
    refused("mobilenet_v2_1.0_224", str(cached), found, wanted, f"delete {cached}")
    assert hashlib.sha256(cached.read_bytes()).hexdigest() == found


@pytest.mark.parametrize(
    ("suffix", "options", "parts"),
    [
        (".safetensors", ("--normalization", "imagenet"), ("has its own normalization",)),
        (".safetensors", ("--input-shape", "1,3,64,64"), ("has its own normalization and shape",)),
        (".safetensors", ("--resolution", "8"), ("the resolution of mobilenet_v1 is 8", "from 32 to 4096")),
        (".onnx", (), ("does not say what its pixels went through", "--normalization imagenet")),
        (
            ".onnx",
            ("--normalization", "imagenet", "--resolution", "96"),
            ("an .onnx has its own resolution",),
        ),
    ],
)
def test_options_that_do_not_fit_the_source(
    refused: Refused, made: Path, suffix: str, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    refused(made / f"small{suffix}", *parts, options=options)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--normalization", "nonsense"), ("nonsense is not a normalization", "imagenet")),
        (("--normalization", "1,2,3/4,5"), ("1,2,3/4,5 is not a normalization", "R,G,B/R,G,B")),
        (("--normalization", "0,0,0/0,1,1"), ("std (0.0, 1.0, 1.0)", "above 0")),
        (("--normalization", "nan,0,0/1,1,1"), ("mean (nan, 0.0, 0.0)", "finite")),
        (("--input-shape", "1,3,64"), ("--input-shape is '1,3,64'", "1,3,224,224")),
        (("--input-shape", "1,3,0,64"), ("--input-shape is '1,3,0,64'", "1,3,224,224")),
        (("--recipe", "slow"), ("'slow' is not one of", "minmax", "fast", "balanced", "best")),
        (("--backend", "tvm"), ("'tvm' is not one of", "edgenet", "onnx-tf")),
        (("--resolution", "0"), ("'--resolution'", "greater than or equal to 1")),
        (("--photos", "0"), ("'--photos'", "greater than or equal to 1")),
    ],
)
def test_a_wrong_value_is_wrong_usage(
    edgenet: Edgenet, tmp_path: Path, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """The status is 2, and nothing is read: neither the network nor the photos exist."""
    given = ("convert", tmp_path / "none.onnx", "-o", tmp_path / "x.tflite", "--calibration", tmp_path / "no")
    ran = edgenet(*given, *options)
    assert ran.status == 2
    assert all(part in " ".join(ran.err.split()) for part in parts), ran.err


def save_onnx(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, list[int | str]]) -> Path:
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "net", given, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


IMAGENET = ("--normalization", "imagenet")


def test_onnx_with_an_unsupported_operator(refused: Refused, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mish", ["image"], ["active"], name="block/mish"),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    path = save_onnx(tmp_path / "net.onnx", nodes, {"image": [1, 3, 32, 32]})
    refused(path, "Mish", "block/mish", "32", "not supported", options=IMAGENET)


def test_onnx_with_two_inputs(refused: Refused, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["image", "other"], ["sum"]),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    path = save_onnx(tmp_path / "net.onnx", nodes, {"image": [1, 3, 32, 32], "other": [1, 3, 32, 32]})
    refused(path, "2 inputs", "'image'", "'other'", "single image input", options=IMAGENET)


def test_onnx_with_an_open_height(refused: Refused, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    path = save_onnx(tmp_path / "net.onnx", nodes, {"image": ["batch", 3, "height", 32]})
    refused(path, "[batch, 3, height, 32]", "--input-shape", options=IMAGENET)


def test_damaged_onnx(refused: Refused, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for data in (b"", b"no protobuf at all", (made / "small.onnx").read_bytes()[:5000]):
        path.write_bytes(data)
        refused(path, "net.onnx", options=IMAGENET)


def test_int8_tflite_as_source(refused: Refused, made: Path) -> None:
    refused(made / "int8.tflite", "already", "give the float file it was made from")


@pytest.mark.parametrize("name", ["float.tflite", "int8.tflite"])
def test_damaged_tflite(refused: Refused, edgenet: Edgenet, made: Path, tmp_path: Path, name: str) -> None:
    """Cut off anywhere, or no .tflite at all, for every verb that takes one."""
    whole = (made / name).read_bytes()
    path = tmp_path / "net.tflite"
    for data in (b"", b"no model", whole[:100], whole[: len(whole) // 2], b"\xff" * 8 + whole[8:]):
        path.write_bytes(data)
        refused(path, "net.tflite")
        edgenet("inspect", path).refusal("net.tflite")
        edgenet("evaluate", path, "--data", class_folders(tmp_path / "photos")).refusal("net.tflite")
        edgenet("package", path, "-o", tmp_path / "net.edgenet").refusal()
    assert not (tmp_path / "net.edgenet").exists()


def class_folders(root: Path) -> Path:
    """A photo in a folder for each of the network's classes."""
    for label, photo in zip(LABELS, sorted(PHOTOS.glob("*.jpg")), strict=False):
        (root / label).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, root / label / "photo.jpg")
    return root


@pytest.mark.slow
def test_bytes_changed_at_random_never_end_in_a_traceback(
    edgenet: Edgenet, made: Path, tmp_path: Path
) -> None:
    """What cannot be noticed may be read; everything else is one line."""
    whole = (made / "float.tflite").read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "net.tflite"
    # The tables lie at both ends, the weights between them.
    places = [*random.integers(0, 3000, 20), *random.integers(len(whole) - 12_000, len(whole), 40)]
    for place in places:
        data = bytearray(whole)
        data[place] = int(random.integers(0, 256))
        path.write_bytes(data)
        ran = edgenet("inspect", path)
        if ran.status != 0:
            ran.refusal(remedy=False)
