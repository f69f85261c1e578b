"""Measures models' latency and returns one `edgenet.latency.v1` report for each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .affinity import Setting, found_sets
from .cold_starts import cold_starts, peak_of
from .conditions import Conditions, OthersLoad, look
from .contenders import Contender, load_contender, measure_in_turns
from .delegate import find_delegate, operator_kinds
from .facts import device_facts
from .operator_times import time_operators
from .protocol import Protocol
from .report_form import cpu_set_facts, look_facts, model_facts, report_form
from .runtime import Runtime, load_runtime
from .sample_statistics import PERCENTILE_RULE, group_medians_ms, summarize
from .settling import Say, settle
from .sustaining import sustain
from .trials import try_settings
from .validity import Evidence

ROUTE = "device_scripts"
"""How a report names its way of measuring when these scripts made it."""


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
    before = look()  # before anything is run, so that the load it reads is not ours
    runtime = load_runtime()
    tried = [try_settings(path, runtime, choices, say) for path in paths]
    contenders = [load_contender(path, runtime, one[0]) for path, one in zip(paths, tried)]
    colds = []
    for number, (path, one) in enumerate(zip(paths, tried)):
        say("cold starts", number, len(paths))
        colds.append(cold_starts(path, one[0], protocol.cold_starts))
    others = OthersLoad()
    measure_in_turns(contenders, protocol, "runs", say)
    after, share = look(), others.share()
    shared = _Shared(started, runtime, protocol, settling, before, after, share, device_facts())
    reports = [
        shared.report(contender, rows, cold) for contender, (_, rows), cold in zip(contenders, tried, colds)
    ]
    if protocol.profile:
        for path, one, report in zip(paths, tried, reports):
            report["profile"] = time_operators(path, runtime, one[0], say)
    _sustain_all(contenders, reports, protocol, say)
    return reports


def _sustain_all(
    contenders: list[Contender], reports: list[dict[str, Any]], protocol: Protocol, say: Say
) -> None:
    """Measure sustained load, after everything else because it leaves the device hot.

    Before every model but the first, the device settles again, as the protocol says.
    """
    if not protocol.sustained_s:
        return
    for number, (contender, report) in enumerate(zip(contenders, reports)):
        if number:
            settle(protocol.settle_s, say)
        stage = f"sustained load, {contender.model.path.name}"
        report["sustained"] = sustain(contender, protocol.sustained_s, stage, say)


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
        self, contender: Contender, tried: list[dict[str, Any]], cold: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the report of one model."""
        delegate = find_delegate(contender.interpreter)
        during = tuple(seen for _, seen in contender.looks)
        cores = self.device["cores"] or 1
        samples = contender.samples
        medians = group_medians_ms(samples)
        evidence = Evidence(
            samples.size, medians, self.before, self.after, delegate, cores, self.others_share, during
        )
        told = {
            "route": ROUTE,
            "started": self.started,
            "model": model_facts(contender.model, operator_kinds(contender.interpreter)),
            "runtime": {"name": self.runtime.name, "version": self.runtime.version},
            "device": self.device,
            "threads": contender.setting.threads,
            "affinity": list(contender.setting.cpus.cpus),
            "cpu_sets": cpu_set_facts(found_sets()),
            "tried": tried,
            "settling": self.settling,
            "during": [look_facts(at, seen) for at, seen in contender.looks],
            "cold_start": cold,
            "steady_state": _steady(contender, self.protocol),
            "peak_memory_bytes": peak_of(cold),
        }
        return report_form(evidence, self.protocol, told)


def _steady(contender: Contender, protocol: Protocol) -> dict[str, Any]:
    return {
        **summarize(contender.samples),
        "percentile_rule": PERCENTILE_RULE,
        "warmup_runs": protocol.warmup,
        "min_seconds": protocol.min_seconds,
        "block_sizes": [int(block.size) for block in contender.blocks],
        "samples_ns": contender.samples.tolist(),
    }
