"""The system's Chromium, for the tests of pages."""

from __future__ import annotations

import shutil

import pytest

# The headless shell comes first: the same engine without a window's parts, which take a fifth of a page's time.
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
NAMES = ("Chromium", "HeadlessChrome")
"""What these programs call themselves to a page."""


def chromium_program() -> str:
    """Return the path of the system's Chromium; skip without one."""
    for program in _PROGRAMS:
        if path := shutil.which(program):
            return path
    pytest.skip("there is no Chromium here (Debian: apt install chromium-headless-shell, or chromium)")
