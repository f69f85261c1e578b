"""Run conversions as measured processes, and keep their files until code or inputs change."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import measure
from benchmarks.quantizing.converters import Converter
from benchmarks.quantizing.networks import Network
from edgenet.errors import EdgenetError
from edgenet.files import sha256


@dataclass(frozen=True)
class Converted:
    """A file that a converter made.

    Attributes:
        network: key of the network.
        converter: name of the converter.
        photos: name of the calibration set.
        path: the file; None if the converter failed.
        error: the end of the converter's output if it failed.
        wall_s, peak_mib: wall time and peak memory of the whole process, from when it ran.
        repeatable: whether a second conversion gave the same bytes; None if there was none.
    """

    network: str
    converter: str
    photos: str
    path: Path | None
    error: str | None
    wall_s: float
    peak_mib: float
    repeatable: bool | None


@dataclass(frozen=True)
class Workshop:
    """The place where converted files are kept.

    Attributes:
        folder: holds the files, and beside each a .json with its costs.
        again: run every conversion even if its file is kept, to measure its time.
    """

    folder: Path
    again: bool


def convert(workshop: Workshop, converter: Converter, network: Network, photos: Path, name: str) -> Converted:
    """Return a converter's file, made now or kept from an earlier run with the same code and inputs.

    Args:
        photos: folder of calibration photos.
        name: name of the calibration set.
    """
    folder = workshop.folder / network.key / converter.name.replace("/", "").replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    out, note = folder / f"{name}{converter.suffix}", folder / f"{name}.json"
    mark = _fingerprint(converter, network, photos, out)
    kept = _kept(out, note, mark)
    if kept is not None and not workshop.again:
        return kept
    before = sha256(out) if kept is not None else None
    made = _run(converter, network, photos, out)
    if made.path is not None:
        repeatable = None if before is None else sha256(out) == before
        made = dataclasses.replace(made, photos=name, repeatable=repeatable)
        values = dataclasses.asdict(made) | {"path": str(out), "fingerprint": mark}
        note.write_text(json.dumps(values, indent=1))
    _print_cost(made, name)
    return dataclasses.replace(made, photos=name)


def _run(converter: Converter, network: Network, photos: Path, out: Path) -> Converted:
    try:
        cost = measure(converter.command(network, photos, out), out.with_suffix(".log"))
    except EdgenetError as error:
        return Converted(network.key, converter.name, "", None, str(error), 0.0, 0.0, None)
    return Converted(network.key, converter.name, "", out, None, cost.wall_s, cost.peak_mib, None)


def _print_cost(made: Converted, name: str) -> None:
    cost = f"{made.wall_s:.1f} s, {made.peak_mib:.0f} MiB" if made.path else f"failed: {made.error}"
    print(f"{made.network}, {made.converter}, {name}: {cost}", file=sys.stderr, flush=True)


def _kept(out: Path, note: Path, mark: str) -> Converted | None:
    if not (out.is_file() and note.is_file()):
        return None
    values = json.loads(note.read_text())
    if values.pop("fingerprint") != mark:
        return None
    return Converted(**(values | {"path": out}))


def _fingerprint(converter: Converter, network: Network, photos: Path, out: Path) -> str:
    """Return the SHA-256 of the command and of every file that affects its result.

    The names of the note's fields are included, so that a note that another version wrote is not read.
    """
    command = [part for part in converter.command(network, photos, out) if part != str(out)]
    inputs = [Path(part) for part in command[1:] if Path(part).is_file()]
    fields = [field.name for field in dataclasses.fields(Converted)]
    digest = hashlib.sha256("\0".join([*fields, *command]).encode())
    for path in _files([*converter.code, *inputs, photos]):
        digest.update(f"\0{path.name}\0{sha256(path)}".encode())
    return digest.hexdigest()


def _files(paths: Sequence[Path]) -> list[Path]:
    """Return the files among `paths` and in its folders, in a fixed order, without compiled Python files.

    Raises:
        EdgenetError: one of `paths` does not exist; without it a change would go unnoticed.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise EdgenetError(f"there is no {path}", "correct the path in benchmarks/")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [file for file in inside if file.is_file() and file.suffix != ".pyc"]
    return found
