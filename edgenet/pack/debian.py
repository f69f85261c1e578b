"""The C library and Python of the pack, taken from Debian's packages, each checked by its SHA-256.

The checksums come from the index that Debian signed for release 12.15. A file from any server is accepted
only if its checksum matches.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.files import sha256, write_atomically
from edgenet.progress import Progress
from edgenet.zoo.weights import cache_folder

OFFICIAL = "https://deb.debian.org/debian"  # Debian's documented address for users in every country
# The archive keeps packages that a later point release has replaced on the mirrors.
OLDER = "https://snapshot.debian.org/archive/debian/20260901T000000Z"
_WAIT_S = 60.0

_LISTED = Path(__file__).with_suffix(".sha256").read_text().split()
PACKAGES = dict(zip(_LISTED[1::2], _LISTED[::2], strict=True))
"""Maps each package's path on a mirror to its SHA-256."""


def package_files(progress: Progress) -> dict[str, bytes]:
    """Return all files of the packages, by their installed path in Debian; links are resolved.

    Raises:
        EdgenetError: a package cannot be downloaded.
    """
    files: dict[str, bytes] = {}
    for count, (path, digest) in enumerate(PACKAGES.items()):
        progress("download Debian packages", count, len(PACKAGES))
        files |= _unpacked(_package(path, digest))
    return files


def _package(path: str, digest: str) -> bytes:
    kept = cache_folder(os.environ) / "debian" / digest
    if kept.is_file() and sha256(kept) == digest:
        return kept.read_bytes()
    reason = ""
    for mirror in _mirrors():
        try:
            with urllib.request.urlopen(f"{mirror}/{path}", timeout=_WAIT_S) as response:
                content: bytes = response.read()
        except (OSError, urllib.error.URLError) as error:
            reason = str(error)
            continue
        if hashlib.sha256(content).hexdigest() == digest:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, content)
            return content
        reason = "the downloaded file has a wrong checksum"
    raise EdgenetError(
        f"cannot download Debian's {Path(path).name}: {reason}",
        "check that this machine has a network connection, or set EDGENET_DEBIAN_MIRROR to a Debian mirror",
    )


def _mirrors() -> list[str]:
    """Return the mirrors to try, in order: the user's, those of this machine's apt, Debian's servers."""
    named = os.environ.get("EDGENET_DEBIAN_MIRROR")
    found = [named] if named else []
    if shutil.which("apt-get"):
        ask = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        found += [line for line in done.stdout.split() if line.startswith("http")]
    return list(dict.fromkeys(mirror.rstrip("/") for mirror in [*found, OFFICIAL, OLDER]))


def _unpacked(package: bytes) -> dict[str, bytes]:
    """Return the files that a .deb installs: those in data.tar.xz inside its ar archive (deb(5))."""
    with tarfile.open(fileobj=io.BytesIO(_data_of(package))) as archive:
        found = {}
        for member in archive.getmembers():
            if not (member.isfile() or member.issym()):
                continue
            try:
                content = archive.extractfile(member)
            except KeyError:  # a link to a file of another package
                continue
            if content is not None:
                found[member.name.removeprefix("./")] = content.read()
    return found


def _data_of(package: bytes) -> bytes:
    place = len(b"!<arch>\n")
    while place + 60 <= len(package):
        header = package[place : place + 60]
        size = int(header[48:58])
        if header[:16].rstrip(b" /") == b"data.tar.xz":
            return package[place + 60 : place + 60 + size]
        place += 60 + size + size % 2
    raise EdgenetError("a Debian package has no data.tar.xz")
