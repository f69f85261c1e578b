"""Targets that read reports and the state of earlier runs: latency reports and sweeps."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import matplotlib.font_manager  # noqa: F401 (its list of the fonts is made once, for all workers)
from edgenet_device.foreign_text import read_json

from edgenet.errors import EdgenetError
from edgenet.latency.reading import read_reports
from edgenet.latency.report_rows import report_rows, rows_csv
from tools.fuzz.mutations import TEXT, json_changed
from tools.fuzz.verdicts import Check, refusable
from tools.fuzz.workers import Target


@cache
def report_seeds() -> dict[str, bytes]:
    """Return latency reports with and without samples, accuracy and a profile."""
    from latency_reports import accurate, latency

    plain = latency()
    for_all = {
        **plain["steady_state"],
        "block_p50_ms": [2.0, 2.1],
        "block_sizes": [10, 10],
        "samples_ns": None,
    }
    profile = {
        "method": "m",
        "clock": "wall",
        "operators": [
            {"index": 0, "kind": "CONV_2D", "output": "x", "ms": 1.0, "low_ms": 0.9, "high_ms": None}
        ],
    }
    points = [
        {"at_s": at, "p50_ms": 2.0, "hottest_celsius": 50.0 + at, "highest_mhz": 1500.0} for at in (0.0, 30.0)
    ]
    load = {"first_p50_ms": 2.0, "last_p50_ms": 2.1, "ratio": 1.05, "curve": points}
    several = [accurate(latency("small", 2.0), 70.0), accurate(latency("large", 30.0), 80.0)]
    found = {
        "plain": plain,
        "accurate": accurate(plain, 80.0),
        "blocks": latency(steady_state=for_all),
        "profile": latency(profile=profile),
        "sustained": latency(sustained=load),
        "tried": latency(tried=[{"threads": 1, "cpus": "all", "p50_ms": 2.0, "best": True}]),
        "several": several,
    }
    return {name: json.dumps(value).encode() for name, value in found.items()}


def reports(folder: Path) -> Check:
    """Read a report, compare it with a sound one, and write its table; `pages` draw it."""
    from edgenet.latency.comparing import difference

    path, sound = folder / "report.json", folder / "sound.json"
    sound.write_bytes(report_seeds()["plain"])

    def check(data: bytes) -> None:
        path.write_bytes(data)
        found = read_reports([path, sound])
        rows_csv(report_rows(found))
        refusable(lambda: difference(found[0].blocks_ms, found[-1].blocks_ms, paired=False))

    return check


def pages(folder: Path) -> Check:
    """Write the page and the figures of a report, as `report` does; no script of the report's may get in."""
    from edgenet.workflows.reports import report

    path, page = folder / "report.json", folder / "page.html"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        report(path, page)
        assert "<script>" not in page.read_text(encoding="utf-8").replace("&lt;", "")

    return check


@cache
def sent_seeds() -> dict[str, bytes]:
    """Return what a page sends after it has measured, as assets/report.js does."""
    value = {
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
    }
    return {"phone": json.dumps(value).encode(), "trouble": b'{"trouble": "no WebAssembly"}'}


def sent_reports(folder: Path) -> Check:
    """Take what a page has sent for a report, and read it as a report."""
    from edgenet_device.latency.report import QUICK, table
    from edgenet_device.model_file import open_model
    from tiny_model import tiny_model

    from edgenet.latency.reading import read_report
    from edgenet.web.browser_latency import PageContext, latency_report
    from edgenet.web.viewers import NOTHING_SEEN

    path = folder / "net.tflite"
    path.write_bytes(tiny_model())
    model, around = (
        open_model(path),
        PageContext("2026-11-25T12:00:00+00:00", QUICK, NOTHING_SEEN, NOTHING_SEEN),
    )
    latency_report(model, read_json(sent_seeds()["phone"]), around)  # the model's first run, in a child

    def check(data: bytes) -> None:
        try:
            sent = read_json(data)
        except ValueError as error:
            raise EdgenetError(f"not JSON: {error}") from None
        if not isinstance(sent, dict):
            raise EdgenetError("not a report")
        report = latency_report(model, sent, around)
        read_report(report, "phone.json")
        table(report)

    return check


@cache
def sweep_seeds() -> dict[str, bytes]:
    """Return the files that a sweep keeps for each network."""
    row = {
        "variant": "mobilenet_v1_0.25_128",
        "width": 0.25,
        "resolution": 128,
        "mult_adds": 10**7,
        "parameters": 470_000,
        "bytes": 500_000,
        "n": 1000,
        "float_top1": 80.0,
        "int8_top1": 79.0,
        "int8_low": 76.0,
        "int8_high": 82.0,
        "float_low": 77.0,
        "float_high": 83.0,
    }
    timed = {
        **row,
        "latency_p50_ms": 3.0,
        "latency_valid": True,
        "latency_reasons": "",
        "device": "a Pi",
        "threads": 1,
        "front": False,
        "target": "local",
    }
    older = {
        key: value
        for key, value in row.items()
        if not key.startswith("float_l") and not key.startswith("float_h")
    }
    return {
        name: json.dumps(value).encode()
        for name, value in {"row": timed, "made": row, "older": older}.items()
    }


def sweeps(folder: Path) -> Check:
    """Read what an earlier sweep kept, and make a table of it."""
    from edgenet.workflows.sweep_plan import (
        ROW_FILE,
        SETTINGS_FILE,
        TRAINED_FILE,
        keep_settings,
        read_row,
        read_trained,
        with_front,
    )
    from edgenet.workflows.sweep_plan import rows_csv as sweep_csv

    def check(data: bytes) -> None:
        for name in (ROW_FILE, TRAINED_FILE, SETTINGS_FILE):
            (folder / name).write_bytes(data)
        refusable(lambda: keep_settings(folder, {"photos": "x", "threads": 1}))
        refusable(lambda: read_trained(folder))
        row = read_row(folder)
        if row is not None:
            sweep_csv(with_front([row, row]))

    return check


_JSON = (json_changed, json_changed, json_changed, *TEXT)
TARGETS = (
    Target(
        "report",
        "latency reports",
        ("edgenet_device.foreign_text", "edgenet.latency.reading", "edgenet.files"),
        report_seeds,
        _JSON,
        reports,
    ),
    Target(
        "report-page",
        "pages of latency reports",
        ("edgenet.latency.reading",),
        report_seeds,
        _JSON,
        pages,
        weight=2,
        part=0.2,  # each page has drawings
    ),
    Target(
        "sent-report",
        "reports sent by pages",
        ("edgenet.web.browser_latency", "edgenet.latency.reading"),
        sent_seeds,
        _JSON,
        sent_reports,
    ),
    Target("sweep", "kept sweeps", ("edgenet.workflows.sweep_plan",), sweep_seeds, _JSON, sweeps),
)
