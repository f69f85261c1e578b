"""The verb `select`: finds the network with the best int8 accuracy within a budget measured on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from edgenet_device.model_file import open_model

from edgenet.accuracy import Interval
from edgenet.bundle import write_bundle
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.files import locked_folder, make_folder
from edgenet.latency.comparing import Candidate, cost_of_one_more_point, train_promising
from edgenet.latency.reading import load_report, read_file
from edgenet.manifest import Accuracy
from edgenet.progress import Log, Progress, no_log, silent
from edgenet.quantize.recipes import DEFAULT_RECIPE
from edgenet.tflite.metadata import read_facts
from edgenet.training.job import TrainingData
from edgenet.workflows.arguments import checked
from edgenet.workflows.convert import convert
from edgenet.workflows.evaluate import EvaluationOptions, evaluate_scorers
from edgenet.workflows.judging import judging_photos
from edgenet.workflows.measuring import measure_on, write_latency
from edgenet.workflows.scoring import open_scorer
from edgenet.workflows.sources import SourceOptions
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
from edgenet.workflows.sweep_start import announce, check_combinations, check_photos
from edgenet.workflows.sweep_training import TRAINING_FOLDER, make_variant, model_path, read_photo_split
from edgenet.workflows.train import TrainingOptions
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.counting import count_variant
from edgenet.zoo.registry import Variant, build

UNTRAINED_FILE = "untrained.json"
PHOTOS = 4
"""Number of photos that calibrate an untrained network: its size and speed do not depend on them."""


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
class ReportedAccuracy:
    """The accuracy that is reported for the chosen network.

    Attributes:
        n: number of photos that it was measured on; none was used for training or calibration.
        float_top1, int8_top1: top-1 accuracy, percent; `int8_interval` is int8's 95 % confidence interval.
        chose: whether these photos also chose the network, because there were too few for both: then the accuracy
            is too high.
    """

    n: int
    float_top1: float
    int8_top1: float
    int8_interval: Interval
    chose: bool


@dataclass(frozen=True)
class Selection:
    """The result of `select`.

    Attributes:
        bundle: path of the best network's bundle.
        best: the best network, with its accuracy on the photos that chose it.
        reported: its accuracy on other photos; the bundle holds it.
        candidate: the best network's latency and size, measured again after training and quantization.
        candidates: all candidates as measured untrained, the fastest first.
        trained: the networks that were trained, in the order of training.
        stopped: why no more networks were trained, in words.
        another_point: estimate of what one more point of accuracy would cost, in words.
    """

    bundle: str
    best: TrainedVariant
    reported: ReportedAccuracy
    candidate: Candidate
    candidates: tuple[Candidate, ...]
    trained: tuple[TrainedVariant, ...]
    stopped: str
    another_point: str


@checked
def select(
    data: str | Path,
    out: str | Path,
    *,
    budget_ms: float,
    budget_mb: float | None = None,
    on: str = "local",
    architectures: str | Sequence[str] = "mobilenet_v1",
    widths: Sequence[float] = (1.0, 0.75, 0.5, 0.25),
    resolutions: Sequence[int] = (224, 192, 160, 128),
    threads: int = 1,
    recipe: str = DEFAULT_RECIPE,
    settle: float = 90.0,
    from_scratch: bool = False,
    training: TrainingOptions = TrainingOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
    log: Log = no_log,
) -> Selection:
    """Measure all candidates untrained, train the most promising ones within the budget, and pack the best.

    One half of the photos held out for validation chooses the network, and the other half judges the chosen one. If the
    data has folders for validation and for test, the first chooses and the second judges.

    The best network is measured once more in its final form, because quantization may have removed dead
    channels or doubled noisy ones. If it no longer fits, the next best takes its place. The same call, run
    again, continues where it stopped and reuses everything that is already measured and trained.

    >>> options = edgenet.TrainingOptions(epochs=1, batch=8)
    >>> edgenet.select(
    ...     "labelled", "chosen", budget_ms=1000, widths=[0.25], resolutions=[32], recipe="minmax", settle=0,
    ...     training=options,
    ... ).bundle
    'chosen/mobilenet_v1_0.25_32.edgenet'

    Args:
        data: a folder or zip of class folders, as `train` takes it.
        out: folder for the bundle and one subfolder per candidate; made if missing.
        budget_ms: largest median (p50) time of one inference, milliseconds.
        budget_mb: largest size of the int8 file, 10**6 bytes; None for no limit.
        on: device to measure on, as `bench` takes it.
        architectures: architectures to try, each with all widths and resolutions.
        widths, resolutions, threads, recipe, settle, from_scratch, training: see `sweep`.
        progress: called with each stage's name, the amount done, and the total.
        log: called with a line for each step, and with the lines of `train`.

    Raises:
        EdgenetError: options or photos are not usable, or differ from those of the first run in this folder;
            the device is lost; no candidate fits the budget, before or after training.
        TrainingStopped: SIGINT or SIGTERM came during training; the same call continues.
        TypeError: an argument has the wrong type.
    """
    names = [architectures] if isinstance(architectures, str) else architectures
    grids = [Grid(name, tuple(widths), tuple(resolutions)) for name in names]
    options = SweepOptions(training, recipe, on, threads, settle, from_scratch=from_scratch)
    return _select(Path(data), Path(out), Budget(budget_ms, budget_mb), grids, options, progress, log)


def _select(
    data: Path,
    out: Path,
    budget: Budget,
    grids: Sequence[Grid],
    options: SweepOptions,
    progress: Progress,
    log: Log,
) -> Selection:
    variants = {variant.name: variant for grid in grids for variant in grid.variants()}
    if not variants:
        raise EdgenetError("the grid is empty", "give at least one architecture")
    budget.check()
    options.check()
    check_combinations(list(variants.values()), options)
    make_folder(out)
    with locked_folder(out, log):
        return _select_into(out, variants, data, budget, options, progress, log)


def _select_into(
    out: Path,
    variants: dict[str, Variant],
    data: Path,
    budget: Budget,
    options: SweepOptions,
    progress: Progress,
    log: Log,
) -> Selection:
    material = read_photo_split(next(iter(variants.values())), data, options, progress)
    check_photos(material, options)
    judging = judging_photos(material.validation, data, options.training.training_recipe().seed)
    keep_settings(out, settings(options, material.digest) | {"chosen_by": len(judging.choosing)})
    material = replace(material, validation=judging.choosing)
    announce(list(variants.values()), options, progress, log)
    candidates = _measured(variants, material, out, budget, options, progress, log)
    if not any(candidate.fits for candidate in candidates):
        raise EdgenetError(*_nothing_fits(candidates, budget))
    finished: list[TrainedVariant] = []

    def train(candidate: Candidate) -> float:
        finished.append(_trained(variants[candidate.name], data, out, options, material, progress, log))
        return finished[-1].int8_top1

    trained, stopped = train_promising(candidates, train)
    best, chosen = _best_that_fits(finished, variants, out, budget, options, progress, log)
    bundle = out / f"{best.variant}.edgenet"
    reported = _reported(best, variants[best.variant], out, judging.reporting, progress)
    _pack(model_path(out / best.variant, variants[best.variant]), bundle, reported)
    top1 = {candidate.name: accuracy for candidate, accuracy in trained}
    words = cost_of_one_more_point(candidates, top1, chosen, budget.ms)
    return Selection(str(bundle), best, reported, chosen, candidates, tuple(finished), stopped, words)


def _best_that_fits(
    trained: Sequence[TrainedVariant],
    variants: dict[str, Variant],
    out: Path,
    budget: Budget,
    options: SweepOptions,
    progress: Progress,
    log: Log,
) -> tuple[TrainedVariant, Candidate]:
    """Return the most accurate trained network that still fits; of equal ones, the one trained first."""
    for one in sorted(trained, key=lambda one: -one.int8_top1):
        report = out / one.variant / LATENCY_FILE
        if not report.is_file():
            log(f"measuring {one.variant} again, trained")
            model = model_path(out / one.variant, variants[one.variant])
            (latency,) = measure_on(options.on, [model], options.timing(), progress)
            write_latency(report, with_accuracy(latency, one))
        candidate = _candidate(one.variant, one.mult_adds, report, budget)
        if candidate.fits:
            return one, candidate
        log(
            f"{one.variant} no longer fits, trained: p50 {candidate.p50_ms:.3f} ms, {candidate.bytes / 1e6:.2f} MB"
        )
    raise EdgenetError(
        f"none of the {len(trained)} trained networks still fits {budget.words()}",
        "give a larger budget and the same --out; the trained networks are reused",
    )


def _measured(
    variants: dict[str, Variant],
    material: TrainingData,
    out: Path,
    budget: Budget,
    options: SweepOptions,
    progress: Progress,
    log: Log,
) -> tuple[Candidate, ...]:
    """Return all candidates, the fastest first; measure in turns those that have no measurement yet."""
    missing = [name for name in variants if not (out / name / UNTRAINED_FILE).is_file()]
    if missing:
        log(f"measuring {len(missing)} untrained networks on {options.on}")
        photos = material.photos.photoset
        models = [
            untrained_int8(variants[name], material.labels, photos, out / name, progress) for name in missing
        ]
        reports = measure_on(options.on, models, options.timing(), progress)
        for name, report in zip(missing, reports, strict=True):
            write_latency(out / name / UNTRAINED_FILE, report)
    classes = len(material.labels)
    candidates = [
        _candidate(name, count_variant(name, classes).mult_adds, out / name / UNTRAINED_FILE, budget)
        for name in variants
    ]
    for candidate in sorted(candidates, key=lambda one: one.p50_ms):
        note = "" if candidate.fits else ", over the budget"
        log(f"{candidate.name}: p50 {candidate.p50_ms:.3f} ms, {candidate.bytes / 1e6:.2f} MB{note}")
    return tuple(sorted(candidates, key=lambda one: one.p50_ms))


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


def _trained(
    variant: Variant,
    data: Path,
    out: Path,
    options: SweepOptions,
    material: TrainingData,
    progress: Progress,
    log: Log,
) -> TrainedVariant:
    folder = out / variant.name
    trained = read_trained(folder)
    if trained is None:
        log(f"training {variant.name}")
        photos = material.photos.photoset, material.validation
        trained = make_variant(variant, data, folder, options, photos, progress, log)
        keep(folder / TRAINED_FILE, trained)
    log(
        f"{variant.name}: float {trained.float_top1:.2f} %, int8 {trained.int8_top1:.2f} % of {trained.n} photos"
    )
    return trained


def _nothing_fits(candidates: Sequence[Candidate], budget: Budget) -> tuple[str, str]:
    fastest = candidates[0]
    smallest = min(candidates, key=lambda one: one.bytes)
    return (
        f"no candidate fits {budget.words()}: the fastest, {fastest.name}, takes {fastest.p50_ms:.3f} ms, "
        f"the smallest, {smallest.name}, {smallest.bytes / 1e6:.2f} MB",
        "give a larger budget, or smaller --widths or --resolutions",
    )


def _reported(
    best: TrainedVariant, variant: Variant, out: Path, photos: PhotoSet | None, progress: Progress
) -> ReportedAccuracy:
    """Judge the chosen network by other photos than those that chose it, if there are any; correct its report."""
    if photos is None:
        interval = Interval(best.int8_low, best.int8_high)
        return ReportedAccuracy(best.n, best.float_top1, best.int8_top1, interval, True)
    checkpoint = out / variant.name / TRAINING_FOLDER / f"{variant.name}.safetensors"
    paths = (str(checkpoint), str(model_path(out / variant.name, variant)))
    scorers = [open_scorer(path, SourceOptions(), EvaluationOptions().threads) for path in paths]
    evaluation = evaluate_scorers(scorers, photos, EvaluationOptions(), progress)
    real, int8 = evaluation.models
    latency = out / variant.name / LATENCY_FILE
    judged = replace(best, n=evaluation.n, float_top1=real.top1, int8_top1=int8.top1)
    write_latency(latency, with_accuracy(load_report(latency), judged))
    return ReportedAccuracy(evaluation.n, real.top1, int8.top1, int8.top1_interval, False)


def _pack(model: Path, bundle: Path, reported: ReportedAccuracy) -> None:
    """Write the bundle with the accuracy that is reported."""
    opened = open_model(model)
    facts = read_facts(opened.data, str(model))
    assert facts is not None  # `convert` always writes them
    photos = "photos held out" + (", which also chose the network" if reported.chose else "")
    accuracy = Accuracy(reported.float_top1, reported.int8_top1, reported.n, photos)
    write_bundle(bundle, opened.data, opened.labels, replace(facts, accuracy=accuracy))


def untrained_int8(
    variant: Variant, labels: Sequence[str], photos: PhotoSet, folder: Path, progress: Progress
) -> Path:
    """Make the int8 file of a network with random weights, using the fastest recipe; reuse an existing file.

    Its size and speed are those of the trained network, because they do not depend on the weights.

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
    convert(checkpoint, model, calibration=photos, photos=PHOTOS, recipe="minmax", progress=progress)
    checkpoint.unlink()
    return model
