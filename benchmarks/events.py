"""What do events cost: how soon are they at their sinks, how many frames a second, how much memory, what is lost?

    .venv/bin/python -m benchmarks.events

Five parts. The time from a frame's answer to a command that has started and to a pin that is on. Frames a second of the
live loop on a film, without sinks and with five, in short blocks that take turns. The same for the photos that
--keep-uncertain keeps and the counts by day, while the network is unsure of every frame. The memory after 100,000 and
after a million events. An hour's events, one a second, while a real mosquitto is away: what arrives afterwards, and
what arrives twice. The exit status is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from edgenet_device.classifier import ModelOptions
from edgenet_device.events.command import CommandSink
from edgenet_device.events.disk_queue import DiskQueue
from edgenet_device.events.event import Event, EventMaker
from edgenet_device.events.gpio import PinSink
from edgenet_device.events.hub import EventHub, Picture, Sink
from edgenet_device.events.log_file import LogSink
from edgenet_device.events.mqtt import Broker, MqttSink
from edgenet_device.events.pictures import KeptFiles, SnapshotSink
from edgenet_device.events.watcher import ANY_LABEL, EventWatcher, HoldTimes, Trigger
from edgenet_device.events.webhook import Webhook, WebhookSink
from edgenet_device.field.daily_counts import DailyCounts
from edgenet_device.field.keeper import PhotoKeeper
from edgenet_device.field.kept_photos import KeptPhotos
from edgenet_device.frames import Frame
from edgenet_device.live.loop import LabelOptions, classify_frames
from edgenet_device.live.run import EventOutput

import edgenet
from benchmarks.environments import ROOT
from edgenet.assets import clip

REACTION_GOAL_MS = 50.0
RATE_GOAL = 0.97
SHOWN = 10
"""How often the film's pictures are shown, for the loop is ten times as fast as a camera."""
GROWTH_GOAL_MIB = 8.0
REACTIONS, PAIRS, BLOCK = 100, 60, 40
MILLION, EARLY = 1_000_000, 100_000
HOUR = 3600
ANY = [Trigger(ANY_LABEL)]
PARTS = ("reactions", "rate", "keeping", "memory", "broker")


def main() -> int:
    """Read the command line, measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--bundle", type=Path, help="the bundle for the frames a second (default: make a small one)"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; several are allowed")
    arguments = parser.parse_args()
    missed: list[str] = []
    bundle: Path | None = arguments.bundle
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for part in arguments.part or PARTS:
            (work / part).mkdir()
            if part in ("rate", "keeping"):
                bundle = bundle or _small_bundle(work)
                missed += {"rate": _rate, "keeping": _keeping}[part](work / part, bundle)
            else:
                missed += {"reactions": _reactions, "memory": _memory, "broker": _broker}[part](work / part)
    print("all goals met" if not missed else "missed: " + "; ".join(missed))
    return int(bool(missed))


# How soon ---------------------------------------------------------------------------------------------------------


class _Condition:
    lost: str | None = None
    throttled_by: tuple[str, ...] = ()


def _output(hub: EventHub) -> EventOutput:
    return EventOutput(EventWatcher(HoldTimes(0, 0)), EventMaker("model", "0" * 64), hub, _Condition())


def _state(number: int, label: str | None) -> dict[str, Any]:
    return {
        "type": "frame",
        "moment_s": number / 10,
        "frame": number,
        "label": label,
        "score": 0.9 if label else None,
    }


def _silent(name: str, reason: str | None) -> None:
    if reason is not None:
        print(f"{name}: {reason}", file=sys.stderr)


def _reactions(work: Path) -> list[str]:
    """Measure from the answer for a frame to the command's first act, and to the pin's being on."""
    pipe = work / "pipe"
    os.mkfifo(pipe)
    command = CommandSink(ANY, f"sh -c 'echo > {pipe}'", 10.0)

    def started() -> None:
        pipe.read_bytes()

    missed = _judged("a command that has started", _times(command, started))
    os.environ["GPIOZERO_PIN_FACTORY"] = "mock"
    pin, on = PinSink("17", Trigger(ANY_LABEL)), threading.Event()
    switch = pin._device.on

    def switched() -> None:
        switch()
        on.set()

    def wait() -> None:
        on.wait()
        on.clear()

    pin._device.on = switched
    return missed + _judged("a pin that is on", _times(pin, wait))


def _times(sink: Sink, acted: Callable[[], None]) -> list[float]:
    """Return the milliseconds from an answer to what a sink did about it."""
    times, frame = [], np.zeros((480, 640, 3), np.uint8)
    with EventHub([sink], _silent) as hub:
        output = _output(hub)
        for number in range(REACTIONS):
            output.show(_state(2 * number, None), frame)
            began = time.perf_counter()
            output.show(_state(2 * number + 1, "cat"), frame)
            acted()
            times.append((time.perf_counter() - began) * 1e3)
    return times


def _judged(what: str, times: list[float]) -> list[str]:
    worst = max(times)
    print(f"from the answer to {what}: median {median(times):.1f} ms, worst of {len(times)} {worst:.1f} ms")
    return [] if worst <= REACTION_GOAL_MS else [f"{what} after {worst:.0f} ms"]


# Frames a second --------------------------------------------------------------------------------------------------


def _small_bundle(work: Path) -> Path:
    """Convert and package the network whose weights `make setup` installs; return the bundle."""
    model = work / "v2.tflite"
    edgenet.convert("mobilenet_v2_1.0_224", model, calibration="builtin", photos=32, recipe="fast")
    return Path(edgenet.package(model).out)


def _rate(work: Path, bundle: Path) -> list[str]:
    """Classify the demo's film over and over; every other block of frames also goes to five sinks."""
    classifier = ModelOptions().open(bundle, 1)
    os.environ["GPIOZERO_PIN_FACTORY"] = "mock"
    (work / "photos").mkdir()
    blocks: list[np.ndarray] = []
    with _receiver() as port, EventHub(_five_sinks(work, port), _silent) as hub:
        output = EventOutput(EventWatcher(HoldTimes(0, 0)), EventMaker("model", "0" * 64), hub, _Condition())
        # Without smoothing, which would leave a handful of events of a film that runs so fast.
        results = classify_frames(classifier, _Film(SHOWN), LabelOptions(half_life_s=0))
        for number in range(2 * PAIRS + 2):
            began = _clocks()
            for result in islice(results, BLOCK):
                state = {"type": "frame", **result.as_dict()}
                if number % 2:
                    output.show(state, result.pixels)
            blocks.append(_clocks() - began)
    events = len((work / "log.jsonl").read_text().splitlines())
    return _judged_rate("five sinks", blocks, f"{events} events")


