"""Training on CIFAR-10, to int8 files: the accuracy that two cores reach, and the time that it takes.

    .venv/bin/python -m benchmarks.cifar [PART...] [--work FOLDER] [--json FILE] [--data ../shared/data]

The parts are:
budget: a network of at most 25 M mult-adds, trained for 30 minutes;
zoo: four architectures, trained briefly;
qat: quantization-aware training of V1 0.25 beside the post-training recipes;
fine-tuning: V2 with ImageNet weights on 10 classes x 100 photos, briefly and long;
narrowing: the same for two widths without weights of their own, from the channels of V2 1.0 with the largest norm,
beside random weights;
sweep: a small `edgenet sweep`;
select: `edgenet select` among the same networks, beside docs/cifar-sweep.csv.
Accuracy is that of all 10,000 test photos (2,000 for the last four). The test photos train, calibrate and choose
nothing, except in `select`, whose purpose is to choose. int8 files run in LiteRT. --work keeps every result, so an
interrupted run can continue. All parts take two hours on two cores.
Needs `make setup`, and the data named in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.selecting import TABLE
from benchmarks.selecting import read as read_table
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.training.processes import TrainingStopped
from edgenet.training.state import STATE_FILE
from edgenet.workflows.convert import convert
from edgenet.workflows.evaluate import evaluate
from edgenet.workflows.select import select
from edgenet.workflows.sweep import sweep
from edgenet.workflows.train import TrainingOptions, resume_training, train
from edgenet.workflows.training_result import Training
from edgenet.zoo.checkpoint import save_checkpoint
from edgenet.zoo.pretrained import narrowed
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import parse_variant

SCHEMA = "edgenet.benchmark.cifar.v1"
PHOTOS = "cifar10-images.zip"
MINUTES = 30
FEW = {"train": 100, "test": 200}
"""Photos of each class to fine-tune with, and to judge with after each epoch."""

LIGHT: dict[str, Any] = {"crop_scale": 0.6, "colour": 0.0}
BUDGET: dict[str, Any] = {
    "epochs": 4, "batch": 64, "learning_rate": 0.01, "warmup_epochs": 0.3, "ema_decay": 0.995, "weight_decay": 1e-4,
    "freeze_epochs": 0, **LIGHT,
}  # fmt: skip
BRIEF = TrainingOptions(epochs=5, learning_rate=0.15, weight_decay=5e-4, progressive=True, **LIGHT)

V1 = "mobilenet_v1_0.25_48"
ZOO = (
    V1,
    "mobilenet_v2_0.35_48",
    "mobilenet_v3_small_minimalistic_1.0_48",
    "mobilenet_v4_conv_small_1.0_48",
)
FINE_TUNED = "mobilenet_v2_1.0_96"
# The network that is narrowed, and the widths; the smaller side keeps the part short.
FULL_WIDTH, NARROW = "mobilenet_v2_1.0_224", ("mobilenet_v2_0.9_48", "mobilenet_v2_0.5_48")
SMALL = {"train": 1000, "test": 200}
GRID: dict[str, Any] = {"widths": (1.0, 0.75, 0.5, 0.25), "resolutions": (64, 48, 40, 32), "recipe": "fast"}
SWEEP = TrainingOptions(epochs=3, batch=64, learning_rate=0.05, warmup_epochs=0.3, ema_decay=0.98, **LIGHT)


@dataclass(frozen=True)
class Place:
    """Places of photos and results, and the latency budget of `select`.

    How many networks fit the budget depends on the machine.
    """

    photos: Path
    work: Path
    budget_ms: float


@dataclass(frozen=True)
class Row:
    """An int8 file compared with the float network from which it was made.

    Attributes:
        made: the recipe or training that made it.
        n: number of test photos.
        float_top1, top1, agreement: percent of the test photos.
        drop: float_top1 - top1, points.
        interval: 95 % confidence interval of `drop`.
    """

    made: str
    n: int
    float_top1: float
    top1: float
    drop: float
    interval: tuple[float, float]
    agreement: float


def main() -> int:
    """Run the requested parts; return the exit status."""
    options = _parser().parse_args()
    parts = options.parts or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        print(f"there is no part '{unknown[0]}'; choose from {', '.join(PARTS)}", file=sys.stderr)
        return 1
    report: dict[str, Any] = {"schema": SCHEMA, "load_before": os.getloadavg()[0]}
    try:
        with tempfile.TemporaryDirectory(prefix="edgenet-cifar-") as spare:
            work = (options.work or Path(spare)).resolve()
            place = Place(options.data.resolve() / PHOTOS, work, options.budget_ms)
            for part in parts:
                report[part] = PARTS[part](place)
                print(json.dumps({part: report[part]}, indent=1), flush=True)
    except (EdgenetError, TrainingStopped) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def budget(place: Place) -> dict[str, Any]:
    """Train a network of at most 25 M mult-adds for 30 minutes, from ImageNet weights."""
    options = TrainingOptions(pretrained="imagenet", **BUDGET)
    facts = trained("mobilenet_v2_1.0_64", place.photos, place.work / "budget", options)
    return facts | {"goal_minutes": MINUTES, "int8": [dataclasses.asdict(_row(place, facts, "balanced"))]}


def zoo(place: Place) -> dict[str, Any]:
    """Train four architectures."""
    found = {}
    for variant in ZOO:
        facts = trained(variant, place.photos, place.work / variant, BRIEF)
        found[variant] = facts | {"int8": [dataclasses.asdict(_row(place, facts, "balanced"))]}
    return found


def qat(place: Place) -> dict[str, Any]:
    """Compare quantization-aware training with the recipes, at width 0.25."""
    facts = trained(V1, place.photos, place.work / V1, BRIEF)
    rows = [_row(place, facts, recipe) for recipe in ("minmax", "fast", "balanced", "best")]
    options = TrainingOptions(pretrained=facts["out"], qat=True, recipe="balanced", epochs=1, **LIGHT)
    tuned = trained(V1, place.photos, place.work / f"{V1}-qat", options)
    rows.append(_judged(place, facts["out"], tuned["out"], "quantization-aware training"))
    return facts | {"int8": [dataclasses.asdict(row) for row in rows], "training": tuned}


def fine_tuning(place: Place) -> dict[str, Any]:
    """Fine-tune ImageNet weights on few photos: for the default number of epochs, and for three times as many."""
    photos = first_of_each(place.photos, place.work / "few", FEW)
    runs = {"brief": None, "full": 30}
    found = {
        name: trained(
            FINE_TUNED,
            photos,
            place.work / f"few-{name}",
            TrainingOptions(pretrained="imagenet", epochs=epochs),
        )
        for name, epochs in runs.items()
    }
    return found | {"share": found["brief"]["top1"] / found["full"]["top1"]}


def narrowing(place: Place) -> dict[str, Any]:
    """Train networks of other widths on few photos: from the channels of a wider network, and from random weights."""
    photos = first_of_each(place.photos, place.work / "few", FEW)
    wide = load_network(FULL_WIDTH)
    found = {}
    for name in NARROW:
        start = place.work / f"{name}-start.safetensors"
        save_checkpoint(start, narrowed(wide, parse_variant(name)))
        for kind, pretrained in (("narrowed", start), ("random", None)):
            options = TrainingOptions(pretrained=pretrained, epochs=10)
            found[f"{name} {kind}"] = trained(name, photos, place.work / f"{name}-{kind}", options)
    return found


def sweeping(place: Place) -> dict[str, Any]:
    """Run a small sweep: the paper's four widths, four resolutions for photos of 32 pixels, a fifth of the photos."""
    photos = first_of_each(place.photos, place.work / "cifar10-1000-each", SMALL)
    found = sweep(photos, place.work / "sweep", **GRID, training=SWEEP, log=_say)
    return {"rows": [dataclasses.asdict(row) for row in found.rows], "files": found.files}


