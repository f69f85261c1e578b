"""What a .tflite takes and gives, read from the file without running it: the ports of an image classifier.

Files of every maker are taken that have one picture in and one list of scores out. Other networks are refused by name.
Field numbers are those of TFLite's schema.fbs.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgenet_device.errors import EdgenetError
from edgenet_device.flatbuffer import elements, forward, slot, u32, vector
from edgenet_device.foreign_text import one_line

_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"}
RULE, RECTANGLE_RULE = "centre-square", "centre-rectangle"
"""The names of the rule by which `preprocess` makes a network's input of a photo: for a square one, and for others."""
PICTURE_TYPES = ("uint8", "int8", "float32")
_KINDS = {14: "LOGISTIC", 25: "SOFTMAX", 50: "LOG_SOFTMAX", 56: "ARG_MAX"}
# Operators that change neither the order nor the meaning of scores: RESHAPE, SQUEEZE, EXPAND_DIMS, DEQUANTIZE,
# QUANTIZE, CAST.
_IDLE = (22, 43, 70, 6, 114, 53)
_CUSTOM = 32
_EDGE_TPU = "edgetpu-custom-op"
_DETECTION = "TFLite_Detection_PostProcess"
_BENCH = "`edgenet bench` measures it; the other verbs take image classifiers"
_CONVERT = "give an image classifier, or convert it again"


def rule_for(height: int, width: int) -> str:
    """Return the name of the preprocessing rule for a network's input."""
    return RULE if height == width else RECTANGLE_RULE


@dataclass(frozen=True)
class Port:
    """An input or output tensor of a file.

    Attributes:
        name: its name in the file's first signature; the tensor's name where the file has no signature.
        shape: its shape; an axis whose size the file leaves open has the size that the file was traced with.
        dtype: its type, such as "uint8".
        scale, zero_point: its encoding, real = scale * (q - zero_point); a scale of 0 means that it has none.
        open_axes: the axes whose size the file leaves open.
        tensor: its index among the file's tensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    open_axes: tuple[int, ...]
    tensor: int

    def describe(self) -> str:
        """Return the type and shape, such as "uint8 [1, 224, 224, 3]"."""
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True)
class PicturePort:
    """The input of an image classifier.

    Attributes:
        port: the tensor.
        height, width: the picture's size, pixels.
        channels: 3 for RGB, 1 for grey.
        channels_first: whether the channels come before height and width, as in files made from torch.
    """

    port: Port
    height: int
    width: int
    channels: int
    channels_first: bool

    @property
    def takes_bytes(self) -> bool:
        """Whether the tensor holds RGB bytes in the layout of a prepared picture, which can be written directly."""
        return self.port.dtype == "uint8" and self.channels == 3 and not self.channels_first


@dataclass(frozen=True)
class ScoresPort:
    """The output of an image classifier.

    Attributes:
        port: the tensor.
        classes: number of classes; 2 where the file gives one value, the score of the second of two classes.
        meaning: what the values are: "probability", "logit" or "log probability".
    """

    port: Port
    classes: int
    meaning: str

    @property
    def single(self) -> bool:
        """Whether the file gives one value for two classes."""
        return math.prod(self.port.shape) == 1


@dataclass(frozen=True)
class Ports:
    """The input and the output of an image classifier."""

    picture: PicturePort
    scores: ScoresPort


def read_ports(data: bytes, name: str) -> Ports:
    """Read what an image classifier takes and gives.

    Args:
        data: a .tflite that `check_tflite` and `check_values` have accepted.
        name: what error messages call the file.

    Raises:
        EdgenetError: the file is not an image classifier: the message says what it is.
    """
    with _damage_named(name):
        file = _File(data)
        picture, scores = _only(file, name)
        return Ports(_picture(picture, name), _scores(file, scores, name))


def refuse_edge_tpu(data: bytes, name: str) -> None:
    """Refuse a file that was compiled for Google's Edge TPU.

    Raises:
        EdgenetError: the file has the custom operator of the Edge TPU's compiler.
    """
    with _damage_named(name):
        if _EDGE_TPU not in _File(data).custom_operators():
            return
    raise EdgenetError(
        f"{name} was compiled for the Edge TPU (its operator {_EDGE_TPU}), which edgenet does not drive",
        "give the .tflite that it was compiled from, usually the same name without _edgetpu",
    )


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Raise an error that names the file where its tables point outside it."""
    try:
        yield
    except (struct.error, IndexError):
        raise EdgenetError(f"the tables of {name} point outside it: it is damaged", "copy it again") from None


