"""Hold each tensor of a partly int8 network as integers, as real numbers or both, each computed only once.

The .tflite file has a DEQUANTIZE where a float node reads an int8 tensor, and a QUANTIZE where an int8 node
reads a float tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgenet.quantize.encodings import HIGH, LOW, Encoding


@dataclass
class Forms:
    """The tensors of one run.

    Attributes:
        encodings: the encodings of the tensors that have an int8 form, by name.
        integers: int8 tensors by name, filled as they are made or converted.
        reals: float32 tensors by name, filled as they are made or converted.
    """

    encodings: Mapping[str, Encoding]
    integers: dict[str, Tensor]
    reals: dict[str, Tensor]

    def integer(self, name: str) -> Tensor:
        """Return the tensor as int8."""
        if name not in self.integers:
            self.integers[name] = quantize_tensor(self.reals[name], self.encodings[name])
        return self.integers[name]

    def real(self, name: str) -> Tensor:
        """Return the tensor as float32."""
        if name not in self.reals:
            self.reals[name] = dequantize_tensor(self.integers[name], self.encodings[name])
        return self.reals[name]

    def known(self, name: str) -> Tensor:
        """Return the tensor as int8 if it has an encoding, else as float32."""
        return self.integer(name) if name in self.encodings else self.reals[name]


def quantize_tensor(values: Tensor, encoding: Encoding) -> Tensor:
    """Quantize real numbers as XNNPACK does (f32-qs8-vcvt): multiply by 1 / scale, round half to even."""
    steps = (values * float(np.float32(1) / np.float32(encoding.scale))).round_()
    return (steps + encoding.zero_point).clamp_(LOW, HIGH).to(torch.int8)


def dequantize_tensor(values: Tensor, encoding: Encoding) -> Tensor:
    """Return the real numbers that int8 values represent, as XNNPACK computes them (qs8-f32-vcvt)."""
    return (values.to(torch.float32) - encoding.zero_point) * float(np.float32(encoding.scale))
