"""The hub and its sinks: every sink in its own thread, each failing alone; the command, the log, the disk queue."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgenet_device.errors import EdgenetError
from edgenet_device.events import event as events
from edgenet_device.events import hub
from edgenet_device.events.command import MOST_OUTPUT, CommandSink, facts_of, run_command
from edgenet_device.events.disk_queue import LEAST_BYTES, DiskQueue
from edgenet_device.events.event import Event, EventMaker, check_event, read_event
from edgenet_device.events.hub import EventHub, Picture, Sink
from edgenet_device.events.log_file import KEPT_FILES, LogSink
from edgenet_device.events.watcher import Happening, Trigger

MAKER = EventMaker("tiny.edgenet", "0" * 64)
ENTERED = Happening("entered", "great tit", 0.91)


def entered() -> Event:
    return MAKER.make(ENTERED, 7)


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


class Told:
    """What the hub told about its sinks."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str | None]] = []

    def __call__(self, name: str, reason: str | None) -> None:
        self.lines.append((name, reason))


class Kept(Sink):
    """Keeps events; fails, or waits, as long as a test wants it to."""

    def __init__(self, name: str = "kept", wants_pictures: bool = False) -> None:
        self.name, self.wants_pictures = name, wants_pictures
        self.events: list[tuple[Event, Picture]] = []
        self.fails: Exception | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.tried = 0
        self.closed = False

    def deliver(self, event: Event, picture: Picture) -> None:
        self.goes_on.wait()
        fails, self.tried = self.fails, self.tried + 1
        if fails is not None:
            raise fails
        self.events.append((event, picture))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PAUSES", (0.01,))


# The event ------------------------------------------------------------------------------------------------------


def test_an_event_is_what_its_schema_says() -> None:
    for kind in ("entered", "unknown", "camera_lost"):
        made = MAKER.make(Happening(kind, seconds=1 / 3, detail="why\nnot"), None)
        check_event(json.loads(made.line()))
        assert read_event(made.line().encode()) == made.entries
        assert made.entries["detail"] == "why not"
    first, second = entered(), entered()
    assert second.entries["sequence"] == first.entries["sequence"] + 1
    assert first.id != second.id
    assert EventMaker("x", "y").make(ENTERED, 1).id != EventMaker("x", "y").make(ENTERED, 1).id


def test_a_clock_of_1970_is_said_and_the_order_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    assert entered().entries["clock_set"] is True
    monkeypatch.setattr(events.time, "time", lambda: 12.5)
    early, late = entered().entries, entered().entries
    assert early["time"] == "1970-01-01T00:00:12.500Z"
    assert early["clock_set"] is False
    assert early["monotonic_s"] <= late["monotonic_s"]
    assert early["boot"] == late["boot"]
    check_event(early)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "edgenet.event.v2"}, {"kind": "seen"}, {"id": ""}, {"id": 7}, {"sequence": 0}, {"sequence": True},
        {"score": 1.1}, {"seconds": -1}, {"clock_set": 1}, {"time": "yesterday"}, {"label": 3}, {"monotonic_s": None},
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EdgenetError):
        check_event({**entered().entries, **change})
    without = dict(entered().entries)
    del without[next(iter(change))]
    with pytest.raises(EdgenetError):
        check_event(without)


# The hub --------------------------------------------------------------------------------------------------------


def test_every_sink_gets_every_event_in_order_and_is_closed() -> None:
    plain, with_picture = Kept("a"), Kept("b", wants_pictures=True)
    made = [entered() for _ in range(50)]
    picture = np.zeros((2, 2, 3), np.uint8)
    with EventHub([plain, with_picture], Told()) as open_hub:
        for one in made:
            open_hub.publish(one, picture)
    assert [one.id for one, _ in plain.events] == [one.id for one in made]
    assert {kept is picture for _, kept in with_picture.events} == {True}
    assert {kept for _, kept in plain.events} == {None}
    assert plain.closed
    assert with_picture.closed


def test_a_sink_that_hangs_or_fails_disturbs_no_other(quick: None) -> None:
    hanging, failing, sound = Kept("hanging"), Kept("failing"), Kept("sound")
    hanging.goes_on.clear()
    failing.fails = RuntimeError("broken")
    told = Told()
    with EventHub([hanging, failing, sound], told) as open_hub:
        for _ in range(3):
            open_hub.publish(entered())
        wait_for(lambda: len(sound.events) == 3 and bool(told.lines))
        failing.fails = None
        hanging.goes_on.set()
        wait_for(lambda: len(failing.events) == 3 and len(hanging.events) == 3)
    assert told.lines == [
        ("failing", "RuntimeError: broken"),
        ("failing", None),
    ]  # once, however often it failed


