"""A sweep's options and rows, and the files that keep both, so that a later run can continue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from edgenet_device.foreign_text import read_json

from edgenet.accuracy import on_front, wilson
from edgenet.devices.targets import parse_target
from edgenet.errors import EdgenetError
from edgenet.files import csv_table, read_limited, write_atomically
from edgenet.latency.options import BenchOptions
from edgenet.manifest import decode
from edgenet.quantize.recipes import DEFAULT_RECIPE, RECIPES
from edgenet.workflows.measuring import Report
from edgenet.workflows.train import TrainingOptions
from edgenet.zoo.registry import Variant

SETTINGS_FILE = "sweep.json"
TRAINED_FILE, ROW_FILE, LATENCY_FILE = "made.json", "row.json", "latency.json"
Kind = TypeVar("Kind", bound="TrainedVariant")


@dataclass(frozen=True)
class Grid:
    """Width multipliers times resolutions (pixels) of one architecture; by default the paper's 4 x 4."""

    architecture: str = "mobilenet_v1"
    widths: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    resolutions: tuple[int, ...] = (224, 192, 160, 128)

    def variants(self) -> tuple[Variant, ...]:
        """Return every variant once, by width and then resolution: cheap ones first, for early first figures.

        Raises:
            EdgenetError: a variant cannot be built, or the grid is empty.
        """
        if not (self.widths and self.resolutions):
            raise EdgenetError("the grid is empty", "give at least one width and one resolution")
        return tuple(
            Variant(self.architecture, width, resolution)
            for width in sorted(set(self.widths))
            for resolution in sorted(set(self.resolutions))
        )


@dataclass(frozen=True)
class SweepOptions:
    """How each variant is trained, quantized and measured.

    Attributes:
        training: how each variant is trained.
        recipe: name of the quantization recipe.
        on: where latency is measured, such as "local", "ssh:pi@raspberrypi.local" or "adb".
        threads: inference threads.
        settle: longest wait before measuring latency, until the load of training is over, seconds.
        ray: the address of a Ray cluster to train on, "local" to start one here; None to train here without
            Ray.
        from_scratch: train all variants from random weights, also those that have ImageNet weights.
    """

    training: TrainingOptions = TrainingOptions()  # noqa: RUF009 (frozen)
    recipe: str = DEFAULT_RECIPE
    on: str = "local"
    threads: int = 1
    settle: float = 90.0
    ray: str | None = None
    from_scratch: bool = False

    def check(self) -> None:
        """Check the options that would otherwise only fail after a training.

        Raises:
            EdgenetError: the recipe is unknown, the target is not one, or there are fewer than 1 threads.
        """
        if self.recipe not in RECIPES:
            raise EdgenetError(f"there is no recipe '{self.recipe}'", f"the recipes are {', '.join(RECIPES)}")
        if self.training.qat:
            raise EdgenetError(
                "each network is quantized after its training, not trained in int8", "leave out qat"
            )
        if self.threads < 1:
            raise EdgenetError(f"the number of threads is {self.threads}", "give at least 1")
        parse_target(self.on)

    def timing(self) -> BenchOptions:
        """Return the options for measuring latency."""
        return BenchOptions(threads=(self.threads,), settle_s=self.settle)


def settings(options: SweepOptions, data_digest: str) -> dict[str, Any]:
    """Return the settings that two runs must share for comparable rows, in JSON's types; grids may differ."""
    training = options.training
    flat: dict[str, Any] = {"photos": data_digest, "quantization": options.recipe, "threads": options.threads}
    if options.on != "local":
        flat["target"] = options.on
    weights = {name: getattr(training, name) for name in ("pretrained", "teacher")}
    chosen: dict[str, Any] = {name: value and str(value) for name, value in weights.items()}
    if training.pretrained is None and not options.from_scratch:
        chosen["pretrained"] = "ImageNet where there are weights"
    chosen |= {"hold_out": training.hold_out, "qat": None}
    recipe = asdict(training.training_recipe())
    for part in (chosen, asdict(training.distillation()), recipe, recipe.pop("augmentation")):
        flat.update(part)
    loaded: dict[str, Any] = read_json(json.dumps(flat))
    return loaded


