"""Collecting: what browsers send is checked before it is kept, and moving loses nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import socket
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from studio_client import Client, photo, zip_of

from edgenet.studio_app import incoming
from edgenet.studio_app.looks import Look, repeated
from edgenet.studio_app.places import Places
from edgenet.studio_app.studio import ANSWERS_KEPT


def place(label: str, name: str, binned: bool = False) -> dict[str, object]:
    return {"label": label, "name": name, "binned": binned}


def test_photos_are_kept_under_names_of_their_own(client: Client) -> None:
    names = ("cup.jpg", "cup.jpg", "../../cup.jpg", "C:\\photos\\cup.jpg", '"<img src=x>.jpg')
    for seed, name in enumerate(names):
        assert client.upload("mug", name, photo(seed))["status"] == 200
    kept = sorted(path.relative_to(client.photos).as_posix() for path in client.photos.rglob("*.jpg"))
    assert kept == ["mug/__img src=x_.jpg", *(f"mug/cup{n}.jpg" for n in (" (2)", " (3)", " (4)", ""))]
    assert client.get("/api/state")["classes"][0]["photos"] == 5
    assert not list(client.studio.places.root.glob(".edgenet-*")), "a hidden file is left"


def test_a_request_that_comes_again_is_answered_again_and_done_once(client: Client) -> None:
    """A browser that loses a connection does not know whether its request arrived."""
    for n in range(2):
        client.upload("mug", f"{n}.jpg", photo(n))
    client.post("/api/classes/add", {"label": "key"})
    moves = [{"from": place("mug", f"{n}.jpg"), "to": place("key", f"{n}.jpg")} for n in range(2)]
    body = json.dumps({"moves": moves}).encode()
    first, again = (client.send("/api/photos/move", body, X_Request_Id="one") for _ in range(2))
    assert first == again
    assert first[0] == 200
    assert len(first[1]["moves"]) == 2
    assert [
        one["name"] for one in client.send("/api/photos/move", body, X_Request_Id="two")[1]["failed"]
    ] == [
        "0.jpg",
        "1.jpg",
    ]
    assert client.send("/api/photos/move", b"[]", X_Request_Id="three")[0] == 400
    for n in range(2 * ANSWERS_KEPT):
        client.send("/api/photos/move", b"[]", X_Request_Id=f"many {n}")
    assert client.send("/api/photos/move", body, X_Request_Id="one")[1]["moves"] == [], (
        "old answers are forgotten"
    )


def test_what_is_sent_again_is_kept_once(client: Client) -> None:
    """An answer was lost, or a zip was kept in part: the page sends the file again."""
    members = {f"mug/{n}.jpg": photo(n) for n in range(3)}
    assert len(client.upload("mug", "set.zip", zip_of(members))["added"]) == 3
    again = client.upload("mug", "set.zip", zip_of(members | {"mug/3.jpg": photo(3)}))
    assert again["added"] == [{"label": "mug", "name": "3.jpg"}]
    assert [one["name"] for one in again["there"]] == ["0.jpg", "1.jpg", "2.jpg"]
    assert client.upload("mug", "0.jpg", photo(7))["added"] == [{"label": "mug", "name": "0 (2).jpg"}]
    assert client.upload("mug", "0.jpg", photo(7))["there"] == [{"label": "mug", "name": "0 (2).jpg"}]
    assert client.names("mug") == ["0 (2).jpg", "0.jpg", "1.jpg", "2.jpg", "3.jpg"]


@pytest.mark.parametrize("before", [True, False], ids=["before the photo has its name", "after that"])
def test_a_folder_that_goes_away_leaves_no_half_photo(
    client: Client, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    root, real = client.studio.places.root, os.link
    elsewhere = root.with_name("elsewhere")

    def link(source: Path, target: Path, **more: bool) -> None:
        if before:
            root.rename(elsewhere)
        real(source, target, **more)
        root.rename(elsewhere)

    monkeypatch.setattr(os, "link", link)
    answer = client.upload("mug", "cup.jpg", photo())
    monkeypatch.undo()
    elsewhere.rename(root)
    assert ("found" in answer, client.names("mug")) == ((True, []) if before else (False, ["cup.jpg"]))
    client.upload("mug", "cup.jpg", photo())
    assert client.names("mug") == ["cup.jpg"]


def test_a_file_system_without_hard_links(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """No exFAT can be mounted here: the system's refusal is a stand-in."""

    def refuse(source: Path, target: Path, **more: bool) -> None:
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    for seed in (0, 1, 1):
        client.upload("mug", "cup.jpg", photo(seed))
    assert client.names("mug") == ["cup (2).jpg", "cup.jpg"]
    assert (client.photos / "mug" / "cup (2).jpg").read_bytes() == photo(1)
    assert sorted(os.listdir(client.photos / "mug")) == ["cup (2).jpg", "cup.jpg"]
    real = os.replace

    def fail(source: Path, target: Path) -> None:
        if target.suffix == ".jpg" and target.parent.name == "mug":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    monkeypatch.setattr(os, "replace", fail)
    assert "found" in client.upload("mug", "lid.jpg", photo(2))
    assert sorted(os.listdir(client.photos / "mug")) == ["cup (2).jpg", "cup.jpg"], "an empty photo is left"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.html", b"<script>"),
        ("script.jpg", b"<svg onload=alert(1)>"),
        ("half.jpg", photo()[:2000]),
        ("empty.jpg", b""),
        ("raw.dng", b"II*\0"),
    ],
)
def test_what_is_no_photo_is_refused_by_name(client: Client, name: str, data: bytes) -> None:
    answer = client.upload("mug", name, data)
    assert [one["name"] for one in answer["refused"]] == [name]
    assert answer["added"] == []
    assert not list(client.photos.rglob("*.*"))


