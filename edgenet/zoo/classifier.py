"""What all networks share: building blocks, the options that they are built with, and the class that they are based on.

The blocks are convolutions and pooling with TensorFlow's padding, and parallel branches. Every network has
convolutional features, global average pooling, dropout and a linear layer, in this order.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from edgenet.errors import EdgenetError

Padding = Literal["same", "symmetric"]
# A single layer may also have no padding at all ("valid"), whatever its network uses.
LayerPadding = Literal["same", "symmetric", "valid"]
Kernel = int | tuple[int, int]


@dataclass(frozen=True)
class BlockStyle:
    """The settings that all blocks of one network share.

    Attributes:
        padding: "same" is TensorFlow's rule; "symmetric" is torch's kernel // 2 on every side; "valid" is no padding.
        epsilon: the number that batch normalization adds to the variance (TF-slim 1e-3, torchvision 1e-5).
        activation: a function that makes the activation after batch normalization.
    """

    padding: LayerPadding = "same"
    epsilon: float = 1e-3
    activation: Callable[[], nn.Module] = nn.ReLU6


def conv_block(
    channels: tuple[int, int],
    style: BlockStyle,
    kernel: Kernel = 1,
    stride: int = 1,
    groups: int = 1,
    activate: bool = True,
) -> nn.Sequential:
    """Return a convolution without bias, batch normalization and activation: `conv`, `norm` and `activation`.

    Args:
        channels: the numbers of input and output channels.
        style: the network's padding, epsilon and activation.
        kernel: the kernel's side, or its height and width.
        stride: the stride in both directions.
        groups: the number of convolution groups; the number of input channels makes it depthwise.
        activate: whether to add the activation; False for the linear bottlenecks of MobileNetV2.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = convolution(channels, style.padding, kernel, stride, groups)
    parts["norm"] = nn.BatchNorm2d(channels[1], eps=style.epsilon)
    if activate:
        parts["activation"] = style.activation()
    return nn.Sequential(parts)


