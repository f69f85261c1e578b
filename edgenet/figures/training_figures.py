"""The figures of trainings: loss and accuracy over the epochs, a confusion matrix, and the variants of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from edgenet.figures.style import (
    COLOURS,
    GRID,
    INK,
    MARKERS,
    MUTED,
    drawable_names,
    figure_of,
    logarithmic_x,
    plain,
    style_axes,
)

TRAIN, VAL = "#6b6b6b", "#0072b2"


class Epoch(Protocol):
    """The values of an epoch that are drawn."""

    @property
    def epoch(self) -> int:
        """Number of the epoch, starting at 1."""

    @property
    def train_loss(self) -> float:
        """The loss that training minimizes."""

    @property
    def val_loss(self) -> float:
        """Cross-entropy on the validation photos."""

    @property
    def train_top1(self) -> float:
        """Top-1 accuracy on the training photos, percent."""

    @property
    def val_top1(self) -> float:
        """Top-1 accuracy on the validation photos, percent."""


def curve_figure(rows: Sequence[Epoch], title: str) -> Figure:
    """Draw the loss on the left and top-1 on the right, each for training and validation.

    Training values are those of the current weights on augmented photos, validation values those of averaged
    weights.
    """
    figure = figure_of(9.0, 3.6)
    loss, top1 = figure.subplots(1, 2)
    epochs = [row.epoch for row in rows]
    _draw_curves(loss, epochs, [row.train_loss for row in rows], [row.val_loss for row in rows], "loss")
    _draw_curves(top1, epochs, [row.train_top1 for row in rows], [row.val_top1 for row in rows], "top-1, %")
    figure.suptitle(plain(title), x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _draw_curves(
    axes: Axes, epochs: Sequence[int], train: Sequence[float], val: Sequence[float], heading: str
) -> None:
    # Markers, because a single point would be invisible as a line.
    marker = "o" if len(epochs) < 20 else ""
    axes.plot(epochs, train, color=TRAIN, lw=1.4, marker=marker, ms=3, label="training, augmented photos")
    axes.plot(epochs, val, color=VAL, lw=1.8, marker=marker, ms=3, label="validation, averaged weights")
    axes.set_title(heading, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("epoch", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=0)
    axes.legend(frameon=False, fontsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)


NAMED = 60
"""Largest number of classes whose names are shown; with more, they would be too small to read."""
WITH_NUMBERS = 20
LONGEST_NAME = 24


def confusion_figure(counts: NDArray[np.int64], names: Sequence[str], title: str) -> Figure:
    """Draw a square for every pair of classes; it is darker the larger its share of the row's photos is.

    Args:
        counts: number of photos by true class (rows) and predicted class (columns).
        names: names of the classes.
        title: title of the figure.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(3.2 + 0.34 * len(names), 4.5), 16.0)
    figure = figure_of(side, side)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title(plain(title), loc="left", fontsize=10, color=INK)
    axes.set_xlabel("predicted class", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    axes.tick_params(length=0, labelsize=8)
    if len(names) <= NAMED:
        short = [_short(name) for name in drawable_names(names)]
        axes.set_xticks(range(len(names)), short, rotation=90)
        axes.set_yticks(range(len(names)), short)
    if len(names) <= WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else INK
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=colour
            )
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _short(name: str) -> str:
    name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return plain(name)


class SweepPoint(Protocol):
    """The values of a sweep's variant that are drawn."""

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
    def int8_low(self) -> float:
        """Lower end of the 95 % interval of `int8_top1`, percent."""

    @property
    def int8_high(self) -> float:
        """Upper end of that interval."""

    @property
    def float_low(self) -> float:
        """Lower end of the 95 % interval of `float_top1`, percent."""

    @property
    def float_high(self) -> float:
        """Upper end of that interval."""

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


def mult_adds_figure(points: Sequence[SweepPoint], title: str) -> Figure:
    """Draw float accuracy against mult-adds, as in figure 4 of arXiv 1704.04861, with one mark for each variant.

    Each mark has its width multiplier beside it.
    """
    figure, axes = _axes(title, "million mult-adds", f"float {_TOP1}")
    _series(axes, points, lambda point: point.mult_adds / 1e6, _float)
    for point in points:
        _name_width(axes, point, point.mult_adds / 1e6)
    _legend(figure)
    return figure


def parameters_figure(points: Sequence[SweepPoint], title: str) -> Figure:
    """Draw float accuracy against parameters, as in figure 5 of arXiv 1704.04861; resolution adds no parameters.

    The best mark of each width multiplier has it beside it.
    """
    figure, axes = _axes(title, "million parameters", f"float {_TOP1}")
    _series(axes, points, lambda point: point.parameters / 1e6, _float)
    best: dict[float, SweepPoint] = {}
    for point in sorted(points, key=lambda point: point.float_top1):
        best[point.width] = point
    for point in best.values():
        _name_width(axes, point, point.parameters / 1e6)
    _legend(figure)
    return figure


def latency_figure(points: Sequence[SweepPoint], title: str) -> Figure:
    """Draw int8 accuracy against measured latency.

    The points of the Pareto front are joined and named. Points whose latency is not valid to quote are
    hollow.
    """
    where = f"{points[0].device}, {points[0].threads} thread{'s' * (points[0].threads > 1)}"
    figure, axes = _axes(title, f"p50 latency, ms ({where})", f"int8 {_TOP1}")
    _series(axes, points, _latency, _int8, hollow=lambda point: not point.latency_valid)
    front = sorted((point for point in points if point.front), key=_latency)
    axes.plot(
        [_latency(point) for point in front],
        [point.int8_top1 for point in front],
        color=INK,
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
    axes.plot([], [], " ", label="names: width-resolution")
    axes.margins(x=0.16, y=0.15)
    _legend(figure)
    return figure


_TOP1 = "top-1 and its 95 % interval, %"


def _float(point: SweepPoint) -> tuple[float, float, float]:
    return point.float_low, point.float_top1, point.float_high


def _int8(point: SweepPoint) -> tuple[float, float, float]:
    return point.int8_low, point.int8_top1, point.int8_high


def _latency(point: SweepPoint) -> float:
    return point.latency_p50_ms


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = figure_of(6.4, 4.2)
    axes = figure.subplots()
    style_axes(axes, title, f"{x}, log axis", y)
    logarithmic_x(axes)
    return figure, axes


def _series(
    axes: Axes,
    points: Sequence[SweepPoint],
    x: Callable[[SweepPoint], float],
    y: Callable[[SweepPoint], tuple[float, float, float]],
    hollow: Callable[[SweepPoint], bool] = lambda point: False,
) -> None:
    """Draw one series for each resolution, the largest first; `y` gives the lower end, the value and the upper end."""
    for index, resolution in enumerate(sorted({point.resolution for point in points}, reverse=True)):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        axes.plot([], [], marker, color=colour, ms=6, label=f"{resolution} px")
        for point in points:
            if point.resolution == resolution:
                face = "white" if hollow(point) else colour
                low, middle, high = y(point)
                axes.vlines(x(point), low, high, color=colour, lw=1, alpha=0.5, zorder=1)
                axes.plot(x(point), middle, marker, mec=colour, mfc=face, ms=6, zorder=2)


def _name_width(axes: Axes, point: SweepPoint, x: float) -> None:
    """Write a point's width multiplier to its upper right."""
    axes.annotate(
        f"× {point.width:g}",
        (x, point.float_top1),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=7,
        color=MUTED,
    )


def _legend(figure: Figure) -> None:
    """Put the legend beside the axes, where it covers no point."""
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
