"""The verb `bench`: measures latency on devices and writes reports with all conditions that affect it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from edgenet_device.model_file import open_model

from edgenet.devices.targets import Adb, Browser, parse_target
from edgenet.errors import EdgenetError
from edgenet.files import make_folder
from edgenet.latency.benchmark_model_program import read_program
from edgenet.latency.options import BenchOptions
from edgenet.progress import Progress, silent
from edgenet.workflows.measuring import Report, measure_on, write_latency


@dataclass(frozen=True)
class Failure:
    """A phone that could not be measured; `found` and `remedy` are those of the `EdgenetError`."""

    target: str
    found: str
    remedy: str


@dataclass(frozen=True)
class Bench:
    """The result of `bench` or `bench_all`.

    Attributes:
        reports: one `edgenet.latency.v1` report for each model on each target: target by target, and for each
            target in the order of the models.
        files: the path of each report, in the same order; empty if no output folder was given.
        failures: phones that `bench_all` could not measure, and why.
    """

    reports: tuple[Report, ...]
    files: tuple[str, ...]
    failures: tuple[Failure, ...] = ()


def bench(
    models: Sequence[Path],
    targets: Sequence[str] = ("local",),
    options: BenchOptions = BenchOptions(),  # noqa: B008 (frozen)
    out: Path | None = None,
    progress: Progress = silent,
    measured: Callable[[Report], None] = lambda report: None,
) -> Bench:
    """Measure models on devices; on each device, several models take turns.

    Args:
        models: .tflite files or bundles.
        targets: devices, such as "local", "ssh:pi@raspberrypi.local" or "adb".
        out: folder for the reports, named NAME.on-TARGET.json; made if missing.
        measured: called with each report once its target is done and the report is written.

    Raises:
        EdgenetError: before measuring, if a model, target or option is not usable; later, if a device cannot
            be reached or is lost (the reports of earlier targets are already written).
    """
    options.check()
    _check(models, targets, options)
    if out is not None:
        make_folder(out)
    reports: list[Report] = []
    files: list[str] = []
    for target in targets:
        found = measure_on(target, models, options, progress)
        files += _keep(models, target, found, out, measured)
        reports += found
    return Bench(tuple(reports), tuple(files))


def bench_all(
    models: Sequence[Path],
    options: BenchOptions = BenchOptions(),  # noqa: B008 (frozen)
    out: Path | None = None,
    progress: Progress = silent,
    measured: Callable[[Report], None] = lambda report: None,
) -> Bench:
    """Measure models on all attached phones (adb) at the same time; a failing phone does not stop the others.

    Args:
        models, options, out, measured: as for `bench`.
        progress: called with each phone's stages, which start with the phone's name.

    Raises:
        EdgenetError: a model or option is not usable, adb is missing, or no phone is attached.
    """
    from edgenet.devices.adb_phones import attached

    options.check()
    targets = [f"adb:{phone.serial}" for phone in attached()]
    _check(models, targets, options)
    if out is not None:
        make_folder(out)
    one_at_a_time, stopped = Lock(), Event()

    def told(stage: str, done: int, total: int | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt  # Ctrl-C reaches only the main thread; this ends the others
        with one_at_a_time:
            progress(stage, done, total)

    def measure(target: str) -> tuple[list[Report], list[str]] | Failure:
        try:
            found = measure_on(target, models, options, told)
        except EdgenetError as error:
            return Failure(target, error.found, error.remedy)
        with one_at_a_time:
            return found, _keep(models, target, found, out, measured)

    with ThreadPoolExecutor(len(targets)) as pool:
        try:
            results = list(pool.map(measure, targets))
        except KeyboardInterrupt:
            stopped.set()
            raise
    done = [one for one in results if not isinstance(one, Failure)]
    return Bench(
        tuple(report for reports, _ in done for report in reports),
        tuple(file for _, files in done for file in files),
        tuple(one for one in results if isinstance(one, Failure)),
    )


def _keep(
    models: Sequence[Path],
    target: str,
    reports: Sequence[Report],
    out: Path | None,
    measured: Callable[[Report], None],
) -> list[str]:
    """Write a target's reports and call `measured` with each; return the paths."""
    files = []
    for name, report in zip(_names(models), reports, strict=True):
        if out is not None:
            path = out / f"{name}.on-{_safe(target)}.json"
            write_latency(path, report)
            files.append(str(path))
        measured(report)
    return files


def _check(models: Sequence[Path], targets: Sequence[str], options: BenchOptions) -> None:
    if not models or not targets:
        raise EdgenetError("there is nothing to measure", "give at least one model and one target")
    for target in targets:
        where = parse_target(target)
        if options.benchmark_model is not None and isinstance(where, Browser):
            raise EdgenetError("benchmark_model does not run in a browser", "leave out --benchmark-model")
        if not isinstance(where, Adb | Browser) and options.browser:
            raise EdgenetError(
                f"{target} cannot be measured in a browser", "leave out --browser, which is for phones (adb)"
            )
    for model in models:
        open_model(model)
    if options.benchmark_model is not None:
        read_program(options.benchmark_model)


def _names(models: Sequence[Path]) -> list[str]:
    """Return the reports' names: the models' file stems, with a number if several models share a stem."""
    names: list[str] = []
    for model in models:
        taken = sum(name == model.stem or name.startswith(f"{model.stem}.") for name in names)
        names.append(f"{model.stem}.{taken + 1}" if taken else model.stem)
    return names


def _safe(target: str) -> str:
    """Replace the characters of a target that a file name should not have."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in target)
