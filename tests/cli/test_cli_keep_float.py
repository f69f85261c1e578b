"""`edgenet convert --keep-float`: what is reported about the layers, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Edgenet, Ran
from small_network import PHOTOS


def convert(edgenet: Edgenet, made: Path, out: Path, *options: object) -> Ran:
    arguments = ("-o", out, "--calibration", PHOTOS, "--photos", 8, "--recipe", "minmax")
    return edgenet("convert", made / "small.safetensors", *arguments, *options)


def test_named_layers(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    found = convert(edgenet, made, out, "--keep-float", "classifier", "--json").json()["mixed"]
    (layer,) = found["layers"]
    assert layer["name"] == "classifier"
    assert found["added_bytes"] > 0
    assert found["latency_ratio"] > 0
    said = convert(edgenet, made, out, "--keep-float", "classifier").out
    assert f"  kept in float: classifier, {layer['gain_db']:+.1f} dB by itself, " in said
    assert f"{layer['mult_adds_percent']:.1f} % of the mult-adds\n" in said
    assert (
        f"SQNR of the logits from {found['sqnr_before_db']:.1f} to {found['sqnr_after_db']:.1f} dB, "
        f"agreement with float from {found['agreement_before']:.1f} to {found['agreement_after']:.1f} %\n"
    ) in said
    assert f"  cost: {found['added_bytes'] / 1e3:.1f} kB more, " in said
    assert "kept in float: classifier" in edgenet("inspect", out).out


def test_auto_says_why_nothing_is_kept(
    edgenet: Edgenet, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgenet.workflows.mixed_precision.ENOUGH_DB", 0.0)
    ran = convert(edgenet, made, tmp_path / "net.tflite", "--keep-float", "auto")
    assert "  nothing is kept in float: int8 is already good enough" in ran.out


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        (
            "clasifier",
            ("no layer with weights is called 'clasifier'", "similar names are classifier", "inspect"),
        ),
        ("*", ("names all 28 layers with weights", "use --float")),
        (" , ", ("names no layer", "edgenet inspect", "auto")),
    ],
)
def test_wrong_names(
    edgenet: Edgenet, made: Path, tmp_path: Path, layers: str, parts: tuple[str, ...]
) -> None:
    convert(edgenet, made, tmp_path / "net.tflite", "--keep-float", layers).refusal(*parts)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layers", ["classifier", "auto"])
def test_a_float_file_has_no_layers_to_keep(
    edgenet: Edgenet, made: Path, tmp_path: Path, layers: str
) -> None:
    out = tmp_path / "net.tflite"
    ran = edgenet("convert", made / "small.safetensors", "-o", out, "--float", "--keep-float", layers)
    assert ran.status == 2
    assert "--keep-float is for int8 files" in " ".join(ran.err.split())
