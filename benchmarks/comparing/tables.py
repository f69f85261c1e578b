"""The report as Markdown tables that are also readable on a terminal, and their insertion into a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from benchmarks.comparing.rows import Row
from benchmarks.quantizing.tables import BUSY_LOAD
from edgenet.errors import EdgenetError

BEGIN, END = "<!-- benchmarks.peers writes from here -->", "<!-- to here -->"
_MARKS = {True: "met", False: "**missed**", None: "not measured"}
Line = TypeVar("Line")
Column = tuple[str, Callable[[Row], str]]


def _number(form: str, value: Callable[[Row], float | None]) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        number = value(row)
        return "-" if number is None else form.format(number)

    return cell


def _operators(row: Row) -> str:
    return "-" if row.operators is None else f"{row.operators} ({row.transposes})"


_PACKAGES: Column = ("packages, MB", _number("{:,.0f}", lambda row: row.packages_mb))
_COSTS: tuple[Column, ...] = (
    ("wall, s", _number("{:.1f}", lambda row: row.wall_s)),
    ("peak, MiB", _number("{:,.0f}", lambda row: row.peak_mib)),
)
_WORTH: tuple[Column, ...] = (
    ("times ours", _number("{:.2f}", lambda row: row.latency_ratio)),
    ("top-1 drop", _number("{:.2f}", lambda row: row.top1_drop)),
    ("agrees, %", _number("{:.2f}", lambda row: row.agreement)),
)
CONVERTING: tuple[Column, ...] = (
    ("int8 file by", lambda row: row.name),
    _PACKAGES,
    *_COSTS,
    ("file, MB", _number("{:.2f}", lambda row: None if row.bytes is None else row.bytes / 1e6)),
    ("operators (transposes)", _operators),
    ("latency, ms", _number("{:.2f}", lambda row: row.latency_ms)),
    *_WORTH,
)
PIPELINES: tuple[Column, ...] = (
    ("picture to labels by", lambda row: row.name),
    _PACKAGES,
    ("wall, s", _number("{:.2f}", lambda row: row.wall_s)),
    _COSTS[1],
    ("a frame, ms", _number("{:.2f}", lambda row: row.latency_ms)),
    *_WORTH,
)


def tables(report: Mapping[str, Any]) -> str:
    """Return the conditions of the run; then for each network its tables, failures and goals."""
    lines = [*_circumstances(report), ""]
    for network in report["networks"].values():
        lines += [
            f"### {network['title']}",
            "",
            f"The float file is right on {network['float_top1']:.2f} % of {network['photos']} photos.",
            "",
        ]
        for columns, key in ((CONVERTING, "rows"), (PIPELINES, "pipelines")):
            rows = [Row(**values) for values in network[key]]
            if rows:
                lines += [*markdown(columns, rows), "", *_failures(rows)]
        lines += [f"- {goal['goal']}: {_MARKS[goal['met']]}, {goal['seen']}" for goal in network["goals"]]
        lines.append("")
    return "\n".join(lines)


def markdown(columns: Sequence[tuple[str, Callable[[Line], str]]], rows: Sequence[Line]) -> list[str]:
    """Return the lines of a table; the cells of a column are equally wide."""
    cells = [[title for title, _ in columns], *([cell(row) for _, cell in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    padded = [
        [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        for line in cells
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return ["| " + " | ".join(line) + " |" for line in (padded[0], rule, *padded[1:])]


def put_into(document: str, block: str, mark: str = BEGIN) -> str:
    """Return the document with `block` between two marks: `mark`, and the next END after it.

    Raises:
        EdgenetError: the document does not have both marks.
    """
    before, begin, rest = document.partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise EdgenetError(
            "the document has no place for the tables", f"put the lines {mark} and {END} into it"
        )
    return f"{before}{begin}\n\n{block.strip()}\n\n{end}{after}"


def _circumstances(report: Mapping[str, Any]) -> list[str]:
    machine = report["machine"]
    found = f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}, Python {machine['python']}"
    lines = [f"{report['date']}, `{report['command']}`, on {found}."]
    if report["load_before"] > BUSY_LOAD:
        busy = f"**The machine was busy (load {report['load_before']:.1f} before the run)**"
        lines.append(f"{busy}: seconds and milliseconds are unreliable; the ratios were measured in turns.")
    lines.append("")
    for name, versions in report["versions"].items():
        lines.append(
            f"- {name}: " + ", ".join(f"{package} {version}" for package, version in versions.items())
        )
    return lines


def _failures(rows: Sequence[Row]) -> list[str]:
    """Return the last line of the error of each row that failed."""
    failed = [f"- {row.name}: {row.error.strip().splitlines()[-1]}" for row in rows if row.error]
    return [*failed, ""] if failed else []
