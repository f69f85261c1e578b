"""The command `edgenet`. Each subcommand is a thin module that imports its `edgenet.verbs` module when called."""

from __future__ import annotations

import os
import sys

import typer

from device_scripts.errors import EdgenetError
from edgenet.cli import (
    bench,
    camera,
    capture,
    compare,
    convert,
    demo,
    deploy,
    evaluate,
    inspect,
    models,
    package,
    report,
    select,
    status,
    sweep,
    train,
)

TRACEBACK = "EDGENET_TRACEBACK"

app = typer.Typer(
    name="edgenet",
    help="Train, quantize and package MobileNets, and run them live on a Raspberry Pi or Android phone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Show help as plain text: importing rich's panels would take as long as all other imports together.
    rich_markup_mode=None,
)
for verb in (
    models,
    train,
    convert,
    evaluate,
    inspect,
    package,
    deploy,
    status,
    camera,
    capture,
    bench,
    report,
    compare,
    select,
    sweep,
    demo,
):
    app.command(verb.__name__.rsplit(".", 1)[-1])(verb.command)


def main() -> None:
    """Run the command line.

    Exit status: 0 for success, 1 for a failure reported in one line, 2 for wrong usage, 130 after an interrupt.
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
