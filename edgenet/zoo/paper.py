"""What the papers say of their networks: data, with the table that each figure is from."""

from __future__ import annotations

from dataclasses import dataclass

V1_PAPER = "arXiv 1704.04861"
V2_PAPER = "arXiv 1801.04381"


@dataclass(frozen=True)
class PaperFigures:
    """One published row.

    Attributes:
        variant: the variant's name.
        top1: accuracy on ImageNet's validation set, %.
        mult_adds: millions.
        parameters: millions.
        source: paper and table.
    """

    variant: str
    top1: float
    mult_adds: float
    parameters: float
    source: str


# The papers sometimes round down: V1 1.0-160 has 290.7 million mult-adds, V2 1.0-224 3.47 million parameters.
# V2 1.4-224 as published cannot be rebuilt from the paper's own table 2; the authors' later model card says
# 582 and 6.06 (tensorflow/models, research/slim/nets/mobilenet/README.md), which is what we count.
FIGURES = (
    PaperFigures("mobilenet_v1_1.0_224", 70.6, 569, 4.2, f"{V1_PAPER}, table 6"),
    PaperFigures("mobilenet_v1_0.75_224", 68.4, 325, 2.6, f"{V1_PAPER}, table 6"),
    PaperFigures("mobilenet_v1_0.5_224", 63.7, 149, 1.3, f"{V1_PAPER}, table 6"),
    PaperFigures("mobilenet_v1_0.25_224", 50.6, 41, 0.5, f"{V1_PAPER}, table 6"),
    PaperFigures("mobilenet_v1_1.0_192", 69.1, 418, 4.2, f"{V1_PAPER}, table 7"),
    PaperFigures("mobilenet_v1_1.0_160", 67.2, 290, 4.2, f"{V1_PAPER}, table 7"),
    PaperFigures("mobilenet_v1_1.0_128", 64.4, 186, 4.2, f"{V1_PAPER}, table 7"),
    PaperFigures("mobilenet_v1_0.5_160", 60.2, 76, 1.32, f"{V1_PAPER}, table 9"),
    PaperFigures("mobilenet_v2_1.4_224", 74.7, 585, 6.9, f"{V2_PAPER}, table 4"),
    PaperFigures("mobilenet_v2_1.0_224", 72.0, 300, 3.4, f"{V2_PAPER}, table 4"),
)


def paper_figures(variant: str) -> PaperFigures | None:
    """The published row of a variant by its name, or None where its paper has none."""
    return next((row for row in FIGURES if row.variant == variant), None)
