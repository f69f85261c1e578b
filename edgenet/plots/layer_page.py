"""Write the layer report as one self-contained HTML page, with the figure and a table of all values."""

from __future__ import annotations

import math
from html import escape

from edgenet.plots.rows import Report, Row, summary

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.4em; margin-bottom: 0; }
.advice { background: #f6f6f4; border-left: 4px solid #0072b2; padding: .7em 1em; }
svg { width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { text-align: right; padding: .25em .6em; white-space: nowrap; font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid #222; vertical-align: bottom; background: #fff; position: sticky; top: 0; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tbody tr:nth-child(odd) { background: #f6f6f4; }
"""
HEADINGS = (
    *("layer", "operator", "SQNR, dB", "range used", "beyond range", "dead channels", "outlier channels"),
    *("largest reach / median", "median channel, bits", "noise of activations", "noise of weights"),
)


def layer_page(report: Report, svg: str) -> str:
    """Return the page's HTML.

    Args:
        report: the layer report.
        svg: the figure as an <svg> element.
    """
    head = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in _cells(row))}</tr>" for row in report.rows
    )
    title = escape(report.title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p>{escape(summary(report))}</p>
<p class="advice">{escape(report.advice)}</p>
{svg}
<div class="scroll">
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
</body>
</html>
"""


def _cells(row: Row) -> tuple[str, ...]:
    channels = row.channels
    use: tuple[str, ...] = ("", "", "", "")
    if channels is not None:
        few = (str(n) if n else "" for n in (channels.dead, channels.outliers))
        use = (*few, f"{channels.reach:.1f} ×", f"{channels.median_bits:.1f}")
    return (
        row.name,
        row.kind,
        f"{row.sqnr_db:.1f}" if math.isfinite(row.sqnr_db) else "exact",
        _percent(row.range_used, 0),
        _percent(row.saturated, 2),
        *use,
        _percent(row.activations, 1),
        _percent(row.weights, 1),
    )


def _percent(share: float | None, digits: int) -> str:
    return "" if share is None else f"{share:.{digits}%}"
