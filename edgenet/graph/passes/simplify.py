"""Runs the passes in order: from a reader's graph to the graph that the quantizer and the writer take."""

from __future__ import annotations

import numpy as np

from edgenet.graph.ir import Graph
from edgenet.graph.passes.activation import fuse_activations, recognise_hard_functions
from edgenet.graph.passes.affine import fold_affine
from edgenet.graph.passes.cleanup import drop_final_softmax, drop_unused, merge_concats, merge_reshapes
from edgenet.graph.passes.finite import check_finite
from edgenet.graph.passes.gates import lower_gates
from edgenet.graph.passes.lowering import lower_affine
from edgenet.graph.passes.naming import name_after_modules
from edgenet.graph.passes.padding import absorb_padding, lower_padding
from edgenet.graph.passes.pixels import absorb_scaling, fold_border, normalize_pixels
from edgenet.graph.passes.transposes import merge_transposes
from edgenet.zoo.normalization import Normalization


def simplify(graph: Graph, normalization: Normalization | None) -> Graph:
    """Return the smallest equal graph that takes pixels and ends in logits.

    Args:
        graph: from a reader.
        normalization: the one used in training; None for a graph that takes pixels already.

    Raises:
        EdgenetError: a layer's weights hold NaN or infinity.
    """
    graph = drop_unused(drop_final_softmax(graph))
    graph = merge_transposes(graph)
    if normalization is not None:
        graph = normalize_pixels(*absorb_scaling(graph, normalization))
    graph = absorb_padding(graph)
    graph = recognise_hard_functions(graph)
    with np.errstate(all="ignore"):  # check_finite below reports overflow with the layer's name
        graph = fold_affine(drop_unused(graph))
    graph = fuse_activations(graph)
    graph = name_after_modules(merge_concats(merge_reshapes(graph)))
    check_finite(graph)
    return graph


def lower(graph: Graph, exact_border: bool) -> Graph:
    """Return the graph made only of operators that a .tflite file has.

    Args:
        graph: from `simplify`.
        exact_border: keep the normalization as an operator if folding it would change the picture's border.

    Raises:
        EdgenetError: an average pooling has a padding that a file cannot hold.
    """
    graph = graph if exact_border else fold_border(graph)
    graph = fuse_activations(lower_affine(lower_gates(graph)))
    return lower_padding(graph)
