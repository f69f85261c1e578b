"""The command `edgenet`. Each command is a thin module that imports its `edgenet.workflows` module when called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from edgenet.commands.bench import bench_command
from edgenet.commands.camera import camera_command, capture_command
from edgenet.commands.convert import convert_command
from edgenet.commands.demo import demo_command
from edgenet.commands.deploy import deploy_command, status_command
from edgenet.commands.evaluate import evaluate_command
from edgenet.commands.export_scripts import export_scripts_command
from edgenet.commands.inspect import inspect_command
from edgenet.commands.models import models_command
from edgenet.commands.option_groups import typer_command
from edgenet.commands.package import package_command
from edgenet.commands.reports import compare_command, report_command
from edgenet.commands.sweep import select_command, sweep_command
from edgenet.commands.train import train_command
from edgenet.errors import EdgenetError

TRACEBACK = "EDGENET_TRACEBACK"
EXIT_STATUS = """\b
Exit status:
  0    The command is done.
  1    The command failed; one line on standard error says why.
  2    The command was used wrongly, for example with an unknown option.
  3    Everything was measured, but with --require-valid a measurement is not valid.
  130  The command was interrupted by Ctrl-C.
"""
app = typer.Typer(
    name="edgenet",
    help="Train, quantize and package MobileNets, and run them live on a Raspberry Pi or Android phone.",
    epilog=EXIT_STATUS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Show help as plain text: importing rich's panels would take as long as all other imports together.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "models": models_command,
    "train": train_command,
    "convert": convert_command,
    "evaluate": evaluate_command,
    "inspect": inspect_command,
    "package": package_command,
    "deploy": deploy_command,
    "status": status_command,
    "export-scripts": export_scripts_command,
    "camera": camera_command,
    "capture": capture_command,
    "bench": bench_command,
    "report": report_command,
    "compare": compare_command,
    "select": select_command,
    "sweep": sweep_command,
    "demo": demo_command,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(typer_command(_command))


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"edgenet {version('edgenet')}")
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
    """Run the command line.

    `EXIT_STATUS` says what the exit status means.
    """
    # By default OpenMP's threads spin while they wait. On a busy machine this made torch ten times slower
    # (measured on 2 cores).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(prog_name="edgenet")
    except EdgenetError as error:
        _fail(str(error))
    except MemoryError:
        _fail("there is not enough memory; close other programs, or use a smaller network or fewer photos")
    except Exception as error:
        if TRACEBACK in os.environ:
            raise
        _fail(
            f"this is a fault of edgenet itself ({type(error).__name__}: {error}); set {TRACEBACK}=1 and report it"
        )


def _fail(reason: str) -> None:
    # A file's name or a library's message may hold line breaks; print one line in any case.
    print(f"edgenet: {' '.join(reason.split())}", file=sys.stderr)
    sys.exit(1)
