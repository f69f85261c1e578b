"""Decides of one input whether the program behaved: it took the input, or refused it in one line.

All else is bad: another exception, output on the terminal that nobody asked for or that a terminal could take as a
command, a process started, a connection made, a file written outside the scratch folder, or more than 1 GiB of memory.
Aborts and hangs end the worker; `workers` sees those.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import printable

from edgenet.errors import EdgenetError

Check = Callable[[bytes], Any]
"""Gives an input to the program. It returns where the input is taken, and raises EdgenetError where it is refused."""
MOST_MEMORY = 1 << 30
"""Bytes by which one input may raise the memory of the worker."""
_ROOM = 3 << 30
"""Bytes that a worker gets: those that no page is used of do not count above, but must not fill the machine."""
_LONGEST_ERROR = 4000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.mkdir": 0,
    "os.rename": 1,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.link": 1,
    "os.symlink": 1,
    "os.truncate": 0,
}
_STARTS = {
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "socket.connect",
    "pickle.find_class",
}


@dataclass(frozen=True)
class Verdict:
    """What became of one input.

    Attributes:
        kind: "accepted", "refused" or "bad".
        said: one line: the message of the refusal, or what was bad.
        detail: of a bad input, what helps to mend the fault, such as the traceback.
    """

    kind: str
    said: str = ""
    detail: str = ""

    @property
    def signature(self) -> str:
        """What two inputs share that met the same fault or the same refusal: the line without its numbers and names."""
        line = re.sub(r"['\"].*|/\S+", "'", self.said)
        return f"{self.kind}: {re.sub(r'[0-9]+', '0', line)[:120]}"


class Judge:
    """Gives inputs to a check and watches what the process does; for a process that does nothing else.

    Args:
        folder: the scratch folder, the only place where files may be written.
        prints: whether the program may print lines, because it is a command and not a reader.
        starts: whether the program may start processes.
    """

    def __init__(self, folder: Path, prints: bool = False, starts: bool = False) -> None:
        self._prints, self._starts = prints, starts
        self._inside = (str(folder.resolve()), "/dev/null", "/proc/self/")
        self._seen: list[str] = []
        self._active = False
        self._output = os.open(folder / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            getattr(sys, name).flush()
            os.dup2(self._output, descriptor)
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))
        self._before = self._peak_before = 0
        limit = _data_bytes() + _ROOM
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.addaudithook(self._audit)

    def judge(self, check: Check, data: bytes) -> Verdict:
        """Return the verdict on one input."""
        self._seen.clear()
        self._printed()  # what came before, such as warnings in making the input, is not the program's
        self._before, self._peak_before = _resident(), _peak()
        self._active = True
        try:
            check(data)
            verdict = Verdict("accepted")
        except EdgenetError as error:
            verdict = _refused(error)
        # KeyboardInterrupt and SystemExit too: no input may end the program.
        except BaseException as error:
            lines = "".join(traceback.format_exception(error, limit=-12))
            verdict = Verdict(
                "bad", f"{type(error).__name__} in {_place_of(error)}: {error!s:.200}", lines[-6000:]
            )
        finally:
            self._active = False
        bad = self._misbehaviour()
        return verdict if verdict.kind == "bad" or bad is None else Verdict("bad", *bad)

    def _misbehaviour(self) -> tuple[str, str] | None:
        if self._seen:
            return self._seen[0], "\n".join(self._seen)
        if _peak() > self._peak_before and _peak() - self._before > MOST_MEMORY:
            return f"memory: more than {MOST_MEMORY >> 30} GiB for one input", ""
        text = self._printed()
        if text is None:
            return None
        fault = _fault_of_output(text) if self._prints else "printed something"
        return None if fault is None else (f"{fault}: {text[:100]!r}", text[:6000])

    def _printed(self) -> str | None:
        sys.stdout.flush()
        sys.stderr.flush()
        size = os.fstat(self._output).st_size
        if not size:
            return None
        text = os.pread(self._output, min(size, 1 << 20), 0).decode("utf-8", "backslashreplace")
        os.ftruncate(self._output, 0)
        return text

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and isinstance(flags, int) and flags & _WRITING:
                self._check_place(event, path)
        elif event in _CHANGES:
            self._check_place(event, arguments[_CHANGES[event]])
        elif event in _STARTS and not self._starts:
            self._seen.append(f"{event} was called: {arguments!r:.200}")

    def _check_place(self, event: str, path: Any) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return  # a descriptor, which was opened before
        place = os.path.abspath(os.fsdecode(path))
        if not place.startswith(self._inside):
            self._seen.append(f"{event} outside of the scratch folder: {place}")


def _refused(error: EdgenetError) -> Verdict:
    line = str(error)
    if len(line) > _LONGEST_ERROR:
        return Verdict("bad", f"an error of {len(line)} characters: {line[:100]}", line[:6000])
    if printable(line) != line:
        return Verdict("bad", f"an error that is no printable line: {line[:300]!r}", repr(line))
    return Verdict("refused", line)


def _fault_of_output(text: str) -> str | None:
    """Return what is wrong with what a command printed, or None."""
    if "Traceback" in text or "fault of edgenet itself" in text or "fault of the server" in text:
        return "told a fault of its own"
    plain = text.replace("\n", "")
    if printable(plain) != plain:
        return "printed what a terminal could take as a command"
    return None


def _place_of(error: BaseException) -> str:
    """Return the innermost function of ours that the exception passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/edgenet" in f.filename and "site-packages" not in f.filename]
    return f"{Path(ours[-1].filename).stem}.{ours[-1].name}" if ours else "no function of ours"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as status:
        return int(status.read().split()[1]) * resource.getpagesize()


def _data_bytes() -> int:
    """Return what RLIMIT_DATA counts: the private writable memory that this process has reserved."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))


def refusable(read: Callable[[], Any]) -> Any:
    """Return what a part of a check returns; None where it refuses the input, for a check that goes on after that.

    Raises:
        AssertionError: it refuses with a message that is bad.
    """
    try:
        return read()
    except EdgenetError as error:
        verdict = _refused(error)
        if verdict.kind == "bad":
            raise AssertionError(verdict.said) from error
        return None
