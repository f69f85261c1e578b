"""What does int8 cost, recipe by recipe and beside other tools? Real weights, photos that did not calibrate, LiteRT.

    .venv/bin/python -m benchmarks.int8 --peers [--networks v1,v2,lite0] [--recipes fast,balanced,best,minmax]
        [--draws 3] [--work FOLDER] [--again] [--json FILE] [--data ../shared/data]

Every file is made by a process of its own, whose time and memory are measured, and judged by running it in
LiteRT: see benchmarks/README.md for what is counted how. With --work the files are kept and used again as
long as code and inputs are the same, so that a run can be broken off and go on; --again makes them anew, for
times on a quiet machine, and tells whether they come out the same. Exit status 0, whether goals are met or
missed, and 1 where it could not run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.quantizing import networks
from benchmarks.quantizing.contenders import (
    Contender,
    float_contender,
    keras_float,
    our_name,
    peers,
    recipe_contender,
)
from benchmarks.quantizing.conversions import Converted, Workshop, convert
from benchmarks.quantizing.goals import CALIBRATION_DATA, Goal, judge_goals
from benchmarks.quantizing.inputs import FEW_NAME, STEP, draw_name
from benchmarks.quantizing.networks import Network, open_network
from benchmarks.quantizing.rows import Row
from benchmarks.quantizing.tables import table
from edgenet.errors import EdgenetError

SCHEMA = "edgenet.benchmark.int8.v1"
RECIPES = ("fast", "balanced", "best", "minmax")


@dataclass(frozen=True)
class Plan:
    """What is to be done, as the command line says it."""

    networks: tuple[str, ...]
    recipes: tuple[str, ...]
    sensitivity: tuple[str, ...]
    draws: int
    with_peers: bool
    latency: bool
    data: Path


def main() -> int:
    """Runs the benchmark; 0, or 1 with one line that says what to do."""
    options = _parser().parse_args()
    sensitivity = tuple(recipe for recipe in options.sensitivity if recipe in options.recipes)
    plan = Plan(
        networks=options.networks,
        recipes=options.recipes,
        sensitivity=sensitivity,
        draws=options.draws,
        with_peers=options.peers,
        latency=options.latency,
        data=options.data.resolve(),
    )
    try:
        with tempfile.TemporaryDirectory(prefix="edgenet-int8-") as spare:
            report = run(plan, (options.work or Path(spare)).resolve(), options.again)
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")
    except (EdgenetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table(report))
    return 0


def run(plan: Plan, work: Path, again: bool) -> dict[str, Any]:
    """Converts everything, then judges everything.

    Args:
        work: folder for inputs and files.
        again: make files anew that are there.

    Raises:
        EdgenetError: data are missing, an environment cannot be made, or a float file cannot.
    """
    load = os.getloadavg()[0]  # before our own work adds to it
    inputs = work / "inputs"
    _prepare(plan, inputs)
    opened = {key: open_network(key, plan.data, inputs) for key in plan.networks}
    workshop = Workshop(work / "files", again)
    floats, references = _floats(plan, opened, workshop, inputs)
    made = _convert_all(plan, opened, workshop, inputs, floats)
    return {"schema": SCHEMA, "load_before": load, "plan": _plain(plan)} | _judge_all(
        opened, inputs, floats, references, made
    )


def _prepare(plan: Plan, inputs: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.quantizing.inputs", str(plan.data), str(inputs)]
    done = subprocess.run([*command, *plan.networks], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise EdgenetError((done.stderr.strip().splitlines() or ["the inputs could not be made"])[-1])


def _floats(
    plan: Plan, opened: dict[str, Network], workshop: Workshop, inputs: Path
) -> tuple[dict[str, Path], list[Converted]]:
    """Our float file of every network, and with the peers Keras' too, as a check that it is the same network."""
    photos, name = inputs / draw_name(0), draw_name(0)
    floats = {}
    for key, network in opened.items():
        made = convert(workshop, float_contender(), network, photos, name)
        if made.path is None:
            raise EdgenetError(f"{network.title} cannot be converted to float: {made.error}")
        floats[key] = made.path
    if not plan.with_peers:
        return floats, []
    keras = keras_float()
    taken = [network for network in opened.values() if keras.takes(network)]
    return floats, [convert(workshop, keras, network, photos, name) for network in taken]


