"""`camera.py` and its parts: the newest frame, frames that come back, smoothed scores, the page for any browser."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.classifier import Classifier
from edgenet_device.frames import Frame
from edgenet_device.frames import source as source_room
from edgenet_device.frames.files import read_frames
from edgenet_device.frames.source import EveryFrame, NewestFrame, reopened_frames
from edgenet_device.live.loop import (
    GIVE_UP,
    STAY,
    FrameResult,
    LabelOptions,
    Smoother,
    SteadyAnswer,
    classify_frames,
)
from edgenet_device.live.outputs import screen_lines
from edgenet_device.live.page import LivePage
from edgenet_device.model_file import open_model
from edgenet_device.source_text import is_live
from edgenet_device.web.address import parse_address
from model_files import Run

from edgenet.errors import EdgenetError

GREY = np.full((48, 64, 3), 128, np.uint8)


# The newest frame -----------------------------------------------------------------------------------------------


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    given, more = threading.Event(), threading.Event()

    def frames() -> Iterator[Frame]:
        buffer = np.empty_like(GREY)  # one buffer for all, as a camera has it
        for number in range(5):
            buffer[:] = number
            yield Frame(f"f{number}", buffer)
        given.set()
        more.wait(60)
        buffer[:] = 9
        yield Frame("last", buffer)

    with NewestFrame(frames()) as newest:
        assert given.wait(60)
        first = newest.take()
        assert first is not None
        assert (first.name, first.missed, int(first.pixels.max())) == ("f4", 4, 4)
        more.set()
        last = newest.take()
        assert last is not None
        assert (last.name, last.missed, int(last.pixels.min())) == ("last", 0, 9)
        assert int(first.pixels.max()) == 4  # still what it was: the camera writes elsewhere
        assert newest.take() is None


def test_a_source_that_fails_is_reported() -> None:
    def failing() -> Iterator[Frame]:
        yield Frame("one", GREY)
        raise EdgenetError("the camera stopped", "look")

    with NewestFrame(failing()) as newest:
        assert newest.take() is not None
        with pytest.raises(EdgenetError, match="the camera stopped"):
            newest.take()


def test_silence_is_reported_until_a_frame_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_room, "SILENCE_SECONDS", 0.05)
    silences: list[float] = []

    def late() -> Iterator[Frame]:
        while len(silences) < 3:
            time.sleep(0.01)
        yield Frame("late", GREY)

    with NewestFrame(late(), silences.append) as newest:
        taken = newest.take()
    assert taken is not None
    assert taken.name == "late"
    assert silences == sorted(silences)


def test_every_frame_of_a_file_is_seen(video: Path) -> None:
    names = []
    with EveryFrame(read_frames(str(video))) as frames:
        while (taken := frames.take()) is not None:
            names.append(taken.name)
    assert len(names) == 30


# A source that comes back ---------------------------------------------------------------------------------------


def test_a_camera_that_is_unplugged_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_room, "PAUSES", (0.01,))
    opened, notes = [], []

    def open_frames() -> Iterator[Frame]:
        opened.append(len(opened))
        if len(opened) in (2, 3):
            raise EdgenetError("there is no camera /dev/video0", "plug it in")

        def frames() -> Iterator[Frame]:
            yield Frame(f"{len(opened)}", GREY)
            if len(opened) < 4:
                raise EdgenetError("camera 0 stopped", "check its cable")

        return frames()

    names = [frame.name for frame in reopened_frames(open_frames, notes.append)]
    assert names == ["1", "4"]
    assert notes == [
        "camera 0 stopped; check its cable; trying again",
        "there is no camera /dev/video0; plug it in; trying again",  # once, though it was tried twice
        "the camera is back",
    ]


def test_fifty_disconnects_lose_no_frame_and_no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a camera with a loose cable: the frames before each failure are seen, and everything is closed."""
    monkeypatch.setattr(source_room, "PAUSES", (0.001,))
    opened = closed = 0
    notes: list[str] = []

    def open_frames() -> Iterator[Frame]:
        nonlocal opened, closed
        opened += 1
        try:
            for number in range(3):
                yield Frame(f"{opened}.{number}", GREY)
            if opened <= 50:
                raise EdgenetError("camera 0 stopped", "check its cable")
        finally:
            closed += 1

    names = [frame.name for frame in reopened_frames(open_frames, notes.append)]
    assert names == [f"{camera}.{number}" for camera in range(1, 52) for number in range(3)]
    assert (opened, closed) == (51, 51)
    assert notes.count("the camera is back") == 50


