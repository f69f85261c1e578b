"""Reading and checking latency reports, written by this version of edgenet or an older one.

A report may come from anyone, so `Fields` checks the type of every value that is taken from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from edgenet_device.foreign_text import LARGEST_INTEGER, LARGEST_JSON, LONGEST_LINE, read_json
from edgenet_device.latency.report import SCHEMA
from numpy.typing import NDArray

from edgenet.errors import EdgenetError, one_line
from edgenet.files import read_limited
from edgenet.latency.report_rows import (
    Accuracy,
    ColdStart,
    LatencyReport,
    Sustained,
    SustainedPoint,
    TriedSetting,
)

_GIVE = "give JSON files of edgenet bench"


def read_reports(paths: Iterable[Path]) -> list[LatencyReport]:
    """Read the reports in files and folders, in a stable order; other JSON files in a folder are ignored.

    Raises:
        EdgenetError: a file is not a report or is damaged, or a folder has no report; the message says which
            and why.
    """
    found: list[LatencyReport] = []
    for path in paths:
        if not path.is_dir():
            found += read_file(path)
            continue
        inside = [one for file in sorted(path.rglob("*.json")) if _is_report(file) for one in read_file(file)]
        if not inside:
            raise EdgenetError(
                f"there is no latency report in the folder {path}", "make one with edgenet bench"
            )
        found += inside
    return found


def read_file(path: Path) -> list[LatencyReport]:
    """Read the reports in a file; the device script may write several into one file.

    Raises:
        EdgenetError: see `read_reports`.
    """
    loaded = load_report(path)
    return [read_report(one, str(path)) for one in (loaded if isinstance(loaded, list) else [loaded])]


def read_report(value: Any, path: str) -> LatencyReport:
    """Check a report and convert it from parsed JSON.

    Args:
        value: the parsed JSON.
        path: the file's name, for error messages.

    Raises:
        EdgenetError: the schema differs, or a field is missing or has another type; the message says which.
    """
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise EdgenetError(f"{path} has the schema {schema!s:.60}, expected {SCHEMA}", _GIVE)
    fields = Fields(value, path)
    steady, model = fields.object("steady_state"), fields.object("model")
    has_samples = "block_p50_ms" not in steady.names()
    return LatencyReport(
        path=path,
        name=model.text("name", "") or Path(model.text("file")).stem,
        sha256=model.text("sha256"),
        size_bytes=model.integer("size_bytes"),
        target=fields.text("target", ""),
        device=_device_name(fields.object("device")),
        started=fields.text("started"),
        protocol=fields.object("protocol").text("name") if fields.has("protocol") else "unnamed",
        threads=fields.integer("threads"),
        n=steady.integer("n"),
        min_ms=steady.number("min_ms"),
        **{
            name: steady.number(name) if has_samples else steady.number(name, None)
            for name in ("p50_ms", "p90_ms", "p99_ms")
        },
        max_ms=steady.number("max_ms"),
        blocks_ms=_blocks(steady, path),
        has_samples=has_samples,
        cold_start=_cold_start(fields.object("cold_start")),
        sustained=_sustained(fields.object("sustained")) if fields.has("sustained") else None,
        peak_memory_bytes=fields.integer("peak_memory_bytes", None),
        accuracy=_accuracy(model.object("accuracy")) if model.has("accuracy") else None,
        tried=tuple(_trial(row) for row in fields.objects("tried")),
        facts=_facts(fields),
        profile=_profile(fields.object("profile")) if fields.has("profile") else None,
        valid=fields.flag("valid"),
        reasons=tuple(str(reason) for reason in fields.rows("reasons")),
    )


def load_report(path: Path) -> Any:
    """Return what the JSON text in a file says, without checking that it is a report.

    Raises:
        EdgenetError: the file cannot be read, or is not JSON.
    """
    try:
        return read_json(read_limited(path, LARGEST_JSON))
    except FileNotFoundError:
        raise EdgenetError(f"the report {path} does not exist", "check the path") from None
    except OSError as error:
        raise EdgenetError(f"cannot read the report {path}: {error.strerror}", "check the path") from None
    except ValueError as error:
        raise EdgenetError(f"{path} is not a latency report: {one_line(str(error))}", _GIVE) from None


def _is_report(path: Path) -> bool:
    """Return whether a file claims to be a latency report of any version, without checking its contents."""
    try:
        return b'"edgenet.latency.' in read_limited(path, LARGEST_JSON)
    except (OSError, EdgenetError):
        return False


_BLOCKS_OF_OLD_REPORTS = 10


def _blocks(steady: Fields, path: str) -> tuple[NDArray[np.float64], ...]:
    if "block_p50_ms" in steady.names():
        medians = steady.numbers("block_p50_ms", ())
        if min([*medians, steady.number("min_ms")]) < 0 or steady.integer("n") < 1:
            raise EdgenetError(f"{path} has no runs, or negative times", "measure again with edgenet bench")
        return tuple(np.array([median], np.float64) for median in medians)
    samples = np.array(steady.numbers("samples_ns"), np.float64) / 1e6
    if samples.size == 0 or samples.min() < 0:
        raise EdgenetError(f"{path} has no samples, or negative times", "measure again with edgenet bench")
    sizes = [int(size) for size in steady.numbers("block_sizes", ())]
    if not sizes:
        return tuple(part for part in np.array_split(samples, _BLOCKS_OF_OLD_REPORTS) if part.size)
    if min(sizes) < 1 or sum(sizes) != samples.size:
        raise EdgenetError(
            f"{path} has {samples.size} samples, but its blocks hold {sum(sizes)}",
            "measure again with edgenet bench",
        )
    return tuple(np.split(samples, np.cumsum(sizes)[:-1]))


def _cold_start(fields: Fields) -> ColdStart:
    return ColdStart(
        fields.integer("n"),
        fields.number("import_ms", None),
        fields.number("load_ms"),
        fields.number("first_inference_ms"),
        fields.number("total_ms", None),
    )


def _sustained(fields: Fields) -> Sustained:
    curve = tuple(
        SustainedPoint(
            point.number("at_s"),
            point.number("p50_ms"),
            point.number("hottest_celsius", None),
            point.number("highest_mhz", None),
        )
        for point in fields.objects("curve")
    )
    first, last = fields.number("first_p50_ms"), fields.number("last_p50_ms")
    if min(first, last) <= 0:
        raise EdgenetError("its sustained load took no time", "measure again with edgenet bench --sustained")
    return Sustained(first, last, fields.number("ratio"), curve)


def _accuracy(fields: Fields) -> Accuracy | None:
    """Return the int8 network's accuracy; None if only the float network was evaluated."""
    if not fields.has("int8_top1"):
        return None
    return Accuracy(fields.number("int8_top1"), fields.integer("n"), fields.text("data", ""))


