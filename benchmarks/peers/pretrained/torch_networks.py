"""Write the tensor names and logits of timm's and torchvision's own networks, with values from `filling.py`, as JSON.

    .envs/pretrained_torch/bin/python benchmarks/peers/pretrained/torch_networks.py OUT.json CLASSES SIDE NETWORK...

NETWORK is `timm:NAME` or `torchvision:NAME`. The JSON is a list of objects: `network`, `side`, `tensors` (pairs of name
and shape, in the order of the state dict) and `logits`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from filling import filled, picture

# The binary half of torchvision from PyPI is made for the CUDA build of torch. These networks need none of its
# operators, but torchvision looks for them when it is imported.
_OPERATORS = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def network_of(name: str, classes: int) -> torch.nn.Module:
    """Return a library's own network, filled with our values, in evaluation mode."""
    library, _, name = name.partition(":")
    if library == "timm":
        import timm

        network = timm.create_model(name, num_classes=classes)
    else:
        import torchvision

        network = torchvision.models.get_model(name, weights=None, num_classes=classes)
    state = {
        name: tensor if tensor.ndim == 0 else torch.from_numpy(filled(name, tuple(tensor.shape)))
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network.eval()


def main() -> None:
    """Compute and write."""
    out, classes, side, *names = sys.argv[1:]
    rows = []
    for name in names:
        network = network_of(name, int(classes))
        with torch.no_grad():
            logits = network(torch.from_numpy(picture(int(side))))[0]
        tensors = [(key, list(tensor.shape)) for key, tensor in network.state_dict().items()]
        rows.append({"network": name, "side": int(side), "tensors": tensors, "logits": logits.tolist()})
        print(name, flush=True)
    Path(out).write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
