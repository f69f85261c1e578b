"""A network with its weights and what is known about them, and the one way tensors get into a network."""

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
        module: in evaluation mode; takes normalized RGB [N,3,H,W].
        labels: one per output, in order.
        normalization: what `module`'s input has been through.
        origin: where the weights came from.
        licence: under which licence.
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
        """The network with its normalization in front: float RGB [N,3,H,W] in 0..255 to logits."""
        return PixelNetwork(self.module, self.normalization)


def load_tensors(
    variant: Variant, options: NetworkOptions, tensors: Mapping[str, Tensor], source: str
) -> Classifier:
    """A network of exactly these tensors, in evaluation mode.

    Args:
        source: named in errors.

    Raises:
        EdgenetError: tensors missing, left over, of another shape, or not finite.
    """
    # On the meta device nothing is allocated or initialized before it is known that everything fits.
    with torch.device("meta"):
        network = build_with(variant, options)
    expected = network.state_dict()
    # Counts batches in training and plays no part in the result; other formats do not have it.
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
    remedy = "give a file of weights of this network, or name the network that these weights are of"
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


# Tried in this order, so that a plan of channels which several widths share gets its usual name.
_USUAL_WIDTHS = (1.0, 0.75, 0.5, 0.25, 1.4, 0.35, 1.3)


def infer_width(channels: tuple[int, ...], plan: Callable[[float], tuple[int, ...]]) -> float | None:
    """The width multiplier, in hundredths up to 8, whose `plan` is `channels`; None if there is none."""
    candidates = (*_USUAL_WIDTHS, *(hundredths / 100 for hundredths in range(1, 801)))
    return next((width for width in candidates if plan(width) == channels), None)
