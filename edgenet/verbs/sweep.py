"""The verb `sweep`: a grid of widths and resolutions on the user's photos, each trained, quantized and timed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edgenet.files import make_folder, write_atomically
from edgenet.plots.png import png
from edgenet.plots.sweep_figures import latency_figure, mult_adds_figure, parameters_figure
from edgenet.progress import Progress, silent
from edgenet.training.job import Material
from edgenet.verbs.device_script import device_script
from edgenet.verbs.sweep_ray import make_on_ray
from edgenet.verbs.sweep_rows import (
    MADE_FILE,
    ROW_FILE,
    Made,
    SweepRow,
    keep,
    read_made,
    read_row,
    rows_csv,
    with_front,
)
from edgenet.verbs.sweep_settings import Grid, SweepOptions, keep_settings, settings
from edgenet.verbs.sweep_variant import Say, make_variant, model_path, read_division
from edgenet.zoo.registry import Variant

CSV_FILE, LATENCY_FILE = "sweep.csv", "latency.json"
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

    With `options.ray` the machines of a Ray cluster do all but the timing, which is done here afterwards.

    Args:
        data: a folder or zip of class folders, as `train` takes it.
        out: a folder with one folder for each variant, the table and the figures; made if it is not there.
        say: told a line as each variant begins and is done, and the lines of `train`.

    Raises:
        EdgenetError: variants, photos or options that do not fit, or that are not those the sweep began with; a Ray
            that cannot be reached or loses a variant.
        TrainingStopped: SIGINT or SIGTERM came while training; the same call goes on.
    """
    variants = grid.variants()
    options.check()
    make_folder(out)
    material = read_division(variants[0], data, options, progress)
    keep_settings(out, settings(options, material.digest))
    if options.ray is not None:
        missing = [variant for variant in variants if read_made(out / variant.name) is None]
        make_on_ray(options.ray, missing, data, out, options, material.digest, say)
    rows: list[SweepRow] = []
    for number, variant in enumerate(variants, 1):
        row = read_row(out / variant.name)
        if row is None:
            say(f"[{number}/{len(variants)}] {variant.name}")
            row = _row(variant, data, out / variant.name, options, material, progress, say)
        say(f"[{number}/{len(variants)}] {_line(row)}")
        rows.append(row)
        write_atomically(out / CSV_FILE, rows_csv(with_front(rows)))
    found = with_front(rows)
    for name, figure in FIGURES.items():
        write_atomically(out / name, png(figure(found, f"{grid.architecture} on {data.name}")))
    return Sweep(found, tuple(str(out / name) for name in (CSV_FILE, *FIGURES)))


def _row(
    variant: Variant,
    data: Path,
    folder: Path,
    options: SweepOptions,
    material: Material,
    progress: Progress,
    say: Say,
) -> SweepRow:
    made = read_made(folder)
    if made is None:
        photos = material.photos.photoset, material.validation
        made = make_variant(variant, data, folder, options, photos, progress, say)
        keep(folder / MADE_FILE, made)
    row = _timed(made, model_path(folder, variant), options)
    keep(folder / ROW_FILE, row)
    return row


def _timed(made: Made, model: Path, options: SweepOptions) -> SweepRow:
    """The row of a variant, after measuring its latency in a process of its own."""
    report = model.parent / LATENCY_FILE
    device_script("measure_latency", [str(model), "--threads", str(options.threads), "--out", str(report)])
    latency = json.loads(report.read_text(encoding="utf-8"))
    return SweepRow(
        **asdict(made),
        latency_p50_ms=latency["steady_state"]["p50_ms"],
        latency_valid=latency["valid"],
        latency_reasons="; ".join(latency["reasons"]),
        device=latency["device"]["model"] or latency["device"]["cpu"] or "unknown",
        threads=latency["threads"],
    )


def _line(row: SweepRow) -> str:
    valid = "" if row.latency_valid else " (not valid to quote)"
    return (
        f"{row.variant}: float {row.float_top1:.2f} %, int8 {row.int8_top1:.2f} % of {row.n} photos, "
        f"p50 {row.latency_p50_ms:.2f} ms{valid}"
    )
