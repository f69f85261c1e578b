"""Measuring models in turns with benchmark_model, one process for each block, on any device with a shell."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from edgenet_device.latency.affinity import ALL, CpuSet, Setting, chosen_sets, cpu_list, settings
from edgenet_device.latency.conditions import Conditions
from edgenet_device.latency.interleaved import SAME
from edgenet_device.latency.report import (
    PROTOCOLS,
    QUICK,
    Evidence,
    Protocol,
    changed,
    cpu_set_facts,
    look_facts,
    model_facts,
    report_form,
)
from edgenet_device.latency.samples import percentile
from edgenet_device.model_file import ModelFile, open_model
from edgenet_device.runtime import Delegate

from edgenet.devices.device import Device, ProgramResult, script
from edgenet.errors import EdgenetError
from edgenet.latency.benchmark_model_program import (
    NAME,
    NOTHING_KNOWN,
    BenchmarkProgram,
    OperatorRow,
    Timings,
    check_fits,
    place_program,
    read_delegate,
    read_operators,
    read_program,
    read_timings,
)
from edgenet.latency.options import BenchOptions
from edgenet.latency.profile import operators_of
from edgenet.latency.shell_conditions import facts_there, look_at
from edgenet.progress import Progress

LONGEST_S = 600
"""The longest time of the runs of one process, seconds; the program's own default is 150."""
_CANNOT_START = (126, 127)
# Run by a shell, so that on this machine too a program that cannot be started ends with an exit status.
_EXEC = 'exec "$@"'


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
    choices = settings(list(options.threads), chosen_sets(options.affinity or ALL, sets))
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    protocol = _protocol(options)
    opened = [open_model(model) for model in models]
    place = place_program(program, device, progress)
    with _models_there(device, opened, progress) as paths:
        before = look_at(device)
        runner = _Runner(device, program, place)
        measured = [
            _prepare(runner, model, there, choices, progress)
            for model, there in zip(opened, paths, strict=True)
        ]
        _measure_in_turns(runner, measured, protocol, progress)
        after = look_at(device)
        if protocol.profile:
            for number, one in enumerate(measured):
                progress("operators", number, len(measured))
                text = runner.run(one.path, one.setting, (*one.arguments, "--enable_op_profiling=true"))
                one.profile = read_operators(text)
    around = MeasurementContext(started, protocol, program, facts, sets, before, after)
    return [report_of(one, around) for one in measured]


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
            raise self._failed(done, setting)
        return f"{done.out.decode(errors='replace')}\n{done.err.decode(errors='replace')}"

    def _failed(self, done: ProgramResult, setting: Setting) -> EdgenetError:
        name, where, why = self.program.path.name, self.device.name, _why(done)
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


def _remedy(why: str, where: str) -> str:
    if "ermission denied" in why:
        return (
            "its folder is mounted noexec, or Android forbids it; on a phone, measure with --browser instead"
        )
    return f"check that it was built for {where} and includes all libraries it needs"


def _pinned(setting: Setting) -> tuple[str, ...]:
    """Return the taskset command; util-linux and Android's toybox both take a hexadecimal mask of CPUs."""
    if setting.cpus.name == ALL:
        return ()
    return ("taskset", f"{sum(1 << cpu for cpu in setting.cpus.cpus):x}")


def _why(done: ProgramResult) -> str:
    """Return why the program failed: its ERROR and FATAL lines, except "Benchmarking failed."."""
    lines = f"{done.err.decode(errors='replace')}\n{done.out.decode(errors='replace')}".splitlines()
    errors = [line.partition(": ")[2] for line in lines if line.startswith(("ERROR: ", "FATAL: "))]
    told = [error for error in errors if error != "Benchmarking failed."]
    return "; ".join(told) or (done.last_words() if done.out or done.err else "it printed no reason")


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
    """Measure a block of each model in every round; odd rounds reverse the order (see `contenders`)."""
    began = monotonic()
    runs, seconds = math.ceil(protocol.runs / protocol.blocks), protocol.min_seconds / protocol.blocks
    for number in range(protocol.blocks):
        progress("runs", number, protocol.blocks)
        for one in measured[:: -1 if number % 2 else 1]:
            one.arguments = _arguments(one.setting.threads, protocol.warmup, runs, seconds)
            text = runner.run(one.path, one.setting, one.arguments)
            one.blocks.append(read_timings(text))
            one.delegate = read_delegate(text, None if one.operators is None else len(one.operators))
            one.looks.append((monotonic() - began, look_at(runner.device)))
    progress("runs", protocol.blocks, protocol.blocks)


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


def _protocol(options: BenchOptions) -> Protocol:
    """Return the protocol: each block is a process and so a cold start; nothing waits for a cool device."""
    named = changed(
        PROTOCOLS[options.protocol],
        runs=options.runs,
        min_seconds=options.min_seconds,
        profile=options.profile or None,
    )
    return replace(named, cold_starts=named.blocks, settle_s=0.0)


# ==== edgenet.benchmark_model.report
# Making an `edgenet.latency.v1` report from benchmark_model's output; unknown values are null.

ROUTE = "benchmark_model"
METHOD = "benchmark_model's own profiler, in a separate run"
PERCENTILES = "p50 is the median of the blocks' medians; no other percentile is reported"
GROUPS = 5
NO_MEDIAN = "p50 unknown: this benchmark_model is too old to report the median"