def _trial(fields: Fields) -> TriedSetting:
    return TriedSetting(
        fields.integer("threads"), fields.text("cpus"), fields.number("p50_ms"), fields.flag("best")
    )


def _profile(fields: Fields) -> dict[str, Any]:
    """Return the profile's known fields, checked."""
    operators = [
        {
            "index": row.integer("index"),
            "kind": row.text("kind", "") or None,
            "output": row.text("output", "") or None,
            "ms": row.number("ms"),
            **{name: row.number(name, None) for name in ("low_ms", "high_ms")},
            "mult_adds": row.integer("mult_adds", None),
        }
        for row in fields.objects("operators")
    ]
    if not operators:
        raise EdgenetError("the profile has no operators", "measure again with edgenet bench --profile")
    return {"method": fields.text("method"), "clock": fields.text("clock"), "operators": operators}


_UNKNOWN = "unknown"


def _facts(report: Fields) -> dict[str, str]:
    """Return the conditions of a measurement by name, each as a short text, the most interesting first."""
    device, runtime = report.object("device"), report.object("runtime")
    protocol = report.object("protocol") if report.has("protocol") else None
    return {
        "device": _device_name(device),
        "SoC": device.text("soc", _UNKNOWN),
        "CPU": _cpu(device),
        "system": f"{device.text('os', _UNKNOWN)}, kernel {device.text('kernel', _UNKNOWN)}",
        "Python": device.text("python", _UNKNOWN),
        "runtime": f"{runtime.text('name')} {runtime.text('version', '')}".strip(),
        "delegate": _delegate(report.object("delegate")),
        "threads": str(report.integer("threads")),
        "CPUs used": ", ".join(f"{cpu:g}" for cpu in report.numbers("affinity", ())) or _UNKNOWN,
        "governor": ", ".join(str(name) for name in report.rows("governor")) or _UNKNOWN,
        "clock": _range(report, "frequency_mhz", "MHz"),
        "temperature": _range(report, "temperature_celsius", "°C"),
        "throttling": _throttling(report),
        "other load": _others(report.object("load")),
        "measured by": report.text("route", _UNKNOWN),
        "protocol": _UNKNOWN if protocol is None else _protocol(protocol),
        "measured": report.text("started"),
    }


def _device_name(device: Fields) -> str:
    """Return the device's model, or else its CPU."""
    return device.text("model", "") or device.text("cpu", "") or "unknown device"


def _cpu(device: Fields) -> str:
    cores = device.integer("cores", None)
    return f"{device.text('cpu', _UNKNOWN)}, {cores or 'an unknown number of'} cores"


def _delegate(delegate: Fields) -> str:
    total = delegate.integer("nodes_total", None)
    if total is None:
        return "unknown"
    return f"{delegate.text('name', 'none')}, {delegate.integer('nodes_taken')} of {total} nodes"


