"""How close does int8 stay to the float network if only a few photos calibrate?

    .venv/bin/python -m benchmarks.few_photos [--networks v1,v2,lite0] [--recipes minmax,balanced] [--photos 1,8,32]
        [--data ../shared/data] [--work FOLDER]

Photos of draw 0 calibrate, evenly spread over it. LiteRT runs the file on the 300 photos of draws 1, 2 and 3, so that
draw 4 stays unseen by whoever improves the recipes (benchmarks/README.md explains the draws).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.environments import ROOT
from benchmarks.options import names_of
from benchmarks.quantizing import networks
from benchmarks.quantizing.inputs import JUDGED
from benchmarks.quantizing.plan import prepare_inputs
from edgenet.data.loading import evenly
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.progress import silent
from edgenet.quantize.quantization_errors import logit_errors, sqnr_db
from edgenet.quantize.recipes import RECIPES, fixed_torch_threads
from edgenet.tflite.from_graph import int8_program
from edgenet.workflows.calibration import lite_logits
from edgenet.workflows.sources import SourceOptions, open_source

JUDGING_DRAWS = (1, 2, 3)


def main() -> int:
    """Print a table; return the exit status."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="edgenet-few-") as spare:
            inputs = (options.work or Path(spare)).resolve()
            prepare_inputs(options.data.resolve(), inputs, options.networks)
            print(
                "| network | photos | recipe | agrees | KL | SQNR | worst 5 % |\n|---|---|---|---|---|---|---|"
            )
            for key in options.networks:
                known = networks.open_network(key, options.data.resolve(), inputs)
                graph = lower(_opened(known), exact_border=False)
                with fixed_torch_threads():
                    _judge(known, graph, options.photos, options.recipes)
    except (EdgenetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.few_photos", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add(
        "--networks", type=names_of(networks.IMAGENET), default=networks.STANDARD, help="default: v1,v2,lite0"
    )
    add(
        "--recipes",
        type=names_of(tuple(RECIPES)),
        default=("minmax", "balanced"),
        help="default: minmax,balanced",
    )
    add("--photos", type=_counts, default=(1, 8, 32), metavar="N,...", help="default: 1,8,32")
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="weights and photos")
    add("--work", type=Path, metavar="FOLDER", help="keep the networks and photos here for the next run")
    return parser


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _opened(known: networks.Network) -> Graph:
    given = dict(zip(known.options[::2], known.options[1::2], strict=True))
    options = SourceOptions(None, given.get("--normalization"), given.get("--labels"), None, None, None)
    return open_source(known.source, options, silent).graph


def _judge(known: networks.Network, graph: Graph, counts: tuple[int, ...], recipes: tuple[str, ...]) -> None:
    with np.load(known.photos / JUDGED) as stored:
        images, draws = stored["images"], stored["draws"]
    calibrating, judging = images[draws == 0], images[np.isin(draws, JUDGING_DRAWS)]
    real = run(graph, judging)
    for count in counts:
        some = calibrating[evenly(len(calibrating), count)]
        for recipe in recipes:
            program = int8_program(RECIPES[recipe].quantize(graph, some, silent))
            given = lite_logits(program, judging)
            errors, noise = logit_errors(given, real), float(np.square(real - given.astype(np.float64)).sum())
            decibels = sqnr_db(float(np.square(real.astype(np.float64)).sum()), noise)
            agreed = f"{100 * errors.agreeing / len(real):.2f} %"
            figures = f"{agreed} | {errors.kl:.4f} | {decibels:.1f} dB | {errors.worst_db:.1f} dB"
            print(f"| {known.key} | {count} | `{recipe}` | {figures} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
