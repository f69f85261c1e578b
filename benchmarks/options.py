"""Types of command line arguments that several benchmarks use."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence


def names_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return an argparse type for comma-separated names from `known`, or "all"; duplicates are dropped."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(known) if text == "all" else tuple(dict.fromkeys(text.split(",")))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"there is no '{unknown[0]}', choose from {','.join(known)}")
        return names

    return parse


def numbers(text: str) -> tuple[int, ...]:
    """An argparse type for comma-separated whole numbers that are not negative; duplicates are dropped."""
    found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    if min(found) < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return found
