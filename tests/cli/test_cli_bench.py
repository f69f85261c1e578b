"""`edgenet bench` and `edgenet inspect --profile` as a user has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import Edgenet

from edgenet.workflows import bench as room


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list:
    """What the verb was called with; it does no work."""
    calls: list = []

    def bench(models, **arguments):
        calls.append({"models": models, **arguments})
        return room.Bench((), ("reports/a.on-local.json",))

    monkeypatch.setattr(room, "bench", bench)
    return calls


def test_every_option_reaches_the_verb(edgenet: Edgenet, asked: list) -> None:
    ran = edgenet(
        "bench", "a.edgenet", "b.tflite", "--on", "adb", "--on", "adb:5554", "-o", "reports", "--protocol",
        "standard", "--threads", "1,2,4", "--affinity", "auto", "--sustained", 60, "--settle", 5,
        "--profile", "--browser", "--benchmark-model", "tools/benchmark_model",
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
        "benchmark_model": Path("tools/benchmark_model"),
        "all": False,
    }
    assert "reports/a.on-local.json" in ran.out


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


def test_inspect_with_a_profile(edgenet: Edgenet, made: Path) -> None:
    ran = edgenet("inspect", made / "int8.tflite", "--profile")
    assert ran.status == 0, ran.err
    # which kind takes most depends on the machine and what else runs there
    assert re.search(r"^time: .*\bCONV_2D -?\d+%", ran.out, re.MULTILINE)
    assert "growing prefixes of the network" in ran.out
    assert "whole network p50" in ran.out