def _range(report: Fields, name: str, unit: str) -> str:
    """Return the lowest and the highest of all values seen during the runs, as text."""
    seen = [
        value for look in report.objects("during") if look.has(name) for value in _values(look.object(name))
    ]
    return f"{min(seen):.0f} to {max(seen):.0f} {unit} during the runs" if seen else _UNKNOWN


def _values(by_name: Fields) -> list[float]:
    return [by_name.number(name) for name in by_name.names()]


def _throttling(report: Fields) -> str:
    if not report.has("throttling"):
        return _UNKNOWN
    after = report.object("throttling").object("after")
    now = {str(name) for look in report.objects("during") for name in look.rows("throttled")}
    now |= {str(name) for name in after.rows("now")}
    return ", ".join(sorted(now)) or "none"


def _others(load: Fields) -> str:
    share, average = load.number("others_cpu_share", None), load.number("average_1_min_at_start", None)
    texts = [] if share is None else [f"{share * 100:.0f} % of all CPUs during the runs"]
    texts += [] if average is None else [f"load average {average:.2f} before"]
    return ", ".join(texts) or _UNKNOWN


def _protocol(protocol: Fields) -> str:
    return (
        f"{protocol.text('name')}: at least {protocol.integer('runs')} runs and "
        f"{protocol.number('min_seconds'):g} s, in {protocol.integer('blocks')} blocks"
    )


_REQUIRED = object()


def _is_in_range(value: float) -> bool:
    """Return whether a number is one of 64 bits, which no sum or square of it overflows; NaN is none."""
    return abs(value) <= LARGEST_INTEGER


class Fields:
    """The fields of one JSON object from outside: each has the expected type, or an error names its place.

    Args:
        value: the parsed JSON value.
        where: the file's name and the place in it, for error messages.

    Raises (all methods that read a field, and the constructor):
        EdgenetError: the value is missing or has another type.
    """

    def __init__(self, value: Any, where: str) -> None:
        self._where = where
        if not isinstance(value, Mapping):
            raise self._wrong("", value, "an object")
        self._value = value

    def has(self, name: str) -> bool:
        """Return whether the field exists and is not null."""
        return self._value.get(name) is not None

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return list(self._value)

    def text(self, name: str, default: Any = _REQUIRED) -> str:
        """Return a string as one printable line, or `default` if it is missing or null."""
        return one_line(str(self._of(name, (str,), "text", default)), LONGEST_LINE)

    def number(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return a finite number as float, or `default` if it is missing or null."""
        value = self._of(name, (int, float), "a number", default)
        if value is default:
            return default
        if not _is_in_range(value):
            raise self._wrong(name, value, "a finite number")
        return float(value)

    def integer(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return a whole number, or `default` if it is missing or null."""
        value = self._of(name, (int,), "a whole number", default)
        if value is not default and not _is_in_range(value):
            raise self._wrong(name, value, "a whole number of 64 bits")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def object(self, name: str) -> Fields:
        """Return the object in a field."""
        return Fields(self._of(name, (Mapping,), "an object", _REQUIRED), self._place(name))

    def rows(self, name: str, default: Any = ()) -> list[Any]:
        """Return a list with elements of any type, or `default` if it is missing or null."""
        return list(self._of(name, (list,), "a list", default))

    def objects(self, name: str) -> list[Fields]:
        """Return a list of objects; an empty list if it is missing or null."""
        return [Fields(row, f"{self._place(name)}[{i}]") for i, row in enumerate(self.rows(name))]

    def numbers(self, name: str, default: Any = _REQUIRED) -> list[float]:
        """Return a list of finite numbers, or `default` if it is missing or null."""
        values = self._of(name, (list,), "a list of numbers", default)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not _is_in_range(value):
                raise self._wrong(name, value, "a list of finite numbers")
        return list(values)

    def _of(self, name: str, kinds: tuple[type, ...], wanted: str, default: Any) -> Any:
        value = self._value.get(name)
        if value is None and default is not _REQUIRED:
            return default
        # In Python True is an int, but JSON's true is not a number.
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise self._wrong(name, value, wanted)
        return value

    def _place(self, name: str) -> str:
        return f"{self._where}.{name}" if ": " in self._where else f"{self._where}: {name}"

    def _wrong(self, name: str, value: Any, wanted: str) -> EdgenetError:
        place = self._place(name) if name else self._where
        # Python refuses to write an integer of thousands of digits.
        huge = isinstance(value, int | float) and not _is_in_range(value)
        what = "nothing" if value is None else "a huge number" if huge else f"{value!r:.40}"
        return EdgenetError(f"{place} has {what} where {wanted} belongs", "measure again with edgenet bench")
