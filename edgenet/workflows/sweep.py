"""The verb `sweep`: trains, quantizes and times a grid of widths and resolutions on the user's photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from edgenet.figures.style import png
from edgenet.figures.training_figures import latency_figure, mult_adds_figure, parameters_figure
from edgenet.files import locked_folder, make_folder, write_atomically
from edgenet.progress import Log, Progress, no_log, silent
from edgenet.quantize.recipes import DEFAULT_RECIPE
from edgenet.training.job import TrainingData
from edgenet.workflows.arguments import checked
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
from edgenet.workflows.sweep_start import announce, check_combinations, check_photos
from edgenet.workflows.sweep_training import make_on_ray, make_variant, model_path, read_photo_split
from edgenet.workflows.train import TrainingOptions
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


@checked
def sweep(
    data: str | Path,
    out: str | Path,
    *,
    architecture: str = "mobilenet_v1",
    widths: Sequence[float] = (1.0, 0.75, 0.5, 0.25),
    resolutions: Sequence[int] = (224, 192, 160, 128),
    on: str = "local",
    ray: str | None = None,
    threads: int = 1,
    recipe: str = DEFAULT_RECIPE,
    settle: float = 90.0,
    from_scratch: bool = False,
    training: TrainingOptions = TrainingOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
    log: Log = no_log,
) -> Sweep:
    """Train, quantize, evaluate and time every variant of a grid of widths and resolutions.

    The same call, run again, continues a stopped sweep. Timing comes last, when training no longer keeps this
    machine busy. A later call with another device times everything there without training again.

    >>> options = edgenet.TrainingOptions(epochs=1, batch=8)
    >>> result = edgenet.sweep(
    ...     "labelled", "grid", widths=[0.25], resolutions=[32], recipe="minmax", settle=0, training=options
    ... )
    >>> result.rows[0].variant, result.files[0]
    ('mobilenet_v1_0.25_32', 'grid/sweep.csv')

    Args:
        data: a folder or zip of class folders, as `train` takes it.
        out: folder for the table, the figures and one subfolder per variant; made if missing.
        architecture: architecture of all variants, as in `models`.
        widths: width multipliers to try.
        resolutions: input resolutions to try, pixels per side.
        on: where to measure latency, as `bench` takes it.
        ray: address of a Ray cluster to train on; "local" starts one here; None trains here without Ray.
        threads: threads of the timed inference.
        recipe: quantization recipe, as `convert` takes it.
        settle: longest wait for the CPU to become idle before timing, seconds.
        from_scratch: train all variants from random weights; otherwise those whose layers have ImageNet weights start
            from them.
        training: how each variant is trained.
        progress: called with each stage's name, the amount done, and the total.
        log: called with a line when a variant begins, is made and is timed, and with the lines of `train`.

    Raises:
        EdgenetError: variants, photos or options are not usable, or differ from those of the first run in
            this folder; the Ray cluster or the device cannot be reached or is lost.
        TrainingStopped: SIGINT or SIGTERM came during training; the same call continues.
        TypeError: an argument has the wrong type.
    """
    grid = Grid(architecture, tuple(widths), tuple(resolutions))
    return _sweep(
        Path(data),
        Path(out),
        grid,
        SweepOptions(training, recipe, on, threads, settle, ray, from_scratch),
        progress,
        log,
    )


def _sweep(data: Path, out: Path, grid: Grid, options: SweepOptions, progress: Progress, log: Log) -> Sweep:
    variants = grid.variants()  # raises an error for a variant that cannot be built
    options.check()
    check_combinations(variants, options)
    check_reachable(options.on)  # now, because it is needed only after hours of training
    make_folder(out)
    with locked_folder(out, log):
        return _sweep_into(out, data, grid, options, progress, log)


def _sweep_into(
    out: Path, data: Path, grid: Grid, options: SweepOptions, progress: Progress, log: Log
) -> Sweep:
    variants = grid.variants()
    material = read_photo_split(variants[0], data, options, progress)
    check_photos(material, options)
    # The noted settings leave out the device, because it does not affect the training.
    keep_settings(out, settings(replace(options, on="local"), material.digest))
    announce(variants, options, progress, log)
    if options.ray is not None:
        missing = [variant for variant in variants if read_trained(out / variant.name) is None]
        make_on_ray(options.ray, missing, data, out, options, material.digest, log)
    for number, variant in enumerate(variants, 1):
        folder, position = out / variant.name, f"[{number}/{len(variants)}] {variant.name}"
        if _known(folder) is None:
            log(position)
            keep(folder / TRAINED_FILE, _make(variant, data, folder, options, material, progress, log))
        log(f"{position}: {_accuracy(folder)}")
    rows = _time_all([(out / variant.name, variant) for variant in variants], options, progress, log)
    front = with_front(rows)
    write_atomically(out / CSV_FILE, rows_csv(front))
    for name, figure in FIGURES.items():
        write_atomically(out / name, png(figure(front, f"{grid.architecture} on {data.name}")))
    return Sweep(front, tuple(str(out / name) for name in (CSV_FILE, *FIGURES)))


def _make(
    variant: Variant,
    data: Path,
    folder: Path,
    options: SweepOptions,
    material: TrainingData,
    progress: Progress,
    log: Log,
) -> TrainedVariant:
    photos = material.photos.photoset, material.validation
    return make_variant(variant, data, folder, options, photos, progress, log)


def _known(folder: Path) -> TrainedVariant | None:
    """Return a variant's row, or only its accuracy if it is not timed yet, or None if it is not made yet."""
    return read_row(folder) or read_trained(folder)


def _accuracy(folder: Path) -> str:
    row = _known(folder)
    assert row is not None
    return f"float {row.float_top1:.2f} %, int8 {row.int8_top1:.2f} % of {row.n} photos"


def _time_all(
    variants: Sequence[tuple[Path, Variant]], options: SweepOptions, progress: Progress, log: Log
) -> list[SweepRow]:
    """Return all rows; time variants not yet timed on this target, in turns, so that drift hits all alike."""
    rows = {folder: read_row(folder) for folder, _ in variants}
    missing = [(folder, variant) for folder, variant in variants if not _is_timed(rows[folder], options)]
    if missing:
        models = [model_path(folder, variant) for folder, variant in missing]
        reports = measure_on(options.on, models, options.timing(), progress)
        for (folder, variant), report in zip(missing, reports, strict=True):
            trained = read_trained(folder) or rows[folder]
            assert trained is not None
            row = _row(trained, report)
            write_latency(folder / LATENCY_FILE, with_accuracy(report, trained))
            keep(folder / ROW_FILE, row)
            rows[folder] = row
            valid = "" if row.latency_valid else " (not valid to quote)"
            log(f"{variant.name}: p50 {row.latency_p50_ms:.2f} ms{valid}")
    return [row for row in rows.values() if row is not None]


def _is_timed(row: SweepRow | None, options: SweepOptions) -> bool:
    return row is not None and row.target == options.on


def _row(trained: TrainedVariant, latency: Report) -> SweepRow:
    return SweepRow(
        **{field.name: getattr(trained, field.name) for field in fields(TrainedVariant)},
        latency_p50_ms=latency["steady_state"]["p50_ms"],
        latency_valid=latency["valid"],
        latency_reasons="; ".join(latency["reasons"]),
        device=latency["device"]["model"] or latency["device"]["cpu"] or "unknown",
        threads=latency["threads"],
        target=latency["target"],
    )
