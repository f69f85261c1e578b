"""Runs what edgenet does in child processes in forks instead, which take a thousandth of the time to start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable


def in_a_fork(work: Callable[[], int], data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run work that reads `data` from its stdin in a fork of this process; return what it wrote."""
    reading, writing = os.pipe()
    errors = os.memfd_create("errors")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            given = os.memfd_create("data")
            os.write(given, data)
            os.lseek(given, 0, os.SEEK_SET)
            sys.stdin, sys.stdout = os.fdopen(given, "r"), os.fdopen(writing, "w")
            sys.stderr = os.fdopen(errors, "w")
            status = work()
            sys.stdout.flush()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(errors, "rb") as written:
        written.seek(0)
        return subprocess.CompletedProcess([], code, said, written.read())
