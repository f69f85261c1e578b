"""The layer report: how much every layer of an int8 network loses, as a figure and as a page with a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from edgenet.figures.page_parts import LICENCE_NOTE, safe_text
from edgenet.figures.style import GRID, INK, plain, png, svg
from edgenet.files import write_atomically
from edgenet.quantize.noise_shares import NoiseShares
from edgenet.quantize.quantization_errors import ChannelUse, LayerErrors


@dataclass(frozen=True)
class LayerReport:
    """The layer report: its title, the measured errors and noise, the advice, and the rows."""

    title: str
    errors: LayerErrors
    noise: NoiseShares
    advice: str
    rows: tuple[LayerRow, ...]


@dataclass(frozen=True)
class LayerRow:
    """One layer's values; `LayerError` and `LayerShare` explain those not listed here.

    Attributes:
        name: the node's name.
        kind: the operator's name in the file.
        activations, weights: shares of the noise; `weights` is None if it cannot be known.
    """

    name: str
    kind: str
    sqnr_db: float
    range_used: float | None
    saturated: float | None
    channels: ChannelUse | None
    activations: float
    weights: float | None


def layer_rows(errors: LayerErrors, noise: NoiseShares, kinds: Mapping[str, str]) -> tuple[LayerRow, ...]:
    """Return, in the file's order, a row for every layer whose error and share of the noise are both known.

    `kinds` maps node names to the names of their operators in the file.
    """
    shares = {layer.node: layer for layer in noise.layers}
    return tuple(
        LayerRow(
            error.node,
            kinds.get(error.node, ""),
            error.sqnr_db,
            error.range_used,
            error.saturated,
            error.channels,
            shares[error.node].activations,
            shares[error.node].weights,
        )
        for error in errors.layers
        if error.node in shares
    )


def write_layer_report(path: Path, report: LayerReport) -> None:
    """Draw the report and write it: a .html file is one page with figure and table, any other file is a PNG.

    Raises:
        EdgenetError: the file cannot be written.
    """
    if path.suffix.lower() == ".html":
        page = layer_page(report, svg(layer_figure(report, heading=False)))
        write_atomically(path, page.encode("utf-8", "replace"))
    else:
        write_atomically(path, png(layer_figure(report)))


KINDS = (
    ("convolution", "#0072b2", ("CONV_2D", "FULLY_CONNECTED")),
    ("depthwise", "#d55e00", ("DEPTHWISE_CONV_2D",)),
    ("other", "#6b6b6b", ()),
)
ACTIVATIONS, WEIGHTS, FULL = "#cc79a7", "#56b4e9", "#bcd9ea"
SATURATED_FROM = 1e-4
WIDTH, ROW, HEAD, FOOT = 12.0, 0.19, 1.75, 0.55  # inches
HEAD_WITHOUT_TITLE = 0.75
LONGEST_NAME = 44


def layer_figure(report: LayerReport, heading: bool = True) -> Figure:
    """Draw SQNR, use of the int8 range and shares of the noise side by side; a page has a heading of its own."""
    rows = report.rows
    head = HEAD if heading else HEAD_WITHOUT_TITLE
    height = head + FOOT + ROW * max(len(rows), 4)
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    bottom, top = FOOT / height, 1 - head / height
    places = ((0.27, 0.24), (0.535, 0.18), (0.745, 0.23))
    sqnr, use, noise = (figure.add_axes((x, bottom, width, top - bottom)) for x, width in places)
    _draw_sqnr(sqnr, rows)
    _draw_use(use, rows)
    _draw_noise(noise, rows)
    for axes in (sqnr, use, noise):
        _style_rows(axes, len(rows))
    sqnr.set_yticks(range(len(rows)), [_short(row.name) for row in rows], fontsize=7.5)
    for axes in (use, noise):
        axes.set_yticks([])
    if heading:
        _write_heading(figure, report, height)
    return figure


def _draw_sqnr(axes: Axes, rows: tuple[LayerRow, ...]) -> None:
    known = [(place, row) for place, row in enumerate(rows) if math.isfinite(row.sqnr_db)]
    axes.plot(
        [row.sqnr_db for _, row in known], [place for place, _ in known], color="#c9c9c9", lw=1, zorder=1
    )
    for place, row in known:
        axes.scatter(row.sqnr_db, place, s=22, color=_colour(row.kind), zorder=2)
    axes.set_title("signal to noise, dB", loc="left", fontsize=10, color=INK, pad=24)
    handles = [Line2D([], [], marker="o", ls="", ms=5, color=colour, label=name) for name, colour, _ in KINDS]
    _legend(axes, handles)
    if known:
        low, high = min(row.sqnr_db for _, row in known), max(row.sqnr_db for _, row in known)
        axes.set_xlim(min(0.0, low - 2), high + 3)


def _draw_use(axes: Axes, rows: tuple[LayerRow, ...]) -> None:
    for place, row in enumerate(rows):
        if row.range_used is not None:
            axes.barh(place, 100 * row.range_used, height=0.72, color=FULL)
        if row.channels is not None:
            axes.plot(
                [100 * row.channels.median_bits / 8] * 2, [place - 0.36, place + 0.36], color=INK, lw=1.4
            )
        if row.saturated is not None and row.saturated >= SATURATED_FROM:
            axes.annotate(
                f"{row.saturated:.2%} beyond",
                (2, place),
                ha="left",
                va="center",
                fontsize=6.5,
                color="#b00020",
            )
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 50, 100], ["0", "50", "100 %"])
    axes.set_title("steps in use", loc="left", fontsize=10, color=INK, pad=24)
    _legend(
        axes,
        [
            Patch(color=FULL, label="range"),
            Line2D([], [], color=INK, lw=1.4, label="median bits of 8"),
        ],
    )


def _draw_noise(axes: Axes, rows: tuple[LayerRow, ...]) -> None:
    places = range(len(rows))
    activations = [100 * row.activations for row in rows]
    weights = [100 * (row.weights or 0.0) for row in rows]
    axes.barh(places, activations, height=0.72, color=ACTIVATIONS)
    axes.barh(places, weights, height=0.72, left=activations, color=WEIGHTS)
    totals = [a + w for a, w in zip(activations, weights, strict=True)]
    longest = max([*totals, 1.0])
    for place in sorted(places, key=lambda i: -totals[i])[:5]:
        if totals[place] >= 1:
            axes.annotate(
                f"{totals[place]:.0f} %", (totals[place], place), (4, 0), textcoords="offset points",
                va="center", fontsize=7.5, color=INK,
            )  # fmt: skip
    axes.set_xlim(0, longest * 1.18)
    axes.set_title("share of the noise at the logits, %", loc="left", fontsize=10, color=INK, pad=24)
    handles = [Patch(color=ACTIVATIONS, label="activations")]
    if all(row.weights is not None for row in rows):
        handles.append(Patch(color=WEIGHTS, label="weights"))
    _legend(axes, handles)


def _legend(axes: Axes, handles: list) -> None:
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=len(handles),
        frameon=False,
        fontsize=7.5,
        handlelength=1.2,
        columnspacing=1.2,
        borderpad=0.1,
        borderaxespad=0.35,
    )


def _style_rows(axes: Axes, count: int) -> None:
    axes.set_ylim(max(count, 1) - 0.5, -0.5)
    for place in range(0, count, 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#f6f6f4", zorder=0, lw=0)
    axes.grid(axis="x", color=GRID, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=7.5, colors="#444444")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _write_heading(figure: Figure, report: LayerReport, height: float) -> None:
    def line(inches: float, text: str, size: float, colour: str, weight: str = "normal") -> None:
        figure.text(
            0.015, 1 - inches / height, plain(text), fontsize=size, color=colour, weight=weight, va="top"
        )

    line(0.14, report.title, 14, INK, "bold")
    line(0.46, _summary(report), 9.5, "#444444")
    line(0.72, "\n".join(wrap(report.advice, 160)), 9.5, INK)


def _short(name: str) -> str:
    name = name.split(";")[0]
    return plain(name if len(name) <= LONGEST_NAME else "…" + name[-LONGEST_NAME + 1 :])


def _colour(kind: str) -> str:
    return next((colour for _, colour, kinds in KINDS if kind in kinds), KINDS[-1][1])


def _summary(report: LayerReport) -> str:
    """Return the whole file's values in one line."""
    errors, noise = report.errors, report.noise
    return (
        f"logits {noise.sqnr_db:.1f} dB · {errors.same_answer} of {errors.photos} answers are the float network's · "
        f"noise: weights {noise.weights:.0%}, activations {noise.activations:.0%}"
    )


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.4em; margin-bottom: 0; }
.advice { background: #f6f6f4; border-left: 4px solid #0072b2; padding: .7em 1em; }
svg { width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 12.5px; width: 100%; }
th, td { text-align: right; padding: .25em .5em; font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
th { border-bottom: 2px solid #222; vertical-align: bottom; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 19em; background: inherit; }
tbody tr { background: #fff; } tbody tr:nth-child(odd) { background: #f6f6f4; }
@media (max-width: 900px) {
  svg { min-width: 900px; }
  td:first-child { position: sticky; left: 0; min-width: 10em; }
}
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { margin: 0; max-width: none; } .scroll { overflow: visible; } table { font-size: 7.5pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } tr { break-inside: avoid; }
}
"""
HEADINGS = (
    *("layer", "operator", "SQNR, dB", "range used", "beyond range", "dead channels", "outlier channels"),
    *("largest reach / median", "median channel, bits", "noise of activations", "noise of weights"),
)


def layer_page(report: LayerReport, svg: str) -> str:
    """Return the page's HTML.

    Args:
        report: the layer report.
        svg: the figure as an <svg> element.
    """
    head = "".join(f"<th>{safe_text(heading)}</th>" for heading in HEADINGS)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{safe_text(c)}</td>' for c in _cells(row))}</tr>" for row in report.rows
    )
    title = safe_text(report.title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{LICENCE_NOTE}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p>{safe_text(_summary(report))}</p>
<p class="advice">{safe_text(report.advice)}</p>
<div class="scroll">{svg}</div>
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


def _cells(row: LayerRow) -> tuple[str, ...]:
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
