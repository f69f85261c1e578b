"""The conditions of a measurement, each as a short readable text."""

from __future__ import annotations

from edgenet.latency.fields import Fields

UNKNOWN = "unknown"


def device_name(device: Fields) -> str:
    """Return the device's model, or else its CPU."""
    return device.text("model", "") or device.text("cpu", "") or "unknown device"


def facts(report: Fields) -> dict[str, str]:
    """Return the facts by name, the most interesting first."""
    device, runtime = report.inside("device"), report.inside("runtime")
    protocol = report.inside("protocol") if report.has("protocol") else None
    return {
        "device": device_name(device),
        "SoC": device.text("soc", UNKNOWN),
        "CPU": _cpu(device),
        "system": f"{device.text('os', UNKNOWN)}, kernel {device.text('kernel', UNKNOWN)}",
        "Python": device.text("python", UNKNOWN),
        "runtime": f"{runtime.text('name')} {runtime.text('version', '')}".strip(),
        "delegate": _delegate(report.inside("delegate")),
        "threads": str(report.integer("threads")),
        "CPUs used": ", ".join(f"{cpu:g}" for cpu in report.numbers("affinity", ())) or UNKNOWN,
        "governor": ", ".join(str(name) for name in report.rows("governor")) or UNKNOWN,
        "clock": _range(report, "frequency_mhz", "MHz"),
        "temperature": _range(report, "temperature_celsius", "°C"),
        "throttling": _throttling(report),
        "other load": _others(report.inside("load")),
        "measured by": report.text("route", UNKNOWN),
        "protocol": UNKNOWN if protocol is None else _protocol(protocol),
        "measured": report.text("started"),
    }


def _cpu(device: Fields) -> str:
    cores = device.integer("cores", None)
    return f"{device.text('cpu', UNKNOWN)}, {cores or 'an unknown number of'} cores"


def _delegate(delegate: Fields) -> str:
    total = delegate.integer("nodes_total", None)
    if total is None:
        return "unknown"
    return f"{delegate.text('name', 'none')}, {delegate.integer('nodes_taken')} of {total} nodes"


def _range(report: Fields, name: str, unit: str) -> str:
    """Return the lowest and the highest of all values seen during the runs, as text."""
    seen = [
        value for look in report.objects("during") if look.has(name) for value in _values(look.inside(name))
    ]
    return f"{min(seen):.0f} to {max(seen):.0f} {unit} during the runs" if seen else UNKNOWN


def _values(by_name: Fields) -> list[float]:
    return [by_name.number(name) for name in by_name.names()]


def _throttling(report: Fields) -> str:
    if not report.has("throttling"):
        return UNKNOWN
    after = report.inside("throttling").inside("after")
    now = {str(name) for look in report.objects("during") for name in look.rows("throttled")}
    now |= {str(name) for name in after.rows("now")}
    return ", ".join(sorted(now)) or "none"


def _others(load: Fields) -> str:
    share, average = load.number("others_cpu_share", None), load.number("average_1_min_at_start", None)
    told = [] if share is None else [f"{share * 100:.0f} % of all CPUs during the runs"]
    told += [] if average is None else [f"load average {average:.2f} before"]
    return ", ".join(told) or UNKNOWN


def _protocol(protocol: Fields) -> str:
    return (
        f"{protocol.text('name')}: at least {protocol.integer('runs')} runs and "
        f"{protocol.number('min_seconds'):g} s, in {protocol.integer('blocks')} blocks"
    )
