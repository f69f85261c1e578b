"""`edgenet sweep` as a user has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Edgenet
from sweep_points import GRID

from edgenet.workflows import sweep as room
from edgenet.workflows.sweep_plan import with_front


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list:
    """What the verb was called with; it does no work."""
    calls: list = []

    def sweep(*arguments):
        calls.append(arguments)
        arguments[-1]("[1/4] a line")
        return room.Sweep(with_front(GRID[:4]), ("grid/sweep.csv",))

    monkeypatch.setattr(room, "sweep", sweep)
    return calls


def test_every_option_reaches_the_verb(edgenet: Edgenet, asked: list) -> None:
    ran = edgenet(
        "sweep", "--data", "photos", "-o", "grid", "--architecture", "mobilenet_v2", "--widths", "0.5,0.35",
        "--resolutions", "96,64", "--threads", 2, "--quantization", "fast", "--epochs", 3, "--no-flip",
        "--hold-out", 0.2, "--calm", 5, "--ray", "head:6379",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    data, out, grid, options, *_ = asked[0]
    assert (data, out) == (Path("photos"), Path("grid"))
    assert (grid.architecture, grid.widths, grid.resolutions) == ("mobilenet_v2", (0.5, 0.35), (96, 64))
    assert (options.recipe, options.threads, options.target) == ("fast", 2, "local")
    assert options.training.recipe.epochs == 3
    assert not options.training.recipe.augmentation.flip
    assert options.training.hold_out == 0.2
    assert (options.calm_s, options.ray) == (5, "head:6379")


def test_the_table_marks_the_front(edgenet: Edgenet, asked: list) -> None:
    ran = edgenet("sweep", "--data", "photos", "-o", "grid")
    lines = {
        line.split()[0]: line.split()[-1] for line in ran.out.splitlines() if line.startswith("mobilenet")
    }
    assert lines == {
        "mobilenet_v1_0.25_128": "*!",
        "mobilenet_v1_0.25_160": "*",
        "mobilenet_v1_0.25_192": "*",
        "mobilenet_v1_0.25_224": "*",
    }
    assert "grid/sweep.csv" in ran.out


def test_json_is_alone_on_standard_output(edgenet: Edgenet, asked: list) -> None:
    ran = edgenet("sweep", "--data", "photos", "-o", "grid", "--json")
    assert [row["variant"] for row in ran.json()["rows"]] == [row.variant for row in GRID[:4]]
    assert "[1/4] a line" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--out", "g"),
        ("--data", "p"),
        ("--data", "p", "--out", "g", "--widths", "wide"),
        ("--data", "p", "--out", "g", "--qat", "--pretrained", "imagenet"),
    ],
    ids=" ".join,
)
def test_wrong_usage(edgenet: Edgenet, arguments: tuple[str, ...]) -> None:
    ran = edgenet("sweep", *arguments)
    assert ran.status == 2
    assert "Usage: edgenet sweep" in ran.err


def test_what_is_refused_is_one_line(edgenet: Edgenet, tmp_path: Path) -> None:
    start = ("sweep", "--data", tmp_path / "none", "--out", tmp_path / "grid")
    edgenet(*start).refusal("does not exist")
    edgenet(*start, "--resolutions", "8").refusal("the resolution of mobilenet_v1 is 8")
    edgenet(*start, "--target", "moon").refusal("is not a target")
    (tmp_path / "file").write_text("")
    edgenet("sweep", "--data", tmp_path, "--out", tmp_path / "file" / "grid").refusal(
        "cannot make the folder"
    )
