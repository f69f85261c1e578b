"""`edgenet fetch` brings weights from a folder or a server, checks them, and says what could not be had."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

import edgenet
from edgenet.commands.app import app
from edgenet.errors import EdgenetError
from edgenet.zoo.catalogue import default_entry, find_entry, variants_with_weights
from edgenet.zoo.weights import find_in_package

# Files of these rows have no public checksum, so that a test can make them.
KERAS, SLIM = "mobilenet_v2_0.35_96:keras", "mobilenet_v2_0.35_96:slim"
CONTENTS = {KERAS: b"\x89HDF\r\n\x1a\n" + b"k" * 5000, SLIM: b"\x1f\x8b" + b"s" * 3000}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGENET_CACHE", str(folder))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / find_entry(name).file).write_bytes(content)
    return folder


@pytest.fixture
def server(files: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(files))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_files_come_from_a_server_with_progress_and_stay(cache: Path, server: str) -> None:
    seen: list[tuple[str, int, int | None]] = []
    fetched = edgenet.fetch([KERAS, SLIM, KERAS], origin=server, progress=lambda *step: seen.append(step))
    assert [one.name for one in fetched] == [KERAS, SLIM]
    assert all(one.new for one in fetched)
    for one in fetched:
        assert Path(one.path).read_bytes() == CONTENTS[one.name]
        assert one.size == len(CONTENTS[one.name])
        assert (find_entry(one.name).file, one.size, one.size) in seen
    assert {path.name for path in cache.iterdir()} == {
        find_entry(KERAS).file,
        find_entry(SLIM).file,
        "checksums.json",
    }
    # From then on no network is needed.
    again = edgenet.fetch(KERAS, origin="http://127.0.0.1:1")
    assert (again[0].new, again[0].path) == (False, fetched[0].path)


def test_folder_and_the_command_line(cache: Path, files: Path) -> None:
    result = CliRunner().invoke(app, ["fetch", KERAS, "--from", str(files)])
    assert result.exit_code == 0, result.output
    path = cache / find_entry(KERAS).file
    assert f"{KERAS}: 0.0 MB, fetched: {path}" in result.stdout
    assert "Apache-2.0 (Keras); trained on ImageNet" in result.stdout
    result = CliRunner().invoke(app, ["fetch", KERAS, "--json"])
    (row,) = json.loads(result.stdout)
    assert (row["name"], row["new"], row["path"]) == (KERAS, False, str(path))


def test_one_that_fails_does_not_keep_the_others_back(cache: Path, files: Path) -> None:
    (files / find_entry(SLIM).file).write_bytes(b"<html>blocked</html>")
    lines: list[str] = []
    with pytest.raises(EdgenetError, match=r"is a web page .* \(2 of 3 files could not be fetched\)"):
        edgenet.fetch([SLIM, "mobilenet_v2_0.5_96", KERAS], origin=files, log=lines.append)
    assert len(lines) == 2
    assert lines[0].startswith(f"{SLIM}: ")
    assert lines[1].startswith("mobilenet_v2_0.5_96:keras: there is no ")
    assert {path.name for path in cache.iterdir()} == {find_entry(KERAS).file, "checksums.json"}


def test_all_means_the_weights_of_every_name(cache: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(EdgenetError, match="files could not be fetched"):
        edgenet.fetch("all", origin=tmp_path, log=lines.append)
    entries = [default_entry(variant) for variant in variants_with_weights()]
    lacking = [entry.name for entry in entries if entry is not None and find_in_package(entry) is None]
    assert [line.partition(": ")[0] for line in lines] == lacking


def test_names_are_needed_and_must_exist(cache: Path) -> None:
    with pytest.raises(EdgenetError, match=r'give a name, such as .*, or "all"'):
        edgenet.fetch([])
    with pytest.raises(EdgenetError, match=r"no ImageNet weights for mobilenet_v2_0\.6_96; choose another"):
        edgenet.fetch("mobilenet_v2_0.6_96")
    assert CliRunner().invoke(app, ["fetch"]).exit_code == 2
    assert not cache.exists()
