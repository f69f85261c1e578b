"""`edgenet convert` compared with Keras + TFLiteConverter: the same weights, the same photos, one run, in turns.

    .venv/bin/python -m benchmarks.convert [--recipe minmax] [--repeats 3] [--data ../shared/data] [--json]

Both start as a fresh process, read the same TF-slim arrays of MobileNetV1 1.0/224, decode the same 100 JPEG files and
write an int8 .tflite. It measures wall time and peak memory of the whole process, the size of the packages, the file,
its operators, its latency, and its top-1 on 100 other photos, which shows that the peer's network is built correctly.
Needs `make setup`, and the data named in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT, python_of, site_packages
from benchmarks.processes import installed_sizes, measure
from edgenet.errors import EdgenetError

SCHEMA = "edgenet.benchmark.convert.v1"
WEIGHTS = "mobilenet_v1_1.0_224_imagenet.npz"
PHOTOS = "imagenet-sample-500.zip"
RESOLUTION = 224
PEER = ROOT / "benchmarks" / "peers" / "keras_tflite"
BUSY_LOAD = 0.5  # average number of running processes in the minute before; nearly 0 on an idle machine
# The goals of the project for this measurement, on the 2-core machine of its README.
GOAL_WALL_S, GOAL_PEAK_MIB, GOAL_OPERATORS = 15.0, 1024.0, 33


@dataclass(frozen=True)
class Converter:
    """One way of converting: its name, its command for an output file, its interpreter and its packages."""

    name: str
    command: Callable[[Path], list[str]]
    python: Path
    packages: tuple[str, ...]


def main() -> int:
    """Run the benchmark; return the exit status."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="edgenet-convert-") as folder:
            report = compare(options.data, Path(folder), options.repeats, options.recipe)
    except EdgenetError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if options.json else table(report))
    return 0


def compare(data: Path, work: Path, repeats: int, recipe: str) -> dict[str, Any]:
    """Convert with both, `repeats` times in turns A B A B, and examine both files.

    Args:
        data: folder with the weights and the photos' archive.
        work: an empty folder for photos and outputs.
        repeats: number of conversions by each, at least 1.
        recipe: edgenet's recipe.

    Raises:
        EdgenetError: data are missing, an environment cannot be made, or a converter failed.
    """
    load = os.getloadavg()[0]  # before our own work adds to it
    weights = data / WEIGHTS
    for needed in (weights, data / PHOTOS):
        if not needed.is_file():
            raise EdgenetError(f"no file {needed}", "name the folder that holds it with --data")
    calibration, labelled = _extract_photos(data / PHOTOS, work)
    both = _converters(weights, calibration, recipe)
    runs: dict[str, list[Any]] = {one.name: [] for one in both}
    for turn in range(repeats):
        for one in both:
            cost = measure(one.command(work / f"{one.name}.tflite"), work / f"{one.name}.log")
            runs[one.name].append(cost)
            note = f"{turn + 1}/{repeats} {one.name}: {cost.wall_s:.1f} s, {cost.peak_mib:.0f} MiB"
            print(note, file=sys.stderr, flush=True)
    results = {one.name: _costs(one, runs[one.name], work) for one in both}
    return {"schema": SCHEMA, "repeats": repeats, "recipe": recipe, "load_before": load} | _with_files(
        results, work, labelled
    )


