"""A real Chromium, without a window, for the tests of pages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from system_chromium import chromium_program

from edgenet.devices.environment import _key, python_of
from edgenet.devices.local import LocalDevice
from edgenet.devices.wheels import requirements

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="the package playwright is not installed (make setup-dev)"
)

# On a busy machine a page takes its time. Playwright has one such time for all files.
playwright_api.expect.set_options(timeout=60_000)

LaunchChromium = Callable[..., "playwright_api.Browser"]
# Chromium takes only its last list of features, so these of Playwright's list are named again.
_PLAYWRIGHT_LEAVES_OUT = (
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    # What would ask servers of its maker for something:
    "AimEnabled",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PreconnectToSearch",
)
# Nobody sees the window's own parts, yet each new window loads two pages for its address bar, and a process for a
# page that may come next: more than half of what a small page takes.
_UNSEEN = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "SpareRendererForSitePerProcess")
_FLAGS = (
    "--no-sandbox",  # it refuses root
    "--disable-dev-shm-usage",  # containers often have a tiny /dev/shm
    f"--disable-features={','.join((*_PLAYWRIGHT_LEAVES_OUT, *_UNSEEN))}",
)


@pytest.fixture(scope="session")
def start_chromium() -> Iterator[LaunchChromium]:
    """A function that starts the system's Chromium with more flags; skips without Chromium."""
    program = chromium_program()
    with playwright_api.sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(executable_path=program, args=[*_FLAGS, *flags])


@pytest.fixture(scope="module")
def launch_chromium(start_chromium: LaunchChromium) -> Iterator[LaunchChromium]:
    """A function that starts a Chromium with more flags, such as a fake camera's, until the file's tests have ended.

    A page that is left open with a camera would compute for as long as all other tests run.
    """
    started: list[playwright_api.Browser] = []

    def launch(*flags: str) -> playwright_api.Browser:
        started.append(start_chromium(*flags))
        return started[-1]

    yield launch
    for browser in started:
        browser.close()


@pytest.fixture(scope="session")
def chromium(start_chromium: LaunchChromium) -> Iterator[playwright_api.Browser]:
    """One Chromium for all tests that need no flags; each test opens its own context: `chromium.new_context(...)`."""
    browser = start_chromium()
    yield browser
    browser.close()


@pytest.fixture
def ready_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of edgenet on this machine whose environment for devices is there already: this Python's own."""
    home = tmp_path / "share"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    device = LocalDevice()
    facts = device.facts()
    key = _key(requirements(facts, python_of(device, facts)), facts)
    environment = home / "edgenet" / "environments" / key
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (environment / "complete").write_text(str(Path(sys.executable).resolve()))
    return home
