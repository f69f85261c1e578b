"""A network with its weights and their provenance, and the function that loads tensors into every network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.normalization import Normalization, PixelNetwork
from edgenet.zoo.registry import Variant, build_with

LICENCE_UNKNOWN = "not stated by the file"


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready to be evaluated or converted.

    Attributes:
        module: the network, in evaluation mode; it takes normalized RGB [N,3,H,W].
        variant: the network's architecture, width and resolution.
        labels: the label of every output.
        normalization: the normalization that `module` expects of its input.
        origin: where the weights came from.
        licence: the licence of the weights.

    Raises:
        EdgenetError: the number of labels is not the number of outputs.
    """

    module: Classifier
    variant: Variant
    labels: tuple[str, ...]
    normalization: Normalization
    origin: str
    licence: str

    def __post_init__(self) -> None:
        classes = self.module.options.classes
        if len(self.labels) != classes:
            raise EdgenetError(
                f"{self.variant.name} has {classes} outputs and {len(self.labels)} labels",
                "give one label per output",
            )

    def with_pixels(self) -> PixelNetwork:
        """Return the network with its normalization in front: float RGB [N,3,H,W] in 0..255 to logits [N,classes]."""
        return PixelNetwork(self.module, self.normalization)


def load_tensors(
    variant: Variant, options: NetworkOptions, tensors: Mapping[str, Tensor], source: str
) -> Classifier:
    """Return a network with exactly these tensors, in evaluation mode.

    Args:
        variant: the network to build.
        options: the options to build the network with.
        tensors: the tensors by name.
        source: where the tensors come from, for error messages.

    Raises:
        EdgenetError: a tensor is missing, is left over, has another shape, or has values that are not finite.
    """
    # The meta device allocates and initializes nothing, in case the tensors do not fit.
    with torch.device("meta"):
        network = build_with(variant, options)
    expected = network.state_dict()
    # These count training batches and do not affect the result; other formats lack them.
    counters = {name: torch.tensor(0) for name in expected if name.endswith(".num_batches_tracked")}
    tensors = {**counters, **tensors}
    _check(expected, tensors, f"{source} does not hold {variant.name} with {options.classes} classes")
    network.load_state_dict(
        {name: _as_expected(tensors[name], expected[name]) for name in expected}, assign=True
    )
    return network.eval()


def _as_expected(tensor: Tensor, expected: Tensor) -> Tensor:
    return tensor.to(expected.dtype).contiguous()


def _check(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], complaint: str) -> None:
    remedy = "give weights of this network, or name the network that these weights belong to"
    if missing := expected.keys() - tensors.keys():
        raise EdgenetError(f"{complaint}: {_some(missing, 'missing')}", remedy)
    if extra := tensors.keys() - expected.keys():
        raise EdgenetError(f"{complaint}: {_some(extra, 'left over')}", remedy)
    if other := [name for name in expected if tensors[name].shape != expected[name].shape]:
        name = other[0]
        found, wanted = tuple(tensors[name].shape), tuple(expected[name].shape)
        raise EdgenetError(
            f"{complaint}: {_some(other, 'of another shape')} ({name} is {found}, expected {wanted})", remedy
        )
    if broken := [name for name in expected if not bool(torch.isfinite(tensors[name]).all())]:
        first = tensors[min(broken)]
        bad = int((~torch.isfinite(first)).sum())
        raise EdgenetError(
            f"{complaint}: {_some(broken, 'not finite')} ({min(broken)}: {bad} of its {first.numel()} values)",
            "the file is damaged or its training diverged; use another",
        )


def _some(names: Iterable[str], what: str) -> str:
    ordered = sorted(names)
    more = ", ..." if len(ordered) > 2 else ""
    noun = "tensor" if len(ordered) == 1 else "tensors"
    return f"{len(ordered)} {noun} {what}: {', '.join(ordered[:2])}{more}"


# Tried first and in this order, so that a channel plan shared by several widths gets the usual width.
_USUAL_WIDTHS = (1.0, 0.75, 0.5, 0.25, 1.4, 0.35, 1.3)


def infer_width(channels: tuple[int, ...], plan: Callable[[float], tuple[int, ...]]) -> float | None:
    """Return the width multiplier whose channel plan is `channels`, or None if there is none.

    Args:
        channels: the output channels of the layers.
        plan: returns the channel plan of a width. All multiples of 0.01 up to 8 are tried.
    """
    candidates = (*_USUAL_WIDTHS, *(hundredths / 100 for hundredths in range(1, 801)))
    return next((width for width in candidates if plan(width) == channels), None)
