"""Matches the outputs of a network to the classes of a photo set, or to the outputs of another network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgenet.errors import EdgenetError

BACKGROUND = "background"
"""The first of the 1,001 labels of TF-slim's networks; no photo has this label."""


def outputs_for(
    class_names: Sequence[str], used: set[int], labels: Sequence[str], where: str
) -> dict[int, int]:
    """Return the network's output for every class index that the photos use.

    Three ways are tried in this order:

    1. By index, if at least nine of ten known names agree with the labels at those outputs. Not all need to agree,
       because ImageNet's names are spelled in several ways and some occur twice.
    2. By name, if every name occurs exactly once among the labels.
    3. By index, if nothing contradicts it: no name is known, or there are as many classes as outputs and no name
       belongs to another output.

    By index means that the output is the class index, plus one if the network's first output is "background".

    Args:
        class_names: the photo set's class names; "" for unknown ones.
        used: the class indices that occur.
        labels: the network's labels, one per output.
        where: the photo set's name for error messages.

    Raises:
        EdgenetError: none of the ways fits.
    """
    indices = sorted(used)
    names = [class_names[index] for index in indices]
    shift = _shift(labels)
    numbered = [index + shift for index in indices]
    by_name = _by_name(names, labels)
    in_range = numbered[-1] < len(labels)
    same_count = len(class_names) == len(labels) - shift
    if in_range and _say_so(names, [labels[output] for output in numbered]):
        return dict(zip(indices, numbered, strict=True))
    if None not in by_name:
        return {index: output for index, output in zip(indices, by_name, strict=True) if output is not None}
    if in_range and (not any(names) or (same_count and not _elsewhere(by_name, numbered))):
        return dict(zip(indices, numbered, strict=True))
    raise _unmatched(class_names, used, labels, where)


def corresponding(labels: Sequence[str], others: Sequence[str]) -> list[int | None]:
    """Return, for every output of a network, the output of another network for the same class, or None.

    Networks with equal numbers of classes, not counting "background", are matched by position unless their labels
    contradict that. Networks with different numbers of classes are matched by label.

    Args:
        labels: the network's labels, one per output.
        others: the other network's labels, one per output.
    """
    shift, other_shift = _shift(labels), _shift(others)
    background: list[int | None] = [0 if other_shift else None] * shift
    by_name = _by_name(labels[shift:], others)
    numbered = list(range(other_shift, len(others)))
    same_count = len(by_name) == len(numbered)
    if same_count and (_say_so(labels[shift:], others[other_shift:]) or not _elsewhere(by_name, numbered)):
        return [*background, *numbered]
    return background + by_name


def _by_name(names: Sequence[str], labels: Sequence[str]) -> list[int | None]:
    """Return the index of every name among the labels; None for a name that is missing or occurs several times."""
    counts = Counter(map(_plain, labels))
    position = {_plain(label): index for index, label in enumerate(labels)}
    return [position[_plain(name)] if counts[_plain(name)] == 1 else None for name in names]


def _say_so(names: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether at least nine of ten known names equal the labels at the same places."""
    agree = [_plain(name) == _plain(label) for name, label in zip(names, labels, strict=True) if name]
    return bool(agree) and sum(agree) >= 0.9 * len(agree)


def _elsewhere(by_name: Sequence[int | None], numbered: Sequence[int]) -> bool:
    """Return whether a name was found at another output than the numbering gives."""
    return any(found not in (None, at) for found, at in zip(by_name, numbered, strict=True))


def _shift(labels: Sequence[str]) -> int:
    return 1 if labels and _plain(labels[0]) == BACKGROUND else 0


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").strip()


def _unmatched(class_names: Sequence[str], used: set[int], labels: Sequence[str], where: str) -> EdgenetError:
    found = f"{where} has {len(class_names)} classes and the network has {len(labels)} outputs"
    known = Counter(map(_plain, labels))
    named = [class_names[index] for index in sorted(used) if class_names[index]]
    missing = [name for name in named if not known[_plain(name)]]
    ambiguous = [name for name in named if known[_plain(name)] > 1]
    if missing:
        found += f"; not among its labels: {_some(missing)}"
    elif ambiguous:
        found += f"; several of its outputs are called {_some(ambiguous)}"
    return EdgenetError(found, "give the classes the names of the network's labels")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
