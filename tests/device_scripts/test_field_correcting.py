"""The live page's requests by which a person corrects an answer: who may send them, and what becomes of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgenet_device.field.keeper import PhotoKeeper
from edgenet_device.field.kept_photos import KeptPhotos
from edgenet_device.field.photo_facts import read_facts
from edgenet_device.frames.photos import read_photo
from edgenet_device.live.field_output import FieldOutputs
from edgenet_device.live.page import MOST_FROZEN, LivePage
from edgenet_device.web.address import parse_address

FRAME = np.full((48, 64, 3), (40, 160, 90), np.uint8)
STATE = {
    "type": "frame",
    "label": "cat",
    "top": [{"index": 0, "label": "cat", "score": 0.75}],
    "moment_s": 1.0,
}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[LivePage]:
    photos = KeptPhotos(tmp_path / "kept", 10**6)
    keeper = PhotoKeeper(photos, (Path("m.edgenet"), "0"), ["cat", "dog"], lambda part, why: None)
    with LivePage(parse_address("0"), FieldOutputs(keeper)) as served:
        yield served


def ask(page: LivePage, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    port = page.address.port
    given = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}", **headers}
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, {} if body is None else given)
    answer = connection.getresponse()
    status, found = answer.status, answer.read()
    connection.close()
    return status, found


def post(page: LivePage, path: str, body: Any, **headers: str) -> tuple[int, bytes]:
    nonce = ask(page, "GET", "/nonce")[1].decode().strip()
    return ask(page, "POST", path, body, **{"X-Edgenet-Nonce": nonce, **headers})


def shown(page: LivePage, pixels: np.ndarray = FRAME) -> None:
    """Show a frame as a page with a viewer does."""
    page._count_viewers(1)
    page.show(STATE, pixels)
    page._count_viewers(-1)


def frozen(page: LivePage) -> str:
    status, body = post(page, "/freeze", {})
    assert status == 200, body
    return str(json.loads(body)["id"])


def test_the_picture_of_the_moment_is_kept_with_what_the_person_says(page: LivePage, tmp_path: Path) -> None:
    assert post(page, "/freeze", {}) == (409, b"there is no picture yet\n")
    shown(page)
    name = frozen(page)
    shown(page, np.zeros_like(FRAME))  # the camera goes on
    status, picture = ask(page, "GET", f"/frozen?{name}")
    assert status == 200
    assert np.abs(read_photo(picture).astype(int) - FRAME).max() < 8
    assert post(page, "/correct", {"id": name, "said": "coffee cup"}) == (200, b"kept as coffee cup\n")
    (kept,) = (tmp_path / "kept").iterdir()
    facts = read_facts(kept.read_bytes())
    assert (facts.reason, facts.label, facts.said, facts.top) == (
        "marked",
        "cat",
        "coffee cup",
        (("cat", 0.75),),
    )
    assert np.abs(read_photo(kept).astype(int) - FRAME).max() < 8
    assert post(page, "/correct", {"id": name, "said": "dog"})[0] == 410
    assert json.loads(ask(page, "GET", "/labels")[1]) == {"labels": ["cat", "dog"]}


@pytest.mark.parametrize(
    "said", ["../../etc/passwd", "<img src=x>", "", "a" * 81, "a\x00b", None, 7, ["dog"]]
)
def test_a_hostile_label_writes_nothing(page: LivePage, tmp_path: Path, said: Any) -> None:
    shown(page)
    status, _ = post(page, "/correct", {"id": frozen(page), "said": said})
    assert status in (400, 422)
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"id": "x", "said": "dog"}', b"[" * 2000])
def test_another_body_is_refused(page: LivePage, body: bytes) -> None:
    assert post(page, "/correct", body)[0] == 400


@pytest.mark.parametrize("path", ["/freeze", "/correct"])
def test_only_the_page_itself_may_send(page: LivePage, path: str) -> None:
    shown(page)
    assert ask(page, "POST", path, {})[0] == 403  # no nonce
    assert post(page, path, {}, Origin="http://elsewhere.example")[0] == 403
    assert post(page, path, {}, **{"Content-Type": "text/plain"})[0] == 415
    assert post(page, path, {"id": "x" * 3000})[0] == 413
    assert ask(page, "GET", path)[0] == 404


def test_pictures_that_nobody_names_take_no_memory_for_ever(page: LivePage) -> None:
    shown(page)
    names = [frozen(page) for _ in range(MOST_FROZEN + 2)]
    found = [ask(page, "GET", f"/frozen?{name}")[0] for name in names]
    assert found == [404, 404, *[200] * MOST_FROZEN]


def test_without_the_option_there_is_nothing_to_ask(tmp_path: Path) -> None:
    with LivePage(parse_address("0")) as page:
        assert ask(page, "GET", "/labels")[0] == ask(page, "GET", "/frozen?1")[0] == 404
        assert post(page, "/freeze", {})[0] == 404
        assert json.loads(ask(page, "GET", "/days")[1]) == {"correcting": False}


def test_two_people_at_once(page: LivePage, tmp_path: Path) -> None:
    shown(page)
    names = [frozen(page) for _ in range(MOST_FROZEN)]
    threads = [
        threading.Thread(target=post, args=(page, "/correct", {"id": name, "said": "dog"})) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list((tmp_path / "kept").iterdir())) == MOST_FROZEN
