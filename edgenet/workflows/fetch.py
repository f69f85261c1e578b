"""The verb `fetch`: brings files of official ImageNet weights to this machine, for work without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.progress import Log, Progress, in_stage, no_log, silent
from edgenet.workflows.arguments import checked
from edgenet.zoo.catalogue import (
    PretrainedWeights,
    default_entry,
    find_entry,
    variants_with_weights,
)
from edgenet.zoo.weights import fetch_file, local_file

ALL = "all"
"""The name that means the weights of every variant."""


@dataclass(frozen=True)
class Fetched:
    """One file of weights that is on this machine now.

    Attributes:
        name: the name by which commands take the weights, such as `mobilenet_v2_0.5_224:keras`.
        path: where the file is.
        size: the file's size in bytes.
        new: whether it was fetched now; else it was there.
        source: who published the weights, and under which name.
        licence: the licence of the weights, and what holds for all networks trained on ImageNet.
    """

    name: str
    path: str
    size: int
    new: bool
    source: str
    licence: str


@checked
def fetch(
    names: str | Sequence[str],
    *,
    origin: str | Path | None = None,
    progress: Progress = silent,
    log: Log = no_log,
) -> tuple[Fetched, ...]:
    """Bring files of weights into the cache folder, unless they are on this machine, and check all of them.

    A download that stops is continued. If some of several files cannot be had, the others are fetched all the same.

    Args:
        names: a variant's name, with or without a tag, or several; "all" for the weights that the names of all
            variants mean.
        origin: a folder, or the address of a folder on a server, that holds the files under their names in the
            catalogue; None for the official addresses.
        progress: called with each file's name, the number of bytes done, and the total.
        log: called with a line for each file that cannot be had, if there are several.

    Returns:
        the files in the order of the names.

    Raises:
        EdgenetError: there are no weights of such a name, or a file cannot be had or is another one; nothing of it is
            kept then.
        TypeError: an argument has the wrong type.

    >>> edgenet.fetch("mobilenet_v2_1.0_224")[0].name
    'mobilenet_v2_1.0_224:torchvision-v1'
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise EdgenetError(
            "there is no name of weights to fetch", f'give a name, such as {_example()}, or "{ALL}"'
        )
    entries = [entry for name in names for entry in _entries(name)]
    fetched, failures = [], []
    for entry in dict.fromkeys(entries):
        try:
            fetched.append(_fetch_one(entry, None if origin is None else str(origin), progress))
        except EdgenetError as error:
            failures.append(error)
            if len(entries) > 1:
                log(f"{entry.name}: {error.found}")
    if failures:
        first = failures[0]
        rest = f" ({len(failures)} of {len(entries)} files could not be fetched)" if len(entries) > 1 else ""
        raise EdgenetError(f"{first.found}{rest}", first.remedy)
    return tuple(fetched)


def _entries(name: str) -> list[PretrainedWeights]:
    if name != ALL:
        return [find_entry(name)]
    entries = [default_entry(variant) for variant in variants_with_weights()]
    return [entry for entry in entries if entry is not None]


def _example() -> str:
    return variants_with_weights()[0]


def _fetch_one(entry: PretrainedWeights, origin: str | None, progress: Progress) -> Fetched:
    new = local_file(entry) is None
    path = fetch_file(entry, origin, in_stage(progress, entry.file))
    return Fetched(entry.name, str(path), path.stat().st_size, new, entry.source, entry.terms)