def _convert_all(
    plan: Plan, opened: dict[str, Network], workshop: Workshop, inputs: Path, floats: dict[str, Path]
) -> list[Converted]:
    """Every int8 file, the contenders in turns, so that a slow spell of the machine hits all of them."""
    ours = [recipe_contender(recipe) for recipe in plan.recipes]
    others = peers(floats) if plan.with_peers else ()
    draws = [draw_name(draw) for draw in range(plan.draws)]
    made = []
    for network in opened.values():
        for draw in draws:
            for one in (*ours, *others):
                if one.takes(network):
                    made.append(convert(workshop, one, network, inputs / draw, draw))
        for one in _sensitive(ours, plan.sensitivity):
            made.append(convert(workshop, one, network, inputs / FEW_NAME, FEW_NAME))
            made.append(convert(workshop, one, network, ROOT / CALIBRATION_DATA, CALIBRATION_DATA))
    return made


def _sensitive(ours: Sequence[Contender], recipes: Sequence[str]) -> list[Contender]:
    return [one for one in ours if one.recipe in recipes]


def _judge_all(
    opened: dict[str, Network],
    inputs: Path,
    floats: dict[str, Path],
    references: Sequence[Converted],
    made: Sequence[Converted],
) -> dict[str, Any]:
    """The report's rows, references and goals."""
    # Imported only now: what this process holds when it starts another counts as that one's peak memory.
    from benchmarks.quantizing.judging import judge_file, open_judge
    from benchmarks.tflite_files import operators

    rows: list[Row] = []
    checks: list[Row] = []
    for key, network in opened.items():
        judge = open_judge(network, inputs, floats[key])
        checks += [judge_file(judge, one, False) for one in references if one.network == key]
        for one in (one for one in made if one.network == key):
            ours = one.contender.startswith(our_name(""))
            rows.append(judge_file(judge, one, ours and one.photos == draw_name(0)))
    float_operators = {key: sum(operators(path).values()) for key, path in floats.items()}
    goals: list[Goal] = judge_goals(rows, float_operators)
    return {
        "networks": {
            key: {"title": one.title, "float_operators": float_operators[key]} for key, one in opened.items()
        },
        "references": [dataclasses.asdict(row) for row in checks],
        "rows": [dataclasses.asdict(row) for row in rows],
        "goals": [dataclasses.asdict(goal) for goal in goals],
    }


def _plain(plan: Plan) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in vars(plan).items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.int8", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--networks", type=_names(networks.KEYS), default=networks.KEYS, help="default: v1,v2,lite0")
    add("--recipes", type=_names(RECIPES), default=RECIPES, help=f"default: {','.join(RECIPES)}")
    add(
        "--sensitivity",
        type=_names(RECIPES),
        default=("balanced",),
        help=f"recipes to try with {FEW_NAME} and calibration_data/ too (default: balanced)",
    )
    add("--draws", type=_draws, default=3, help="disjoint calibration sets of 100 photos (default 3)")
    add("--peers", action="store_true", help="other tools too (the first time: 2 GB of packages)")
    add("--work", type=Path, help="keep files here, and use those that are there")
    add("--again", action="store_true", help="make files anew that --work holds, for their times")
    add("--json", type=Path, metavar="FILE", help="write the report")
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="weights and photos")
    return parser


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"there is no '{unknown[0]}', choose from {','.join(known)}")
        return names

    return parse


def _draws(text: str) -> int:
    if not 1 <= (value := int(text)) <= STEP:
        raise argparse.ArgumentTypeError(f"must be 1 to {STEP}")
    return value


if __name__ == "__main__":
    sys.exit(main())