def selecting(place: Place) -> dict[str, Any]:
    """Compare `select` with the sweep's table: which of the fitting networks it finds, with how much training."""
    photos = first_of_each(place.photos, place.work / "cifar10-1000-each", SMALL)
    found = select(photos, place.work / "select", budget_ms=place.budget_ms, **GRID, training=SWEEP, log=_say)
    _, swept = read_table(TABLE)
    fitting = {candidate.name: swept[candidate.name] for candidate in found.candidates if candidate.fits}
    best = max(fitting, key=lambda name: fitting[name])
    whole = sum(candidate.mult_adds for candidate in found.candidates)
    return {
        "budget_ms": place.budget_ms,
        "fitting": len(fitting),
        "trained": {made.variant: made.int8_top1 for made in found.trained},
        "stopped": found.stopped,
        "chosen": {
            "variant": found.best.variant,
            "top1": found.best.int8_top1,
            "p50_ms": found.candidate.p50_ms,
        },
        "swept": {"best": best, "top1": fitting[best], "chosen": swept[found.best.variant]},
        "share_of_training": sum(made.mult_adds for made in found.trained) / whole,
    }


PARTS: dict[str, Callable[[Place], dict[str, Any]]] = {
    "budget": budget,
    "zoo": zoo,
    "qat": qat,
    "fine-tuning": fine_tuning,
    "narrowing": narrowing,
    "sweep": sweeping,
    "select": selecting,
}


