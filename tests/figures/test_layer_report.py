"""The layer report as a figure and a page: whole, safe and the same every time."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from edgenet.figures.layer_report import HEADINGS, LayerReport, layer_figure, layer_rows, write_layer_report
from edgenet.quantize.noise_shares import LayerShare, NoiseShares
from edgenet.quantize.quantization_errors import ChannelUse, LayerError, LayerErrors

HOSTILE = "<script>alert('$x^{')</script>&\"features\""


def report(layers: int, weights: float | None = 0.01, title: str = "a against b") -> LayerReport:
    names = [f"features.{i}/conv" for i in range(layers - 1)] + [HOSTILE]
    use = ChannelUse(32, 2, 3, 40.0, 4.5)
    found = LayerErrors(
        8,
        7,
        0.01,
        18.0,
        0,
        False,
        tuple(
            LayerError(n, math.inf if i == 0 else 40 - i / 4, 0.8, 0.02, False, use)
            for i, n in enumerate(names)
        ),
    )
    shares = tuple(LayerShare(name, 0.5 / layers, weights) for name in names)
    noise = NoiseShares(8, 20.0, 22.0, 0.4, 0.6, 1.0, shares)
    return LayerReport(
        title, found, noise, f"Mind {HOSTILE}.", layer_rows(found, noise, {names[1]: "CONV_2D"})
    )


class Cells(HTMLParser):
    """Counts tags and gathers what the table's cells say."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.tags.append(tag)
        self.inside = tag == "td"
        if self.inside:
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = False


def test_the_page_is_safe_and_needs_nothing_else(tmp_path: Path) -> None:
    write_layer_report(tmp_path / "page.html", report(12, title=HOSTILE))
    text = (tmp_path / "page.html").read_text("utf-8")
    page = Cells()
    page.feed(text)
    assert "script" not in page.tags
    assert page.tags.count("svg") == 1
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", text.replace("xlink:href", "href"))
    assert "<metadata" not in text
    assert len(page.cells) == 12 * len(HEADINGS)
    assert page.cells[-len(HEADINGS)] == HOSTILE
    assert page.cells[2] == "exact"


@pytest.mark.parametrize("ending", [".png", ".html"])
def test_the_same_report_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("first", "second"):
        write_layer_report(tmp_path / f"{name}{ending}", report(5))
    assert (tmp_path / f"first{ending}").read_bytes() == (tmp_path / f"second{ending}").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("layers", [2, 70])
@pytest.mark.parametrize("weights", [None, 0.01])
def test_no_text_overlaps_and_none_leaves_the_figure(layers: int, weights: float | None) -> None:
    figure = layer_figure(report(layers, weights))
    FigureCanvasAgg(figure).draw()
    width, height = figure.bbox.size
    texts = [text for text in figure.texts if text.get_text()]
    for axes in figure.axes:
        texts += [label for label in axes.get_yticklabels() if label.get_text()]
        texts += [*axes.get_legend().get_texts(), axes.title, axes._left_title]  # type: ignore[attr-defined]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if _overlap(a.extents, b.extents)]
    assert not overlaps


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """By more than a pixel, which boxes of letters without descenders have to spare."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width > 1 and height > 1.5
