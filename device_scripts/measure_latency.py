#!/usr/bin/env python3
"""Measure how fast models run on this device, and under which conditions.

python measure_latency.py mobilenet.edgenet
python measure_latency.py mobilenet.tflite --protocol standard --threads 1,2,4 --affinity auto --out report.json
"""

from __future__ import annotations

import edgenet_device.ctrl_c  # noqa: F401 (first, as Ctrl-C may interrupt the other imports)

# isort: split
import argparse
import sys
from pathlib import Path
from typing import Any

from edgenet_device.entry import NOT_VALID, at_least, between, ended_by_signals, run, script_parser
from edgenet_device.foreign_text import json_text, one_line, say
from edgenet_device.latency.affinity import parse_sets, thread_cpu_settings
from edgenet_device.latency.report import PROTOCOLS, Protocol, override_protocol
from edgenet_device.output_files import check_output, write_atomically

_DAY_S = 86_400


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = script_parser("measure_latency.py", __doc__)
    add = shape.add_argument
    add(
        "models",
        metavar="MODEL",
        type=Path,
        nargs="+",
        help="path of a .edgenet bundle or .tflite file; several are measured alternately",
    )
    add("--threads", metavar="N,N", type=_counts, default=[1], help="numbers of threads to try (default: 1)")
    add(
        "--affinity",
        metavar="CPUS",
        default="all",
        help="CPUs to run on: all; big, all but the slowest cluster; auto, try every set worth trying; "
        "or lists such as 0-3/4-7 (default: all)",
    )
    _add_protocol(shape)
    add("--profile", action="store_true", help="also time every operator")
    add("--out", metavar="FILE", type=Path, help="write the report (edgenet.latency.v1) to FILE")
    add("--json", action="store_true", help="print the report instead of the table")
    add("--lines", action="store_true", help="print progress and reports as lines of JSON")
    add(
        "--require-valid",
        action="store_true",
        help="end with exit status 3 if a measurement is not valid; the report is written even then",
    )
    return shape


def _add_protocol(shape: argparse.ArgumentParser) -> None:
    add = shape.add_argument
    add(
        "--protocol",
        choices=PROTOCOLS,
        default="quick",
        help="how long to measure; standard is as long as MLPerf's single-stream scenario (default: quick)",
    )
    add(
        "--runs",
        metavar="N",
        type=at_least(1),
        help="least number of runs (default: quick 50, standard 1024)",
    )
    add(
        "--min-seconds",
        metavar="S",
        type=between(0, _DAY_S),
        help="least seconds of runs (default: quick 1, standard 60)",
    )
    add("--warmup", metavar="N", type=at_least(0), help="warm-up runs (default: quick 1, standard 5)")
    add(
        "--cold-starts",
        metavar="N",
        type=at_least(3),
        help="fresh processes to time, at least 3 (default: 3)",
    )
    add(
        "--settle",
        metavar="S",
        type=between(0, _DAY_S),
        help="longest wait for a cool, idle device, in seconds (default: quick 0, standard 120)",
    )
    add(
        "--sustained",
        metavar="S",
        type=_minute,
        help="afterwards run each model for S seconds, at least 60 (default: not at all)",
    )


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    given = parser().parse_args(arguments)
    if given.out:
        check_output(given.out)
    choices = thread_cpu_settings(given.threads, parse_sets(given.affinity))
    # Imported late, so that --help is instant and a missing numpy is reported in one line.
    from edgenet_device.latency.measure import measure

    with ended_by_signals() as ended:
        try:
            reports = measure(given.models, choices, _protocol(given), _say_in_json if given.lines else _say)
            if given.out:
                write_atomically(given.out, (json_text(_one_or_all(reports)) + "\n").encode())
        except KeyboardInterrupt:
            return ended.status
    _print(reports, given)
    return NOT_VALID if given.require_valid and not all(report["valid"] for report in reports) else 0


def _protocol(given: argparse.Namespace) -> Protocol:
    return override_protocol(
        PROTOCOLS[given.protocol],
        runs=given.runs,
        min_seconds=given.min_seconds,
        warmup=given.warmup,
        cold_starts=given.cold_starts,
        settle_s=given.settle,
        sustained_s=given.sustained,
        profile=given.profile,
    )


def _print(reports: list[dict[str, Any]], given: argparse.Namespace) -> None:
    if given.lines:
        print(json_text({"reports": reports}))
    elif given.json:
        print(json_text(_one_or_all(reports)))
    else:
        from edgenet_device.latency.report import table

        say("\n\n".join(table(report) for report in reports))


def _one_or_all(reports: list[dict[str, Any]]) -> Any:
    return reports[0] if len(reports) == 1 else reports


def _say(stage: str, done: int, total: int) -> None:
    """Show the progress in one line that is overwritten; print nothing if stderr is not a terminal."""
    if sys.stderr.isatty():
        print(
            f"\r\033[K{one_line(stage)} {done}/{total}",
            end="" if done < total else "\n",
            file=sys.stderr,
            flush=True,
        )


def _say_in_json(stage: str, done: int, total: int) -> None:
    print(json_text({"stage": stage, "done": done, "total": total}), flush=True)


def _counts(text: str) -> list[int]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list such as 1,2,4") from None
    if counts[0] < 1:
        raise argparse.ArgumentTypeError(f"{counts[0]} is below 1")
    return counts


def _minute(text: str) -> float:
    value = between(0, _DAY_S)(text)
    if value < 60:
        raise argparse.ArgumentTypeError(f"{text} s is too short: the first and the last 30 s are compared")
    return value


if __name__ == "__main__":
    sys.exit(run(main))
