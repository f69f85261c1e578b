"""Random torch modules of the layers and functions that people put into classifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros around": lambda x: functional.pad(x, (1, 0, 2, 1)),
    "halves around": lambda x: functional.pad(x, (1, 1, 1, 1), value=0.5),
    "mirrored border": lambda x: functional.pad(x, (1, 1, 1, 1), mode="reflect"),
    "a part": lambda x: x[:, :, 1:, :-1],
    "every second": lambda x: x[:, :, ::2, ::2],
    "scaled": lambda x: x * 0.7 + 0.1,
    "turned": lambda x: 1 - x,
    "clamped": lambda x: x.clamp(-1, 1),
    "softmax": lambda x: x.softmax(1),
    "other order": lambda x: x.permute(0, 1, 3, 2),
    "unit length": lambda x: functional.normalize(x, dim=1),
    "squares": lambda x: x * x,
    "root": lambda x: (x * x + 1).sqrt(),
    "without its mean": lambda x: x - x.mean(1, keepdim=True),
    "without its maximum": lambda x: x - x.amax((2, 3), keepdim=True),
    "half the size": lambda x: functional.interpolate(x, scale_factor=0.5, mode="bilinear"),
    "halves of channels": lambda x: torch.cat([part.relu() for part in x.chunk(2, 1)][::-1], 1),
    "gated halves": lambda x: x[:, ::2] * torch.sigmoid(x[:, 1::2]) if x.shape[1] % 2 == 0 else x,
}


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return FUNCTIONS[self.name](x)


class Beside(nn.Module):
    """A branch beside a shortcut, and how both are joined."""

    def __init__(self, branch: nn.Module, kind: str) -> None:
        super().__init__()
        self.branch, self.kind = branch, kind

    def forward(self, x: Tensor) -> Tensor:
        """Join both."""
        y = self.branch(x)
        if self.kind == "concat":
            return torch.cat([x, y], 1)
        return x * torch.sigmoid(y) if self.kind == "gate" else y - x if self.kind == "sub" else x + y


class Excite(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int, hard: bool) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, max(1, channels // 2), 1)
        self.excite = nn.Conv2d(max(1, channels // 2), channels, 1)
        self.hard = hard

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels."""
        y = functional.adaptive_avg_pool2d(x, 1) if self.hard else x.mean((2, 3), keepdim=True)
        y = self.excite(functional.relu(self.squeeze(y)))
        return x * (functional.hardsigmoid(y) if self.hard else torch.sigmoid(y))


class Shuffle(nn.Module):
    """ShuffleNet's order of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Exchange the two halves' channels."""
        count, channels, height, width = x.shape
        return x.view(count, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)


class ChannelNorm(nn.Module):
    """ConvNeXt's layer norm over the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each pixel."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


MOST_CHANNELS = 64


def random_module(seed: int) -> tuple[nn.Sequential, int]:
    """Return a classifier of a convolution and 2 to 8 random blocks, in evaluation mode, and its picture's side."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    side = int(rng.integers(8, 20))
    layers: list[nn.Module] = [_convolution(rng, 3, side, side)]
    x = layers[0](torch.zeros(1, 3, side, side))
    for _ in range(rng.integers(2, 9)):
        block = _block(rng, *x.shape[1:]).eval()
        try:
            y = block(x)
        except RuntimeError:  # it does not fit a map of this size
            continue
        if y.shape[1] <= MOST_CHANNELS and min(y.shape[2:]) > 1:
            layers.append(block)
            x = y
    channels, height, width = x.shape[1:]
    classes = int(rng.integers(2, 7))
    tails: list[list[nn.Module]] = [
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)],
        [nn.Flatten(), nn.Linear(channels * height * width, classes)],
        [nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, classes, 1), nn.Flatten()],
    ]
    return nn.Sequential(*layers, *tails[rng.integers(3)]).eval(), side


def _among(rng: np.random.Generator, *values: Any) -> Any:
    return values[rng.integers(len(values))]


