"""Measuring with TensorFlow Lite's own `benchmark_model`, which the user gives: on phones, where nothing else need run.

It tells no single inferences, only figures of all of them. So it is started once for each block of the protocol, the
models taking turns, and the report has each block's median.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from math import ceil
from pathlib import Path
from typing import Any

from device_scripts.affinity import parse_cpu_list
from device_scripts.conditions import ends_of
from device_scripts.latency_report import SCHEMA
from device_scripts.model_file import ModelFile, open_model
from device_scripts.protocol import PROTOCOLS, Protocol, changed
from device_scripts.validity import Evidence, reasons_against
from edgenet.devices.device import Device
from edgenet.devices.elf import program_machine
from edgenet.devices.posix import script
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.latency.options import BenchOptions
from edgenet.latency.told import model_facts, operators_of
from edgenet.latency.tool_output import ToolRun, read_operators, read_run
from edgenet.latency.tool_report import Look, cold_start_of, device_facts_of, look_of, profile_of, steady_of
from edgenet.progress import Progress, silent

ROUTE = "benchmark_model"
_SUM = 'cd "$1" 2>/dev/null && sha256sum "$2" 2>/dev/null; exit 0'
_LOOK = """
echo "cores=$(nproc)"
echo "kernel=$(uname -r)"
soc=$(getprop ro.soc.model 2>/dev/null) && echo "soc=$soc"
read -r load _ </proc/loadavg && echo "load=$load"
exit 0
"""
_CLUSTERS = """
for policy in /sys/devices/system/cpu/cpufreq/policy*; do
    fastest=$(cat "$policy/cpuinfo_max_freq" 2>/dev/null) && echo "$fastest $(cat "$policy/related_cpus")"
done
exit 0
"""


def check_tool(tool: Path, options: BenchOptions) -> None:
    """Refuses what cannot work, before a phone is asked for.

    Raises:
        EdgenetError: no program, or an option that it has no way to follow.
    """
    program_machine(tool)
    affinity = options.affinity or "all"
    refused = {
        "--browser": options.browser,
        "--sustained": options.sustained_s is not None,
        "--settle": bool(options.settle_s),
        "--threads with several numbers": len(options.threads) > 1,
        "--affinity with several sets": "/" in affinity or affinity == "auto",
    }
    for name, given in refused.items():
        if given:
            raise EdgenetError(f"benchmark_model cannot follow {name}", "leave it out")


def measure_with_tool(
    device: Device, tool: Path, models: Sequence[Path], options: BenchOptions, progress: Progress = silent
) -> list[dict[str, Any]]:
    """A report for each model, measured in turns.

    Args:
        tool: the program, for the device's architecture.

    Raises:
        EdgenetError: it does not run there, refuses a model, or says what is not understood; the device is lost.
    """
    check_tool(tool, options)
    there, cpus = _place(device, tool, progress), _cpus(device, options.affinity or "all")
    opened = [open_model(model) for model in models]
    with _copied(device, opened, progress) as paths:
        began = _Beginning(datetime.now(timezone.utc).isoformat(timespec="seconds"), _look(device))
        tasks = [
            _Task(device, there, path, model, operators_of(model), cpus, options)
            for path, model in zip(paths, opened, strict=True)
        ]
        runs: list[list[ToolRun]] = [[] for _ in tasks]
        for block in range(tasks[0].protocol.blocks):
            progress("runs", block, tasks[0].protocol.blocks)
            for task, done in zip(tasks, runs, strict=True):
                done.append(task.run())
        after = _look(device)
        facts = device_facts_of(device.facts(), after.values)
        digest = sha256(tool)
        return [
            _report(task, done, began, after, facts, digest) for task, done in zip(tasks, runs, strict=True)
        ]


@dataclass(frozen=True)
class _Task:
    """A model to run, on `cpus` (none: on all)."""

    device: Device
    program: str
    path: str
    model: ModelFile
    operators: list[str]
    cpus: tuple[int, ...]
    options: BenchOptions

    @property
    def protocol(self) -> Protocol:
        named = PROTOCOLS[self.options.protocol]
        return changed(named, runs=self.options.runs, min_seconds=self.options.min_seconds)

    def run(self) -> ToolRun:
        """One block, in a fresh process."""
        protocol = self.protocol
        text = self._start(
            f"--num_runs={ceil(protocol.runs / protocol.blocks)}",
            f"--min_secs={protocol.min_seconds / protocol.blocks:g}",
        )
        return read_run(text, len(self.operators))

    def profile(self) -> dict[str, Any]:
        """Of the operators, in a run of its own: being watched takes time."""
        return profile_of(read_operators(self._start("--num_runs=50", "--enable_op_profiling=true")))

    def _start(self, *more: str) -> str:
        flags = (
            f"--graph={self.path}",
            f"--num_threads={self.options.threads[0]}",
            f"--warmup_runs={self.protocol.warmup}",
            "--warmup_min_secs=0",
            "--use_xnnpack=true",
            "--verbose=true",
        )
        mask = f"{sum(1 << cpu for cpu in self.cpus):x}"
        pinned = ("taskset", mask) if self.cpus else ()
        done = self.device.run([*pinned, self.program, *flags, *more])
        if done.status:
            raise EdgenetError(
                f"benchmark_model on {self.device.name} failed with status {done.status}: {done.last_words()}",
                "see that it is built for this phone, and that it reads this model",
            )
        return (done.out + done.err).decode(errors="replace")


@dataclass(frozen=True)
class _Beginning:
    started: str
    look: Look


def _place(device: Device, tool: Path, progress: Progress) -> str:
    """The program's path there; it is copied once, and checked whenever it is used."""
    wanted, built = sha256(tool), program_machine(tool)
    userland = device.facts().userland
    if built != userland and not (built, userland) == ("armv7l", "aarch64"):
        raise EdgenetError(
            f"{tool} is for {built}, and {device.name} is {userland}",
            f"give one that is built for {userland}",
        )
    folder, name = f"{device.home}/tools/{wanted[:16]}", "bin/benchmark_model"
    if _sum(device, folder, name) != wanted:
        device.push({name: tool}, folder, progress)
        if _sum(device, folder, name) != wanted:
            raise EdgenetError(f"{tool} came to {device.name} damaged", "do the same again")
    return f"{folder}/{name}"


