"""`edgenet.report`: one page, its figures and its table."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from edgenet_device.latency.report import table
from latency_reports import accurate, latency, written

import edgenet
from edgenet.errors import EdgenetError

CURVE = [
    {
        "at_s": float(second),
        "p50_ms": 2 + second / 60,
        "hottest_celsius": 50.0 + second / 6,
        "highest_mhz": 1500.0,
    }
    for second in range(1, 61)
]
SUSTAINED = {
    "seconds": 60.0,
    "n": 600,
    "first_p50_ms": 2.2,
    "last_p50_ms": 2.8,
    "ratio": 1.27,
    "curve": CURVE,
}
PROFILE = {
    "method": "growing prefixes of the network, timed alternately",
    "clock": "CPU time",
    "threads": 1,
    "operators": [
        {
            "index": 0, "kind": "CONV_2D", "output": "features.0/conv",
            "ms": 1.5, "low_ms": 1.4, "high_ms": 1.6, "mult_adds": 3_000_000,
        }
    ],
}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    """Three reports: of the third, slower and less accurate, the name is hostile and the figures are not valid."""
    reports = {
        "a": accurate(latency("small", 2.0, sustained=SUSTAINED, profile=PROFILE), 60.0),
        "b": accurate(latency("large", 5.0), 70.0),
        "c": accurate(latency("<script>$x$", 6.0, valid=False, reasons=["throttled: <hot>"]), 55.0),
    }
    return [written(tmp_path / f"{name}.json", report) for name, report in reports.items()]


def test_operators_too_quick_for_their_clock(tmp_path: Path) -> None:
    quick = {**PROFILE, "operators": [{**PROFILE["operators"][0], "ms": 0.0}]}
    report = latency("small", 2.0, profile=quick, route="benchmark_model")
    assert "operators     all too fast to be timed with growing prefixes" in table(report)
    found = edgenet.report([written(tmp_path / "a.json", report)], tmp_path / "page.html")
    assert "<td>0.000</td><td>0.0%</td>" in Path(found.files[0]).read_text()


@pytest.mark.slow
def test_what_is_not_valid_is_on_no_front_and_in_no_headline(tmp_path: Path) -> None:
    invalid = {"valid": False, "reasons": ["throttled"]}
    reports = [
        written(tmp_path / "slow.json", accurate(latency("slow", 9.0), 60.0)),
        written(tmp_path / "fast.json", accurate(latency("fast", 1.0, **invalid), 80.0)),
    ]
    found = edgenet.report(reports, tmp_path / "page.html")
    assert [row.front for row in found.rows] == [True, False]
    page = (tmp_path / "page.html").read_text()
    assert "1 of 2 measurements are not valid to quote." in page
    assert "fastest p50: slow" in page
    edgenet.report(reports[1:], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "No measurement here is valid to quote." in page
    assert "fastest p50" not in page


@pytest.mark.slow
def test_the_page_and_what_lies_beside_it(results: list[Path], tmp_path: Path) -> None:
    found = edgenet.report(results, tmp_path / "page.html")
    assert [Path(name).name for name in found.files] == [
        "page.html", "page.csv", "page-accuracy.png", "page-distributions.png", "page-cold-start.png",
        "page-sustained.png",
    ]  # fmt: skip
    assert [row.front for row in found.rows] == [True, True, False]
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 4
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")  # names of SVG's own, never fetched
    assert "https://" not in page
    assert "1 of 3 not valid to quote" in page
    assert "<b>&lt;script&gt;$x$</b>: throttled: &lt;hot&gt;" in page
    assert "features.0/conv" in page
    head, first = re.findall(r"<tr.*?</tr>", page, re.DOTALL)[:2]
    named = dict(zip(re.findall(r"<th>(.*?)</th>", head), re.findall(r"<td>(.*?)</td>", first), strict=True))
    assert named["p50 ms"] == f"{found.rows[0].p50_ms:.3f}"
    assert named["int8<br>top-1 %"] == "60.00<i>*</i>"
    lines = list(csv.DictReader((tmp_path / "page.csv").read_text().splitlines()))
    assert [line["valid"] for line in lines] == ["True", "True", "False"]
    assert float(lines[0]["p50_ms"]) == found.rows[0].p50_ms
    first = {path: Path(path).read_bytes() for path in found.files}
    edgenet.report(results, tmp_path / "page.html")
    assert {path: Path(path).read_bytes() for path in found.files} == first  # the same bytes again


def test_facts_that_all_share_are_printed_once(tmp_path: Path) -> None:
    busy = {"valid": False, "reasons": ["other load: 85 %"]}
    reports = [latency(f"net_{size}", size, **busy) for size in range(1, 7)]
    paths = [written(tmp_path / f"{number}.json", report) for number, report in enumerate(reports)]
    edgenet.report(paths, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("other load: 85 %") == 1
    assert "<b>all</b>: other load: 85 %" in page
    assert page.count("some,soc") == 1


def test_missing_measurements_are_not_drawn(tmp_path: Path) -> None:
    alone = written(tmp_path / "a.json", latency())
    found = edgenet.report([alone], tmp_path / "page.html")
    assert [Path(name).name for name in found.files][2:] == ["page-distributions.png", "page-cold-start.png"]


def test_reports_are_distinguished(tmp_path: Path) -> None:
    reports = [
        latency("net", 2.0, target=target, threads=n) for target, n in (("local", 1), ("adb", 1), ("adb", 4))
    ]
    paths = [written(tmp_path / f"{number}.json", report) for number, report in enumerate(reports)]
    labels = [row.label for row in edgenet.report(paths, tmp_path / "page.html").rows]
    assert labels == ["net, on local, 1 thread", "net, on adb, 1 thread", "net, on adb, 4 threads"]


def test_refusals(tmp_path: Path) -> None:
    report = written(tmp_path / "a.json", latency())
    with pytest.raises(EdgenetError, match=r"does not end in \.html"):
        edgenet.report([report], tmp_path / "page.pdf")
    with pytest.raises(EdgenetError, match=r"has the schema something\.else, expected"):
        edgenet.report([written(tmp_path / "b.json", {"schema": "something.else"})], tmp_path / "page.html")
    with pytest.raises(EdgenetError, match="nothing to report"):
        edgenet.report([], tmp_path / "page.html")


@pytest.mark.filterwarnings("error")
def test_a_coarse_clock_and_very_long_names_are_drawn(tmp_path: Path) -> None:
    """Samples and medians of 0 have no place on a logarithmic axis, and a name of 5,000 letters leaves none for it."""
    fast, slow = accurate(latency("a$\x1b" + "x" * 5000, 2.0), 70.0), accurate(latency("b" * 5000, 3.0), 71.0)
    fast["steady_state"]["samples_ns"][0] = 0
    fast["steady_state"]["p50_ms"] = 0.0
    fast["target"] = slow["target"] = "\u202e" * 3000 + "z" * 3000
    made = edgenet.report(written(tmp_path / "both.json", [fast, slow]), tmp_path / "page.html")
    assert len(made.files) == 4
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "\u202e" not in text
    nothing = latency("c")
    nothing["steady_state"].update(samples_ns=[0] * 200, p50_ms=0.0, p90_ms=0.0, p99_ms=0.0)
    edgenet.report(written(tmp_path / "nothing.json", nothing), tmp_path / "page.html")
