"""The routes of the step Deploy: the devices that are found, and edgenet's commands for one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgenet_device.foreign_text import is_number
from starlette.routing import Route

from edgenet.devices.device import Adb, Browser
from edgenet.devices.target_text import read_target
from edgenet.errors import EdgenetError
from edgenet.files import make_folder
from edgenet.studio_app.found_devices import Latencies, found_devices
from edgenet.studio_app.jobs import Job
from edgenet.studio_app.studio import Studio, answers, text
from edgenet.studio_app.try_routes import bundle_path

KINDS = ("measure", "install", "rollback", "status", "switch", "watch", "collect")
"""What can be done with a device; one of each kind at a time."""
_LONGEST_SOURCE = 400
_KEPT_MB = 200
"""Room on a device for photos that its network is unsure of."""


def routes(studio: Studio) -> list[Route]:
    """Return the routes of this step."""
    latencies = Latencies(studio.places.root)

    def devices(values: dict[str, Any]) -> Any:
        return found_devices()

    def measured(values: dict[str, Any]) -> Any:
        return latencies.of(bundle_path(studio, text(values, "bundle")))

    def start(values: dict[str, Any]) -> Any:
        return _start(studio, latencies, values).as_json()

    def stop(values: dict[str, Any]) -> Any:
        kind = text(values, "kind")
        if kind in KINDS:
            studio.jobs.stop(kind)
        return {}

    return [
        Route("/api/devices", answers(devices)),
        Route("/api/latencies", answers(measured)),
        Route("/api/deploy", answers(start), methods=["POST"]),
        Route("/api/deploy/stop", answers(stop), methods=["POST"]),
    ]


def state(studio: Studio) -> dict[str, Any]:
    """Return what the step shows at once: nothing more than the bundles and the jobs."""
    return {}


def _start(studio: Studio, latencies: Latencies, values: dict[str, Any]) -> Job:
    """Start the command for what the page asks for.

    Raises:
        EdgenetError: the device or an option is no such thing, or a command of this kind is running.
        KeyError, TypeError, ValueError: a value is missing, or has the wrong type.
    """
    kind, on = text(values, "kind"), text(values, "on")
    if isinstance(read_target(on), Browser):
        raise EdgenetError("the browser here is the step Try", "choose another device")
    if kind == "measure":
        make_folder(latencies.folder)
    arguments = _COMMANDS[kind](studio, f"--on={on}", values)
    if kind == "measure":
        arguments.append(f"--out={latencies.folder}")
    about = {"on": on, "bundle": values.get("bundle")}
    return studio.jobs.start(kind, arguments, about, keep_output=kind != "watch")


def _measure(studio: Studio, on: str, values: dict[str, Any]) -> list[str]:
    return ["bench", _bundle(studio, values), on]


def _install(studio: Studio, on: str, values: dict[str, Any]) -> list[str]:
    arguments = ["deploy", _bundle(studio, values), on]
    if values.get("service") is not True:
        return arguments
    arguments += ["--service", f"--source={_source(values)}", f"--serve={_port(values)}"]
    kept = [f"--keep-uncertain={_KEPT_MB}"] if values.get("keep") is True else []
    return [*arguments, "--", f"--threshold={_threshold(values)}", *kept]


def _rollback(studio: Studio, on: str, values: dict[str, Any]) -> list[str]:
    return ["deploy", "--rollback", on]


def _status(studio: Studio, on: str, values: dict[str, Any]) -> list[str]:
    return ["status", on]


def _switch(studio: Studio, on: str, values: dict[str, Any]) -> list[str]:
    return ["configure", on, "--start" if values["running"] is True else "--stop"]


def _collect(studio: Studio, on: str, values: dict[str, Any]) -> list[str]:
    return ["collect", on, f"--data={studio.places.photos}"]


def _watch(studio: Studio, on: str, values: dict[str, Any]) -> list[str]:
    """Return the command that runs the camera there: with a page of its own, or in the phone's browser."""
    arguments = ["camera", _bundle(studio, values), on, f"--threshold={_threshold(values)}"]
    if isinstance(read_target(text(values, "on")), Adb):
        return arguments
    return [*arguments, f"--source={_source(values)}", "--serve=0"]


_COMMANDS: dict[str, Callable[[Studio, str, dict[str, Any]], list[str]]] = {
    "measure": _measure,
    "install": _install,
    "rollback": _rollback,
    "status": _status,
    "switch": _switch,
    "watch": _watch,
    "collect": _collect,
}


def _bundle(studio: Studio, values: dict[str, Any]) -> str:
    return str(bundle_path(studio, text(values, "bundle")))


def _source(values: dict[str, Any]) -> str:
    """Return the camera that the page names; a file of this machine (@FILE) is for the command line alone."""
    source = text(values, "source").strip() or "0"
    if len(source) > _LONGEST_SOURCE or source.startswith("@"):
        raise EdgenetError("this is no camera", "give a number, csi, /dev/video0, or a stream's URL")
    if "://" in source and "@" in source:
        raise EdgenetError(
            "a password in the camera's URL would stand in the list of processes",
            "put the URL into a file and run edgenet deploy with --source @FILE",
        )
    return source


def _port(values: dict[str, Any]) -> str:
    port = text(values, "port").strip()
    if not is_number(port) or not 0 < int(port[:6]) < 65536:
        raise EdgenetError(f"'{port[:20]}' is no port for the live page", "give a number such as 8080")
    return port


def _threshold(values: dict[str, Any]) -> float:
    threshold = values["threshold"]
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise ValueError("the threshold is not between 0 and 1")
    return float(threshold)
