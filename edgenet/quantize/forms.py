"""The two forms of a tensor in a network that is int8 in part: integers and real numbers, each made once.

The file has a DEQUANTIZE where real numbers of an int8 tensor are wanted, and a QUANTIZE the other way round.
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
        encodings: of the tensors that have an int8 form.
        integers: int8 tensors by name, as they were made or asked for.
        reals: float32 tensors by name, as they were made or asked for.
    """

    encodings: Mapping[str, Encoding]
    integers: dict[str, Tensor]
    reals: dict[str, Tensor]

    def integer(self, name: str) -> Tensor:
        """The tensor as int8."""
        if name not in self.integers:
            self.integers[name] = quantize_tensor(self.reals[name], self.encodings[name])
        return self.integers[name]

    def real(self, name: str) -> Tensor:
        """The tensor as float32."""
        if name not in self.reals:
            self.reals[name] = dequantize_tensor(self.integers[name], self.encodings[name])
        return self.reals[name]

    def known(self, name: str) -> Tensor:
        """The tensor as int8 where it has an encoding, else as float32."""
        return self.integer(name) if name in self.encodings else self.reals[name]


def quantize_tensor(values: Tensor, encoding: Encoding) -> Tensor:
    """Real numbers as int8 as XNNPACK does it (f32-qs8-vcvt): times the reciprocal of the scale, half to even."""
    steps = (values * float(np.float32(1) / np.float32(encoding.scale))).round_()
    return (steps + encoding.zero_point).clamp_(LOW, HIGH).to(torch.int8)


def dequantize_tensor(values: Tensor, encoding: Encoding) -> Tensor:
    """int8 as real numbers (qs8-f32-vcvt)."""
    return (values.to(torch.float32) - encoding.zero_point) * float(np.float32(encoding.scale))
