"""The common look of the figures: plain axes, colours, text of any script, and their bytes as PNG and SVG.

The axes are plain, all text has one colour, and colour-blind readers can tell the palette apart too.

Matplotlib's own font, DejaVu Sans, has no Chinese, Japanese, Korean, Indian or Thai letters and few emoji. Matplotlib
would warn for every such character and draw an empty box. So fonts are found for the text, what no font has is
replaced, and lines that are too long are broken.
"""

from __future__ import annotations

import functools
import io
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter, LogLocator, NullFormatter

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
    stream = io.BytesIO()
    with _laid_out(figure, DOTS_PER_INCH):
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
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}), _laid_out(figure, SVG_DOTS_PER_INCH):
        figure.savefig(stream, format="svg")
    text = stream.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)


BASE = "DejaVu Sans"
"""The font that comes with matplotlib, so that figures look alike on all machines."""
PREFERRED = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "PingFang HK", "Hiragino Sans GB", "Hiragino Sans",
    "Apple SD Gothic Neo", "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic", "Noto Sans Arabic",
    "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Nirmala UI", "Leelawadee UI", "Tahoma",
    "Arial Unicode MS", "FreeSans", "Unifont", "Noto Emoji", "Symbola", "Segoe UI Emoji", "Segoe UI Symbol",
)  # fmt: skip
"""Fonts that are tried first, in this order; then all other installed fonts are, by name."""
# Fonts of coloured bitmaps cannot be drawn by matplotlib, and Last Resort has a box for every character there is.
_UNUSABLE = re.compile(r"color emoji|last resort|lastresort|^cm|^stix", re.IGNORECASE)


def drawable(text: str) -> str:
    """Return the text with what no installed font has replaced by something that can be read.

    Symbols get their Unicode name, such as "(cat face)"; letters get their number, such as "[U+732B]". Joiners and skin
    tones are left out.
    """
    missing = set(_fonts(frozenset(text))[1])
    return re.sub(r"\]\[", " ", "".join(_replacement(c) if c in missing else c for c in text))


def drawable_names(names: Sequence[str]) -> list[str]:
    """Return the names of classes as they can be drawn.

    A name with letters that no installed font has becomes "class N", where N is its place in the list from 1, with the
    rest of the name if it can be read.
    """
    missing = {c for c in _fonts(frozenset("".join(names)))[1] if _is_letter(c)}
    return [
        drawable(name) if not missing & set(name) else _numbered(name, number, missing)
        for number, name in enumerate(names, 1)
    ]


def _numbered(name: str, number: int, missing: set[str]) -> str:
    rest = " ".join(drawable("".join(" " if c in missing else c for c in name)).split())
    return f"class {number} ({rest})" if sum(c.isalnum() for c in rest) > 1 else f"class {number}"


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"


def _replacement(character: str) -> str:
    if "\U0001f1e6" <= character <= "\U0001f1ff":  # two of these letters make a flag
        return chr(ord("A") + ord(character) - 0x1F1E6)
    category = unicodedata.category(character)
    if category in ("Cc", "Cs"):  # tabs and such, and bytes of a file's name that are no text
        return " " if category == "Cc" else "\ufffd"
    if category[0] in "MZ" or category in ("Cf", "Sk"):
        return " " if category[0] == "Z" else ""
    name = unicodedata.name(character, "").lower()
    return f"({name})" if category[0] == "S" and name else f"[U+{ord(character):04X}]"


