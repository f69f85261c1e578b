"""Which way of teaching a network one's own classes is the best? Every method gets the same photos and is judged alike.

    .venv/bin/python -m benchmarks.teaching [--sets hand-signs,...] [--sizes 10,30,100,500] [--seeds 0,1,2,3,4]
        [--methods linear,today,adamw,auto] [--resolution 96] [--threads N] [--json FILE] [--data ../shared/data]

It prints a table of the accuracy on the judged photos: mean and spread over the seeds, and the time of a training. The
goal of `auto` follows: at every set and size at most half a point worse than the best other method, and one point
better on the mean of all. Every result is kept in the cache folder, so a run that was stopped continues, and --report
prints what is there; results of older versions of a method do not count. A set whose photos this machine cannot get is
left out with a reason. benchmarks/README.md says what the sets are, and why their judged photos are independent. The
exit status is 0 even if the goal is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.classifying.methods import METHODS, MINUTES, VERSIONS, Lesson
from benchmarks.classifying.photo_sets import SETS, VERSION
from benchmarks.classifying.results import Goal, Kept, Result, cells, judge, table
from benchmarks.classifying.sources import Place
from benchmarks.classifying.split import limited, sizes_of, write_folder
from benchmarks.options import names_of
from benchmarks.teaching_options import teaching_parser
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.files import cache_folder

SCHEMA = "edgenet.benchmark.teaching.v1"
SIZES = (10, 30, 100, 500)
SEEDS = (0, 1, 2, 3, 4)
JUDGED_METHOD = "auto"
RESULTS = "results.jsonl"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to run; every combination of these is one training."""

    sets: tuple[str, ...]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    resolution: int
    again: bool = False
    minutes: float = MINUTES


