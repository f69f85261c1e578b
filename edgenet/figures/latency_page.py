"""Write latency reports as one self-contained HTML page, without network access or scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgenet.figures.page_parts import LICENCE_NOTE, safe_text
from edgenet.latency.profile import operator_times
from edgenet.latency.report_rows import LatencyReport, ReportRow, format_or_unknown

MANY = 4
"""With more measurements or reasons than this, the page's details start closed, and the reader opens some."""


def latency_page(
    reports: Sequence[LatencyReport], rows: Sequence[ReportRow], figures: Mapping[str, str]
) -> str:
    """Return the page's HTML.

    Args:
        reports: the latency reports.
        rows: a row for each report, in the same order.
        figures: <svg> texts by name.
    """
    drawn = "\n".join(f"<section>{text}</section>" for text in figures.values())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{LICENCE_NOTE}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Latency of {len(rows)} measurements</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Latency, measured on the device</h1>
<p class="lead">{safe_text(_lead(rows))}</p>
{_warning(rows)}
<div class="cards">{_cards(rows)}</div>
<h2>Side by side</h2>
{_table(rows)}
{_reasons(reports, rows)}
{_left_out(reports, rows)}
{drawn}
<h2>Where and how it was measured</h2>
{_facts(_shared_facts(reports))}
{"".join(_details(report, row, reports) for report, row in zip(reports, rows, strict=True))}
<footer>Made by edgenet report. p50 is the nearest-rank median of single inferences.</footer>
</body>
</html>
"""


def _lead(rows: Sequence[ReportRow]) -> str:
    devices = sorted({row.device for row in rows})
    return f"{len({row.model for row in rows})} networks on {', '.join(devices)}"


def _warning(rows: Sequence[ReportRow]) -> str:
    """Return a line below the headline that says how many measurements must not be quoted; "" if all may be."""
    number = sum(not row.valid for row in rows)
    if not number:
        return ""
    if number == len(rows):
        return '<p class="warning">No measurement here is valid to quote. The reasons are below.</p>'
    return (
        f'<p class="warning">{number} of {len(rows)} measurements are not valid to quote. They are grey or hollow, on '
        "no front, and in none of the figures at the top. The reasons are below.</p>"
    )


def _cards(rows: Sequence[ReportRow]) -> str:
    valid = [row for row in rows if row.valid]
    timed = [(row.p50_ms, row) for row in valid if row.p50_ms is not None]
    cards = [(f"{len(valid)} of {len(rows)}", "measurements are valid to quote")]
    if timed:
        p50, fastest = min(timed, key=lambda pair: pair[0])
        cards.insert(0, (f"{p50:.3g} ms", f"fastest p50: {fastest.label}"))
    known = [row for row in valid if row.int8_top1 is not None]
    if known:
        best = max(known, key=lambda row: row.int8_top1 or 0.0)
        latency = "" if best.p50_ms is None else f", {best.p50_ms:.3g} ms"
        cards.append((f"{best.int8_top1:.2f} %", f"best int8 top-1: {best.label}{latency}"))
    loaded = [row for row in valid if row.sustained_ratio is not None]
    if loaded:
        worst = max(loaded, key=lambda row: row.sustained_ratio or 0.0)
        cards.append(
            (f"× {worst.sustained_ratio:.3f}", f"most slowed down by a sustained load: {worst.label}")
        )
    return "".join(
        f'<div class="card"><b>{safe_text(value)}</b><span>{safe_text(text)}</span></div>'
        for value, text in cards
    )


def _columns(longest: float) -> tuple[tuple[str, Callable[[ReportRow], str]], ...]:
    """Return each column's heading and cell function; a p50 of `longest` ms gets the longest bar."""
    return (
        ("", lambda row: safe_text(row.label)),
        ("", _badge),
        ("p50 ms", lambda row: format_or_unknown(row.p50_ms, "{:.3f}")),
        ("", lambda row: "" if row.p50_ms is None else _bar(row.p50_ms / longest, 90)),
        ("p90 ms", lambda row: format_or_unknown(row.p90_ms, "{:.3f}")),
        ("p99 ms", lambda row: format_or_unknown(row.p99_ms, "{:.3f}")),
        ("max ms", lambda row: f"{row.max_ms:.3f}"),
        ("runs", lambda row: f"{row.n:,}"),
        ("threads", lambda row: str(row.threads)),
        ("cold start<br>ms", lambda row: format_or_unknown(row.cold_start_ms, "{:.0f}")),
        ("sustained", lambda row: "" if row.sustained_ratio is None else f"× {row.sustained_ratio:.3f}"),
        (
            "memory<br>MB",
            lambda row: "" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e6:.0f}",
        ),
        ("file<br>MB", lambda row: f"{row.size_bytes / 1e6:.2f}"),
        ("int8<br>top-1 %", _top1),
    )


