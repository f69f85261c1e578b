"""The int8 benchmark's report as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.quantizing.inputs import draw_name
from benchmarks.quantizing.rows import IntegerCheck, Row, Summary, summarize
from benchmarks.quantizing.totals import ALL_NETWORKS, Total, draws_of, total_line

BUSY_LOAD = 0.5  # average number of running processes in the minute before; nearly 0 on an idle machine
_MARKS = {True: "met   ", False: "MISSED", None: "-     "}
_HEAD = (
    *("", "top-1", "drop (each draw)", "lost/won", "p", "agreement", "KL", "SQNR", "worst 5 %", "saturated"),
    *("wall", "peak", "file", "operators"),
)
_UNITS = ("", "%", "points", "photos", "", "%", "nats", "dB", "dB", "photos", "s", "MiB", "MB", "")


def table(report: dict[str, Any]) -> str:
    """Return a table for each network, the sums over all networks, the goals, and a warning if the machine was busy."""
    rows = [read_row(values) for values in report["rows"]]
    references = [read_row(values) for values in report["references"]]
    lines = []
    for key, network in report["networks"].items():
        own = [row for row in rows if row.network == key]
        lines += [_title(network["title"], own), ""]
        lines += _table([_HEAD, _UNITS, *_converter_lines(own)])
        lines += _other_sets(own) + _same_network([row for row in references if row.network == key])
        lines.append("")
    lines += [*(total_line(Total(**values)) for values in report["totals"]), ""]
    lines += _goals(report["goals"], [*report["networks"], ALL_NETWORKS])
    if report["load_before"] > BUSY_LOAD:
        busy = f"The machine was busy (load {report['load_before']:.1f} before the run): the times are unreliable."
        lines += ["", busy]
    return "\n".join(lines)


def read_row(values: dict[str, Any]) -> Row:
    """Return a row from its plain values."""
    integer = values["integer"]
    return Row(**(values | {"integer": IntegerCheck(**integer) if integer else None}))


def _title(title: str, rows: Sequence[Row]) -> str:
    figures = [row.figures for row in rows if row.figures and row.photos == draw_name(0)]
    if not figures:
        return title
    return f"{title}: float {figures[0]['float_top1']:.2f} % of {figures[0]['n']:.0f} photos (draw 0)"


def _converter_lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for converter in dict.fromkeys(row.converter for row in rows):
        draws = draws_of(rows, converter)
        summary = summarize(draws)
        if summary is None:
            reason = next((row.error for row in draws if row.error), "no draw") or ""
            lines.append((converter, f"failed: {reason.strip().splitlines()[-1]}"))
        else:
            lines.append(_converter_line(summary))
    return lines


def _converter_line(one: Summary) -> tuple[str, ...]:
    each = " ".join(f"{drop:.2f}" for drop in one.drops)
    return (
        one.converter,
        f"{one.top1:.2f}",
        f"{one.drop:.2f} ({each})",
        f"{one.lost}/{one.won}",
        f"{one.p_value:.2f}",
        f"{one.agreement:.2f}",
        f"{one.kl:.4f}",
        f"{one.sqnr_db:.2f}",
        f"{one.worst_db:.2f}",
        "float" if one.saturated is None else f"{one.saturated} of {one.n}",
        f"{one.wall_s:.1f}",
        f"{one.peak_mib:.0f}",
        f"{one.bytes / 1e6:.2f}",
        str(one.operators),
    )


def _other_sets(rows: Sequence[Row]) -> list[str]:
    """Return a line for every calibration set other than the draws."""
    lines = []
    for row in rows:
        if row in draws_of(rows, row.converter):
            continue
        if row.figures is None:
            lines.append(f"{row.converter}, calibrated with {row.photos}: failed: {row.error}")
            continue
        figures = row.figures
        lines.append(
            f"{row.converter}, calibrated with {row.photos}: drop {figures['drop']:.2f} ({figures['lost']} lost,"
            f" {figures['won']} won), agreement {figures['agreement']:.2f} %, KL {figures['kl']:.4f} nats,"
            f" SQNR {figures['sqnr_db']:.2f} dB ({figures['worst_db']:.2f} dB on the worst 5 %), {row.wall_s:.1f} s"
        )
    return ["", *lines] if lines else []


def _same_network(references: Sequence[Row]) -> list[str]:
    return [
        f"{row.converter}: agreement with ours {row.figures['agreement']:.2f} %, SQNR {row.figures['sqnr_db']:.1f} dB:"
        f" {'the same network' if row.figures['sqnr_db'] > 60 else 'ANOTHER NETWORK'}"
        if row.figures
        else f"{row.converter} failed: {row.error}"
        for row in references
    ]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    full = [row for row in rows if len(row) == len(_HEAD)]
    widths = [max(len(row[i]) for row in full) for i in range(len(_HEAD))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return lines


def _goals(goals: Sequence[dict[str, Any]], networks: Sequence[str]) -> list[str]:
    lines = []
    for key in networks:
        own = [goal for goal in goals if goal["network"] == key]
        lines += [f"{_MARKS[goal['met']]}  {key} {goal['goal']}: {goal['seen']}" for goal in own]
    return lines
