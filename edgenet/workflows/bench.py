"""The verb `bench`: measures latency on devices and writes reports with all conditions that affect it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from edgenet_device.model_file import open_model

from edgenet.devices.adb_connection import attached_phones
from edgenet.devices.device import Adb, Browser
from edgenet.devices.fleet_file import chosen_devices, is_fleet
from edgenet.devices.shell import identity
from edgenet.devices.targets import open_device, parse_target
from edgenet.errors import EdgenetError
from edgenet.files import make_folder
from edgenet.latency.benchmark_model import read_program
from edgenet.latency.options import BenchOptions
from edgenet.progress import Progress, silent
from edgenet.workflows.arguments import checked
from edgenet.workflows.fleet import at_once
from edgenet.workflows.measuring import Report, measure_on, timing, write_latency

_MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Failure:
    """A device that could not be measured; `found` and `remedy` are those of the `EdgenetError`."""

    target: str
    found: str
    remedy: str


@dataclass(frozen=True)
class Bench:
    """The result of `bench`.

    Attributes:
        reports: one `edgenet.latency.v1` report for each model on each target: target by target, and for each
            target in the order of the models.
        files: the path of each report, in the same order; empty if no output folder was given.
        failures: phones that could not be measured with `all`, and why.
        notes: messages for the user, such as that a phone is attached twice.
    """

    reports: tuple[Report, ...]
    files: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()


@checked
def bench(
    models: str | Path | Sequence[str | Path],
    *,
    on: str | Sequence[str] = "local",
    protocol: str = "quick",
    threads: int | Sequence[int] = 1,
    affinity: str | None = None,
    settle: float | None = None,
    sustained: float | None = None,
    profile: bool = False,
    runs: int | None = None,
    min_seconds: float | None = None,
    browser: bool = False,
    benchmark_model: str | Path | None = None,
    all: bool = False,
    out: str | Path | None = None,
    progress: Progress = silent,
    show: Callable[[Report], None] = lambda report: None,
) -> Bench:
    """Measure the latency of models on devices; on each device, several models take turns.

    >>> result = edgenet.bench("small.tflite", runs=50, min_seconds=0.1, out="latency")
    >>> result.files, result.reports[0]["steady_state"]["p50_ms"] > 0
    (('latency/small.on-local.json',), True)

    Args:
        models: .tflite files or bundles.
        on: devices: "local", "browser", "ssh:USER@HOST[:PORT]", "adb" or "adb:SERIAL", measured one after another; or
            those of a fleet file, all measured at the same time, where a failing one does not stop the others.
        protocol: "quick" (at least 50 runs and 1 s) or "standard" (at least 1,024 runs and 60 s, as MLPerf).
        threads: thread counts to try; each model is measured with its fastest.
        affinity: CPUs to run on: "all", "big", "auto", or lists such as "0-3/4-7" to try; None for all, and for
            "big" on a phone.
        settle: longest wait for a cool and idle device, seconds; None for the protocol's.
        sustained: also measure under sustained load for this long, seconds, at least 60.
        profile: also measure the time of every operator.
        runs, min_seconds: least number of runs and their least total time, seconds; None for the protocol's.
        browser: measure in the phone's browser.
        benchmark_model: measure with this benchmark_model program of TensorFlow Lite, built for the device.
        all: with on="adb", measure on every attached phone at the same time; a failing one does not stop the others.
        out: folder for the reports, named MODEL.on-TARGET.json; made if missing.
        progress: called with each stage's name, the amount done, and the total.
        show: called with each report as soon as its device is done and the report is written.

    Raises:
        EdgenetError: before measuring, if a model, device or option is not usable; later, if a device cannot be
            reached or is lost (the reports of earlier devices are already written).
        TypeError: an argument has the wrong type.
    """
    program = None if benchmark_model is None else Path(benchmark_model)
    more = {"sustained_s": sustained, "profile": profile, "runs": runs, "min_seconds": min_seconds}
    options = timing(protocol, threads, affinity, settle, **more, browser=browser, benchmark_model=program)
    targets = (on,) if isinstance(on, str) else tuple(on)
    paths = [Path(model) for model in ([models] if isinstance(models, str | os.PathLike) else models)]
    folder = None if out is None else Path(out)
    options.check()
    if all and targets != ("adb",):
        raise EdgenetError(f"all is for phones, and on is {on}", 'give on="adb" too')
    chosen = [f"adb:{phone.serial}" for phone in attached_phones()] if all else _names_of(targets)
    if all or any(map(is_fleet, chosen)):
        return _bench_at_once(paths, chosen, options, folder, progress, show)
    return _bench_devices(paths, chosen, options, folder, progress, show)


def _names_of(targets: Sequence[str]) -> list[str]:
    return [device.on for device in chosen_devices(targets)]


def _bench_devices(
    models: Sequence[Path],
    targets: Sequence[str],
    options: BenchOptions,
    out: Path | None,
    progress: Progress,
    show: Callable[[Report], None],
) -> Bench:
    """Measure models on one device after another."""
    _check(models, targets, options)
    if out is not None:
        make_folder(out)
    reports: list[Report] = []
    files: list[str] = []
    for target in targets:
        measured = measure_on(target, models, options, progress)
        files += _keep(models, target, measured, out, show)
        reports += measured
    return Bench(tuple(reports), tuple(files))


def _bench_at_once(
    models: Sequence[Path],
    routes: Sequence[str],
    options: BenchOptions,
    out: Path | None,
    progress: Progress,
    show: Callable[[Report], None],
) -> Bench:
    """Measure models on several devices at the same time; a failing device does not stop the others.

    Args:
        progress: called with each device's stages, which start with the device's name.

    Raises:
        EdgenetError: a model or option is not usable.
    """
    _check(models, routes, options)
    targets, notes = _each_device_once(routes)
    if out is not None:
        make_folder(out)

    one_at_a_time = Lock()

    def measure(target: str, progress: Progress) -> tuple[list[Report], list[str]] | Failure:
        try:
            reports = measure_on(target, models, options, progress)
        except EdgenetError as error:
            return Failure(target, error.found, error.remedy)
        with one_at_a_time:
            return reports, _keep(models, target, reports, out, show)

    results = at_once(measure, targets, progress, _MOST_AT_ONCE)
    done = [one for one in results if not isinstance(one, Failure)]
    return Bench(
        tuple(report for reports, _ in done for report in reports),
        tuple(file for _, files in done for file in files),
        tuple(one for one in results if isinstance(one, Failure)),
        notes,
    )


def _each_device_once(routes: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the targets without those that lead to a device which another one leads to, and a note for each of these.

    Measured by two routes at once, a device would disturb itself. Of a phone, a cable is preferred to a network.
    """
    ordered = sorted(routes, key=lambda route: (":" in route.removeprefix("adb:"), route))
    numbers = at_once(lambda route, _: _identity(route), ordered, silent, _MOST_AT_ONCE)
    first: dict[str, str] = {}
    notes = []
    for route, number in zip(ordered, numbers, strict=True):
        if first.setdefault(number or route, route) != route:
            kind = "phone" if route.startswith("adb") else "device"
            notes.append(f"{route} is the same {kind} as {first[number]}, so it was not measured twice")
    return sorted(first.values(), key=routes.index), tuple(notes)


def _identity(target: str) -> str:
    """Return what `identity` says; "" for a device that cannot be asked, which says why when it is measured."""
    try:
        with open_device(target) as device:
            return identity(device)
    except EdgenetError:
        return ""


def _keep(
    models: Sequence[Path],
    target: str,
    reports: Sequence[Report],
    out: Path | None,
    show: Callable[[Report], None],
) -> list[str]:
    """Write a target's reports and call `show` with each; return the paths."""
    files = []
    for name, report in zip(_names(models), reports, strict=True):
        if out is not None:
            path = out / f"{name}.on-{_safe(target)}.json"
            write_latency(path, report)
            files.append(str(path))
        show(report)
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
