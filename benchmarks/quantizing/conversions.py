"""Running conversions as whole processes, measured, and keeping what they wrote for as long as it holds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import measure
from benchmarks.quantizing.contenders import Contender
from benchmarks.quantizing.networks import Network
from edgenet.errors import EdgenetError
from edgenet.files import sha256


@dataclass(frozen=True)
class Converted:
    """A file that a contender made.

    Attributes:
        network, contender, photos: who made it of what; `photos` is the calibration set's name.
        path: of the file; None where the contender failed.
        error: its last words then.
        wall_s, peak_mib: of the whole process, when it was run.
        repeatable: whether it came out the same, byte for byte, when it was made again; None when it was not.
    """

    network: str
    contender: str
    photos: str
    path: Path | None
    error: str | None
    wall_s: float
    peak_mib: float
    repeatable: bool | None


@dataclass(frozen=True)
class Workshop:
    """Where files are kept.

    Attributes:
        folder: for the files, and a .json with the costs beside each.
        again: run every conversion, also where the file is there: for its time.
    """

    folder: Path
    again: bool


def convert(workshop: Workshop, contender: Contender, network: Network, photos: Path, name: str) -> Converted:
    """A contender's file, made now or kept from an earlier run that had the same code and inputs.

    Args:
        photos: folder of calibration photos.
        name: the calibration set's name.
    """
    folder = workshop.folder / network.key / contender.name.replace("/", "").replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    out, note = folder / f"{name}{contender.suffix}", folder / f"{name}.json"
    mark = _fingerprint(contender, network, photos, out)
    kept = _kept(out, note, mark)
    if kept is not None and not workshop.again:
        return kept
    before = sha256(out) if kept is not None else None
    made = _run(contender, network, photos, out)
    if made.path is not None:
        repeatable = None if before is None else sha256(out) == before
        made = dataclasses.replace(made, photos=name, repeatable=repeatable)
        values = dataclasses.asdict(made) | {"path": str(out), "fingerprint": mark}
        note.write_text(json.dumps(values, indent=1))
    _tell(made, name)
    return dataclasses.replace(made, photos=name)


def _run(contender: Contender, network: Network, photos: Path, out: Path) -> Converted:
    try:
        cost = measure(contender.command(network, photos, out), out.with_suffix(".log"))
    except EdgenetError as error:
        return Converted(network.key, contender.name, "", None, str(error), 0.0, 0.0, None)
    return Converted(network.key, contender.name, "", out, None, cost.wall_s, cost.peak_mib, None)


def _tell(made: Converted, name: str) -> None:
    cost = f"{made.wall_s:.1f} s, {made.peak_mib:.0f} MiB" if made.path else f"failed: {made.error}"
    print(f"{made.network}, {made.contender}, {name}: {cost}", file=sys.stderr, flush=True)


def _kept(out: Path, note: Path, mark: str) -> Converted | None:
    if not (out.is_file() and note.is_file()):
        return None
    values = json.loads(note.read_text())
    if values.pop("fingerprint") != mark:
        return None
    return Converted(**(values | {"path": out}))


def _fingerprint(contender: Contender, network: Network, photos: Path, out: Path) -> str:
    """SHA-256 of the command, and of every file that the outcome hangs on."""
    command = [part for part in contender.command(network, photos, out) if part != str(out)]
    inputs = [Path(part) for part in command[1:] if Path(part).is_file()]
    digest = hashlib.sha256("\0".join(command).encode())
    for path in _files([*contender.code, *inputs, photos]):
        digest.update(f"\0{path.name}\0{sha256(path)}".encode())
    return digest.hexdigest()


def _files(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and those in its folders, in a fixed order; compiled ones are not sources."""
    found = []
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [file for file in inside if file.is_file() and file.suffix != ".pyc"]
    return found
