"""The files of the page that runs a model in a browser, for our server or for a folder that any server can serve."""

from __future__ import annotations

import lzma
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edgenet_device.foreign_text import json_text, read_json
from edgenet_device.latency.report import QUICK, Protocol
from edgenet_device.model_file import ModelFile, open_model
from edgenet_device.ports import read_ports

from edgenet.errors import EdgenetError, one_line
from edgenet.files import make_folder, sha256, write_atomically
from edgenet.tflite.metadata import read_labels
from edgenet.web.server import ISOLATING

RUNTIME = "litert.js"
PAGE_PROTOCOL = replace(QUICK, min_seconds=3.0, blocks=1, cold_starts=1)
_ASSETS = resources.files("edgenet.web").joinpath("assets")
_GRID = 100
"""The shapes' units along each side of the icon."""


@dataclass(frozen=True)
class PageOptions:
    """Options of the page; most are those of camera.py.

    Attributes:
        top: number of labels to show.
        threshold: if the best score is below this, the page says that it shows nothing the network knows.
        half_life_s: half-life of the scores' moving average, and how long another label must be right before it is
            shown, seconds; 0 for neither.
        threads: number of threads for the network. With None they are all cores except one, which the camera
            and the page need, but at most 4.
        measuring: the protocol for measuring latency; in a browser there are no fresh processes and no
            blocks.
        at_once: measure as soon as the page is open, instead of watching the camera.
        offline: the page keeps a copy of itself in the browser, so that it opens without its server from then on. For
            pages that are served at a lasting address.
    """

    top: int = 5
    threshold: float = 0.3
    half_life_s: float = 0.3
    threads: int | None = None
    measuring: Protocol = PAGE_PROTOCOL
    at_once: bool = False
    offline: bool = False


@dataclass(frozen=True)
class Site:
    """The page of one model; `files` holds the contents of its files by their path within the page."""

    model: ModelFile
    files: dict[str, bytes]


_KINDS = (".html", ".css", ".js", ".txt")


def build_page(bundle: Path, options: PageOptions, takes_reports: bool) -> Site:
    """Return the page for a bundle, or for a .tflite file with labels inside.

    Args:
        bundle: path of the model.
        options: options of the page.
        takes_reports: whether the page's server accepts latency reports.

    Raises:
        EdgenetError: the model cannot be used, or has no labels; the installation is damaged.
    """
    model, labels = open_page_model(bundle)
    files = {f"litert/{name}": data for name, data in litert_js().items()}
    for asset in _ASSETS.iterdir():
        if asset.name.endswith(_KINDS):
            files[asset.name] = asset.read_bytes()
    files["model.tflite"] = model.data
    files["page.json"] = json_text(_facts(model, labels, options, takes_reports)).encode()
    files |= app_files(title_of(model), "Names what the camera sees, on this device.")
    files[_SERVICE_WORKER] = _kept_list(files) + files[_SERVICE_WORKER]
    return Site(model, files)


def open_page_model(bundle: Path) -> tuple[ModelFile, list[str]]:
    """Open a model that a page can run, and return it with its labels.

    Raises:
        EdgenetError: the model cannot be used, has no labels, or takes or gives something that pages cannot handle.
    """
    model = open_model(bundle)
    _check_ports(model)
    labels = list(model.labels) or read_labels(model.data) or []
    if not labels:
        raise EdgenetError(f"{bundle} has no labels", "pack it with `edgenet package --labels FILE`")
    return model, labels


def title_of(model: ModelFile) -> str:
    """Return the name of a model, for people."""
    return (model.manifest or {}).get("name") or model.path.stem