@functools.cache
def _fonts(characters: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the families that are needed after BASE to draw the characters, and the characters that none has."""
    missing = characters - {"\n"} - _covered(_base_path(), characters)
    families: list[str] = []
    for family, path in _installed() if missing else ():
        found = _covered(path, missing)
        if found:
            families.append(family)
            missing -= found
        if not missing:
            break
    return tuple(families), tuple(sorted(missing))


def _base_path() -> str:
    return font_manager.findfont(font_manager.FontProperties(family=BASE))


@functools.cache
def _installed() -> tuple[tuple[str, str], ...]:
    """Return (family, path) of every usable font of normal weight and style, the preferred ones first."""
    paths = {
        entry.name: entry.fname
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal"
        and entry.weight in (400, "normal", "regular")
        and not _UNUSABLE.search(entry.name)
    }
    rank = {name: place for place, name in enumerate(PREFERRED)}
    return tuple(sorted(paths.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))


def _covered(path: str, characters: Iterable[str]) -> set[str]:
    try:
        font = font_manager.get_font(path)
        return {c for c in characters if font.get_char_index(ord(c))}
    except (OSError, RuntimeError):  # a file that is gone, or a kind of font that matplotlib cannot load
        return set()


@contextmanager
def _laid_out(figure: Figure, dots: float) -> Iterator[None]:
    """Make the texts drawable and put everything in its place, which the figure then keeps while it is written.

    Otherwise matplotlib would lay the figure out once more, which takes as long as drawing it.

    Args:
        figure: the figure, which is about to be written.
        dots: the dots per inch with which it is written; the widths of letters depend on it a little.
    """
    engine, before = figure.get_layout_engine(), figure.dpi
    figure.dpi = dots
    _lay_out(figure, _prepared_texts(figure))
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine)
        figure.dpi = before


def _prepared_texts(figure: Figure) -> list[Text]:
    """Make all texts of a figure drawable, in place, and return those that may be too long for it.

    A legend within axes keeps its lines whole: it is put where there is room for them.
    """
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    formatters = [f for axis in axes if isinstance(f := axis.get_major_formatter(), FixedFormatter)]
    # Asking for the tick labels makes their texts, which otherwise only drawing does.
    ticks = {text for axis in axes for minor in (False, True) for text in axis.get_ticklabels(minor=minor)}
    texts = figure.findobj(Text)
    said = [*(text.get_text() for text in texts), *(str(name) for f in formatters for name in f.seq)]
    families, missing = _fonts(frozenset("".join(said)))
    if families or missing:
        for formatter in formatters:
            formatter.seq = [drawable(str(name)) for name in formatter.seq]
        for text in texts:
            text.set_text(drawable(text.get_text()))
            text.set_fontfamily([BASE, *families])
    whole = ticks | {
        text for one in figure.axes if (legend := one.get_legend()) for text in legend.findobj(Text)
    }
    return [text for text in texts if len(text.get_text()) > _SHORT and text not in whole]


_EDGE = 0.99
"""Texts end left of this share of the figure's width."""
_LEAST = 8
"""No line is broken into parts of fewer letters."""
_SHORT = 24
"""A text of so few letters fits into every figure, so that the slow measuring of texts can be left out."""


def _lay_out(figure: Figure, long: Sequence[Text]) -> None:
    """Put everything in its place, and break each long text that the right edge would cut off into lines that fit."""
    whole = [text.get_text() for text in long]
    if any(text.get_window_extent().width > figure.bbox.width for text in long):
        for text, said in zip(long, whole, strict=True):
            text.set_text(said[:_LEAST])  # the layout has no room for axes beside a very long title
    _place(figure)
    for text, said in zip(long, whole, strict=True):
        text.set_text(said)
    for turn in range(4):  # more lines leave less room for the axes, which can move the text
        rooms = [(text, room) for text in long if (room := _room(figure, text)) is not None]
        if not rooms and not turn:
            return
        for text, room in rooms:
            _wrap(text, room)
        _place(figure)
        if not rooms:
            return


def _place(figure: Figure) -> None:
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def _room(figure: Figure, text: Text) -> float | None:
    """Return how many pixels wide a text may be, or None if it fits or is turned.

    It must end before the figure does, and before a legend of the figure that is beside it.
    """
    extent = text.get_window_extent()
    legends = [legend.get_window_extent() for legend in figure.legends]
    beside = [one.x0 for one in legends if one.y1 > extent.y0 and one.y0 < extent.y1 and one.x0 > extent.x0]
    edge = min([_EDGE * figure.bbox.x1, *beside])
    cut = extent.x0 < edge < extent.x1 and not text.get_rotation()
    return float(edge - extent.x0) if cut else None


def _wrap(text: Text, room: float) -> None:
    """Break a text into lines of at most `room` pixels."""
    words = " ".join(text.get_text().replace(r"\$", "$").split())
    letters = max(int(len(words) * room / text.get_window_extent().width), _LEAST) * 5 // 4
    for most in range(letters, _LEAST - 1, -1):  # some letters are wider than others
        text.set_text("\n".join(textwrap.wrap(words, most)).replace("$", r"\$"))
        if text.get_window_extent().width <= room:
            return