def trained(variant: str, photos: Path, out: Path, options: TrainingOptions) -> dict[str, Any]:
    """Train in the folder `out`, or return the facts of an earlier training; the time includes reading the photos.

    The fact "out" is the path of the checkpoint.

    Raises:
        EdgenetError: there are no such photos, or the network cannot be trained.
        TrainingStopped: a signal came.
    """
    kept = out / "facts.json"
    if kept.is_file():
        facts: dict[str, Any] = json.loads(kept.read_text())
        return facts
    whole = not (out / STATE_FILE).exists()
    began = time.perf_counter()
    found = (
        train(variant, photos, out, options=options, log=_say) if whole else resume_training(out, log=_say)
    )
    assert found is not None
    facts = _facts(found) | {"seconds": round(time.perf_counter() - began, 1) if whole else None}
    write_atomically(kept, (json.dumps(facts, indent=1) + "\n").encode())
    return facts


def _facts(found: Training) -> dict[str, Any]:
    names = ("out", "variant", "mult_adds", "parameters", "training_photos", "n", "top1")
    facts = {name: getattr(found, name) for name in names}
    facts |= {"photos_per_s": round(found.photos_per_s, 1), "waiting_percent": round(found.waiting, 2)}
    if found.int8 is not None:
        facts["sameness"] = dataclasses.asdict(found.int8.sameness)
    return facts


def _row(place: Place, facts: dict[str, Any], recipe: str) -> Row:
    """Convert a checkpoint with 100 training photos and judge the file."""
    out = Path(facts["out"])
    model = out.with_name(f"{out.stem}.{recipe}.tflite")
    if not model.is_file():
        training = open_photos(place.photos, split="train")
        convert(str(out), model, calibration=training, recipe=recipe)
    return _judged(place, str(out), str(model), recipe)


def _judged(place: Place, real: str, int8: str, made: str) -> Row:
    found = evaluate([real, int8], place.photos, split="test")
    first, second = found.models
    paired = second.against_first
    assert paired is not None
    interval = (round(paired.interval.low, 2), round(paired.interval.high, 2))
    _say(f"{made}: {Path(int8).name} {second.top1:.2f} %, float {first.top1:.2f} %")
    return Row(
        made,
        found.n,
        round(first.top1, 2),
        round(second.top1, 2),
        round(paired.drop, 2),
        interval,
        round(second.agreement, 2),
    )


def first_of_each(archive: Path, folder: Path, counts: dict[str, int]) -> Path:
    """Return a folder with the first `counts[split]` photos of every class in each split of a zip, made if missing."""
    if not folder.is_dir():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for split, count in counts.items():
            photos = open_photos(archive, split=split)
            seen: dict[int | None, int] = {}
            for index, (photo, label) in enumerate(zip(photos.names, photos.labels, strict=True)):
                seen[label] = seen.get(label, 0) + 1
                if seen[label] <= count:
                    path = unfinished / split / photos.class_names[label or 0] / Path(photo).name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(photos.read_bytes(index))
        unfinished.rename(folder)
    return folder


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.cifar", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument(
        "--work", type=Path, help="keep everything here, and continue with what is already here"
    )
    parser.add_argument(
        "--budget-ms", type=float, default=0.15, help="latency budget of `select` (default: 0.15)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the zip"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