@pytest.mark.parametrize("label", ["../out", ".hidden", "a/b", "", "  ", "nul\0", "x" * 200, "-o"])
def test_a_class_is_never_a_path(client: Client, label: str) -> None:
    assert client.refusal("/api/classes/add", {"label": label})
    assert "status" in client.upload(label, "cup.jpg", photo())
    assert client.studio.places.labels() == []
    assert sorted(one.name for one in client.studio.places.root.parent.iterdir()) == ["cache", "things"]


def test_a_zip_of_class_folders_makes_classes(client: Client) -> None:
    members = {f"set/{label}/{n}.jpg": photo(n) for label in ("mug", "key") for n in range(2)}
    members |= {"set/mug/notes.txt": b"x", "set/mug/broken.jpg": b"nothing", "set/../../evil.jpg": photo(9)}
    answer = client.upload("", "set.zip", zip_of(members))
    assert client.names("mug") == ["0.jpg", "1.jpg"]
    assert client.names("key") == ["0.jpg", "1.jpg"]
    assert "broken.jpg" in str(answer["refused"])
    assert not (client.studio.places.root / "evil.jpg").exists()
    assert not (client.studio.places.root.parent / "evil.jpg").exists()


def test_a_zip_dropped_on_a_class_goes_into_it(client: Client) -> None:
    client.upload("mug", "some.zip", zip_of({"a/1.jpg": photo(1), "b/1.jpg": photo(2)}))
    assert client.studio.places.labels() == ["mug"]
    assert client.names("mug") == ["1 (2).jpg", "1.jpg"]


def test_a_zip_bomb_and_a_false_zip_are_refused(client: Client) -> None:
    bomb = zip_of({"a/1.jpg": b"\0" * (80 << 20)}, zipfile.ZIP_DEFLATED)
    assert "would unpack to" in client.upload("mug", "bomb.zip", bomb)["found"]
    assert "some.zip" in client.upload("mug", "some.zip", b"PK nonsense")["found"]
    assert not list(client.photos.rglob("*.jpg"))


def test_a_full_disk_is_said_before_the_file_comes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "free_space", lambda folder: 1000)
    answer = client.upload("mug", "cup.jpg", photo())
    assert (answer["status"], "is full" in answer["found"]) == (507, True)


