"""Processes of their own that begin with torch imported, because that import takes longer than a training here.

One process imports torch, without computing anything, and each of the others is a fork of it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.distributed import TCPStore

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["pytest", "edgenet.figures.training_figures", "edgenet.workflows.train"])


def in_a_process(call: Callable[..., None], *arguments: Any) -> int | None:
    """Call a function of a module in a process of its own; return the exit status, -9 if SIGKILL ended it."""
    return _ended([_FORKED.Process(target=_alone, args=(call, arguments))])[0]


def in_two_processes(call: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a module in two processes that find each other as those that torchrun starts do."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    statuses = _ended(
        [_FORKED.Process(target=_joined, args=(rank, store.port, call, arguments)) for rank in (0, 1)]
    )
    assert statuses == [0, 0]


def _ended(processes: list[BaseProcess]) -> list[int | None]:
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        process.kill()  # does nothing to one that has ended
        process.join()
    return [process.exitcode for process in processes]


def _alone(call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    call(*arguments)


def _joined(rank: int, port: int, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        TORCHELASTIC_USE_AGENT_STORE="True",
        TORCHELASTIC_RESTART_COUNT="0",
    )
    _alone(call, arguments)
