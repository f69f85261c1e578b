"""The same work on many devices at the same time, each in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import TypeVar

from edgenet.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(
    work: Callable[[Item, Progress], Result], items: Sequence[Item], progress: Progress, most: int
) -> list[Result]:
    """Call `work` with each item and with a progress function that threads may share; return the results in order.

    After Ctrl-C, the next step that a thread reports ends its work.

    Args:
        work: what is done with an item.
        items: the items.
        progress: called with every step of every item, never by two threads at once.
        most: the most items that are worked on at the same time.
    """
    if not items:
        return []
    one_at_a_time, stopped = Lock(), Event()

    def shared(stage: str, done: int, total: int | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt  # Ctrl-C reaches only the main thread; this ends the others
        with one_at_a_time:
            progress(stage, done, total)

    with ThreadPoolExecutor(min(most, len(items))) as pool:
        try:
            return list(pool.map(lambda item: work(item, shared), items))
        except KeyboardInterrupt:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
