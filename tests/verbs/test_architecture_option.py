"""`architecture` says what the network in a checkpoint is, wherever a float network is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

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
