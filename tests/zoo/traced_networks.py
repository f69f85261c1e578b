"""Read timm's and torchvision's own modules and compare; `foreign_checkpoints.py` does so beside these libraries."""

from __future__ import annotations

import torch
from torch import nn

from edgenet.graph.executor import run_tensors
from edgenet.workflows.module_source import read_module

# The binary half of torchvision from PyPI is made for the CUDA build of torch. These networks need none of its
# operators, but torchvision looks for them when it is imported.
OPERATORS = torch.library.Library("torchvision", "DEF")
for kind in ("nms", "qnms"):
    OPERATORS.define(f"{kind}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402
import torchvision  # noqa: E402

SIDE = 96


def difference(name: str) -> float:
    """Return the largest difference between a network's logits and its graph's, relative to the largest logit.

    The name is LIBRARY:NETWORK. Weights and batch normalization are random.
    """
    library, _, name = name.partition(":")
    make = timm.create_model if library == "timm" else torchvision.models.get_model
    torch.manual_seed(3)
    network = make(name, num_classes=7).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for parameter, low, high in ((layer.weight, 0.7, 1.3), (layer.bias, -0.3, 0.3)):
                nn.init.uniform_(parameter, low, high)
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    picture = torch.randn(1, 3, SIDE, SIDE)
    graph = read_module(network, SIDE, name)
    with torch.inference_mode():
        wanted = network(picture)
    given = run_tensors(graph, picture.permute(0, 2, 3, 1).contiguous())
    return float((given - wanted).abs().max() / wanted.abs().max())
