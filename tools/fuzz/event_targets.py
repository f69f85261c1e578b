"""Target that reads events: the queue on the disk in which they wait for a receiver, and the logs."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from edgenet.errors import EdgenetError
from tools.fuzz.mutations import TEXT, json_changed
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target

_SEGMENTS = 2


@cache
def event_seeds() -> dict[str, bytes]:
    """Return segments of a queue: one event, several, and a torn one."""
    from edgenet_device.events.event import EventMaker
    from edgenet_device.events.watcher import Happening

    maker = EventMaker("v2.edgenet", "0" * 64)
    kinds = (Happening("entered", "cat", 0.9), Happening("left", "cat", seconds=2.0), Happening("unknown"))
    lines = [maker.make(one, 1).line().encode() + b"\n" for one in kinds]
    return {"one": lines[0], "three": b"".join(lines), "torn": lines[0] + lines[1][:-9]}


def queued_events(folder: Path) -> Check:
    """Read the input as a segment of a queue, and its first bytes as the position; send all of it."""
    from edgenet_device.events.disk_queue import DiskQueue
    from edgenet_device.events.event import check_event, read_event
    from edgenet_device.events.log_file import LogSink

    place, log = folder / "queue", folder / "log.jsonl"

    def check(data: bytes) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for number in range(1, _SEGMENTS + 1):
            (place / f"{number:010d}.jsonl").write_bytes(data)
        (place / "position").write_bytes(data[:30])
        log.write_bytes(data)
        taken = 0
        queue = DiskQueue(place, 10**6)
        try:
            while (line := queue.first()) is not None:
                check_event(read_event(line))
                queue.drop_first()
                taken += 1
        finally:
            queue.close()
        left = {name for name in os.listdir(place) if name.endswith(".jsonl")}
        assert len(left) <= 1, left
        LogSink(log, 10**6).close()
        if not taken:
            raise EdgenetError("no event")

    return check


TARGETS = (
    Target(
        "event",
        "queues and logs of events",
        ("edgenet_device.events.event",),
        event_seeds,
        (json_changed, *TEXT),
        queued_events,
    ),
)
