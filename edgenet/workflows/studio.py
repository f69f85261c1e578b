"""The verb `studio`: serve the page on which photos are collected, taught, looked at, tried and deployed."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import ExitStack
from pathlib import Path

from edgenet_device.entry import ended_by_signals
from edgenet_device.web.address import Address, parse_address

from edgenet.errors import EdgenetError
from edgenet.files import locked_folder
from edgenet.progress import Log, no_log
from edgenet.studio_app.collect_routes import page_url
from edgenet.studio_app.events import Events
from edgenet.studio_app.guard import self_signed
from edgenet.studio_app.jobs import Jobs
from edgenet.studio_app.looks import Looks
from edgenet.studio_app.places import Places
from edgenet.studio_app.server import StudioServer
from edgenet.studio_app.studio import Studio
from edgenet.workflows.arguments import checked

FOLDER = "edgenet-studio"
PORT = 8790


@checked
def studio(
    folder: str | Path = FOLDER,
    *,
    port: int | None = None,
    host: str = "127.0.0.1",
    browser: bool = True,
    pretrained: str | Path | None = None,
    resolution: int | None = None,
    log: Log = no_log,
) -> None:
    """Serve the studio's page until SIGINT or SIGTERM comes: collect, teach, look, try and deploy in a browser.

    Everything is kept as plain files in the folder: class folders in `photos`, deleted photos in `photos-set-aside`,
    what each teaching made in `runs`, and the finished classifiers in `bundles`. A teaching that was running when the
    server stopped goes on at the next start.

    Args:
        folder: the folder; made if it is missing.
        port: the port to serve at; 0 for any free one, None for 8790 or, if that is in use, any free one.
        host: the address to serve at. On any other than this machine's own, pages need the token in the address that
            is logged, and are served by https with a certificate that is made for the folder.
        browser: whether to open the page in the browser.
        pretrained: what each teaching starts from: None or "imagenet", or the path of a checkpoint.
        resolution: side of the network's input, pixels; None to let the photos choose.
        log: called with a line for the user, such as the address of the page.

    Raises:
        EdgenetError: the folder or the address cannot be used, or another studio has the folder.
        TypeError: an argument has the wrong type.
    """
    address = parse_address(f"[{host}]:{port or 0}" if ":" in host else f"{host}:{port or 0}")
    options = _train_options(pretrained, resolution)
    with ExitStack() as open_parts:
        opened = open_studio(Path(folder), options)
        try:
            open_parts.enter_context(locked_folder(opened.places.root, log))
        except EdgenetError as error:
            raise EdgenetError(error.found, "use the page of that studio, or stop it") from None
        tls = None if address.token is None else self_signed(opened.places.root, address.host)
        server = _listening(opened, address, port, tls)
        url = page_url(server.address)
        open_parts.enter_context(ended_by_signals())  # uvicorn raises the signal again when it has ended
        server.run(lambda: _show(url, browser, log))


def open_studio(folder: Path, train_options: tuple[str, ...] = ()) -> Studio:
    """Return the studio of a folder, which is made if it is missing.

    Raises:
        EdgenetError: the folder cannot be used.
    """
    places, events = Places.open(folder), Events()
    looks = Looks(places.root, lambda: events.publish("folder", {}))
    return Studio(places, events, Jobs(events), looks, train_options)


def _train_options(pretrained: str | Path | None, resolution: int | None) -> tuple[str, ...]:
    options: list[str] = []
    if pretrained is not None:
        if str(pretrained) != "imagenet" and not Path(pretrained).is_file():
            raise EdgenetError(f"{pretrained} does not exist", "give the path of a checkpoint")
        options += ["--pretrained", str(pretrained)]
    if resolution is not None:
        options += ["--resolution", str(resolution)]
    return tuple(options)


def _listening(
    opened: Studio, address: Address, port: int | None, tls: tuple[str, str] | None
) -> StudioServer:
    """Return the server at the wanted port, or at any free one if none was wanted and the usual one is in use."""
    if port is not None:
        return StudioServer(opened, address, tls)
    try:
        return StudioServer(opened, Address(address.host, PORT, address.token), tls)
    except EdgenetError:
        return StudioServer(opened, address, tls)


def _show(url: str, browser: bool, log: Log) -> None:
    """Log the address, and open it in the browser if there is one; one with a token is only logged.

    Every user of this machine can read a browser's command line.
    """
    log(f"studio: {url}  (Ctrl-C ends it)")
    has_screen = (
        sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    )
    if browser and "?" not in url and ("BROWSER" in os.environ or has_screen):
        webbrowser.open(url)
