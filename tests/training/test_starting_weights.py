"""A training starts from ImageNet weights of its own width, or of the nearest wider network."""

from __future__ import annotations

from pathlib import Path

import pytest
from shape_photos import TINY

from edgenet.workflows.train import TrainingOptions, train
from edgenet.zoo import pretrained
from edgenet.zoo.catalogue import PretrainedWeights, find_entry, labels_for
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import SLIM, NetworkOptions
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import build_with, parse_variant


@pytest.mark.parametrize(
    ("variant", "line"), [(TINY, "width 0.5 the channels"), ("mobilenet_v1_0.5_32", "slim")]
)
def test_starts_from_imagenet_weights_of_its_width_or_the_nearest_wider(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str, line: str
) -> None:
    """The weights are folded like those of TF-slim, so that the training also has to give them statistics."""
    entry = find_entry("mobilenet_v1_0.5_224:slim")

    def load(_: PretrainedWeights, progress: object = None) -> LoadedNetwork:
        options = NetworkOptions(normalization=SLIM)
        module = build_with(entry.variant, options).eval()
        return LoadedNetwork(module, parse_variant(entry.variant), labels_for(1000), SLIM, "slim", "licence")

    monkeypatch.setattr(pretrained, "load_pretrained", load)
    monkeypatch.setattr(pretrained, "starting_weights", lambda variant: entry)
    lines: list[str] = []
    options = TrainingOptions(pretrained="imagenet", epochs=1, batch=8, device="cpu")
    result = train(variant, shapes, tmp_path / "run", options=options, log=lines.append)
    (start,) = (one for one in lines if one.startswith("starts from "))
    assert line in start
    assert result is not None
    assert load_network(result.out).normalization == SLIM
