"""`edgenet bench --on browser`: a browser of this machine opens the page, which measures and sends its report."""

from __future__ import annotations

import os
import queue
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from device_scripts.conditions import look
from device_scripts.page_access import Address
from device_scripts.protocol import PROTOCOLS, Protocol, changed
from edgenet.errors import EdgenetError
from edgenet.latency.options import BenchOptions
from edgenet.progress import Progress, silent
from edgenet.webpage.latency import NOTHING_SEEN, Around, latency_report
from edgenet.webpage.server import PageServer
from edgenet.webpage.site import PageOptions, page_of

HERE = Address("127.0.0.1", 0, None)
PATIENCE_S = 300.0
"""How long a person may take to open the page, and the browser to load it."""


def open_in_browser(url: str) -> None:
    """Opens a page for whoever sits here, and says where it is; BROWSER names another browser, as everywhere."""
    print(f"page: {url}", file=sys.stderr, flush=True)
    # Without a screen Python would start a text browser in this terminal.
    if "BROWSER" in os.environ or sys.platform in ("darwin", "win32") or _has_screen():
        webbrowser.open(url)


def measure_in_browser(
    models: Sequence[Path],
    options: BenchOptions,
    progress: Progress = silent,
    opening: Callable[[str], None] = open_in_browser,
    here: bool = True,
) -> list[dict[str, Any]]:
    """A report for each model, one after the other.

    Args:
        opening: given the page's address, opens it in the browser.
        here: whether that runs on this machine; else the report has what the browser tells of its own.

    Raises:
        EdgenetError: an option that a browser has no way to follow, a model that cannot be used, or no report came.
    """
    protocol = _protocol(options)
    measured = []
    for model in models:
        progress(f"browser: {model.name}", 0, None)
        measured.append(_measure(model, options.threads[0], protocol, opening, here))
    return measured


def _measure(
    model: Path, threads: int, protocol: Protocol, opening: Callable[[str], None], here: bool
) -> dict[str, Any]:
    site = page_of(model, PageOptions(threads=threads, measuring=protocol, at_once=True), takes_reports=True)
    started, before = now(), look() if here else NOTHING_SEEN
    with PageServer(site.files, HERE) as server:
        opening(server.address.url())
        try:
            sent = server.reports.get(timeout=PATIENCE_S + 3 * protocol.min_seconds)
        except queue.Empty:
            raise EdgenetError(
                f"no browser has sent a report within {PATIENCE_S:.0f} s", "open the address that was printed"
            ) from None
    if "trouble" in sent:
        raise EdgenetError(f"the browser cannot measure: {sent['trouble']!s:.300}", "try another browser")
    after = look() if here else NOTHING_SEEN
    return latency_report(site.model, sent, Around(started, protocol, before, after, here))


def now() -> str:
    """The time for a report, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _protocol(options: BenchOptions) -> Protocol:
    """The protocol without what a browser cannot do: several settings, CPUs, profiles, blocks, fresh processes."""
    wanted = {
        "--threads with several numbers": len(options.threads) > 1,
        "--affinity": options.affinity != "all",
        "--sustained": options.sustained_s is not None,
        "--profile": options.profile,
        "--settle": options.settle_s is not None,
    }
    for name, given in wanted.items():
        if given:
            raise EdgenetError(f"a browser cannot follow {name}", "leave it out with --on browser")
    named = changed(PROTOCOLS[options.protocol], runs=options.runs, min_seconds=options.min_seconds)
    return replace(named, blocks=1, cold_starts=1, settle_s=0.0)


def _has_screen() -> bool:
    return "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