def _clocks() -> np.ndarray:
    """Return the seconds of the wall clock and of this thread's processor time, which other programs do not take."""
    return np.array([time.perf_counter(), time.thread_time()])


def _judged_rate(what: str, blocks: list[np.ndarray], more: str) -> list[str]:
    """Compare every other block with the one before it; the first two warm up."""
    without, with_ = np.array(blocks[2::2]), np.array(blocks[3::2])
    ratio, of_processor = np.median(without / with_, axis=0)
    in_all, _ = without.sum(0) / with_.sum(0)
    print(
        f"frames a second with {what}, of those without: median {ratio:.3f} of {PAIRS} pairs of {BLOCK} frames, "
        f"{in_all:.3f} over all of them, {of_processor:.3f} by the loop's processor time "
        f"({BLOCK / np.median(without[:, 0]):.0f} frames/s without); {more}"
    )
    return [] if ratio >= RATE_GOAL else [f"{ratio:.3f} of the frames a second with {what}"]


def _keeping(work: Path, bundle: Path) -> list[str]:
    """Classify the film over and over; every other block of frames also goes to the keeper and to the counts."""
    classifier, film = ModelOptions().open(bundle, 1), _Film()
    model = (classifier.model.path, classifier.model.sha256)
    photos = KeptPhotos(work / "photos", 10**8)
    blocks: list[np.ndarray] = []
    with (
        PhotoKeeper(photos, model, classifier.labels, _silent) as keeper,
        DailyCounts(work / "drift.json", "model", _silent) as counts,
    ):
        # With this threshold, nothing is known.
        results = classify_frames(classifier, film, LabelOptions(threshold=1.0))
        for number in range(2 * PAIRS + 2):
            if number == 1:  # all but the keeper and the counts has begun
                before = _resident_mib()
            began = _clocks()
            for result in islice(results, BLOCK):
                state = {"type": "frame", **result.as_dict(), "monotonic_s": time.monotonic()}
                if number % 2:
                    keeper.show(state, result.pixels)
                    counts.show(state, result.pixels)
            blocks.append(_clocks() - began)
    kept = len(list((work / "photos").iterdir()))
    grown = _resident_mib() - before
    return _judged_rate("--keep-uncertain", blocks, f"{kept} photos kept, memory {grown:+.1f} MiB")


