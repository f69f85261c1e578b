"""`edgenet.sweep`: a small grid for real, what goes on after a stop, and what is refused."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edgenet_device.model_file import open_model
from forked_processes import in_a_process
from latency_reports import latency
from recipe_options import options_from
from sweep_points import GRID, row

import edgenet
from edgenet.data.loading import content_hashes
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.latency.reading import read_reports
from edgenet.training.recipe import Recipe
from edgenet.training.state import STATE_FILE
from edgenet.workflows import sweep as workflow
from edgenet.workflows.sweep import Sweep
from edgenet.workflows.sweep_plan import (
    ROW_FILE,
    TRAINED_FILE,
    Grid,
    SweepOptions,
    TrainedVariant,
    keep,
    keep_settings,
    read_row,
    read_trained,
    rows_csv,
    settings,
    with_front,
)
from edgenet.workflows.sweep_training import read_photo_split
from edgenet.zoo.counting import count_variant
from edgenet.zoo.registry import Variant

pytestmark = pytest.mark.usefixtures("briefly_timed")

TWO_BY_TWO = Grid("mobilenet_v1", (0.25, 0.1), (64, 32))
QUICK = SweepOptions(options_from(Recipe(epochs=1, batch=8)), "minmax", settle=0)
TWO_EPOCHS = replace(QUICK, training=options_from(Recipe(epochs=2, batch=8)))


def arguments(grid: Grid, options: SweepOptions) -> dict[str, Any]:
    """The grid and the options as arguments of `edgenet.sweep`."""
    return {**vars(grid), **vars(options)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders dark and light, 12 photos each."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir(parents=True)
        for number in range(12):
            noise = np.random.default_rng([level, number]).integers(-30, 30, (32, 32, 3))
            cv2.imwrite(str(root / name / f"{number}.png"), (level + noise).astype(np.uint8))
    return root


def table(out: Path) -> list[dict[str, str]]:
    with (out / workflow.CSV_FILE).open(newline="") as file:
        return list(csv.DictReader(file))


def sweep_until_killed(photos: Path, out: Path) -> None:
    """Sweep, and be killed after the first of the two epochs of the second variant."""
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if line.startswith("epoch 1/2") and any(said.startswith("[2/4]") for said in lines):
            os.kill(os.getpid(), signal.SIGKILL)

    edgenet.sweep(photos, out, **arguments(TWO_BY_TWO, TWO_EPOCHS), log=log)


@dataclass(frozen=True)
class GoneOn:
    """A sweep that went on after a kill: a copy of its folder before, and its folder, lines and result after."""

    before: Path
    out: Path
    lines: list[str]
    result: Sweep


@pytest.fixture(scope="module")
def gone_on(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> GoneOn:
    folder, lines = tmp_path_factory.mktemp("killed"), []
    out = folder / "grid"
    assert in_a_process(sweep_until_killed, photos, out) == -signal.SIGKILL
    before = Path(shutil.copytree(out, folder / "before"))
    result = edgenet.sweep(photos, out, **arguments(TWO_BY_TWO, TWO_EPOCHS), log=lines.append)
    return GoneOn(before, out, lines, result)


@pytest.mark.slow
def test_it_goes_on_after_a_kill(gone_on: GoneOn) -> None:
    first, half = "mobilenet_v1_0.1_32", "mobilenet_v1_0.1_64"
    assert (gone_on.before / half / "training" / STATE_FILE).is_file()
    assert read_trained(gone_on.before / half) is None
    assert read_row(gone_on.before / first) is None  # timed when all are trained
    numbers = [line[:5] for line in gone_on.lines]
    second = gone_on.lines[numbers.index("[2/4]") : numbers.index("[3/4]")]
    assert any("continues in epoch 2" in line for line in second)
    assert not any(line.startswith("epoch 1/2") for line in second)
    made, still = (
        (folder / first / TRAINED_FILE).stat().st_mtime_ns for folder in (gone_on.before, gone_on.out)
    )
    assert made == still
    assert len(table(gone_on.out)) == 4


@pytest.mark.slow
def test_two_by_two(photos: Path, gone_on: GoneOn) -> None:
    """What the sweep found; with the same call again nothing is trained or timed."""
    result, out = gone_on.result, gone_on.out
    names = [f"mobilenet_v1_{width}_{resolution}" for width in (0.1, 0.25) for resolution in (32, 64)]
    assert [row["variant"] for row in table(out)] == names
    assert [row.variant for row in result.rows] == names
    for found, line in zip(result.rows, table(out), strict=True):
        cost = count_variant(found.variant, classes=2)
        assert (int(line["mult_adds"]), int(line["parameters"])) == (cost.mult_adds, cost.parameters)
        model = open_model(out / found.variant / f"{found.variant}.tflite")
        assert len(model.data) == found.bytes
        assert found.n == 2  # of each class a tenth, at least one
        assert float(line["latency_p50_ms"]) == found.latency_p50_ms > 0
        assert found.latency_valid == (not found.latency_reasons)
    assert any(row.front for row in result.rows)
    for name in result.files:
        assert Path(name).stat().st_size > 100
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(trained) >= len(names)
    assert edgenet.sweep(photos, out, **arguments(TWO_BY_TWO, TWO_EPOCHS)) == result
    assert {path: path.stat().st_mtime_ns for path in trained} == trained  # nothing is trained twice


@pytest.mark.slow
def test_a_finished_variant_is_taken_as_it_is(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`measure_on` and `check_reachable` are stand-ins: no device takes part."""
    begun: list[str] = []
    timed: list[tuple[str, list[str], float | None]] = []

    def make(variant, *others):
        begun.append(variant.name)
        (tmp_path / variant.name).mkdir(exist_ok=True)
        return TrainedVariant(
            **{
                field.name: getattr(row(variant.width, 32, 60, 3), field.name)
                for field in fields(TrainedVariant)
            }
        )

    def measure_on(target, models, options, progress):
        timed.append((target, [model.stem for model in models], options.settle_s))
        return [latency(model.stem, 3.0, target=target) for model in models]

    monkeypatch.setattr(workflow, "_make", make)
    monkeypatch.setattr(workflow, "measure_on", measure_on)
    monkeypatch.setattr(workflow, "check_reachable", lambda target: None)
    known, other = row(0.25, 32, 55, 2), "mobilenet_v1_0.5_32"
    (tmp_path / known.variant).mkdir()
    keep(tmp_path / known.variant / ROW_FILE, known)
    grid = Grid("mobilenet_v1", (0.25, 0.5), (32,))
    result = edgenet.sweep(photos, tmp_path, **arguments(grid, QUICK))
    assert (begun, timed) == ([other], [("local", [other], 0)])
    assert [found.int8_top1 for found in result.rows] == [55, 60]
    assert [line["int8_top1"] for line in table(tmp_path)] == ["55", "60"]
    # What is made and not timed is only timed.
    (tmp_path / other / ROW_FILE).unlink()
    edgenet.sweep(photos, tmp_path, **arguments(grid, QUICK))
    assert (begun, timed[1:]) == ([other], [("local", [other], 0)])
    # On another device everything is timed again, in turns, and nothing is made again.
    result = edgenet.sweep(photos, tmp_path, **arguments(grid, replace(QUICK, on="ssh:pi@pi", settle=30)))
    assert (begun, timed[2:]) == ([other], [("ssh:pi@pi", [known.variant, other], 30)])
    assert [(found.target, found.device) for found in result.rows] == [("ssh:pi@pi", "Some Board, rev 1")] * 2
    reports = read_reports([tmp_path])
    assert [report.accuracy.int8_top1 for report in reports if report.accuracy] == [55, 60]


