"""The common look of the figures, and their bytes as PNG and SVG.

The axes are plain, all text has one colour, and colour-blind readers can tell the palette apart too.
"""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from edgenet.figures.fonts import prepare_texts

INK = "#222222"
MUTED = "#8a8a86"
GRID = "#e3e3e0"
# The palette of Okabe and Ito. Marks also differ in shape, for print in black and white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"


def figure_of(width: float, height: float) -> Figure:
    """Return an empty figure; width and height are in inches."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def style_axes(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Give the axes a title on the left, axis names and a light grid, and remove the box."""
    axes.set_title(plain(title), loc="left", fontsize=11, color=INK)
    axes.set_xlabel(plain(x), fontsize=9)
    axes.set_ylabel(plain(y), fontsize=9)
    axes.grid(color=GRID, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=0, which="both")
    for spine in axes.spines.values():
        spine.set_visible(False)


def logarithmic_x(axes: Axes) -> None:
    """Make the x axis logarithmic, with labels at 1, 2 and 5.

    With labels at powers of ten alone, most of our axes would show no number at all.
    """
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def plain(text: str) -> str:
    """Escape dollar signs, because matplotlib sets text between two dollar signs as mathematics."""
    return text.replace("$", r"\$")


DOTS_PER_INCH = 150
SVG_DOTS_PER_INCH = 72  # matplotlib's own, which cannot be chosen


def png(figure: Figure) -> bytes:
    """Return the bytes of the figure's PNG file; the same figure gives the same bytes."""
    prepare_texts(figure, DOTS_PER_INCH)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()


def svg(figure: Figure, salt: str = "edgenet") -> str:
    """Return the figure's <svg> element for a page; the same figure gives the same text.

    The date and the web addresses that matplotlib adds are left out.

    Args:
        figure: the figure.
        salt: text that goes into the ids of the figure's parts; they must differ between the figures of one
            page.
    """
    prepare_texts(figure, SVG_DOTS_PER_INCH)
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(stream, format="svg")
    text = stream.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