def test_too_large_a_file_is_refused_before_it_is_read(client: Client) -> None:
    head = (
        f"POST /api/photos/add?label=mug&name=a.jpg HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {1 << 40}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.port), 60) as link:
        link.sendall(head.encode())
        assert b"409" in link.recv(1000).partition(b"\r\n")[0]


def test_an_upload_that_breaks_off_leaves_nothing(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    head = (
        "POST /api/photos/add?label=mug&name=a.jpg HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: 5000\r\n\r\nhalf"
    )
    with socket.create_connection(("127.0.0.1", client.port), 60) as link:
        link.sendall(head.encode())
    client.get("/api/state")
    for _ in range(100):
        if not list(client.studio.places.root.glob(".edgenet-*.tmp")):
            break
        time.sleep(0.05)
    assert sorted(one.name for one in client.studio.places.root.iterdir()) == ["photos"]
    assert capfd.readouterr() == ("", "")


def test_a_fault_of_the_server_is_one_line(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Places, "new_class", lambda self, label: 1 / 0)
    status, answer = client.send("/api/classes/add", b'{"label": "mug"}')
    assert (status, "ZeroDivisionError" in answer["found"]) == (500, True)
    assert client.get("/api/state")["classes"] == []


def test_thumbnails_and_marks(client: Client) -> None:
    client.upload("mug", "1.jpg", photo(1))
    client.upload("mug", "2.jpg", photo(1))
    client.upload("mug", "3.jpg", photo(2, blurred=True))
    (client.photos / "mug" / "4.jpg").write_bytes(b"put here by somebody else")
    assert client.names("mug") == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    for _ in range(100):
        found = client.get("/api/photos", label="mug")
        if found["measured"]:
            break
        time.sleep(0.05)
    marks = {one["name"]: one["marks"] for one in found["photos"]}
    assert marks == {"1.jpg": [], "2.jpg": ["repeated"], "3.jpg": ["blurred"], "4.jpg": ["unreadable"]}
    status, headers, body = client.ask("GET", "/thumb?label=mug&name=1.jpg")
    assert (status, headers["Content-Type"], body[:2]) == (200, "image/jpeg", b"\xff\xd8")
    for query in (
        "label=mug&name=4.jpg",
        "label=mug&name=../mug/1.jpg",
        "label=..&name=x.jpg",
        "label=mug&name=",
    ):
        assert client.ask("GET", f"/thumb?{query}")[0] == 404, query


def test_repeats_among_thousands() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 1 << 63, 3000).tolist()
    looks: list[Look | None] = [Look(100.0, bits) for bits in hashes]
    looks += [None, Look(None), Look(100.0, hashes[5] ^ 0b101), Look(100.0, hashes[2999] ^ 0b11111)]
    marks = repeated(looks)
    assert [index for index, mark in enumerate(marks) if mark] == [3002]


def test_moving_and_undoing_bring_back_the_same_bytes(client: Client) -> None:
    for label in ("mug", "key"):
        client.upload(label, "1.jpg", photo(len(label)))
    before = {path: path.read_bytes() for path in client.photos.rglob("*.jpg")}
    made = client.post(
        "/api/photos/move", {"moves": [{"from": place("mug", "1.jpg"), "to": place("key", "1.jpg")}]}
    )
    assert made["moves"][0]["to"] == place("key", "1 (2).jpg"), "nothing is overwritten"
    assert (client.names("mug"), client.names("key")) == ([], ["1 (2).jpg", "1.jpg"])
    back = [{"from": one["to"], "to": one["from"]} for one in made["moves"]]
    client.post("/api/photos/move", {"moves": back})
    assert {path: path.read_bytes() for path in client.photos.rglob("*.jpg")} == before


def test_one_that_is_gone_does_not_keep_the_others(client: Client) -> None:
    client.upload("mug", "1.jpg", photo())
    client.post("/api/classes/add", {"label": "key"})
    moves = [{"from": place("mug", name), "to": place("key", name)} for name in ("gone.jpg", "1.jpg")]
    made = client.post("/api/photos/move", {"moves": moves})
    assert (len(made["moves"]), [one["name"] for one in made["failed"]]) == (1, ["gone.jpg"])


@pytest.mark.parametrize(
    "target",
    [
        place("../key", "1.jpg"),
        place("..", "1.jpg", True),
        place("mug", "../../1.jpg"),
        place("mug", "/tmp/1.jpg"),
        place("mug", "1.html"),
        place("mug", ".1.jpg"),
        place("other", "1.jpg", True),
    ],
)
def test_a_photo_never_leaves_the_folder(client: Client, target: dict[str, object]) -> None:
    client.upload("mug", "1.jpg", photo())
    made = client.post("/api/photos/move", {"moves": [{"from": place("mug", "1.jpg"), "to": target}]})
    assert made["moves"] == []
    assert client.names("mug") == ["1.jpg"]


def test_the_bin_is_emptied_only_with_the_number_that_was_seen(client: Client) -> None:
    for n in range(3):
        client.upload("mug", f"{n}.jpg", photo(n))
    client.post(
        "/api/photos/move", {"moves": [{"from": place("mug", "0.jpg"), "to": place("mug", "0.jpg", True)}]}
    )
    assert client.get("/api/state")["bin"] == [{"label": "mug", "photos": 1}]
    assert "holds 1" in client.refusal("/api/bin/empty", {"count": 3})
    assert client.names("mug", binned=True) == ["0.jpg"]
    assert client.post("/api/bin/empty", {"count": 1}) == {"deleted": 1}
    assert client.get("/api/state")["bin"] == []
    assert client.names("mug") == ["1.jpg", "2.jpg"]


def test_classes_are_renamed_and_removed_into_the_bin(client: Client) -> None:
    client.upload("mug", "1.jpg", photo())
    client.post("/api/classes/add", {"label": "key"})
    assert "already" in client.refusal("/api/classes/rename", {"label": "mug", "new_label": "key"})
    client.post("/api/classes/rename", {"label": "mug", "new_label": "cup"})
    assert client.names("cup") == ["1.jpg"]
    (client.photos / "cup" / "notes.txt").write_text("mine")
    client.post("/api/classes/remove", {"label": "cup"})
    assert client.names("cup", binned=True) == ["1.jpg"]
    assert (client.photos / "cup" / "notes.txt").read_text() == "mine", "what is no photo stays"


def test_what_others_change_is_told(client: Client) -> None:
    client.upload("mug", "1.jpg", photo())
    listens, told = threading.Event(), threading.Event()

    def listen() -> None:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        connection.request("GET", "/api/events")
        for line in io.TextIOWrapper(connection.getresponse()):
            listens.set()
            if line.startswith("event: folder"):
                told.set()
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert listens.wait(60)
    shutil.copy(client.photos / "mug" / "1.jpg", client.photos / "mug" / "2.jpg")
    assert told.wait(60)
    assert client.names("mug") == ["1.jpg", "2.jpg"]
    shutil.rmtree(client.photos / "mug")
    assert client.get("/api/state")["classes"] == []


def test_a_folder_of_class_folders_is_not_taken_for_a_studio(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(photo())
    from edgenet.errors import EdgenetError

    with pytest.raises(EdgenetError, match="holds photos itself"):
        Places.open(tmp_path)
