"""An `edgenet.latency.v1` report: its protocol, its form, its verdict, and its table for people to read.

Every route fills the same keys, null where a fact is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgenet_device.latency.affinity import CpuSet
from edgenet_device.latency.conditions import Conditions, ends_of, hottest
from edgenet_device.model_file import ModelFile
from edgenet_device.runtime import Delegate

SCHEMA = "edgenet.latency.v1"
MIN_RUNS = 50
MAX_LOAD_PER_CORE = 0.5
MAX_OTHERS_SHARE = 0.1
MAX_DRIFT = 0.05


@dataclass(frozen=True)
class Protocol:
    """How to measure a model.

    Attributes:
        name: "quick" or "standard", or "custom" if a figure is below that of the named protocol.
        runs: least number of timed runs, all blocks together.
        min_seconds: least time of the timed runs in seconds, all blocks together.
        blocks: number of blocks that the runs are divided into; after each block the conditions are read and,
            if several models are measured, the next model has its turn.
        warmup: untimed warm-up runs before the first block; each later block has at most one.
        cold_starts: number of fresh processes to time.
        settle_s: longest wait, seconds, for the device to be cool and idle before anything is timed.
        sustained_s: seconds of sustained load after everything else, at least 60; 0 for none.
        profile: whether to time every operator, too.
    """

    name: str = "quick"
    runs: int = 50
    min_seconds: float = 1.0
    blocks: int = 10
    warmup: int = 1
    cold_starts: int = 3
    settle_s: float = 0.0
    sustained_s: float = 0.0
    profile: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes as a dictionary, for the report."""
        return asdict(self)


QUICK = Protocol()
# MLPerf's single-stream scenario needs at least 1,024 queries and 60 s; source: LoadGen's rules, "Scenarios".
STANDARD = Protocol("standard", runs=1024, min_seconds=60.0, blocks=30, warmup=5, settle_s=120.0)
PROTOCOLS = {protocol.name: protocol for protocol in (QUICK, STANDARD)}
_NAMED = ("runs", "min_seconds", "warmup", "cold_starts")


def override_protocol(protocol: Protocol, **figures: Any) -> Protocol:
    """Return the protocol with the figures that are not None replaced.

    It is named "custom" if a minimum (runs, min_seconds, warmup, cold_starts) is below the original one.
    """
    given = {name: value for name, value in figures.items() if value is not None}
    weaker = any(given.get(name, getattr(protocol, name)) < getattr(protocol, name) for name in _NAMED)
    return replace(protocol, **given, name="custom" if weaker else protocol.name)


