"""What people see: tables that are whole at 80 columns, strict JSON, and nothing but results on standard output."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import Edgenet
from small_network import LABELS, PHOTOS

from edgenet.commands.console import WIDTH_WITHOUT_TERMINAL, console, print_json, short_names, shown_progress
from edgenet.commands.inspect import _shortened


@dataclass(frozen=True)
class Figure:
    """One figure that may be infinite."""

    name: str
    value: float
    more: tuple[float, ...]


def test_json_is_strict(capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 8259 has neither Infinity nor NaN."""
    print_json([Figure("a", math.inf, (1.5, math.nan, -math.inf)), Figure("ü", 0.25, ())])
    text = capsys.readouterr().out
    assert json.loads(text) == [
        {"name": "a", "value": None, "more": [1.5, None, None]},
        {"name": "ü", "value": 0.25, "more": []},
    ]
    assert "ü" in text


def test_json_survives_names_that_are_not_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    print_json(Figure(name, 1.0, ()))
    assert json.loads(capsys.readouterr().out)["name"] == name


def test_paths_are_shortened_to_their_differing_parts() -> None:
    assert short_names(["out/v1.tflite", "old/v2.tflite", "new/v2.tflite"]) == [
        "v1.tflite",
        "old/v2.tflite",
        "new/v2.tflite",
    ]
    assert short_names(["/a/b/x.tflite", "/c/b/x.tflite"]) == ["a/b/x.tflite", "c/b/x.tflite"]
    assert short_names(["x.tflite", "a/x.tflite"]) == ["x.tflite", "a/x.tflite"]
    assert short_names(["a/x.tflite", "a/x.tflite"]) == ["x.tflite", "x.tflite"]
    assert short_names(["mobilenet_v2_1.0_224"]) == ["mobilenet_v2_1.0_224"]


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("features.13/layers/depthwise/conv", 40, "features.13/layers/depthwise/conv"),
        ("features.13/layers/depthwise/conv", 30, "features.13/layers/depthwise"),
        ("features.13/layers/depthwise/conv", 25, "features.13/…/depthwise"),
        ("features.13/layers/depthwise/conv", 18, "…es.13/…/depthwise"),
        ("features.3/pointwise/conv", 20, "features.3/pointwise"),
        ("averyveryverylongname", 8, "…ongname"),
    ],
)
def test_names_of_nodes_are_shortened_to_their_ends(name: str, width: int, expected: str) -> None:
    assert len(expected) <= width
    assert _shortened(name, width) == expected


def test_width_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == WIDTH_WITHOUT_TERMINAL
    monkeypatch.setenv("COLUMNS", "93")
    assert console().width == 93


def test_nothing_is_drawn_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        progress("working", 1, 2)
        progress("waiting", 0, None)
    assert capfd.readouterr() == ("", "")


def rows(text: str) -> list[str]:
    """The lines of a table, below its rule."""
    lines = text.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.strip() and set(line.strip()) == {"─"})
    return lines[rule + 1 :]


