"""Checks before the work, rather than after it, that its result can be written."""

from __future__ import annotations

import os
from pathlib import Path

from edgenet.errors import EdgenetError


def check_output(out: Path, *sources: str | Path) -> None:
    """Check that `write_atomically` can write a file and would not overwrite a file that the work reads.

    A full disk shows only during writing; `write_atomically` then keeps the old file.

    Args:
        out: the file that will be written.
        sources: the files that are read; a text that is not a path, such as a variant's name, is ignored.

    Raises:
        EdgenetError: `out` is a folder or one of the sources, or its folder is missing or not writable.
    """
    try:
        if out.is_dir():
            raise EdgenetError(f"{out} is a folder", "give the name of a file")
        folder = out.resolve().parent
        if not folder.is_dir():
            raise EdgenetError(f"cannot write {out}: there is no folder {out.parent}", "make it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EdgenetError(
                f"cannot write {out}: the folder {out.parent} is read-only for you",
                "choose a folder that you may write to",
            )
        if any(_same(out, source) for source in sources):
            raise EdgenetError(f"{out} is also the input", "give the result another name")
    except (OSError, RuntimeError) as error:  # RuntimeError: a symlink loop, before Python 3.13
        reason = getattr(error, "strerror", None) or error
        raise EdgenetError(f"cannot write {out}: {reason}", "give another path") from None


def _same(out: Path, source: str | Path) -> bool:
    return out.exists() and os.path.exists(source) and os.path.samefile(out, source)
