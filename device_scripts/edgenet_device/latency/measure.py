"""Measures models' latency, and each operator's if asked for; returns one `edgenet.latency.v1` report per model."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.flatbuffer import elements, forward, slot, u32, vector
from edgenet_device.foreign_text import read_json
from edgenet_device.latency.affinity import Setting, found_sets, staying_on
from edgenet_device.latency.conditions import Conditions, OthersLoad, device_facts, read_conditions
from edgenet_device.latency.interleaved import (
    LoadedModel,
    Say,
    load_model,
    measure_in_turns,
    settle,
    sustain,
    try_settings,
)
from edgenet_device.latency.report import (
    Evidence,
    Protocol,
    cpu_set_facts,
    model_facts,
    reading_facts,
    report_form,
)
from edgenet_device.latency.samples import (
    PERCENTILE_RULE,
    fill_input,
    group_medians_ms,
    percentile,
    summarize,
)
from edgenet_device.model_file import ModelFile, open_model
from edgenet_device.runtime import (
    Runtime,
    find_delegate,
    has_delegate,
    load_runtime,
    make_interpreter,
    operator_kinds,
    read_operators,
)
from edgenet_device.trial import child_environment

ROUTE = "device_scripts"
"""How a report names its way of measuring when these scripts made it."""
COLD_START_STEPS = ("import_ms", "load_ms", "first_inference_ms", "total_ms")
_COLD_START_TIMEOUT_S = 600
PROFILE_METHOD = "growing prefixes of the network, timed alternately"
PROFILE_RUNS = 31
LONGEST_PAIR_S = 1.0
FEWEST_PROFILE_RUNS = 7
# Field numbers of TFLite's schema.fbs.
_MODEL_SUBGRAPHS, _MODEL_SIGNATURES = 2, 7
_SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 2, 3
_OPERATOR_OUTPUTS = 2
_SIGNATURE_OUTPUTS = 1
_MAP_TENSOR = 1


def measure(paths: list[Path], choices: list[Setting], protocol: Protocol, say: Say) -> list[dict[str, Any]]:
    """Measure .tflite files or bundles on this device; several models are measured alternately.

    Args:
        choices: threads and CPUs to choose from; if there are several, each model gets its fastest.
        say: called with the progress.

    Returns:
        one report per model, ready for JSON; facts that the device does not report are None. `pipeline` is
        always None here: classify.py measures the stages around the network, and the code that joins the two
        reports fills it in.

    Raises:
        EdgenetError: a model cannot be used or a cold start fails.
    """
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    settling = settle(protocol.settle_s, say)
    before = read_conditions()  # before anything is run, so that the load it reads is not ours
    runtime = load_runtime()
    tried = [try_settings(path, runtime, choices, say) for path in paths]
    models = [load_model(path, runtime, one[0]) for path, one in zip(paths, tried)]
    colds = []
    for number, (path, one) in enumerate(zip(paths, tried)):
        say("cold starts", number, len(paths))
        colds.append(cold_starts(path, one[0], protocol.cold_starts))
    others = OthersLoad()
    measure_in_turns(models, protocol, "runs", say)
    after, share = read_conditions(), others.share()
    shared = _Shared(started, runtime, protocol, settling, before, after, share, device_facts())
    reports = [shared.report(loaded, rows, cold) for loaded, (_, rows), cold in zip(models, tried, colds)]
    if protocol.profile:
        for path, one, report in zip(paths, tried, reports):
            report["profile"] = time_operators(path, runtime, one[0], say)
    _sustain_all(models, reports, protocol, say)
    return reports


def _sustain_all(
    models: list[LoadedModel], reports: list[dict[str, Any]], protocol: Protocol, say: Say
) -> None:
    """Measure sustained load, after everything else because it leaves the device hot.

    Before every model but the first, the device settles again, as the protocol says.
    """
    if not protocol.sustained_s:
        return
    for number, (loaded, report) in enumerate(zip(models, reports)):
        if number:
            settle(protocol.settle_s, say)
        stage = f"sustained load, {loaded.model.path.name}"
        report["sustained"] = sustain(loaded, protocol.sustained_s, stage, say)


@dataclass(frozen=True)
class _Shared:
    """What all reports of one measurement have in common."""

    started: str
    runtime: Runtime
    protocol: Protocol
    settling: dict[str, Any]
    before: Conditions
    after: Conditions
    others_share: float | None
    device: dict[str, Any]

    def report(
        self, loaded: LoadedModel, tried: list[dict[str, Any]], cold: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the report of one model."""
        delegate = find_delegate(loaded.interpreter)
        during = tuple(seen for _, seen in loaded.readings)
        cores = self.device["cores"] or 1
        samples = loaded.samples
        medians = group_medians_ms(samples)
        evidence = Evidence(
            samples.size,
            medians,
            self.before,
            self.after,
            delegate,
            cores,
            self.others_share,
            during,
            has_delegate(),
        )
        entries = {
            "route": ROUTE,
            "started": self.started,
            "model": model_facts(loaded.model, operator_kinds(loaded.interpreter)),
            "runtime": {"name": self.runtime.name, "version": self.runtime.version},
            "device": self.device,
            "threads": loaded.setting.threads,
            "affinity": list(loaded.setting.cpus.cpus),
            "cpu_sets": cpu_set_facts(found_sets()),
            "tried": tried,
            "settling": self.settling,
            "during": [reading_facts(at, seen) for at, seen in loaded.readings],
            "cold_start": cold,
            "steady_state": _steady(loaded, self.protocol),
            "peak_memory_bytes": peak_of(cold),
        }
        return report_form(evidence, self.protocol, entries)