@pytest.mark.parametrize("compared", [False, True])
def test_inspect_keeps_every_figure(
    edgenet: Edgenet, made: Path, monkeypatch: pytest.MonkeyPatch, compared: bool
) -> None:
    """At any width no line wraps, and only names of nodes are cut: the figures are those of the JSON."""
    arguments: tuple[object, ...] = ("inspect", made / "int8.tflite")
    if compared:
        arguments += ("--against", made / "small.safetensors", "--data", PHOTOS, "--photos", 1)
    found = edgenet(*arguments, "--json").json()
    for width in (80, 110, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        table = rows(edgenet(*arguments).out)
        check_table(table[: len(found["operators"])], width, found)
        assert table[len(found["operators"])].startswith(f"{len(found['operators'])} operators: ")


def check_table(table: list[str], width: int, found: dict[str, Any]) -> None:
    assert all(len(line) <= width for line in table)
    assert not any(cell.endswith("…") for line in table for cell in line.split())
    compared = found["compared"]
    errors = {error["node"]: error for error in compared["errors"]["layers"]} if compared else {}
    shares = {share["node"]: share for share in compared["noise"]["layers"]} if compared else {}
    for line, row in zip(table, found["operators"], strict=True):
        cells = line.split()
        assert row["kind"] in cells
        assert "x".join(map(str, row["shape"][1:])) in cells
        if row["mult_adds"] and not compared:
            assert f"{row['mult_adds'] / 1e6:.2f}" in cells
        if row["output"] in errors:
            error = errors[row["output"]]
            assert ("inf" if error["sqnr_db"] is None else f"{error['sqnr_db']:.1f}") in cells
            assert f"{error['range_used']:.0%}" in cells
        if row["output"] in shares:
            share = shares[row["output"]]
            assert f"{share['activations'] + (share['weights'] or 0):.1%}" in cells
        elif row["scale"] is not None and not errors:
            assert str(row["zero_point"]) in cells


def test_inspect_shows_brackets_of_a_name_as_they_are(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    """They are no markup."""
    path = tmp_path / "[bold]net[red].tflite"
    shutil.copyfile(made / "int8.tflite", path)
    ran = edgenet("inspect", path)
    assert ran.status == 0
    assert ran.out.startswith(f"{path}: ")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for label, photo in zip(LABELS, sorted(PHOTOS.glob("*.jpg")), strict=False):
        (root / label).mkdir()
        shutil.copyfile(photo, root / label / "photo.jpg")
    return root


def test_evaluate_does_not_break_names_at_80_columns(
    edgenet: Edgenet, made: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = tmp_path / "mobilenet_v1_1.0_224_imagenet.tflite"
    shutil.copyfile(made / "int8.tflite", long)
    copy = tmp_path / "copies" / "int8.tflite"
    copy.parent.mkdir()
    shutil.copyfile(made / "int8.tflite", copy)
    models = (long, made / "int8.tflite", copy, made / "small.safetensors")
    ran = edgenet("evaluate", *models, "--data", photos)
    table = rows(ran.out)[: len(models)]
    names = [long.name, f"{made.name}/int8.tflite", "copies/int8.tflite", "small.safetensors"]
    assert [line.split()[0] for line in table] == names
    assert [line.split()[1:3] for line in table[2:]] == [["int8", "ai-edge-litert"], ["float32", "torch"]]
    assert all(len(line) <= 80 for line in ran.out.splitlines()[1:])
    assert ran.out.startswith(f"5 photos of {photos}, run by ai-edge-litert ")
    found = edgenet("evaluate", *models, "--data", photos, "--json").json()
    assert [line.split()[3] for line in table] == [f"{row['top1']:.2f}" for row in found["models"]]
    assert set(found) == {"data", "n", "models", "skipped", "account"}
    assert [row["model"] for row in found["models"]] == [str(model) for model in models]


@pytest.mark.parametrize("width", [80, 120, 140])
def test_evaluate_shows_every_interval_and_verdict(
    edgenet: Edgenet, made: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """In the table where there is a place for them, else below it; the figures are those of the JSON."""
    monkeypatch.setenv("COLUMNS", str(width))
    models = (made / "small.safetensors", made / "int8.tflite")
    ran = edgenet("evaluate", *models, "--data", photos)
    found = edgenet("evaluate", *models, "--data", photos, "--json").json()["models"]
    assert (found[0]["against_first"], found[0]["verdict"]) == (None, None)
    table, below = rows(ran.out)[:2], " ".join(" ".join(rows(ran.out)[2:]).split())
    assert all(len(line) <= width for line in [*table, *rows(ran.out)[2:]])
    for line, row in zip(table, found, strict=True):
        for interval in (row["top1_interval"], row["top5_interval"]):
            shown = f"{interval['low']:.2f} to {interval['high']:.2f}"
            assert shown in (below if width == 80 else line)
    paired = found[1]["against_first"]
    assert paired["drop"] == found[0]["top1"] - found[1]["top1"]
    assert (
        f"int8.tflite: {found[1]['verdict']}; {paired['lost']} lost, {paired['won']} won, McNemar's p "
        in below
    )


def test_models_as_json(edgenet: Edgenet) -> None:
    listed = edgenet("models", "--json").json()
    assert "mobilenet_v1_0.5_160" in [row["variant"] for row in listed]
    assert all(row["mult_adds"] > 0 for row in listed)


def test_inspect_json_has_no_infinity(edgenet: Edgenet, made: Path) -> None:
    """A padding copies its input without any error: its signal to noise ratio is infinite."""
    arguments = ("--against", made / "small.safetensors", "--data", PHOTOS, "--photos", 1, "--json")
    found = edgenet("inspect", made / "int8.tflite", *arguments).json()
    compared = found["compared"]
    assert set(compared) == {"against", "input", "errors", "noise", "advice", "skipped"}
    figures = {"node", "sqnr_db", "range_used", "saturated", "matched", "channels"}
    assert set(compared["errors"]["layers"][0]) == figures
    assert set(compared["noise"]["layers"][0]) == {"node", "activations", "weights"}


def test_package_says_what_it_made(edgenet: Edgenet, made: Path, photos: Path, tmp_path: Path) -> None:
    source = tmp_path / "net.tflite"
    shutil.copyfile(made / "int8.tflite", source)
    (photos / "rose" / "broken.jpg").write_bytes(b"no photo")
    try:
        ran = edgenet("package", source, "--data", photos)
        found = edgenet("package", source, "--data", photos, "--json").json()
    finally:
        (photos / "rose" / "broken.jpg").unlink()
    assert ran.status == 0
    assert ran.out.startswith(f"{tmp_path / 'net.edgenet'}: ")
    assert "left out 1 unreadable photo:\n" in ran.err
    assert f"top-1 on 5 photos of {photos.name}: int8 " in ran.out
    assert found["out"] == str(tmp_path / "net.edgenet")
    assert found["manifest"]["accuracy"]["n"] == 5
    assert found["manifest"]["accuracy"]["float_top1"] is None
    assert [name for name, _ in found["skipped"]] == ["rose/broken.jpg"]
    shown = edgenet("inspect", tmp_path / "net.edgenet").out
    assert f"top-1 on 5 photos of {photos.name}: int8 " in shown
