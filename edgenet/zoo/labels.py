"""The 1,000 names of ImageNet's classes.

The names are torchvision's (`torchvision/models/_meta.py`, `_IMAGENET_CATEGORIES`), BSD-3-Clause,
Copyright (c) Soumith Chintala 2016. They are those of torchvision 0.29, which tells both cranes and both
maillots apart; older lists do not, so a name is not a key.
"""

from __future__ import annotations

from importlib.resources import files

BACKGROUND = "background"


def imagenet_labels(background: bool = False) -> tuple[str, ...]:
    """ImageNet's class names in the order of the outputs.

    Args:
        background: put "background" first, as the 1,001 outputs of TF-slim's networks have it.
    """
    text = (files("edgenet.zoo") / "imagenet_labels.txt").read_text(encoding="utf-8")
    names = tuple(text.splitlines())
    return (BACKGROUND, *names) if background else names


def labels_for(classes: int) -> tuple[str, ...]:
    """Labels for a file of weights that carries none: ImageNet's for 1,000 or 1,001 outputs, else numbers."""
    if classes in (1000, 1001):
        return imagenet_labels(background=classes == 1001)
    return tuple(f"class {index}" for index in range(classes))
