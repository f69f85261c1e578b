"""Which network `train` without a variant teaches: the default, an architecture in full width, or a named one."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgenet.commands.app import app
from edgenet.errors import EdgenetError
from edgenet.progress import no_log, silent
from edgenet.workflows import teach_network
from edgenet.workflows.teach_network import NetworkChoice, candidates


class AskedError(Exception):
    """The name that would be loaded."""


@pytest.mark.parametrize(
    ("architecture", "loaded"),
    [
        (None, "mobilenet_v2_1.0_224"),
        ("mobilenet_v2", "mobilenet_v2_1.0_224:torchvision-v1"),
        ("mobilenet_v1", "mobilenet_v1_1.0_224:timm-ra4_e3600_r224_in1k"),
        ("mobilenet_v1_0.25_224", "mobilenet_v1_0.25_224:slim-mediapipe"),
        ("mobilenet_v2_0.35_96:keras", "mobilenet_v2_0.35_96:keras"),
        ("efficientnet_lite0", "efficientnet_lite0_1.0_224:timm-ra_in1k"),
    ],
)
def test_name_chooses_the_weights(
    architecture: str | None, loaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(source: str, progress: object = None, architecture: str | None = None) -> None:
        raise AskedError(source)

    monkeypatch.setattr(teach_network, "load_weights", load)
    with pytest.raises(AskedError, match=f"^{loaded}$"):
        candidates(NetworkChoice("imagenet", architecture, 96, None, "local"), 3, silent, no_log)


def test_architecture_without_weights_is_refused() -> None:
    with pytest.raises(EdgenetError, match=r"no ImageNet weights for vgg16; choose a network that has them"):
        candidates(NetworkChoice("imagenet", "vgg16", 96, None, "local"), 3, silent, no_log)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--architecture", "mobilenet_v9_1.0_224"), "no ImageNet weights for mobilenet_v9_1.0_224"),
        (("--architecture", "mobilenet_v2_1.0_224:slam"), 'no weights with the tag "slam"'),
        (
            ("--from-scratch", "--architecture", "mobilenet_v1_0.25_224"),
            "give an architecture, not mobilenet_v1",
        ),
    ],
)
def test_wrong_names_are_errors_of_usage(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *options]
    )
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
