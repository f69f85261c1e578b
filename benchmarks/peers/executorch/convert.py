"""Convert a torch network to an int8 .pte for ExecuTorch's XNNPACK backend, by its documented PT2E quantization.

    .envs/executorch/bin/python -m benchmarks.peers.executorch.convert WEIGHTS PHOTOS OUT.pte NORMALIZATION

WEIGHTS is a source that `edgenet convert` takes, and the module is edgenet's. The quantization is static and symmetric,
with per-channel weights. It runs in its own environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.exir import to_edge_transform_and_lower
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from benchmarks.normalizations import parse
from benchmarks.peers.calibration import channels_first, normalized_photos
from edgenet.zoo.readers import load_network


def main() -> None:
    """Convert and write the file."""
    source, photos, out, normalization = sys.argv[1:]
    network = load_network(source)
    side = network.variant.resolution
    example = (torch.zeros(1, 3, side, side),)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(torch.export.export(network.module, example).module(), quantizer)
    with torch.no_grad():
        for photo in normalized_photos(Path(photos), parse(normalization)):
            prepared(torch.from_numpy(channels_first(photo)))
    exported = torch.export.export(convert_pt2e(prepared), example)
    program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    Path(out).write_bytes(program.buffer)


if __name__ == "__main__":
    main()
