"""Write a checkpoint with random weights, for a network that is only timed: fresh_network.py VARIANT OUT.safetensors"""

from __future__ import annotations

import sys
from pathlib import Path

from edgenet.zoo.catalogue import labels_for
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.classifier import CENTRED
from edgenet.zoo.registry import build, parse_variant


def main() -> None:
    """Write the checkpoint, with ImageNet's 1,001 labels."""
    name, out = sys.argv[1:]
    module = build(name, 1001).eval()
    save_checkpoint(
        Path(out), LoadedNetwork(module, parse_variant(name), labels_for(1001), CENTRED, "fresh", "none")
    )


if __name__ == "__main__":
    main()
