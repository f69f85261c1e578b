#!/usr/bin/env python3
"""Measure how fast models run on this device, and under which conditions.

python measure_latency.py mobilenet.edgenet python measure_latency.py mobilenet.tflite --protocol standard
--threads 1,2,4 --affinity auto --out report.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenet_device.entry import at_least, run
from edgenet_device.latency.affinity import parse_sets, settings
from edgenet_device.latency.report import PROTOCOLS, changed
from edgenet_device.output_files import check_output, write_atomically

if TYPE_CHECKING:
    from edgenet_device.latency.report import Protocol


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = argparse.ArgumentParser(prog="measure_latency.py", description=__doc__.partition("\n")[0])
    shape.add_argument(
        "models",
        metavar="MODEL",
        type=Path,
        nargs="+",
        help=".tflite file or .edgenet bundle; several are measured alternately",
    )
    shape.add_argument(
        "--threads", metavar="N,N", type=_counts, default=[1], help="numbers of threads to try (1)"
    )
    shape.add_argument(
        "--affinity",
        metavar="CPUS",
        default="all",
        help="all; big: all but the slowest cluster; auto: try every set; or lists such as 0-3/4-7 (all)",
    )
    shape.add_argument(
        "--protocol", choices=PROTOCOLS, default="quick", help="standard: as long as MLPerf's single stream"
    )
    shape.add_argument(
        "--runs", metavar="N", type=at_least(1), help="least number of runs (quick 50, standard 1024)"
    )
    shape.add_argument(
        "--min-seconds", metavar="S", type=_seconds, help="least seconds of runs (quick 1, standard 60)"
    )
    shape.add_argument("--warmup", metavar="N", type=at_least(0), help="warm-up runs (quick 1, standard 5)")
    shape.add_argument(
        "--cold-starts", metavar="N", type=at_least(3), help="fresh processes to time, at least 3 (3)"
    )
    shape.add_argument(
        "--settle",
        metavar="S",
        type=_seconds,
        help="longest wait for a cool, idle device, s (quick 0, standard 120)",
    )
    shape.add_argument(
        "--sustained", metavar="S", type=_minute, help="then run each model for S seconds, at least 60"
    )
    shape.add_argument("--profile", action="store_true", help="also time every operator")
    shape.add_argument(
        "--out", metavar="FILE", type=Path, help="write the report (edgenet.latency.v1) to FILE"
    )
    shape.add_argument("--json", action="store_true", help="print the report instead of the table")
    shape.add_argument("--lines", action="store_true", help="print progress and reports as lines of JSON")
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    given = parser().parse_args(arguments)
    if given.out:
        check_output(given.out)
    choices = settings(given.threads, parse_sets(given.affinity))
    # Imported late, so that --help is instant and a missing numpy is reported in one line.
    from edgenet_device.latency.measure import measure

    reports = measure(given.models, choices, _protocol(given), _say_in_json if given.lines else _say)
    if given.out:
        write_atomically(given.out, (json.dumps(_one_or_all(reports)) + "\n").encode())
    if given.lines:
        print(json.dumps({"reports": reports}))
    elif given.json:
        print(json.dumps(_one_or_all(reports)))
    else:
        from edgenet_device.latency.report import table

        print("\n\n".join(table(report) for report in reports))
    return 0


def _protocol(given: argparse.Namespace) -> Protocol:
    return changed(
        PROTOCOLS[given.protocol],
        runs=given.runs,
        min_seconds=given.min_seconds,
        warmup=given.warmup,
        cold_starts=given.cold_starts,
        settle_s=given.settle,
        sustained_s=given.sustained,
        profile=given.profile,
    )


def _one_or_all(reports: list[dict[str, Any]]) -> Any:
    return reports[0] if len(reports) == 1 else reports


def _say(stage: str, done: int, total: int) -> None:
    """Show the progress in one line that is overwritten; print nothing if stderr is not a terminal."""
    if sys.stderr.isatty():
        print(
            f"\r\033[K{stage} {done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True
        )


def _say_in_json(stage: str, done: int, total: int) -> None:
    print(json.dumps({"stage": stage, "done": done, "total": total}), flush=True)


def _counts(text: str) -> list[int]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list such as 1,2,4") from None
    if counts[0] < 1:
        raise argparse.ArgumentTypeError(f"{counts[0]} is below 1")
    return counts


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 86400")
    return value


def _minute(text: str) -> float:
    value = _seconds(text)
    if value < 60:
        raise argparse.ArgumentTypeError(f"{text} s is too short: the first and the last 30 s are compared")
    return value


if __name__ == "__main__":
    sys.exit(run(main))
