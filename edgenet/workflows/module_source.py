"""Opens a torch module that a program hands over."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run_tensors
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
    graph = read_module(module, options.resolution, name)
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


def read_module(module: nn.Module, side: int, name: str) -> Graph:
    """Read a module into a graph: by torch.fx, or by an export to ONNX where that is not enough.

    Args:
        module: takes normalized RGB [1, 3, side, side].
        side: height and width of the picture.
        name: the graph's name.

    Raises:
        EdgenetError: neither can read it.
    """
    if side < 1:
        raise EdgenetError(f"the resolution is {side}", "give at least 1 pixel")
    with evaluating(module):
        try:
            return read_torch(module, (side, side), name)
        except Exception as error:  # tracing runs the module's own code, which may raise anything
            refusal = error
        return _through_onnx(module, side, name, refusal)


def _through_onnx(module: nn.Module, side: int, name: str, refusal: Exception) -> Graph:
    """Read a module that torch.fx cannot trace, or that has layers which only our ONNX reader knows.

    Not every module goes this way because torch's exporter takes 100 MB that the process never frees.

    Raises:
        EdgenetError: the exporter cannot trace it either, or it has an operator that is not supported.
    """
    from edgenet.graph.onnx_reader import EXPORT_OPSET, export_onnx, first_line, read_onnx_model

    if any(not tensor.is_cpu for tensor in module.state_dict().values()):
        module = copy.deepcopy(module).cpu()  # the example is on the CPU
    try:
        exported = export_onnx(module, (side, side), EXPORT_OPSET)
    except torch.onnx.errors.OnnxExporterError as error:  # torch 2.4 has another one in torch.onnx
        # torch.fx may have stopped at a layer that the exporter takes, so only this error names the right one.
        reason = first_line(error).removeprefix("Unsupported: ").partition(" Please feel free")[0].rstrip(".")
        raise EdgenetError(
            f"the module {name} cannot be exported: {reason}", "use another layer there"
        ) from refusal
    except Exception:  # the module's own code runs here too
        if isinstance(refusal, EdgenetError):
            raise refusal from None
        raise EdgenetError(
            f"torch.fx cannot trace the module {name}: {first_line(refusal)}",
            "give a module whose forward takes one picture and has no branches that depend on it",
        ) from refusal
    graph = read_onnx_model(exported, name)
    _check_same(module, graph, name)
    return graph


LARGEST_DIFFERENCE = 1e-3
"""Relative to the largest logit; float32 in another order differs by about 1e-6, a wrong branch by far more."""


def _check_same(module: nn.Module, graph: Graph, name: str) -> None:
    """Check that the graph gives the module's own answers, also to dark and bright pictures.

    The exporter follows one example, so that a branch that depends on the picture is frozen without a word.

    Raises:
        EdgenetError: it does not.
    """
    random = torch.Generator().manual_seed(0)
    for brightness in (0.0, 1.5, -1.5):
        picture = torch.randn(1, 3, *graph.size, generator=random) + brightness
        with torch.inference_mode():
            own = module(picture)
        given = run_tensors(graph, picture.permute(0, 2, 3, 1).contiguous())
        if float((own.reshape(given.shape) - given).abs().max()) > LARGEST_DIFFERENCE * float(
            own.abs().max()
        ):
            raise EdgenetError(
                f"the module {name} computes something else for another picture",
                "give a module whose forward takes one picture and has no branches that depend on it",
            )


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
