"""What pixels go through before a network: named normalizations, and the one that a file's metadata states.

A normalization is (pixel - mean) / std, with mean and std in units of pixel values 0 to 255.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgenet_device.errors import EdgenetError
from edgenet_device.flatbuffer import elements, forward, slot, u32, vector

_LARGEST = 1e6


@dataclass(frozen=True)
class PixelNormalization:
    """(pixel - mean) / std: one number for all channels, or one for each of R, G and B, in pixel values 0 to 255.

    Raises:
        EdgenetError: the numbers of means and stds are not both 1 or 3, a value is not finite, or a std is not above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        values = (*self.mean, *self.std)
        fits = len(self.mean) == len(self.std) in (1, 3) and all(abs(value) < _LARGEST for value in values)
        if not fits or min(self.std) <= 0:
            raise EdgenetError(
                f"the normalization has mean {self.mean} and std {self.std}",
                "give one or three finite numbers each, every std above 0",
            )


NORMALIZATIONS = {
    "imagenet": PixelNormalization(
        (255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225)
    ),
    "-1..1": PixelNormalization((127.5,) * 3, (127.5,) * 3),
    "centred": PixelNormalization((127.0,) * 3, (127.5,) * 3),
    "0..1": PixelNormalization((0.0,) * 3, (255.0,) * 3),
    "0..255": PixelNormalization((0.0,) * 3, (1.0,) * 3),
}
ASK_NORMALIZATION = f"give --normalization {'|'.join(NORMALIZATIONS)}, or mean/std in 0..255 as R,G,B/R,G,B"


def normalization_named(text: str) -> PixelNormalization:
    """Return the normalization with this name, or the one written as "R,G,B/R,G,B" (mean/std in 0..255).

    Raises:
        EdgenetError: the text is neither.
    """
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in text.split("/"))
    except ValueError:
        mean = std = ()
    if len(mean) != 3 or len(std) != 3:
        raise EdgenetError(
            f"--normalization {text} is not a normalization",
            f"give {', '.join(NORMALIZATIONS)}, or R,G,B/R,G,B in 0..255",
        )
    return PixelNormalization(mean, std)


_METADATA_NAME = b"TFLITE_METADATA"
_METADATA_MARK = b"M001"
_NORMALIZATION_OPTIONS = 1


def stated_normalization(data: bytes) -> PixelNormalization | None:
    """Return the normalization that a .tflite's metadata states for its first input; None if it states none.

    Field numbers are those of TensorFlow Lite Support's metadata_schema.fbs.

    Args:
        data: a .tflite that `check_tflite` has accepted.
    """
    try:
        found = _metadata(data)
        values = None if found is None else _mean_and_std(found)
        return None if values is None else PixelNormalization(*values)
    except (
        struct.error,
        IndexError,
        EdgenetError,
    ):  # damaged metadata is as good as none: the network still runs
        return None


def _metadata(data: bytes) -> bytes | None:
    root = forward(data, 0)
    buffers = elements(data, root, 4)
    for entry in elements(data, root, 6):
        name = vector(data, entry, 0)
        if name is None or data[name + 4 : name + 4 + u32(data, name)] != _METADATA_NAME:
            continue
        place = slot(data, entry, 1)
        content = vector(data, buffers[0 if place is None else u32(data, place)], 0)
        if content is not None:
            found = data[content + 4 : content + 4 + u32(data, content)]
            return found if found[4:8] == _METADATA_MARK else None
    return None


def _mean_and_std(metadata: bytes) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    for graph in elements(metadata, forward(metadata, 0), 3)[:1]:
        for tensor in elements(metadata, graph, 2)[:1]:
            for unit in elements(metadata, tensor, 4):
                kind, options = slot(metadata, unit, 0), vector(metadata, unit, 1)
                if kind is not None and metadata[kind] == _NORMALIZATION_OPTIONS and options is not None:
                    return _floats(metadata, options, 0), _floats(metadata, options, 1)
    return None


def _floats(data: bytes, table: int, field: int) -> tuple[float, ...]:
    place = vector(data, table, field)
    if place is None:
        return ()
    return struct.unpack_from(f"<{u32(data, place)}f", data, place + 4)
