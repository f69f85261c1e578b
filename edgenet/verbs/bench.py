"""The verb `bench`: latency on devices, written down with everything that decides it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from device_scripts.model_file import open_model
from edgenet.benchmark_model.program import read_program
from edgenet.devices.target import Adb, Browser, parse_target
from edgenet.errors import EdgenetError
from edgenet.files import make_folder
from edgenet.latency.measuring import Report, measure_on, write_latency
from edgenet.latency.options import BenchOptions
from edgenet.progress import Progress, silent

__all__ = ["Bench", "BenchOptions", "Failure", "bench", "bench_all"]


@dataclass(frozen=True)
class Failure:
    """A phone that could not be measured, in the words of the error: what was found, and what to do."""

    target: str
    found: str
    remedy: str


@dataclass(frozen=True)
class Bench:
    """What was measured.

    Attributes:
        reports: one `edgenet.latency.v1` for each model on each target: the first target's first, in the models' order.
        files: where each was written, in the same order; empty without a folder.
        failures: of `bench_all`, the phones that gave no report, and why.
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
    """Measures models on devices, in turns where they are several.

    Args:
        models: .tflite files or bundles.
        targets: such as "local", "ssh:pi@raspberrypi.local" or "adb".
        out: a folder for the reports, NAME.on-TARGET.json; made if it is not there.
        measured: told each report as soon as it is there and written.

    Raises:
        EdgenetError: a model, target or option that does not fit, before anything is measured; a device that cannot be
            reached or is lost (reports of targets before it are written already).
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
    """Measures models on every phone that adb knows, on all at once; those that fail do not keep the others from it.

    Args:
        models, options, out, measured: see `bench`; `progress` is told each phone's stages under the phone's name.

    Raises:
        EdgenetError: a model or option that does not fit, no adb, or no phone at all.
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
            raise KeyboardInterrupt  # in every thread, as Ctrl-C ends the measurement of a single phone
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
    """Writes the reports of a target, and tells of each; where they are."""
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
            raise EdgenetError("a browser runs no benchmark_model", "leave out --benchmark-model")
        if not isinstance(where, Adb | Browser) and options.browser:
            raise EdgenetError(
                f"{target} is measured in no browser", "leave out --browser, which is for phones (adb)"
            )
    for model in models:
        open_model(model)
    if options.benchmark_model is not None:
        read_program(options.benchmark_model)


def _names(models: Sequence[Path]) -> list[str]:
    """What the reports are called: the files' names, and a number where two are called the same."""
    names: list[str] = []
    for model in models:
        taken = sum(name == model.stem or name.startswith(f"{model.stem}.") for name in names)
        names.append(f"{model.stem}.{taken + 1}" if taken else model.stem)
    return names


def _safe(target: str) -> str:
    """A target in a file's name."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in target)