def test_a_camera_that_never_worked_is_an_error() -> None:
    def broken() -> Iterator[Frame]:
        raise EdgenetError("there is no camera", "plug it in")

    with pytest.raises(EdgenetError, match="there is no camera"):
        next(reopened_frames(broken, print))


def test_waiting_ends_when_the_program_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_room, "PAUSES", (3600.0,))
    stop = threading.Event()

    def frames() -> Iterator[Frame]:
        yield Frame("one", GREY)
        stop.set()
        raise EdgenetError("gone", "back?")

    assert len(list(reopened_frames(frames, lambda text: None, stop))) == 1


# Scores ---------------------------------------------------------------------------------------------------------


def test_half_of_what_was_is_left_after_a_half_life() -> None:
    smoother, zero, one = Smoother(0.5), np.zeros(2, np.float32), np.ones(2, np.float32)
    smoother.update(zero, 0)
    np.testing.assert_allclose(smoother.update(one, 500_000_000), 0.5)
    np.testing.assert_allclose(smoother.update(one, 1_000_000_000), 0.75)
    # Twice as many frames in the same time give the same result.
    slow, fast = Smoother(0.5), Smoother(0.5)
    slow.update(zero, 0)
    fast.update(zero, 0)
    for number in range(1, 5):
        fast.update(one, number * 100_000_000)
    np.testing.assert_allclose(slow.update(one, 400_000_000), fast.update(one, 400_000_000), rtol=1e-6)


def test_no_memory() -> None:
    smoother = Smoother(0)
    smoother.update(np.ones(2, np.float32), 0)
    assert smoother.update(np.zeros(2, np.float32), 1).max() == 0


# The answer -----------------------------------------------------------------------------------------------------

FRAME_NS = 50_000_000  # 20 frames/s


def answers(steady: SteadyAnswer, rows: list[list[float]]) -> list[int | None]:
    return [
        steady.update(np.array(row, np.float32), 10**9 + number * FRAME_NS) for number, row in enumerate(rows)
    ]


def flips(seen: list[int | None]) -> int:
    """How often a class gave way to nothing."""
    return sum(before is not None and after is None for before, after in itertools.pairwise(seen))


def test_without_smoothing_every_frame_has_its_own_answer() -> None:
    rows = [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [0.6, 0.4], [0.45, 0.55]]
    assert answers(SteadyAnswer(("a", "b"), 0.58, 0), rows) == [0, 1, None, 0, None]


def test_a_score_around_the_threshold_does_not_flicker() -> None:
    generator = np.random.default_rng(0)
    scores = 0.3 + 0.05 * generator.standard_normal(100)
    rows = [[score, 0.2, 0.5 - score] for score in scores.tolist()]
    plain = answers(SteadyAnswer("abc", 0.3, 0), rows)
    steady = answers(SteadyAnswer("abc", 0.3, 0.3), rows)
    assert flips(plain) > 10
    assert flips(steady) == 0
    assert 0 in steady  # it is not steady by saying nothing at all


def test_another_class_is_shown_after_the_hold_and_a_short_one_never() -> None:
    one, other = [0.9, 0.1], [0.1, 0.9]
    seen = answers(SteadyAnswer("ab", 0.3, 0.3), [one] * 5 + [other] * 3 + [one] * 5 + [other] * 10)
    assert seen == [0] * 19 + [1] * 4  # the sixth frame after the change comes 0.3 s after it


def test_the_networks_own_output_for_unknown_things_is_obeyed() -> None:
    labels = ("a", "b", "nothing I know")
    assert answers(SteadyAnswer(labels, 0.0, 0), [[0.3, 0.2, 0.5], [0.5, 0.2, 0.3]]) == [None, 0]
    close, far = [0.4, 0.05, 0.55], [0.2, 0.05, 0.75]
    assert close[0] >= STAY * close[2]
    seen = answers(SteadyAnswer(labels, 0.3, 0.3), [[0.9, 0.05, 0.05]] + [close] * 20 + [far] * 20)
    assert seen[:27] == [0] * 27
    assert set(seen[27:]) == {None}


def test_a_class_that_is_gone_does_not_stay_because_the_answers_keep_changing() -> None:
    first, *others = np.eye(3)
    rows = [first.tolist()] + [others[number % 2].tolist() for number in range(60)]
    seen = answers(SteadyAnswer("abc", 0.3, 0.3), rows)
    gone = seen.index(None)
    assert gone * FRAME_NS / 1e9 == pytest.approx(GIVE_UP * 0.3)
    assert set(seen[:gone]) == {0}


# The terminal ---------------------------------------------------------------------------------------------------


