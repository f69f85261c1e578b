"""Options in groups are options like others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from edgenet.commands.typer_command import typer_command

Size = Annotated[int, typer.Option("--size", help="How large.")]


@dataclass(frozen=True)
class Paper:
    """A group whose fields are checked together."""

    size: Size = 4
    colour: str = "white"

    def __post_init__(self) -> None:
        if self.size > 9 and self.colour != "white":
            raise typer.BadParameter("large paper is white")


@dataclass(frozen=True)
class Printer:
    """A group with another in it."""

    paper: Paper = Paper()
    draft: bool = False


@typer_command
def draw(printer: Printer, copies: int = 1) -> None:
    """Draw something."""
    typer.echo(f"{printer} {copies}")


@typer_command
def command(name: str, paper: Paper, copies: int = 1) -> None:
    """Print something."""
    typer.echo(f"{name} {paper} {copies}")


def run(*arguments: str, what: Callable[..., None] = command) -> tuple[int, str]:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(what)
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


def test_the_command_is_flat_and_in_order() -> None:
    assert list(inspect.signature(command).parameters) == ["name", "size", "colour", "copies"]
    assert "How large." in run("--help")[1]
    assert "Print something." in run("--help")[1]


def test_the_group_gets_its_options() -> None:
    assert run("it") == (0, "it Paper(size=4, colour='white') 1\n")
    assert run("it", "--size", "2", "--copies", "3") == (0, "it Paper(size=2, colour='white') 3\n")


def test_a_group_may_hold_groups() -> None:
    status, output = run("--size", "3", "--draft", "--copies", "2", what=draw)
    assert (status, output) == (0, "Printer(paper=Paper(size=3, colour='white'), draft=True) 2\n")


def test_wrong_usage() -> None:
    assert run("it", "--size", "much")[0] == 2
    status, output = run("it", "--size", "10", "--colour", "red")
    assert status == 2
    assert "large paper is white" in output
