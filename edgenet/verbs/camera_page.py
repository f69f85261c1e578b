"""The verb `camera` in a browser: serves a page that runs a bundle's network on the browser's own camera."""

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
    """Serve the page until interrupted.

    Args:
        address: where to serve. Visitors from other machines need its token, and their browsers allow the
            camera only over https.
        viewer: opens the page.
        measured: called with each latency report that a page sends.
        refused: called with the error if a page sends something that is not a latency report.
        goes_on: called at least once a second; serving ends when it returns False.

    Raises:
        EdgenetError: the bundle or the address cannot be used, or the viewer's device is lost.
    """
    site = page_of(bundle, options, takes_reports=True)
    with PageServer(site.files, address) as server:
        # With a token the page may run on any machine, and only that machine's browser can describe it.
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
            except EdgenetError as error:  # a bad report must not stop the page
                refused(error)
            else:
                measured({**report, "target": asked.target})
