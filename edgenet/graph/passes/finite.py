"""Weights that no training means to give: NaN and infinity, which are refused, and layers of nothing but zeros."""

from __future__ import annotations

import numpy as np

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph
from edgenet.graph.operators import WEIGHTED, Affine, FloatArray, Operator


def check_finite(graph: Graph) -> None:
    """Looks at every constant of the network.

    Raises:
        EdgenetError: a layer holds NaN or infinity; the line names the layer and says how many values are.
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
    """How many values are no numbers, in words; empty where all are."""
    if np.isfinite(array).all():
        return ""
    counts = {"NaN": int(np.isnan(array).sum()), "infinite": int(np.isinf(array).sum())}
    return " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def silent_layers(graph: Graph) -> tuple[str, ...]:
    """The layers whose weights are all zero: whatever the picture, they give their biases."""
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
