"""Measuring on a device: the models go there, its own script measures them in turns, the reports come back."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgenet.devices.device import Device, Running
from edgenet.devices.installed import Installed
from edgenet.devices.installing import install
from edgenet.devices.local import LocalDevice
from edgenet.devices.opening import opened
from edgenet.devices.target import Browser, parse_target
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.latency.options import BenchOptions
from edgenet.latency.profile import with_mult_adds
from edgenet.progress import Progress, silent

Report = dict[str, Any]
"""An `edgenet.latency.v1`, as JSON has it."""


def measure_on(
    target: str, models: Sequence[Path], options: BenchOptions, progress: Progress = silent
) -> list[Report]:
    """One report for each model, in their order, with "target" and the models' names as they are here.

    Args:
        target: as `edgenet.devices.target` reads it.
        models: .tflite files or bundles.

    Raises:
        EdgenetError: the device cannot be reached or is lost, cannot take a model, or its script fails; says why.
    """
    where = parse_target(target)
    options = options.settled(where)
    if isinstance(where, Browser) or options.browser:
        from edgenet.webpage.measuring import measure_in_browser
        from edgenet.webpage.opening import browser_of

        with browser_of(target) as viewer:
            reports = measure_in_browser(models, options, progress, viewer)
    else:
        with opened(target) as device:
            reports = _measure_on_device(device, models, options, progress)
    return [_as_here(report, model, target) for model, report in zip(models, reports, strict=True)]


def _measure_on_device(
    device: Device, models: Sequence[Path], options: BenchOptions, progress: Progress
) -> list[Report]:
    def named(stage: str, done: int, total: int | None) -> None:
        progress(f"{device.name}: {stage}", done, total)

    if options.benchmark_model is None:
        return measure_there(device, models, options, named)
    from edgenet.benchmark_model.measuring import measure_with_program

    return measure_with_program(device, options.benchmark_model, models, options, named)


def check_reachable(target: str) -> None:
    """Connects once, for those who measure after hours of something else.

    Raises:
        EdgenetError: the device cannot be reached; says why.
    """
    if not isinstance(parse_target(target), Browser):
        with opened(target):
            pass


def measure_there(
    device: Device, models: Sequence[Path], options: BenchOptions, progress: Progress
) -> list[Report]:
    """The same on a device that is open already, as its script writes them."""
    installed = install(models[0], device, progress)
    with _all_there(installed, models, progress) as paths:
        command = installed.script("measure_latency", [*paths, "--lines", *options.arguments()])
        with device.start(command) as running:
            reports = _follow(running, progress)
            done = running.finish()
    if done.status != 0 or reports is None:
        reason = done.last_words().removeprefix("error: ")
        raise EdgenetError(f"measuring on {device.name} failed: {reason}")
    return reports


def write_latency(path: Path, report: Report) -> None:
    """Writes a report as JSON, on one line: its samples are many.

    Raises:
        EdgenetError: it cannot be written.
    """
    write_atomically(path, (json.dumps(report, allow_nan=False) + "\n").encode())


@contextmanager
def _all_there(installed: Installed, models: Sequence[Path], progress: Progress) -> Iterator[list[str]]:
    """The models' paths on the device. Only the first is a release there, the others stay for the block."""
    device = installed.device
    if isinstance(device, LocalDevice):
        yield [str(model.resolve()) for model in models]
        return
    folder = f"{device.home}/measuring-{secrets.token_hex(4)}"
    others = {f"{number}{model.suffix}": model for number, model in enumerate(models[1:], 2)}
    try:
        if others:
            device.push(others, folder, progress)
        yield [installed.bundle, *(f"{folder}/{name}" for name in others)]
    finally:
        if others:
            device.run(["rm", "-rf", folder])


def _as_here(report: Report, model: Path, target: str) -> Report:
    """The report with what this machine knows: the target, the file's name here, and what each operator computes."""
    named = {**report, "target": target, "model": {**report["model"], "file": model.name}}
    if report["profile"] is not None:
        named["profile"] = with_mult_adds(report["profile"], model)
    return named


def _follow(running: Running, progress: Progress) -> list[Report] | None:
    """The reports that its last line holds; the lines before it are progress, any other is somebody else's."""
    reports: list[Report] | None = None
    for line in running.lines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and "reports" in told:
            reports = told["reports"]
        elif isinstance(told, dict) and "stage" in told:
            progress(told["stage"], told["done"], told["total"])
    return reports
