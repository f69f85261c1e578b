"""Latency in a browser: a page measures and sends its figures, which become an `edgenet.latency.v1` report.

The report follows the same rules as those of other devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from edgenet_device.latency.conditions import Conditions
from edgenet_device.latency.report import (
    PROTOCOLS,
    Evidence,
    Protocol,
    model_facts,
    override_protocol,
    report_form,
)
from edgenet_device.latency.samples import PERCENTILE_RULE, group_medians_ms, summarize
from edgenet_device.model_file import ModelFile
from edgenet_device.runtime import Delegate
from edgenet_device.web.address import Address

from edgenet.errors import EdgenetError
from edgenet.latency.options import BenchOptions
from edgenet.latency.profile import operators_of
from edgenet.latency.reading import Fields
from edgenet.progress import Progress, silent
from edgenet.web.server import PageServer
from edgenet.web.site import RUNTIME, PageOptions, build_page, litert_js_record
from edgenet.web.viewers import THIS_MACHINE, Viewer

HERE = Address("127.0.0.1", 0, None)
PATIENCE_S = 300.0
"""Time for a person to open the page and for the browser to load it."""
WAKE_S = 1.0
"""Interval at which we check that the viewer can still be reached."""


def measure_in_browser(
    models: Sequence[Path],
    options: BenchOptions,
    progress: Progress = silent,
    viewer: Viewer = THIS_MACHINE,
) -> list[dict[str, Any]]:
    """Measure the models one after the other, and return a report for each.

    Args:
        models: paths of the models.
        options: how to measure.
        progress: called before each model.
        viewer: the browser that opens the pages.

    Raises:
        EdgenetError: an option cannot be followed in a browser, a model cannot be used, or no report arrived.
    """
    protocol = _protocol(options)
    measured = []
    for model in models:
        progress(f"browser: {model.name}", 0, None)
        measured.append(_measure(model, options.threads[0], protocol, viewer))
    return measured


def _protocol(options: BenchOptions) -> Protocol:
    """Return the protocol for a browser, which has no blocks, no fresh processes and no settling time.

    Raises:
        EdgenetError: an option was given that a browser cannot follow.
    """
    options_given = {
        "--threads with several numbers": len(options.threads) > 1,
        "--affinity": options.affinity not in (None, "all"),
        "--sustained": options.sustained_s is not None,
        "--profile": options.profile,
        "--settle": options.settle_s is not None,
    }
    for name, given in options_given.items():
        if given:
            raise EdgenetError(f"a browser cannot follow {name}", "leave it out when measuring in a browser")
    named = override_protocol(PROTOCOLS[options.protocol], runs=options.runs, min_seconds=options.min_seconds)
    return replace(named, blocks=1, cold_starts=1, settle_s=0.0)


def _measure(model: Path, threads: int, protocol: Protocol, viewer: Viewer) -> dict[str, Any]:
    site = build_page(
        model, PageOptions(threads=threads, measuring=protocol, at_once=True), takes_reports=True
    )
    started, before = now(), viewer.conditions()
    with PageServer(site.files, HERE) as server:
        viewer.open_page(server.address.url())
        sent = _wait_for_report(server, viewer, PATIENCE_S + 3 * protocol.min_seconds)
    if "trouble" in sent:
        raise EdgenetError(f"the browser cannot measure: {sent['trouble']!s:.300}", "try another browser")
    context = PageContext(started, protocol, before, viewer.conditions(), viewer.facts())
    return latency_report(site.model, sent, context)


def _wait_for_report(server: PageServer, viewer: Viewer, seconds: float) -> dict[str, Any]:
    until = monotonic() + seconds
    while monotonic() < until:
        sent = server.next_report(WAKE_S)
        if sent is not None:
            return sent
        viewer.check()
    raise EdgenetError(
        f"no browser has sent a report within {PATIENCE_S:.0f} s", "open the printed address in a browser"
    )


def now() -> str:
    """Return the current time (UTC) for a report, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class PageContext:
    """The facts about a measurement in a browser that this machine knows.

    Attributes:
        started: time of the start, ISO 8601.
        protocol: the protocol that the page was asked to follow.
        before: the device's conditions before the page was opened.
        after: the device's conditions when the page's report arrived.
        device: facts about the browser's device, in the form of reports; None if only the browser knows them.
    """

    started: str
    protocol: Protocol
    before: Conditions
    after: Conditions
    device: Mapping[str, Any] | None = None


ROUTE = "browser"


def latency_report(model: ModelFile, sent: dict[str, Any], context: PageContext) -> dict[str, Any]:
    """Return the latency report for a model that a page has measured.

    Args:
        model: the model that was measured.
        sent: the data that the page sent (see assets/report.js); none of it is trusted.
        context: the facts about the measurement that this machine knows.

    Raises:
        EdgenetError: a figure is missing or invalid.
    """
    fields = Fields(sent, "the browser's report")
    samples = _samples(fields)
    operators = operators_of(model)
    delegate = _delegate(fields, len(operators or ()))
    device = _device(fields.object("device"), context.device)
    medians, cores = group_medians_ms(samples), device["cores"] or 1
    evidence = Evidence(samples.size, medians, context.before, context.after, delegate, cores, None)
    entries = {
        "route": ROUTE,
        "started": context.started,
        "model": model_facts(model, operators),
        "runtime": {"name": RUNTIME, "version": litert_js_record()["version"]},
        "device": device,
        "threads": fields.integer("threads"),
        "cold_start": _cold_start(fields.object("cold_start_ms")),
        "steady_state": {
            **summarize(samples),
            "percentile_rule": PERCENTILE_RULE,
            "warmup_runs": context.protocol.warmup,
            "min_seconds": context.protocol.min_seconds,
            "clock_resolution_ns": fields.integer("clock_ns"),
            "samples_ns": samples.tolist(),
        },
    }
    return report_form(evidence, context.protocol, entries)


def _samples(fields: Fields) -> np.ndarray:
    samples = np.array(fields.numbers("samples_ns"), np.float64)
    if samples.size == 0 or samples.min() < 0 or samples.max() > 1e15:
        raise EdgenetError("the browser's report has no samples, or impossible ones", "measure again")
    return samples.astype(np.int64)


def _delegate(fields: Fields, operators: int) -> Delegate:
    """Return the delegate's facts: one part if XNNPACK took all operators, else unknown.

    LiteRT.js reports nothing more than whether XNNPACK took all of them.
    """
    if operators and fields.flag("delegated"):
        return Delegate("XNNPACK", operators, operators, 1)
    return Delegate(None, None, None, None)


def _device(sent: Fields, known: Mapping[str, Any] | None) -> dict[str, Any]:
    browser = {"browser": sent.text("browser")}
    if known is not None:
        return {**known, **browser, "python": None}
    machine = sent.text("architecture", "") or None
    return {
        "model": sent.text("model", "") or None,
        "soc": None,
        "cpu": machine,
        "cores": sent.integer("cores", None),
        "memory_bytes": None,
        "os": sent.text("platform", "") or None,
        "kernel": None,
        "machine": machine,
        "python": None,
        **browser,
    }


_COLD = ("import", "load", "first_inference", "total")


def _cold_start(fields: Fields) -> dict[str, Any]:
    """Return the times of the only cold start; `total_ms` counts from the opening of the page.

    There is only one, because a second start in the same browser would not be cold.
    """
    times = {f"{name}_ms": fields.number(name) for name in _COLD}
    return {"n": 1, **times, "samples": [times]}
