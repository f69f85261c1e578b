"""The look that the figures share: quiet axes, one ink, colours that colour-blind readers tell apart."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK = "#222222"
MUTED = "#8a8a86"
GRID = "#e3e3e0"
# Okabe and Ito's; where marks are drawn, their shapes differ too, for print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"


def figure_of(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def quiet(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """A title on the left, names of the axes, a light grid, no box."""
    axes.set_title(plain(title), loc="left", fontsize=11, color=INK)
    axes.set_xlabel(plain(x), fontsize=9)
    axes.set_ylabel(plain(y), fontsize=9)
    axes.grid(color=GRID, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=0, which="both")
    for spine in axes.spines.values():
        spine.set_visible(False)


def logarithmic_x(axes: Axes) -> None:
    """Powers of ten alone would leave most axes without a single number."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def plain(text: str) -> str:
    """Text as it is: matplotlib takes what stands between two dollars for mathematics."""
    return text.replace("$", r"\$")
