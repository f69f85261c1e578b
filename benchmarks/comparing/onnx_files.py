"""Write a network as .onnx, for the peers that start from one: WEIGHTS LOGITS.onnx PROBABILITY.onnx

    .venv/bin/python -m benchmarks.comparing.onnx_files mobilenet_v2.pth logits.onnx probability.onnx

The second file ends in a softmax. This is a process of its own, because torch's memory would count towards the peak
memory of the processes that are started next.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch

from edgenet.graph.onnx_reader import EXPORT_OPSET, export_onnx
from edgenet.zoo.readers import load_network


def main() -> None:
    """Write both files."""
    source, logits, probability = sys.argv[1:]
    network = load_network(source)
    size = (network.variant.resolution, network.variant.resolution)
    with_softmax = torch.nn.Sequential(network.module, torch.nn.Softmax(dim=1)).eval()
    for module, out in ((network.module, logits), (with_softmax, probability)):
        onnx.save(export_onnx(module, size, EXPORT_OPSET), Path(out))


if __name__ == "__main__":
    main()
