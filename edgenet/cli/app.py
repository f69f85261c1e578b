"""The command `edgenet`: one thin file for each verb, whose room is imported only when it is called."""

from __future__ import annotations

import os
import sys

import typer

from device_scripts.errors import EdgenetError
from edgenet.cli import convert, demo, evaluate, inspect, models, package

TRACEBACK = "EDGENET_TRACEBACK"

app = typer.Typer(
    name="edgenet",
    help="Train, quantize and package MobileNets, and run them live on a Raspberry Pi or Android phone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (models, convert, evaluate, inspect, package, demo):
    app.command(verb.__name__.rsplit(".", 1)[-1])(verb.command)


def main() -> None:
    """Runs the command line: exit status 0 done, 1 failed with one line, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except EdgenetError as error:
        print(f"edgenet: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("edgenet: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if TRACEBACK in os.environ:
            raise
        kind, text = type(error).__name__, " ".join(str(error).split())
        print(f"edgenet: a fault of edgenet itself ({kind}: {text}); set {TRACEBACK}=1 and report it", file=sys.stderr)
        sys.exit(1)
