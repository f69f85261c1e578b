"""A network as .onnx, for the peers that start from there: WEIGHTS LOGITS.onnx PROBABILITY.onnx

    .venv/bin/python -m benchmarks.comparing.onnx_files mobilenet_v2.pth logits.onnx probability.onnx

The second has a softmax behind it. A process of its own: torch would count as the peak memory of what is started next.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch

from edgenet.workflows.onnx_source import EXPORT_OPSET, export_onnx
from edgenet.zoo.readers import load_network


def main() -> None:
    """Writes both."""
    source, logits, probability = sys.argv[1:]
    network = load_network(source)
    size = (network.variant.resolution, network.variant.resolution)
    with_softmax = torch.nn.Sequential(network.module, torch.nn.Softmax(dim=1)).eval()
    for module, out in ((network.module, logits), (with_softmax, probability)):
        onnx.save(export_onnx(module, size, EXPORT_OPSET), Path(out))


if __name__ == "__main__":
    main()
