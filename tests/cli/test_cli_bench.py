"""`edgenet bench` and `edgenet inspect --profile` as a user has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import Edgenet
from latency_reports import latency, written

from edgenet.workflows import bench as workflow


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list:
    """What the verb was called with; it does no work."""
    calls: list = []

    def bench(models, **arguments):
        calls.append({"models": models, **arguments})
        return workflow.Bench((), ("reports/a.on-local.json",))

    monkeypatch.setattr(workflow, "bench", bench)
    return calls


def test_every_option_reaches_the_verb(edgenet: Edgenet, asked: list) -> None:
    ran = edgenet(
        "bench", "a.edgenet", "b.tflite", "--on", "adb", "--on", "adb:5554", "-o", "reports", "--protocol",
        "standard", "--threads", "1,2,4", "--affinity", "auto", "--sustained", 60, "--settle", 5,
        "--profile", "--browser",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    (arguments,) = asked
    assert arguments.pop("progress")
    assert arguments.pop("show")
    assert arguments == {
        "models": [Path("a.edgenet"), Path("b.tflite")],
        "on": ["adb", "adb:5554"],
        "out": Path("reports"),
        "protocol": "standard",
        "threads": (1, 2, 4),
        "affinity": "auto",
        "sustained": 60,
        "settle": 5,
        "profile": True,
        "browser": True,
        "benchmark_model": None,
        "all": False,
    }
    ran = edgenet("bench", "a.edgenet", "--on", "adb", "--all", "--benchmark-model", "tools/benchmark_model")
    assert ran.status == 0, ran.err
    assert asked[1]["benchmark_model"] == Path("tools/benchmark_model")
    assert asked[1]["all"]
    assert "reports/a.on-local.json" in ran.out


@pytest.mark.slow
def test_a_table_and_json(edgenet: Edgenet, made: Path) -> None:
    ran = edgenet("bench", made / "int8.edgenet")
    assert ran.status == 0, ran.err
    assert "steady state" in ran.out
    assert "XNNPACK, 33 of 33 nodes" in ran.out
    ran = edgenet("bench", made / "int8.edgenet", "--json")
    (report,) = json.loads(ran.out)
    assert report["schema"] == "edgenet.latency.v1"
    assert (report["target"], report["route"]) == ("local", "device_scripts")


@pytest.mark.parametrize(
    ("arguments", "status", "found"),
    [
        (["bench", "none.edgenet"], 1, "the model none.edgenet does not exist"),
        (["bench"], 2, "Missing argument"),
        (["bench", "a", "--all"], 2, "--all measures on every phone"),
        (["bench", "a", "--on", "adb", "--on", "local", "--all"], 2, "--all measures on every phone"),
        (["bench", "a", "--browser"], 2, "--browser is for phones (--on adb)"),
        (
            ["bench", "a", "--on", "adb", "--browser", "--benchmark-model", "b"],
            2,
            "benchmark_model cannot be used with --browser",
        ),
        (["bench", "a", "--on", "moon"], 2, "'moon' is not a target"),
        (["bench", "a", "--protocol", "slow"], 2, "'slow' is not one of"),
        (["bench", "a", "--affinity", "fast"], 2, "'fast' is not a list of CPUs"),
        (["bench", "a", "--sustained", "5"], 2, "a sustained load of 5 s is too short"),
        (["bench", "a", "--threads", "0"], 2, "the numbers of threads are [0]"),
        (["compare", "a", "b", "--on", "moon"], 2, "'moon' is not a target"),
        (["compare", "a.json", "b.tflite"], 2, "of a.json and b.tflite only one is a report"),
        (["inspect", "a", "--profile", "--on", "moon"], 2, "'moon' is not a target"),
        (["bench", "a", "--threads", "one"], 2, "--threads is 'one'"),
        (["inspect", "a.tflite", "--on", "local"], 2, "--on TARGET needs --profile"),
    ],
)
def test_refusals(edgenet: Edgenet, arguments: list[str], status: int, found: str) -> None:
    ran = edgenet(*arguments)
    assert ran.status == status
    assert found in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_inspect_with_a_profile(edgenet: Edgenet, made: Path) -> None:
    ran = edgenet("inspect", made / "int8.tflite", "--profile")
    assert ran.status == 0, ran.err
    # which kind takes most depends on the machine and what else runs there
    assert re.search(r"^time: .*\bCONV_2D -?\d+%", ran.out, re.MULTILINE)
    assert "growing prefixes of the network" in ran.out
    assert "whole network p50" in ran.out


@pytest.mark.parametrize(("valid", "options", "status"), [
    (True, ("--require-valid",), 0),
    (False, (), 0),
    (False, ("--require-valid",), 3),
    (False, ("--require-valid", "--json"), 3),
])  # fmt: skip
def test_bench_requires_valid_figures_if_asked(
    edgenet: Edgenet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valid: bool,
    options: tuple[str, ...],
    status: int,
) -> None:
    reasons = [] if valid else ["throttled: under-voltage"]
    report = latency("a", route="device_scripts", valid=valid, reasons=reasons)
    file = written(tmp_path / "a.on-local.json", report)

    def bench(models, *, show, **arguments):
        show(report)
        return workflow.Bench((report,), (str(file),))

    monkeypatch.setattr(workflow, "bench", bench)
    ran = edgenet("bench", "a.edgenet", *options)
    assert ran.status == status, ran.err
    if "--json" in options:
        assert [found["valid"] for found in json.loads(ran.out)] == [valid]
    else:
        assert str(file) in ran.out
        assert ("throttled: under-voltage" in ran.out) is not valid


def test_a_phone_that_failed_outweighs_figures_that_are_not_valid(
    edgenet: Edgenet, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = latency("a", valid=False, reasons=["throttled: under-voltage"])
    failure = workflow.Failure("adb:5554", "adb:5554 is offline", "plug it in")
    monkeypatch.setattr(
        workflow, "bench", lambda models, **arguments: workflow.Bench((report,), (), (failure,))
    )
    assert edgenet("bench", "a", "--on", "adb", "--all", "--require-valid").status == 1


@pytest.mark.parametrize("broken", ["a", "b", ""])
def test_compare_requires_valid_figures_if_asked(edgenet: Edgenet, tmp_path: Path, broken: str) -> None:
    files = []
    for name in "ab":
        reasons = ["throttled"] if name == broken else []
        files.append(written(tmp_path / f"{name}.json", latency(name, valid=not reasons, reasons=reasons)))
    assert edgenet("compare", *files).status == 0
    ran = edgenet("compare", *files, "--require-valid")
    assert ran.status == (3 if broken else 0)
    assert "b - a" in ran.out
    assert (f"{broken}.json is not valid: throttled" in ran.err) == bool(broken)
