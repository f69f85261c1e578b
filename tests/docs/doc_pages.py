"""Reads the pages of documentation: their blocks, the marks above the blocks, their links and their options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
RUN_PAGES = (README, DOCS / "verbs.md", DOCS / "on-the-device.md")
"""The pages whose commands the tests run."""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"<!-- (not run|same as in):? ?((?:(?!-->).)*) -->\n$", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: the word after the fence, such as "console".
        text: what is between the fences.
        line: the number of the first line of `text`, from 1.
        mark: "not run", "same as in", or empty, from the comment right above the block.
        reason: the rest of that comment.
        follows: whether only the fence of the previous block is above it: its output, if that one is a command.
    """

    language: str
    text: str
    line: int
    mark: str
    reason: str
    follows: bool

    @property
    def runs(self) -> bool:
        """Whether the tests run the block."""
        return self.language in ("console", "python") and not self.mark


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found, end = [], 0
    for match in _FENCE.finditer(text):
        mark = _MARK.search(text[: match.start()])
        found.append(
            Block(
                match[1],
                match[2],
                text.count("\n", 0, match.start()) + 2,
                mark[1] if mark else "",
                mark[2] if mark else "",
                bool(found) and not text[end : match.start()].strip(),
            )
        )
        end = match.end()
    return found


def commands(text: str) -> list[str]:
    """Return the commands of a console block, without comments and with continued lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.split("  #")[0].strip()]


def prose(page: Path) -> str:
    """Return the text of a page outside its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