def _block(rng: np.random.Generator, channels: int, height: int, width: int) -> nn.Module:
    makers: list[Callable[[], nn.Module]] = [
        lambda: _layer(rng, channels, height, width),
        lambda: _layer(rng, channels, height, width),
        lambda: _layer(rng, channels, height, width),
        lambda: _activation(rng, channels),
        lambda: _norm(rng, channels),
        lambda: _pooling(rng, height, width),
        lambda: _resizing(rng),
        lambda: _branch(rng, channels),
        lambda: _branch(rng, channels),
        lambda: Excite(channels, bool(rng.integers(2))),
        lambda: ChannelNorm(channels),
        lambda: Shuffle(),
        lambda: Function(_among(rng, *FUNCTIONS)),
        lambda: Function(_among(rng, *FUNCTIONS)),
    ]
    return makers[rng.integers(len(makers))]()


def _layer(rng: np.random.Generator, channels: int, height: int, width: int) -> nn.Module:
    """A convolution, mostly with a norm and an activation behind it, at times before it."""
    layer = _convolution(rng, channels, height, width)
    parts: list[nn.Module] = [layer]
    parts += [_norm(rng, layer.out_channels)] if rng.random() < 0.6 else []
    parts += [_activation(rng, layer.out_channels)] if rng.random() < 0.6 else []
    if rng.random() < 0.2:
        parts.insert(0, _among(rng, _norm(rng, channels), _activation(rng, channels)))
    return nn.Sequential(*parts)


def _convolution(rng: np.random.Generator, channels: int, height: int, width: int) -> nn.Conv2d:
    kernel = (min(_among(rng, 1, 2, 3, 5), height), min(_among(rng, 1, 3), width))
    groups = channels if rng.random() < 0.25 else 2 if channels % 2 == 0 and rng.random() < 0.2 else 1
    outputs = channels * _among(rng, 1, 2) if groups == channels else 2 * int(rng.integers(1, 9))
    stride = _among(rng, 1, 1, 2)
    dilation = _among(rng, 1, 2) if stride == 1 and min(height, width) > 10 else 1
    padding = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1])))
    return nn.Conv2d(channels, outputs, kernel, stride, padding, dilation, groups, bias=bool(rng.integers(2)))


def _norm(rng: np.random.Generator, channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels, affine=bool(rng.integers(4)))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.3, 2)
    if norm.affine:
        nn.init.normal_(norm.weight, 1, 0.5)
        nn.init.normal_(norm.bias)
    return norm


def _activation(rng: np.random.Generator, channels: int) -> nn.Module:
    return _among(
        rng,
        *(nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.Hardsigmoid(), nn.SiLU(), nn.GELU(), nn.GELU("tanh")),
        *(nn.LeakyReLU(0.2), nn.PReLU(1), nn.PReLU(channels), nn.Sigmoid(), nn.Tanh()),
        *(nn.Hardtanh(0, 1), nn.Hardtanh(0, 6), nn.ELU()),
    )


def _pooling(rng: np.random.Generator, height: int, width: int) -> nn.Module:
    size, stride, ceil = _among(rng, 2, 3), _among(rng, 1, 2), bool(rng.integers(2))
    padding = _among(rng, 0, size // 2)
    return _among(
        rng,
        nn.MaxPool2d(size, stride, padding, ceil_mode=ceil),
        nn.AvgPool2d(size, stride, padding, ceil_mode=ceil, count_include_pad=bool(rng.integers(2))),
        nn.AdaptiveAvgPool2d((_among(rng, 2, height), _among(rng, 2, width))),
        nn.AdaptiveMaxPool2d((_among(rng, 2, height), _among(rng, 2, width))),
    )


def _resizing(rng: np.random.Generator) -> nn.Module:
    return _among(
        rng,
        nn.Upsample(scale_factor=_among(rng, 1.5, 2, 3), mode="nearest"),
        nn.Upsample(scale_factor=_among(rng, 1.5, 2), mode="bilinear"),
        nn.Upsample(
            size=(_among(rng, 3, 11), _among(rng, 4, 9)), mode="bilinear", align_corners=bool(rng.integers(2))
        ),
    )


def _branch(rng: np.random.Generator, channels: int) -> nn.Module:
    layer = nn.Conv2d(channels, channels, 3, padding=1, groups=_among(rng, 1, channels))
    branch = nn.Sequential(layer, _norm(rng, channels), _activation(rng, channels))
    return Beside(branch, _among(rng, "add", "add", "concat", "gate", "sub"))
