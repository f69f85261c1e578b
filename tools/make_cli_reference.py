"""Writes the reference of the command line from the commands themselves: what `--help` says, as a Markdown page.

    python -m tools.make_cli_reference > cli.md

`make docs` puts the page on the site. It is not kept in docs/, because it would only repeat the code.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import typer

from edgenet.commands.app import EXIT_STATUS, app

INTRODUCTION = """# Command line

This page is made from the commands: it has what `edgenet VERB --help` prints. [verbs.md](verbs.md) shows each of
them at work, with real output.
"""


def main() -> int:
    """Print the page."""
    sys.stdout.write(reference())
    return 0


def reference() -> str:
    """Return the whole page: each command that `edgenet --help` shows, in its order."""
    group: Any = typer.main.get_command(app)
    parts = [INTRODUCTION, "## Exit status\n\n" + _statuses()]
    parts += [_section(name, command) for name, command in group.commands.items() if not command.hidden]
    return "\n".join(parts)


def _statuses() -> str:
    lines = ["| status | meaning |", "|---|---|"]
    lines += [
        f"| {code} | {text} |" for code, text in re.findall(r"^  (\d+) +(.+)$", EXIT_STATUS, re.MULTILINE)
    ]
    return "\n".join(lines) + "\n"


def _section(name: str, command: Any) -> str:
    """Return a command's section: its usage, its text, and one row for each argument and option."""
    context = command.make_context(f"edgenet {name}", [], resilient_parsing=True)
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    lines = [f"## {name}", "", "```text", usage, "```", "", _escaped(_paragraphs(command.help or "")), ""]
    rows = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    if rows:
        lines += ["| argument or option | meaning |", "|---|---|"]
        lines += [f"| `{_cell(names)}` | {_escaped(_cell(text))} |" for names, text in rows]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> str:
    """Return a help text without its indentation and without the marks that keep the terminal from filling lines."""
    return "\n".join(line.strip() for line in text.replace("\b", "").splitlines()).strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Return a text in which a browser shows the placeholders in angle brackets."""
    return text.replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