def test_a_screen_fits_its_terminal() -> None:
    top = ((0, "a label that is much longer than any terminal is wide " * 2, 0.9), (1, "short", 0.1))
    seen = FrameResult(
        7, "0#6", GREY, top, top[0][1], top[0][2], (0, 100_000, 2_000_000, 100_000), 3, 29.97, 5.25
    )
    state = {"temperature": 61.2, "warnings": ["under-voltage"], "lost": None}
    for columns in (40, 80, 200):
        lines = [
            line.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
            for line in screen_lines({**seen.as_dict(), **state}, columns)
        ]
        assert max(map(len, lines)) <= columns
        assert "! under-voltage" in lines
    assert "30.0 frames/s · 5.2 ms from frame to label · 3 frames skipped · 61 °C" in "\n".join(lines)


def test_a_film_gets_the_same_answers_however_fast_it_is_classified(tiny_bundle: Path, video: Path) -> None:
    """Smoothing counts in the film's own time: a slow machine must not see another film than a fast one."""

    def answers(pause_s: float) -> list[tuple[str | None, float | None]]:
        source = EveryFrame(read_frames(str(video)))
        take = source.take
        source.take = lambda: time.sleep(pause_s) or take()  # type: ignore[method-assign]
        options = LabelOptions(half_life_s=0.2, threshold=0.4)
        classifier = Classifier(open_model(tiny_bundle))
        return [(seen.label, seen.score) for seen in classify_frames(classifier, source, options)]

    quick, slow = answers(0), answers(0.03)
    assert quick == slow
    assert len({label for label, _ in quick}) > 1


# The script -----------------------------------------------------------------------------------------------------


def test_every_frame_as_json(run_copied: Run, tiny_bundle: Path, video: Path) -> None:
    done = run_copied("camera.py", tiny_bundle, video, "--json", "--smooth", 0, "--threshold", 0.5)
    assert done.returncode == 0, done.stderr
    start, *lines, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert start["type"] == "start"
    assert [line["label"] for line in lines] == ["red"] * 10 + ["green"] * 10 + ["blue"] * 10
    assert set(lines[0]["ms"]) == {"capture", "preprocess", "inference", "postprocess"}
    assert lines[-1]["frame"] == 30
    assert summary["type"] == "summary"
    assert (summary["frames"], set(summary["stages"])) == (30, set(lines[0]["ms"]))