def keep_settings(out: Path, now: dict[str, Any]) -> None:
    """Write the settings to the sweep's folder, unless an earlier run there had other settings.

    Raises:
        EdgenetError: the settings differ from the earlier run's; the message names the differences.
    """
    path = out / SETTINGS_FILE
    if path.is_file():
        changes = _changes(_read(path), now)
        if changes:
            raise EdgenetError(
                f"the sweep in {out} began with other options: {'; '.join(changes)}",
                "give the same options, or start a new sweep with another --out",
            )
    write_atomically(path, (json.dumps(now, indent=1, sort_keys=True) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        before: dict[str, Any] = read_json(read_limited(path))
        if not isinstance(before, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError) as error:
        raise EdgenetError(
            f"{path} is damaged ({error})", "start the sweep again with another --out"
        ) from None
    return before


def _changes(before: dict[str, Any], now: dict[str, Any]) -> Sequence[str]:
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return [
        "other photos" if name == "photos" else f"{name} was {before.get(name)}, now {now.get(name)}"
        for name in names
    ]


@dataclass(frozen=True)
class TrainedVariant:
    """The counted and measured figures of a variant that is trained, quantized and evaluated.

    Attributes:
        width: width multiplier.
        resolution: side of the input picture, pixels.
        mult_adds, parameters: counted in the way the papers count, with the user's number of classes.
        bytes: size of the int8 file.
        n: number of photos that the accuracies were measured on; none was used for training or calibration.
        float_top1, int8_top1: top-1 accuracy on the same photos, percent; `float_low`, `float_high`, `int8_low` and
            `int8_high` are the ends of their 95 % confidence intervals.
    """

    variant: str
    width: float
    resolution: int
    mult_adds: int
    parameters: int
    bytes: int
    n: int
    float_top1: float
    int8_top1: float
    int8_low: float
    int8_high: float
    float_low: float
    float_high: float


@dataclass(frozen=True)
class SweepRow(TrainedVariant):
    """The figures of a variant that is also timed.

    Attributes:
        latency_p50_ms: median time of one inference on `device` with `threads` threads, milliseconds.
        latency_valid: whether the latency may be quoted; `latency_reasons` says why not.
        front: whether the variant is on the Pareto front: no other one is at least as fast and at least as
            accurate, and better in one of the two.
        target: the target that `device` was reached by, as the user gave it.
    """

    latency_p50_ms: float
    latency_valid: bool
    latency_reasons: str
    device: str
    threads: int
    front: bool = False
    target: str = "local"


def with_front(rows: Sequence[SweepRow]) -> tuple[SweepRow, ...]:
    """Return the rows with `front` set: whether each is on the Pareto front of int8 accuracy and latency."""
    front = on_front([row.latency_p50_ms for row in rows], [row.int8_top1 for row in rows])
    return tuple(replace(row, front=is_on) for row, is_on in zip(rows, front, strict=True))


def with_accuracy(latency: Report, trained: TrainedVariant) -> Report:
    """Return the latency report with the variant's name and accuracy added."""
    accuracy = {
        "data": "validation",
        "n": trained.n,
        "float_top1": trained.float_top1,
        "int8_top1": trained.int8_top1,
    }
    return {**latency, "model": {**latency["model"], "name": trained.variant, "accuracy": accuracy}}


def rows_csv(rows: Sequence[SweepRow]) -> bytes:
    """Return the rows as CSV with a header line, one line per row."""
    return csv_table(rows, [field.name for field in fields(SweepRow)])


def keep(path: Path, row: TrainedVariant) -> None:
    """Write a variant's figures as JSON.

    Raises:
        EdgenetError: the file cannot be written.
    """
    write_atomically(path, (json.dumps(asdict(row), indent=1) + "\n").encode())


def read_row(folder: Path) -> SweepRow | None:
    """Return the row of a variant that an earlier run finished, or None.

    Raises:
        EdgenetError: the file is damaged.
    """
    return _read_row(folder / ROW_FILE, SweepRow, "is measured again")


def read_trained(folder: Path) -> TrainedVariant | None:
    """Return the figures of a variant that an earlier run trained, whether timed or not, or None.

    Raises:
        EdgenetError: the file is damaged.
    """
    return _read_row(folder / TRAINED_FILE, TrainedVariant, "is quantized again")


def _read_row(path: Path, kind: type[Kind], again: str) -> Kind | None:
    if not path.is_file():
        return None
    try:
        figures = read_json(read_limited(path))
        if "float_low" not in figures:  # older versions kept only the interval of int8
            interval = wilson(round(figures["float_top1"] * figures["n"] / 100), figures["n"])
            figures |= {"float_low": interval.low, "float_high": interval.high}
        decode(kind, figures, str(path))  # only to check it: a whole number stays one
        return kind(**figures)
    except (OSError, ValueError, TypeError, KeyError, ArithmeticError, EdgenetError) as error:
        raise EdgenetError(
            f"{path} is damaged ({error})", f"remove it, and {path.parent.name} {again}"
        ) from None
