"""Reading and checking latency reports, written by this version of edgenet or an older one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_scripts.report_form import SCHEMA
from edgenet.errors import EdgenetError
from edgenet.latency.fields import Fields
from edgenet.latency.report_facts import device_name, facts
from edgenet.latency.report_values import Accuracy, ColdStart, LatencyReport, Point, Sustained, Trial

BLOCKS_OF_OLD_REPORTS = 10
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
    loaded = _load(path)
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
    steady, model = fields.inside("steady_state"), fields.inside("model")
    has_samples = "block_p50_ms" not in steady.names()
    return LatencyReport(
        path=path,
        name=model.text("name", "") or Path(model.text("file")).stem,
        sha256=model.text("sha256"),
        size_bytes=model.integer("size_bytes"),
        target=fields.text("target", ""),
        device=device_name(fields.inside("device")),
        started=fields.text("started"),
        protocol=fields.inside("protocol").text("name") if fields.has("protocol") else "unnamed",
        threads=fields.integer("threads"),
        n=steady.integer("n"),
        min_ms=steady.number("min_ms"),
        p50_ms=steady.number("p50_ms") if has_samples else steady.number("p50_ms", None),
        p90_ms=steady.number("p90_ms", None),
        p99_ms=steady.number("p99_ms", None),
        max_ms=steady.number("max_ms"),
        blocks_ms=_blocks(steady, path),
        has_samples=has_samples,
        cold_start=_cold_start(fields.inside("cold_start")),
        sustained=_sustained(fields.inside("sustained")) if fields.has("sustained") else None,
        peak_memory_bytes=fields.integer("peak_memory_bytes", None),
        accuracy=_accuracy(model.inside("accuracy")) if model.has("accuracy") else None,
        tried=tuple(_trial(row) for row in fields.objects("tried")),
        facts=facts(fields),
        profile=_profile(fields.inside("profile")) if fields.has("profile") else None,
        valid=fields.flag("valid"),
        reasons=tuple(str(reason) for reason in fields.rows("reasons")),
    )


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise EdgenetError(f"the report {path} does not exist", "check the path") from None
    except OSError as error:
        raise EdgenetError(f"cannot read the report {path}: {error.strerror}", "check the path") from None
    except (ValueError, RecursionError) as error:
        raise EdgenetError(f"{path} is not a latency report: {error}", _GIVE) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which no measurement gives")


def _is_report(path: Path) -> bool:
    """Return whether a file claims to be a latency report of any version, without checking its contents."""
    try:
        return b'"edgenet.latency.' in path.read_bytes()
    except OSError:
        return False


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
        return tuple(part for part in np.array_split(samples, BLOCKS_OF_OLD_REPORTS) if part.size)
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
        Point(
            point.number("at_s"),
            point.number("p50_ms"),
            point.number("hottest_celsius", None),
            point.number("highest_mhz", None),
        )
        for point in fields.objects("curve")
    )
    first, last = fields.number("first_p50_ms"), fields.number("last_p50_ms")
    return Sustained(first, last, fields.number("ratio"), curve)


def _accuracy(fields: Fields) -> Accuracy | None:
    """Return the int8 network's accuracy; None if only the float network was evaluated."""
    if not fields.has("int8_top1"):
        return None
    return Accuracy(fields.number("int8_top1"), fields.integer("n"), fields.text("data", ""))


def _trial(fields: Fields) -> Trial:
    return Trial(fields.integer("threads"), fields.text("cpus"), fields.number("p50_ms"), fields.flag("best"))


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
