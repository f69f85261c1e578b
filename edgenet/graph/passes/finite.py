"""Finds faulty weights: NaN and infinity, which are refused, and layers whose weights are all zero."""

from __future__ import annotations

import numpy as np

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph
from edgenet.graph.operators import WEIGHTED, Affine, FloatArray, Operator


def check_finite(graph: Graph) -> None:
    """Check every constant of the network.

    Raises:
        EdgenetError: a layer holds NaN or infinity; the message names the layer and counts these values.
    """
    for node in graph.nodes:
        for what, array in _constants(node.operator).items():
            bad = count_not_finite(array)
            if bad:
                raise EdgenetError(
                    f"the {what} of '{node.name}' hold {bad} among {array.size} values",
                    "train or export the network again; its batch normalization may have diverged",
                )


def count_not_finite(array: FloatArray) -> str:
    """Return how many values are NaN or infinite, such as "3 NaN and 1 infinite"; empty if all are finite."""
    if np.isfinite(array).all():
        return ""
    counts = {"NaN": int(np.isnan(array).sum()), "infinite": int(np.isinf(array).sum())}
    return " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def silent_layers(graph: Graph) -> tuple[str, ...]:
    """Return the names of the layers whose weights are all zero: they give their biases for every picture."""
    return tuple(
        node.name
        for node in graph.nodes
        if isinstance(node.operator, WEIGHTED) and not node.operator.weight.any()
    )


def _constants(operator: Operator) -> dict[str, FloatArray]:
    if isinstance(operator, WEIGHTED):
        return {"weights": operator.weight, "biases": operator.bias}
    if isinstance(operator, Affine):
        return {"factors": operator.scale, "offsets": operator.offset}
    return {}
