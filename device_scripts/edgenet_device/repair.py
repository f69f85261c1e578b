"""Repairs a harmless fault in old .tflite files that newer runtimes refuse to load.

TensorFlow's converters of 2019 and 2020 (also that of TFLite Micro's person_detect) wrote the biases of depthwise
convolutions, which have one axis, with the axis 3 of their weights. A tensor with one axis can only be quantized along
that one, so writing 0 there changes nothing that the network computes.
"""

from __future__ import annotations

import struct

from edgenet_device.flatbuffer import elements, forward, slot, u32, vector

_SUBGRAPHS, _TENSORS, _SHAPE, _QUANTIZATION, _AXIS = 2, 0, 0, 4, 6


def repaired(data: bytes) -> bytes:
    """Return the file with the axis 0 where a tensor of one axis states another one; else the same bytes.

    Args:
        data: a .tflite that `check_tflite` has accepted.
    """
    wrong = [
        place
        for graph in elements(data, forward(data, 0), _SUBGRAPHS)
        for tensor in elements(data, graph, _TENSORS)
        if (place := _wrong_axis(data, tensor)) is not None
    ]
    if not wrong:
        return data
    changed = bytearray(data)
    for place in wrong:
        struct.pack_into("<i", changed, place, 0)
    return bytes(changed)


def _wrong_axis(data: bytes, tensor: int) -> int | None:
    """Return the place of the axis along which a tensor of one axis cannot be quantized, or None."""
    shape, quantization = vector(data, tensor, _SHAPE), vector(data, tensor, _QUANTIZATION)
    if shape is None or quantization is None or u32(data, shape) != 1:
        return None
    place = slot(data, quantization, _AXIS)
    return place if place is not None and struct.unpack_from("<i", data, place)[0] > 0 else None
