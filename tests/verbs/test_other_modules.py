"""Torch modules that somebody else wrote, given to edgenet from Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.workflows.source_options import SourceOptions
from edgenet.workflows.sources import open_source

OPTIONS = SourceOptions(resolution=32, normalization="0..255")
PIXELS = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3), np.uint8)


class SamePadding(nn.Conv2d):
    """A convolution whose padding depends on the picture, written as timm writes it."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad and convolve."""
        missing = max((x.shape[-1] // 2 - 1) * 2 + 3 - x.shape[-1], 0)
        if missing > 0:
            x = functional.pad(x, [missing // 2, missing - missing // 2] * 2)
        return functional.conv2d(x, self.weight, self.bias, 2)


class Theirs(nn.Module):
    """A network with a branch on its picture's size, functions instead of layers, and a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SamePadding(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = functional.leaky_relu(self.norm(self.stem(x)), 0.1)
        x = functional.adaptive_avg_pool2d(x[:, :4], 1)
        return self.last(torch.flatten(functional.silu(x), 1))


def test_a_module_that_torch_fx_cannot_trace() -> None:
    torch.manual_seed(1)
    network = Theirs().eval()
    nn.init.uniform_(network.norm.running_var, 1000, 2000)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(PIXELS).float().permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(run(open_source(network, OPTIONS).graph, PIXELS), wanted, rtol=1e-4, atol=1e-4)


class DependsOnThePicture(nn.Module):
    """A network with a branch that an exporter freezes."""

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of the brighter half."""
        return x.mean((2, 3)) if bool(x.numpy().mean() > 0) else x.amax((2, 3))


def test_a_module_that_depends_on_its_picture_is_refused() -> None:
    with pytest.raises(EdgenetError, match="DependsOnThePicture computes something else for another picture"):
        open_source(DependsOnThePicture(), OPTIONS)


class WithoutAnOperator(nn.Module):
    """A network with a function that torch.fx's reader does not take, and a pooling that no exporter knows."""

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return functional.adaptive_avg_pool2d(functional.silu(x), (5, 7)).flatten(1)[:, :4]


def test_one_line_about_the_right_operator_of_a_module_that_cannot_be_exported(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Torch's exporter prints its whole graph where it fails."""
    with pytest.raises(EdgenetError) as caught:
        open_source(WithoutAnOperator(), OPTIONS)
    assert str(caught.value) == (
        "the module WithoutAnOperator cannot be exported: ONNX export of operator adaptive_avg_pool2d, output size "
        "that are not factor of input size; use another layer there"
    )
    assert capfd.readouterr() == ("", "")
