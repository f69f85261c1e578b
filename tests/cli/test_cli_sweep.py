"""`edgenet sweep` as a user has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Edgenet
from sweep_points import GRID

from edgenet.workflows import sweep as workflow
from edgenet.workflows.sweep_plan import with_front
from edgenet.workflows.train import TrainingOptions


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list:
    """What the verb was called with; it does no work."""
    calls: list = []

    def sweep(data, out, *, log, **arguments):
        calls.append({"data": data, "out": out, **arguments})
        log("[1/4] a line")
        return workflow.Sweep(with_front(GRID[:4]), ("grid/sweep.csv",))

    monkeypatch.setattr(workflow, "sweep", sweep)
    return calls


def test_every_option_reaches_the_verb(edgenet: Edgenet, asked: list) -> None:
    ran = edgenet(
        "sweep", "--data", "photos", "-o", "grid", "--architecture", "mobilenet_v2", "--widths", "0.5,0.35",
        "--resolutions", "96,64", "--threads", 2, "--recipe", "fast", "--epochs", 3, "--no-flip",
        "--hold-out", 0.2, "--settle", 5, "--ray", "head:6379", "--from-scratch",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    (arguments,) = asked
    assert arguments.pop("progress")
    assert arguments == {
        "data": Path("photos"),
        "out": Path("grid"),
        "architecture": "mobilenet_v2",
        "widths": (0.5, 0.35),
        "resolutions": (96, 64),
        "recipe": "fast",
        "threads": 2,
        "on": "local",
        "settle": 5,
        "ray": "head:6379",
        "from_scratch": True,
        "training": TrainingOptions(epochs=3, no_flip=True, hold_out=0.2),
    }


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
        ("--data", "p", "--out", "g", "--temperature", "3"),
    ],
    ids=" ".join,
)
def test_wrong_usage(edgenet: Edgenet, arguments: tuple[str, ...]) -> None:
    ran = edgenet("sweep", *arguments)
    assert ran.status == 2
    assert "Usage: edgenet sweep" in ran.err


@pytest.mark.parametrize(
    ("verb", "options", "found"),
    [
        ("sweep", ("--resolutions", "8"), "the resolution of mobilenet_v1 is 8"),
        ("sweep", ("--widths", "0"), "the width multiplier of mobilenet_v1 is 0.0"),
        ("sweep", ("--on", "moon"), "is not a target"),
        ("sweep", ("--recipe", "slow"), "'slow' is not one of"),
        ("sweep", ("--architecture", "mobilenet_v9"), "'mobilenet_v9' is not one of"),
        ("sweep", ("--learning-rate", "0"), "the learning rate is 0"),
        ("sweep", ("--device", "tpu"), "'tpu' is not a device to train on"),
        ("select", ("--budget-ms", "0"), "the budget is 0.0 ms"),
        ("select", ("--budget-ms", "1", "--architectures", "vgg16,mobilenet"), "'mobilenet' is not an arch"),
        ("select", ("--budget-ms", "1", "--resolutions", "8"), "the resolution of mobilenet_v1 is 8"),
    ],
)
def test_a_wrong_value_is_reported_before_anything_is_read(
    edgenet: Edgenet, tmp_path: Path, verb: str, options: tuple[str, ...], found: str
) -> None:
    ran = edgenet(verb, "--data", tmp_path / "none", "--out", tmp_path / "out", *options)
    assert ran.status == 2
    assert found in " ".join(ran.err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_one_line(edgenet: Edgenet, tmp_path: Path) -> None:
    start = ("sweep", "--data", tmp_path / "none", "--out", tmp_path / "grid")
    edgenet(*start).refusal("does not exist")
    (tmp_path / "file").write_text("")
    edgenet("sweep", "--data", tmp_path, "--out", tmp_path / "file" / "grid").refusal(
        "cannot make the folder"
    )
