"""The devices that the studio offers without being told, and the latencies that were measured on them."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import LONGEST_NAME, one_line, read_json
from edgenet_device.model_file import open_model

from edgenet.devices.adb_connection import phones
from edgenet.devices.ssh_hosts import ssh_hosts
from edgenet.errors import EdgenetError
from edgenet.files import read_limited

_LARGEST_REPORT = 32 << 20


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
