"""One torch thread for the tests of this room."""

from small_graphs import one_thread

__all__ = ["one_thread"]
