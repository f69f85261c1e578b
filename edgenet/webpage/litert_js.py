"""Unpack LiteRT.js, the browser runtime in edgenet: three builds in one archive, with checksums."""

from __future__ import annotations

import json
import lzma
import tarfile
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from edgenet.errors import EdgenetError
from edgenet.files import sha256

_REMEDY = "install edgenet again"


def record() -> dict[str, Any]:
    """Return the version, licence, packages and each file's SHA-256, as written by tools/fetch-litert-js."""
    found: dict[str, Any] = json.loads(_asset("litert-js.json"))
    return found


@cache
def litert_js() -> Mapping[str, bytes]:
    """Return the files by name.

    They are 28 MB, from an archive of 2.6 MB. They are unpacked and checked once per process, which takes a
    third of a second.

    Raises:
        EdgenetError: the installation is damaged.
    """
    try:
        archive = resources.files("edgenet.webpage").joinpath("assets", "litert-js.tar.xz")
        with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r:xz") as members:
            files = {
                one.name: part.read() for one in members if (part := members.extractfile(one)) is not None
            }
    except (OSError, tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise EdgenetError(f"edgenet's copy of LiteRT.js cannot be read ({error})", _REMEDY) from error
    found = {name: sha256(data) for name, data in files.items()}
    if found != record()["sha256"]:
        raise EdgenetError("edgenet's copy of LiteRT.js does not match its checksums", _REMEDY)
    return files


def _asset(name: str) -> bytes:
    return resources.files("edgenet.webpage").joinpath("assets", name).read_bytes()
