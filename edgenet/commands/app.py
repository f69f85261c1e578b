"""The command `edgenet`. Each command is a thin module that imports its `edgenet.workflows` module when called."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Annotated, Any, cast

import typer
from edgenet_device.foreign_text import LONGEST_LINE, one_line, printable_lines
from edgenet_device.streams import BROKEN_PIPE_STATUS, discard_output, prepare_streams
from typer.core import TyperGroup

from edgenet.commands.console import say
from edgenet.commands.interrupts import INTERRUPTED, caused_by_interrupt
from edgenet.commands.typer_command import typer_command
from edgenet.errors import EdgenetError

TRACEBACK = "EDGENET_TRACEBACK"
_OUTPUT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE}
EXIT_STATUS = """\b
Exit status:
  0    The command is done.
  1    The command failed; one line on standard error says why.
  2    The command was used wrongly, for example with an unknown option.
  3    Everything was measured, but with --require-valid a measurement is not valid.
  130  The command was interrupted by Ctrl-C.
"""
COMMANDS = {
    "models": "models.models_command",
    "fetch": "models.fetch_command",
    "train": "train.train_command",
    "convert": "convert.convert_command",
    "evaluate": "evaluate.evaluate_command",
    "inspect": "inspect.inspect_command",
    "package": "package.package_command",
    "new-key": "package.new_key_command",
    "publish": "package.publish_command",
    "deploy": "deploy.deploy_command",
    "configure": "configure.configure_command",
    "status": "status.status_command",
    "export-scripts": "package.export_scripts_command",
    "camera": "camera.camera_command",
    "capture": "camera.capture_command",
    "collect": "collect.collect_command",
    "bench": "bench.bench_command",
    "report": "bench.report_command",
    "compare": "bench.compare_command",
    "select": "sweep.select_command",
    "sweep": "sweep.sweep_command",
    "studio": "studio.studio_command",
    "demo": "demo.demo_command",
}
"""The function of each command, by its module in `edgenet.commands`, in the order of the help."""
# Show help as plain text: importing rich's panels would take as long as all other imports together.
_STYLE: dict[str, Any] = {"pretty_exceptions_enable": False, "rich_markup_mode": None}


class _Commands(Mapping[str, Any]):
    """The commands. Each is imported when it is looked up, so `edgenet convert` starts without all the others."""

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __getitem__(self, name: str) -> Any:
        module, function = COMMANDS[name].split(".")
        # Not by importlib.import_module: `interrupts` looks for the module of ours that began an import.
        imported = __import__(f"edgenet.commands.{module}", fromlist=[function])
        alone = typer.Typer(**_STYLE, add_completion=False)
        alone.command(name)(typer_command(getattr(imported, function)))
        return typer.main.get_command(alone)


class CommandGroup(TyperGroup):
    """The group of all commands.

    It makes errors of usage printable: they repeat what was typed, and a shell may have put in a file's name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = cast("dict[str, Any]", _Commands())

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the options before the command."""
        with _printable_usage_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, context: Any) -> Any:
        """Parse the command's own options, and run it."""
        with _printable_usage_errors():
            return super().invoke(context)


@contextmanager
def _printable_usage_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Newer versions of typer have their own copy of click's exceptions, which are known by their `show`.
        if hasattr(error, "show") and isinstance(message := getattr(error, "message", None), str):
            error.message = printable_lines(message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    name="edgenet",
    cls=CommandGroup,
    help="Train, quantize and package MobileNets, and run them live on a Raspberry Pi or Android phone.",
    epilog=EXIT_STATUS,
    no_args_is_help=True,
    **_STYLE,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"edgenet {version('edgenet')}")
        raise typer.Exit


@app.callback()
def _app_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit; `EXIT_STATUS` says what the exit status means."""
    prepare_streams()
    # By default the threads of OpenMP and OpenBLAS spin while they wait. On a busy machine this made torch ten times
    # slower, and training on 1,797 digits took 28 s of CPU time instead of 10 (measured on 2 cores). OpenBLAS, which
    # numpy uses for small matrices here, has no other setting for it than one thread.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    stdout = sys.stdout
    try:
        status = _run()
        stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except OSError as error:
        if not _is_output_error(error):
            raise
        status = _end_without_output(error)
    sys.exit(status)


def _run() -> int:
    """Run the command line and return the exit status.

    Raises:
        OSError: standard output cannot be written.
    """
    try:
        app(prog_name="edgenet")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer has turned it into status 1
            raise end.__context__ from None
        return end.code if isinstance(end.code, int) else 0
    except EdgenetError as error:
        return _fail(str(error))
    except MemoryError:
        return _fail(
            "there is not enough memory; close other programs, or use a smaller network or fewer photos"
        )
    except Exception as error:
        if caused_by_interrupt(error):
            return INTERRUPTED
        if _is_output_error(error) or TRACEBACK in os.environ:
            raise
        return _fail(
            f"this is a fault of edgenet itself ({type(error).__name__}: {error}); set {TRACEBACK}=1 and report it"
        )
    return 0


def _is_output_error(error: Exception) -> bool:
    """Return whether a stream cannot be written: an error in opening a file names that file, but this one does not."""
    return isinstance(error, OSError) and error.filename is None and error.errno in _OUTPUT_ERRORS


def _end_without_output(error: OSError) -> int:
    reader_gone = isinstance(error, BrokenPipeError) and _reader_gone()
    discard_output()
    if reader_gone:
        return BROKEN_PIPE_STATUS
    if isinstance(error, BrokenPipeError):
        return _fail("a program or connection that edgenet was writing to has ended")
    return _fail(f"the output cannot be written: {error.strerror}")


def _reader_gone() -> bool:
    """Return whether standard output is a pipe that nobody reads any more."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(1, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _fail(reason: str) -> int:
    # A file's name or a library's message may hold line breaks; print one line in any case.
    with suppress(OSError):  # stderr may be as full as stdout
        say(f"edgenet: {one_line(reason, LONGEST_LINE)}", err=True)
    return 1