def main() -> int:
    """Run what is missing and print the table; return the exit status."""
    options = _parser().parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
    plan = Plan(
        options.sets,
        options.sizes,
        options.seeds,
        options.methods,
        options.resolution,
        options.again,
        options.minutes,
    )
    place = Place(options.data.resolve(), (options.cache or cache_folder() / "teaching-benchmark").resolve())
    work = place.cache / f"version-{VERSION}"
    try:
        if not options.report:
            run(plan, place, work)
    except (EdgenetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the results so far are kept, and the same command continues", file=sys.stderr)
        return 130
    results = chosen(Kept(work / RESULTS).read().values(), plan)
    found = cells(results)
    goal = judge(found, JUDGED_METHOD)
    print(table(found, plan.methods))
    for lines in (set_lines(plan.sets), goal_lines(goal), int8_lines(results)):
        print("\n" + "\n".join(lines))
    if options.json:
        report = {
            "schema": SCHEMA,
            "plan": dataclasses.asdict(plan),
            "sets": set_lines(plan.sets),
            "cells": [dataclasses.asdict(cell) for cell in found],
            "goal": {"overall": goal.overall, "missed": goal.missed, "reached": goal.reached},
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def run(plan: Plan, place: Place, work: Path) -> None:
    """Make and judge every classifier of the plan that is not kept yet, those with the fewest photos first.

    Args:
        plan: what to run.
        place: where the photos come from.
        work: the folder of prepared photos and kept results.
    """
    kept = Kept(work / RESULTS)
    reasons: dict[str, str] = {}
    for size in plan.sizes:
        for seed in plan.seeds:
            for name in plan.sets:
                missing = _missing(plan, kept, name, size, seed)
                if not missing or name in reasons:
                    continue
                try:
                    split_and_teach((name, size, seed), missing, plan, place, work)
                except EdgenetError as error:
                    reasons[name] = str(error)
                    _say(f"{name} is left out: {error}")


def _missing(plan: Plan, kept: Kept, name: str, size: int, seed: int) -> list[str]:
    done = set() if plan.again else set(kept.read())
    return [
        method
        for method in plan.methods
        if (name, size, seed, method, plan.resolution, VERSIONS.get(method, 1)) not in done
    ]


def split_and_teach(
    cell: tuple[str, int, int], methods: Sequence[str], plan: Plan, place: Place, work: Path
) -> None:
    """Make the folders of one set, size and seed, teach every method with them, and keep the results.

    A size for which the set has no more photos than for a smaller one is left out.

    Raises:
        EdgenetError: the set's photos cannot be had.
    """
    name, size, seed = cell
    chosen_set = SETS[name]
    split = chosen_set.split(place, seed)
    if size not in sizes_of(split, sorted({*SIZES, size})):
        return
    folder = work / "sets" / name
    training = limited(split.training, size)
    photos = write_folder(folder / f"train-{size}-{seed}", training, chosen_set.classes, split.read)
    judged = write_folder(folder / f"judged-{seed}", split.judged, chosen_set.classes, split.read)
    for method in methods:
        run_folder = work / "runs" / f"{name}-{size}-{seed}-{method}-{plan.resolution}"
        shutil.rmtree(run_folder, ignore_errors=True)  # the unfinished training of a run that was killed
        run_folder.mkdir(parents=True)
        lesson = Lesson(photos, plan.resolution, seed, run_folder, plan.minutes)
        try:
            result = teach_and_judge(cell, method, lesson, judged, len(training))
        except EdgenetError as error:
            _say(f"{name}, {size} a class, seed {seed}: {method} is left out: {error}")
            continue
        finally:
            shutil.rmtree(run_folder, ignore_errors=True)
        Kept(work / RESULTS).add(result)
        _say(f"{name}, {size} a class, seed {seed}: {method} {result.top1:.1f} % in {result.seconds:.0f} s")


def teach_and_judge(
    cell: tuple[str, int, int], method: str, lesson: Lesson, judged: Path, training: int
) -> Result:
    """Teach by one method and judge the classifier; only the teaching is timed."""
    began = time.perf_counter()
    taught = METHODS[method](lesson)
    seconds = time.perf_counter() - began
    photos = open_photos(judged)
    loaded = load_all(photos, lesson.resolution)
    if loaded.skipped:
        raise EdgenetError(f"{len(loaded.skipped)} judged photos cannot be read", "remove the cache folder")

    def top1(scores: NDArray[np.float32], names: Sequence[str]) -> float:
        known = [names.index(label) for label in photos.class_names]
        right = scores[:, known].argmax(axis=1) == np.array(loaded.labels)
        return round(100 * float(right.mean()), 3)

    details = dict(taught.details)
    if taught.int8 is not None:
        details["int8_top1"] = top1(taught.int8.score(loaded.images), taught.int8.class_names)
    return Result(
        *cell,
        method=method,
        resolution=lesson.resolution,
        photos=training,
        n=len(loaded.labels),
        top1=top1(taught.score(loaded.images), taught.class_names),
        seconds=round(seconds, 1),
        details=details,
        version=VERSIONS.get(method, 1),
    )


def chosen(results: Iterable[Result], plan: Plan) -> list[Result]:
    """Return the results of the current methods that belong to the plan, in the order of its sets."""
    own = [
        one
        for one in results
        if one.size in plan.sizes
        and one.seed in plan.seeds
        and one.method in plan.methods
        and one.set in plan.sets
        and one.resolution == plan.resolution
        and one.version == VERSIONS.get(one.method, 1)
    ]
    return sorted(own, key=lambda one: (plan.sets.index(one.set), one.size, one.seed))


def goal_lines(goal: Goal) -> list[str]:
    """Return the goal and how far it is reached, in words."""
    if goal.overall is None:
        return [
            f"The goal of {JUDGED_METHOD} is not judged: it has no seed in common with the other methods."
        ]
    lines = [
        f"{name}, {size} a class: {JUDGED_METHOD} is {gap:+.1f} points from the best other method"
        + (" (missed)" if (name, size) in goal.missed else "")
        for (name, size), gap in goal.gaps.items()
    ]
    state = "reached" if goal.reached else "missed"
    return [
        *lines,
        f"mean over {len(goal.gaps)} sets and sizes: {goal.overall:+.2f} points; the goal is {state}.",
    ]


def int8_lines(results: Sequence[Result]) -> list[str]:
    """Return how many points the int8 files lose on the judged photos: the mean, and the worst mean of a cell."""
    losses: dict[tuple[str, int], list[float]] = {}
    for one in results:
        if (int8 := one.details.get("int8_top1")) is not None:
            losses.setdefault((one.set, one.size), []).append(one.top1 - int8)
    if not losses:
        return []
    means = {place: float(np.mean(own)) for place, own in losses.items()}
    (name, size), worst = max(means.items(), key=lambda item: item[1])
    overall = float(np.mean(list(means.values())))
    return [f"int8 loses {overall:.2f} points on the mean, at most {worst:.2f} ({name}, {size} a class)."]


def set_lines(names: Sequence[str]) -> list[str]:
    """Return a line for each set: what is judged, and whether the set flatters frozen features."""
    kinds = {True: "of ImageNet's kind, which flatters frozen features", False: "not of ImageNet's kind"}
    return [f"{name} is judged on {SETS[name].judged}; {kinds[SETS[name].imagenet]}." for name in names]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = teaching_parser("benchmarks.teaching", __doc__, SIZES, SEEDS)
    add = parser.add_argument
    add(
        "--methods",
        type=names_of(tuple(METHODS)),
        default=tuple(METHODS),
        help=f"default: {','.join(METHODS)}",
    )
    add("--minutes", type=float, default=MINUTES, help="time that `auto` may take (default: %(default)g)")
    add("--again", action="store_true", help="run also what is already kept; the new results replace the old")
    add("--json", type=Path, metavar="FILE", help="write the table as JSON")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(main())
