"""Runs a target's inputs in worker processes: an abort or a hang ends a worker, and the next one goes on after it."""

from __future__ import annotations

import faulthandler
import hashlib
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tools.fuzz.mutations import Mutation
from tools.fuzz.verdicts import Check, Judge, Verdict

HANG_S = 10.0
"""Seconds of computing for one input, most of which take a thousandth of that."""
_PATIENCE = 20
"""How many times longer one input may take by the clock: a process waits on a busy machine, and for its children."""
_MOST_FAULTS = 20
"""Different faults of a target after which its run ends: the rest would hardly say more."""
_MOST_DEATHS = 200
_MEMORY = "/dev/shm"
_LARGEST, _LARGEST_KEPT, _MOST_KEPT = 1 << 21, 1 << 16, 300
# The number of the input, its start by the clock and in seconds of computing, and how many were accepted, refused, bad.
_PROGRESS = struct.Struct("<qddqqq")


@dataclass(frozen=True)
class Target:
    """One parser or server, and how it is attacked.

    Attributes:
        name: a short name, which is a folder's name too.
        title: what a table calls it.
        readers: the modules whose reading of foreign data this target exercises.
        seeds: makes the sound inputs, by name, from which damaged ones are made.
        mutations: ways to damage an input; one that is listed twice is chosen twice as often.
        setup: called once in each worker with its scratch folder, the current folder; returns the check.
        prints, starts: see `Judge`.
        weight: its share of the time, compared with other targets.
        part: the part of a given number of inputs that it tries; less than 1 where an input takes long.
    """

    name: str
    title: str
    readers: tuple[str, ...]
    seeds: Callable[[], Mapping[str, bytes]]
    mutations: tuple[Mutation, ...]
    setup: Callable[[Path], Check]
    prints: bool = False
    starts: bool = False
    weight: float = 1.0
    part: float = 1.0


@dataclass
class Outcome:
    """What a run of a target found.

    Attributes:
        accepted, refused, bad: numbers of inputs.
        faults: the verdict and the saved input of each different fault.
        seconds: how long it took.
        died: number of workers that an input ended.
    """

    accepted: int = 0
    refused: int = 0
    bad: int = 0
    faults: dict[str, tuple[Verdict, Path]] = field(default_factory=dict)
    seconds: float = 0.0
    died: int = 0

    @property
    def tried(self) -> int:
        """Number of all inputs."""
        return self.accepted + self.refused + self.bad


class Inputs:
    """The endless row of a target's inputs: the same for the same seed and the same corpus.

    Inputs that were refused in a new way are kept and damaged further.
    """

    def __init__(self, target: Target, seed: int, corpus: Path) -> None:
        self._target, self._seed, self._corpus = target, seed, corpus
        corpus.mkdir(parents=True, exist_ok=True)
        kept = sorted(corpus.iterdir())
        self.sound = list(target.seeds().values())
        self._pool = [*self.sound, *(path.read_bytes() for path in kept)]
        self._room = _MOST_KEPT - len(kept)
        self._known: set[str] = set()

    def make(self, number: int) -> bytes:
        """Return the input of this number."""
        if number < len(self.sound):
            return self.sound[number]
        rng = random.Random(f"{self._target.name} {self._seed} {number}")
        data = rng.choice(self.sound if rng.random() < 0.6 else self._pool)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            mutation = rng.choice(self._target.mutations)
            # One that takes the input apart may fail on what another has left of it.
            with suppress(Exception):
                data = mutation(data, rng)[:_LARGEST]
        return data

    def learn(self, number: int, data: bytes, verdict: Verdict) -> None:
        """Keep an input that was refused as none before it."""
        if verdict.kind != "refused" or verdict.signature in self._known:
            return
        self._known.add(verdict.signature)
        if self._room > 0 and len(data) <= _LARGEST_KEPT and number >= len(self.sound):
            self._room -= 1
            self._pool.append(data)
            (self._corpus / f"{time.time_ns():020}-{number}").write_bytes(data)


