"""Which verbs take which files of other makers: a row for each file, a count for each kind, and why some are refused.

    .venv/bin/python -m benchmarks.doors FOLDER [--normalization=-1..1] [--input-shape 1,3,H,W] [--modules]

Every model in FOLDER is tried: .tflite files with all verbs that use a finished file, and other networks with
`convert`, whose file is then classified with, and `evaluate`. Where a file does not say its normalization or shape, and
the refusal asks for it, the options say it; the table then names the option. A file without labels gets "class 0",
"class 1" and so on. `--modules` gives `edgenet.convert` the 69 networks of `benchmarks.coverage` as modules of torch
(`python -m benchmarks.environments` brings timm and torchvision).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from edgenet_device.file_kind import HDF5, KERAS, ONNX, TFJS, TFLITE, UNKNOWN, file_kind
from edgenet_device.model_file import open_model
from edgenet_device.ports import read_ports

import edgenet
from benchmarks.covering.networks import NETWORKS
from benchmarks.environments import MAKERS
from edgenet.assets import calibration_photos, device_scripts
from edgenet.errors import EdgenetError
from edgenet.graph.onnx_reader import load_onnx

FINISHED = ("inspect", "classify", "camera", "evaluate", "package", "bench")
FLOAT = ("convert", "classify", "evaluate")
MODEL_NAMES = (
    ".tflite",
    ".onnx",
    ".h5",
    ".keras",
    ".json",
    ".pth",
    ".pt",
    ".pt2",
    ".bin",
    ".ckpt",
    ".safetensors",
    ".tar",
)
Options = dict[str, str]


@dataclass(frozen=True)
class Door:
    """What became of one file.

    Attributes:
        name: the file's name.
        kind: the group of files that it is counted with.
        refusals: for each verb the reason for which it refuses the file, or None if it takes it.
        told: the options that the file itself does not say.
    """

    name: str
    kind: str
    refusals: dict[str, str | None]
    told: tuple[str, ...] = ()

    @property
    def taken(self) -> bool:
        """Whether every verb takes the file."""
        return not any(self.refusals.values())


def main() -> None:
    """Try every verb on every file, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.doors", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--normalization")
    parser.add_argument("--input-shape")
    parser.add_argument("--modules", action="store_true")
    given = vars(parser.parse_args())
    known = {name: given[name] for name in ("normalization", "input_shape") if given[name] is not None}
    models = [path for path in sorted(given["folder"].iterdir()) if path.suffix in MODEL_NAMES]
    doors = [tried(path, known) for path in models]
    if given["modules"]:
        doors += modules()
    print(tables(doors))


def tried(path: Path, known: Options) -> Door:
    """Try every verb on a file; give it a known option only where its refusal asks for it."""
    run = try_finished if file_kind(path) is TFLITE else try_float
    options: Options = {}
    while True:
        with tempfile.TemporaryDirectory() as folder:
            refusals = run(path, Path(folder), options)
        said = " ".join(filter(None, refusals.values()))
        asked = [name for name in known if name not in options and f"--{name.replace('_', '-')}" in said]
        if not asked:
            return Door(path.name, kind_of(path), refusals, tuple(options.values()))
        options |= {name: known[name] for name in asked}


def try_finished(path: Path, folder: Path, options: Options) -> dict[str, str | None]:
    """Return for every verb that uses a finished file the reason for which it refuses this one, or None."""
    normalization = options.get("normalization")

    def labels() -> tuple[str, ...]:
        count = read_ports(open_model(path).data, path.name).scores.classes
        return open_model(path).labels or tuple(f"class {index}" for index in range(count))

    def evaluate() -> None:
        names = labels()
        edgenet.evaluate(path, one_photo(folder, names[-1]), normalization=normalization, labels=names)

    def package() -> None:
        edgenet.package(path, folder / "net.edgenet", labels=labels(), normalization=normalization)

    flags = ["--normalization", normalization] if normalization else []
    runs: dict[str, Callable[[], object]] = {
        "inspect": lambda: edgenet.inspect(path),
        "classify": lambda: script("classify", path, *flags),
        "camera": lambda: script("camera", path, *flags, "--json"),
        "evaluate": evaluate,
        "package": package,
        "bench": lambda: edgenet.bench(path, runs=5, min_seconds=0.01),
    }
    return {verb: reason(runs[verb]) for verb in FINISHED}


