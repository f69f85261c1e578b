"""The options that `edgenet sweep` and `edgenet select` share, in groups."""

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
    typer.Option("--data", help="Folder or zip of class folders, in train and val (or test) folders or not."),
]
Widths = Annotated[str, typer.Option("--widths", metavar="W,W,...", help="Width multipliers.")]
Resolutions = Annotated[str, typer.Option("--resolutions", metavar="R,R,...", help="Pixels a side.")]
Quantization = Annotated[
    str | None, typer.Option("--quantization", show_default="the best", help="The recipe, as of convert.")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Of the inference that is timed.")]
Calm = Annotated[
    float,
    typer.Option("--calm", min=0, help="Longest wait for the load of training to go before timing, seconds."),
]


@dataclass(frozen=True)
class GridOptions:
    """Which variants of an architecture."""

    widths: Widths = "1.0,0.75,0.5,0.25"
    resolutions: Resolutions = "224,192,160,128"

    def axes(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Width multipliers, and pixels a side."""
        return numbers(self.widths, float, "--widths"), numbers(self.resolutions, int, "--resolutions")


@dataclass(frozen=True)
class Int8Options:
    """How each trained network becomes an int8 file, and is timed."""

    threads: Threads = 1
    quantization: Quantization = None
    calm: Calm = 90.0


@dataclass(frozen=True)
class VariantOptions:
    """What is done with each variant."""

    int8: Int8Options = Int8Options()
    training: AllTrainOptions = AllTrainOptions()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if self.training.start.qat:
            raise typer.BadParameter(
                "each network is quantized after it was trained; give --qat to `edgenet train`"
            )

    def on(self, target: str, ray: str | None = None) -> SweepOptions:
        """As the verbs take them."""
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
