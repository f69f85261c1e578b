"""Reading latency reports that may be anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from latency_reports import accurate, latency, written

from edgenet.errors import EdgenetError
from edgenet.latency.reading import read_file, read_report, read_reports


def test_everything_is_read(tmp_path: Path) -> None:
    (found,) = read_file(written(tmp_path / "a.json", accurate(latency("net", 3.0), 71.5)))
    assert (found.name, found.target, found.device) == ("net", "ssh:pi@pi", "Some Board, rev 1")
    assert found.p50_ms == pytest.approx(3.0, rel=0.01)
    assert [block.size for block in found.blocks_ms] == [20] * 10
    assert np.median(found.samples_ms) == pytest.approx(found.p50_ms, rel=0.01)
    assert found.accuracy is not None
    assert (found.accuracy.int8_top1, found.accuracy.n) == (71.5, 1000)
    assert found.facts["clock"] == "1500 to 1500 MHz during the runs"
    assert found.facts["temperature"] == "55 to 55 °C during the runs"
    assert found.facts["throttling"] == "none"
    assert found.facts["delegate"] == "XNNPACK, 33 of 33 nodes"
    assert found.facts["CPU"] == "unknown, 4 cores"


def test_a_report_of_an_older_edgenet(tmp_path: Path) -> None:
    """Without what came later: blocks, tries, conditions during the runs, the target."""
    old = latency()
    for name in ("protocol", "tried", "during", "target", "profile", "cpu_sets", "settling"):
        del old[name]
    del old["steady_state"]["block_sizes"]
    found = read_report(old, "old.json")
    assert len(found.blocks_ms) == 10
    assert (found.target, found.tried, found.protocol) == ("", (), "unnamed")
    assert found.facts["clock"] == "unknown"


def test_a_folder_and_a_file_of_several(tmp_path: Path) -> None:
    written(tmp_path / "grid/b/latency.json", latency("b"))
    written(tmp_path / "grid/a/latency.json", [latency("a"), latency("a2")])
    written(tmp_path / "grid/sweep.json", {"photos": "something else"})
    assert [report.name for report in read_reports([tmp_path / "grid"])] == ["a", "a2", "b"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(EdgenetError, match="there is no latency report in the folder"):
        read_reports([tmp_path / "empty"])


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(report: dict[str, Any]) -> None:
        for name in names[:-1]:
            report = report[name]
        del report[names[-1]]

    return change


def put(value: Any, *names: str) -> Callable[[dict[str, Any]], None]:
    def change(report: dict[str, Any]) -> None:
        for name in names[:-1]:
            report = report[name]
        report[names[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("edgenet.latency.v9", "schema"), r"x\.json has the schema edgenet\.latency\.v9, expected"),
        (
            without("steady_state"),
            r"x\.json: steady_state has nothing where an object belongs; measure again",
        ),
        (without("steady_state", "p50_ms"), r"steady_state\.p50_ms has nothing where a number belongs"),
        (without("steady_state", "p99_ms"), r"steady_state\.p99_ms has nothing where a number belongs"),
        (put(1e200, "steady_state", "p50_ms"), r"p50_ms has a huge number where a finite number belongs"),
        (
            put({"first_p50_ms": 0, "last_p50_ms": 1, "ratio": 1, "curve": []}, "sustained"),
            "its sustained load took no time",
        ),
        (put("fast", "steady_state", "p50_ms"), r"steady_state\.p50_ms has 'fast' where a number belongs"),
        (put(True, "steady_state", "p50_ms"), r"steady_state\.p50_ms has True where a number belongs"),
        (put([], "steady_state", "samples_ns"), "has no samples"),
        (
            put([1, None], "steady_state", "samples_ns"),
            r"samples_ns has nothing where a list of finite numbers belongs",
        ),
        (put([3, 4], "steady_state", "block_sizes"), "has 200 samples, but its blocks hold 7"),
        (put("yes", "valid"), r"valid has 'yes' where true or false belongs"),
        (put([1], "device"), r"device has \[1\] where an object belongs"),
        (put({"int8_top1": 70.0}, "model", "accuracy"), r"model\.accuracy\.n has nothing"),
        (put([{"threads": 1}], "tried"), r"tried\[0\]\.cpus has nothing"),
    ],
)
def test_the_fault_is_named(tmp_path: Path, change: Callable, reason: str) -> None:
    report = latency()
    change(report)
    with pytest.raises(EdgenetError, match=reason):
        read_file(written(tmp_path / "x.json", report))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a latency report"),
        ("{", "is not a latency report"),
        ("[" * 100_000, "is not a latency report"),
        ('{"schema": "edgenet.latency.v1", "p": NaN}', "NaN is not a JSON number"),
        ("3", "has the schema None"),
        ("null", "has the schema None"),
        ('{"schema": "edgenet.latency.v1"}', "has nothing where"),
    ],
)
def test_no_reports_at_all(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(EdgenetError, match=reason):
        read_file(tmp_path / "x.json")


def test_an_infinite_number(tmp_path: Path) -> None:
    report = latency()
    report["steady_state"]["p50_ms"] = "HERE"
    (tmp_path / "x.json").write_text(json.dumps(report).replace('"HERE"', "1e999"))
    with pytest.raises(EdgenetError, match="it holds the number 1e999, which is too large"):
        read_file(tmp_path / "x.json")


def test_a_file_that_is_not_there_and_bytes(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="does not exist"):
        read_file(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EdgenetError, match="is not a latency report"):
        read_file(tmp_path / "x.json")
