"""Turn a page's measurement into an `edgenet.latency.v1` report, by the same rules as for other devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from edgenet_device.latency.conditions import Conditions
from edgenet_device.latency.report import Evidence, Protocol, model_facts, report_form
from edgenet_device.latency.samples import PERCENTILE_RULE, group_medians_ms, summarize
from edgenet_device.model_file import ModelFile
from edgenet_device.runtime import Delegate

from edgenet.errors import EdgenetError
from edgenet.latency.profile import operators_of
from edgenet.latency.reading import Fields
from edgenet.web.server import RUNTIME, record

ROUTE = "browser"
NOTHING_SEEN = Conditions(None, None, None, None, None)
"""Conditions of a device known only through its browser, which reports no clock, temperature or load."""
_COLD = ("import", "load", "first_inference", "total")


@dataclass(frozen=True)
class PageContext:
    """What this machine knows about a measurement in a browser.

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


def latency_report(model: ModelFile, sent: dict[str, Any], around: PageContext) -> dict[str, Any]:
    """Return the latency report for a model that a page has measured.

    Args:
        model: the model that was measured.
        sent: the data that the page sent (see assets/report.js); none of it is trusted.
        around: what this machine knows about the measurement.

    Raises:
        EdgenetError: a figure is missing or invalid.
    """
    fields = Fields(sent, "the browser's report")
    samples = _samples(fields)
    operators = operators_of(model)
    delegate = _delegate(fields, len(operators or ()))
    device = _device(fields.inside("device"), around.device)
    medians, cores = group_medians_ms(samples), device["cores"] or 1
    evidence = Evidence(samples.size, medians, around.before, around.after, delegate, cores, None)
    told = {
        "route": ROUTE,
        "started": around.started,
        "model": model_facts(model, operators),
        "runtime": {"name": RUNTIME, "version": record()["version"]},
        "device": device,
        "threads": fields.integer("threads"),
        "cold_start": _cold_start(fields.inside("cold_start_ms")),
        "steady_state": {
            **summarize(samples),
            "percentile_rule": PERCENTILE_RULE,
            "warmup_runs": around.protocol.warmup,
            "min_seconds": around.protocol.min_seconds,
            "clock_resolution_ns": fields.integer("clock_ns"),
            "samples_ns": samples.tolist(),
        },
    }
    return report_form(evidence, around.protocol, told)


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


def _device(told: Fields, known: Mapping[str, Any] | None) -> dict[str, Any]:
    browser = {"browser": told.text("browser")}
    if known is not None:
        return {**known, **browser, "python": None}
    machine = told.text("architecture", "") or None
    return {
        "model": told.text("model", "") or None,
        "soc": None,
        "cpu": machine,
        "cores": told.integer("cores", None),
        "memory_bytes": None,
        "os": told.text("platform", "") or None,
        "kernel": None,
        "machine": machine,
        "python": None,
        **browser,
    }


def _cold_start(fields: Fields) -> dict[str, Any]:
    """Return the times of the only cold start; `total_ms` counts from the opening of the page.

    There is only one, because a second start in the same browser would not be cold.
    """
    times = {f"{name}_ms": fields.number(name) for name in _COLD}
    return {"n": 1, **times, "samples": [times]}
