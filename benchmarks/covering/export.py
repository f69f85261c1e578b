"""Exports networks of timm and torchvision to ONNX, with random weights; runs in the environment that has both.

    python export.py FOLDER NAME:SIDE ...

Each network becomes FOLDER/NAME.onnx. A name that begins with "tv_" is torchvision's, any other is timm's; one that
ends in "_rep" is reparameterized (its branches are merged) first. One line of JSON for each network says whether it
was exported.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from unittest import mock

import torch
from torch import nn

OPSET = 17


def main() -> int:
    """Export every network that the arguments name; return 0 even if some cannot be exported."""
    folder = Path(sys.argv[1])
    import_without_detection()
    for wanted in sys.argv[2:]:
        name, side = wanted.split(":")
        path = folder / f"{name}.onnx"
        try:
            export(network(name, int(side)), int(side), path)
            print(json.dumps({"name": name, "file": str(path)}), flush=True)
        except Exception as error:  # whatever a network's own code raises
            print(json.dumps({"name": name, "error": f"{type(error).__name__}: {error}"[:300]}), flush=True)
    return 0


def import_without_detection() -> None:
    """Import torchvision although its compiled part, which is for detection, does not load beside a CPU torch."""
    with mock.patch.object(torch.library, "register_fake", return_value=lambda function: function):
        import torchvision  # noqa: F401 (later imports then find it)


def network(name: str, side: int) -> nn.Module:
    """Return a network with random weights and batch-norm statistics, in evaluation mode."""
    torch.manual_seed(0)
    if name.startswith("tv_"):
        module = _torchvision(name.removeprefix("tv_"))
    else:
        module = _timm(name.removesuffix("_rep").removesuffix("_train"), side)
    _randomize(module.eval())
    if name.endswith("_rep"):
        from timm.utils.model import reparameterize_model

        module = reparameterize_model(module)
    return module.eval()


@torch.no_grad()
def _randomize(module: nn.Module) -> None:
    """Give batch norms statistics, and factors that begin at (nearly) 0 a size: else whole branches give nothing."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            if part.running_mean is None or part.running_var is None:
                continue
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            if part.weight is not None:
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_(0, 0.1)
    for path, parameter in module.named_parameters():
        if any(word in path for word in ("gamma", "layer_scale", "ls1", "ls2")):
            parameter.uniform_(0.1, 1.0)


def _torchvision(name: str) -> nn.Module:
    from torchvision import models

    aux = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, **({"init_weights": False, **aux} if aux else {}))


def _timm(name: str, side: int) -> nn.Module:
    import timm
    from timm.layers import set_exportable, set_fused_attn

    set_exportable(True)
    set_fused_attn(False)
    try:
        return timm.create_model(name, pretrained=False, img_size=side)
    except TypeError:  # most convolutional networks take pictures of any size
        return timm.create_model(name, pretrained=False)


def export(module: nn.Module, side: int, path: Path) -> None:
    """Write one network as ONNX, with a fixed input [1, 3, side, side]."""
    example = torch.zeros(1, 3, side, side)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (example,), str(path), dynamo=False, opset_version=OPSET, input_names=["image"]
        )


if __name__ == "__main__":
    sys.exit(main())
