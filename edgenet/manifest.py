"""The facts that a bundle records: `manifest.json`, as frozen dataclasses and as deterministic JSON.

Reading is strict: a missing or unknown field and a value of another type are errors that name their place. Only
fields that came after the first version may be missing.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from edgenet_device.foreign_text import read_json

from edgenet.errors import EdgenetError

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
T = TypeVar("T")
_REMEDY = "make the bundle again"
_LATER = {"later": True}
"""Marks a field that older files do not have: it is read as its default, and written only if it is not None."""


@dataclasses.dataclass(frozen=True)
class Member:
    """Checksum and size in bytes of one file in the bundle."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        _check_sha256(self.sha256)
        _check(self.size >= 0, f"the size {self.size} is negative")


@dataclasses.dataclass(frozen=True)
class InputContract:
    """The model's only input: one picture, cropped and resized by `resize_rule`.

    `name` is the input's name in the model's signature, or the tensor's name in a model without one.
    `edgenet_device.preprocess` implements the rule. `colour_order` is "RGB" or "grey". `mean` and `std` say what the
    pixels, 0 to 255, go through before the network: one number for all channels or one for each; None for a model that
    takes uint8 or int8 pixels by its own scale.
    """

    name: str
    height: int
    width: int
    colour_order: str = "RGB"
    dtype: str = "uint8"
    resize_rule: str = "centre-square"
    mean: tuple[float, ...] | None = dataclasses.field(default=None, metadata=_LATER)
    std: tuple[float, ...] | None = dataclasses.field(default=None, metadata=_LATER)


@dataclasses.dataclass(frozen=True)
class OutputContract:
    """The model's only output: a value for each line of labels.txt, or one value, that of the second of two lines.

    `meaning` is "probability", "logit" or "log probability".
    """

    name: str
    classes: int
    dtype: str = "float32"
    meaning: str = "probability"


