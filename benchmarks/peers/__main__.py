"""Our int8 files and pipeline compared with other tools': same weights, same photos, same machine.

    .venv/bin/python -m benchmarks.peers --work FOLDER --json FILE --markdown docs/benchmarks.md
        [--networks v1,v2] [--peers keras,onnx2tf,litert-torch,onnx-tf,onnxruntime,executorch,pipelines]
        [--again] [--data ../shared/data]

Every peer has an environment of its own, made the first time (12 GB for all). Every file is made by a process whose
time and memory are measured, judged on photos that were not used for calibration, and timed in turns with ours;
docs/benchmarks.md explains how. With --work the files are kept with their costs and used again while code and inputs
are the same; --again makes them all again. Latencies are always measured. The exit status is 0 even if goals are
missed, and 1 if the benchmark could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.comparing.making import NETWORKS, Plan, make_files
from benchmarks.comparing.peers import OPENERS
from benchmarks.comparing.tables import put_into, tables
from benchmarks.environments import ROOT
from benchmarks.options import names_of
from edgenet.errors import EdgenetError

SCHEMA = "edgenet.benchmark.peers.v1"
PIPELINES = "pipelines"
CHOICES = (*OPENERS, PIPELINES)


def main() -> int:
    """Run the benchmark; return the exit status."""
    options = parser().parse_args()
    peers = tuple(key for key in options.peers if key != PIPELINES)
    plan = Plan(options.networks, peers, PIPELINES in options.peers, options.data.resolve())
    stated = {"schema": SCHEMA, "date": date.today().isoformat(), "command": command_of(options)}
    try:
        if options.markdown:
            put_into(options.markdown.read_text(), "")  # reports a missing mark now, not after half an hour
        with tempfile.TemporaryDirectory(prefix="edgenet-peers-") as spare:
            report = stated | run(plan, (options.work or Path(spare)).resolve(), options.again)
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")
        text = tables(report)
        print(text)
        if options.markdown:
            options.markdown.write_text(put_into(options.markdown.read_text(), text))
    except (EdgenetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(plan: Plan, work: Path, again: bool) -> dict[str, Any]:
    """Convert everything, then judge and time everything."""
    load = os.getloadavg()[0]  # before our own work adds to it
    files = make_files(plan, work, again)
    from benchmarks.comparing.report import report_on  # imported only now: the module says why

    return {"load_before": load} | report_on(files)


def command_of(options: argparse.Namespace) -> str:
    """Return the command that repeats the run, without paths, which differ between machines."""
    words = ["python -m benchmarks.peers"]
    for option, chosen, usual in (
        ("--networks", options.networks, NETWORKS),
        ("--peers", options.peers, CHOICES),
    ):
        if chosen != usual:
            words.append(f"{option} {','.join(chosen)}")
    return " ".join(words)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    add = made.add_argument
    add("--networks", type=names_of(NETWORKS), default=NETWORKS, help=f"default: {','.join(NETWORKS)}")
    add("--peers", type=names_of(CHOICES), default=CHOICES, help=f"default: {','.join(CHOICES)}")
    add("--work", type=Path, help="keep files here, and use the files that are already here")
    add("--again", action="store_true", help="also make the files that --work holds, to measure times")
    add("--json", type=Path, metavar="FILE", help="write the report")
    add("--markdown", type=Path, metavar="FILE", help="put the tables between the two marks in FILE")
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="weights and photos")
    return made


if __name__ == "__main__":
    sys.exit(main())