def _sum(device: Device, folder: str, name: str) -> str:
    return device.run(script(_SUM, folder, name)).out.decode(errors="replace").partition(" ")[0].strip()


@contextmanager
def _copied(device: Device, models: Sequence[ModelFile], progress: Progress) -> Iterator[list[str]]:
    folder = f"{device.home}/measuring-{secrets.token_hex(4)}"
    files: dict[str, Path | bytes] = {f"{number}.tflite": model.data for number, model in enumerate(models)}
    try:
        device.push(files, folder, progress)
        yield [f"{folder}/{name}" for name in files]
    finally:
        device.run(["rm", "-rf", folder])


def _cpus(device: Device, affinity: str) -> tuple[int, ...]:
    """Those to stay on; none for all."""
    if affinity == "all":
        return ()
    if affinity != "big":
        return parse_cpu_list(affinity)
    clusters: dict[int, set[int]] = {}
    for line in device.run(script(_CLUSTERS)).out.decode(errors="replace").splitlines():
        numbers = [int(text) for text in line.split() if text.isdigit()]
        clusters.setdefault(numbers[0], set()).update(numbers[1:])
    big = [cpus for fastest, cpus in clusters.items() if fastest > min(clusters)]
    return tuple(sorted(set().union(*big)))


def _look(device: Device) -> Look:
    lines = device.run(script(_LOOK)).out.decode(errors="replace").splitlines()
    values = {name: value for name, _, value in (line.partition("=") for line in lines) if value}
    return look_of(values, _dumped(device, "thermalservice"), _dumped(device, "battery"))


def _dumped(device: Device, service: str) -> str:
    """What Android tells of a service; "" elsewhere."""
    return device.run(["dumpsys", service]).out.decode(errors="replace")


def _report(
    task: _Task,
    runs: Sequence[ToolRun],
    began: _Beginning,
    after: Look,
    device: dict[str, Any],
    digest: str,
) -> dict[str, Any]:
    ends = (began.look.conditions, after.conditions)
    steady, cores = steady_of(runs, task.protocol), device["cores"] or 1
    reasons = reasons_against(
        Evidence(steady["n"], tuple(steady["block_p50_ms"]), *ends, runs[0].delegate, cores, None)
    )
    return {
        "schema": SCHEMA,
        "route": ROUTE,
        "started": began.started,
        "model": model_facts(task.model, task.operators),
        "runtime": {"name": "benchmark_model", "version": None, "sha256": digest},
        "delegate": runs[0].delegate.as_dict(),
        "device": device,
        "protocol": task.protocol.as_dict(),
        "threads": task.options.threads[0],
        "affinity": list(task.cpus),
        "cpu_sets": {},
        "tried": [],
        "settling": {"waited_s": 0.0},
        **ends_of(*ends),
        "during": [],
        "cold_start": cold_start_of(runs),
        "steady_state": steady,
        "sustained": None,
        "profile": task.profile() if task.options.profile else None,
        "peak_memory_bytes": None,
        "load": {"average_1_min_at_start": ends[0].load_average, "cores": cores, "others_cpu_share": None},
        "pipeline": None,
        "valid": not reasons,
        "reasons": reasons,
    }
