"""The studio's long work: edgenet's own commands in child processes, whose progress every open page sees.

A command runs in a process of its own, so that it can be stopped, that its memory is freed at its end, and that what
the page does is exactly what the command does.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from edgenet_device.foreign_text import one_line, read_json

from edgenet.errors import EdgenetError
from edgenet.progress import PROGRESS_VARIABLE
from edgenet.studio_app.events import Events

_MOST_RESULT = 16 << 20
_MOST_LINES = 200
_TELL_EVERY_S = 0.2
_LONGEST_LINE = 2000


@dataclass
class Job:
    """One child process.

    Attributes:
        number: counts the jobs of this server from 1.
        kind: what it is for, such as "teach"; the page shows a job in the step of its kind.
        about: further facts for the page, such as the name of the run.
        state: "running", "stopping", "done", "failed" or "stopped".
        stage, done, total: the progress that the command reported last.
        lines: the lines that it logged.
        result: the JSON that it printed at its end.
        error: the line with which it failed.
        began, ended: seconds since 1970.
    """

    number: int
    kind: str
    about: dict[str, Any]
    state: str = "running"
    stage: str = ""
    done: int = 0
    total: int | None = None
    lines: list[str] = field(default_factory=list)
    result: Any = None
    error: str = ""
    began: float = field(default_factory=time.time)
    ended: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what a page sees of the job."""
        ended = self.ended  # read first, as it is set last: a job that has ended shows its last state
        return {name: getattr(self, name) for name in Job.__dataclass_fields__} | {"ended": ended}


class Jobs:
    """Starts and stops child processes of `edgenet`."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._numbers = itertools.count(1)
        self._jobs: dict[str, Job] = {}
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self.closing = False
        """Whether the server ends, so that a stopped job is to be resumed at its next start."""

    def latest(self) -> list[Job]:
        """Return the latest job of each kind."""
        return list(self._jobs.values())

    def of_kind(self, kind: str) -> Job | None:
        """Return the latest job of a kind; None before the first."""
        return self._jobs.get(kind)

    def is_running(self, kind: str) -> bool:
        """Return whether a job of a kind is running."""
        job = self._jobs.get(kind)
        return job is not None and job.number in self._running

    def start(
        self,
        kind: str,
        arguments: Sequence[str],
        about: dict[str, Any] | None = None,
        on_end: Callable[[Job], None] = lambda job: None,
        on_line: Callable[[Job, str], None] = lambda job, line: None,
        keep_output: bool = True,
    ) -> Job:
        """Start `edgenet ARGUMENTS` with --json; one job of a kind runs at a time.

        Args:
            on_end: called in another thread when the process has ended, before pages hear of it.
            on_line: called in another thread with each line that the command logs.
            keep_output: False for a command whose output never ends; it gets no --json.

        Raises:
            EdgenetError: a job of this kind is running, or the process cannot be started.
        """
        with self._lock:
            if self.is_running(kind):
                raise EdgenetError(f"{kind} is running already", "wait until it ends, or stop it")
            job = Job(next(self._numbers), kind, about or {})
            # Behind a -- it would be an option of camera.py.
            words = [arguments[0], "--json", *arguments[1:]] if keep_output else arguments
            try:
                process = subprocess.Popen(
                    [sys.executable, "-m", "edgenet", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if keep_output else subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env={**os.environ, PROGRESS_VARIABLE: "json"},
                    start_new_session=True,  # Ctrl-C in the server's terminal is for the server
                )
            except OSError as error:
                raise EdgenetError(f"edgenet cannot be started: {error.strerror}", "try again") from None
            self._jobs[kind], self._running[job.number] = job, process
        threading.Thread(target=self._follow, args=(job, process, on_end, on_line), daemon=True).start()
        self._tell(job)
        return job

    def stop(self, kind: str) -> None:
        """Ask the running job of a kind to stop; nothing happens if none is running."""
        with self._lock:
            job = self._jobs.get(kind)
            process = None if job is None else self._running.get(job.number)
            if job is None or process is None or process.poll() is not None:
                return
            job.state = "stopping"
        process.send_signal(signal.SIGTERM)
        self._tell(job)

    def close(self, patience_s: float = 10.0) -> None:
        """End all jobs, also those that do not listen."""
        self.closing = True
        processes = list(self._running.values())
        for process in processes:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + patience_s
        for process in processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _follow(
        self,
        job: Job,
        process: subprocess.Popen[bytes],
        on_end: Callable[[Job], None],
        on_line: Callable[[Job, str], None],
    ) -> None:
        assert process.stderr is not None
        reader = threading.Thread(target=self._read_lines, args=(job, process.stderr, on_line), daemon=True)
        reader.start()
        text = b"" if process.stdout is None else process.stdout.read(_MOST_RESULT)
        status = process.wait()
        reader.join(5)
        try:
            job.result = read_json(text) if text.strip() else None
        except ValueError:
            job.result = None
        with self._lock:
            stopped = job.state == "stopping" or self.closing
            job.state = "done" if status == 0 else "stopped" if stopped else "failed"
        if job.state == "failed" and not job.error:
            job.error = f"the command ended with exit status {status}"
        try:
            on_end(job)
        except (EdgenetError, OSError) as error:
            job.state, job.error = "failed", one_line(str(error), _LONGEST_LINE)
        finally:
            # Only now, because whoever sees that the job has ended may start the next one at once.
            with self._lock:
                job.ended = time.time()
                self._running.pop(job.number, None)
            self._tell(job)

    def _read_lines(self, job: Job, stream: IO[bytes], on_line: Callable[[Job, str], None]) -> None:
        told = 0.0
        for raw in iter(lambda: stream.readline(1 << 16), b""):
            text = raw.decode("utf-8", "replace").strip()
            stage = job.stage
            line = _take_line(job, text)
            if line:
                on_line(job, line)
            if line or job.stage != stage or time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                self._tell(job)

    def _tell(self, job: Job) -> None:
        self._events.publish("job", job.as_json())


def _take_line(job: Job, text: str) -> str:
    """Put a line of the command's standard error into the job, and return what it logged; "" for progress."""
    try:
        value = read_json(text) if text.startswith("{") else None
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("stage"), str):
        job.stage = one_line(value["stage"])
        job.done, job.total = _count(value.get("done")) or 0, _count(value.get("total"))
        return ""
    logged = value.get("log") if isinstance(value, dict) else text
    line = one_line(logged, _LONGEST_LINE) if isinstance(logged, str) else ""
    if line.startswith("edgenet: "):
        job.error = line.removeprefix("edgenet: ")
    elif line:
        job.lines = [*job.lines, line][-_MOST_LINES:]
    return line


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
