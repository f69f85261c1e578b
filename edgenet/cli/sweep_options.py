"""The options that `edgenet sweep` and `edgenet select` share, grouped in dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.numbers import numbers
from edgenet.cli.train_options import AllTrainOptions

if TYPE_CHECKING:
    from edgenet.verbs.sweep_settings import SweepOptions

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Folder or zip of photos in class folders; these may be inside train and val (or test) folders.",
    ),
]
Widths = Annotated[str, typer.Option("--widths", metavar="W,W,...", help="Width multipliers to try.")]
Resolutions = Annotated[
    str,
    typer.Option("--resolutions", metavar="R,R,...", help="Input resolutions to try, in pixels per side."),
]
Quantization = Annotated[
    str | None,
    typer.Option(
        "--quantization",
        show_default="balanced",
        help="Quantization recipe: minmax, fast, balanced or best (the slowest).",
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Number of threads of the timed inference.")]
Calm = Annotated[
    float,
    typer.Option(
        "--calm",
        min=0,
        help="Longest wait, in seconds, for the CPU to become idle after training, before timing.",
    ),
]


@dataclass(frozen=True)
class GridOptions:
    """The grid of variants of an architecture."""

    widths: Widths = "1.0,0.75,0.5,0.25"
    resolutions: Resolutions = "224,192,160,128"

    def axes(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Return the width multipliers, and the resolutions in pixels per side."""
        return numbers(self.widths, float, "--widths"), numbers(self.resolutions, int, "--resolutions")


@dataclass(frozen=True)
class Int8Options:
    """How each trained network is quantized and timed."""

    threads: Threads = 1
    quantization: Quantization = None
    calm: Calm = 90.0


@dataclass(frozen=True)
class VariantOptions:
    """How each variant is trained, quantized and timed."""

    int8: Int8Options = Int8Options()
    training: AllTrainOptions = AllTrainOptions()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if self.training.start.qat:
            raise typer.BadParameter(
                "each network is quantized after its training; use --qat with `edgenet train` instead"
            )

    def on(self, target: str, ray: str | None = None) -> SweepOptions:
        """Return the options as `edgenet.sweep` and `edgenet.select` take them."""
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.verbs.sweep_settings import SweepOptions

        int8 = self.int8
        return SweepOptions(
            training=self.training.as_options(),
            recipe=int8.quantization or DEFAULT_RECIPE,
            target=target,
            threads=int8.threads,
            calm_s=int8.calm,
            ray=ray,
        )
