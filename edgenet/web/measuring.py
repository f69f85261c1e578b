"""Measure latency in a browser: open the page, which measures and sends back its report."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

from edgenet_device.latency.report import PROTOCOLS, Protocol, changed
from edgenet_device.live.page import Address

from edgenet.errors import EdgenetError
from edgenet.latency.options import BenchOptions
from edgenet.progress import Progress, silent
from edgenet.web.latency_report import PageContext, latency_report
from edgenet.web.server import PageOptions, PageServer, build_page
from edgenet.web.viewers import THIS_MACHINE, Viewer

HERE = Address("127.0.0.1", 0, None)
PATIENCE_S = 300.0
"""Time for a person to open the page and for the browser to load it."""
WAKE_S = 1.0
"""Interval at which we check that the viewer can still be reached."""


def measure_in_browser(
    models: Sequence[Path],
    options: BenchOptions,
    progress: Progress = silent,
    viewer: Viewer = THIS_MACHINE,
) -> list[dict[str, Any]]:
    """Measure the models one after the other, and return a report for each.

    Args:
        models: paths of the models.
        options: how to measure.
        progress: called before each model.
        viewer: the browser that opens the pages.

    Raises:
        EdgenetError: an option cannot be followed in a browser, a model cannot be used, or no report arrived.
    """
    protocol = _protocol(options)
    measured = []
    for model in models:
        progress(f"browser: {model.name}", 0, None)
        measured.append(_measure(model, options.threads[0], protocol, viewer))
    return measured


def _measure(model: Path, threads: int, protocol: Protocol, viewer: Viewer) -> dict[str, Any]:
    site = build_page(
        model, PageOptions(threads=threads, measuring=protocol, at_once=True), takes_reports=True
    )
    started, before = now(), viewer.look()
    with PageServer(site.files, HERE) as server:
        viewer.opening(server.address.url())
        sent = _wait(server, viewer, PATIENCE_S + 3 * protocol.min_seconds)
    if "trouble" in sent:
        raise EdgenetError(f"the browser cannot measure: {sent['trouble']!s:.300}", "try another browser")
    around = PageContext(started, protocol, before, viewer.look(), viewer.facts())
    return latency_report(site.model, sent, around)


def _wait(server: PageServer, viewer: Viewer, seconds: float) -> dict[str, Any]:
    until = monotonic() + seconds
    while monotonic() < until:
        with suppress(queue.Empty):
            return server.reports.get(timeout=WAKE_S)
        viewer.check()
    raise EdgenetError(
        f"no browser has sent a report within {PATIENCE_S:.0f} s", "open the printed address in a browser"
    )


def now() -> str:
    """Return the current time (UTC) for a report, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _protocol(options: BenchOptions) -> Protocol:
    """Return the protocol for a browser, which has no blocks, no fresh processes and no settling time.

    Raises:
        EdgenetError: an option was given that a browser cannot follow.
    """
    wanted = {
        "--threads with several numbers": len(options.threads) > 1,
        "--affinity": options.affinity not in (None, "all"),
        "--sustained": options.sustained_s is not None,
        "--profile": options.profile,
        "--settle": options.settle_s is not None,
    }
    for name, given in wanted.items():
        if given:
            raise EdgenetError(f"a browser cannot follow {name}", "leave it out when measuring in a browser")
    named = changed(PROTOCOLS[options.protocol], runs=options.runs, min_seconds=options.min_seconds)
    return replace(named, blocks=1, cold_starts=1, settle_s=0.0)
