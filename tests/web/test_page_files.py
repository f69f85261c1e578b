"""What comes with the page, and the folder that it is exported to."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_classifiers import Layout, classifier_file
from tiny_model import tiny_model

import edgenet
from edgenet.errors import EdgenetError
from edgenet.web import site
from edgenet.web.site import PageOptions, build_page, export_page, litert_js, litert_js_record

ASSETS = resources.files("edgenet.web").joinpath("assets")


def test_every_file_of_litert_js_is_the_one_that_was_fetched() -> None:
    files = litert_js()
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == litert_js_record()[
        "sha256"
    ]
    assert sum(name.endswith(".wasm") for name in files) == 3


def test_the_archive_stays_small() -> None:
    assert len(ASSETS.joinpath("litert-js.tar.xz").read_bytes()) < 3_000_000


def test_the_page_fetches_nothing_from_elsewhere() -> None:
    own = [asset for asset in ASSETS.iterdir() if asset.name.endswith((".html", ".css", ".js"))]
    assert len(own) > 8
    for asset in own:
        assert not re.search(r"(?:https?:)?//[\w-]+\.[\w.]+/", asset.read_text()), asset.name


def test_the_page_writes_no_html() -> None:
    for asset in ASSETS.iterdir():
        if asset.name.endswith(".js"):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", asset.read_text())


def test_the_export_is_the_page_and_a_note(colours: Path, tmp_path: Path) -> None:
    written = export_page(colours, tmp_path / "site", PageOptions())
    expected = build_page(colours, PageOptions(offline=True), takes_reports=False).files
    assert {str(path.relative_to(tmp_path / "site")) for path in written} == {*expected, "README.md"}
    for name, data in expected.items():
        assert (tmp_path / "site" / name).read_bytes() == data
    note = (tmp_path / "site" / "README.md").read_text()
    assert "Cross-Origin-Embedder-Policy: require-corp" in note
    assert "https" in note


def test_the_service_worker_lists_every_other_file_with_its_checksum(colours: Path) -> None:
    files = build_page(colours, PageOptions(), takes_reports=False).files
    listed, _, rest = files["service-worker.js"].partition(b";\n")
    assert rest == ASSETS.joinpath("service-worker.js").read_bytes()
    kept = json.loads(listed.removeprefix(b"const KEPT = "))
    others = {name: data for name, data in files.items() if name != "service-worker.js"}
    assert kept == {name: hashlib.sha256(data).hexdigest() for name, data in others.items()}


def test_every_icon_of_the_manifest_is_there_and_as_large_as_it_says(colours: Path) -> None:
    files = build_page(colours, PageOptions(), takes_reports=False).files
    for icon in json.loads(files["manifest.webmanifest"])["icons"]:
        picture = cv2.imdecode(np.frombuffer(files[icon["src"]], np.uint8), cv2.IMREAD_UNCHANGED)
        assert icon["sizes"] == f"{picture.shape[1]}x{picture.shape[0]}"
        opaque = picture[0, 0, 3] == 255
        assert opaque == (icon.get("purpose") == "maskable")


@pytest.mark.parametrize("side", [48, 180, 512])
def test_each_shape_of_the_icon_is_drawn_whole(side: int) -> None:
    for shape in site._shapes(maskable=False):
        whole = site._coverage(shape, side, (0, side), (0, side))
        rows = site._span(shape.y, shape.height, side)
        columns = site._span(shape.x, shape.width, side)
        part = np.zeros_like(whole)
        part[slice(*rows), slice(*columns)] = site._coverage(shape, side, rows, columns)
        assert np.array_equal(part, whole)


def test_nothing_is_written_over(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(EdgenetError, match="is not empty"):
        export_page(colours, tmp_path, PageOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_without_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(tiny_model())
    with pytest.raises(EdgenetError, match="has no labels"):
        build_page(path, PageOptions(), takes_reports=False)


@pytest.mark.parametrize(
    "layout",
    [Layout(), Layout(dtype="uint8"), Layout(dtype="int8"), Layout((1, 8, 8, 1), "uint8", classes=2)],
    ids=["float", "uint8 scores", "int8", "grey"],
)
def test_the_page_refuses_files_that_it_cannot_run(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(classifier_file(layout))
    bundle = edgenet.package(
        path,
        labels=("red", "green", "blue")[: layout.classes],
        normalization="-1..1" if layout.dtype == "float32" else None,
    ).out
    with pytest.raises(
        EdgenetError, match=r"takes .* and gives .*, and the page runs only files .*; watch it with"
    ):
        export_page(Path(bundle), tmp_path / "page", PageOptions())
    assert not (tmp_path / "page").exists()
