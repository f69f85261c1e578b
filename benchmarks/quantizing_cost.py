"""How many CPU seconds and how much memory does quantizing take, recipe by recipe, beside another commit's code?

    .venv/bin/python -m benchmarks.quantizing_cost [--against TREE] [--networks v1,v2,lite0-96]
        [--recipes fast,balanced] [--photos 100] [--rounds 1] [--data ../shared/data] [--work FOLDER]

Every conversion is `edgenet convert` as a process of its own, with one thread, from imports to the written file. With
--against, which names a checkout of another commit (`git worktree add TREE COMMIT`), both trees convert in turns. The
CPU seconds hold on a busy machine within some 10 %, and their ratio within some 5 %. The photos are those of
`calibration_data/`; where more are asked for, each is cut anew at other places. The network vgg16 has random weights.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.environments import ROOT
from benchmarks.options import names_of
from benchmarks.processes import ProcessCost, measure
from benchmarks.quantizing import networks
from benchmarks.quantizing.inputs import write_lite0
from benchmarks.quantizing.plan import prepare_inputs
from edgenet.errors import EdgenetError

LITE0_96, VGG16 = "lite0-96", "vgg16"
KEYS = (*networks.IMAGENET, LITE0_96, VGG16)
RECIPES = ("minmax", "fast", "balanced", "best")
ONE_THREAD = ("env", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "OMP_WAIT_POLICY=passive")
CALIBRATION = ROOT / "calibration_data"


def main() -> int:
    """Print a table of the costs; return the exit status."""
    options = _parser().parse_args()
    trees = [ROOT] if options.against is None else [ROOT, options.against.resolve()]
    try:
        with tempfile.TemporaryDirectory(prefix="edgenet-cost-") as spare:
            work = (options.work or Path(spare)).resolve()
            work.mkdir(parents=True, exist_ok=True)
            photos = photo_folder(work, options.photos)
            sources = {key: _source(key, options.data.resolve(), work) for key in options.networks}
            print(
                "| network and recipe | CPU s | against | ratio | peak, MB | against |\n|---|---|---|---|---|---|"
            )
            for key, source in sources.items():
                for recipe in options.recipes:
                    convert = [*source, "--calibration", str(photos), "--photos", str(options.photos)]
                    command = [*convert, "--recipe", recipe, "--out", str(work / "made.tflite")]
                    costs = in_turns(command, trees, options.rounds, work / "log")
                    print(row(f"{key} `{recipe}`", costs), flush=True)
    except (EdgenetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.quantizing_cost", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--against", type=Path, metavar="TREE", help="a checkout of another commit, to compare with")
    add("--networks", type=names_of(KEYS), default=("v1", "v2", LITE0_96), help=f"of {','.join(KEYS)}")
    add("--recipes", type=names_of(RECIPES), default=("fast", "balanced"), help=f"of {','.join(RECIPES)}")
    add("--photos", type=int, default=100, metavar="N", help="calibration photos (default 100)")
    add("--rounds", type=int, default=1, metavar="N", help="conversions of each kind (default 1)")
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the networks' weights")
    add("--work", type=Path, metavar="FOLDER", help="keep the networks and photos here for the next run")
    return parser


def in_turns(
    command: Sequence[str], trees: Sequence[Path], rounds: int, log: Path
) -> list[list[ProcessCost]]:
    """Run `edgenet convert` with the code of each tree in turns; return each tree's costs."""
    whole = [*ONE_THREAD, sys.executable, "-m", "edgenet", "convert", *command]
    costs: list[list[ProcessCost]] = [[] for _ in trees]
    for _ in range(rounds):
        for tree, found in zip(trees, costs, strict=True):
            found.append(measure(whole, log, tree))
    return costs


def row(name: str, costs: Sequence[Sequence[ProcessCost]]) -> str:
    """Return a row of the table: medians of the CPU seconds and of the peaks, and the ratio of the seconds."""
    seconds = [statistics.median(one.cpu_s for one in found) for found in costs]
    peaks = [statistics.median(one.peak_mib for one in found) * 2**20 / 1e6 for found in costs]
    texts = [f"{value:.1f}" for value in seconds], [f"{value:.0f}" for value in peaks]
    ratio = f"{seconds[0] / seconds[1]:.2f}" if len(seconds) > 1 else ""
    (cpu, *others), (peak, *other_peaks) = texts
    return f"| {name} | {cpu} | {''.join(others)} | {ratio} | {peak} | {''.join(other_peaks)} |"


def photo_folder(work: Path, count: int) -> Path:
    """Return `calibration_data/`, or a folder of `count` cuts of its photos if there are not so many."""
    photos = sorted(CALIBRATION.glob("*.jpg"))
    if count <= len(photos):
        return CALIBRATION
    folder = work / f"photos-{count}"
    folder.mkdir(exist_ok=True)
    places = np.random.default_rng(0)
    for number in range(count):
        picture = cv2.imread(str(photos[number % len(photos)]))
        assert picture is not None
        top, left = (int(places.integers(1, max(2, side // 5))) for side in picture.shape[:2])
        cv2.imwrite(str(folder / f"{number:05d}.png"), picture[top:, left:])
    return folder


def _source(key: str, data: Path, work: Path) -> list[str]:
    """Return the arguments with which `edgenet convert` reads a network, which is written first if it is missing."""
    if key == VGG16:
        code = "import sys; from pathlib import Path; from benchmarks.paper import float_file; "
        command = [sys.executable, "-c", code + "float_file('vgg16_1.0_224', Path(sys.argv[1]))", str(work)]
        subprocess.run(command, cwd=ROOT, check=True)
        return [str(work / "vgg16_1.0_224-float32.tflite")]
    if key == LITE0_96:
        path = work / "efficientnet_lite0_96.onnx"
        if not path.is_file():
            write_lite0(work, path.name, 96)
        return [str(path), *networks.open_network("lite0", data, work).options]
    prepare_inputs(data, work, [key])
    known = networks.open_network(key, data, work)
    return [str(known.source), *known.options]


if __name__ == "__main__":
    sys.exit(main())
