"""What networks cost and how accurate they are: our counts of every variant, and the figures that the papers publish.

Our counts are the table costs.csv, so that listing the variants needs no torch. `python tools/count_zoo.py` writes it
from the torch modules, and tests/zoo/test_costs.py checks that every row equals what the modules count. Every
published figure has its source and, where our count differs, the reason; tests/zoo/test_paper.py checks every reason by
computation.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

V1_PAPER = "arXiv 1704.04861"
V2_PAPER = "arXiv 1801.04381"
V3_PAPER = "arXiv 1905.02244"
V4_PAPER = "arXiv 2404.10518"
CARD = "tensorflow/models, research/slim/nets/mobilenet/README.md"


@dataclass(frozen=True)
class PaperFigures:
    """The published figures of one variant.

    Attributes:
        variant: the variant's name.
        top1: accuracy on ImageNet's validation set, percent; None if the table is for other data.
        mult_adds: mult-adds in millions; None if the source does not give them.
        parameters: parameters in millions; None if the source does not give them.
        source: paper and table.
        step: the unit to which the mult-adds are rounded, in millions: 100 for 15300, which is in hundreds.
        mult_adds_why: why our count of mult-adds differs; empty if it does not.
        parameters_why: why our count of parameters differs; empty if it does not.
    """

    variant: str
    top1: float | None
    mult_adds: float | None
    parameters: float | None
    source: str
    step: float = 1
    mult_adds_why: str = ""
    parameters_why: str = ""


_TABLES_4_AND_5 = (
    PaperFigures(
        "mobilenet_full_1.0_224",
        71.7,
        4866,
        29.3,
        f"{V1_PAPER}, table 4",
        mult_adds_why="the fully connected layer is left out: 4866.3 without it",
    ),
    PaperFigures("mobilenet_shallow_1.0_224", 65.3, 307, 2.9, f"{V1_PAPER}, table 5"),
)
# The papers sometimes round down: V1 1.0-160 has 290.7 million mult-adds, V2 1.0-224 3.47 million parameters.
_V1_AND_V2 = (
    PaperFigures("mobilenet_v1_1.0_224", 70.6, 569, 4.2, f"{V1_PAPER}, table 6"),
    PaperFigures("mobilenet_v1_0.75_224", 68.4, 325, 2.6, f"{V1_PAPER}, table 6"),
    PaperFigures("mobilenet_v1_0.5_224", 63.7, 149, 1.3, f"{V1_PAPER}, table 6"),
    PaperFigures("mobilenet_v1_0.25_224", 50.6, 41, 0.5, f"{V1_PAPER}, table 6"),
    PaperFigures("mobilenet_v1_1.0_192", 69.1, 418, 4.2, f"{V1_PAPER}, table 7"),
    PaperFigures("mobilenet_v1_1.0_160", 67.2, 290, 4.2, f"{V1_PAPER}, table 7"),
    PaperFigures("mobilenet_v1_1.0_128", 64.4, 186, 4.2, f"{V1_PAPER}, table 7"),
    PaperFigures("mobilenet_v1_0.5_160", 60.2, 76, 1.32, f"{V1_PAPER}, table 9"),
    PaperFigures(
        "mobilenet_v2_1.4_224",
        74.7,
        585,
        6.9,
        f"{V2_PAPER}, table 4",
        mult_adds_why="the authors' later model card has our number, 582 (tensorflow/models)",
        parameters_why="the authors' later model card has our number, 6.06 (tensorflow/models)",
    ),
    PaperFigures("mobilenet_v2_1.0_224", 72.0, 300, 3.4, f"{V2_PAPER}, table 4"),
)
_V4_WHY = "the paper counts batch normalization and biases: 3.77 with them"
_V3_AND_V4 = (
    PaperFigures(
        "mobilenet_v3_large_1.0_224",
        75.2,
        219,
        5.4,
        f"{V3_PAPER}, table 3",
        mult_adds_why="the authors' later model card has our number, 217 (tensorflow/models)",
    ),
    PaperFigures("mobilenet_v3_large_0.75_224", 73.3, 155, 4.0, f"{V3_PAPER}, table 3"),
    PaperFigures("mobilenet_v3_large_minimalistic_1.0_224", 72.3, 209, 3.9, CARD),
    PaperFigures("mobilenet_v3_small_1.0_224", 67.4, 56, 2.5, f"{V3_PAPER}, table 3"),
    PaperFigures(
        "mobilenet_v3_small_0.75_224",
        65.4,
        44,
        2.0,
        f"{V3_PAPER}, table 3",
        mult_adds_why="the paper's first version has 1,280 channels before the last layer, not 1,024: 43.8 with 1,280",
    ),
    PaperFigures(
        "mobilenet_v3_small_minimalistic_1.0_224",
        61.9,
        65,
        2.0,
        CARD,
        mult_adds_why="65.4 with 5x5 kernels and a stride of 2 one block later, as also in the card's 66 for Small",
    ),
    PaperFigures(
        "mobilenet_v4_conv_small_1.0_224", 73.8, 200, 3.8, V4_PAPER, step=100, parameters_why=_V4_WHY
    ),
    PaperFigures(
        "mobilenet_v4_conv_medium_1.0_256",
        79.9,
        1000,
        9.2,
        V4_PAPER,
        step=100,
        parameters_why="the paper's unit is 2^20 (1,048,576): 9.20 in this unit",
    ),
)
_COMPARED = (
    PaperFigures("alexnet_1.0_227", 57.2, 720, 60, f"{V1_PAPER}, table 9", step=10),
    PaperFigures(
        "squeezenet_1.0_227",
        57.5,
        1700,
        1.25,
        f"{V1_PAPER}, table 9",
        step=100,
        mult_adds_why="the paper counts multiplications and additions separately: 1665, rounded to hundreds",
        parameters_why="the paper counts biases: 1.248 with them",
    ),
    PaperFigures(
        "googlenet_1.0_224",
        69.8,
        1550,
        6.8,
        f"{V1_PAPER}, table 8",
        step=10,
        mult_adds_why="the paper's unit is 1000 K of 1024, as for the parameters: 1545.6, rounded to tens",
        parameters_why="the paper's unit is K of 1024, as in GoogLeNet's own table: 6826 K (arXiv 1409.4842, table 1)",
    ),
    PaperFigures(
        "vgg16_1.0_224",
        71.5,
        15300,
        138,
        f"{V1_PAPER}, table 8",
        step=100,
        mult_adds_why="the fully connected layers are left out: 15346.6 without them, rounded to hundreds",
    ),
    PaperFigures(
        "inception_v3_1.0_299",
        None,
        5000,
        23.2,
        f"{V1_PAPER}, table 10 (Stanford Dogs)",
        step=1000,
        parameters_why="the paper's unit is K of 1024, for 1,000 classes: 23.2; 22.00 million for the table's 120",
    ),
    PaperFigures(
        "xception_1.0_299",
        79.0,
        None,
        22.855952,
        "arXiv 1610.02357, table 3",
        parameters_why="the paper counts biases and batch normalization: 22.855952 with them",
    ),
)
FIGURES = (*_V1_AND_V2, *_V3_AND_V4, *_TABLES_4_AND_5, *_COMPARED)


def paper_figures(variant: str) -> PaperFigures | None:
    """Return the published figures of the variant with this name, or None if there are none."""
    return next((row for row in FIGURES if row.variant == variant), None)


def matches_rounded(published: float, exact: float, step: float = 1) -> bool:
    """Return whether `published` is `exact` rounded to the nearest step or, as the papers sometimes do, rounded down.

    Args:
        published: the published number.
        exact: our own number.
        step: the rounding step of whole numbers. A float is rounded to its last decimal place instead.
    """
    if isinstance(published, float):
        step = 10.0 ** -len(str(published).partition(".")[2])
    steps = round(published / step)
    return steps in (round(exact / step), math.floor(exact / step))


TABLE = Path(__file__).with_name("costs.csv")


@dataclass(frozen=True)
class VariantCost:
    """One row of the table.

    Attributes:
        variant: the variant's name.
        family: the heading of its architecture in listings.
        mult_adds, parameters: counted from the torch module for 1,000 classes (see `edgenet.zoo.counting`).
        pretrained: whether edgenet can load ImageNet weights for it.
    """

    variant: str
    family: str
    mult_adds: int
    parameters: int
    pretrained: bool


def read_costs() -> tuple[VariantCost, ...]:
    """Return every variant of the catalogue, in the catalogue's order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            VariantCost(
                row["variant"],
                row["family"],
                int(row["mult_adds"]),
                int(row["parameters"]),
                row["pretrained"] == "yes",
            )
            for row in csv.DictReader(file)
        )


def costs_csv(rows: tuple[VariantCost, ...]) -> str:
    """Return the text of the table for these rows."""
    lines = ["variant,family,mult_adds,parameters,pretrained"]
    for row in rows:
        known = "yes" if row.pretrained else "no"
        lines.append(f"{row.variant},{row.family},{row.mult_adds},{row.parameters},{known}")
    return "\n".join(lines) + "\n"
