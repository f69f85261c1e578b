"""The form of an `edgenet.latency.v1` report: every route fills the same keys, null where unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .affinity import CpuSet
from .conditions import Conditions, ends_of
from .model_file import ModelFile
from .protocol import Protocol
from .validity import Evidence, reasons_against

SCHEMA = "edgenet.latency.v1"


def report_form(
    evidence: Evidence, protocol: Protocol, told: Mapping[str, Any], more_reasons: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a report, ready for JSON, with its verdict.

    Args:
        evidence: the basis of the verdict, and of the report's entries on conditions, delegate and load.
        protocol: the protocol that was measured by.
        told: the other entries by key; keys that the form does not have come after all others.
        more_reasons: further reasons why the measurement is not valid, known only to this way of measuring.
    """
    reasons = reasons_against(evidence) + list(more_reasons)
    return {
        "schema": SCHEMA,
        "route": None,
        "started": None,
        "model": None,
        "runtime": None,
        "delegate": evidence.delegate.as_dict(),
        "device": None,
        "protocol": protocol.as_dict(),
        "threads": None,
        "affinity": [],
        "cpu_sets": {},
        "tried": [],
        "settling": {"waited_s": 0.0},
        **ends_of(evidence.before, evidence.after),
        "during": [],
        "cold_start": None,
        "steady_state": None,
        "sustained": None,
        "profile": None,
        "peak_memory_bytes": None,
        "load": {
            "average_1_min_at_start": evidence.before.load_average,
            "cores": evidence.cores,
            "others_cpu_share": evidence.others_share,
        },
        "pipeline": None,
        "valid": not reasons,
        "reasons": reasons,
        **told,
    }


def model_facts(model: ModelFile, operators: list[str] | None) -> dict[str, Any]:
    """Return a report's entry about its model.

    Args:
        operators: the kinds of the operators; None where the runtime does not report them.
    """
    return {
        "file": model.path.name,
        "name": model.manifest.get("name") if model.manifest else None,
        "bundle": model.manifest is not None,
        "sha256": model.sha256,
        "size_bytes": len(model.data),
        "operators": None if operators is None else len(operators),
        "operators_by_type": None if operators is None else dict(sorted(Counter(operators).items())),
        "accuracy": model.manifest.get("accuracy") if model.manifest else None,
    }


def cpu_set_facts(sets: list[CpuSet]) -> dict[str, Any]:
    """Return a report's entry about the device's CPU sets."""
    return {one.name: {"cpus": list(one.cpus), "max_mhz": one.max_mhz} for one in sets}


def look_facts(at_s: float, seen: Conditions) -> dict[str, Any]:
    """Return a report's entry for the conditions between the runs, `at_s` seconds after the first began."""
    return {
        "at_s": round(at_s, 2),
        "frequency_mhz": seen.frequencies_mhz,
        "temperature_celsius": seen.temperatures_celsius,
        "throttled": None if seen.throttling is None else seen.throttling["now"],
    }
