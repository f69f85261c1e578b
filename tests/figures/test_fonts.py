"""Class names and titles of any script: no warning, nothing cut off, and nothing that cannot be read."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from edgenet.figures import style
from edgenet.figures.style import DOTS_PER_INCH, figure_of, png, style_axes, svg
from edgenet.figures.training_figures import confusion_figure, curve_figure

NAMES = (
    "猫", "しばいぬ", "고양이", "قطة", "עברית", "हिन्दी", "ปลา", "🐱 cat", "👩🏽‍🌾", "🇩🇪", "猫 cat", "W" * 200,
    "長" * 200, "\udcff",
    "a$b$c", "\\alpha_{", "two\nlines", "tab\there", "e\u0301te\u0301",
)  # fmt: skip
TITLE = "mobilenet_v2_1.0_224 on 猫 🐱 a folder " + "w" * 160
LATIN = font_manager.findfont("cmr10")  # has no letter beyond ASCII
DEJAVU = font_manager.findfont("DejaVu Sans")


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Pretend that these fonts are installed, beside a first one."""

    def pretend(base: str, *others: tuple[str, str]) -> None:
        style._fonts.cache_clear()
        monkeypatch.setattr(style, "_base_path", lambda: base)
        monkeypatch.setattr(style, "_installed", lambda: others)

    yield pretend
    style._fonts.cache_clear()


def matrix(names: tuple[str, ...] = NAMES, title: str = TITLE) -> Figure:
    return confusion_figure(np.eye(len(names), dtype=np.int64), names, title)


def labels(figure: Figure) -> list[str]:
    png(figure)
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_no_warning_and_nothing_is_cut_off() -> None:
    figure = matrix()
    drawn = imread(io.BytesIO(png(figure)))[..., :3]
    border = np.concatenate(
        [drawn[:2].ravel(), drawn[-2:].ravel(), drawn[:, :2].ravel(), drawn[:, -2:].ravel()]
    )
    assert border.min() == 1  # a text that is cut off would reach the border
    figure.dpi = DOTS_PER_INCH
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    assert len(texts) > 2 * len(NAMES)
    for text in texts:
        extent = text.get_window_extent()
        assert min(extent.x0, extent.y0) >= 0, text
        assert extent.x1 <= figure.bbox.x1, text
        assert extent.y1 <= figure.bbox.y1, text


def test_pages_have_no_warning_either() -> None:
    assert svg(matrix()).startswith("<svg")


def test_what_the_base_font_has_is_drawn_as_it_was() -> None:
    names = ("bolt", "Schraube", "écrou", "болт", "καρφί")
    figure = matrix(names, "on photos")
    assert labels(figure) == list(names)
    families = {tuple(text.get_fontfamily()) for text in figure.findobj(Text)}
    assert families == {("sans-serif",)}


def test_installed_fonts_are_used_in_order(installed) -> None:
    mono = font_manager.findfont("DejaVu Sans Mono")
    installed(LATIN, ("Nothing", LATIN), ("Some Font", DEJAVU), ("DejaVu Sans Mono", mono))
    assert style._fonts(frozenset("aé")) == (("Some Font",), ())
    assert style.drawable_names(["né", "قطة"]) == ["né", "قطة"]
    installed(LATIN, ("Nothing", str(Path(LATIN).with_name("gone.ttf"))), ("DejaVu Sans Mono", mono))
    figure = matrix(("né", "b"), "été")
    assert labels(figure) == ["né", "b"]
    assert figure.axes[0].get_yticklabels()[0].get_fontfamily() == [style.BASE, "DejaVu Sans Mono"]


def test_the_preferred_fonts_come_first_and_boxes_never(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (
        "Zapf",
        "Last Resort High-Efficiency",
        "Noto Color Emoji",
        "Noto Emoji",
        "Abc",
        "Noto Sans CJK SC",
        "cmr10",
    )
    entries = [
        font_manager.FontEntry(fname=f"/{name}.ttf", name=name, style="normal", weight=400) for name in names
    ]
    bold = font_manager.FontEntry(fname="/bold.ttf", name="Bold", style="normal", weight=700)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*entries, bold])
    style._installed.cache_clear()
    found = [name for name, _ in style._installed()]
    style._installed.cache_clear()
    assert found == ["Noto Sans CJK SC", "Noto Emoji", "Abc", "Zapf"]


def test_what_no_font_has_can_be_read(installed) -> None:
    installed(DEJAVU)
    given = (
        "猫",
        "bolt",
        "猫 cat",
        "\U0001f9a6",
        "\U0001f469\U0001f3fd\u200d\U0001f33e",
        "\U0001f1e9\U0001f1ea",
    )
    assert style.drawable_names(given) == [
        "class 1", "bolt", "class 3 (cat)", "(otter)", "(woman)\u200d(ear of rice)", "DE",
    ]  # fmt: skip
    assert style.drawable("on 猫狗") == "on [U+732B U+72D7]"
    assert labels(matrix(given, "on 猫狗")) == style.drawable_names(given)


def test_a_long_title_is_broken_into_lines() -> None:
    words = "mobilenet_v2_1.0_224 on the photos of a folder with quite a long name $x_{ " * 3
    epoch = SimpleNamespace(epoch=1, train_loss=1.0, val_loss=1.0, train_top1=50.0, val_top1=50.0)
    figure = curve_figure([epoch], words)
    png(figure)
    title = figure.get_suptitle()
    assert title.count("\n") >= 1
    assert " ".join(title.split()).replace(r"\$", "$") == words.strip()


def test_a_legend_within_axes_keeps_its_lines_whole() -> None:
    epochs = [
        SimpleNamespace(epoch=n, train_loss=2 / n, val_loss=1 / n, train_top1=50.0, val_top1=50.0 + n)
        for n in (1, 2)
    ]
    figure = curve_figure(epochs, "mobilenet_v1_0.25_32 on photos")
    before = png(figure)
    for axes in figure.axes:
        legend = axes.get_legend()
        assert legend is not None
        said = [text.get_text() for text in legend.get_texts()]
        assert said == ["training, augmented photos", "validation, averaged weights"]
        within, around = legend.get_window_extent(), axes.get_window_extent()
        assert around.x0 <= within.x0
        assert within.x1 <= around.x1
    assert png(figure) == before  # the layout is as it was, also for another file


def test_a_title_ends_before_a_legend_beside_it() -> None:
    figure = figure_of(6.4, 4.2)
    axes = figure.subplots()
    axes.plot([1, 2], label="192 px")
    style_axes(axes, "a sweep of all the widths and resolutions " * 3)
    figure.legend(loc="outside right upper")
    png(figure)
    figure.dpi = DOTS_PER_INCH
    figure.draw_without_rendering()
    (title,) = [text for text in figure.findobj(Text) if text.get_text().startswith("a sweep")]
    assert title.get_window_extent().x1 <= figure.legends[0].get_window_extent().x0
