"""Prints a latency report for people to read."""

from __future__ import annotations

from typing import Any

from .conditions import hottest


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
    seen = [mhz for look in report["during"] for mhz in (look["frequency_mhz"] or {}).values()]
    if not seen:
        return "-"
    governors = ", ".join(report["governor"] or ["governor unknown"])
    return f"{min(seen):.0f} to {max(seen):.0f} MHz during the runs, {governors}"


def _temperature(report: dict[str, Any]) -> str:
    heat = report["temperature_celsius"]
    during = [degrees for look in report["during"] if (degrees := hottest(look["temperature_celsius"]))]
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
