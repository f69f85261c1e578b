"""Which output of a network stands for which class of a photo set, or for which output of another network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgenet.errors import EdgenetError

BACKGROUND = "background"
"""The first of the 1,001 labels of TF-slim's networks; no photo shows it."""


def outputs_for(
    class_names: Sequence[str], used: set[int], labels: Sequence[str], where: str
) -> dict[int, int]:
    """For every class index that the photos use, the network's output.

    The class index is the output, shifted by one for networks whose first output is "background", where nine of ten
    names say so (ImageNet's names are spelled in several ways, and some are there twice). Otherwise classes are
    matched by name, if every name is there once. Otherwise by index again, if nothing speaks against it: no name is
    known, or there are as many classes as outputs and no name stands at another place.

    Args:
        class_names: the photo set's names, "" where unknown.
        used: the class indices that occur.
        labels: the network's, one per output.
        where: the photo set, for errors.

    Raises:
        EdgenetError: neither way fits.
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
    """For every output of a network the output of another that stands for the same class, None where none does.

    Networks with as many classes, "background" aside, correspond by position unless their names say otherwise;
    networks with different numbers of classes have in common what has the same name.

    Args:
        labels: the network's, one per output.
        others: the other network's.
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
    """The place of every name among the labels; None where it is not there or there twice."""
    counts = Counter(map(_plain, labels))
    position = {_plain(label): index for index, label in enumerate(labels)}
    return [position[_plain(name)] if counts[_plain(name)] == 1 else None for name in names]


def _say_so(names: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether nine of ten of the known names are the labels beside them."""
    agree = [_plain(name) == _plain(label) for name, label in zip(names, labels, strict=True) if name]
    return bool(agree) and sum(agree) >= 0.9 * len(agree)


def _elsewhere(by_name: Sequence[int | None], numbered: Sequence[int]) -> bool:
    """Whether a name stands at another place than its number says."""
    return any(found not in (None, at) for found, at in zip(by_name, numbered, strict=True))


def _shift(labels: Sequence[str]) -> int:
    return 1 if labels and _plain(labels[0]) == BACKGROUND else 0


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").strip()


def _unmatched(class_names: Sequence[str], used: set[int], labels: Sequence[str], where: str) -> EdgenetError:
    found = f"{where} has {len(class_names)} classes and the network {len(labels)} outputs"
    known = Counter(map(_plain, labels))
    named = [class_names[index] for index in sorted(used) if class_names[index]]
    missing = [name for name in named if not known[_plain(name)]]
    ambiguous = [name for name in named if known[_plain(name)] > 1]
    if missing:
        found += f"; not among its labels: {_some(missing)}"
    elif ambiguous:
        found += f"; several of its outputs are called {_some(ambiguous)}"
    return EdgenetError(found, "name the classes as the network's labels")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
