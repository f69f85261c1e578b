"""Events from end to end: camera.py with a film, and what its sinks got."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.events.event import ENTRIES, EventMaker, check_event
from edgenet_device.events.hub import EventHub
from edgenet_device.events.log_file import LogSink
from edgenet_device.events.options import OPTIONS, add_event_options, event_options
from edgenet_device.events.watcher import KINDS, EventWatcher, HoldTimes
from edgenet_device.live.run import EventOutput
from model_files import ROOT, Run

TIMES = ("--smooth", 0, "--hold", 0.2, "--release", 0.2)


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_film_becomes_events(run_copied: Run, tiny_bundle: Path, video: Path, tmp_path: Path) -> None:
    """Ten frames each of red, green and blue, at ten frames a second."""
    program = "import os; open('acted', 'a').write(os.environ['EDGENET_KIND'] + os.environ['EDGENET_SECONDS'] + ' ')"
    command = shlex.join([sys.executable, "-c", program])
    done = run_copied(
        *("camera.py", tiny_bundle, video, "--json", *TIMES, "--log", "events.jsonl", "--log", "events.csv"),
        *("--on-label", "green", "--on-label", "green:0.5", "--exec", command),
    )
    assert done.returncode == 0, done.stderr
    events = lines_of(tmp_path / "events.jsonl")
    for event in events:
        check_event(event)
    assert [(event["kind"], event["label"], event["seconds"]) for event in events] == [
        ("entered", "red", None),
        ("left", "red", 0.9),
        ("entered", "green", None),
        ("held", "green", 0.5),
        ("left", "green", 0.9),
        ("entered", "blue", None),
    ]
    assert [event["frame"] for event in events[:3]] == [3, 13, 13]
    assert len((tmp_path / "events.csv").read_text().splitlines()) == 7
    assert (tmp_path / "acted").read_text() == "entered held0.5 "
    start, *frames, summary = map(json.loads, done.stdout.splitlines())
    assert (start["type"], summary["type"]) == ("start", "summary")
    for frame in frames:
        assert datetime.fromisoformat(frame["time"].replace("Z", "+00:00")).year >= 2025
    assert frames[0]["monotonic_s"] <= frames[-1]["monotonic_s"]


def test_a_command_that_fails_is_told_and_disturbs_nothing(
    run_copied: Run, tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    done = run_copied(
        *("camera.py", tiny_bundle, video, *TIMES, "--log", "events.jsonl"),
        *("--on-label", "red", "--exec", "false"),
    )
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["note: --exec false: it ended with the status 1"]
    assert len(lines_of(tmp_path / "events.jsonl")) == 5


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--on-label", "gren", "--exec", "true"), 1, "the model has no label 'gren'; the nearest: 'green'"),
        (("--exec", "true"), 2, "give --on-label LABEL before --exec CMD"),
        (
            ("--on-label", "green", "--gpio", "17=red"),
            1,
            "--on-label green: no option says what happens then",
        ),
        (("--webhook", "http://127.0.0.1:9/", "--webhook-secret", "none"), 1, "cannot read none"),
    ],
)
def test_a_wrong_option_is_one_line(
    run_copied: Run, tiny_bundle: Path, video: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    done = run_copied("camera.py", tiny_bundle, video, *arguments)
    assert done.returncode == status
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


class Condition:
    """Stands in for the live camera's status."""

    lost: str | None = None
    throttled_by: tuple[str, ...] = ()


def test_the_camera_s_and_the_device_s_troubles_become_events(tmp_path: Path) -> None:
    condition, log = Condition(), tmp_path / "log.jsonl"
    with EventHub([LogSink(log, 10**6)], lambda *one: None) as hub:
        watcher = EventWatcher(HoldTimes(0.0, 1.0))
        output = EventOutput(watcher, EventMaker("m", "0"), hub, condition)
        now = time.perf_counter()
        frame = {"type": "frame", "label": "cat", "score": 0.9}
        output.show({**frame, "moment_s": now, "frame": 1}, np.zeros((2, 2, 3), np.uint8))
        condition.lost, condition.throttled_by = "the camera was unplugged", ("under-voltage",)
        output.show({"type": "silent", "silent_s": 1.0}, None)
        condition.lost, condition.throttled_by = None, ()
        output.show({**frame, "moment_s": now + 60, "frame": 2}, np.zeros((2, 2, 3), np.uint8))
    events = lines_of(log)
    assert [(event["kind"], event["frame"], event["detail"]) for event in events] == [
        ("entered", 1, None),
        ("camera_lost", None, "the camera was unplugged"),
        ("throttled", None, "under-voltage"),
        ("camera_back", 2, None),
        ("unthrottled", 2, None),
    ]
    assert 59 < events[3]["seconds"] <= 60


def test_the_page_lists_every_entry_and_every_kind() -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")

    def first_column(heading: str) -> list[str]:
        part = page.partition(f"## {heading}")[2].partition("\n## ")[0]
        return re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)

    assert first_column("When something happens") == list(KINDS)
    assert first_column("What an event contains") == list(ENTRIES)
    example = page.partition("```json\n")[2].partition("```")[0]
    check_event(json.loads(example))
    options = {f"--{one.name}" for one in OPTIONS}
    assert {option for option in options if f"`{option}" not in page} == set()


def test_the_labels_before_a_command_are_its_own() -> None:
    shape = argparse.ArgumentParser()
    add_event_options(shape)
    words = "--on-label a --exec x --on-label b --on-label c:2 --exec y --on-label d --log l --hold 2"
    options = event_options(shape, shape.parse_args(words.split()))
    assert options.pairs == ((("a",), "x"), (("b", "c:2"), "y"))
    assert options.on_label == ("a", "b", "c:2", "d")
    assert (options.hold, options.release, options.log, options.webhook) == (2.0, 1.0, (Path("l"),), ())
    assert set(options.values) == {one.field for one in OPTIONS}
