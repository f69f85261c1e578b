"""Child processes of the studio: progress, results and errors; a teaching that is stopped, and one that goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from edgenet_device.web.address import Address
from studio_client import Client, photo

from edgenet.studio_app import teaching
from edgenet.studio_app.events import Events
from edgenet.studio_app.jobs import Job, Jobs, _take_line
from edgenet.studio_app.server import StudioServer
from edgenet.workflows.studio import open_studio


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_command_gives_its_json_or_its_error() -> None:
    jobs, ended = Jobs(Events()), list[Job]()
    jobs.start("models", ["models"], on_end=ended.append)
    jobs.start("fetch", ["fetch", "no-such-network"], on_end=ended.append)
    wait_for(lambda: len(ended) == 2)
    models, fetch = sorted(ended, key=lambda job: job.kind, reverse=True)
    assert (models.state, type(models.result)) == ("done", list)
    assert (fetch.state, "no-such-network" in fetch.error) == ("failed", True)
    jobs.close()


def test_whoever_sees_that_a_job_has_ended_may_start_the_next_one() -> None:
    jobs, goes_on = Jobs(Events()), threading.Event()
    job = jobs.start("models", ["models"], on_end=lambda job: goes_on.wait(60) and None)
    wait_for(lambda: job.state == "done")
    assert job.as_json()["ended"] is None, "what follows its end is not done yet"
    jobs.stop("models")
    assert job.state == "done", "there is nothing left to stop"
    goes_on.set()
    wait_for(lambda: job.as_json()["ended"])
    jobs.start("models", ["models"])
    jobs.close()


def test_a_job_may_end_after_the_server() -> None:
    events = Events()

    async def listen() -> None:
        async for _ in events.follow(lambda: []):
            return

    with ThreadPoolExecutor(1) as pool:  # a loop of the browser's tests may still run in this thread
        pool.submit(asyncio.run, listen()).result(timeout=60)
    events.publish("job", {"state": "done"})  # nobody hears it, and nothing fails


def test_lines_of_a_command() -> None:
    job = Job(1, "teach", {})
    assert _take_line(job, '{"stage": "computing features", "done": 3, "total": 9}') == ""
    assert (job.stage, job.done, job.total) == ("computing features", 3, 9)
    assert _take_line(job, '{"log": "first classifier after 3 s"}') == "first classifier after 3 s"
    _take_line(job, '{"stage": 5, "done": "x"}')
    _take_line(job, '{"log": {"a": 1}}')
    _take_line(job, "\x1b[2Ja terminal's command")
    _take_line(job, "edgenet: it failed; do this")
    assert job.error == "it failed; do this"
    assert job.lines == ["first classifier after 3 s", "[2Ja terminal's command"]


@pytest.mark.parametrize(
    ("minutes", "flags"),
    [
        (0, []),
        (-1, []),
        ("5", []),
        (True, []),
        (1e9, []),
        (float("nan"), []),
        (5, ["--out"]),
        (5, "x"),
        (5, None),
    ],
)
def test_a_wish_is_checked(minutes: object, flags: object) -> None:
    with pytest.raises(ValueError, match=r"minutes|option"):
        teaching.Wish.of(minutes, flags)


def test_only_the_quick_classifier_takes_no_time_for_more() -> None:
    assert teaching.Wish.of(10, ["--no-flip"]).arguments() == ["--minutes", "10", "--no-flip"]
    assert teaching.Wish.of(10, ["--no-finetune"]).arguments() == ["--minutes", "1", "--no-finetune"]


def test_teaching_needs_two_classes(client: Client) -> None:
    wish = {"minutes": 1, "flags": []}
    assert "no classes" in client.refusal("/api/teach", wish)
    client.upload("mug", "1.jpg", photo())
    assert "1 class with photos" in client.refusal("/api/teach", wish)
    assert not client.studio.places.runs.exists()


@pytest.mark.slow
def test_a_teaching_goes_on_at_the_next_start_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    first = open_studio(tmp_path / "things", ("--resolution", "32"))
    with StudioServer(first, Address("127.0.0.1", 0, None)) as server:
        client = Client(first, server.address.port)
        for label in ("mug", "key"):
            client.upload(label, "1.jpg", photo(len(label)))
        run = client.post("/api/teach", {"minutes": 7, "flags": ["--no-flip"]})["about"]["run"]
        assert "running already" in client.refusal("/api/teach", {"minutes": 7, "flags": []})
    mark = first.places.runs / run / teaching.MARK
    assert mark.read_text() == "--minutes 7 --no-flip\n", "the server ended in the middle"
    second = open_studio(tmp_path / "things", ("--resolution", "32"))
    with StudioServer(second, Address("127.0.0.1", 0, None)) as server:
        client = Client(second, server.address.port)
        job = client.get("/api/state")["jobs"]["teach"]
        assert (job["about"]["run"], job["state"]) == (run, "running")
        client.post("/api/teach/stop", {})
        wait_for(lambda: client.get("/api/state")["jobs"]["teach"]["ended"])
        assert client.get("/api/state")["jobs"]["teach"]["state"] == "stopped"
        assert not mark.exists(), "stopped by the user: the next start does not go on"


def test_a_mark_that_says_nonsense_is_no_teaching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    studio = open_studio(tmp_path / "things")
    for name, text in (("a", b"--minutes 5"), ("b", b"--minutes 5 --out /etc"), ("c", b"\xff" * 50)):
        (studio.places.runs / name).mkdir(parents=True)
        (studio.places.runs / name / teaching.MARK).write_bytes(text)
    teaching.resume(studio)
    assert studio.jobs.latest() == []
    assert list(studio.places.runs.glob("*/*")) == []
