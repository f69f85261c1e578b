"""Opens a torch module that a program hands over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph
from edgenet.graph.simplify import simplify
from edgenet.graph.torch_reader import read_torch
from edgenet.manifest import Facts, Weights
from edgenet.workflows.source_options import NORMALIZATIONS, Source, SourceOptions, parse_normalization
from edgenet.zoo.classifier import Normalization


def open_module(module: nn.Module, options: SourceOptions) -> Source:
    """Read a torch module; the weights are copied, so later training does not change the result."""
    name = type(module).__name__
    if options.resolution is None:
        raise EdgenetError(
            f"the module {name} does not say how large its input picture is", "give resolution=PIXELS"
        )
    if options.input_shape is not None:
        raise EdgenetError(
            f"the module {name} takes its input shape from resolution", "leave out input_shape"
        )
    graph = _traced(module, options.resolution, name)
    weights = Weights(f"the torch module {name}", "not stated by the module")
    facts = Facts(name, weights, resolution=options.resolution)
    return Source(simplify(graph, module_normalization(module, options)), None, facts)


def module_normalization(module: nn.Module, options: SourceOptions) -> Normalization:
    """Return the normalization that the user gave for a module; without one, that of edgenet's own networks.

    Raises:
        EdgenetError: the module is another one, and no normalization was given; or the given text is not one.
    """
    own = getattr(module, "normalization", None)
    if options.normalization is None and isinstance(own, Normalization):
        return own
    if options.normalization is None:
        raise EdgenetError(
            f"the module {type(module).__name__} does not say what its pixels went through in training",
            f"give normalization={'|'.join(NORMALIZATIONS)}, or mean/std in 0..255 as R,G,B/R,G,B",
        )
    return parse_normalization(options.normalization)


def _traced(module: nn.Module, side: int, name: str) -> Graph:
    if side < 1:
        raise EdgenetError(f"the resolution is {side}", "give at least 1 pixel")
    try:
        with evaluating(module):
            return read_torch(module, (side, side), name)
    except EdgenetError:
        raise
    except Exception as error:  # tracing runs the module's own code, which may raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise EdgenetError(
            f"torch.fx cannot trace the module {name}: {reason}",
            "give a module whose forward takes one picture and has no branches that depend on it",
        ) from error


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and all its parts into evaluation mode, and every part back into its own mode afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
