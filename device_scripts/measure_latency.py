#!/usr/bin/env python3
"""Measure how fast a model runs on this device, and under which conditions.

python measure_latency.py mobilenet.edgenet
python measure_latency.py mobilenet.tflite --threads 4 --min-seconds 60 --out report.json
"""

from __future__ import annotations

import argparse
import json
import sys
import types
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:  # run as a plain file: make its folder a package (PEP 366)
    _package = types.ModuleType(
        "device_scripts"
    )  # made by hand, for the folder may have any name, even with dots
    _package.__path__ = [str(Path(__file__).resolve().parent)]
    sys.modules["device_scripts"] = _package
    __package__ = "device_scripts"

from .entry import at_least, check_output_folder, run, write_whole


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shape = argparse.ArgumentParser(prog="measure_latency.py", description=__doc__.partition("\n")[0])
    shape.add_argument("model", metavar="MODEL", type=Path, help=".tflite file or .edgenet bundle")
    shape.add_argument("--threads", metavar="N", type=at_least(1), default=1, help="inference threads (1)")
    shape.add_argument("--runs", metavar="N", type=at_least(1), default=50, help="least number of runs (50)")
    shape.add_argument(
        "--min-seconds", metavar="S", type=_seconds, default=1.0, help="least time (1; 60 or more: sustained)"
    )
    shape.add_argument("--warmup", metavar="N", type=at_least(0), default=1, help="runs before timing (1)")
    shape.add_argument(
        "--cold-starts",
        metavar="N",
        type=at_least(3),
        default=3,
        help="fresh processes to time (3, at least)",
    )
    shape.add_argument("--out", metavar="FILE", type=Path, help="write the report, edgenet.latency.v1, there")
    shape.add_argument("--json", action="store_true", help="print the report instead of the table")
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (the process's own by default); returns the exit status."""
    given = parser().parse_args(arguments)
    if given.out:
        check_output_folder(given.out)
    from .latency_report import Protocol, measure  # late: --help is instant, and a missing numpy is one line

    protocol = Protocol(given.threads, given.runs, given.min_seconds, given.warmup, given.cold_starts)
    if sys.stderr.isatty():
        print(f"measuring for about {protocol.min_seconds + protocol.cold_starts:.0f} s", file=sys.stderr)
    report = measure(given.model, protocol)
    if given.out:
        write_whole(given.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report) if given.json else table(report))
    return 0


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    model, cold, steady = report["model"], report["cold_start"], report["steady_state"]
    heat = report["temperature_celsius"]
    rows = [
        (
            "model",
            f"{model['file']}, {model['size_bytes'] / 1e6:.2f} MB, {_or_dash(model['operators'])} operators",
        ),
        (
            "device",
            f"{_or_dash(report['device']['model'] or report['device']['cpu'])}, {report['device']['os']}",
        ),
        (
            "runtime",
            f"{report['runtime']['name']} {report['runtime']['version']}, {report['threads']} thread(s)",
        ),
        ("delegate", _delegate(report["delegate"])),
        ("cold start", _milliseconds(cold, ("import", "load", "first_inference", "total"))),
        ("steady state", _milliseconds(steady, ("min", "p50", "p90", "p99", "max")) + f"   n {steady['n']}"),
        ("mean, std", _milliseconds(steady, ("mean", "std"))),
        ("temperature", f"{_hottest(heat['before'])} before, {_hottest(heat['after'])} after"),
        ("throttling", _throttling(report["throttling"])),
        (
            "peak memory",
            "-" if report["peak_memory_bytes"] is None else f"{report['peak_memory_bytes'] / 1e6:.0f} MB",
        ),
        ("valid", "yes" if report["valid"] else "NO"),
    ]
    return "\n".join(
        [f"{name:<13} {text}" for name, text in rows] + [f"  - {why}" for why in report["reasons"]]
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 86400")
    return value


def _delegate(facts: dict[str, Any]) -> str:
    if facts["nodes_total"] is None:
        return "unknown"
    return f"{facts['name'] or 'none'}, {facts['nodes_taken']} of {facts['nodes_total']} nodes"


def _milliseconds(facts: dict[str, Any], names: tuple[str, ...]) -> str:
    values = ((name.replace("_", " "), facts[f"{name}_ms"]) for name in names)
    return "   ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in values) + " ms"


def _hottest(zones: dict[str, float] | None) -> str:
    return f"{max(zones.values()):.1f} °C" if zones else "-"


def _throttling(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "-"
    now, since_boot = facts["after"]["now"], facts["after"]["since_boot"]
    return f"now: {', '.join(now) or 'none'}; since boot: {', '.join(since_boot) or 'none'}"


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(run(main))