def table(report: dict[str, Any]) -> str:
    """Return the report as text: a line per figure, a column per converter, and the ratio."""
    ours, peer = report["converters"].values()
    names = list(report["converters"])
    lines = [f"{'':26}{names[0]:>14}{names[1]:>14}{'ratio':>8}"]
    for label, key, form in (
        ("wall, s (median)", "wall_s", ".1f"),
        ("CPU, s (median)", "cpu_s", ".1f"),
        ("peak memory, MiB", "peak_mib", ".0f"),
        ("installed, MB", "installed_mb", ".0f"),
        ("file, bytes", "file_bytes", ","),
        ("operators", "operators", ""),
        ("latency, ms (1 thread)", "latency_ms", ".2f"),
        ("top-1 of 100 photos, %", "top1_percent", ".1f"),
    ):
        ratio = report["ratios"].get(key)
        end = f"{ratio:>8.2f}" if ratio is not None else ""
        lines.append(f"{label:26}{ours[key]:>14{form}}{peer[key]:>14{form}}{end}")
    lines.append("")
    if report["load_before"] > BUSY_LOAD:
        lines.append(
            f"The machine was busy (load {report['load_before']:.1f} before the run): the times are unreliable."
        )
    lines += [f"{'met   ' if goal['met'] else 'MISSED'}  {goal['goal']}" for goal in report["goals"]]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.convert", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="weights and photos"
    )
    parser.add_argument("--repeats", type=_positive, default=3, help="conversions by each (default 3)")
    parser.add_argument(
        "--recipe", default="minmax", help="edgenet's recipe; minmax (default) is what the peer does"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _extract_photos(archive: Path, work: Path) -> tuple[Path, list[tuple[Path, int]]]:
    """Extract every fifth photo for calibration, and the photos right after those, with labels, for top-1."""
    calibration, others = work / "calibration", work / "others"
    with zipfile.ZipFile(archive) as photos:
        rows = list(csv.DictReader(io.StringIO(photos.read("labels.csv").decode())))
        for row in rows[::5]:
            photos.extract(row["file"], calibration)
        for row in rows[1::5]:
            photos.extract(row["file"], others)
    # TF-slim's class 0 is "background", so ImageNet's classes start at 1.
    return calibration, [(others / row["file"], int(row["class_index"]) + 1) for row in rows[1::5]]


def _converters(weights: Path, photos: Path, recipe: str) -> tuple[Converter, Converter]:
    edgenet = Path(sys.executable).with_name("edgenet")
    options = ["--calibration", str(photos), "--photos", "100", "--recipe", recipe, "--out"]
    peer = python_of("keras_tflite", PEER / "requirements.txt")
    script = [str(peer), str(PEER / "convert.py"), str(weights), str(photos)]
    return (
        Converter(
            "edgenet",
            lambda out: [str(edgenet), "convert", str(weights), *options, str(out)],
            Path(sys.executable),
            ("edgenet",),
        ),
        Converter("keras_tflite", lambda out: [*script, str(out)], peer, ("tensorflow", "pillow")),
    )


def _costs(one: Converter, runs: Sequence[Any], work: Path) -> dict[str, Any]:
    """Return the medians of the processes' costs, and every single measurement beside them."""
    figures: dict[str, Any] = {}
    for key in ("wall_s", "cpu_s", "peak_mib"):
        samples = [round(getattr(run, key), 3) for run in runs]
        figures[key] = statistics.median(samples)
        figures[f"{key}_samples"] = samples
    figures["versions"] = _versions(one, runs[-1].stdout)
    figures["installed_mb"] = sum(installed_sizes(site_packages(one.python), one.packages).values()) / 1e6
    figures["file_bytes"] = (work / f"{one.name}.tflite").stat().st_size
    return figures


def _versions(one: Converter, stdout: str) -> dict[str, str]:
    """Return the compared versions: the peer prints its own on its last line, ours are those of this environment."""
    if one.python == Path(sys.executable):
        return {name: version(name) for name in ("edgenet", "torch", "numpy")}
    return json.loads(stdout.strip().splitlines()[-1])["versions"]


def _with_files(
    results: dict[str, dict[str, Any]], work: Path, labelled: Sequence[tuple[Path, int]]
) -> dict[str, Any]:
    """Return the figures of the report: `results`, what the files show when read and run, ratios, and goals."""
    # Imported only now, because the memory of this process counts towards the peak of the processes that it starts.
    from edgenet_device.frames.photos import read_photo
    from edgenet_device.preprocess import prepare

    from benchmarks.tflite_files import latency_ratio, operators, top1

    files = {name: work / f"{name}.tflite" for name in results}
    photos = [prepare(read_photo(path), RESOLUTION) for path, _ in labelled]
    answers = {name: top1(path, photos) for name, path in files.items()}
    for name, path in files.items():
        kinds = operators(path)
        right = sum(best == label for best, (_, label) in zip(answers[name], labelled, strict=True))
        results[name] |= {
            "operators": sum(kinds.values()),
            "operator_kinds": kinds,
            "top1_percent": 100 * right / len(photos),
        }
    (ours_file, peer_file), (ours, peer) = files.values(), results.values()
    latency = latency_ratio(ours_file, peer_file, photos[0])
    ours["latency_ms"], peer["latency_ms"] = latency.first_ms, latency.second_ms
    keys = ("wall_s", "cpu_s", "peak_mib", "installed_mb", "file_bytes", "operators")
    return {
        "converters": results,
        "ratios": {key: ours[key] / peer[key] for key in keys} | {"latency_ms": latency.ratio},
        "goals": _goals(ours, peer),
    }


def _goals(ours: dict[str, Any], peer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the project's goals for this benchmark, and whether this run met them."""
    met = {
        f"wall time at most {GOAL_WALL_S:.0f} s": ours["wall_s"] <= GOAL_WALL_S,
        f"peak memory at most {GOAL_PEAK_MIB:.0f} MiB": ours["peak_mib"] <= GOAL_PEAK_MIB,
        f"at most {GOAL_OPERATORS} operators": ours["operators"] <= GOAL_OPERATORS,
        "no PAD and no TRANSPOSE": not {"PAD", "PADV2", "TRANSPOSE"} & set(ours["operator_kinds"]),
        "faster than the peer": ours["wall_s"] < peer["wall_s"],
        "less memory than the peer": ours["peak_mib"] < peer["peak_mib"],
        "less to install than the peer": ours["installed_mb"] < peer["installed_mb"],
    }
    return [{"goal": goal, "met": value} for goal, value in met.items()]


if __name__ == "__main__":
    sys.exit(main())