def _steady(loaded: LoadedModel, protocol: Protocol) -> dict[str, Any]:
    return {
        **summarize(loaded.samples),
        "percentile_rule": PERCENTILE_RULE,
        "warmup_runs": protocol.warmup,
        "min_seconds": protocol.min_seconds,
        "block_sizes": [int(block.size) for block in loaded.blocks],
        "samples_ns": loaded.samples.tolist(),
    }


def cold_starts(path: Path, setting: Setting, times: int) -> dict[str, Any]:
    """Start `times` fresh processes; return the medians over all of them, and each one's times.

    Each imports, loads and runs once, as an application does when it is opened. `total_ms` is the time from
    starting the process until it reports that its first inference is done.

    Raises:
        EdgenetError: one process failed; the message says why.
    """
    with staying_on(setting.cpus):
        samples = [_cold_start(path, setting.threads) for _ in range(times)]
    medians = {name: percentile(np.array([one[name] for one in samples]), 50) for name in COLD_START_STEPS}
    return {"n": times, **medians, "samples": samples}


def peak_of(cold: dict[str, Any]) -> int | None:
    """Return the highest peak memory of all cold starts, in bytes; None where /proc does not report it."""
    peaks = [one["peak_memory_bytes"] for one in cold["samples"]]
    return None if None in peaks else max(peaks)


