"""Write the notices of the browser page (edgenet/web/assets/LICENSES.txt) and the list of all parts of the wheel
(edgenet/assets/sbom.cdx.json, CycloneDX).

    python -m tools.make_notices            # or: make notices
    python -m tools.make_notices --check    # fails if one of them is out of date
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from tools.web_parts import PARTS, Part

ROOT = Path(__file__).resolve().parents[1]
NOTICES = ROOT / "edgenet" / "web" / "assets" / "LICENSES.txt"
SBOM = ROOT / "edgenet" / "assets" / "sbom.cdx.json"
_LITERT_JS = ROOT / "edgenet" / "web" / "assets" / "litert-js.json"
_RULE = "=" * 80
_EIGEN = "Eigen's source, as the Mozilla Public License asks to say, is at the address above."


def main() -> int:
    """Write or check both files; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    check = parser.parse_args().check
    wanted = {NOTICES: page_notices(), SBOM: json.dumps(sbom(), indent=1) + "\n"}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date: run `make notices`")
        else:
            path.write_text(wanted[path], "utf-8")
    return int(check and bool(stale))


def page_notices() -> str:
    """Return the licences of everything on the browser page, except the model's."""
    record = json.loads(_LITERT_JS.read_bytes())
    head = f"""\
Licences of this page
{_RULE}

The page itself (index.html, the .js and .css files, the icons and the manifest beside
it) is a part of edgenet, under the Apache License 2.0, which is below.

The folder litert/ holds LiteRT.js {record["version"]} ({", ".join(record["packages"])}),
copyright Google LLC, Apache License 2.0. One line of index.js was changed: it imports
the second package by the path of its file. These libraries are compiled into it:

{_table()}

The model (model.tflite) has the licence that its maker gave it: see README.md.
"""
    texts = [
        (part, (ROOT / "tools" / "licences" / part.text).read_text("utf-8")) for part in PARTS if part.text
    ]
    sections = [("Apache License 2.0", (ROOT / "LICENSE").read_text("utf-8"))]
    sections += [
        (f"{part.name} ({part.licence})", text + (f"\n{_EIGEN}\n" if part.name == "Eigen" else ""))
        for part, text in texts
    ]
    return head + "".join(
        f"\n{_RULE}\n{title}\n{_RULE}\n\n{text.strip(chr(10))}\n" for title, text in sections
    )


def _table() -> str:
    width = max(len(part.name) for part in PARTS)
    wide = max(len(part.licence) for part in PARTS)
    lines = [
        f"  {part.name:{width}}  {part.licence:{wide}}  (c) {part.holder}\n    {part.home}" for part in PARTS
    ]
    return "\n".join(lines)


def sbom() -> dict[str, Any]:
    """Return the CycloneDX document: what the wheel carries, and the packages that it needs beside it."""
    project = _project()
    name = f"pkg:pypi/edgenet@{project['version']}"
    needed = [*_packages("users"), *_torch()]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": "edgenet",
                "version": project["version"],
                "purl": name,
                "licenses": [{"expression": project["license"]}],
            },
        },
        "components": [*_npm_packages(), *_own_data(), *_photos(), *needed],
        "dependencies": [{"ref": name, "dependsOn": sorted(one["bom-ref"] for one in needed)}],
    }


def _project() -> dict[str, str]:
    """Return the version and the licence of pyproject.toml, which Python 3.10 cannot parse by itself."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    version = re.search(r'^version = "(.+)"', text, re.MULTILINE)
    licence = re.search(r'^license = """(.+?)"""', text, re.MULTILINE | re.DOTALL)
    assert version is not None
    assert licence is not None
    return {"version": version[1], "license": re.sub(r"\\\n\s*", "", licence[1])}


def _component(
    kind: str, name: str, licence: str, more: dict[str, Any], carried: bool = True
) -> dict[str, Any]:
    place = "in the wheel" if carried else "installed beside the wheel"
    return {
        "type": kind,
        "bom-ref": more.get("purl", f"edgenet:{name}"),
        "name": name,
        **more,
        **({"licenses": [{"expression": licence}]} if licence else {}),
        "properties": [{"name": "edgenet:place", "value": place}],
    }


def _npm_packages() -> list[dict[str, Any]]:
    """Return LiteRT.js's two packages; the first one has the libraries within it."""
    record = json.loads(_LITERT_JS.read_bytes())
    found = []
    for package, integrity in record["packages"].items():
        name, _, version = package.rpartition("@")
        digest = base64.b64decode(integrity.removeprefix("sha512-")).hex()
        facts = {
            "version": version,
            "purl": f"pkg:npm/{name.replace('@', '%40')}@{version}",
            "hashes": [{"alg": "SHA-512", "content": digest}],
        }
        found.append(_component("library", name, record["licence"], facts))
    found[0]["components"] = [_web_part(part) for part in PARTS]
    return found


def _web_part(part: Part) -> dict[str, Any]:
    facts = {
        "copyright": f"Copyright {part.holder}",
        "externalReferences": [{"type": "website", "url": part.home}],
    }
    return _component("library", part.name, part.licence, facts)


def _own_data() -> list[dict[str, Any]]:
    """Return the video, the digits and the class names."""
    found = []
    for name in ("clip", "digits"):
        facts = json.loads((ROOT / "edgenet" / "assets" / f"{name}.json").read_bytes())
        found.append(_file(f"edgenet/assets/{facts['name']}", facts["sha256"], facts["licence"]))
    labels = ROOT / "edgenet" / "zoo" / "imagenet_labels.txt"
    digest = hashlib.sha256(labels.read_bytes()).hexdigest()
    return [*found, _file("edgenet/zoo/imagenet_labels.txt", digest, "BSD-3-Clause")]


def _photos() -> list[dict[str, Any]]:
    photos = json.loads((ROOT / "calibration_data" / "manifest.json").read_bytes())["photos"]
    return [_file(f"edgenet/calibration_data/{one['name']}", one["sha256"], one["licence"]) for one in photos]


def _file(name: str, digest: str, licence: str) -> dict[str, Any]:
    return _component("file", name, licence, {"hashes": [{"alg": "SHA-256", "content": digest}]})


def _packages(listed: str) -> list[dict[str, Any]]:
    """Return the packages of a list in requirements/, each version once; the list has their SHA-256."""
    text = (ROOT / "requirements" / f"{listed}.txt").read_text("utf-8")
    pins = sorted(set(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)))
    return [_pypi(name, version) for name, version in pins]


def _torch() -> list[dict[str, Any]]:
    pins = re.findall(r"^(torch)==([^\s;]+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    return [_pypi(name, version) for name, version in pins]


def _pypi(name: str, version: str) -> dict[str, Any]:
    facts = {"version": version, "purl": f"pkg:pypi/{name.lower()}@{version}"}
    return _component("library", name, "", facts, carried=False)


if __name__ == "__main__":
    sys.exit(main())
