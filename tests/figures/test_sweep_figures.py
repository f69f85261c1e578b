"""A sweep's figures: what is drawn where, and that the same rows give the same bytes."""

from __future__ import annotations

import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from sweep_points import GRID, row

from edgenet.figures.style import png
from edgenet.figures.training_figures import latency_figure, mult_adds_figure, parameters_figure
from edgenet.workflows.sweep_plan import SweepRow, with_front


def drawn(figure: Figure) -> set[tuple[float, float]]:
    """Return the points of the series, without the lines and the marks of the legend."""
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    return {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines}


@pytest.mark.parametrize(
    ("draw", "cost", "unit"),
    [(mult_adds_figure, "mult_adds", "mult-adds"), (parameters_figure, "parameters", "parameters")],
)
def test_the_papers_figures(draw, cost: str, unit: str) -> None:
    figure = draw(GRID, "a title")
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert unit in axes.get_xlabel()
    assert drawn(figure) == {(getattr(point, cost) / 1e6, point.float_top1) for point in GRID}
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["224 px", "192 px", "160 px", "128 px"]


def test_marks_have_their_width_beside_them() -> None:
    def named(figure: Figure) -> list[str]:
        return [text.get_text() for text in figure.axes[0].texts if isinstance(text, Annotation)]

    assert named(mult_adds_figure(GRID, "")) == [f"× {point.width:g}" for point in GRID]
    # Resolution adds no parameters: marks of one width stand in a column, whose highest one is named.
    assert sorted(named(parameters_figure(GRID, ""))) == sorted({f"× {point.width:g}" for point in GRID})
    legend = latency_figure(with_front(GRID), "").legends[0]
    assert "names: width-resolution" in [text.get_text() for text in legend.get_texts()]


def test_every_accuracy_has_its_interval() -> None:
    def bars(figure: Figure) -> list[tuple[float, float]]:
        collections = [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]
        return sorted((ends[0][1], ends[1][1]) for one in collections for ends in one.get_segments())

    points = with_front([row(0.25, 128, 50, 2), row(0.5, 160, 60, 5)])
    assert bars(latency_figure(points, "")) == [(45, 55), (55, 65)]
    assert bars(mult_adds_figure(points, "")) == bars(parameters_figure(points, "")) == [(46, 56), (56, 66)]
    assert "95 % interval" in latency_figure(points, "").axes[0].get_ylabel()


def test_the_front_is_joined_and_named() -> None:
    points = with_front(
        [row(0.25, 128, 50, 2), row(0.5, 128, 45, 3), row(1.0, 128, 70, 9), row(0.5, 224, 60, 5)]
    )
    axes = latency_figure(points, "a title").axes[0]
    front = next(line for line in axes.lines if line.get_label() == "Pareto front")
    assert list(front.get_xdata()) == [2, 5, 9]
    assert list(front.get_ydata()) == [50, 60, 70]
    named = [text.get_text() for text in axes.texts if isinstance(text, Annotation)]
    assert named == ["0.25-128", "0.5-224", "1-128"]
    assert "Some Board, rev 1, 1 thread)" in axes.get_xlabel()


def test_latencies_not_to_be_quoted_are_hollow() -> None:
    def faces(points: tuple[SweepRow, ...]) -> list[bool]:
        lines = latency_figure(points, "").axes[0].lines
        return [
            line.get_markerfacecolor() == "white"
            for line in lines
            if line.get_label() == "not valid to quote"
        ]

    assert faces(with_front([row(0.25, 128, 50, 2), row(0.5, 128, 55, 3, valid=False)])) == [True]
    assert faces(with_front([row(0.25, 128, 50, 2)])) == []
    axes = latency_figure(with_front([row(0.25, 128, 50, 2, valid=False)]), "").axes[0]
    (point,) = [
        line for line in axes.lines if list(line.get_xdata()) == [2] and line.get_label() != "Pareto front"
    ]
    assert point.get_markerfacecolor() == "white"


def test_the_same_rows_give_the_same_bytes_and_any_name_is_drawn() -> None:
    points = with_front(GRID[:4])
    assert png(latency_figure(points, "$x_{")) == png(latency_figure(points, "$x_{"))