@dataclass(frozen=True)
class MeasurementContext:
    """The values that all reports of one measurement share.

    Attributes:
        started: when the measurement started, ISO 8601.
        protocol: the measurement protocol.
        program: the benchmark_model program.
        device: the device's facts for the report.
        sets: the device's sets of CPUs, beginning with the set of all CPUs.
        before, after: the conditions before and after the runs.
    """

    started: str
    protocol: Protocol
    program: BenchmarkProgram
    device: dict[str, Any]
    sets: list[CpuSet]
    before: Conditions
    after: Conditions


@dataclass
class BenchmarkModelResult:
    """One model: the settings it ran with and its results.

    Attributes:
        model: the model.
        path: its path on the device.
        operators: kinds of the network's operators; None if this machine's runtime does not list them.
        setting: the threads and CPUs it runs with.
        tried: the settings tried, for the report; empty if there was only one.
        arguments: the program's arguments, except the model's path.
        delegate: what the delegate took over.
        blocks: the timings of each block; every block is a separate process.
        looks: for each block, the second at which it ended and the conditions then.
        profile: the operators' times; None if they were not measured.
    """

    model: ModelFile
    path: str
    operators: list[str] | None
    setting: Setting
    tried: list[dict[str, Any]]
    arguments: tuple[str, ...] = ()
    delegate: Delegate = NOTHING_KNOWN
    blocks: list[Timings] = field(default_factory=list)
    looks: list[tuple[float, Conditions]] = field(default_factory=list)
    profile: tuple[OperatorRow, ...] | None = None


def report_of(measured: BenchmarkModelResult, around: MeasurementContext) -> dict[str, Any]:
    """Return the report of a model."""
    steady = _steady(measured.blocks, around.protocol)
    cores = around.device["cores"] or 1
    during = tuple(seen for _, seen in measured.looks)
    groups = _groups(steady["block_p50_ms"])
    evidence = Evidence(
        steady["n"], groups, around.before, around.after, measured.delegate, cores, None, during
    )
    told = {
        "route": ROUTE,
        "started": around.started,
        "model": model_facts(measured.model, measured.operators),
        "runtime": {"name": NAME, "version": f"SHA-256 {around.program.sha256[:12]}"},
        "device": around.device,
        "threads": measured.setting.threads,
        "affinity": list(measured.setting.cpus.cpus),
        "cpu_sets": cpu_set_facts(around.sets),
        "tried": measured.tried,
        "during": [look_facts(at, seen) for at, seen in measured.looks],
        "cold_start": _cold_start(measured.blocks),
        "steady_state": steady,
        "profile": _profile(measured),
        "program": {**around.program.facts(), "arguments": list(measured.arguments)},
    }
    return report_form(evidence, around.protocol, told, () if groups else (NO_MEDIAN,))


def _steady(blocks: list[Timings], protocol: Protocol) -> dict[str, Any]:
    """Return the steady-state entry; the blocks' means and deviations are combined to those of all runs."""
    n = sum(block.n for block in blocks)
    mean = sum(block.n * block.mean_ms for block in blocks) / n
    squares = sum(block.n * (block.std_ms**2 + block.mean_ms**2) for block in blocks) / n
    medians = [block.p50_ms for block in blocks if block.p50_ms is not None]
    return {
        "n": n,
        "min_ms": min(block.min_ms for block in blocks),
        "p50_ms": percentile(np.array(medians), 50) if medians else None,
        "p90_ms": None,
        "p99_ms": None,
        "max_ms": max(block.max_ms for block in blocks),
        "mean_ms": mean,
        "std_ms": math.sqrt(max(squares - mean**2, 0.0)),
        "percentile_rule": PERCENTILES,
        "warmup_runs": protocol.warmup,
        "min_seconds": protocol.min_seconds,
        "block_sizes": [block.n for block in blocks],
        "block_p50_ms": medians or None,
        "samples_ns": None,
    }


def _groups(medians: list[float] | None) -> tuple[float, ...]:
    """Return the p50 of each of `GROUPS` consecutive groups of blocks; empty without medians."""
    parts = np.array_split(np.array(medians or ()), GROUPS)
    return tuple(percentile(part, 50) for part in parts if part.size)


def _cold_start(blocks: list[Timings]) -> dict[str, Any]:
    """Return the cold-start entry; every block is a new process, whose start-up time is unknown."""
    samples = [{"load_ms": block.load_ms, "first_inference_ms": block.first_inference_ms} for block in blocks]
    load, first = (
        percentile(np.array([one[name] for one in samples]), 50) for name in ("load_ms", "first_inference_ms")
    )
    return {
        "n": len(blocks),
        "import_ms": None,
        "load_ms": load,
        "first_inference_ms": first,
        "total_ms": None,
        "samples": samples,
    }


def _profile(measured: BenchmarkModelResult) -> dict[str, Any] | None:
    if measured.profile is None:
        return None
    rows = [
        {"index": i, "kind": row.kind, "output": row.output, "ms": row.ms, "low_ms": None, "high_ms": None}
        for i, row in enumerate(measured.profile)
    ]
    return {
        "method": METHOD,
        "clock": "wall time",
        "threads": measured.setting.threads,
        "operators": rows,
    }
