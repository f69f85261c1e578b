"""Write checkpoints of timm's and torchvision's networks, beside these libraries: `... FOLDER [NAME ...]`.

Weights and batch normalization are random. NAME.npy holds the logits for the picture in picture.npy. A NAME such as
timm:mobilenetv2_100 is no checkpoint but a module to read; differences.json says how far its graph's logits are off.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from traced_networks import difference, timm, torchvision

CLASSES = 7
Saved = Any


def timms(name: str, **options: Any) -> nn.Module:
    """Return a network of timm."""
    return timm.create_model(name, **({"num_classes": CLASSES} | options))


def torchvisions(name: str, **options: Any) -> nn.Module:
    """Return a network of torchvision."""
    return getattr(torchvision.models, name)(**({"num_classes": CLASSES} | options))


class Lightning(nn.Module):
    """A network within a module, as pytorch-lightning's users write it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.net = network
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's logits."""
        return self.net(x)


class OwnHead(nn.Module):
    """A backbone without a head, and a head beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = timms("mobilenetv2_050", num_classes=0)
        self.head = nn.Linear(1280, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the head's logits."""
        return self.head(self.backbone(x))


def replaced_head() -> nn.Module:
    """Return torchvision's MobileNetV2 with a new head, as tutorials make it."""
    network = torchvisions("mobilenet_v2", width_mult=0.5)
    network.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, CLASSES, bias=False))
    return network


def in_timms_program(network: nn.Module) -> Saved:
    """Return what timm's train.py saves: the arguments are an object of argparse."""
    other = {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
    return {
        "epoch": 3,
        "arch": "tf_mobilenetv3_small_075",
        "state_dict": other,
        "optimizer": torch.optim.AdamW(network.parameters()).state_dict(),
        "args": argparse.Namespace(lr=0.1, data=Path("photos")),
        "state_dict_ema": network.state_dict(),
    }


def prefixed(network: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """Return the state dict with a prefix before each name."""
    return {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}


CHECKPOINTS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], Saved]]] = {
    "plain.pth": (lambda: torchvisions("mobilenet_v2"), lambda n: n.state_dict()),
    "replaced-head.pt": (replaced_head, lambda n: {"model_state_dict": n.state_dict(), "loss": 0.3}),
    "v3-large.bin": (lambda: torchvisions("mobilenet_v3_large"), lambda n: {"model": n.state_dict()}),
    "v3-small-ddp.pth": (
        lambda: torchvisions("mobilenet_v3_small"),
        lambda n: {"state_dict": prefixed(n, "module.")},
    ),
    "lightning.ckpt": (
        lambda: Lightning(timms("mobilenetv3_large_100")),
        lambda n: {
            "state_dict": n.state_dict(),
            "callbacks": {"a": argparse.Namespace()},
            "hyper_parameters": {"x": 1},
        },
    ),
    "timm.pth.tar": (lambda: timms("tf_mobilenetv3_small_075"), in_timms_program),
    "v4.safetensors": (lambda: timms("mobilenetv4_conv_small"), lambda n: n.state_dict()),
    "v1-compiled.pt": (lambda: timms("mobilenetv1_100"), lambda n: prefixed(n, "_orig_mod.module.")),
    "own-head.ckpt": (OwnHead, lambda n: {"state_dict": n.state_dict()}),
    "lite0-half.pth": (
        lambda: timms("efficientnet_lite0").half().float(),
        lambda n: {"ema": prefixed(n.half(), "")},
    ),
    "minimal.pth": (lambda: timms("tf_mobilenetv3_small_minimal_100"), lambda n: n.state_dict()),
    "small-050.pth": (lambda: timms("mobilenetv3_small_050"), lambda n: n.state_dict()),
    "binary.pth": (lambda: torchvisions("mobilenet_v2", num_classes=1), lambda n: n.state_dict()),
    "script.pt": (lambda: torchvisions("mobilenet_v3_small"), lambda n: torch.jit.script(n)),
    "exported.pt2": (
        lambda: timms("mobilenetv2_100"),
        lambda n: torch.export.export(n, (torch.zeros(1, 3, 96, 96),)),
    ),
    "whole.pt": (lambda: torchvisions("mobilenet_v3_small"), lambda n: n),
    "legacy.pth": (lambda: torchvisions("mobilenet_v2"), lambda n: n.state_dict()),
    "no-head.pth": (lambda: timms("mobilenetv2_100", num_classes=0), lambda n: n.state_dict()),
    "large-head.pth": (
        lambda: timms("mobilenetv2_050"),
        lambda n: (
            n.state_dict()
            | {"classifier.weight": torch.zeros(5, 9), "classifier.4.weight": torch.zeros(9, 1280)}
        ),
    ),
    "resnet.pth": (lambda: timms("resnet18"), lambda n: n.state_dict()),
    "one-missing.pth": (
        lambda: timms("mobilenetv2_050"),
        lambda n: {name: t for name, t in n.state_dict().items() if name != "blocks.2.1.bn2.bias"},
    ),
}


def shake(network: nn.Module) -> None:
    """Change batch normalization and biases as if the network had been trained."""
    torch.manual_seed(2)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.7, 1.3)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
        elif isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.uniform_(layer.bias, -0.5, 0.5)


def save(content: Saved, path: Path) -> None:
    """Save a checkpoint as its name says."""
    if path.suffix == ".safetensors":
        save_file(content, path)
    elif isinstance(content, torch.jit.ScriptModule):
        content.save(str(path))
    elif path.suffix == ".pt2":
        torch.export.save(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=not path.name.startswith("legacy"))


def main() -> None:
    """Write all checkpoints, or those that are named."""
    folder, wanted = Path(sys.argv[1]), sys.argv[2:]
    torch.manual_seed(1)
    picture = torch.randn(1, 3, 96, 96)
    np.save(folder / "picture.npy", picture.numpy())
    for name in [name for name in wanted if ":" not in name] or CHECKPOINTS:
        build, content = CHECKPOINTS[name]
        network = build().eval()
        shake(network)
        if "half" in name:
            network = network.half().float()
        with torch.inference_mode():
            np.save(folder / f"{name}.npy", network(picture).float().numpy())
        save(content(network), folder / name)
    differences = {name: difference(name) for name in wanted if ":" in name}
    (folder / "differences.json").write_text(json.dumps(differences))


if __name__ == "__main__":
    main()