def run_target(target: Target, seed: int, folder: Path, deadline: float, most: int) -> Outcome:
    """Run a target until `deadline` (time.monotonic) or for `most` inputs; `folder` keeps its corpus and crashes."""
    began, outcome, start = time.monotonic(), Outcome(), 0
    _retry_kept(target, folder / target.name, outcome)
    while start < most and time.monotonic() < deadline:
        if outcome.died >= _MOST_DEATHS or len(outcome.faults) >= _MOST_FAULTS:
            break
        start = _one_worker(target, seed, folder, deadline, most, start, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def _retry_kept(target: Target, folder: Path, outcome: Outcome) -> None:
    """Try the bad inputs of earlier runs again; those that are mended become a part of the corpus."""
    for path in sorted((folder / "bad").glob("*.bin")):
        data = path.read_bytes()
        verdict = replay(target, data)
        if verdict.kind == "bad":
            outcome.bad += 1
            outcome.faults[verdict.signature] = (verdict, path)
            continue
        (folder / "corpus").mkdir(exist_ok=True)
        path.rename(folder / "corpus" / path.stem)
        path.with_suffix(".txt").unlink(missing_ok=True)


def _one_worker(
    target: Target, seed: int, folder: Path, deadline: float, most: int, start: int, outcome: Outcome
) -> int:
    """Run a worker from input `start` on; return the number of the first input that was not tried."""
    shared = mmap.mmap(-1, _PROGRESS.size)
    shared[:] = _PROGRESS.pack(start, 0.0, 0.0, 0, 0, 0)
    found = folder / target.name / "bad"
    found.mkdir(parents=True, exist_ok=True)
    worker = os.fork()
    if worker == 0:
        _end_after(lambda: _work(target, seed, folder, deadline, most, start, shared))
    status, hung = _watch(worker, shared)
    number, _, _, accepted, refused, bad = _PROGRESS.unpack(shared[:])
    outcome.accepted, outcome.refused, outcome.bad = (
        outcome.accepted + accepted, outcome.refused + refused, outcome.bad + bad,
    )  # fmt: skip
    for path in sorted(found.glob("*.txt")):
        verdict = Verdict("bad", *path.read_text(encoding="utf-8").split("\n", 1))
        outcome.faults[verdict.signature] = (verdict, path.with_suffix(".bin"))
    if not hung and os.waitstatus_to_exitcode(status) == 0:
        return number
    outcome.died += 1
    _add_death(target, seed, folder, number, _end_of(status, hung), outcome)
    return number + 1


def _add_death(target: Target, seed: int, folder: Path, number: int, end: str, outcome: Outcome) -> None:
    """Add the input that ended a worker, if it does so again in a fresh worker."""
    data = Inputs(target, seed, folder / target.name / "corpus").make(number)
    again = replay(target, data)
    if again.kind != "bad":
        # Memory that an earlier input had damaged, or a machine that stood still: kept, and told as what it is.
        again = Verdict("bad", f"{end}, but not again when tried alone", "")
    outcome.bad += 1
    path = save_bad(folder / target.name / "bad", data, again)
    outcome.faults.setdefault(again.signature, (again, path))


def replay(target: Target, data: bytes) -> Verdict:
    """Return the verdict on one input in a worker of its own."""
    reading, writing = os.pipe()
    shared = mmap.mmap(-1, _PROGRESS.size)
    shared[:] = _PROGRESS.pack(0, 0.0, 0.0, 0, 0, 0)

    def work() -> None:
        folder = _scratch()
        try:
            judge = Judge(folder, target.prints, target.starts)
            check = target.setup(folder)
            shared[:] = _PROGRESS.pack(0, time.monotonic(), time.process_time(), 0, 0, 0)
            verdict = judge.judge(check, data)
            os.write(
                writing,
                "\n".join((verdict.kind, verdict.said.replace("\n", " "), verdict.detail)).encode()[:30_000],
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    worker = os.fork()
    if worker == 0:
        os.close(reading)
        _end_after(work)
    os.close(writing)
    status, hung = _watch(worker, shared)
    with os.fdopen(reading, "rb") as answer:
        text = answer.read().decode(errors="replace")
    if hung or os.waitstatus_to_exitcode(status) != 0 or not text:
        return Verdict("bad", _end_of(status, hung))
    return Verdict(*text.split("\n", 2))


def save_bad(folder: Path, data: bytes, verdict: Verdict) -> Path:
    """Save a bad input and what was bad about it; return the input's path."""
    path = folder / f"{hashlib.sha256(verdict.signature.encode()).hexdigest()[:12]}.bin"
    if not path.exists() or path.stat().st_size > len(data):
        path.write_bytes(data)
        said = " ".join(verdict.said.split())
        path.with_suffix(".txt").write_text(f"{said}\n{verdict.detail}", encoding="utf-8", errors="replace")
    return path


def _work(
    target: Target, seed: int, folder: Path, deadline: float, most: int, start: int, shared: mmap.mmap
) -> None:
    scratch = _scratch()
    try:
        inputs = Inputs(target, seed, folder / target.name / "corpus")
        judge = Judge(scratch, target.prints, target.starts)
        check = target.setup(scratch)
        counts: Counter[str] = Counter()
        for number in range(start, most):
            if time.monotonic() > deadline:
                return
            shared[:] = _PROGRESS.pack(number, 0.0, 0.0, *(counts[k] for k in ("accepted", "refused", "bad")))
            # Making an input may take longer than the program takes with it.
            data = inputs.make(number)
            shared[:] = _PROGRESS.pack(
                number,
                time.monotonic(),
                time.process_time(),
                *(counts[k] for k in ("accepted", "refused", "bad")),
            )
            verdict = judge.judge(check, data)
            counts[verdict.kind] += 1
            inputs.learn(number, data, verdict)
            if verdict.kind == "bad":
                save_bad(folder / target.name / "bad", data, verdict)
            shared[:] = _PROGRESS.pack(
                number + 1, 0.0, 0.0, *(counts[k] for k in ("accepted", "refused", "bad"))
            )
            if verdict.said.startswith("memory"):
                return  # the peak stays, so that a fresh worker must go on
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _scratch() -> Path:
    # In memory, because a disk's file system may write each file that is replaced to the disk at once.
    folder = Path(
        tempfile.mkdtemp(prefix="edgenet-fuzz-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
    )
    os.chdir(folder)
    os.environ["EDGENET_CACHE"] = os.environ["MPLCONFIGDIR"] = str(folder / "cache")
    return folder


def _end_after(work: Callable[[], None]) -> None:
    """Do the work and end this process, whatever happens, without what the parent wants done at its own end."""
    status = 1
    try:
        sys.dont_write_bytecode = True
        faulthandler.disable()  # an abort that is looked for needs no report
        work()
        status = 0
    finally:
        if status:
            import traceback

            traceback.print_exc()
        os._exit(status)


def _watch(worker: int, shared: mmap.mmap) -> tuple[int, bool]:
    """Wait for a worker; return its wait status and whether it had to be killed because it hung."""
    pause = 0.001
    while True:
        pid, status = os.waitpid(worker, os.WNOHANG)
        if pid:
            return status, False
        _, began, computed, *_ = _PROGRESS.unpack(shared[:])
        waited = time.monotonic() - began if began else 0.0
        if waited > HANG_S and (waited > _PATIENCE * HANG_S or _computing_s(worker) - computed > HANG_S):
            _kill(worker)
            return os.waitpid(worker, 0)[1], True
        time.sleep(pause)
        pause = min(0.05, pause * 1.5)


def _kill(worker: int) -> None:
    """Kill a worker and its children, one of which may be what hangs."""
    with suppress(OSError):  # not every kernel lists them
        for child in Path(f"/proc/{worker}/task/{worker}/children").read_text(encoding="ascii").split():
            os.kill(int(child), signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)


def _computing_s(process: int) -> float:
    """Return the seconds of computing that a process has taken so far (proc(5))."""
    fields = (
        Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _end_of(status: int, hung: bool) -> str:
    if hung:
        return f"hang: longer than {HANG_S:g} s"
    code = os.waitstatus_to_exitcode(status)
    return f"abort: {signal.Signals(-code).name}" if code < 0 else f"abort: exit status {code}"


def minimised(target: Target, data: bytes, verdict: Verdict, seconds: float = 10.0) -> bytes:
    """Return a smaller input with the same fault, as far as removing pieces of it gets within this time."""
    until = time.monotonic() + seconds
    piece = len(data) // 2
    while piece >= 1 and time.monotonic() < until:
        start = 0
        while start < len(data) and time.monotonic() < until:
            shorter = data[:start] + data[start + piece :]
            if replay(target, shorter).signature == verdict.signature:
                data = shorter
            else:
                start += piece
        piece //= 2
    return data