def test_photos_that_validate_do_not_calibrate(photos: Path) -> None:
    material = read_photo_split(Variant("mobilenet_v1", 1.0, 32), photos, QUICK, lambda *_: None)
    training, judging = (content_hashes(part) for part in (material.photos.photoset, material.validation))
    assert not set(training) & set(judging)
    assert sorted(training + judging) == sorted(content_hashes(open_photos(photos)))
    assert material.photos.in_memory == 0


def test_the_table_holds_every_figure() -> None:
    rows = with_front(GRID[:2])
    lines = list(csv.DictReader(rows_csv(rows).decode().splitlines()))
    assert lines[0]["latency_valid"] == "False"
    assert lines[0]["latency_reasons"] == "unsteady"
    assert [float(line["latency_p50_ms"]) for line in lines] == [found.latency_p50_ms for found in rows]
    assert [line["front"] for line in lines] == ["True", "True"]
    assert lines[0]["device"] == "Some Board, rev 1"


def test_a_row_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    assert read_row(tmp_path) is None
    keep(tmp_path / ROW_FILE, GRID[0])
    assert read_row(tmp_path) == GRID[0]
    (tmp_path / "row.json").write_text("{")
    with pytest.raises(EdgenetError, match=r"row.json is damaged .*; remove it"):
        read_row(tmp_path)


def test_the_paper_s_grid_the_cheapest_first() -> None:
    names = [variant.name for variant in Grid().variants()]
    assert len(names) == 16
    assert (names[0], names[-1]) == ("mobilenet_v1_0.25_128", "mobilenet_v1_1.0_224")


def test_changed_options_are_reported(tmp_path: Path) -> None:
    keep_settings(tmp_path, settings(QUICK, "a"))
    keep_settings(tmp_path, settings(replace(QUICK, training=replace(QUICK.training, memory=10**9)), "a"))
    other = replace(QUICK, recipe="fast", training=options_from(Recipe(epochs=2, batch=8)))
    with pytest.raises(
        EdgenetError,
        match=r"began with other options: epochs was 1, now 2; other photos; quantization was minmax, now fast; give",
    ):
        keep_settings(tmp_path, settings(other, "b"))


@pytest.mark.parametrize(
    ("grid", "options", "reason"),
    [
        (Grid(widths=(0.0,)), QUICK, "the width multiplier of mobilenet_v1 is 0.0"),
        (Grid(resolutions=(16,)), QUICK, "the resolution of mobilenet_v1 is 16"),
        (Grid("vgg16", (0.5,)), QUICK, "vgg16 has no width multiplier"),
        (Grid("mobilenet_v9"), QUICK, "is unknown"),
        (Grid(widths=()), QUICK, "the grid is empty"),
        (TWO_BY_TWO, replace(QUICK, recipe="magic"), "there is no recipe 'magic'"),
        (TWO_BY_TWO, replace(QUICK, on="moon"), "'moon' is not a target"),
        (TWO_BY_TWO, replace(QUICK, on="ssh:nobody@127.0.0.1:1"), r"ssh:nobody@127\.0\.0\.1:1"),
        (TWO_BY_TWO, replace(QUICK, threads=0), "the number of threads is 0"),
    ],
)
def test_refused_before_anything_is_made(
    photos: Path, tmp_path: Path, grid: Grid, options: SweepOptions, reason: str
) -> None:
    with pytest.raises(EdgenetError, match=reason):
        edgenet.sweep(photos, tmp_path / "grid", **arguments(grid, options))
    assert not (tmp_path / "grid").exists()


def test_no_photos(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="does not exist"):
        edgenet.sweep(tmp_path / "none", tmp_path / "grid", **arguments(TWO_BY_TWO, QUICK))
