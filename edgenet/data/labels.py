"""The names of classes: the labels file of a network, and how the classes of photos are matched with it.

A labels file (`labels.txt`) has one name per line, in the order of the network's outputs.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from edgenet_device.model_file import without_numbers

from edgenet.errors import EdgenetError


def labels_text(labels: Sequence[str]) -> bytes:
    """Return the contents of a labels file: UTF-8, one name per line, each line ended by a newline.

    Names may repeat, as ImageNet's do.

    Raises:
        EdgenetError: a name is empty, starts or ends with a blank, or has a line break or another control character.
    """
    for number, label in enumerate(labels):
        if not label or label != label.strip() or _has_control_character(label):
            raise EdgenetError(
                f"label {number} is {label!r}",
                "give every class a name on one line, without blanks around it",
            )
    return "".join(f"{label}\n" for label in labels).encode()


def parse_labels(data: bytes, where: str) -> list[str]:
    """Return the names in a labels file written by edgenet or by a person.

    A missing last newline, CRLF line ends and a byte-order mark are accepted. If every line begins with its own number
    from 0, as Teachable Machine writes them ("0 cat"), the numbers are left out.

    Args:
        data: the file's bytes.
        where: the name of the file in error messages.

    Raises:
        EdgenetError: the file is not UTF-8, is empty, has a blank line, or a name has a control character.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EdgenetError(f"{where} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    labels = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    labels = [label.strip() for label in labels]
    if not any(labels):
        raise EdgenetError(
            f"{where} names no classes", "write one name per line, in the order of the outputs"
        )
    for number, label in enumerate(labels, start=1):
        if not label:
            raise EdgenetError(f"line {number} of {where} is blank", "write one name on every line")
        if _has_control_character(label):
            raise EdgenetError(
                f"line {number} of {where} has a control character: {label!r}", "write names in plain text"
            )
    return list(without_numbers(labels))


def _has_control_character(label: str) -> bool:
    """Return whether a name has a control character, which could move the cursor or change colours in a terminal."""
    return any(unicodedata.category(character) == "Cc" for character in label)


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

    By index means that the output is the class index, plus one if the network's first output is "background". If none
    of them fits, they are tried with the labels' first names: ImageNet's "tench, Tinca tinca" is a tench.

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
    shift = _background_offset(labels)
    numbered = [index + shift for index in indices]
    by_name = _by_name(names, labels)
    in_range = numbered[-1] < len(labels)
    same_count = len(class_names) == len(labels) - shift
    if in_range and _names_agree(names, [labels[output] for output in numbered]):
        return dict(zip(indices, numbered, strict=True))
    if None not in by_name:
        return {index: output for index, output in zip(indices, by_name, strict=True) if output is not None}
    if in_range and (not any(names) or (same_count and not _names_contradict(by_name, numbered))):
        return dict(zip(indices, numbered, strict=True))
    if _first_names(labels) != list(labels):
        return outputs_for(class_names, used, _first_names(labels), where)
    raise _unmatched(class_names, used, labels, where)


def matching_outputs(labels: Sequence[str], others: Sequence[str]) -> list[int | None]:
    """Return, for every output of a network, the output of another network for the same class, or None.

    Networks with equal numbers of classes, not counting "background", are matched by position unless their labels
    contradict that. Networks with different numbers of classes are matched by label.

    Args:
        labels: the network's labels, one per output.
        others: the other network's labels, one per output.
    """
    shift, other_shift = _background_offset(labels), _background_offset(others)
    background: list[int | None] = [0 if other_shift else None] * shift
    by_name = _by_name(labels[shift:], others)
    numbered = list(range(other_shift, len(others)))
    same_count = len(by_name) == len(numbered)
    if same_count and (
        _names_agree(labels[shift:], others[other_shift:]) or not _names_contradict(by_name, numbered)
    ):
        return [*background, *numbered]
    if _first_names(labels) != list(labels) or _first_names(others) != list(others):
        return matching_outputs(_first_names(labels), _first_names(others))
    return background + by_name


def _first_names(labels: Sequence[str]) -> list[str]:
    """Return what comes before the first comma of each label."""
    return [label.partition(",")[0].strip() or label for label in labels]


def _by_name(names: Sequence[str], labels: Sequence[str]) -> list[int | None]:
    """Return the index of every name among the labels; None for a name that is missing or occurs several times."""
    counts = Counter(map(_plain, labels))
    position = {_plain(label): index for index, label in enumerate(labels)}
    return [position[_plain(name)] if counts[_plain(name)] == 1 else None for name in names]


def _names_agree(names: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether at least nine of ten known names equal the labels at the same places."""
    agree = [_plain(name) == _plain(label) for name, label in zip(names, labels, strict=True) if name]
    return bool(agree) and sum(agree) >= 0.9 * len(agree)


def _names_contradict(by_name: Sequence[int | None], numbered: Sequence[int]) -> bool:
    """Return whether a name was found at another output than the numbering gives."""
    return any(found not in (None, at) for found, at in zip(by_name, numbered, strict=True))


BACKGROUND = "background"
"""The first of the 1,001 labels of TF-slim's networks; no photo has this label."""


def _background_offset(labels: Sequence[str]) -> int:
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
