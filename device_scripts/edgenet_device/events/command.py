"""The sink --exec: starts a command for an event. There is no shell, a time limit, and a limit on what it may print."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import Event
from edgenet_device.events.hub import Picture, Sink
from edgenet_device.events.watcher import Happening, Trigger
from edgenet_device.foreign_text import one_line

if TYPE_CHECKING:
    Process = subprocess.Popen[bytes]

MOST_OUTPUT = 1 << 20
"""A command that prints more bytes is ended; what it prints is thrown away except for the end of it."""
_KEPT = 2000
_PIECE = 1 << 16
_LOOK_SECONDS = 0.05
_GRACE_SECONDS = 2.0


class CommandSink(Sink):
    """Runs a command for every event that one of its triggers waits for, one after another.

    The command gets the event in the environment variables EDGENET_KIND, EDGENET_LABEL and so on, one for each entry,
    and as one line of JSON on its standard input.

    Args:
        triggers: what starts the command.
        command: the command as it is typed; quotes work as in a shell, and nothing else does.
        limit_s: seconds after which a command that is still running is ended.

    Raises:
        EdgenetError: the command is empty, its quotes are not closed, there is no such program, or the system cannot
            end a command together with what it started.
    """

    capacity = 64
    attempts = 3

    def __init__(self, triggers: Sequence[Trigger], command: str, limit_s: float) -> None:
        if not hasattr(os, "killpg"):  # Windows
            raise EdgenetError("--exec needs a Unix system", "use --webhook or --mqtt here")
        self._triggers, self._limit_s = tuple(triggers), limit_s
        self._command = split_command(command)
        self._process: Process | None = None
        self.name = f"--exec {os.path.basename(self._command[0])}"

    def takes(self, happening: Happening) -> bool:
        """Return whether a trigger fires."""
        return any(trigger.fires(happening) for trigger in self._triggers)

    def deliver(self, event: Event, picture: Picture) -> None:
        """Run the command.

        Raises:
            EdgenetError: it cannot be started, failed, or was ended.
        """
        run_command(self._command, event, self._limit_s, self._started)

    def abort(self) -> None:
        """End the command that is running."""
        process = self._process
        if process is not None:
            _end(process)

    def _started(self, process: Process | None) -> None:
        self._process = process


def split_command(command: str) -> list[str]:
    """Return a command's words.

    Raises:
        EdgenetError: see `CommandSink`.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise EdgenetError(f"--exec {command}: {error}", "close the quotes") from None
    if not words or "\0" in command:
        raise EdgenetError("--exec has no command", "give a program and its arguments")
    if shutil.which(words[0]) is None:
        raise EdgenetError(
            f"--exec {command}: there is no program {words[0]}",
            "give its path, and make it executable (chmod +x); for a shell's words, give sh -c '...'",
        )
    return words


def facts_of(event: Event) -> dict[str, str]:
    """Return an event's entries as environment variables; an entry that is null is an empty text."""
    return {f"EDGENET_{name.upper()}": _text(value) for name, value in event.entries.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def run_command(
    command: Sequence[str],
    event: Event,
    limit_s: float,
    started: Callable[[Process | None], None] = lambda _: None,
) -> None:
    """Run a command to its end.

    Args:
        started: called with the process when it has started, and with None when it has ended.

    Raises:
        EdgenetError: it cannot be started, ended with another status than 0, ran for longer than `limit_s` seconds
            or printed more than MOST_OUTPUT bytes.
    """
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **facts_of(event)},
            start_new_session=True,  # so that a command is ended together with what it started
        )
    except (OSError, ValueError) as error:
        raise EdgenetError(f"it cannot be started: {getattr(error, 'strerror', None) or error}") from None
    started(process)
    with process:
        try:
            # An event is shorter than a pipe holds, so this never waits for the command to read it.
            with contextlib.suppress(OSError):
                os.write(process.stdin.fileno(), event.line().encode() + b"\n")  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
            said, trouble = _watched(process, time.monotonic() + limit_s)
        finally:
            _end(process)
            started(None)
    last = one_line(said.decode(errors="replace").strip().rpartition("\n")[2])
    after = f"; it said: {last}" if last else ""
    if trouble:
        raise EdgenetError(f"{trouble.format(limit=limit_s)} and was ended{after}")
    if process.returncode:
        raise EdgenetError(f"it ended with the status {process.returncode}{after}")


def _watched(process: Process, until: float) -> tuple[bytes, str]:
    """Read what a process prints until it ends; return the end of that, and why it has to be ended, if so."""
    said, count = b"", 0
    pipe = process.stdout.fileno()  # type: ignore[union-attr]
    os.set_blocking(pipe, False)
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        open_pipe = True
        while True:
            # The process is asked first: what it printed before its end is then still read.
            ended = process.poll() is not None
            if open_pipe and ready.select(0 if ended else _LOOK_SECONDS):
                piece = _piece(pipe)
                count += len(piece)
                said = (said + piece)[-_KEPT:]
                open_pipe = bool(piece)
                if count > MOST_OUTPUT:
                    return said, "it printed more than 1 MiB"
                if piece:
                    continue
            if ended:
                return said, ""
            if time.monotonic() >= until:
                return said, "it ran for longer than {limit:g} s"
            if not open_pipe:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(until - time.monotonic(), 0.0))


def _piece(pipe: int) -> bytes:
    try:
        return os.read(pipe, _PIECE)
    except OSError:
        return b""


def _end(process: Process) -> None:
    """End a process that is still running, with all that it started: first politely, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
