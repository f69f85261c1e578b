"""What every script here shares: exit statuses, options and their types, and how signals end a program."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, NoReturn

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import LONGEST_LINE, is_number, one_line, printable_lines, say
from edgenet_device.source_text import read_source
from edgenet_device.streams import BROKEN_PIPE_STATUS, discard_output, prepare_streams

_PACKAGES = {
    "cv2": "pip install opencv-python-headless (Raspberry Pi OS: sudo apt install python3-opencv)",
    "numpy": "pip install numpy (Raspberry Pi OS: sudo apt install python3-numpy)",
}
TRACEBACK = "EDGENET_TRACEBACK"
"""Environment variable: with it, an unexpected exception shows its traceback."""
NOT_VALID = 3
"""The exit status of a measurement that is not valid, where the user required a valid one."""


def run(main: Callable[[], int]) -> int:
    """Call a script's main function and turn the exceptions it raises into an exit status.

    Returns:
        main's own result; 2 after wrong usage; 1 after an EdgenetError, a missing package, too little memory,
        an output that cannot be written or any other exception, each printed as one line on stderr; 130 after
        Ctrl-C; 141 when the reader of the output stopped reading (as in `| head`).
    """
    prepare_streams()
    try:
        status = _status(main)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE_STATUS
    except OSError as error:
        discard_output()
        # An error in opening a file names that file; one in writing a stream names none.
        return _fail(
            f"the output cannot be written: {error.strerror}" if error.filename is None else str(error)
        )


def _status(main: Callable[[], int]) -> int:
    try:
        return main()
    except SystemExit as ended:  # argparse, after --help or wrong usage
        return ended.code if isinstance(ended.code, int) else 0
    except EdgenetError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name in _PACKAGES:
            return _fail(f"the package {error.name} is not installed; {_PACKAGES[error.name]}")
        return _fail_for_fault(error)
    except MemoryError:
        return _fail("not enough memory; close other programs or use a smaller network")
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (errno.EMFILE, errno.ENFILE):
            raise  # `run` reports an output that cannot be written
        return _fail_for_fault(error)


def _fail_for_fault(error: Exception) -> int:
    """Report an exception that nobody expected; the status is that of every failure, so a service restarts."""
    if TRACEBACK in os.environ:
        raise error
    name = type(error).__name__
    return _fail(f"this is a fault of edgenet itself ({name}: {error}); set {TRACEBACK}=1 and report it")


def _fail(message: str) -> int:
    with suppress(OSError):  # stderr may be as full as stdout
        say(f"error: {one_line(message, LONGEST_LINE)}", sys.stderr)
    return 1


def script_parser(name: str, about: str | None) -> ScriptParser:
    """Return a script's parser; its description is the first line of `about`, the script's docstring."""
    return ScriptParser(prog=name, description=(about or "").partition("\n")[0])


class ScriptParser(argparse.ArgumentParser):
    """A script's parser.

    Attributes:
        refuse: called with what is wrong with a command line instead of ending the program; it must raise.
    """

    refuse: Callable[[str], NoReturn] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse a command line, in which the normalization -1..1 is a value, though it begins as an option does."""
        joined: list[str] = []
        for argument in sys.argv[1:] if args is None else args:
            before = joined[-1] if joined else ""
            is_value = argument[:1] == "-" and is_number(argument[1:2])
            if is_value and before.startswith("--") and before != "--" and "=" not in before:
                joined[-1] += f"={argument}"
            else:
                joined.append(argument)
        return super().parse_known_args(joined, namespace)

    def error(self, message: str) -> NoReturn:
        """Report an error of usage and end the program, or hand it to `refuse`."""
        if self.refuse is not None:
            self.refuse(message)
        super().error(message)

    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse itself would ignore an output that cannot take it."""
        if self.refuse is not None:
            self.refuse("--help is no option here")
        print(self.format_help(), end="", file=file, flush=True)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print an error of usage, which repeats what was typed: a shell may have put in a file's name."""
        super()._print_message(printable_lines(message), file)


def add_source(shape: argparse.ArgumentParser, help_text: str) -> None:
    """Add the argument SOURCE, which may also be given as the option --source; see `parse_with_source`."""
    shape.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help=f"{help_text}; @FILE for what that file holds, such as a URL with a password",
    )
    shape.add_argument(
        "--source", dest="source_option", metavar="SOURCE", help="the same as the argument SOURCE"
    )


def add_threads(shape: argparse.ArgumentParser) -> None:
    """Add the option --threads, for the threads that run the network."""
    threads = default_threads()
    shape.add_argument(
        "--threads",
        metavar="N",
        type=at_least(1),
        default=threads,
        help=f"threads that run the network (default: one per CPU, at most 4; on this machine {threads})",
    )


def add_model_facts(shape: argparse.ArgumentParser) -> None:
    """Add the options --labels and --normalization, for models of other makers that do not carry these."""
    shape.add_argument(
        "--labels",
        metavar="FILE",
        type=Path,
        help="text file of class names, one per line, for a model that carries none",
    )
    shape.add_argument(
        "--normalization",
        metavar="NAME",
        help="what pixels go through before a model that does not say it: imagenet, -1..1, centred, 0..1, 0..255, or "
        "mean/std in 0..255 as R,G,B/R,G,B",
    )


def parse_with_source(
    shape: argparse.ArgumentParser, arguments: list[str] | None, default: str | None = None
) -> argparse.Namespace:
    """Parse a command line; SOURCE may stand among the options, or be one, and "@FILE" is replaced by what FILE says.

    Args:
        default: the source if none is given; None makes its absence a usage error, as giving two is.

    Raises:
        EdgenetError: FILE cannot be read or holds no source.
    """
    # Plain parsing would end the positional arguments at the first option.
    given = shape.parse_intermixed_args(arguments)
    if given.source is not None and given.source_option is not None:
        shape.error("give either the argument SOURCE or the option --source, not both")
    source = given.source_option if given.source is None else given.source
    source = default if source is None else source
    if source is None:
        shape.error("the following arguments are required: SOURCE")
    given.source = read_source(source)
    return given


def at_least(minimum: int) -> Callable[[str], int]:
    """Return an argparse type: whole numbers from `minimum` up; others are usage errors (exit status 2)."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is below {minimum}")
        return value

    return whole_number


def between(lowest: float, highest: float) -> Callable[[str], float]:
    """Return an argparse type: numbers from `lowest` to `highest`; others are usage errors (exit status 2)."""

    def number(text: str) -> float:
        value = float(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text} is not between {lowest:g} and {highest:g}")
        return value

    return number


def usable_cpus() -> list[int]:
    """Return the numbers of the CPUs that this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def default_threads() -> int:
    """Return the number of threads that run a network unless the user says otherwise: one per CPU, at most 4."""
    return min(4, len(usable_cpus()))


class ExitState:
    """How a block ended.

    Attributes:
        status: the exit status: 0, or 128 plus the number of the signal that ended the block.
    """

    status = 0


@contextmanager
def ended_by_signals() -> Iterator[ExitState]:
    """Raise KeyboardInterrupt inside the block on Ctrl-C or SIGTERM; do nothing outside the main thread.

    SIGTERM stops a service; its program then ends in the same way as after Ctrl-C.
    """
    ended = ExitState()

    def end(number: int, frame: object) -> None:
        ended.status = 128 + number
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
