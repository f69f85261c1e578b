"""The verb `camera` in a browser: a page that runs a bundle's network there, on the browser's own camera."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

from device_scripts.page_access import Address
from edgenet.errors import EdgenetError
from edgenet.latency.measuring import Report
from edgenet.webpage.latency import Around, latency_report
from edgenet.webpage.measuring import HERE, WAKE_S, now
from edgenet.webpage.server import PageServer
from edgenet.webpage.site import PageOptions, page_of
from edgenet.webpage.viewer import THIS_MACHINE, Viewer


def camera_page(
    bundle: Path,
    options: PageOptions = PageOptions(),  # noqa: B008 (frozen)
    address: Address = HERE,
    viewer: Viewer = THIS_MACHINE,
    measured: Callable[[Report], None] = lambda report: None,
    refused: Callable[[EdgenetError], None] = lambda error: None,
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Serves the page until it is interrupted.

    Args:
        address: where to serve; beyond this machine its token is needed, and browsers give no camera without https.
        viewer: opens the page.
        measured: told each latency report that a page sends.
        refused: told why a report that came is none.
        goes_on: asked every second.

    Raises:
        EdgenetError: the bundle or the address cannot be used, or the viewer is lost.
    """
    site = page_of(bundle, options, takes_reports=True)
    with PageServer(site.files, address) as server:
        # Whoever has a token may be anywhere: there only the browser can tell.
        asked = viewer if address.token is None else Viewer(viewer.opening)
        before = asked.look()
        viewer.opening(server.address.url())
        while goes_on():
            try:
                sent = server.reports.get(timeout=WAKE_S)
            except queue.Empty:
                viewer.check()
                continue
            around = Around(now(), options.measuring, before, asked.look(), asked.facts())
            try:
                report = latency_report(site.model, sent, around)
            except EdgenetError as error:  # the page shows on, whatever was sent
                refused(error)
            else:
                measured({**report, "target": asked.target})