def _cold_start(path: Path, threads: int) -> dict[str, Any]:
    start = time.perf_counter_ns()
    command = [sys.executable, "-m", "edgenet_device", "time-cold-start", str(path), str(threads)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=child_environment()) as child:
        line = child.stdout.readline() if child.stdout else ""
        total = (time.perf_counter_ns() - start) / 1e6
        try:
            _, complaint = child.communicate(timeout=_COLD_START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            complaint = "it does not finish"
    try:
        return {**read_json(line), "total_ms": total}
    except (ValueError, TypeError):
        last = (complaint.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        raise EdgenetError(
            f"a cold start of {path} failed: {last}", f"run {' '.join(command[1:4])} by hand"
        ) from None


def time_operators(path: Path, runtime: Runtime, setting: Setting, say: Say) -> dict[str, Any]:
    """Time every operator of a model; at most two interpreters are loaded at any time.

    An operator's time is the difference between two runs, one that stops after it and one just before it. The
    runtime's Python interface has no profiler, so growing prefixes of the network are timed. Single runs of a
    prefix and of the next longer one alternate, so that both meet the same state of the machine. With one thread
    we compare the thread's CPU time, which other programs hardly disturb; with more threads we compare wall time.
    An operator's time is the median of the differences, with its 95 % interval median ± 1.57 IQR/√n (McGill,
    Tukey and Larsen, Variations of Box Plots, 1978).

    An operator's time may come out below zero: the runtime fuses some operators with the next one (a PAD with its
    convolution), and a prefix that ends between the two has to do more work than the whole network does there.
    The sum of the two times is right.

    Returns:
        for the report: the method, the clock, and a row for each operator of the main subgraph, in order: its
        kind, the name of its output, and `ms` with the interval `low_ms` to `high_ms`.

    Raises:
        EdgenetError: the model cannot be used, or it does not have exactly one output.
    """
    model = open_model(path)
    truncated = TruncatedModel(model.data, str(path))
    stage = f"operators of {path.name}"
    clock = time.thread_time_ns if setting.threads == 1 else time.perf_counter_ns
    before: Any = None
    rows: list[dict[str, Any]] = []
    with staying_on(setting.cpus):
        for count in range(1, truncated.count + 1):
            say(stage, count - 1, truncated.count)
            now = _loaded_prefix(replace(model, data=truncated.first(count)), runtime, setting.threads)
            rows.append({**_named(now, count - 1), **_difference(_paired(before, now, clock))})
            before = now
    say(stage, truncated.count, truncated.count)
    name = "CPU time" if setting.threads == 1 else "wall time"
    return {"method": PROFILE_METHOD, "clock": name, "threads": setting.threads, "operators": rows}


def _loaded_prefix(model: ModelFile, runtime: Runtime, threads: int) -> Any:
    interpreter = make_interpreter(runtime, model, threads, trusted=True)  # the whole network has run already
    fill_input(interpreter)
    interpreter.invoke()
    return interpreter


def _named(interpreter: Any, index: int) -> dict[str, Any]:
    """Return an operator's index, kind and output name; None for what the runtime does not report."""
    own = [node for node in read_operators(interpreter) or () if node["op_name"] != "DELEGATE"]
    names = {detail["index"]: detail["name"] for detail in interpreter.get_output_details()}
    return {
        "index": index,
        "kind": own[index]["op_name"] if index < len(own) else None,
        "output": next(iter(names.values()), None),
    }


def _paired(before: Any, now: Any, clock: Callable[[], int]) -> np.ndarray:
    """Return the nanoseconds [n] that `now` takes longer than `before`, pair by pair.

    Where `before` is None, they are the whole times of `now`.
    """
    differences: list[int] = []
    began = time.monotonic()
    while len(differences) < FEWEST_PROFILE_RUNS or (
        len(differences) < PROFILE_RUNS and time.monotonic() - began < LONGEST_PAIR_S
    ):
        start = clock()
        if before is not None:
            before.invoke()
        between = clock()
        now.invoke()
        end = clock()
        differences.append(end - between - (between - start if before is not None else 0))
    return np.array(differences)


def _difference(nanoseconds: np.ndarray) -> dict[str, float]:
    ms = nanoseconds / 1e6
    middle = percentile(ms, 50)
    half = 1.57 * (percentile(ms, 75) - percentile(ms, 25)) / math.sqrt(ms.size)
    return {"ms": middle, "low_ms": middle - half, "high_ms": middle + half}


class TruncatedModel:
    """A network that can be cut after any of its operators.

    To stop the network after an operator, three numbers of the flatbuffer are overwritten in a copy: how many
    operators the main subgraph has, which tensor is its output, and which tensor the signature names as its output.
    Nothing moves.

    Args:
        data: a .tflite whose tables are sound (`check_tflite`).
        name: what error messages call the file.

    Attributes:
        count: number of operators in the main subgraph.

    Raises:
        EdgenetError: the network has no subgraph, or not exactly one output.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        model = forward(data, 0)
        subgraphs = elements(data, model, _MODEL_SUBGRAPHS)
        outputs = vector(data, subgraphs[0], _SUBGRAPH_OUTPUTS) if subgraphs else None
        operators = vector(data, subgraphs[0], _SUBGRAPH_OPERATORS) if subgraphs else None
        if outputs is None or operators is None or u32(data, outputs) != 1:
            raise EdgenetError(
                f"the network in {name} does not have exactly one output, so its operators cannot be timed"
            )
        self._outputs, self._operators = outputs, operators
        self.count = u32(data, operators)
        self._signature_places = [
            place
            for signature in elements(data, model, _MODEL_SIGNATURES)
            for one in elements(data, signature, _SIGNATURE_OUTPUTS)
            if (place := slot(data, one, _MAP_TENSOR)) is not None
        ]

    def first(self, count: int) -> bytes:
        """Return the network cut after its first `count` operators (at least 1), as the bytes of a .tflite.

        Its output is the output of the last of these operators.
        """
        tensor = self._output_of(count - 1)
        patched = bytearray(self._data)
        struct.pack_into("<I", patched, self._operators, count)
        struct.pack_into("<i", patched, self._outputs + 4, tensor)
        for place in self._signature_places:
            struct.pack_into("<I", patched, place, tensor)
        return bytes(patched)

    def _output_of(self, index: int) -> int:
        element = self._operators + 4 + 4 * index
        outputs = vector(self._data, forward(self._data, element), _OPERATOR_OUTPUTS)
        assert outputs is not None  # every operator that these networks use has an output tensor
        return int(struct.unpack_from("<i", self._data, outputs + 4)[0])
