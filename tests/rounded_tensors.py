"""The noise at the logits of a float network when some of its tensors are rounded."""

from __future__ import annotations

import numpy as np

from edgenet.graph.executor import apply, decode_pixels, run
from edgenet.graph.ir import Graph
from edgenet.quantize.quantized_graph import dequantize_array, quantize_array
from edgenet.quantize.ranges import encode_tensors, observe_ranges


def noise_of_rounding(graph: Graph, images: np.ndarray, names: frozenset[str]) -> float:
    """Return the energy of the noise at the logits when only these tensors are rounded to their int8 steps."""
    encodings = encode_tensors(graph, observe_ranges(graph, images))
    values = {graph.input: decode_pixels(graph, images)}
    for node in graph.nodes:
        value = apply(node.operator, [values[source] for source in node.inputs])
        if node.output in names:
            encoding = encodings[node.output]
            value = value.new_tensor(dequantize_array(quantize_array(value.numpy(), encoding), encoding))
        values[node.output] = value
    return float(np.square(values[graph.output].numpy() - run(graph, images)).sum())
