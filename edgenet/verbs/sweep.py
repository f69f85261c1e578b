"""The verb `sweep`: a grid of widths and resolutions on the user's photos, each trained, quantized and timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from edgenet.files import make_folder, write_atomically
from edgenet.latency.measuring import Report, check_reachable, measure_on, write_latency
from edgenet.plots.png import png
from edgenet.plots.sweep_figures import latency_figure, mult_adds_figure, parameters_figure
from edgenet.progress import Progress, silent
from edgenet.training.job import Material
from edgenet.verbs.sweep_ray import make_on_ray
from edgenet.verbs.sweep_rows import (
    LATENCY_FILE,
    MADE_FILE,
    ROW_FILE,
    Made,
    SweepRow,
    keep,
    read_made,
    read_row,
    rows_csv,
    with_accuracy,
    with_front,
)
from edgenet.verbs.sweep_settings import Grid, SweepOptions, keep_settings, settings
from edgenet.verbs.sweep_variant import Say, make_variant, model_path, read_division
from edgenet.zoo.registry import Variant

CSV_FILE = "sweep.csv"
FIGURES = {
    "accuracy_mult_adds.png": mult_adds_figure,
    "accuracy_parameters.png": parameters_figure,
    "accuracy_latency.png": latency_figure,
}


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

    Timing comes last, on `options.target`, when training no longer keeps this machine busy; another target, later,
    times everything there and trains nothing. With `options.ray` the machines of a Ray cluster do all but the timing.

    Args:
        data: a folder or zip of class folders, as `train` takes it.
        out: a folder with one folder for each variant, the table and the figures; made if it is not there.
        say: told a line as each variant begins, is made and is timed, and the lines of `train`.

    Raises:
        EdgenetError: variants, photos or options that do not fit, or that are not those the sweep began with; a Ray
            or a target that cannot be reached or is lost.
        TrainingStopped: SIGINT or SIGTERM came while training; the same call goes on.
    """
    variants = grid.variants()
    options.check()
    check_reachable(options.target)  # not only when all are trained
    make_folder(out)
    material = read_division(variants[0], data, options, progress)
    # Where they are timed changes nothing in what is trained.
    keep_settings(out, settings(replace(options, target="local"), material.digest))
    if options.ray is not None:
        missing = [variant for variant in variants if read_made(out / variant.name) is None]
        make_on_ray(options.ray, missing, data, out, options, material.digest, say)
    for number, variant in enumerate(variants, 1):
        folder, position = out / variant.name, f"[{number}/{len(variants)}] {variant.name}"
        if _known(folder) is None:
            say(position)
            keep(folder / MADE_FILE, _make(variant, data, folder, options, material, progress, say))
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
    material: Material,
    progress: Progress,
    say: Say,
) -> Made:
    photos = material.photos.photoset, material.validation
    return make_variant(variant, data, folder, options, photos, progress, say)


def _known(folder: Path) -> Made | None:
    """What is known of a variant: its row, or what was made and not timed yet."""
    return read_row(folder) or read_made(folder)


def _accuracy(folder: Path) -> str:
    found = _known(folder)
    assert found is not None
    return f"float {found.float_top1:.2f} %, int8 {found.int8_top1:.2f} % of {found.n} photos"


def _time_all(
    variants: Sequence[tuple[Path, Variant]], options: SweepOptions, progress: Progress, say: Say
) -> list[SweepRow]:
    """The rows of all variants. Those not timed on this target yet are timed now, in turns: drift is shared."""
    rows = {folder: read_row(folder) for folder, _ in variants}
    missing = [(folder, variant) for folder, variant in variants if not _is_timed(rows[folder], options)]
    if missing:
        models = [model_path(folder, variant) for folder, variant in missing]
        reports = measure_on(options.target, models, options.timing(), progress)
        for (folder, variant), report in zip(missing, reports, strict=True):
            made = read_made(folder) or rows[folder]
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


def _row(made: Made, latency: Report) -> SweepRow:
    return SweepRow(
        **{field.name: getattr(made, field.name) for field in fields(Made)},
        latency_p50_ms=latency["steady_state"]["p50_ms"],
        latency_valid=latency["valid"],
        latency_reasons="; ".join(latency["reasons"]),
        device=latency["device"]["model"] or latency["device"]["cpu"] or "unknown",
        threads=latency["threads"],
        target=latency["target"],
    )
