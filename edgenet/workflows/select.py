"""The verb `select`: finds the network with the best int8 accuracy within a budget measured on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from edgenet_device.model_file import open_model

from edgenet.bundle import write_bundle
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.files import make_folder
from edgenet.latency.choosing import Candidate, cost_of_one_more_point, train_promising
from edgenet.latency.reading import read_file
from edgenet.manifest import Accuracy
from edgenet.progress import Progress, Say, silent
from edgenet.tflite.model_file import read_facts
from edgenet.training.job import TrainingData
from edgenet.workflows.calibration import Calibration
from edgenet.workflows.convert import convert
from edgenet.workflows.measuring import measure_on, write_latency
from edgenet.workflows.sweep_plan import (
    LATENCY_FILE,
    TRAINED_FILE,
    Grid,
    SweepOptions,
    TrainedVariant,
    keep,
    keep_settings,
    read_trained,
    settings,
    with_accuracy,
)
from edgenet.workflows.sweep_training import make_variant, model_path, read_photo_split
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.counting import count_variant
from edgenet.zoo.registry import Variant, build

UNTRAINED_FILE = "untrained.json"


@dataclass(frozen=True)
class Budget:
    """The limits that a network must meet.

    Attributes:
        ms: largest median (p50) time of one inference, milliseconds.
        megabytes: largest size of its file, 10**6 bytes; None for no limit.
    """

    ms: float
    megabytes: float | None = None

    def check(self) -> None:
        """Check that the limits are positive numbers.

        Raises:
            EdgenetError: a limit is zero, negative or not a number.
        """
        for name, value in (("ms", self.ms), ("MB", self.megabytes)):
            if value is not None and not value > 0:
                raise EdgenetError(f"the budget is {value} {name}", "give more than 0")

    def holds(self, p50_ms: float, size: int) -> bool:
        """Return whether a network fits the budget.

        Args:
            p50_ms: its median time of one inference, milliseconds.
            size: size of its file, bytes.
        """
        return p50_ms <= self.ms and (self.megabytes is None or size <= self.megabytes * 1e6)

    def words(self) -> str:
        """Return the budget in words, such as "20 ms and 2 MB"."""
        return f"{self.ms:g} ms" + ("" if self.megabytes is None else f" and {self.megabytes:g} MB")


@dataclass(frozen=True)
class Selection:
    """The result of `select`.

    Attributes:
        bundle: path of the best network's bundle.
        best: the best network's accuracy.
        candidate: the best network's latency and size, measured again after training and quantization.
        candidates: all candidates as measured untrained, the fastest first.
        trained: the networks that were trained, in the order of training.
        stopped: why no more networks were trained, in words.
        another_point: estimate of what one more point of accuracy would cost, in words.
    """

    bundle: str
    best: TrainedVariant
    candidate: Candidate
    candidates: tuple[Candidate, ...]
    trained: tuple[TrainedVariant, ...]
    stopped: str
    another_point: str


def select(
    data: Path,
    out: Path,
    budget: Budget,
    grids: Sequence[Grid] = (Grid(),),
    options: SweepOptions = SweepOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
    say: Say = lambda line: None,
) -> Selection:
    """Measure all candidates untrained, train the most promising ones within the budget, and pack the best.

    The best network is measured once more in its final form, because quantization may have removed dead
    channels or doubled noisy ones. If it no longer fits, the next best takes its place.

    The same call, run again, continues where it stopped and reuses everything that is already measured and
    trained.

    Args:
        data: a folder or zip of class folders, as `train` takes it.
        out: folder for the bundle and one subfolder per candidate; made if missing.
        grids: the candidates, one grid for each architecture.
        options: how each candidate is trained and quantized, and the target to measure on.
        say: called with a line for each step, and with the lines of `train`.

    Raises:
        EdgenetError: options or photos are not usable, or differ from those of the first run in this folder;
            the device is lost; no candidate fits the budget, before or after training.
        TrainingStopped: SIGINT or SIGTERM came during training; the same call continues.
    """
    variants = {variant.name: variant for grid in grids for variant in grid.variants()}
    budget.check()
    options.check()
    make_folder(out)
    material = read_photo_split(next(iter(variants.values())), data, options, progress)
    keep_settings(out, settings(options, material.digest))
    candidates = _measured(variants, material, out, budget, options, progress, say)
    if not any(candidate.fits for candidate in candidates):
        raise EdgenetError(*_nothing_fits(candidates, budget))
    made: list[TrainedVariant] = []

    def train(candidate: Candidate) -> float:
        made.append(_made(variants[candidate.name], data, out, options, material, progress, say))
        return made[-1].int8_top1

    trained, stopped = train_promising(candidates, train)
    best, chosen = _best_that_fits(made, variants, out, budget, options, progress, say)
    bundle = out / f"{best.variant}.edgenet"
    _pack(model_path(out / best.variant, variants[best.variant]), bundle, best)
    top1 = {candidate.name: found for candidate, found in trained}
    words = cost_of_one_more_point(candidates, top1, chosen, budget.ms)
    return Selection(str(bundle), best, chosen, candidates, tuple(made), stopped, words)


def _best_that_fits(
    made: Sequence[TrainedVariant],
    variants: dict[str, Variant],
    out: Path,
    budget: Budget,
    options: SweepOptions,
    progress: Progress,
    say: Say,
) -> tuple[TrainedVariant, Candidate]:
    """Return the most accurate trained network that still fits; of equal ones, the one trained first."""
    for one in sorted(made, key=lambda one: -one.int8_top1):
        report = out / one.variant / LATENCY_FILE
        if not report.is_file():
            say(f"measuring {one.variant} again, trained")
            model = model_path(out / one.variant, variants[one.variant])
            (latency,) = measure_on(options.target, [model], options.timing(), progress)
            write_latency(report, with_accuracy(latency, one))
        found = _candidate(one.variant, one.mult_adds, report, budget)
        if found.fits:
            return one, found
        say(f"{one.variant} no longer fits, trained: p50 {found.p50_ms:.3f} ms, {found.bytes / 1e6:.2f} MB")
    raise EdgenetError(
        f"none of the {len(made)} trained networks still fits {budget.words()}",
        "give a larger budget and the same --out; the trained networks are reused",
    )


def _measured(
    variants: dict[str, Variant],
    material: TrainingData,
    out: Path,
    budget: Budget,
    options: SweepOptions,
    progress: Progress,
    say: Say,
) -> tuple[Candidate, ...]:
    """Return all candidates, the fastest first; measure in turns those that have no measurement yet."""
    missing = [name for name in variants if not (out / name / UNTRAINED_FILE).is_file()]
    if missing:
        say(f"measuring {len(missing)} untrained networks on {options.target}")
        photos = material.photos.photoset
        models = [
            untrained_int8(variants[name], material.labels, photos, out / name, progress) for name in missing
        ]
        reports = measure_on(options.target, models, options.timing(), progress)
        for name, report in zip(missing, reports, strict=True):
            write_latency(out / name / UNTRAINED_FILE, report)
    classes = len(material.labels)
    found = [
        _candidate(name, count_variant(name, classes).mult_adds, out / name / UNTRAINED_FILE, budget)
        for name in variants
    ]
    for candidate in sorted(found, key=lambda one: one.p50_ms):
        note = "" if candidate.fits else ", over the budget"
        say(f"{candidate.name}: p50 {candidate.p50_ms:.3f} ms, {candidate.bytes / 1e6:.2f} MB{note}")
    return tuple(sorted(found, key=lambda one: one.p50_ms))


def _candidate(name: str, mult_adds: int, report_path: Path, budget: Budget) -> Candidate:
    (report,) = read_file(report_path)
    if report.p50_ms is None:
        raise EdgenetError(f"{report_path} has no p50", "remove it, and select measures again")
    return Candidate(
        name=name,
        mult_adds=mult_adds,
        bytes=report.size_bytes,
        p50_ms=report.p50_ms,
        valid=report.valid,
        reasons=report.reasons,
        fits=budget.holds(report.p50_ms, report.size_bytes),
    )


def _made(
    variant: Variant,
    data: Path,
    out: Path,
    options: SweepOptions,
    material: TrainingData,
    progress: Progress,
    say: Say,
) -> TrainedVariant:
    folder = out / variant.name
    found = read_trained(folder)
    if found is None:
        say(f"training {variant.name}")
        photos = material.photos.photoset, material.validation
        found = make_variant(variant, data, folder, options, photos, progress, say)
        keep(folder / TRAINED_FILE, found)
    say(f"{variant.name}: float {found.float_top1:.2f} %, int8 {found.int8_top1:.2f} % of {found.n} photos")
    return found


def _nothing_fits(candidates: Sequence[Candidate], budget: Budget) -> tuple[str, str]:
    fastest = candidates[0]
    smallest = min(candidates, key=lambda one: one.bytes)
    return (
        f"no candidate fits {budget.words()}: the fastest, {fastest.name}, takes {fastest.p50_ms:.3f} ms, "
        f"the smallest, {smallest.name}, {smallest.bytes / 1e6:.2f} MB",
        "give a larger budget, or smaller --widths or --resolutions",
    )


def _pack(model: Path, bundle: Path, made: TrainedVariant) -> None:
    """Write the bundle, with the accuracy on the held-out photos."""
    opened = open_model(model)
    facts = read_facts(opened.data, str(model))
    assert facts is not None  # `convert` always writes them
    accuracy = Accuracy(made.float_top1, made.int8_top1, made.n, "photos held out")
    write_bundle(bundle, opened.data, opened.labels, replace(facts, accuracy=accuracy))


# ==== edgenet.verbs.untrained
# Makes int8 files of untrained networks: their size and speed do not depend on the weights.

PHOTOS = 4


def untrained_int8(
    variant: Variant, labels: Sequence[str], photos: PhotoSet, folder: Path, progress: Progress
) -> Path:
    """Make the int8 file of a network with random weights, using the fastest recipe; reuse an existing file.

    Raises:
        EdgenetError: see `convert`.
    """
    make_folder(folder)
    model, checkpoint = folder / "untrained.tflite", folder / "untrained.safetensors"
    if model.is_file():
        return model
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build(variant, classes=len(labels)).eval()
    save_checkpoint(
        checkpoint,
        LoadedNetwork(module, variant, tuple(labels), module.normalization, "random weights", "Apache-2.0"),
    )
    convert(str(checkpoint), model, Calibration(photos, PHOTOS, "minmax"), progress=progress)
    checkpoint.unlink()
    return model
