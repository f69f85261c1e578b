"""Measuring models on one device: the device's script measures the copied models in turns, and we read its reports.

Every verb that measures calls `measure_on`: `bench`, `compare`, `select`, `sweep`, `train` and `inspect --profile`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import read_json

from edgenet.devices.device import Browser, Device, Running
from edgenet.devices.install import Installed, install
from edgenet.devices.local import LocalDevice
from edgenet.devices.shell import understood
from edgenet.devices.targets import open_device, parse_target
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.latency.benchmark_model import measure_with_program
from edgenet.latency.options import BenchOptions
from edgenet.latency.profile import Profile, by_kind, operator_times, with_mult_adds
from edgenet.progress import Progress, silent

Report = dict[str, Any]
"""A report of the schema `edgenet.latency.v1`, as parsed JSON."""


def timing(
    protocol: str, threads: int | Sequence[int], affinity: str | None, settle: float | None, **more: Any
) -> BenchOptions:
    """Return the options of a measurement from the arguments that `bench` and `compare` share.

    Args:
        more: further fields of `BenchOptions`.
    """
    counts = (threads,) if isinstance(threads, int) else tuple(threads)
    return BenchOptions(protocol, counts, affinity, settle_s=settle, **more)


def measure_on(
    target: str, models: Sequence[Path], options: BenchOptions, progress: Progress = silent
) -> list[Report]:
    """Measure models on a target and return one report for each, in order.

    Each report includes the "target" and the model's file name on this machine.

    Args:
        target: a target as `edgenet.devices.targets.parse_target` parses it.
        models: .tflite files or bundles.
        options: how to measure.
        progress: reports every step.

    Raises:
        EdgenetError: the device cannot be reached or is disconnected, cannot run a model, or its script
            fails; the message says why.
    """
    where = parse_target(target)
    options = options.for_target(where)
    if isinstance(where, Browser) or options.browser:
        from edgenet.web.browser_latency import measure_in_browser
        from edgenet.web.viewers import open_target_browser

        with open_target_browser(target) as viewer:
            reports = measure_in_browser(models, options, progress, viewer)
    else:
        with open_device(target) as device:
            reports = _measure_by_route(device, models, options, progress)
    return [_with_local_facts(report, model, target) for model, report in zip(models, reports, strict=True)]


def _measure_by_route(
    device: Device, models: Sequence[Path], options: BenchOptions, progress: Progress
) -> list[Report]:
    def named(stage: str, done: int, total: int | None) -> None:
        progress(f"{device.name}: {stage}", done, total)

    if options.benchmark_model is None:
        return measure_on_device(device, models, options, named)
    return measure_with_program(device, options.benchmark_model, models, options, named)


def check_reachable(target: str) -> None:
    """Connect once, so that a command that measures only after hours of other work can fail early.

    Raises:
        EdgenetError: the device cannot be reached; the message says why.
    """
    if not isinstance(parse_target(target), Browser):
        with open_device(target):
            pass


def measure_on_device(
    device: Device, models: Sequence[Path], options: BenchOptions, progress: Progress
) -> list[Report]:
    """Measure models on an opened device and return the reports as its script wrote them.

    Raises:
        EdgenetError: see `measure_on`.
    """
    installed = install(models[0], device, progress)
    with _models_on_device(installed, models, progress) as paths:
        command = installed.script("measure_latency", [*paths, "--lines", *options.arguments()])
        with device.start(command) as running:
            reports = _follow(running, progress)
            done = running.finish()
    if done.status != 0 or reports is None:
        reason = done.last_line().removeprefix("error: ")
        raise EdgenetError(f"measuring on {device.name} failed: {reason}")
    with understood(device):
        return [{**report, "model": {**report["model"]}, "profile": report["profile"]} for report in reports]


def write_latency(path: Path, report: Report) -> None:
    """Write a report as JSON, on a single line because it has many samples.

    Raises:
        EdgenetError: the file cannot be written.
    """
    write_atomically(path, (json.dumps(report, allow_nan=False) + "\n").encode())


@contextmanager
def _models_on_device(
    installed: Installed, models: Sequence[Path], progress: Progress
) -> Iterator[list[str]]:
    """Yield the models' paths on the device; all except the first, installed one are removed afterwards."""
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


def _with_local_facts(report: Report, model: Path, target: str) -> Report:
    """Return the report with the target, the model's file name here, and each operator's mult-adds."""
    named = {**report, "target": target, "model": {**report["model"], "file": model.name}}
    if report["profile"] is not None:
        named["profile"] = with_mult_adds(report["profile"], model)
    return named


def _follow(running: Running, progress: Progress) -> list[Report] | None:
    """Return the reports that the script prints; None if it prints none.

    The script prints JSON lines, progress first and the reports last; other lines come from other programs
    and are ignored.
    """
    reports: list[Report] | None = None
    for line in running.lines():
        try:
            message = read_json(line)
        except ValueError:
            continue
        if isinstance(message, dict) and "reports" in message:
            reports = message["reports"]
        elif isinstance(message, dict) and "stage" in message:
            progress(str(message["stage"]), message.get("done", 0), message.get("total"))
    return reports


def measure_operators(target: str, model: Path, progress: Progress = silent) -> Profile:
    """Measure a model and its operators with the quick protocol.

    Raises:
        EdgenetError: see `measure_on`.
    """
    (report,) = measure_on(target, [model], BenchOptions(profile=True), progress)
    measured, device = report["profile"], report["device"]
    operators = operator_times(measured)
    return Profile(
        target=target,
        device=device["model"] or device["cpu"] or "unknown",
        method=measured["method"],
        clock=measured["clock"],
        threads=measured["threads"],
        p50_ms=report["steady_state"]["p50_ms"],
        valid=report["valid"],
        reasons=tuple(report["reasons"]),
        operators=operators,
        kinds=by_kind(operators),
    )
