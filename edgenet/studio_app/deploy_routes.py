"""The step Deploy: the devices that are found, what was measured on them, and edgenet's commands for one of them."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import LONGEST_NAME, is_number, one_line, read_json
from edgenet_device.model_file import open_model
from starlette.routing import Route

from edgenet.devices.adb_connection import phones
from edgenet.devices.device import Adb, Browser, read_target
from edgenet.devices.ssh_connection import ssh_hosts
from edgenet.errors import EdgenetError
from edgenet.files import make_folder, read_limited
from edgenet.studio_app.jobs import Job
from edgenet.studio_app.studio import Studio, answers, text
from edgenet.studio_app.try_routes import bundle_path

KINDS = ("measure", "install", "rollback", "status", "switch", "watch", "page", "collect")
"""What can be done with a device; one of each kind at a time."""
_ENDLESS = ("watch", "page")
"""These go on until they are stopped, and print where their page is."""
_LONGEST_SOURCE = 400
_LARGEST_REPORT = 32 << 20
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
    return studio.jobs.start(kind, arguments, about, keep_output=kind not in _ENDLESS)


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


def _page(studio: Studio, on: str, values: dict[str, Any]) -> list[str]:
    return ["status", on, "--page"]


_COMMANDS: dict[str, Callable[[Studio, str, dict[str, Any]], list[str]]] = {
    "measure": _measure,
    "install": _install,
    "rollback": _rollback,
    "status": _status,
    "switch": _switch,
    "watch": _watch,
    "page": _page,
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


def found_devices() -> dict[str, Any]:
    """Return this machine, the phones that adb knows, and the hosts of the user's ssh configuration.

    Returns:
        `devices` is a list of {"on": the target, "kind": "local", "adb" or "ssh", "about": text}; `note` says why
        phones cannot be looked for, or is empty.
    """
    devices = [{"on": "local", "kind": "local", "about": platform.node()}]
    note = ""
    if shutil.which("adb") is not None:
        try:
            devices += [
                {"on": f"adb:{phone.serial}", "kind": "adb", "about": one_line(phone.state)}
                for phone in phones()
            ]
        except EdgenetError as error:
            note = str(error)
    devices += [{"on": f"ssh:{host}", "kind": "ssh", "about": ""} for host in ssh_hosts()]
    return {"devices": devices, "note": note}


class Latencies:
    """The latency reports in a folder, as `edgenet bench --out` writes them.

    Attributes:
        folder: the folder; it may be missing.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "latencies"

    def of(self, bundle: Path) -> dict[str, Any]:
        """Return what was measured with a bundle's model: {target: {"p50_ms", "p90_ms", "valid", "reasons", "when"}}.

        Reports of other models, and files that are no reports, are left out.

        Raises:
            EdgenetError: the bundle cannot be used.
        """
        model, found = open_model(bundle).sha256, {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                report = read_json(read_limited(path, _LARGEST_REPORT), _LARGEST_REPORT)
                if report["model"]["sha256"] == model:
                    found[one_line(str(report["target"]), LONGEST_NAME)] = _figures(report)
            except (EdgenetError, OSError, ValueError, KeyError, TypeError):
                continue
        return found


def _figures(report: Any) -> dict[str, Any]:
    steady = report["steady_state"]
    return {
        "p50_ms": float(steady["p50_ms"]),
        "p90_ms": float(steady["p90_ms"]),
        "valid": report["valid"] is True,
        "reasons": [one_line(str(reason), 300) for reason in report["reasons"]],
        "when": one_line(str(report["started"])),
    }