def try_float(path: Path, folder: Path, options: Options) -> dict[str, str | None]:
    """Return for every verb that takes a float network the reason for which it refuses this one, or None."""
    out = folder / "net.tflite"
    shape = [int(side) for side in options["input_shape"].split(",")] if "input_shape" in options else None
    normalization = options.get("normalization")

    def convert() -> None:
        edgenet.convert(path, out, float=True, normalization=normalization, input_shape=shape)

    def evaluate() -> None:
        classes = read_ports(open_model(out).data, out.name).scores.classes
        names = [f"class {index}" for index in range(classes)]
        edgenet.evaluate(
            path, one_photo(folder, names[-1]), normalization=normalization, input_shape=shape, labels=names
        )

    if refused := reason(convert):
        return {"convert": refused}
    return {
        "convert": None,
        "classify": reason(lambda: script("classify", out)),
        "evaluate": reason(evaluate),
    }


def one_photo(folder: Path, label: str) -> Path:
    """Return a labelled folder with one photo of the class."""
    target = folder / "photos" / label.replace("/", " ") / "a.jpg"
    target.parent.mkdir(parents=True)
    target.write_bytes(photo().read_bytes())
    return folder / "photos"


def photo() -> Path:
    """Return the photo that is classified."""
    return min(calibration_photos().glob("*.jpg"))


def script(name: str, model: Path, *options: str) -> None:
    """Run a device script on the model and the photo."""
    command = [sys.executable, str(device_scripts() / f"{name}.py"), str(model), str(photo()), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgenetError(done.stderr.strip().splitlines()[-1])


def reason(run: Callable[[], object]) -> str | None:
    """Return the reason of a refusal, or None."""
    try:
        run()
    except EdgenetError as error:
        return str(error)
    return None


def kind_of(path: Path) -> str:
    """Return the group of files that a file is counted with."""
    kind = file_kind(path)
    if kind is TFLITE:
        try:
            picture = read_ports(open_model(path).data, path.name).picture
        except EdgenetError:
            return ".tflite of another task"
        if picture.channels == 1:
            return "grey .tflite"
        return "float colour .tflite" if picture.port.dtype == "float32" else "quantized colour .tflite"
    if kind is ONNX or (kind is UNKNOWN and path.suffix == ".onnx"):
        return "grey .onnx" if _is_grey(path) else "colour .onnx"
    return "Keras and TensorFlow.js" if kind in (HDF5, KERAS, TFJS) else "checkpoint of PyTorch"


def _is_grey(path: Path) -> bool:
    try:
        shape = load_onnx(path).graph.input[0].type.tensor_type.shape.dim
    except EdgenetError:
        return False
    return len(shape) == 4 and shape[1].dim_value == 1


def modules() -> Iterator[Door]:
    """Give `edgenet.convert` each network of `benchmarks.coverage` as a module of torch."""
    sys.path.append(str(MAKERS))
    from benchmarks.covering.export import import_without_detection, network

    import_without_detection()
    for name, side in NETWORKS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield Door(
                name, "nn.Module of timm or torchvision", {"convert": _refused(network(name, side), side)}
            )


def _refused(module: torch.nn.Module, side: int) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "net.tflite"
        return reason(
            lambda: edgenet.convert(module, out, float=True, resolution=side, normalization="imagenet")
        )


def tables(doors: list[Door]) -> str:
    """Return the tables and the reasons, as Markdown."""
    lines = []
    for verbs in (FINISHED, FLOAT):
        some = [door for door in doors if set(door.refusals) <= set(verbs) and "Module" not in door.kind]
        lines += [f"| file | {' | '.join(verbs)} | told |", f"|---|{'---|' * len(verbs)}---|"]
        for door in some:
            marks = ["" if v not in door.refusals else "no" if door.refusals[v] else "yes" for v in verbs]
            lines.append(f"| {door.name} | {' | '.join(marks)} | {', '.join(door.told)} |")
        lines.append("")
    lines += ["| kind | files | taken |", "|---|--:|--:|"]
    for kind in dict.fromkeys(sorted(door.kind for door in doors)):
        of_kind = [door for door in doors if door.kind == kind]
        lines.append(f"| {kind} | {len(of_kind)} | {sum(door.taken for door in of_kind)} |")
    lines.append("")
    lines += [f"- {d.name}, {verb}: {why}" for d in doors for verb, why in d.refusals.items() if why]
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