def _five_sinks(work: Path, port: int) -> list[Sink]:
    photos = KeptFiles("--snapshots", work / "photos", ".jpg", 10**8)
    return [
        CommandSink(ANY, "true", 10.0),
        LogSink(work / "log.jsonl", 10**7),
        WebhookSink(Webhook(f"http://127.0.0.1:{port}/"), DiskQueue(work / "queue", 10**7)),
        PinSink("17", Trigger(ANY_LABEL)),
        SnapshotSink(ANY, photos),
    ]


class _Film:
    """The demo's film as a camera, over and over, as fast as its frames are taken; each is shown so many times."""

    def __init__(self, shown: int = 1) -> None:
        source, self._frames = cv2.VideoCapture(str(clip())), []
        while (read := source.read())[0]:
            self._frames.append(read[1])
        self._shown, self._taken = shown, 0

    def take(self) -> Frame:
        pixels = self._frames[self._taken // self._shown % len(self._frames)]
        self._taken += 1
        return Frame(f"film#{self._taken}", pixels, captured_ns=time.perf_counter_ns())


@contextmanager
def _receiver() -> Iterator[int]:
    """Serve a webhook that accepts everything; yield its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


# Memory -----------------------------------------------------------------------------------------------------------


class _Counting(Sink):
    name = "the counting sink"
    count = 0

    def deliver(self, event: Event, picture: Picture) -> None:
        self.count += 1


def _memory(work: Path) -> list[str]:
    """Send a million events through the state machine, the hub, a log and another sink."""
    counting, frame = _Counting(), np.zeros((48, 64, 3), np.uint8)
    with EventHub([counting, LogSink(work / "log.jsonl", 10**6)], _silent) as hub:
        output, sent, early = _output(hub), 0, 0.0
        while sent < MILLION:
            # An answer that changes with every frame makes two events: one label leaves, and another enters.
            output.show(_state(sent, "cat" if sent % 4 else "dog"), frame)
            sent += 2
            if sent == EARLY:
                early = _resident_mib()
            while any(len(line._waiting) > 500 for line in hub._lines):
                time.sleep(0.001)
        grown = _resident_mib() - early
    size = sum(path.stat().st_size for path in work.iterdir())
    print(
        f"memory from {EARLY:,} events to {MILLION:,}: {grown:+.1f} MiB; events counted {counting.count:,}; "
        f"the log and its older parts: {size / 1e6:.1f} MB"
    )
    return [] if grown <= GROWTH_GOAL_MIB else [f"{grown:.0f} MiB of growth"]


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# A broker that is away --------------------------------------------------------------------------------------------


def _broker(work: Path) -> list[str]:
    sys.path.insert(0, str(ROOT / "tests" / "device_scripts"))
    from brokers import Listener, RealBroker, require_mosquitto

    real = RealBroker(require_mosquitto(), work)
    real.start()
    before = Listener(real.port, "listener")
    to = Broker("127.0.0.1", real.port, None, None, "edgenet/benchmark", "", "model")
    maker, watcher = EventMaker("model", "0" * 64), EventWatcher(HoldTimes(0, 0))

    def some(count: int) -> Iterator[Event]:
        made = 0
        while made < count:
            happened = watcher.frame(float(maker._sequence), "cat" if watcher.present is None else None, 0.9)
            for one in happened[: count - made]:
                made += 1
                yield maker.make(one, None)

    with EventHub([MqttSink(to, DiskQueue(work / "queue", 16_000_000))], _silent) as hub:
        _published(hub, some(10))
        _wait(lambda: len(before.payloads("edgenet/benchmark/event")) == 10)
        before.stop()
        real.stop()
        _published(hub, some(HOUR))
        real.start()
        after = Listener(real.port, "listener")
        began = time.monotonic()
        _published(hub, some(10))
        _wait(lambda: len(after.payloads("edgenet/benchmark/event")) >= HOUR + 10)
        seconds = time.monotonic() - began
    after.stop()
    real.stop()
    ids = Counter(
        json.loads(one)["id"] for seen in (before, after) for one in seen.payloads("edgenet/benchmark/event")
    )
    lost, doubled = HOUR + 20 - len(ids), sum(count > 1 for count in ids.values())
    print(
        f"{HOUR} events while the broker was away, sent within {seconds:.0f} s: {lost} lost, {doubled} doubled"
    )
    return [f"{lost} lost, {doubled} doubled"] if lost or doubled else []


def _published(hub: EventHub, made: Iterator[Event]) -> None:
    """Publish events no faster than they are stored on the disk."""
    for event in made:
        hub.publish(event)
        while len(hub._lines[0]._waiting) > 100:
            time.sleep(0.01)
    _wait(lambda: not hub._lines[0]._waiting)


def _wait(true: Callable[[], bool], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError("the benchmark waits in vain")
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
