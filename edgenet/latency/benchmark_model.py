"""Measuring with benchmark_model, TensorFlow Lite's own program, on any device that has a shell.

The user brings the program. It is checked against the device and copied there, and measures the models in
turns, with one process for each block. `benchmark_model_report` makes the reports of what it prints.
"""

from __future__ import annotations

import math
import secrets
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

from edgenet_device.latency.affinity import ALL, Setting, chosen_sets, cpu_list, thread_cpu_settings
from edgenet_device.latency.interleaved import SAME
from edgenet_device.latency.report import PROTOCOLS, QUICK, Protocol, override_protocol
from edgenet_device.model_file import ModelFile, open_model

from edgenet.devices.device import Device, ProgramResult
from edgenet.devices.local import LocalDevice
from edgenet.devices.shell import script
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.latency.benchmark_model_report import (
    NAME,
    BenchmarkModelResult,
    MeasurementContext,
    Timings,
    read_delegate,
    read_operators,
    read_timings,
    report_of,
)
from edgenet.latency.options import BenchOptions
from edgenet.latency.profile import operators_of
from edgenet.latency.shell_conditions import conditions_there, facts_there
from edgenet.progress import Progress


def measure_with_program(
    device: Device, path: Path, models: Sequence[Path], options: BenchOptions, progress: Progress
) -> list[dict[str, Any]]:
    """Measure models and return one report for each, in order.

    Args:
        device: the device.
        path: the program benchmark_model on this machine.
        models: .tflite files or bundles.
        options: how to measure.
        progress: reports every step.

    Raises:
        EdgenetError: the program was built for another machine or fails on the device, or a model cannot be
            used; the message says why.
    """
    program = read_program(path)
    check_fits(program, device)
    facts, sets = facts_there(device)
    choices = thread_cpu_settings(list(options.threads), chosen_sets(options.affinity or ALL, sets))
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    protocol = _protocol(options)
    opened = [open_model(model) for model in models]
    place = place_program(program, device, progress)
    with _models_there(device, opened, progress) as paths:
        before = conditions_there(device)
        runner = _Runner(device, program, place)
        measured = [
            _prepare(runner, model, there, choices, progress)
            for model, there in zip(opened, paths, strict=True)
        ]
        _measure_in_turns(runner, measured, protocol, progress)
        after = conditions_there(device)
        if protocol.profile:
            for number, one in enumerate(measured):
                progress("operators", number, len(measured))
                text = runner.run(one.path, one.setting, (*one.arguments, "--enable_op_profiling=true"))
                one.profile = read_operators(text)
    context = MeasurementContext(started, protocol, program.facts(), facts, sets, before, after)
    return [report_of(one, context) for one in measured]


def _protocol(options: BenchOptions) -> Protocol:
    """Return the protocol: each block is a process and so a cold start; nothing waits for a cool device."""
    named = override_protocol(
        PROTOCOLS[options.protocol],
        runs=options.runs,
        min_seconds=options.min_seconds,
        profile=options.profile or None,
    )
    return replace(named, cold_starts=named.blocks, settle_s=0.0)


@dataclass(frozen=True)
class BenchmarkProgram:
    """A benchmark_model program.

    Attributes:
        path: the file on this machine.
        machine: the architecture it was built for, named as `uname -m` does.
        sha256: the file's SHA-256.
        size_bytes: the file's size.
    """

    path: Path
    machine: str
    sha256: str
    size_bytes: int

    def facts(self) -> dict[str, str | int]:
        """Return the program's entry in the report."""
        return {"file": self.path.name, "sha256": self.sha256, "size_bytes": self.size_bytes}


def read_program(path: Path) -> BenchmarkProgram:
    """Inspect a program file.

    Raises:
        EdgenetError: the file cannot be read, or is not a program for Linux or Android.
    """
    return BenchmarkProgram(path, _machine_of(path), sha256(path), path.stat().st_size)


_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_PROGRAMS = (2, 3)  # ET_EXEC and ET_DYN: linkers produce programs of either type


