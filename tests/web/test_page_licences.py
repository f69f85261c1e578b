"""The licences beside every exported page, and the SBOM: complete, valid and up to date."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edgenet.figures.page_parts import LICENCE_NOTE
from edgenet.web.site import PageOptions, export_page, litert_js, litert_js_record
from tools.web_parts import PARTS

ROOT = Path(__file__).resolve().parents[2]
OURS = {"tensorflow", "odml", "ml_drift", "absl", "protobuf", "gloop", "ruy", "emscripten", "tcmalloc"}
"""The folders of sources that the .wasm files name, and that tools/web_parts.py has."""


@cache
def wasm() -> dict[str, bytes]:
    return {name: data for name, data in litert_js().items() if name.endswith(".wasm")}


@cache
def sbom() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "edgenet" / "assets" / "sbom.cdx.json").read_bytes())
    return found


def test_both_files_are_up_to_date() -> None:
    command = [sys.executable, "-m", "tools.make_notices", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("part", [part for part in PARTS if part.marks], ids=lambda part: part.name)
def test_every_library_is_in_the_files(part: Any) -> None:
    for mark in part.marks:
        assert any(mark.encode() in data for data in wasm().values()), mark


def test_no_other_folder_of_sources_is_named_in_the_files() -> None:
    named = {match for data in wasm().values() for match in re.findall(rb"third_party/(\w+)/", data)}
    assert {name.decode() for name in named} == OURS


def test_the_licences_lie_beside_an_exported_page(colours: Path, tmp_path: Path) -> None:
    export_page(colours, tmp_path / "site", PageOptions())
    text = (tmp_path / "site" / "LICENSES.txt").read_text()
    assert (ROOT / "LICENSE").read_text().strip("\n") in text
    assert litert_js_record()["version"] in text
    for part in PARTS:
        assert part.name in text
        assert part.home in text
        if part.text is not None:
            assert f"{part.name} ({part.licence})" in text
            assert (ROOT / "tools" / "licences" / part.text).read_text().strip("\n") in text
    assert "The licence of the model's weights: Apache-2.0." in (tmp_path / "site" / "README.md").read_text()


def test_a_library_without_a_text_is_under_the_licence_of_edgenet() -> None:
    assert {part.licence for part in PARTS if part.text is None} == {"Apache-2.0"}


def test_the_sbom_follows_the_official_schema() -> None:
    # Importing the validator takes a second, which every worker would spend while it collects the tests.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(sbom())) is None
    wrong = {**sbom(), "components": [{"type": "no such type", "name": "x"}]}
    assert validator.validate_str(json.dumps(wrong)) is not None


def test_the_sbom_has_what_the_wheel_carries() -> None:
    parts = {one["name"]: one for one in sbom()["components"]}
    carried = {name for name, one in parts.items() if one["properties"][0]["value"] == "in the wheel"}
    photos = {f"edgenet/{path.relative_to(ROOT)}" for path in (ROOT / "calibration_data").glob("*.jpg")}
    data = {"edgenet/assets/clip.mp4", "edgenet/assets/digits.png", "edgenet/zoo/imagenet_labels.txt"}
    assert carried == photos | data | {"@litertjs/core", "@litertjs/wasm-utils"}
    for name in photos | data:
        file = ROOT / (name.removeprefix("edgenet/") if name in photos else name)
        assert parts[name]["hashes"] == [
            {"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}
        ]
        assert parts[name]["licenses"][0]["expression"]
    assert {one["name"] for one in parts["@litertjs/core"]["components"]} == {part.name for part in PARTS}


def test_the_sbom_has_what_is_installed_beside_it() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert block is not None
    needed = re.findall(r'^ +"([A-Za-z0-9_-]+)', block[1], re.MULTILINE)
    assert len(needed) > 10
    assert {name.lower() for name in needed} <= {one["name"].lower() for one in sbom()["components"]}
    (edges,) = sbom()["dependencies"]
    refs = {one["bom-ref"] for one in sbom()["components"]}
    assert set(edges["dependsOn"]) <= refs


def test_pages_of_one_file_name_their_licence_themselves() -> None:
    """They hold no library of others, only edgenet's own styles and scripts."""
    writers = [
        path
        for path in (ROOT / "edgenet").rglob("*.py")
        if "<!doctype html>" in path.read_text(encoding="utf-8")
    ]
    assert len(writers) >= 3
    assert all('<meta charset="utf-8">\n{LICENCE_NOTE}\n' in path.read_text("utf-8") for path in writers)
    assert "SPDX-License-Identifier: Apache-2.0" in LICENCE_NOTE
