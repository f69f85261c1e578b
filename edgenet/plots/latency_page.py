"""Latency reports as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from edgenet.latency.profile import operator_times
from edgenet.latency.report_rows import ReportRow
from edgenet.latency.report_values import LatencyReport

STYLE = """
:root { --ink: #222; --muted: #6d6d69; --line: #e3e3e0; --soft: #f6f6f4; --blue: #0072b2; --red: #b3261e; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1180px; margin: 2.2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.1em; margin: 2.2em 0 .6em; }
.lead { color: var(--muted); margin: .2em 0 1.4em; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: .8em; }
.card { background: var(--soft); border-radius: 10px; padding: .8em 1em; }
.card b { display: block; font-size: 1.5em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.card span { color: var(--muted); font-size: .87em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { text-align: right; padding: .35em .6em; white-space: nowrap; font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid var(--ink); vertical-align: bottom; font-weight: 600; white-space: normal; }
th:first-child, td:first-child { text-align: left; }
tbody tr { border-bottom: 1px solid var(--line); }
tr.invalid td { color: var(--muted); }
.bar { display: inline-block; height: .7em; background: var(--blue); border-radius: 2px; vertical-align: baseline; }
tr.invalid .bar { background: #b9b9b4; }
.badge { font-size: 11px; border-radius: 99px; padding: .1em .7em; color: #fff; background: #00795a; }
.badge.no { background: var(--red); }
.why { background: #fdf1f0; border-left: 4px solid var(--red); padding: .5em 1em; margin: .5em 0; font-size: .93em; }
svg { width: 100%; height: auto; display: block; }
dl { display: grid; grid-template-columns: 9em 1fr; gap: .15em 1em; font-size: 13px; margin: .6em 0 1em; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: 10px; padding: .5em 1em; margin: .6em 0; }
summary { cursor: pointer; font-weight: 600; }
footer { color: var(--muted); font-size: .85em; margin: 2.5em 0 1em; }
@media (max-width: 520px) { body { font-size: 14px; } dl { grid-template-columns: 6.5em 1fr; } }
"""
HEADINGS = (
    *("", "", "p50 ms", "", "p90 ms", "p99 ms", "max ms", "runs", "threads", "cold start ms", "sustained"),
    *("memory MB", "file MB", "int8 top-1 %"),
)


def latency_page(
    reports: Sequence[LatencyReport], rows: Sequence[ReportRow], figures: Mapping[str, str]
) -> str:
    """The page.

    Args:
        figures: <svg> texts by the headings that they belong under.
    """
    drawn = "\n".join(f"<section>{text}</section>" for text in figures.values())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Latency of {len(rows)} measurements</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Latency, measured on the device</h1>
<p class="lead">{escape(_lead(rows))}</p>
<div class="cards">{_cards(rows)}</div>
<h2>Side by side</h2>
{_table(rows)}
{_reasons(rows)}
{drawn}
<h2>Where and how it was measured</h2>
{"".join(_details(report, row) for report, row in zip(reports, rows, strict=True))}
<footer>Made by edgenet report. p50 is the nearest-rank median of single inferences.</footer>
</body>
</html>
"""


def _lead(rows: Sequence[ReportRow]) -> str:
    devices = sorted({row.device for row in rows})
    return f"{len({row.model for row in rows})} networks on {', '.join(devices)}"


def _cards(rows: Sequence[ReportRow]) -> str:
    fastest = min(rows, key=lambda row: row.p50_ms)
    valid = sum(row.valid for row in rows)
    cards = [
        (f"{fastest.p50_ms:.3g} ms", f"fastest p50: {fastest.label}"),
        (f"{valid} of {len(rows)}", "measurements are valid to quote"),
    ]
    known = [row for row in rows if row.int8_top1 is not None]
    if known:
        best = max(known, key=lambda row: row.int8_top1 or 0.0)
        cards.append((f"{best.int8_top1:.2f} %", f"best int8 top-1: {best.label}, {best.p50_ms:.3g} ms"))
    loaded = [row for row in rows if row.sustained_ratio is not None]
    if loaded:
        worst = max(loaded, key=lambda row: row.sustained_ratio or 0.0)
        cards.append(
            (f"× {worst.sustained_ratio:.3f}", f"most slowed down by a sustained load: {worst.label}")
        )
    return "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(text)}</span></div>' for value, text in cards
    )


def _table(rows: Sequence[ReportRow]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    longest = max(row.p50_ms for row in rows)
    body = "\n".join(_line(row, longest) for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _line(row: ReportRow, longest: float) -> str:
    cells = (
        escape(row.label),
        '<span class="badge">valid</span>' if row.valid else '<span class="badge no">not valid</span>',
        f"{row.p50_ms:.3f}",
        f'<span class="bar" style="width:{max(row.p50_ms / longest * 90, 1):.0f}px"></span>',
        f"{row.p90_ms:.3f}",
        f"{row.p99_ms:.3f}",
        f"{row.max_ms:.3f}",
        f"{row.n:,}",
        str(row.threads),
        f"{row.cold_start_ms:.0f}",
        "" if row.sustained_ratio is None else f"× {row.sustained_ratio:.3f}",
        "" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e6:.0f}",
        f"{row.size_bytes / 1e6:.2f}",
        "" if row.int8_top1 is None else f"{row.int8_top1:.2f}{' *' if row.front else ''}",
    )
    inside = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr{'' if row.valid else ' class=invalid'}>{inside}</tr>"


def _reasons(rows: Sequence[ReportRow]) -> str:
    front = "<p>* on the Pareto front of its device.</p>" if any(row.front for row in rows) else ""
    return front + "".join(
        f'<p class="why"><b>{escape(row.label)}</b> is not valid to quote: {escape(row.reasons)}</p>'
        for row in rows
        if not row.valid
    )


def _details(report: LatencyReport, row: ReportRow) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in report.facts.items())
    tried = "".join(
        f"<dt>tried</dt><dd>{one.threads} thread(s) on {escape(one.cpus)}: {one.p50_ms:.3f} ms"
        f"{' (fastest)' if one.best else ''}</dd>"
        for one in report.tried
    )
    return f"<details open><summary>{escape(row.label)}</summary><dl>{facts}{tried}</dl>{_profile(report)}</details>"


def _profile(report: LatencyReport) -> str:
    """Every operator's time."""
    if report.profile is None:
        return ""
    operators = operator_times(report.profile)
    longest = max(operator.ms for operator in operators)
    lines = "".join(
        f"<tr><td>{escape(one.output or '')}</td><td>{escape(one.kind or '')}</td><td>{one.ms:.3f}</td>"
        f"<td>{one.share:.1%}</td><td>{'' if not one.mult_adds else f'{one.mult_adds / 1e6:.2f}'}</td>"
        f'<td><span class="bar" style="width:{max(one.ms / longest, 0) * 120:.0f}px"></span></td></tr>'
        for one in operators
    )
    head = "<tr><th>layer</th><th>operator</th><th>ms</th><th>share</th><th>M mult-adds</th><th></th></tr>"
    how = f"{escape(report.profile['clock'])}; {escape(report.profile['method'])}"
    return (
        f'<p>Where the time goes ({how}):</p><div class="scroll"><table><thead>{head}</thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