def _machine_of(path: Path) -> str:
    """Return the architecture that a program was built for, named as in `DeviceFacts.userland`.

    The architecture is in the ELF header (System V ABI, "ELF Header").

    Raises:
        EdgenetError: the file cannot be read, or is not a program for Linux or Android.
    """
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise EdgenetError(f"cannot read the program {path}: {error.strerror}", "check the path") from None
    order = "<" if head[5:6] == b"\1" else ">"
    kind, number = struct.unpack_from(f"{order}HH", head, 16) if len(head) == 20 else (0, 0)
    if head[:4] != b"\x7fELF" or kind not in _PROGRAMS:
        what = (
            "it does not begin as ELF files do"
            if head[:4] != b"\x7fELF"
            else "it is another kind of ELF file"
        )
        raise EdgenetError(
            f"{path} is not a program for Linux or Android: {what}", "give the program file itself, unpacked"
        )
    return _MACHINES.get(number, f"machine {number}")


def check_fits(program: BenchmarkProgram, device: Device) -> None:
    """Check that a program was built for the device's architecture.

    Raises:
        EdgenetError: it was not; the message says what it was built for and what is needed.
    """
    facts = device.facts()
    # A 64-bit Arm may or may not run 32-bit programs; only starting one shows it, so we allow the attempt.
    if program.machine == facts.userland or (program.machine, facts.machine) == ("armv7l", "aarch64"):
        return
    raise EdgenetError(
        f"{program.path} is for {program.machine}, and {device.name} is {facts.userland}",
        f"give a {NAME} that was built for {facts.userland}",
    )


_CHECK_COPY = 'cd "$1" && echo "$2  $3" | sha256sum -c >/dev/null 2>&1 && chmod 755 "$3"'


def place_program(program: BenchmarkProgram, device: Device, progress: Progress) -> str:
    """Copy the program to the device, unless the same file is already there, and return its path.

    On this machine the program runs from its present path.

    Raises:
        EdgenetError: the program cannot be copied, or the copy has a wrong checksum.
    """
    if isinstance(device, LocalDevice):
        return str(program.path.resolve())
    folder, name = f"{device.home}/tools/{program.sha256[:16]}", f"bin/{NAME}"
    check = script(_CHECK_COPY, folder, program.sha256, name)
    if device.run(check).status:
        device.push({name: program.path}, folder, progress)
        progress("verify", 0, None)
        if device.run(check).status:
            raise EdgenetError(
                f"the copy of {program.path.name} on {device.name} has a wrong checksum",
                "run the same command again",
            )
    return f"{folder}/{name}"


@contextmanager
def _models_there(device: Device, models: Sequence[ModelFile], progress: Progress) -> Iterator[list[str]]:
    """Yield paths of the models on the device, copied as .tflite because the program reads no bundles."""
    folder = f"{device.home}/measuring-{secrets.token_hex(4)}"
    names = [f"{number}.tflite" for number in range(len(models))]
    try:
        device.push({name: model.data for name, model in zip(names, models, strict=True)}, folder, progress)
        yield [f"{folder}/{name}" for name in names]
    finally:
        device.run(["rm", "-rf", folder])


def _prepare(
    runner: _Runner, model: ModelFile, path: str, choices: list[Setting], progress: Progress
) -> BenchmarkModelResult:
    """Choose the model's fastest setting: the first whose p50 is within 2 % of the lowest."""
    operators = operators_of(model)
    if len(choices) == 1:
        return BenchmarkModelResult(model, path, operators, choices[0], [])
    tried: list[tuple[Setting, Timings, float]] = []
    for number, choice in enumerate(choices):
        progress(f"threads and CPUs for {model.path.name}", number, len(choices))
        found = read_timings(
            runner.run(path, choice, _arguments(choice.threads, QUICK.warmup, QUICK.runs, QUICK.min_seconds))
        )
        if found.p50_ms is None:
            raise EdgenetError(
                f"{runner.program.path.name} is too old to report the median, by which we choose a setting",
                "give one number for --threads and one list for --affinity, or use a newer program",
            )
        tried.append((choice, found, found.p50_ms))
    lowest = min(p50 for *_, p50 in tried)
    best = next(choice for choice, _, p50 in tried if p50 <= lowest * (1 + SAME))
    rows = [_trial(choice, found, choice is best) for choice, found, _ in tried]
    return BenchmarkModelResult(model, path, operators, best, rows)