class _File:
    """The tables of a .tflite's first subgraph."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._root = forward(data, 0)
        self._graph = elements(data, self._root, 2)[0]
        self._codes = elements(data, self._root, 1)
        self._tensors = elements(data, self._graph, 0)
        self._operators = elements(data, self._graph, 3)

    def ports(self, which: int) -> list[Port]:
        """Return the inputs (1) or the outputs (2)."""
        names = self._signature_names(which - 1)
        return [self._port(index, names.get(index)) for index in self._integers(self._graph, which)]

    def custom_operators(self) -> list[str]:
        """Return the names of the custom operators that the file lists."""
        return [self._text(code, 1) for code in self._codes if self._kind(code) == _CUSTOM]

    def makers(self) -> dict[int, tuple[int, tuple[int, ...]]]:
        """Return for every computed tensor the kind and the inputs of the operator that makes it."""
        found = {}
        for operator in self._operators:
            code = self._codes[self._number(operator, 0, "<I", 0)]
            inputs = self._integers(operator, 1)
            for output in self._integers(operator, 2):
                found[output] = (self._kind(code), inputs)
        return found

    def _kind(self, code: int) -> int:
        return max(self._number(code, 0, "<b", 0), self._number(code, 3, "<i", 0))

    def _port(self, index: int, name: str | None) -> Port:
        tensor = self._tensors[index]
        scale, zero_point = self._encoding(tensor)
        signature = self._integers(tensor, 7)
        kind = self._number(tensor, 1, "<b", 0)
        return Port(
            name=one_line(name or self._text(tensor, 3)),
            shape=self._integers(tensor, 0),
            dtype=_TYPES.get(kind, f"type {kind}"),
            scale=scale,
            zero_point=zero_point,
            open_axes=tuple(axis for axis, size in enumerate(signature) if size < 0),
            tensor=index,
        )

    def _encoding(self, tensor: int) -> tuple[float, int]:
        quantization = vector(self._data, tensor, 4)
        if quantization is None:
            return 0.0, 0
        scales = vector(self._data, quantization, 2)
        zeros = vector(self._data, quantization, 3)
        if scales is None or not u32(self._data, scales):
            return 0.0, 0
        zero = 0
        if zeros is not None and u32(self._data, zeros):
            zero = int(struct.unpack_from("<q", self._data, zeros + 4)[0])
        return float(struct.unpack_from("<f", self._data, scales + 4)[0]), zero

    def _signature_names(self, which: int) -> dict[int, str]:
        """Return the names of the inputs (0) or outputs (1) in the first signature, by tensor."""
        signatures = elements(self._data, self._root, 7)
        maps = elements(self._data, signatures[0], which) if signatures else []
        return {self._number(one, 1, "<I", 0): self._text(one, 0) for one in maps}

    def _text(self, table: int, field: int) -> str:
        place = vector(self._data, table, field)
        if place is None:
            return ""
        return self._data[place + 4 : place + 4 + u32(self._data, place)].decode(errors="replace")

    def _integers(self, table: int, field: int) -> tuple[int, ...]:
        place = vector(self._data, table, field)
        if place is None:
            return ()
        return struct.unpack_from(f"<{u32(self._data, place)}i", self._data, place + 4)

    def _number(self, table: int, field: int, code: str, default: int) -> int:
        place = slot(self._data, table, field)
        return default if place is None else int(struct.unpack_from(code, self._data, place)[0])


def _only(file: _File, name: str) -> tuple[Port, Port]:
    """Return the only input and the only output; refuse detectors, segmenters and networks with several of them."""
    inputs, outputs = file.ports(1), file.ports(2)
    if _DETECTION in file.custom_operators():
        raise EdgenetError(f"{name} is an object detector (its operator {_DETECTION})", _BENCH)
    boxes = [one for one in outputs if len(one.shape) == 3 and one.shape[1] > 1]
    if boxes:
        raise EdgenetError(f"{name} is an object detector: it gives {_described(outputs)}", _BENCH)
    maps = [one for one in outputs if len(one.shape) == 4 and one.shape[1] * one.shape[2] > 1]
    if maps:
        raise EdgenetError(
            f"{name} is a segmenter, or another network that gives pictures: {_described(maps)}", _BENCH
        )
    if len(inputs) != 1 or len(outputs) != 1:
        raise EdgenetError(
            f"{name} takes {_described(inputs)} and gives {_described(outputs)}, "
            "and an image classifier has one input and one output",
            _BENCH,
        )
    return inputs[0], outputs[0]


def _described(ports: list[Port]) -> str:
    shown = [f"{port.name} {port.describe()}" for port in ports[:4]]
    more = f" and {len(ports) - 4} more" if len(ports) > 4 else ""
    return (", ".join(shown) or "nothing") + more


def _picture(port: Port, name: str) -> PicturePort:
    shape = port.shape
    if port.dtype not in PICTURE_TYPES or len(shape) not in (3, 4) or min(shape) < 1:
        raise EdgenetError(f"{name} takes {port.describe()}, which is not a picture", _BENCH)
    if set(port.open_axes) - {0}:
        raise EdgenetError(
            f"{name} leaves the size of its picture open", "convert it with a fixed height and width"
        )
    if shape[0] != 1:
        raise EdgenetError(f"{name} takes {shape[0]} pictures at once", "convert it for one picture")
    if len(shape) == 3:
        return PicturePort(port, shape[1], shape[2], 1, channels_first=False)
    if shape[3] in (1, 3):
        return PicturePort(port, shape[1], shape[2], shape[3], channels_first=False)
    if shape[1] in (1, 3):
        return PicturePort(port, shape[2], shape[3], shape[1], channels_first=True)
    raise EdgenetError(f"{name} takes {port.describe()}, which is neither an RGB nor a grey picture", _BENCH)


MOST_CLASSES = 1_000_000
"""The most classes of a network: each gets a label, also where the file carries none."""
_MEANINGS = {"SOFTMAX": "probability", "LOGISTIC": "probability", "LOG_SOFTMAX": "log probability"}


def _scores(file: _File, port: Port, name: str) -> ScoresPort:
    count = math.prod(port.shape)
    kinds = list(_last_kinds(file, port.tensor))
    if "ARG_MAX" in kinds:
        raise EdgenetError(
            f"{name} gives only the number of the best class",
            "convert it without ArgMax, so that it gives scores",
        )
    if port.dtype not in PICTURE_TYPES or count != max(port.shape, default=0):
        raise EdgenetError(f"{name} gives {port.describe()}, which is not a list of scores", _BENCH)
    if count == 1 and "SOFTMAX" in kinds:
        raise EdgenetError(
            f"{name} gives one score that a softmax makes, and that is 1 for every photo",
            "convert it with a sigmoid instead of the softmax",
        )
    if count > MOST_CLASSES:
        raise EdgenetError(f"{name} gives {count:,} scores", f"edgenet takes up to {MOST_CLASSES:,} classes")
    last = kinds[-1] if kinds else ""
    return ScoresPort(port, 2 if count == 1 else count, _MEANINGS.get(last, "logit"))


def _last_kinds(file: _File, tensor: int) -> Iterator[str]:
    """Yield the kind of the last operator that changes the scores, if it is one that tells what they mean."""
    makers = file.makers()
    for _ in range(len(makers)):
        kind, inputs = makers.get(tensor, (-1, ()))
        if kind in _KINDS:
            yield _KINDS[kind]
        if kind not in _IDLE or not inputs:
            return
        tensor = inputs[0]
