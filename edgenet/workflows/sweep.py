"""The verb `sweep`: trains, quantizes and times a grid of widths and resolutions on the user's photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from edgenet.figures.drawing import png
from edgenet.figures.training_figures import latency_figure, mult_adds_figure, parameters_figure
from edgenet.files import make_folder, write_atomically
from edgenet.progress import Progress, Say, silent
from edgenet.training.job import TrainingData
from edgenet.workflows.measuring import Report, check_reachable, measure_on, write_latency
from edgenet.workflows.sweep_plan import (
    LATENCY_FILE,
    ROW_FILE,
    TRAINED_FILE,
    Grid,
    SweepOptions,
    SweepRow,
    TrainedVariant,
    keep,
    keep_settings,
    read_row,
    read_trained,
    rows_csv,
    settings,
    with_accuracy,
    with_front,
)
from edgenet.workflows.sweep_training import make_on_ray, make_variant, model_path, read_photo_split
from edgenet.zoo.registry import Variant

CSV_FILE = "sweep.csv"
FIGURES = {
    "accuracy_mult_adds.png": mult_adds_figure,
    "accuracy_parameters.png": parameters_figure,
    "accuracy_latency.png": latency_figure,
}


@dataclass(frozen=True)
class Sweep:
    """The result of `sweep`.

    Attributes:
        rows: one row per variant, the narrowest first.
        files: paths of the CSV table and the figures.
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
    """Train, quantize, evaluate and time every variant of a grid.

    The same call, run again, continues a stopped sweep. Timing comes last, on `options.target`, when training
    no longer keeps this machine busy. A later call with another target times everything there without
    training again. With `options.ray` the machines of a Ray cluster do everything except the timing.

    Args:
        data: a folder or zip of class folders, as `train` takes it.
        out: folder for the table, the figures and one subfolder per variant; made if missing.
        say: called with a line when a variant begins, is made and is timed, and with the lines of `train`.

    Raises:
        EdgenetError: variants, photos or options are not usable, or differ from those of the first run in
            this folder; the Ray cluster or the target cannot be reached or is lost.
        TrainingStopped: SIGINT or SIGTERM came during training; the same call continues.
    """
    variants = grid.variants()
    options.check()
    check_reachable(options.target)  # now, because it is needed only after hours of training
    make_folder(out)
    material = read_photo_split(variants[0], data, options, progress)
    # The noted settings leave out the target, because it does not affect the training.
    keep_settings(out, settings(replace(options, target="local"), material.digest))
    if options.ray is not None:
        missing = [variant for variant in variants if read_trained(out / variant.name) is None]
        make_on_ray(options.ray, missing, data, out, options, material.digest, say)
    for number, variant in enumerate(variants, 1):
        folder, position = out / variant.name, f"[{number}/{len(variants)}] {variant.name}"
        if _known(folder) is None:
            say(position)
            keep(folder / TRAINED_FILE, _make(variant, data, folder, options, material, progress, say))
        say(f"{position}: {_accuracy(folder)}")
    rows = _time_all([(out / variant.name, variant) for variant in variants], options, progress, say)
    write_atomically(out / CSV_FILE, rows_csv(with_front(rows)))
    found = with_front(rows)
    for name, figure in FIGURES.items():
        write_atomically(out / name, png(figure(found, f"{grid.architecture} on {data.name}")))
    return Sweep(found, tuple(str(out / name) for name in (CSV_FILE, *FIGURES)))


def _make(
    variant: Variant,
    data: Path,
    folder: Path,
    options: SweepOptions,
    material: TrainingData,
    progress: Progress,
    say: Say,
) -> TrainedVariant:
    photos = material.photos.photoset, material.validation
    return make_variant(variant, data, folder, options, photos, progress, say)


def _known(folder: Path) -> TrainedVariant | None:
    """Return a variant's row, or only its accuracy if it is not timed yet, or None if it is not made yet."""
    return read_row(folder) or read_trained(folder)


def _accuracy(folder: Path) -> str:
    found = _known(folder)
    assert found is not None
    return f"float {found.float_top1:.2f} %, int8 {found.int8_top1:.2f} % of {found.n} photos"


def _time_all(
    variants: Sequence[tuple[Path, Variant]], options: SweepOptions, progress: Progress, say: Say
) -> list[SweepRow]:
    """Return all rows; time variants not yet timed on this target, in turns, so that drift hits all alike."""
    rows = {folder: read_row(folder) for folder, _ in variants}
    missing = [(folder, variant) for folder, variant in variants if not _is_timed(rows[folder], options)]
    if missing:
        models = [model_path(folder, variant) for folder, variant in missing]
        reports = measure_on(options.target, models, options.timing(), progress)
        for (folder, variant), report in zip(missing, reports, strict=True):
            made = read_trained(folder) or rows[folder]
            assert made is not None
            row = _row(made, report)
            write_latency(folder / LATENCY_FILE, with_accuracy(report, made))
            keep(folder / ROW_FILE, row)
            rows[folder] = row
            valid = "" if row.latency_valid else " (not valid to quote)"
            say(f"{variant.name}: p50 {row.latency_p50_ms:.2f} ms{valid}")
    return [row for row in rows.values() if row is not None]


def _is_timed(row: SweepRow | None, options: SweepOptions) -> bool:
    return row is not None and row.target == options.target


def _row(made: TrainedVariant, latency: Report) -> SweepRow:
    return SweepRow(
        **{field.name: getattr(made, field.name) for field in fields(TrainedVariant)},
        latency_p50_ms=latency["steady_state"]["p50_ms"],
        latency_valid=latency["valid"],
        latency_reasons="; ".join(latency["reasons"]),
        device=latency["device"]["model"] or latency["device"]["cpu"] or "unknown",
        threads=latency["threads"],
        target=latency["target"],
    )
