"""Draw a sweep: accuracy against mult-adds, parameters (figures 4, 5 of arXiv 1704.04861) and latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgenet.plots.axes import COLOURS, INK, MARKERS, figure_of, logarithmic_x, quiet

FRONT = INK


class Point(Protocol):
    """The values of a variant that are drawn; their units are those of `SweepRow`."""

    @property
    def width(self) -> float:
        """Width multiplier."""

    @property
    def resolution(self) -> int:
        """Side of the input picture, in pixels."""

    @property
    def mult_adds(self) -> int:
        """Mult-adds for one photo."""

    @property
    def parameters(self) -> int:
        """Number of parameters of convolutions and fully connected layers."""

    @property
    def int8_top1(self) -> float:
        """Top-1 accuracy of the int8 network, percent."""

    @property
    def float_top1(self) -> float:
        """Top-1 accuracy of the float network, percent."""

    @property
    def latency_p50_ms(self) -> float:
        """Median latency of one inference, milliseconds."""

    @property
    def latency_valid(self) -> bool:
        """Whether the latency is valid to quote."""

    @property
    def device(self) -> str:
        """Device on which the latency was measured."""

    @property
    def threads(self) -> int:
        """Number of threads of the inference."""

    @property
    def front(self) -> bool:
        """Whether the variant is on the Pareto front of int8 accuracy against latency."""


def mult_adds_figure(points: Sequence[Point], title: str) -> Figure:
    """Draw float accuracy against mult-adds, as in the paper's figure 4, with one mark for each variant."""
    figure, axes = _axes(title, "million mult-adds", "float top-1, %")
    _series(axes, points, lambda point: point.mult_adds / 1e6, lambda point: point.float_top1)
    _legend(figure)
    return figure


def parameters_figure(points: Sequence[Point], title: str) -> Figure:
    """Draw float accuracy against parameters, as in the paper's figure 5; resolution adds no parameters."""
    figure, axes = _axes(title, "million parameters", "float top-1, %")
    _series(axes, points, lambda point: point.parameters / 1e6, lambda point: point.float_top1)
    _legend(figure)
    return figure


def latency_figure(points: Sequence[Point], title: str) -> Figure:
    """Draw int8 accuracy against measured latency.

    The points of the Pareto front are joined and named. Points whose latency is not valid to quote are
    hollow.
    """
    where = f"{points[0].device}, {points[0].threads} thread{'s' * (points[0].threads > 1)}"
    figure, axes = _axes(title, f"p50 latency, ms ({where})", "int8 top-1, %")
    _series(
        axes, points, _latency, lambda point: point.int8_top1, hollow=lambda point: not point.latency_valid
    )
    front = sorted((point for point in points if point.front), key=_latency)
    axes.plot(
        [_latency(point) for point in front],
        [point.int8_top1 for point in front],
        color=FRONT,
        lw=1.2,
        ls="--",
        marker="o",
        ms=11,
        mfc="none",
        zorder=1,
        label="Pareto front",
    )
    for point in front:
        axes.annotate(
            f"{point.width:g}-{point.resolution}",
            (_latency(point), point.int8_top1),
            xytext=(-6, 6),
            textcoords="offset points",
            # Names run across the rising front; horizontal names of near points would cover each other.
            rotation=-45,
            rotation_mode="anchor",
            ha="right",
            fontsize=8,
            color=INK,
        )
    if not all(point.latency_valid for point in points):
        axes.plot([], [], "o", mfc="white", mec=INK, label="not valid to quote")
    axes.margins(x=0.08, y=0.15)
    _legend(figure)
    return figure


def _latency(point: Point) -> float:
    return point.latency_p50_ms


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = figure_of(6.4, 4.2)
    axes = figure.subplots()
    quiet(axes, title, f"{x}, log axis", y)
    logarithmic_x(axes)
    return figure, axes


def _series(
    axes: Axes,
    points: Sequence[Point],
    x: Callable[[Point], float],
    y: Callable[[Point], float],
    hollow: Callable[[Point], bool] = lambda point: False,
) -> None:
    """Draw one series for each resolution, the largest first."""
    for index, resolution in enumerate(sorted({point.resolution for point in points}, reverse=True)):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        axes.plot([], [], marker, color=colour, ms=6, label=f"{resolution} px")
        for point in points:
            if point.resolution == resolution:
                face = "white" if hollow(point) else colour
                axes.plot(x(point), y(point), marker, mec=colour, mfc=face, ms=6, zorder=2)


def _legend(figure: Figure) -> None:
    """Put the legend beside the axes, where it covers no point."""
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