def test_a_slow_sink_drops_the_oldest_and_says_so() -> None:
    slow = Kept("slow")
    slow.capacity = 10
    slow.goes_on.clear()
    told = Told()
    made = [entered() for _ in range(100)]
    with EventHub([slow], told) as open_hub:
        for one in made:
            open_hub.publish(one)
        slow.goes_on.set()
        wait_for(lambda: bool(slow.events) and slow.events[-1][0] is made[-1])
    assert len(slow.events) <= 11
    assert told.lines == [("slow", "events come faster than it takes them: the oldest are dropped")]


def test_an_event_is_given_up_after_the_attempts_of_its_sink(quick: None) -> None:
    sink = Kept()
    sink.attempts, sink.fails = 2, EdgenetError("no")
    told = Told()
    with EventHub([sink], told) as open_hub:
        open_hub.publish(entered())
        wait_for(lambda: sink.tried == sink.attempts)
        sink.fails = None
        open_hub.publish(entered())
        wait_for(lambda: bool(sink.events))
    assert len(sink.events) == 1


def test_many_events_take_no_more_memory_than_few() -> None:
    """benchmarks/events.py does the same with a million events."""
    import tracemalloc

    class Nothing(Sink):
        def deliver(self, event: Event, picture: Picture) -> None:
            pass

    with EventHub([Nothing(), Nothing()], Told()) as open_hub:
        tracemalloc.start()
        for _ in range(2000):
            open_hub.publish(entered())
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(4000):
            open_hub.publish(entered())
        wait_for(lambda: not any(line._waiting for line in open_hub._lines))
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < 2_000_000  # a thousand waiting events take more


# The command ----------------------------------------------------------------------------------------------------

SAY = """
import json, os, sys
event = json.load(sys.stdin)
print(event["label"] == os.environ["EDGENET_LABEL"], file=open({!r}, "w"))
"""
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"


def command(*words: str) -> str:
    import shlex

    return shlex.join([sys.executable, "-c", *words])


def test_a_command_gets_the_event_twice(tmp_path: Path) -> None:
    out = tmp_path / "it said"
    sink = CommandSink([Trigger("great tit")], command(SAY.format(str(out))), 20)
    assert not sink.takes(Happening("left", "great tit"))
    assert sink.takes(ENTERED)
    sink.deliver(entered(), None)
    assert out.read_text() == "True\n"


