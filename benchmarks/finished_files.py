"""Which verbs take which finished .tflite files of other makers: a table, with the reason of every refusal below it.

    python -m benchmarks.finished_files FOLDER [--normalization NAME]

FOLDER holds .tflite files. `--normalization` is for float files that do not say it. A file without labels is packed
with "class 0", "class 1" and so on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgenet_device.model_file import open_model
from edgenet_device.ports import read_ports

import edgenet
from edgenet.assets import calibration_photos, device_scripts
from edgenet.errors import EdgenetError

VERBS = ("inspect", "classify", "camera", "evaluate", "package", "bench")


def main() -> None:
    """Try every verb on every file, and print the table."""
    shape = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shape.add_argument("folder", type=Path)
    shape.add_argument("--normalization")
    given = shape.parse_args()
    reasons = []
    print(f"| file | {' | '.join(VERBS)} |\n|---|{'---|' * len(VERBS)}")
    for path in sorted(given.folder.glob("*.tflite")):
        with tempfile.TemporaryDirectory() as folder:
            found = tried(path, Path(folder), given.normalization)
        print(f"| {path.name} | {' | '.join('yes' if why is None else 'no' for why in found.values())} |")
        reasons += [f"- {path.name}, {verb}: {why}" for verb, why in found.items() if why is not None]
    print("\n".join(["", *reasons]))


def tried(path: Path, folder: Path, normalization: str | None) -> dict[str, str | None]:
    """Return for every verb the reason for which it refuses a file, or None if it takes it."""
    bundle = folder / "net.edgenet"
    photo = str(next(iter(sorted(calibration_photos().glob("*.jpg")))))
    options = ["--normalization", normalization] if normalization else []

    def script(name: str, *more: str) -> None:
        command = [sys.executable, str(device_scripts() / f"{name}.py"), str(path), photo, *options, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EdgenetError(done.stderr.strip().splitlines()[-1])

    def labelled() -> tuple[str, ...]:
        count = read_ports(open_model(path).data, path.name).scores.classes
        return open_model(path).labels or tuple(f"class {index}" for index in range(count))

    def evaluate() -> None:
        names = labelled()
        (folder / "photos" / names[-1].replace("/", " ")).mkdir(parents=True)
        target = folder / "photos" / names[-1].replace("/", " ") / "a.jpg"
        target.write_bytes(Path(photo).read_bytes())
        edgenet.evaluate(path, folder / "photos", normalization=normalization, labels=names)

    runs: dict[str, Callable[[], object]] = {
        "inspect": lambda: edgenet.inspect(path),
        "classify": lambda: script("classify"),
        "camera": lambda: script("camera", "--json"),
        "evaluate": evaluate,
        "package": lambda: edgenet.package(path, bundle, labels=labelled(), normalization=normalization),
        "bench": lambda: edgenet.bench(path, runs=5, min_seconds=0.01),
    }
    return {verb: _reason(runs[verb]) for verb in VERBS}


def _reason(run: Callable[[], object]) -> str | None:
    try:
        run()
    except EdgenetError as error:
        return str(error)
    return None


if __name__ == "__main__":
    main()
