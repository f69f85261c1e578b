"""Random torch modules given to edgenet: what it takes, it computes as torch does; the rest it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_modules import random_module

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.workflows.source_options import SourceOptions
from edgenet.workflows.sources import open_source

FEWEST_TAKEN = 0.5
"""The share that has to be taken. Most of the others have a layer that the lines about them name."""


def test_random_modules(pytestconfig: pytest.Config) -> None:
    count, refused = pytestconfig.getoption("--random-networks"), []
    for seed in range(count):
        module, side = random_module(seed)
        images = np.random.default_rng(seed).integers(0, 256, (3, side, side, 3), np.uint8)
        pictures = (torch.from_numpy(images).float().permute(0, 3, 1, 2) - 127.5) / 63.75
        with torch.inference_mode():
            wanted = module(pictures).numpy()
        options = SourceOptions(resolution=side, normalization="127.5,127.5,127.5/63.75,63.75,63.75")
        try:
            graph = open_source(module, options).graph
        except EdgenetError as error:
            refused.append(f"{seed}: {error}")
            continue
        near = 2e-3 * float(np.abs(wanted).max())
        np.testing.assert_allclose(run(graph, images), wanted, atol=near, err_msg=f"seed {seed}: {module}")
    assert len(refused) < (1 - FEWEST_TAKEN) * count, "\n".join(refused)