def biased_block(
    channels: tuple[int, int],
    padding: LayerPadding,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Return a convolution with bias and a ReLU, named `conv` and `activation`, as before batch normalization."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = convolution(channels, padding, kernel, stride, groups, bias=True)
    parts["activation"] = nn.ReLU()
    return nn.Sequential(parts)


def convolution(
    channels: tuple[int, int],
    padding: LayerPadding,
    kernel: Kernel = 1,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Return a convolution with one of the paddings that `BlockStyle` explains."""
    if padding == "same":
        return SameConv2d(*channels, kernel, stride, groups=groups, bias=bias)
    height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    around = (0, 0) if padding == "valid" else (height // 2, width // 2)
    return nn.Conv2d(*channels, kernel, stride, padding=around, groups=groups, bias=bias)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, computed from the size of each input.

    If both sides need equal padding, the convolution itself pads. Only unequal padding (stride 2 over an even size)
    takes a separate pad operator, which keeps exported graphs small. A traced graph fits only one input size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,out_channels,ceil(H/stride),ceil(W/stride)]."""
        height, width = height_width(x)
        top, bottom = same_padding(height, self.kernel_size[0], self.stride[0], self.dilation[0])
        left, right = same_padding(width, self.kernel_size[1], self.stride[1], self.dilation[1])
        own = (top, left)
        if (top, left) != (bottom, right):
            x, own = _pad(x, (left, right, top, bottom)), (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, own, self.dilation, self.groups)


def _pad(x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Pad [N,C,H,W] with zeros; `padding` is (left, right, top, bottom)."""
    exporting = torch.jit.is_tracing() and torch.onnx.is_in_onnx_export()
    return _ExportedPad.apply(x, padding) if exporting else F.pad(x, padding)


class _ExportedPad(torch.autograd.Function):
    """F.pad, exported as one ONNX operator. The tracing exporter would write a dozen, to compute the constants."""

    @staticmethod
    def forward(_: object, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
        return F.pad(x, padding)

    @staticmethod
    def symbolic(graph: Any, x: Any, padding: tuple[int, int, int, int]) -> Any:
        left, right, top, bottom = padding
        pads = torch.tensor([0, 0, top, left, 0, 0, bottom, right])
        return graph.op("Pad", x, graph.op("Constant", value_t=pads), mode_s="constant")


def max_pool(padding: LayerPadding, kernel: int = 3, stride: int = 2) -> nn.Module:
    """Return a max pooling with one of the paddings that `BlockStyle` explains."""
    if padding == "same":
        return SameMaxPool2d(kernel, stride)
    return nn.MaxPool2d(kernel, stride, 0 if padding == "valid" else kernel // 2)


class SameMaxPool2d(nn.Module):
    """Max pooling of square windows with TensorFlow's SAME padding, computed from the size of each input.

    Padding counts as minus infinity. If the padding is unequal, torch's `ceil_mode` adds the extra padding at the
    bottom and right, because a separate pad would be one more operator in the exported graph.

    Args:
        kernel: the window's side.
        stride: the stride; at least 2 if the kernel is even.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C,ceil(H/stride),ceil(W/stride)]."""
        (top, bottom), (left, right) = (
            same_padding(size, self.kernel, self.stride) for size in height_width(x)
        )
        up = (top, left) != (bottom, right)
        return F.max_pool2d(x, self.kernel, self.stride, (top, left), ceil_mode=up)

    def extra_repr(self) -> str:
        """Return the arguments that print(network) shows."""
        return f"kernel={self.kernel}, stride={self.stride}"


def average_pool() -> nn.Module:
    """Return a 3x3 average pooling at stride 1 that, like TensorFlow, leaves the padding out of the averages."""
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


class Branches(nn.Module):
    """Parallel layers that all read the same input; their outputs are concatenated along the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',h,w], where C' is the sum of the branches' channels."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def height_width(x: Tensor) -> tuple[int, int]:
    """Return height and width of [N,C,H,W] as ints, without the warning that torch gives for int() while tracing."""
    with warnings.catch_warnings():
        if torch.jit.is_tracing():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return int(x.shape[-2]), int(x.shape[-1])


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return the numbers of zeros before and after a dimension of `size` elements, by TensorFlow's SAME rule.

    The output has ceil(size / stride) elements. If the number of zeros is odd, the extra one comes after.
    Source: TensorFlow's documentation of `tf.nn.convolution`, padding "SAME".
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def initialize(network: nn.Module) -> None:
    """Initialize convolutions by He's method (arXiv 1502.01852, fan-out), linear layers with small normal weights."""
    if next(network.parameters()).is_meta:
        return  # Meta tensors have no storage to fill.
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


class Classifier(nn.Module):
    """A network that maps normalized RGB [N,3,H,W] to logits [N,classes].

    Attributes:
        features: the convolutional layers, [N,3,H,W] to [N,C,h,w].
        pool: global average pooling to [N,C,1,1]; the identity in networks whose head reads the whole map.
        head: extra layers that some networks have between pooling and the last layer; else the identity.
        classifier: the last layer, [N,channels] to [N,classes].
        options: the settings that the network was built with.

    Args:
        features: see above.
        channels: the number of inputs of the last layer.
        dropout: the architecture's default share of the pooled features to drop, which `options` may override.
        options: see above.
        head: see above; None for the identity.
        pool: see above; None for global average pooling.
    """

    classifier: nn.Linear | nn.Conv2d

    def __init__(
        self,
        features: nn.Sequential,
        channels: int,
        dropout: float,
        options: NetworkOptions,
        head: nn.Module | None = None,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.features = features
        self.pool = pool or nn.AdaptiveAvgPool2d(1)
        self.head = head or nn.Identity()
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(options.dropout_or(dropout))
        self.classifier = nn.Linear(channels, options.classes)
        initialize(self)

    @property
    def normalization(self) -> Normalization:
        """The normalization that the network expects of its input."""
        return self.options.normalization

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N,classes] of normalized RGB `x` [N,3,H,W]."""
        pooled = self.head(self.pool(self.features(x)))
        return self.classifier(self.dropout(self.flatten(pooled)))


@dataclass(frozen=True)
class Normalization:
    """x = (rgb - mean) / std, with a mean and a std per colour in units of pixel values 0..255.

    Raises:
        EdgenetError: a value is not finite, or a std is not above 0.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        values = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(abs(v) < 1e6 for v in values):
            raise EdgenetError(
                f"the normalization has mean {self.mean} and std {self.std}", "give three finite numbers each"
            )
        if min(self.std) <= 0:
            raise EdgenetError(f"the normalization has std {self.std}", "every std must be above 0")

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalize float RGB `pixels` [N,3,H,W] in 0..255."""
        return (pixels - _per_colour(self.mean, pixels)) / _per_colour(self.std, pixels)


def _per_colour(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(1, 3, 1, 1)


# Ours. Zero is exactly the pixel value 127, so zero padding is padding with a pixel value, and folding is exact.
CENTRED = Normalization((127.0, 127.0, 127.0), (127.5, 127.5, 127.5))
# TF-slim's x / 127.5 - 1, where zero lies between two pixel values.
SLIM = Normalization((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
# torchvision's mean and std of ImageNet; torchvision states them in units of 0..1.
TORCHVISION = Normalization(
    (255 * 0.485, 255 * 0.456, 255 * 0.406),
    (255 * 0.229, 255 * 0.224, 255 * 0.225),
)


@dataclass(frozen=True)
class NetworkOptions:
    """The settings that a network is built with, besides its architecture, width and resolution.

    Attributes:
        classes: the number of outputs.
        dropout: the share of the pooled features that training drops; None uses the architecture's default.
        padding: "same" (as in TensorFlow) or "symmetric" (as in torch).
        epsilon: the epsilon of batch normalization.
        normalization: the normalization that the network expects of its input.
        fixed_stem: whether the first convolution keeps its full channels at every width multiplier. timm trained its
            narrow MobileNetV3 and V4 so; the other networks have no such form and ignore it.

    Raises:
        EdgenetError: a setting is out of range.
    """

    classes: int = 1000
    dropout: float | None = None
    padding: Padding = "same"
    epsilon: float = 1e-3
    normalization: Normalization = CENTRED
    fixed_stem: bool = False

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise EdgenetError(f"the number of classes is {self.classes}", "a classifier needs at least 2")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise EdgenetError(f"the dropout is {self.dropout}", "give a share from 0 to less than 1")
        if self.padding not in get_args(Padding):
            raise EdgenetError(f'the padding is "{self.padding}"', 'give "same" or "symmetric"')
        if not 0 < self.epsilon < 1:
            raise EdgenetError(
                f"the epsilon of batch normalization is {self.epsilon}",
                "give a number between 0 and 1, such as 1e-3",
            )

    def dropout_or(self, default: float) -> float:
        """Return the dropout, or the architecture's default if these options leave it open."""
        return default if self.dropout is None else self.dropout

    def stem_width(self, width: float) -> float:
        """Return the width multiplier of the first convolution in a network of this width."""
        return 1.0 if self.fixed_stem else width


class PixelNetwork(nn.Module):
    """A network with its normalization in front: float RGB [N,3,H,W] in 0..255 to logits [N,classes]."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (normalization.mean, normalization.std))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.train(network.training)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits [N,classes] of float RGB `pixels` [N,3,H,W] in 0..255."""
        return self.network((pixels - self.mean) / self.std)