def test_without_a_terminal_a_line_for_each_change(run_copied: Run, tiny_bundle: Path, video: Path) -> None:
    done = run_copied("camera.py", tiny_bundle, video, "--smooth", 0)
    seen, _, summary = done.stdout.partition("\n\n")
    assert [line.split(":")[1].split()[0] for line in seen.splitlines()] == ["red", "green", "blue"]
    assert summary.startswith("stage ")
    unsure = run_copied("camera.py", tiny_bundle, video, "--threshold", 1, "--frames", 3)
    seen = unsure.stdout.partition("\n\n")[0]
    assert [line.split(":  ")[1] for line in seen.splitlines()] == ["nothing I know"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-camera-here",), "no-camera-here does not exist"),
        (("97",), "there is no camera /dev/video97"),
        (("nothing://127.0.0.1/x",), "nothing://127.0.0.1/x is not the URL of a stream"),
        (("0", "--serve", "127.0.0.1:99999"), "is not an address to serve at"),
        (("0", "--serve", "203.0.113.7"), "cannot serve at 203.0.113.7:8080"),
    ],
)
def test_an_unusable_input_is_one_line(
    run_copied: Run, tiny_bundle: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run_copied("camera.py", tiny_bundle, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_live() -> None:
    assert is_live("rtsp://cam/live")
    assert is_live("/dev/video0")
    assert not is_live("clip.mp4")


# The page -------------------------------------------------------------------------------------------------------


@pytest.fixture
def page() -> Iterator[LivePage]:
    with LivePage(parse_address("0")) as served:
        yield served


def ask(page: LivePage, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    link = http.client.HTTPConnection("127.0.0.1", page.address.port, timeout=60)
    link.request("GET", path, headers=headers)
    answer = link.getresponse()
    status, body = answer.status, answer.read().decode()
    link.close()
    return status, body, dict(answer.getheaders())


def stream(page: LivePage, path: str, count: int) -> bytes:
    """Return the first `count` bytes of an endless answer."""
    link = http.client.HTTPConnection("127.0.0.1", page.address.port, timeout=60)
    link.request("GET", path)
    body = link.getresponse().read(count)
    link.close()
    return body


def keep_showing(page: LivePage, state: dict[str, object], stop: threading.Event) -> threading.Thread:
    def run() -> None:
        while not stop.wait(0.02):
            page.show(state, GREY)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_the_page_its_events_and_its_picture(page: LivePage) -> None:
    stop = threading.Event()
    thread = keep_showing(page, {"label": "<b>owl</b>"}, stop)
    status, body, headers = ask(page, "/")
    assert status == 200
    assert "<title>edgenet live</title>" in body
    assert "http://" not in body.replace("http://www.w3.org", "")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].count("'sha256-") == 2
    assert stream(page, "/events", 20).startswith(b'data: {"label": "<b>')
    part = stream(page, "/picture", 2000)
    head, _, jpeg = part.partition(b"\r\n\r\n")
    assert b"image/jpeg" in head
    length = int(head.split(b"Content-Length: ")[1])
    picture = cv2.imdecode(np.frombuffer(jpeg[:length], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == GREY.shape
    assert ask(page, "/other")[0] == 404
    stop.set()
    thread.join()


def test_numbers_that_browsers_refuse_become_null(page: LivePage) -> None:
    stop = threading.Event()
    thread = keep_showing(page, {"fps": float("inf"), "score": float("nan")}, stop)
    assert stream(page, "/events", 36) == b'data: {"fps": null, "score": null}\n\n'
    stop.set()
    thread.join()


def test_twenty_browsers_of_which_some_stall(page: LivePage) -> None:
    stop = threading.Event()
    thread = keep_showing(page, {"label": "owl"}, stop)
    stalled = []
    for _ in range(5):
        link = socket.create_connection(("127.0.0.1", page.address.port))
        link.sendall(b"GET /picture HTTP/1.1\r\nHost: localhost\r\n\r\n")  # and nothing is ever read
        stalled.append(link)
    results: list[bytes] = []
    readers = [
        threading.Thread(target=lambda: results.append(stream(page, "/picture", 4000))) for _ in range(20)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert [len(result) for result in results] == [4000] * 20
    for link in stalled:
        link.close()
    stop.set()
    thread.join()


def test_another_site_s_name_is_refused(page: LivePage) -> None:
    assert ask(page, "/", Host="evil.example")[0] == 403
    assert ask(page, "/events", Host=f"localhost:{page.address.port}x.evil.example")[0] == 403


def test_beyond_this_machine_a_token_is_asked_for() -> None:
    with LivePage(parse_address("0.0.0.0:0")) as page:
        token = page.address.token
        assert token is not None
        assert f"?token={token}" in page.address.url()
        assert ask(page, "/")[0] == 403
        assert ask(page, "/?token=guess")[0] == 403
        status, _, headers = ask(page, f"/?token={token}", Host="pi.local")
        assert status == 200
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert ask(page, "/other", Cookie=cookie.split(";")[0])[0] == 404  # let in, and nothing there
        assert ask(page, "/other")[0] == 403


def test_a_stream_that_starts_after_the_program_is_waited_for(
    copied_scripts: Path, tiny_bundle: Path, video: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    url = f"http://127.0.0.1:{port}/{video.name}"
    command = [sys.executable, "-E", "-s", str(copied_scripts / "camera.py"), str(tiny_bundle), url]
    with subprocess.Popen(
        [*command, "--json", "--frames", "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith(f"note: no video comes from {url}; check the address")
        serving = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
        with subprocess.Popen(serving, cwd=video.parent, stderr=subprocess.DEVNULL) as server:
            out, told = running.communicate(timeout=60)
            server.terminate()
    assert running.returncode == 0, told
    assert "the camera is back" in told
    assert json.loads(out.splitlines()[-1])["frames"] == 3


def test_served_live_and_ended_by_sigterm(
    copied_scripts: Path, tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    """A stream made of a video by an HTTP server: what a phone's browser would see, and how a service is stopped."""
    serving = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(
        serving, cwd=video.parent, stdout=subprocess.PIPE, text=True, env={"PYTHONUNBUFFERED": "1"}
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        url = f"http://127.0.0.1:{port}/{video.name}"
        command = [sys.executable, "-E", "-s", str(copied_scripts / "camera.py"), str(tiny_bundle), url]
        with subprocess.Popen(
            [*command, "--serve", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            assert running.stderr.readline().startswith("live page: http://127.0.0.1:")
            assert json.loads(running.stdout.readline())["type"] == "start"
            first = json.loads(running.stdout.readline())
            assert first["top"][0]["label"] in {"red", "green", "blue"}
            # The stream ends with the video; the end is reported and the stream is opened again.
            assert f"the stream {url} stopped after" in running.stderr.readline()
            assert "the camera is back" in running.stderr.readline()
            running.send_signal(signal.SIGTERM)
            assert json.loads(running.stdout.read().splitlines()[-1])["type"] == "summary"
        assert running.returncode == 128 + signal.SIGTERM
        server.terminate()
