"""Measuring in a browser: it opens the page, which measures and sends its report."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

from device_scripts.page_access import Address
from device_scripts.protocol import PROTOCOLS, Protocol, changed
from edgenet.errors import EdgenetError
from edgenet.latency.options import BenchOptions
from edgenet.progress import Progress, silent
from edgenet.webpage.latency import Around, latency_report
from edgenet.webpage.server import PageServer
from edgenet.webpage.site import PageOptions, page_of
from edgenet.webpage.viewer import THIS_MACHINE, Viewer

HERE = Address("127.0.0.1", 0, None)
PATIENCE_S = 300.0
"""How long a person may take to open the page, and the browser to load it."""
WAKE_S = 1.0
"""How often somebody looks whether the viewer is still there."""


def measure_in_browser(
    models: Sequence[Path],
    options: BenchOptions,
    progress: Progress = silent,
    viewer: Viewer = THIS_MACHINE,
) -> list[dict[str, Any]]:
    """A report for each model, one after the other.

    Args:
        viewer: opens the pages.

    Raises:
        EdgenetError: an option that a browser has no way to follow, a model that cannot be used, or no report came.
    """
    protocol = _protocol(options)
    measured = []
    for model in models:
        progress(f"browser: {model.name}", 0, None)
        measured.append(_measure(model, options.threads[0], protocol, viewer))
    return measured


def _measure(model: Path, threads: int, protocol: Protocol, viewer: Viewer) -> dict[str, Any]:
    site = page_of(model, PageOptions(threads=threads, measuring=protocol, at_once=True), takes_reports=True)
    started, before = now(), viewer.look()
    with PageServer(site.files, HERE) as server:
        viewer.opening(server.address.url())
        sent = _wait(server, viewer, PATIENCE_S + 3 * protocol.min_seconds)
    if "trouble" in sent:
        raise EdgenetError(f"the browser cannot measure: {sent['trouble']!s:.300}", "try another browser")
    around = Around(started, protocol, before, viewer.look(), viewer.facts())
    return latency_report(site.model, sent, around)


def _wait(server: PageServer, viewer: Viewer, seconds: float) -> dict[str, Any]:
    until = monotonic() + seconds
    while monotonic() < until:
        with suppress(queue.Empty):
            return server.reports.get(timeout=WAKE_S)
        viewer.check()
    raise EdgenetError(
        f"no browser has sent a report within {PATIENCE_S:.0f} s", "open the address that was printed"
    )


def now() -> str:
    """The time for a report, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _protocol(options: BenchOptions) -> Protocol:
    """The protocol without what a browser cannot do: several settings, CPUs, profiles, blocks, fresh processes."""
    wanted = {
        "--threads with several numbers": len(options.threads) > 1,
        "--affinity": options.affinity not in (None, "all"),
        "--sustained": options.sustained_s is not None,
        "--profile": options.profile,
        "--settle": options.settle_s is not None,
    }
    for name, given in wanted.items():
        if given:
            raise EdgenetError(f"a browser cannot follow {name}", "leave it out there")
    named = changed(PROTOCOLS[options.protocol], runs=options.runs, min_seconds=options.min_seconds)
    return replace(named, blocks=1, cold_starts=1, settle_s=0.0)