def app_files(title: str, description: str) -> dict[str, bytes]:
    """Return the files that let a browser install a page as an app, by name: the web app manifest and the icons."""
    icons = {
        "icon-192.png": icon_png(192),
        "icon-512.png": icon_png(512),
        "icon-maskable.png": icon_png(512, maskable=True),
    }
    manifest = {
        "name": title,
        "short_name": title,
        "description": description,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#101216",
        "theme_color": "#101216",
        "icons": [
            {"src": "icon-192.png", "sizes": "192x192", "type": "image/png"},
            {"src": "icon-512.png", "sizes": "512x512", "type": "image/png"},
            {"src": "icon-maskable.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
        ],
    }
    return {"icon.svg": icon_svg(), **icons, "manifest.webmanifest": json_text(manifest).encode()}


_SERVICE_WORKER = "service-worker.js"


def _kept_list(files: Mapping[str, bytes]) -> bytes:
    """Return the line of the service worker that lists every file with its SHA-256.

    Browsers look for a new version by comparing the service worker's bytes, so each change of a file changes this line.
    """
    kept = {name: sha256(data) for name, data in sorted(files.items()) if name != _SERVICE_WORKER}
    return f"const KEPT = {json_text(kept)};\n".encode()


def _check_ports(model: ModelFile) -> None:
    """Refuse a file whose input the page does not make, or whose output is not a list of probabilities.

    Raises:
        EdgenetError: it is one, or it is not an image classifier.
    """
    ports = read_ports(model.data, str(model.path))
    picture, scores = ports.picture, ports.scores
    takes = picture.takes_bytes and picture.height == picture.width and model.recorded_normalization() is None
    gives = scores.port.dtype == "float32" and scores.meaning == "probability" and not scores.single
    if takes and gives:
        return
    raise EdgenetError(
        f"{model.path} takes {picture.port.describe()} and gives {scores.port.describe()} ({scores.meaning}), and the "
        "page runs only files that take uint8 [1, H, H, 3] pixels and give float32 probabilities",
        "watch it with `edgenet camera --on ssh:...` or with device_scripts/camera.py, or convert the float network",
    )


def _facts(model: ModelFile, labels: list[str], options: PageOptions, takes_reports: bool) -> dict[str, Any]:
    return {
        "name": title_of(model),
        "model": {"file": "model.tflite", "sha256": model.sha256},
        "labels": labels,
        "runtime": {"name": RUNTIME, "version": litert_js_record()["version"]},
        "takes_reports": takes_reports,
        **asdict(options),
    }


_README = """# {name} in the browser

Serve this folder with any web server, over https: browsers allow the camera only on https pages and `http://localhost`.
To try it on this machine, run `python3 -m http.server --bind 127.0.0.1 8000` and open http://127.0.0.1:8000/.

The page keeps a copy of itself in the browser, and from then on opens without the server and without a network. The
browser's menu (or the page's button "Install") puts it among the apps. If the folder has another model later, the page
brings the new files as soon as it is opened where it reaches the server.

If the server sends these two headers with every file, the network may use several threads from the first time on;
without them it uses one the first time:

{headers}

`.wasm` must be sent as `application/wasm` and `.js` as `text/javascript`. Compress both: they shrink to a third.
The page fetches nothing from elsewhere, and no picture leaves the browser.

The licences of the page, of LiteRT.js in the folder `litert`, and of all libraries in it are in `LICENSES.txt`. Keep
that file beside the page. The licence of the model's weights: {licence}.
"""


def export_page(bundle: Path, folder: Path, options: PageOptions) -> tuple[Path, ...]:
    """Write the page for a bundle into a folder, which is created if it does not exist.

    Returns:
        The paths of the files that were written.

    Raises:
        EdgenetError: the model cannot be used, or the folder is not empty or cannot be written.
    """
    site = build_page(bundle, replace(options, offline=True), takes_reports=False)
    if folder.is_dir() and any(folder.iterdir()):
        raise EdgenetError(f"the folder {folder} is not empty", "give a new or empty folder")
    make_folder(folder)
    make_folder(folder / "litert")
    headers = "\n".join(f"    {name}: {value}" for name, value in ISOLATING.items())
    note = _README.format(name=site.model.path.stem, headers=headers, licence=_licence(site.model))
    written = {**site.files, "README.md": note.encode()}
    for name, data in sorted(written.items()):
        write_atomically(folder / name, data)
    return tuple(folder / name for name in sorted(written))


def _licence(model: ModelFile) -> str:
    """Return the licence that the bundle states for its weights, in one line."""
    weights = (model.manifest or {}).get("weights")
    stated = weights.get("licence") if isinstance(weights, dict) else None
    return one_line(stated) if isinstance(stated, str) else "not stated by the file"


_REMEDY = "install edgenet again"


@cache
def litert_js() -> Mapping[str, bytes]:
    """Return the files of LiteRT.js, the browser runtime that comes with edgenet, by name: three builds of it.

    They are 28 MB, from an archive of 2.6 MB. They are unpacked and checked once per process, which takes a
    third of a second.

    Raises:
        EdgenetError: the installation is damaged.
    """
    try:
        archive = _ASSETS.joinpath("litert-js.tar.xz")
        with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r:xz") as members:
            files = {
                one.name: part.read() for one in members if (part := members.extractfile(one)) is not None
            }
    except (OSError, tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise EdgenetError(f"edgenet's copy of LiteRT.js cannot be read ({error})", _REMEDY) from error
    found = {name: sha256(data) for name, data in files.items()}
    if found != litert_js_record()["sha256"]:
        raise EdgenetError("edgenet's copy of LiteRT.js does not match its checksums", _REMEDY)
    return files


def litert_js_record() -> dict[str, Any]:
    """Return LiteRT.js's version, licence and packages, and the SHA-256 of each of its files.

    tools/fetch-litert-js has written this record.
    """
    found: dict[str, Any] = read_json(_ASSETS.joinpath("litert-js.json").read_bytes())
    return found


# The icon of edgenet's pages is drawn from one list of rounded rectangles, as SVG and as PNG of any size. It shows a
# camera's viewfinder around three bars, which stand for the scores of the best classes.
@dataclass(frozen=True)
class _Shape:
    """A rounded rectangle: its left, top, width, height and radius in units of the grid, and its colour."""

    x: float
    y: float
    width: float
    height: float
    radius: float
    colour: str


_GROUND, _FRAME, _BEST, _OTHER = "#14181e", "#f0f2f5", "#48c8b2", "#7d93a4"
_CORNERS = tuple(
    shape
    for x, y in ((22, 22), (73, 22), (22, 73), (73, 73))
    for shape in (
        _Shape(x if x < 50 else x - 11, y, 16, 5, 2.5, _FRAME),
        _Shape(x, y if y < 50 else y - 11, 5, 16, 2.5, _FRAME),
    )
)
_BARS = (
    _Shape(34, 35, 34, 7, 3.5, _BEST),
    _Shape(34, 47, 22, 7, 3.5, _OTHER),
    _Shape(34, 59, 13, 7, 3.5, _OTHER),
)


def _shapes(maskable: bool) -> tuple[_Shape, ...]:
    """Return the shapes, the lowest first; a maskable icon fills its square, and the phone cuts its corners off."""
    return (_Shape(0, 0, _GRID, _GRID, 0 if maskable else 22, _GROUND), *_CORNERS, *_BARS)


@cache
def icon_svg() -> bytes:
    """Return the icon as SVG."""
    rectangles = "".join(
        f'<rect x="{one.x:g}" y="{one.y:g}" width="{one.width:g}" height="{one.height:g}" rx="{one.radius:g}" '
        f'fill="{one.colour}"/>'
        for one in _shapes(maskable=False)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_GRID} {_GRID}">{rectangles}</svg>\n'.encode()
    )


@cache
def icon_png(side: int, maskable: bool = False) -> bytes:
    """Return the icon as PNG.

    Args:
        side: width and height, pixels.
        maskable: fill the whole square. Everything that matters lies in the central 80 % of the picture, which
            phones never cut off.
    """
    ground, *others = _shapes(maskable)
    picture = np.empty((side, side, 4))  # blue, green, red, opacity; each 0 to 1
    picture[..., :3] = _bgr(ground.colour)
    picture[..., 3] = _coverage(ground, side, (0, side), (0, side))
    for shape in others:
        rows, columns = _span(shape.y, shape.height, side), _span(shape.x, shape.width, side)
        part = picture[slice(*rows), slice(*columns), :3]
        part += _coverage(shape, side, rows, columns)[..., None] * (_bgr(shape.colour) - part)
    return cv2.imencode(".png", np.rint(255 * picture).astype(np.uint8))[1].tobytes()


def _span(start: float, length: float, side: int) -> tuple[int, int]:
    """Return the pixels, from the first to behind the last, that a shape may cover along one axis."""
    unit = side / _GRID
    return max(0, int(start * unit) - 1), min(side, int((start + length) * unit) + 2)


def _coverage(shape: _Shape, side: int, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Return the share of each pixel, 0 to 1, that the shape covers: [rows, columns], of the spans given."""
    unit = side / _GRID
    centres = (np.arange(side) + 0.5) / unit
    # How far a pixel lies outside the rectangle of the corners' centres, along each axis (negative: inside).
    x = np.abs(centres[slice(*columns)] - shape.x - shape.width / 2) - (shape.width / 2 - shape.radius)
    y = np.abs(centres[slice(*rows)] - shape.y - shape.height / 2) - (shape.height / 2 - shape.radius)
    outside = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None])
    inside = np.minimum(np.maximum(x[None, :], y[:, None]), 0)
    return np.clip(0.5 - unit * (outside + inside - shape.radius), 0, 1)


def _bgr(colour: str) -> np.ndarray:
    """Return blue, green and red, each 0 to 1, of a colour such as "#14181e"."""
    return np.array([int(colour[at : at + 2], 16) for at in (5, 3, 1)]) / 255
