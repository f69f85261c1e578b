"""What a page sends becomes a latency report like any other, or is refused."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from edgenet_device.latency.report import QUICK, table
from edgenet_device.model_file import open_model
from edgenet_device.web.address import Address

from edgenet.errors import EdgenetError
from edgenet.latency.options import BenchOptions
from edgenet.latency.reading import read_report
from edgenet.web.browser_latency import HERE, PageContext, latency_report, measure_in_browser
from edgenet.web.viewers import NOTHING_SEEN, Viewer
from edgenet.workflows.camera import camera_page

AROUND = PageContext("2026-11-25T12:00:00+00:00", QUICK, NOTHING_SEEN, NOTHING_SEEN)


def sent(**changes: Any) -> dict[str, Any]:
    """What assets/report.js sends, of a phone."""
    return {
        "threads": 4,
        "delegated": True,
        "samples_ns": [2_000_000, 2_010_000] * 30,
        "clock_ns": 5000,
        "cold_start_ms": {"import": 300.5, "load": 40, "first_inference": 6.5, "total": 900},
        "isolated": True,
        "device": {
            "model": "Pixel 8",
            "platform": "Android 15",
            "architecture": "arm",
            "browser": "Chrome 150",
            "cores": 9,
        },
        **changes,
    }


def test_a_phones_report_is_read_like_any_other(colours: Path) -> None:
    report = latency_report(open_model(colours), sent(), AROUND)
    assert report["route"] == "browser"
    assert report["reasons"] == []
    read = read_report(report, "phone.json")
    assert (read.device, read.threads, read.p50_ms, read.p90_ms) == ("Pixel 8", 4, 2.0, 2.01)
    assert read.facts["delegate"] == "XNNPACK, 4 of 4 nodes"
    assert read.facts["runtime"] == "litert.js 2.5.3"
    assert "4 thread(s)\n" in table(report)


def post(url: str) -> None:
    """Sends a report to the page's server, as the page does."""
    parts = urlsplit(url)
    with urllib.request.urlopen(parts._replace(path="/nonce").geturl()) as answer:
        nonce = answer.read().decode().strip()
    there = parts._replace(path="/report").geturl()
    origin = f"http://{parts.netloc}"
    headers = {"Content-Type": "application/json", "Origin": origin, "X-Edgenet-Nonce": nonce}
    urllib.request.urlopen(urllib.request.Request(there, json.dumps(sent()).encode(), headers)).close()


@pytest.mark.parametrize(
    ("address", "model", "load"), [(HERE, "its own name", 0.25), (replace(HERE, token="x"), "Pixel 8", None)]
)
def test_the_camera_asks_the_device_unless_the_browser_may_be_anywhere(
    colours: Path, address: Address, model: str, load: float | None
) -> None:
    reports: list[dict[str, Any]] = []
    viewer = Viewer(
        post,
        "adb:SERIAL",
        facts=lambda: {"model": "its own name", "cores": 4},
        conditions=lambda: replace(NOTHING_SEEN, load_average=0.25),
    )
    camera_page(colours, address=address, viewer=viewer, measured=reports.append, goes_on=lambda: not reports)
    (report,) = reports
    assert report["target"] == ("adb:SERIAL" if address is HERE else "browser")
    assert (report["device"]["model"], report["load"]["average_1_min_at_start"]) == (model, load)


def test_a_network_that_xnnpack_did_not_take_whole_is_not_valid(colours: Path) -> None:
    report = latency_report(open_model(colours), sent(delegated=False), AROUND)
    assert not report["valid"]
    assert any("delegate unknown" in reason for reason in report["reasons"])


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"samples_ns": []}, "no samples"),
        ({"samples_ns": [-1]}, "no samples"),
        ({"samples_ns": ["1"]}, "samples_ns has '1'"),
        ({"samples_ns": [1e300]}, "samples_ns has a huge number"),
        ({"threads": "4"}, "threads has '4'"),
        ({"cold_start_ms": {}}, "import has nothing"),
        ({"device": None}, "device has nothing"),
        ({"clock_ns": None}, "clock_ns has nothing"),
    ],
)
def test_a_false_report_is_refused(colours: Path, changes: dict[str, Any], found: str) -> None:
    with pytest.raises(EdgenetError, match=found):
        latency_report(open_model(colours), sent(**changes), AROUND)


@pytest.mark.parametrize(
    "options", [BenchOptions(threads=(1, 2)), BenchOptions(affinity="auto"), BenchOptions(profile=True)]
)
def test_what_a_browser_cannot_do_is_refused_at_once(colours: Path, options: BenchOptions) -> None:
    with pytest.raises(EdgenetError, match="a browser cannot follow"):
        measure_in_browser([colours], options)