@dataclasses.dataclass(frozen=True)
class Quantization:
    """How an int8 network was made: the recipe's name, its steps in order, and the calibration photos.

    `calibration_sha256` identifies the photos' contents, and `calibration_count` is their number.
    """

    recipe: str
    steps: tuple[str, ...]
    calibration_sha256: str
    calibration_count: int

    def __post_init__(self) -> None:
        _check_sha256(self.calibration_sha256)
        _check(self.calibration_count >= 1, f"the number of calibration photos is {self.calibration_count}")


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy in percent, measured on `n` photos of `data`; None where it was not measured."""

    float_top1: float | None
    int8_top1: float | None
    n: int
    data: str

    def __post_init__(self) -> None:
        _check(self.n >= 1, f"the accuracy was measured on {self.n} photos")
        for top1 in (self.float_top1, self.int8_top1):
            _check(top1 is None or 0 <= top1 <= 100, f"a top-1 of {top1} is not a percentage")


@dataclasses.dataclass(frozen=True)
class UnknownAnswer:
    """How well the network's own output for unknown things tells them from known ones.

    Attributes:
        label: the label of that output; see `edgenet.teaching.unknown`.
        kept: percent of the user's photos that stay known.
        false_alarms: percent of the photos of other things that are called known; None if there were too few.
        auroc: probability that a photo of the user looks more known than one of other things; None likewise.
        background: what the other photos are.
    """

    label: str
    kept: float
    false_alarms: float | None
    auroc: float | None
    background: str

    def __post_init__(self) -> None:
        for share in (self.kept, self.false_alarms):
            _check(share is None or 0 <= share <= 100, f"a share of photos of {share} is not a percentage")
        _check(self.auroc is None or 0 <= self.auroc <= 1, f"an AUROC of {self.auroc} is not between 0 and 1")


@dataclasses.dataclass(frozen=True)
class Weights:
    """Where the weights came from, their licence, and the checksum of the file that held them, if any."""

    origin: str
    licence: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.sha256 is not None:
            _check_sha256(self.sha256)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts that only the maker of a bundle knows; all others are read from the model.

    Architecture, width and resolution are None if the model came from the user's own .onnx or .tflite file.
    Quantization is None for a float model, and accuracy is None if it was not measured. Unknown is None for a
    network without an output for unknown things.
    """

    name: str
    weights: Weights
    architecture: str | None = None
    width: float | None = None
    resolution: int | None = None
    quantization: Quantization | None = None
    accuracy: Accuracy | None = None
    unknown: UnknownAnswer | None = dataclasses.field(default=None, metadata=_LATER)

    def __post_init__(self) -> None:
        # The name becomes a heading in the card and is often used as a file name.
        _check(bool(self.name.strip()) and self.name.isprintable(), f"the model's name is {self.name!r}")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The whole `manifest.json`. `members`: every other file by name. `tools`: versions by package.

    `signed_at` is the time of signing of a signed bundle, seconds since 1970; None for a bundle without a signature.
    `precision` is what a model of another maker computes with, if that is not float32: "int8", "uint8", "int16",
    "float16" or "dynamic". Models of edgenet state their `quantization` instead.
    """

    schema_version: int
    name: str
    architecture: str | None
    width: float | None
    resolution: int | None
    classes: int
    input: InputContract
    output: OutputContract
    quantization: Quantization | None
    accuracy: Accuracy | None
    weights: Weights
    tools: dict[str, str | None]
    members: dict[str, Member]
    unknown: UnknownAnswer | None = dataclasses.field(default=None, metadata=_LATER)
    precision: str | None = dataclasses.field(default=None, metadata=_LATER)
    signed_at: int | None = dataclasses.field(default=None, metadata=_LATER)


def _check(right: bool, found: str) -> None:
    if not right:
        raise EdgenetError(f"the bundle's facts are wrong: {found}", "correct this and make the bundle again")


def _check_sha256(text: str) -> None:
    _check(re.fullmatch("[0-9a-f]{64}", text) is not None, f"{text!r:.70} is not a SHA-256")


def to_json(manifest: Manifest) -> bytes:
    """Return the manifest as UTF-8 JSON, without a time and with sorted keys: same facts, same bytes."""
    text = json.dumps(as_dict(manifest), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def as_dict(value: Facts | Manifest) -> dict[str, Any]:
    """Return facts or a manifest in JSON's types; `decode` is the inverse.

    Fields that came after the first version are left out if they are None, so that older versions of edgenet still
    read the file.
    """
    plain: dict[str, Any] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {
        field.name: _plain(part) for field, part in fields if part is not None or field.metadata != _LATER
    }


def from_json(data: bytes) -> Manifest:
    """Read a manifest from JSON; the inverse of `to_json`.

    Raises:
        EdgenetError: the data are not JSON or have a newer schema, or a field is missing, unknown or of a
            wrong type.
    """
    try:
        value = read_json(data)
    except ValueError as error:
        raise EdgenetError(f"{MANIFEST_FILE} is not JSON: {error}", _REMEDY) from error
    _check_schema(value)
    return decode(Manifest, value, MANIFEST_FILE)


def _check_schema(value: Any) -> None:
    version = value.get("schema_version") if isinstance(value, dict) else None
    if type(version) is not int or version < 1:
        raise EdgenetError(f"{MANIFEST_FILE} has no schema_version", "make the bundle with `edgenet package`")
    if version > SCHEMA_VERSION:
        raise EdgenetError(
            f"the bundle has schema {version} and this edgenet reads up to {SCHEMA_VERSION}",
            "upgrade edgenet",
        )


def decode(kind: type[T], value: Any, where: str) -> T:
    """Return parsed JSON as an instance of a frozen dataclass, strictly: with exactly its fields and types.

    Fields may be str, int, float, tuple[X, ...], dict[str, X], another dataclass, or one of these or None.

    Args:
        kind: the dataclass.
        value: the result of `read_json`.
        where: the file's name for error messages, which add the field's place
            (`manifest.json: input.height`).

    Raises:
        EdgenetError: a field is missing, unknown or of another type; the message names its place.
    """
    return _decode(kind, value, f"{where}:")


def _decode(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (choice for choice in get_args(kind) if choice is not type(None))
        return _decode(kind, value, place)
    if origin is tuple:
        _expect(value, list, place)
        return tuple(_decode(get_args(kind)[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        _expect(value, dict, place)
        return {name: _decode(get_args(kind)[1], item, _join(place, name)) for name, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_fields(kind, value, place)
    if kind is float and type(value) is int:
        return float(value)
    _expect(value, kind, place)
    return value


def _decode_fields(kind: Any, value: Any, place: str) -> Any:
    _expect(value, dict, place)
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    later = {field.name: field.default for field in dataclasses.fields(kind) if field.metadata == _LATER}
    value = {**later, **value}
    missing = [name for name in names if name not in value]
    unknown = sorted(value.keys() - set(names))
    if missing:
        raise EdgenetError(f"{_join(place, missing[0])} is missing", _REMEDY)
    if unknown:
        raise EdgenetError(f"{_join(place, repr(unknown[0]))} is not a known field", _REMEDY)
    return kind(**{name: _decode(hints[name], value[name], _join(place, name)) for name in names})


def _expect(value: Any, kind: type, place: str) -> None:
    # Compare exact types, because in Python True is also an int: isinstance would accept JSON's true as 1.
    if type(value) is not kind:
        raise EdgenetError(f"{place} has {value!r:.40} where the type {kind.__name__} belongs", _REMEDY)


def _join(place: str, name: str) -> str:
    return f"{place} {name}" if place.endswith(":") else f"{place}.{name}"
