"""What a float network's file leaves open can be said wherever such a file is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from small_network import PHOTOS, RESOLUTION

import edgenet
from edgenet.errors import EdgenetError
from edgenet.training.starting import StartingWeights, pretrained_network
from edgenet.workflows.train import TrainingOptions, training_plan
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.registry import build_with, parse_variant

COLOURS = ("red", "green", "blue")
WRONG = "mobilenet_v2_1.0_224"
NOT_THIS = r"does not hold mobilenet_v2_1\.0_224 with 3 classes"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict that somebody saved with torch."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("foreign") / "net.pth"
    torch.save(build_with("mobilenet_v1_0.25_32", NetworkOptions(3)).state_dict(), path)
    return path


def test_every_verb_takes_it(checkpoint: Path, colour_folders: Path, made: Path, tmp_path: Path) -> None:
    tried: dict[str, Callable[[str], object]] = {
        "evaluate": lambda name: edgenet.evaluate(
            checkpoint, colour_folders, labels=COLOURS, architecture=name
        ),
        "inspect": lambda name: edgenet.inspect(
            made / "int8.tflite", against=checkpoint, data=colour_folders, architecture=name
        ),
        "convert": lambda name: edgenet.convert(
            checkpoint, tmp_path / "net.tflite", float=True, architecture=name
        ),
    }
    for run in tried.values():
        with pytest.raises(EdgenetError, match=NOT_THIS):
            run(WRONG)
    assert tried["evaluate"]("mobilenet_v1_0.25_64").n == 8


@pytest.fixture(scope="module")
def open_onnx(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network as .onnx with an open height and width."""
    path = tmp_path_factory.mktemp("open") / "net.onnx"
    model = onnx.load(made / "small.onnx")
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_param = "side"
    onnx.save(model, path)
    return path


def test_every_verb_takes_what_an_onnx_leaves_open(
    open_onnx: Path, made: Path, colour_folders: Path, tmp_path: Path
) -> None:
    side = RESOLUTION
    said = {"normalization": "-1..1", "input_shape": (1, 3, side, side)}
    with pytest.raises(EdgenetError, match=r"has the shape \[1, 3, side, side\]; .* --input-shape"):
        edgenet.inspect(made / "int8.tflite", against=open_onnx, data=colour_folders, normalization="-1..1")
    compared = edgenet.inspect(made / "int8.tflite", against=open_onnx, data=colour_folders, **said).compared
    assert compared is not None
    assert compared.errors.photos == 8
    names = [*COLOURS, "d", "e"]
    assert edgenet.evaluate(open_onnx, colour_folders, labels=names, **said).n == 8
    for verb in (
        lambda name: edgenet.evaluate(open_onnx, colour_folders, labels=names, output=name, **said),
        lambda name: edgenet.inspect(
            made / "int8.tflite", against=open_onnx, data=colour_folders, output=name, **said
        ),
    ):
        with pytest.raises(EdgenetError, match="nothing"):
            verb("nothing")
    packed = {"labels": names, "data": colour_folders, "float_source": open_onnx}
    with pytest.raises(EdgenetError, match="edgenet convert --float"):
        edgenet.package(made / "int8.tflite", tmp_path / "net.edgenet", **packed)
    for wrong, said_of_it in (
        ({"input_shape": (1, 3, 8, 8)}, "--input-shape is"),
        ({"output": "x"}, "--output is"),
    ):
        with pytest.raises(
            EdgenetError, match=f"{said_of_it} for .* none of the models is one; leave out --"
        ):
            edgenet.evaluate(made / "int8.tflite", colour_folders, **wrong)


def test_a_float_source_that_fits_any_resolution_gets_that_of_the_file(
    checkpoint: Path, colour_folders: Path, tmp_path: Path
) -> None:
    """What another program saved says nothing about the resolution; 224 is taken where nothing else is known."""
    out = tmp_path / "net.tflite"
    options = {"calibration": PHOTOS, "photos": 8, "recipe": "minmax", "resolution": 64, "labels": COLOURS}
    edgenet.convert(checkpoint, out, **options)
    compared = edgenet.inspect(out, against=checkpoint, data=colour_folders).compared
    assert compared is not None
    assert compared.input == "pixels"
    packed = edgenet.package(out, data=colour_folders, float_source=checkpoint)
    assert packed.out.endswith("net.edgenet")


def test_it_is_for_checkpoints_of_others(colour_folders: Path, made: Path) -> None:
    with pytest.raises(EdgenetError, match=r"--architecture is for checkpoints .*; leave out --architecture"):
        edgenet.evaluate(made / "small.safetensors", colour_folders, architecture="mobilenet_v1")
    with pytest.raises(EdgenetError, match="nothing to compare"):
        edgenet.inspect(made / "int8.tflite", architecture="mobilenet_v1")


def test_a_training_takes_it(checkpoint: Path) -> None:
    variant = parse_variant("mobilenet_v1_0.25_32")
    start = StartingWeights(str(checkpoint), "mobilenet_v1_0.25_96")
    assert pretrained_network(variant, ("a", "b"), start, 0).variant == variant
    with pytest.raises(EdgenetError, match=NOT_THIS):
        pretrained_network(variant, ("a", "b"), StartingWeights(str(checkpoint), WRONG), 0)
    options = TrainingOptions(pretrained=checkpoint, architecture="mobilenet_v1", qat=True)
    plan = training_plan(None, Path("photos"), options)
    assert (plan.variant, plan.architecture) == ("mobilenet_v1_0.25_224", "mobilenet_v1")
    with pytest.raises(EdgenetError, match="says what the network in a checkpoint is, and none is given"):
        TrainingOptions(pretrained="imagenet", architecture="mobilenet_v1")
