"""The verb `sweep`: a grid of widths and resolutions on the user's photos, each trained, quantized and measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.files import make_folder, write_atomically
from edgenet.plots.png import png
from edgenet.plots.sweep_figures import latency_figure, mult_adds_figure, parameters_figure
from edgenet.progress import Progress, silent
from edgenet.training.job import Material, read_material
from edgenet.training.plan import Plan
from edgenet.training.state import STATE_FILE
from edgenet.verbs.convert import Calibration, convert
from edgenet.verbs.device_script import device_script
from edgenet.verbs.evaluate import Evaluation, EvaluationOptions, evaluate_scorers
from edgenet.verbs.scorers import open_scorer
from edgenet.verbs.sources import SourceOptions
from edgenet.verbs.sweep_rows import SweepRow, read_row, rows_csv, with_front, write_row
from edgenet.verbs.sweep_settings import Grid, SweepOptions, keep_settings, recipe_of, settings
from edgenet.verbs.train import resume_training, train
from edgenet.verbs.training_result import Training
from edgenet.zoo.registry import Variant

CSV_FILE, LATENCY_FILE = "sweep.csv", "latency.json"
FIGURES = {
    "accuracy_mult_adds.png": mult_adds_figure,
    "accuracy_parameters.png": parameters_figure,
    "accuracy_latency.png": latency_figure,
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        rows: one for each variant, the narrowest first.
        files: the table and the figures.
    """

    rows: tuple[SweepRow, ...]
    files: tuple[str, ...]


def sweep(
    data: Path,
    out: Path,
    grid: Grid = Grid(),  # noqa: B008 (frozen)
    options: SweepOptions = SweepOptions(),  # noqa: B008
    progress: Progress = silent,
    say: Say = lambda line: None,
) -> Sweep:
    """Trains, quantizes, evaluates and times every variant of a grid; run again, it goes on where it stopped.

    Args:
        data: a folder or zip of class folders, as `train` takes it.
        out: a folder with one folder for each variant, the table and the figures; made if it is not there.
        say: told a line as each variant begins and is done, and the lines of `train`.

    Raises:
        EdgenetError: variants, photos or options that do not fit, or that are not those the sweep began with.
        TrainingStopped: SIGINT or SIGTERM came while training; the same call goes on.
    """
    variants = grid.variants()
    options.check()
    make_folder(out)
    material = _read_once(data, variants, options, progress)
    keep_settings(out, settings(options, material.digest))
    rows: list[SweepRow] = []
    for number, variant in enumerate(variants, 1):
        row = read_row(out / variant.name)
        if row is None:
            say(f"[{number}/{len(variants)}] {variant.name}")
            row = _run_variant(variant, data, out / variant.name, options, material, progress, say)
            write_row(out / variant.name, row)
        say(f"[{number}/{len(variants)}] {_line(row)}")
        rows.append(row)
        write_atomically(out / CSV_FILE, rows_csv(with_front(rows)))
    found = with_front(rows)
    for name, figure in FIGURES.items():
        write_atomically(out / name, png(figure(found, f"{grid.architecture} on {data.name}")))
    return Sweep(found, tuple(str(out / name) for name in (CSV_FILE, *FIGURES)))


def _read_once(
    data: Path, variants: Sequence[Variant], options: SweepOptions, progress: Progress
) -> Material:
    """The division into training and validation photos, which is that of every training here; no pixels are kept."""
    training = options.training
    plan = Plan(
        variants[0].name,
        str(data),
        recipe_of(training),
        training.distillation,
        hold_out=training.hold_out,
        memory=0,
    )
    return read_material(plan, variants[0].resolution, progress)


def _run_variant(
    variant: Variant,
    data: Path,
    folder: Path,
    options: SweepOptions,
    material: Material,
    progress: Progress,
    say: Say,
) -> SweepRow:
    folder.mkdir(exist_ok=True)
    trained = _train(variant, data, folder / "training", options, _named(variant, progress), say)
    model = folder / f"{variant.name}.tflite"
    calibration = Calibration(material.photos.photoset, recipe=options.recipe)
    made = convert(trained.out, model, calibration, progress=_named(variant, progress))
    scorers = [
        open_scorer(name, SourceOptions(), EvaluationOptions().threads) for name in (trained.out, str(model))
    ]
    found = evaluate_scorers(scorers, material.validation, EvaluationOptions(), _named(variant, progress))
    return _measured(variant, trained, made.bytes, found, model, options)


def _train(
    variant: Variant, data: Path, run: Path, options: SweepOptions, progress: Progress, say: Say
) -> Training:
    if (run / STATE_FILE).exists():
        trained = resume_training(run, data, progress, say)
    else:
        trained = train(variant.name, data, run, options.training, progress, say)
    if trained is None:
        raise EdgenetError("a sweep runs in one process", "start it without torchrun")
    return trained


def _measured(
    variant: Variant, trained: Training, size: int, found: Evaluation, model: Path, options: SweepOptions
) -> SweepRow:
    """The row of a variant, after measuring its latency in a process of its own."""
    report = model.parent / LATENCY_FILE
    device_script("measure_latency", [str(model), "--threads", str(options.threads), "--out", str(report)])
    latency = json.loads(report.read_text(encoding="utf-8"))
    real, int8 = found.models
    return SweepRow(
        variant=variant.name,
        width=variant.width,
        resolution=variant.resolution,
        mult_adds=trained.mult_adds,
        parameters=trained.parameters,
        bytes=size,
        n=found.n,
        float_top1=real.top1,
        int8_top1=int8.top1,
        int8_low=int8.top1_interval.low,
        int8_high=int8.top1_interval.high,
        latency_p50_ms=latency["steady_state"]["p50_ms"],
        latency_valid=latency["valid"],
        latency_reasons="; ".join(latency["reasons"]),
        device=latency["device"]["model"] or latency["device"]["cpu"] or "unknown",
        threads=latency["threads"],
    )


def _named(variant: Variant, progress: Progress) -> Progress:
    """Stages with the variant's name before them: each variant has bars of its own."""
    return lambda stage, done, total: progress(f"{variant.name}: {stage}", done, total)


def _line(row: SweepRow) -> str:
    valid = "" if row.latency_valid else " (not valid to quote)"
    return (
        f"{row.variant}: float {row.float_top1:.2f} %, int8 {row.int8_top1:.2f} % of {row.n} photos, "
        f"p50 {row.latency_p50_ms:.2f} ms{valid}"
    )