def _trial(setting: Setting, found: Timings, best: bool) -> dict[str, Any]:
    return {
        "threads": setting.threads,
        "cpus": setting.cpus.name,
        "n": found.n,
        "p50_ms": found.p50_ms,
        "p90_ms": None,
        "best": best,
    }


def _measure_in_turns(
    runner: _Runner, measured: list[BenchmarkModelResult], protocol: Protocol, progress: Progress
) -> None:
    """Measure a block of each model in every round.

    Odd rounds reverse the order, as in `edgenet_device.latency.interleaved`.
    """
    began = monotonic()
    runs, seconds = math.ceil(protocol.runs / protocol.blocks), protocol.min_seconds / protocol.blocks
    for number in range(protocol.blocks):
        progress("runs", number, protocol.blocks)
        for one in measured[:: -1 if number % 2 else 1]:
            one.arguments = _arguments(one.setting.threads, protocol.warmup, runs, seconds)
            text = runner.run(one.path, one.setting, one.arguments)
            one.blocks.append(read_timings(text))
            one.delegate = read_delegate(text, None if one.operators is None else len(one.operators))
            one.conditions.append((monotonic() - began, conditions_there(runner.device)))
    progress("runs", protocol.blocks, protocol.blocks)


LONGEST_S = 600
"""The longest time of the runs of one process, seconds; the program's own default is 150."""


def _arguments(threads: int, warmup: int, runs: int, seconds: float) -> tuple[str, ...]:
    return (
        f"--num_threads={threads}",
        f"--warmup_runs={warmup}",
        "--warmup_min_secs=0",
        f"--num_runs={runs}",
        f"--min_secs={seconds:g}",
        f"--max_secs={LONGEST_S}",
        "--use_xnnpack=true",
    )


_CANNOT_START = (126, 127)  # a shell's exit statuses for a program that it cannot start
# Run by a shell, so that on this machine too a program that cannot be started ends with an exit status.
_EXEC = 'exec "$@"'


@dataclass(frozen=True)
class _Runner:
    """Runs the program on the device."""

    device: Device
    program: BenchmarkProgram
    place: str

    def run(self, model: str, setting: Setting, arguments: tuple[str, ...]) -> str:
        """Run the program on a model and return everything it prints.

        Raises:
            EdgenetError: the program fails.
        """
        command = (*_pinned(setting), self.place, f"--graph={model}", *arguments)
        with self.device.start(script(_EXEC, *command)) as running:
            done = running.finish()
        if done.status:
            raise self._error(done, setting)
        return f"{done.out.decode(errors='replace')}\n{done.err.decode(errors='replace')}"

    def _error(self, done: ProgramResult, setting: Setting) -> EdgenetError:
        name, where, why = self.program.path.name, self.device.name, _reason(done)
        if "taskset" in why:
            return EdgenetError(
                f"cannot stay on CPUs {cpu_list(setting.cpus.cpus)} of {where}: {why}", "give --affinity all"
            )
        if done.status in _CANNOT_START:
            return EdgenetError(f"{where} cannot start {name}: {why}", _remedy(why, where))
        return EdgenetError(
            f"{name} failed on {where} with exit status {done.status}: {why}",
            "check that it can read this model",
        )


def _pinned(setting: Setting) -> tuple[str, ...]:
    """Return the taskset command; util-linux and Android's toybox both take a hexadecimal mask of CPUs."""
    if setting.cpus.name == ALL:
        return ()
    return ("taskset", f"{sum(1 << cpu for cpu in setting.cpus.cpus):x}")


def _reason(done: ProgramResult) -> str:
    """Return why the program failed: its ERROR and FATAL lines, except "Benchmarking failed."."""
    lines = f"{done.err.decode(errors='replace')}\n{done.out.decode(errors='replace')}".splitlines()
    errors = [line.partition(": ")[2] for line in lines if line.startswith(("ERROR: ", "FATAL: "))]
    reasons = [error for error in errors if error != "Benchmarking failed."]
    return "; ".join(reasons) or (done.last_line() if done.out or done.err else "it printed no reason")


def _remedy(why: str, where: str) -> str:
    if "ermission denied" in why:
        return (
            "its folder is mounted noexec, or Android forbids it; on a phone, measure with --browser instead"
        )
    return f"check that it was built for {where} and includes all libraries it needs"
