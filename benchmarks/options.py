"""Kinds of command line arguments that benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence


def names_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """An argparse type: names with commas between them, each of `known`, none twice."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"there is no '{unknown[0]}', choose from {','.join(known)}")
        return names

    return parse
