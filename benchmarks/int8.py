"""What does int8 cost, recipe by recipe and compared with other tools? Real weights, and LiteRT on uncalibrated photos.

    .venv/bin/python -m benchmarks.int8 --peers [--networks v1,v2,lite0] [--recipes fast,balanced,best,minmax]
        [--draws 3] [--work FOLDER] [--again] [--json FILE] [--markdown FILE] [--data ../shared/data]
    .venv/bin/python -m benchmarks.int8 --networks all --recipes fast,balanced --sensitivity fast,balanced --draws 5
        --other-sets calibration_data

Every file is made by a process of its own, whose time and memory are measured, and judged by running it in LiteRT;
benchmarks/README.md explains the figures. With --work the files are kept and used again while code and inputs are the
same, so an interrupted run can continue. --again makes them all again, to measure times on a quiet machine, and reports
whether the bytes are the same. The exit status is 0 even if goals are missed, and 1 if the benchmark could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.comparing.tables import put_into
from benchmarks.environments import ROOT
from benchmarks.options import names_of
from benchmarks.quantizing import networks
from benchmarks.quantizing.inputs import FEW_NAME, STEP
from benchmarks.quantizing.markdown import MARK, document
from benchmarks.quantizing.plan import Plan, make_files
from benchmarks.quantizing.tables import table
from benchmarks.quantizing.totals import CALIBRATION_DATA
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically

SCHEMA = "edgenet.benchmark.int8.v1"
OTHER_SETS = (FEW_NAME, CALIBRATION_DATA)
RECIPES = ("fast", "balanced", "best", "minmax")


def main() -> int:
    """Run the benchmark; return the exit status."""
    options = _parser().parse_args()
    plan = Plan(
        networks=options.networks,
        recipes=options.recipes,
        sensitivity=tuple(recipe for recipe in options.sensitivity if recipe in options.recipes),
        other_sets=options.other_sets,
        draws=options.draws,
        with_peers=options.peers,
        latency=options.latency,
        data=options.data.resolve(),
    )
    try:
        if options.markdown:
            put_into(options.markdown.read_text(), "", MARK)  # reports a missing mark before the run
        with tempfile.TemporaryDirectory(prefix="edgenet-int8-") as spare:
            report = run(plan, (options.work or Path(spare)).resolve(), options.again)
        if options.markdown:
            written = put_into(options.markdown.read_text(), document(report, command_line()), MARK)
            write_atomically(options.markdown, written.encode())
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")
    except (EdgenetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table(report))
    return 0


def run(plan: Plan, work: Path, again: bool) -> dict[str, Any]:
    """Convert everything, then judge everything; see `make_files`."""
    load = os.getloadavg()[0]  # before our own work adds to it
    made = make_files(plan, work, again)
    from benchmarks.quantizing.report import report_on  # imported only now: the module says why

    stated = {key: str(value) if isinstance(value, Path) else value for key, value in vars(plan).items()}
    return {"schema": SCHEMA, "load_before": load, "plan": stated} | report_on(made, plan.latency)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.int8", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add(
        "--networks",
        type=names_of(networks.KEYS),
        default=networks.STANDARD,
        help=f"all, or some of {','.join(networks.KEYS)} (default: v1,v2,lite0)",
    )
    add("--recipes", type=names_of(RECIPES), default=RECIPES, help=f"default: {','.join(RECIPES)}")
    add(
        "--sensitivity",
        type=names_of(RECIPES),
        default=("balanced",),
        help="recipes to try with the other calibration sets too (default: balanced)",
    )
    add("--other-sets", type=names_of(OTHER_SETS), default=OTHER_SETS, help=f"of {','.join(OTHER_SETS)}")
    add("--draws", type=_draws, default=3, help="disjoint calibration sets of 100 photos (default 3)")
    add("--peers", action="store_true", help="also run other tools (the first time: 2 GB of packages)")
    add("--no-latency", dest="latency", action="store_false", help="do not time V1 without its dead channels")
    add("--work", type=Path, help="keep files here, and use the files that are already here")
    add("--again", action="store_true", help="also make the files that --work holds, to measure times")
    add("--json", type=Path, metavar="FILE", help="write the report")
    add("--markdown", type=Path, metavar="FILE", help="put a table between the two marks in FILE")
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="weights and photos")
    return parser


def command_line() -> str:
    """Return the command line without the places of files."""
    places = ("--work", "--json", "--markdown", "--data")
    words = [word for at, word in enumerate(sys.argv[1:]) if not {word, sys.argv[at]} & set(places)]
    return " ".join(["python -m benchmarks.int8", *words])


def _draws(text: str) -> int:
    if not 1 <= (value := int(text)) <= STEP:
        raise argparse.ArgumentTypeError(f"must be 1 to {STEP}")
    return value


if __name__ == "__main__":
    sys.exit(main())
