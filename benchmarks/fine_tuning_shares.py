"""How much fine-tuning would be right for each set of photos, and how much does the rule of `edgenet train` take?

    .venv/bin/python -m benchmarks.fine_tuning_shares [--sets hand-signs,...] [--sizes 10,30] [--seeds 0,1,2]
        [--resolution 96] [--threads N] [--report] [--data ../shared/data]

The photos and splits are those of `benchmarks.teaching`. Photos that are held out in turns judge each share of the
fine-tuning, as in `edgenet train --data`, and then every share is judged by the set's independent photos, which the
rule never sees. So the table tells what the rule of `edgenet.teaching.mixture` takes, and what the best share would
have given. Every training is kept in the cache folder, with the loss of each photo held out, so that --report judges a
changed rule without training again. There is no limit of time: each fine-tuning has all of its steps.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.classifying.methods import network_scores
from benchmarks.classifying.photo_sets import SETS, VERSION
from benchmarks.classifying.results import add_line, read_lines
from benchmarks.classifying.sources import Place
from benchmarks.classifying.split import limited, sizes_of, write_folder
from benchmarks.teaching_options import teaching_parser
from edgenet.data.groups import group_photos
from edgenet.data.loading import load_all
from edgenet.data.photos import PhotoSet, open_photos
from edgenet.errors import EdgenetError
from edgenet.files import cache_folder
from edgenet.progress import no_log, silent
from edgenet.teaching.finetuning import blend
from edgenet.teaching.mixture import SHARES, CrossFit, worthwhile
from edgenet.training.processes import StopRequest
from edgenet.workflows.teach_stages import (
    Course,
    Head,
    Options,
    familiarity_of,
    features_at,
    fine_tuning,
    judge_head,
    tuned,
)
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.readers import load_network

KEPT = "shares.jsonl"
SIZES = (10, 30, 100, 500)
_A_DAY = 86400.0


@dataclass(frozen=True)
class Shares:
    """One fine-tuning, judged at every share.

    Attributes:
        set, size, seed, resolution: what was trained; see `benchmarks.teaching`.
        familiar: how familiar the photos are to the pretrained network.
        steps: the number of steps.
        losses: the cross-entropy of each photo held out, for each of `SHARES`.
        top1: percent of the independent photos that are right, for each of `SHARES`.
        loss: the mean cross-entropy of the independent photos, for each of `SHARES`.
    """

    set: str
    size: int
    seed: int
    resolution: int
    familiar: float
    steps: int
    losses: list[list[float]]
    top1: list[float]
    loss: list[float]

    @property
    def key(self) -> tuple[str, int, int, int]:
        """What no two results have in common."""
        return self.set, self.size, self.seed, self.resolution


def main() -> int:
    """Train what is missing and print the table; return the exit status."""
    options = teaching_parser("benchmarks.fine_tuning_shares", __doc__, (10, 30), (0, 1, 2)).parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
    place = Place(options.data.resolve(), (options.cache or cache_folder() / "teaching-benchmark").resolve())
    work = place.cache / f"version-{VERSION}"
    kept = work / KEPT
    cells = [(name, size, seed) for size in options.sizes for seed in options.seeds for name in options.sets]
    try:
        for cell in [] if options.report else cells:
            if (*cell, options.resolution) not in read(kept):
                train(cell, options.resolution, place, work)
    except KeyboardInterrupt:
        print("stopped; the results so far are kept, and the same command continues", file=sys.stderr)
        return 130
    found = read(kept)
    print(table([found[key] for cell in cells if (key := (*cell, options.resolution)) in found]))
    return 0


def read(path: Path) -> dict[tuple[str, int, int, int], Shares]:
    """Return the results in a file by their key; broken lines are passed over."""
    return {one.key: one for one in read_lines(path, Shares)}


def train(cell: tuple[str, int, int], resolution: int, place: Place, work: Path) -> None:
    """Fine-tune with the photos of one set, size and seed, judge every share, and keep the result in the folder.

    A size for which the set has no more photos than for a smaller one is left out.
    """
    name, size, seed = cell
    try:
        split = SETS[name].split(place, seed)
    except EdgenetError as error:
        _say(f"{name} is left out: {error}")
        return
    if size not in sizes_of(split, sorted({*SIZES, size})):
        return
    folder, classes = work / "sets" / name, SETS[name].classes
    photos = write_folder(folder / f"train-{size}-{seed}", limited(split.training, size), classes, split.read)
    judged = write_folder(folder / f"judged-{seed}", split.judged, classes, split.read)
    began = time.perf_counter()
    options = Options(True, False, False, seed, torch.device("cpu"), began, began + _A_DAY)
    course = Course(work, options, StopRequest(), silent, no_log)
    found = _every_share(course, open_photos(photos), resolution)
    if found is None:
        _say(f"{name}, {size} a class, seed {seed}: fine-tuning was not tried")
        return
    fit, networks, familiar = found
    top1, loss = zip(*(_judge(network, open_photos(judged), resolution) for network in networks), strict=True)
    losses = fit.photo_losses.round(5).tolist()
    result = Shares(
        name, size, seed, resolution, round(familiar, 4), fit.steps, losses, list(top1), list(loss)
    )
    add_line(work / KEPT, asdict(result))
    _say(f"{name}, {size} a class, seed {seed}: {time.perf_counter() - began:.0f} s")


def _every_share(
    course: Course, photos: PhotoSet, resolution: int
) -> tuple[CrossFit, list[LoadedNetwork], float] | None:
    """Fine-tune as `edgenet train --data` does; return the network for each of `SHARES`."""
    network = load_network("mobilenet_v2_1.0_224", resolution)
    features = features_at(course, photos, network)
    groups = group_photos(
        features.plain, features.thumbnails, features.labels, features.photos.names, features.contents
    )
    head: Head = judge_head(network, features, groups, photos.class_names, course.options.seed)
    familiar = familiarity_of(course, head)
    fit, _ = fine_tuning(course, head, groups, photos.class_names, familiar)
    if fit is None:
        return None
    before = head.taught(photos.class_names, "a benchmark")
    after = tuned(course, head, before, replace(fit, share=1.0))
    return fit, [blend(before, after, share) for share in SHARES], familiar


def _judge(network: LoadedNetwork, photos: PhotoSet, resolution: int) -> tuple[float, float]:
    """Return the top-1, percent, and the mean cross-entropy of photos."""
    loaded = load_all(photos, resolution)
    if loaded.skipped:
        raise EdgenetError(f"{len(loaded.skipped)} judged photos cannot be read", "remove the cache folder")
    scores = network_scores(network, loaded.images)
    scores = scores[:, [network.labels.index(label) for label in photos.class_names]]
    labels = np.array(loaded.labels)
    chances = torch.from_numpy(scores).double().log_softmax(dim=1).numpy()
    right = 100 * float((scores.argmax(axis=1) == labels).mean())
    return round(right, 3), round(-float(chances[np.arange(len(labels)), labels].mean()), 5)


def table(results: Sequence[Shares]) -> str:
    """Return a Markdown table: gains that photos held out saw, the accuracy of each share, and what the rule takes."""
    shares = " | ".join(f"{100 * share:.0f} %" for share in SHARES)
    lines = [
        f"| set | photos a class | seed | familiar | gain of all ± error | {shares} | taken | is | best |",
        "|" + "---|" * (len(SHARES) + 8),
    ]
    gaps: list[float] = []
    for one in results:
        losses = np.array(one.losses)
        taken = worthwhile(losses, one.familiar)
        gain, error = _gain(losses)
        truths = " | ".join(f"{value:.1f}" for value in one.top1)
        gaps.append(one.top1[taken] - max(one.top1))
        lines.append(
            f"| {one.set} | {one.size} | {one.seed} | {one.familiar:.2f} | {gain:+.3f} ± {error:.3f} | {truths} "
            f"| {100 * SHARES[taken]:.0f} % | {one.top1[taken]:.1f} | {max(one.top1):.1f} |"
        )
    if gaps:
        lines += [
            "",
            f"On the mean the rule is {np.mean(gaps):+.2f} points from the best share, at worst {min(gaps):+.1f}.",
        ]
    return "\n".join(lines)


def _gain(losses: NDArray[np.float64]) -> tuple[float, float]:
    """Return by how much all of the fine-tuning lowers the mean loss of the photos held out, and the standard error."""
    gains = losses[0] - losses[-1]
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(main())
