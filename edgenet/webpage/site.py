"""Collect all files of the page by name, for the server and for the export."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from device_scripts.model_file import ModelFile, open_model
from device_scripts.protocol import QUICK, Protocol
from edgenet.errors import EdgenetError
from edgenet.tflite.metadata import read_labels
from edgenet.webpage.litert_js import litert_js, record

RUNTIME = "litert.js"
PAGE_PROTOCOL = replace(QUICK, min_seconds=3.0, blocks=1, cold_starts=1)
_KINDS = (".html", ".css", ".js")


@dataclass(frozen=True)
class PageOptions:
    """Options of the page; most are those of camera.py.

    Attributes:
        top: number of labels to show.
        threshold: if the best score is below this, the page says that it shows nothing the network knows.
        half_life_s: half-life of the scores' moving average, seconds.
        threads: number of threads for the network. With None they are all cores except one, which the camera
            and the page need, but at most 4.
        measuring: the protocol for measuring latency; in a browser there are no fresh processes and no
            blocks.
        at_once: measure as soon as the page is open, instead of watching the camera.
    """

    top: int = 5
    threshold: float = 0.3
    half_life_s: float = 0.3
    threads: int | None = None
    measuring: Protocol = PAGE_PROTOCOL
    at_once: bool = False


@dataclass(frozen=True)
class Site:
    """The page of one model; `files` holds the contents of its files by their path within the page."""

    model: ModelFile
    files: dict[str, bytes]


def page_of(bundle: Path, options: PageOptions, takes_reports: bool) -> Site:
    """Return the page for a bundle, or for a .tflite file with labels inside.

    Args:
        bundle: path of the model.
        options: options of the page.
        takes_reports: whether the page's server accepts latency reports.

    Raises:
        EdgenetError: the model cannot be used, or has no labels; the installation is damaged.
    """
    model = open_model(bundle)
    labels = list(model.labels) or read_labels(model.data) or []
    if not labels:
        raise EdgenetError(f"{bundle} has no labels", "pack it with `edgenet package --labels FILE`")
    files = {f"litert/{name}": data for name, data in litert_js().items()}
    for asset in resources.files("edgenet.webpage").joinpath("assets").iterdir():
        if asset.name.endswith(_KINDS):
            files[asset.name] = asset.read_bytes()
    files["model.tflite"] = model.data
    files["page.json"] = json.dumps(_facts(model, labels, options, takes_reports)).encode()
    return Site(model, files)


def _facts(model: ModelFile, labels: list[str], options: PageOptions, takes_reports: bool) -> dict[str, Any]:
    return {
        "name": (model.manifest or {}).get("name") or model.path.stem,
        "model": {"file": "model.tflite", "sha256": model.sha256},
        "labels": labels,
        "runtime": {"name": RUNTIME, "version": record()["version"]},
        "takes_reports": takes_reports,
        **asdict(options),
    }