def test_there_is_no_shell_and_a_label_is_only_data() -> None:
    hostile = MAKER.make(Happening("entered", "$(touch /tmp/x); `id` \x1b[2J"), 1)
    assert facts_of(hostile)["EDGENET_LABEL"] == "$(touch /tmp/x); `id` [2J"
    assert facts_of(hostile)["EDGENET_SECONDS"] == ""
    run_command([sys.executable, "-c", "import sys; sys.exit(sys.argv[1] != '$HOME')", "$HOME"], hostile, 20)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import time; time.sleep(60)", "longer than 0.5 s and was ended"),
        (STUBBORN, "longer than"),
        ("import subprocess; subprocess.run(['sleep', '60'])", "longer than 0.5 s"),
        ("import os, time; os.close(1); os.close(2); time.sleep(60)", "longer than 0.5 s"),
        ("print('first'); print('last'); raise SystemExit(3)", "ended with the status 3; it said: last"),
        ("import sys\nwhile True: sys.stdout.write('x' * 1000)", "printed more than 1 MiB and was ended"),
    ],
)  # fmt: skip
def test_a_command_that_hangs_floods_or_fails(
    program: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgenet_device.events.command._GRACE_SECONDS", 0.3)
    limit = 0.5 if "longer" in message else 20
    with pytest.raises(EdgenetError, match="it ") as caught:
        run_command([sys.executable, "-S", "-c", program], entered(), limit)
    assert message in str(caught.value)
    assert len(str(caught.value)) < MOST_OUTPUT


def test_a_command_may_leave_a_program_running_and_print_much_but_not_too_much(tmp_path: Path) -> None:
    number = tmp_path / "number"
    program = (
        "import subprocess; left = subprocess.Popen(['sleep', '60']); "
        f"open({str(number)!r}, 'w').write(str(left.pid)); print('x' * 500_000)"
    )
    run_command([sys.executable, "-S", "-c", program], entered(), 20)
    # Only the command is waited for, not the program that holds its output open: that one runs on.
    os.kill(int(number.read_text()), signal.SIGTERM)


def test_a_command_that_runs_when_the_program_ends_is_ended_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "CLOSING_SECONDS", 0.3)
    number = tmp_path / "number"
    text = command(f"import os, time; open({str(number)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    with EventHub([CommandSink([Trigger("great tit")], text, 60)], Told()) as open_hub:
        open_hub.publish(entered())
        wait_for(lambda: number.exists() and bool(number.read_text()))
    wait_for(lambda: not Path(f"/proc/{number.read_text()}").exists())


def test_a_sink_is_well_when_all_that_failed_is_over() -> None:
    told = Told()
    troubles = hub._Troubles("sink", told)
    troubles.failed("work", EdgenetError("away"))
    troubles.failed("event", OSError(28, "No space left on device"))
    troubles.failed("work", EdgenetError("away"))
    assert troubles.counts["work"] == 2
    troubles.well("event")
    troubles.well("work")
    troubles.well("work")
    assert told.lines == [("sink", "away"), ("sink", "No space left on device"), ("sink", None)]


def test_a_command_that_cannot_be_run_is_told_at_the_start(tmp_path: Path) -> None:
    plain = tmp_path / "no program"
    plain.write_text("x")
    for text, message in (
        ("", "no command"), ("'x", "No closing quotation"), (f"'{plain}'", "there is no program"),
        ("no-such-program-here x", "there is no program no-such-program-here"),
    ):  # fmt: skip
        with pytest.raises(EdgenetError) as caught:
            CommandSink([Trigger("cat")], text, 1)
        assert message in str(caught.value)


# The log --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_log_is_rotated_and_every_event_is_once_in_it(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"events{suffix}"
    made = [MAKER.make(Happening("entered", 'a "great", tit'), 1) for _ in range(20)]
    sink = LogSink(path, 2000)
    for one in made:
        sink.deliver(one, None)
    sink.close()
    names = sorted(one.name for one in tmp_path.iterdir())
    assert 3 <= len(names) <= KEPT_FILES
    assert names == [path.name, *(f"{path.name}.{number}" for number in range(1, len(names)))]
    ids = []
    for name in reversed(names):
        text = (tmp_path / name).read_text()
        assert len(text) <= 2000
        rows = csv.DictReader(text.splitlines()) if suffix == ".csv" else map(json.loads, text.splitlines())
        for row in rows:
            ids.append(row["id"])
            assert row["label"] == 'a "great", tit'
    assert ids == [one.id for one in made][-len(ids) :]


def test_a_log_goes_on_after_a_power_cut_and_after_somebody_moved_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = LogSink(path, 10**6)
    sink.deliver(entered(), None)
    path.write_bytes(path.read_bytes()[:-30])  # the last line is torn
    sink.close()
    sink = LogSink(path, 10**6)
    sink.deliver(entered(), None)
    assert [line.endswith("}") for line in path.read_text().splitlines()] == [False, True]
    path.rename(tmp_path / "mine.jsonl")
    sink.deliver(entered(), None)
    sink.close()
    assert len(path.read_text().splitlines()) == 1


def test_a_log_touches_no_file_that_is_not_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "events.jsonl"
    mine.write_text('{"my": "data"}\n')
    with pytest.raises(EdgenetError, match="is not a log of edgenet"):
        LogSink(mine, 1000)
    with pytest.raises(EdgenetError, match="does not end in"):
        LogSink(tmp_path / "log.txt", 1000)
    path, precious = tmp_path / "other.csv", tmp_path / "other.csv.2"
    precious.write_text("precious")
    sink = LogSink(path, 500)
    sink.deliver(entered(), None)
    with pytest.raises(EdgenetError, match=r"other\.csv\.2 is not a log"):
        sink.deliver(entered(), None)
    sink.close()
    assert precious.read_text() == "precious"


def test_a_full_disk_is_told_once_and_recovered_from(tmp_path: Path, quick: None) -> None:
    """The limit on the size of files stands for the full disk: writing fails in the middle of a line."""
    program = """
import json, resource, signal, sys, time
from pathlib import Path
from edgenet_device.events import hub
from edgenet_device.events.event import EventMaker
from edgenet_device.events.log_file import LogSink
from edgenet_device.events.watcher import Happening
hub.PAUSES = (0.01,)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
told = []
maker, path = EventMaker("m", "0"), Path(sys.argv[1])
with hub.EventHub([LogSink(path, 10**6)], lambda *one: told.append(one)) as to:
    for _ in range(10):
        to.publish(maker.make(Happening("unknown"), 1))
    while not told:
        time.sleep(0.01)
    full = "none yet"
    while not full.endswith("\\n"):  # every attempt leaves half a line for a moment, and takes it back
        time.sleep(0.01)
        full = path.read_text()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while len(told) < 2:
        time.sleep(0.01)
print(json.dumps([told, [json.loads(line)["sequence"] for line in path.read_text().splitlines()]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "log.jsonl"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told, numbers = json.loads(done.stdout)
    assert told == [["the log log.jsonl", "File too large"], ["the log log.jsonl", None]]
    assert numbers == list(range(1, 11))


# The queue on the disk ------------------------------------------------------------------------------------------


def drained(queue: DiskQueue) -> list[int]:
    numbers = []
    while (line := queue.first()) is not None:
        numbers.append(json.loads(line)["sequence"])
        queue.drop_first()
    return numbers


def test_a_queue_keeps_its_order_over_restarts_and_takes_no_space_when_idle(tmp_path: Path) -> None:
    maker = EventMaker("m", "0")
    for start in range(3):
        queue = DiskQueue(tmp_path / "q", 10**6)
        for _ in range(10):
            queue.append(maker.make(ENTERED, 1).line().encode())
        for number in range(5):
            line = queue.first()
            assert line is not None
            assert json.loads(line)["sequence"] == 5 * start + number + 1
            queue.drop_first()
        queue.close()
    queue = DiskQueue(tmp_path / "q", 10**6)
    assert drained(queue) == list(range(16, 31))
    assert queue.lost == 0
    assert sorted(path.name for path in (tmp_path / "q").iterdir()) == ["lock", "position"]
    queue.append(maker.make(ENTERED, 1).line().encode())
    queue.close()
    assert drained(DiskQueue(tmp_path / "q", 10**6)) == [31]


def test_a_queue_stays_within_its_budget_and_counts_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    queue, maker = DiskQueue(tmp_path, LEAST_BYTES), EventMaker("m", "0")
    for _ in range(400):
        queue.append(maker.make(ENTERED, 1).line().encode())
        assert sum(path.stat().st_size for path in tmp_path.glob("*.jsonl")) <= LEAST_BYTES
    numbers = drained(queue)
    assert numbers == list(range(401 - len(numbers), 401))
    assert queue.lost == 400 - len(numbers) > 0


def test_a_queue_has_one_user(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 0)
    with pytest.raises(EdgenetError, match="another program uses the queue"):
        DiskQueue(tmp_path, 0)
    queue.close()
    DiskQueue(tmp_path, 0).close()


@pytest.mark.parametrize(
    "position", [b"", b"x y", b"99999999999999999999 0", b"1 999999999", b"-1 -1", b"0000000003 0"]
)
def test_damage_to_a_queue_costs_only_what_was_damaged(position: bytes, tmp_path: Path) -> None:
    maker = EventMaker("m", "0")
    lines = [maker.make(ENTERED, 1).line().encode() + b"\n" for _ in range(4)]
    (tmp_path / "0000000001.jsonl").write_bytes(lines[0] + b"\x00garbage\n" + lines[1])
    (tmp_path / "9999999999.jsonl").write_bytes(b"x" * 40_000 + b"\n" + lines[2] + lines[3][:-40])
    (tmp_path / "position").write_bytes(position)
    queue = DiskQueue(tmp_path, 10**6)
    assert drained(queue) in ([1, 2, 3], [3])
    assert queue.lost >= 2
    queue.close()


def test_a_full_disk_under_the_queue_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, maker = DiskQueue(tmp_path, 10**6), EventMaker("m", "0")
    queue.append(maker.make(ENTERED, 1).line().encode())
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:50]))
    with pytest.raises(OSError, match="No space left"):
        queue.append(maker.make(ENTERED, 1).line().encode())
    monkeypatch.undo()
    queue.append(maker.make(ENTERED, 1).line().encode())
    assert drained(queue) == [1, 3]
    assert queue.lost == 0
