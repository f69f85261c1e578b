"""Photos to train with, and one thread: the networks here are small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from shape_photos import every_class, write_photos


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Use one thread, because the threads of small networks cost more time by waiting than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders blue, green and red of 20 photos each; not to be changed."""
    return write_photos(tmp_path_factory.mktemp("photos") / "shapes", every_class(20))
