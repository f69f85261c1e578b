"""Tells how hard pages are to read: the grade of Flesch and Kincaid, in years of school, of their prose.

    python -m tools.reading_grade               # README.md and the tutorials
    python -m tools.reading_grade docs/faq.md

The grade is 0.39 x words per sentence + 11.8 x syllables per word - 15.59 (Kincaid and others, 1975). Blocks of code,
tables, headings and comments are left out; `code` within a sentence counts as one short word, because it is looked at
rather than read. Syllables are counted by groups of vowels, which is right to a few percent over a page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "docs/teach-your-pi.md",
    "docs/studio.md",
    "docs/fleets.md",
    "docs/on-the-device.md",
    "docs/events.md",
    "docs/own-photos.md",
    "docs/faq.md",
)
"""README and the tutorials."""


def main(names: list[str]) -> int:
    """Print the grade of each page."""
    for name in names or PAGES:
        print(f"{name:28} {grade((ROOT / name).read_text(encoding='utf-8')):5.1f}")
    return 0


def grade(text: str) -> float:
    """Return the grade of a Markdown text."""
    sentences = [
        found for one in re.split(r"[.!?]+\s|\n\n", prose(text)) if (found := re.findall(r"[a-z']+", one))
    ]
    words = [word for sentence in sentences for word in sentence]
    if not words:
        return 0.0
    syllables = sum(map(count_syllables, words))
    return 0.39 * len(words) / len(sentences) + 11.8 * syllables / len(words) - 15.59


def prose(text: str) -> str:
    """Return the sentences of a Markdown text in small letters."""
    text = re.sub(r"^```.*?^```$|<!--.*?-->", "\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(#|\||\$).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^\s*([-*]|\d+\.) ", "\n\n", text, flags=re.MULTILINE)
    return re.sub(r"`[^`]*`", " code ", text).lower()


def count_syllables(word: str) -> int:
    """Return about how many syllables an English word has; at least 1."""
    groups = len(re.findall(r"[aeiouy]+", word))
    silent = (word.endswith("e") and not word.endswith(("le", "ee"))) or re.search(
        r"[^td]ed$|[^sxzhc]es$", word
    )
    return max(1, groups - (1 if silent else 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
