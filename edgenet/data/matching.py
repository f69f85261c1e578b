"""Which output of a network stands for which class of a photo set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgenet.errors import EdgenetError

BACKGROUND = "background"


def outputs_for(class_names: Sequence[str], used: set[int], labels: Sequence[str], where: str) -> dict[int, int]:
    """For every class index that the photos use, the network's output.

    Classes are matched by name where all names are known and unambiguous. Otherwise the class index is the output,
    shifted by one for networks whose first output is "background" (TF-slim's have 1,001).

    Args:
        class_names: the photo set's names, "" where unknown.
        used: the class indices that occur.
        labels: the network's, one per output.
        where: the photo set, for errors.

    Raises:
        EdgenetError: neither way fits.
    """
    by_name = _by_name(class_names, used, labels)
    if by_name is not None:
        return by_name
    shift = 1 if labels and labels[0] == BACKGROUND else 0
    numbered = "" in class_names or len(class_names) == len(labels) - shift
    if not numbered or max(used) + shift >= len(labels):
        known = {_plain(label) for label in labels}
        missing = [class_names[i] for i in sorted(used) if _plain(class_names[i]) not in known]
        raise EdgenetError(
            f"{where} has {len(class_names)} classes and the network {len(labels)} outputs; "
            f"not among its labels: {', '.join(missing[:5]) or 'none, but some are ambiguous'}",
            "name the class folders as the network's labels",
        )
    return {index: index + shift for index in used}


def _by_name(class_names: Sequence[str], used: set[int], labels: Sequence[str]) -> dict[int, int] | None:
    counts = Counter(_plain(label) for label in labels)
    position = {_plain(label): index for index, label in enumerate(labels)}
    wanted = {index: _plain(class_names[index]) for index in used}
    if any(counts[name] != 1 for name in wanted.values()):
        return None
    return {index: position[name] for index, name in wanted.items()}


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").strip()
