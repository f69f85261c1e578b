"""The labels of ImageNet's classes, for weights that come without labels."""

from __future__ import annotations

from importlib.resources import files

from edgenet.data.labels import BACKGROUND


def labels_for(classes: int) -> tuple[str, ...]:
    """Return labels for weights that come without: ImageNet's for 1,000 or 1,001 outputs, else "class 0" and so on."""
    if classes in (1000, 1001):
        return imagenet_labels(background=classes == 1001)
    return tuple(f"class {index}" for index in range(classes))


def imagenet_labels(background: bool = False) -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes in the order of the outputs.

    The names are torchvision's (`torchvision/models/_meta.py`, `_IMAGENET_CATEGORIES`), BSD-3-Clause, Copyright (c)
    Soumith Chintala 2016. They come from torchvision 0.29, which distinguishes the two cranes and the two maillots.
    Older lists do not, so a name does not identify a class.

    Args:
        background: put "background" first, as in TF-slim's networks with 1,001 outputs.
    """
    text = (files("edgenet.zoo") / "imagenet_labels.txt").read_text(encoding="utf-8")
    names = tuple(text.splitlines())
    return (BACKGROUND, *names) if background else names
