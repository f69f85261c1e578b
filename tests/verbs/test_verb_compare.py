"""`edgenet.compare`: reports, and models measured here."""

from __future__ import annotations

from pathlib import Path

import pytest
from latency_reports import latency, written
from tiny_model import tiny_model

import edgenet
from edgenet.errors import EdgenetError


def test_two_reports(tmp_path: Path) -> None:
    later = {"started": "2026-11-25T21:00:00+00:00"}
    slow = latency("b", 4.0, **later, valid=False, reasons=["throttled: under-voltage"], threads=2)
    a, b = written(tmp_path / "a.json", latency("a", 2.0)), written(tmp_path / "b.json", slow)
    found = edgenet.compare(a, b)
    assert found.difference.verdict == "slower"
    assert not found.difference.paired
    assert found.difference.ratio.value == pytest.approx(2, rel=0.02)
    assert found.warnings == (
        f"{b} is not valid: throttled: under-voltage",
        "the threads differ: 1 and 2",
    )


def test_reports_of_one_measurement_are_paired(tmp_path: Path) -> None:
    a, b = (written(tmp_path / f"{name}.json", latency(name, 2.0)) for name in "ab")
    assert edgenet.compare(a, b).difference.paired


@pytest.mark.slow
def test_two_models_in_turns(tmp_path: Path) -> None:
    """The second has nine times the pixels; a file and its copy are reported as equal."""
    sizes = {"small": 32, "copy": 32, "large": 96}
    small, copy, large = (tmp_path / f"{name}.tflite" for name in sizes)
    for path in (small, copy, large):
        path.write_bytes(tiny_model(size=sizes[path.stem]))
    found = edgenet.compare(small, large, min_seconds=0.3)
    assert found.difference.paired
    assert found.difference.verdict == "slower"
    same = edgenet.compare(small, copy, min_seconds=0.3).difference
    assert 0.7 < same.ratio.value < 1.4


def test_one_of_each_is_refused(tmp_path: Path) -> None:
    report = written(tmp_path / "a.json", latency())
    with pytest.raises(EdgenetError, match="only one is a report; give two reports, or two models"):
        edgenet.compare(report, tmp_path / "b.edgenet")
    several = written(tmp_path / "c.json", [latency(), latency()])
    with pytest.raises(EdgenetError, match="holds 2 reports"):
        edgenet.compare(report, several)
