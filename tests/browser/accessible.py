"""What would keep people from using a page: names, contrast, sizes, headings, references, motion."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_FIND = Path(__file__).with_suffix(".js").read_text()


def barriers(page: Page) -> list[str]:
    """Return what is wrong with what the page shows now, one line each."""
    found: list[str] = page.evaluate(_FIND)
    return found