def report_form(
    evidence: Evidence, protocol: Protocol, entries: Mapping[str, Any], more_reasons: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a report, ready for JSON, with its verdict.

    Args:
        evidence: the basis of the verdict, and of the report's entries on conditions, delegate and load.
        protocol: the protocol that was measured by.
        entries: the other entries by key; keys that the form does not have come after all others.
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
        **entries,
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


def reading_facts(at_s: float, seen: Conditions) -> dict[str, Any]:
    """Return a report's entry for the conditions between the runs, `at_s` seconds after the first began."""
    return {
        "at_s": round(at_s, 2),
        "frequency_mhz": seen.frequencies_mhz,
        "temperature_celsius": seen.temperatures_celsius,
        "throttled": None if seen.throttling is None else seen.throttling["now"],
    }


@dataclass(frozen=True)
class Evidence:
    """The facts that the verdict is based on.

    Attributes:
        runs: number of timed runs in the steady state.
        groups_ms: p50 of consecutive groups of these runs, from `group_medians_ms`; empty
            if unknown.
        before: conditions before anything was run, so that the load is not ours.
        after: conditions after the last run.
        delegate: what was delegated.
        cores: number of the device's cores, at least 1.
        others_share: share of all CPUs' time that other processes used during the steady state, 0..1; None if
            unknown.
        during: conditions between the runs.
        has_delegate: whether the runtime has a delegate on this kind of device, see `runtime.has_delegate`.
    """

    runs: int
    groups_ms: tuple[float, ...]
    before: Conditions
    after: Conditions
    delegate: Delegate
    cores: int
    others_share: float | None
    during: tuple[Conditions, ...] = ()
    has_delegate: bool = True


def reasons_against(evidence: Evidence) -> list[str]:
    """Return the reasons why the measurement is not valid; the list is empty when it is valid.

    An unknown fact is no reason, except the delegate: if the delegate is unknown, the figure means nothing.
    """
    return [
        *_too_few(evidence.runs),
        *_throttled(evidence),
        *_other_load(evidence),
        *_no_delegate(evidence),
        *_unsteady(evidence.groups_ms),
    ]


def _too_few(runs: int) -> list[str]:
    return [f"too few runs: {runs}, need {MIN_RUNS}"] if runs < MIN_RUNS else []


def _throttled(evidence: Evidence) -> list[str]:
    """Return what throttled the device at any reading.

    Throttling between two readings counts, too: it shows as a new since-boot flag.
    """
    readings = [evidence.before, *evidence.during, evidence.after]
    known = [reading.throttling for reading in readings if reading.throttling is not None]
    if not known:
        return []
    now = {name for one in known for name in one["now"]}
    between = {*(known[-1]["since_boot"] or ())} - {*(known[0]["since_boot"] or ())}
    return [f"throttled: {name}" for name in sorted(now | between)]


def _other_load(evidence: Evidence) -> list[str]:
    reasons = []
    average = evidence.before.load_average
    if average is not None and average / evidence.cores > MAX_LOAD_PER_CORE:
        reasons.append(
            f"other load: load average {average:.2f} on {evidence.cores} cores at the start, "
            f"at most {MAX_LOAD_PER_CORE} per core is allowed"
        )
    if evidence.others_share is not None and evidence.others_share > MAX_OTHERS_SHARE:
        reasons.append(
            f"other load: other processes used {evidence.others_share * 100:.0f} % of all CPUs' time, "
            f"at most {MAX_OTHERS_SHARE * 100:.0f} % is allowed"
        )
    return reasons


def _no_delegate(evidence: Evidence) -> list[str]:
    if evidence.delegate.nodes_total is None:
        return ["delegate unknown: the runtime does not report which nodes it took"]
    # Where there is none for any network, its absence is a fact of the device, which the report states.
    return (
        []
        if evidence.delegate.partitions or not evidence.has_delegate
        else ["delegate missing: the built-in kernels ran the network"]
    )


def _unsteady(medians: tuple[float, ...]) -> list[str]:
    """Return a reason unless all medians of consecutive groups lie within 5 % of the lowest."""
    lowest, highest = min(medians, default=0.0), max(medians, default=0.0)
    if highest <= lowest * (1 + MAX_DRIFT):
        return []
    drift = highest / lowest - 1
    listed = ", ".join(f"{median:.3f}" for median in medians)
    return [f"unsteady: p50 of {len(medians)} consecutive groups differ by {drift * 100:.0f} % ({listed} ms)"]


def table(report: dict[str, Any]) -> str:
    """Return the report as lines of text; for an invalid measurement the reasons follow."""
    rows = [
        ("model", _model(report["model"])),
        (
            "device",
            f"{_or_dash(report['device']['model'] or report['device']['cpu'])}, {report['device']['os']}",
        ),
        ("runtime", f"{report['runtime']['name']} {report['runtime']['version']}"),
        ("delegate", _delegate(report["delegate"])),
        ("runs on", _setting(report)),
        *[("tried", _tried(row)) for row in report["tried"]],
        ("cold start", _milliseconds(report["cold_start"], ("import", "load", "first_inference", "total"))),
        ("steady state", _steady(report["steady_state"])),
        ("mean, std", _milliseconds(report["steady_state"], ("mean", "std"))),
        *([("sustained", _sustained(report["sustained"]))] if report["sustained"] else []),
        *([("operators", _slowest(report["profile"]))] if report["profile"] else []),
        ("clock", _clock(report)),
        ("temperature", _temperature(report)),
        ("throttling", _throttling(report["throttling"])),
        ("peak memory", _megabytes(report["peak_memory_bytes"])),
        ("protocol", _protocol(report)),
        ("valid", "yes" if report["valid"] else "NO"),
    ]
    return "\n".join(
        [f"{name:<13} {text}" for name, text in rows] + [f"  - {why}" for why in report["reasons"]]
    )


def _model(model: dict[str, Any]) -> str:
    return f"{model['file']}, {model['size_bytes'] / 1e6:.2f} MB, {_or_dash(model['operators'])} operators"


def _delegate(facts: dict[str, Any]) -> str:
    if facts["nodes_total"] is None:
        return "unknown"
    return f"{facts['name'] or 'none'}, {facts['nodes_taken']} of {facts['nodes_total']} nodes"


def _setting(report: dict[str, Any]) -> str:
    if not report["affinity"]:  # a browser does not report its CPUs
        return f"{report['threads']} thread(s)"
    cpus = ", ".join(map(str, report["affinity"]))
    return f"{report['threads']} thread(s) on CPUs {cpus}"


def _tried(row: dict[str, Any]) -> str:
    best = "   <- fastest" if row["best"] else ""
    return f"{row['threads']} thread(s) on {row['cpus']}: p50 {row['p50_ms']:.3f} ms{best}"


def _steady(steady: dict[str, Any]) -> str:
    return _milliseconds(steady, ("min", "p50", "p90", "p99", "max")) + f"   n {steady['n']}"


def _sustained(facts: dict[str, Any]) -> str:
    return (
        f"{facts['seconds']:.0f} s: p50 {facts['first_p50_ms']:.3f} ms at first, "
        f"{facts['last_p50_ms']:.3f} ms at the end, {facts['ratio']:.3f} times as long"
    )


def _slowest(profile: dict[str, Any]) -> str:
    """Return the three slowest operators with their shares of the total; the report holds all operators."""
    rows = profile["operators"]
    total = sum(row["ms"] for row in rows)
    slowest = sorted(rows, key=lambda row: -row["ms"])[:3]
    if not total:  # benchmark_model counts whole microseconds, and some networks take less
        return f"all too fast to be timed with {profile['method']}"
    listed = ", ".join(f"{row['output'] or row['kind']} {row['ms'] / total * 100:.0f} %" for row in slowest)
    return f"{listed} of {total:.3f} ms ({profile['clock']})"


def _milliseconds(facts: dict[str, Any], names: tuple[str, ...]) -> str:
    values = ((name.replace("_", " "), facts[f"{name}_ms"]) for name in names)
    return "   ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in values) + " ms"


def _clock(report: dict[str, Any]) -> str:
    seen = [mhz for reading in report["during"] for mhz in (reading["frequency_mhz"] or {}).values()]
    if not seen:
        return "-"
    governors = ", ".join(report["governor"] or ["governor unknown"])
    return f"{min(seen):.0f} to {max(seen):.0f} MHz during the runs, {governors}"


def _temperature(report: dict[str, Any]) -> str:
    heat = report["temperature_celsius"]
    during = [degrees for reading in report["during"] if (degrees := hottest(reading["temperature_celsius"]))]
    ends = f"{_degrees(hottest(heat['before']))} before, {_degrees(hottest(heat['after']))} after"
    return f"{ends}, at most {_degrees(max(during))} between the runs" if during else ends


def _degrees(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} °C"


def _throttling(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "-"
    now, since_boot = facts["after"]["now"], facts["after"]["since_boot"]
    text = f"now: {', '.join(now) or 'none'}"
    since = "" if since_boot is None else f"; since boot: {', '.join(since_boot) or 'none'}"
    return f"{text}{since} ({facts['after']['source']})"


def _protocol(report: dict[str, Any]) -> str:
    facts, waited = report["protocol"], report["settling"]["waited_s"]
    text = f"{facts['name']}: at least {facts['runs']} runs and {facts['min_seconds']:g} s, {facts['blocks']} blocks"
    text += f", by {report['route']}"
    return f"{text}; waited {waited:.0f} s for the device" if facts["settle_s"] else text


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.0f} MB"


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)
