"""The table of what quantizing costs: both trees run in turns, each with its own code, and enough photos are cut."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.processes import ProcessCost, measure
from benchmarks.quantizing_cost import CALIBRATION, photo_folder, row


def test_a_row_has_medians_and_the_ratio_of_the_seconds() -> None:
    ours = [ProcessCost(1.0, seconds, peak, "") for seconds, peak in ((2, 100), (4, 300), (3, 200))]
    theirs = [ProcessCost(1.0, 6.0, 400.0, "")]
    assert row("v1 `fast`", [ours, theirs]) == "| v1 `fast` | 3.0 | 6.0 | 0.50 | 210 | 419 |"
    assert row("v1 `fast`", [ours]) == "| v1 `fast` | 3.0 |  |  | 210 |  |"


def test_more_photos_than_there_are_become_different_cuts(tmp_path: Path) -> None:
    there = len(list(CALIBRATION.glob("*.jpg")))
    assert photo_folder(tmp_path, there) == CALIBRATION
    made = sorted(photo_folder(tmp_path, there + 5).iterdir())
    assert len(made) == there + 5
    assert len({path.read_bytes() for path in made}) == there + 5


def test_a_measured_program_imports_the_code_of_its_tree(tmp_path: Path) -> None:
    package = tmp_path / "edgenet"
    package.mkdir()
    (package / "__init__.py").write_text("print('of another commit')\n")
    command = [sys.executable, "-S", "-c", "import edgenet"]
    assert measure(command, tmp_path / "log", tmp_path).stdout == "of another commit\n"