def _table(rows: Sequence[ReportRow]) -> str:
    """Return a table with a line for each row; columns that are empty in all rows are left out."""
    longest = max((row.p50_ms or 0.0 for row in rows), default=0.0) or 1.0
    columns = [(heading, [cell(row) for row in rows]) for heading, cell in _columns(longest)]
    filled = [(heading, cells) for heading, cells in columns if any(cells)]
    head = "".join(f"<th>{heading}</th>" for heading, _ in filled)
    lines = zip(rows, *(cells for _, cells in filled), strict=True)
    body = "\n".join(
        f"<tr{'' if row.valid else ' class=invalid'}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for row, *cells in lines
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _badge(row: ReportRow) -> str:
    return '<span class="badge">valid</span>' if row.valid else '<span class="badge no">not valid</span>'


def _bar(share: float, pixels: int) -> str:
    return f'<span class="bar" style="width:{max(share * pixels, 1):.0f}px"></span>'


def _top1(row: ReportRow) -> str:
    return "" if row.int8_top1 is None else f"{row.int8_top1:.2f}<i>{'*' if row.front else ''}</i>"


def _reasons(reports: Sequence[LatencyReport], rows: Sequence[ReportRow]) -> str:
    """Return the reasons why measurements are not valid; a reason that several share is listed once."""
    front = "<p>* on the Pareto front of its device</p>" if any(row.front for row in rows) else ""
    labels_by_reason: dict[str, list[str]] = {}
    for report, row in zip(reports, rows, strict=True):
        for reason in report.reasons:
            labels_by_reason.setdefault(reason, []).append(row.label)
    if not labels_by_reason:
        return front
    lines = "".join(
        f"<li><b>{_named(labels, rows)}</b>: {safe_text(reason)}</li>"
        for reason, labels in labels_by_reason.items()
    )
    number = sum(not row.valid for row in rows)
    return (
        f"{front}<details class=why{'' if len(labels_by_reason) > MANY else ' open'}>"
        f"<summary>{number} of {len(rows)} not valid to quote: why</summary><ul>{lines}</ul></details>"
    )


def _left_out(reports: Sequence[LatencyReport], rows: Sequence[ReportRow]) -> str:
    """Return a note that lists the measurements missing from the figures below, and why."""
    labels = [row.label for report, row in zip(reports, rows, strict=True) if not report.has_samples]
    if not labels:
        return ""
    return (
        f"<p>{safe_text(', '.join(labels))}: missing from the distributions below, and without p90 and p99, "
        "because the measuring tool reports no single runs.</p>"
    )


def _named(labels: Sequence[str], rows: Sequence[ReportRow]) -> str:
    return "all" if len(labels) == len(rows) > 1 else safe_text(", ".join(labels))


def _shared_facts(reports: Sequence[LatencyReport]) -> dict[str, str]:
    """Return the facts that are the same for all measurements; empty if there is only one measurement."""
    first, *others = (report.facts for report in reports)
    return {
        name: text for name, text in first.items() if others and all(one.get(name) == text for one in others)
    }


def _facts(facts: Mapping[str, str], more: str = "") -> str:
    lines = "".join(f"<dt>{safe_text(name)}</dt><dd>{safe_text(text)}</dd>" for name, text in facts.items())
    return f"<dl>{lines}{more}</dl>"


def _details(report: LatencyReport, row: ReportRow, reports: Sequence[LatencyReport]) -> str:
    """Return the details of this measurement that it does not share with all others."""
    shared = _shared_facts(reports)
    own = {name: text for name, text in report.facts.items() if name not in shared}
    tried = "".join(
        f"<dt>tried</dt><dd>{one.threads} thread(s) on {safe_text(one.cpus)}: {one.p50_ms:.3f} ms"
        f"{' (fastest)' if one.best else ''}</dd>"
        for one in report.tried
    )
    opened = "" if len(reports) > MANY else " open"
    return f"<details{opened}><summary>{safe_text(row.label)}</summary>{_facts(own, tried)}{_profile(report)}</details>"


def _profile(report: LatencyReport) -> str:
    """Return a table of every operator's time, or "" if the report has no profile."""
    if report.profile is None:
        return ""
    operators = operator_times(report.profile)
    longest = max(operator.ms for operator in operators)
    lines = "".join(
        f"<tr><td>{safe_text(one.output or '')}</td><td>{safe_text(one.kind or '')}</td><td>{one.ms:.3f}</td>"
        f"<td>{one.share:.1%}</td><td>{'' if not one.mult_adds else f'{one.mult_adds / 1e6:.2f}'}</td>"
        f"<td>{_bar(one.ms / longest if longest else 0.0, 120)}</td></tr>"
        for one in operators
    )
    head = "<tr><th>layer</th><th>operator</th><th>ms</th><th>share</th><th>M mult-adds</th><th></th></tr>"
    how = f"{safe_text(report.profile['clock'])}; {safe_text(report.profile['method'])}"
    return (
        f'<details><summary>Where the time goes ({how})</summary><div class="scroll">'
        f"<table><thead>{head}</thead><tbody>{lines}</tbody></table></div></details>"
    )


# For wide screens, phones and paper. On a phone the figures stay wide enough for their letters to be read, and scroll.
STYLE = """
:root { --ink: #222; --muted: #6d6d69; --line: #e3e3e0; --soft: #f6f6f4; --blue: #0072b2; --red: #b3261e; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1180px; margin: 2.2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.1em; margin: 2.2em 0 .6em; }
.lead { color: var(--muted); margin: .2em 0 1.4em; }
.warning { background: #fdf1f0; border-left: 4px solid var(--red); padding: .5em 1em; margin: 0 0 1em; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: .8em; }
.card { background: var(--soft); border-radius: 10px; padding: .8em 1em; }
.card b { display: block; font-size: 1.5em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.card span { color: var(--muted); font-size: .87em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { text-align: right; padding: .35em .6em; white-space: nowrap; font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid var(--ink); vertical-align: bottom; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
tbody tr { border-bottom: 1px solid var(--line); }
tr.invalid td { color: var(--muted); }
.bar { display: inline-block; height: .7em; background: var(--blue); border-radius: 2px; vertical-align: baseline; }
tr.invalid .bar { background: #b9b9b4; }
.badge { font-size: 11px; border-radius: 99px; padding: .1em .7em; color: #fff; background: #00795a; }
.badge.no { background: var(--red); }
details.why { background: #fdf1f0; border: 0; border-left: 4px solid var(--red); border-radius: 0; }
.why ul { margin: .5em 0; padding-left: 1.2em; font-size: .93em; } .why b { font-weight: 600; color: var(--red); }
td:has(.bar) { text-align: left; }
td i { display: inline-block; width: .6em; font-style: normal; }
svg { width: 100%; height: auto; display: block; }
dl { display: grid; grid-template-columns: 9em 1fr; gap: .15em 1em; font-size: 13px; margin: .6em 0 1em; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: 10px; padding: .5em 1em; margin: .6em 0; }
summary { cursor: pointer; font-weight: 600; }
footer { color: var(--muted); font-size: .85em; margin: 2.5em 0 1em; }
section { overflow-x: auto; }
@media (max-width: 700px) {
  body { font-size: 14px; margin-top: 1.2em; }
  dl { grid-template-columns: 6.5em 1fr; }
  section svg { min-width: 620px; }
  th:first-child, td:first-child { position: sticky; left: 0; background: #fff; white-space: normal; }
  td:first-child { overflow-wrap: anywhere; min-width: 8em; max-width: 9em; }
}
@media print {
  @page { margin: 12mm; }
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .scroll, section { overflow: visible; }
  table { font-size: 7pt; } th, td { padding: .25em .35em; }
  .cards { grid-template-columns: repeat(4, 1fr); } .card { padding: .5em .7em; } .card b { font-size: 1.2em; }
  section, tr, .card, dl { break-inside: avoid; } h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
