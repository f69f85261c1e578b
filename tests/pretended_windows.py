"""Makes a Python program believe that it runs on Windows, as far as the modules of edgenet can tell.

`PYTHONPATH` leads to a folder with this file as sitecustomize.py. The standard library's own modules are imported first
and go on using what Windows lacks; only edgenet's modules are refused the missing modules, and functions that Windows'
`os`, `signal` and `socket` do not have are taken away.
"""

import asyncio  # noqa: F401  (the modules that are only imported here need what is taken away below)
import builtins
import concurrent.futures  # noqa: F401
import ctypes  # noqa: F401
import multiprocessing  # noqa: F401
import os
import platform  # noqa: F401
import select  # noqa: F401
import shutil  # noqa: F401
import signal
import socket
import ssl  # noqa: F401
import subprocess  # noqa: F401
import tempfile  # noqa: F401

MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
MISSING = {
    os: "chown fchmod fchown getegid geteuid getgid getloadavg getpgid getpgrp getuid killpg mkfifo mknod nice openpty"
    " O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK posix_fadvise posix_fallocate pread pwrite sched_getaffinity"
    " sched_setaffinity setpgid setsid sync tcgetpgrp ttyname",
    signal: "alarm pthread_sigmask setitimer SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP"
    " SIGUSR1 SIGUSR2",
    socket: "AF_UNIX",
}
for _module, _names in MISSING.items():
    for _name in _names.split():
        if hasattr(_module, _name):
            delattr(_module, _name)

_import = builtins.__import__


def _without_unix_modules(name, globals=None, locals=None, fromlist=(), level=0):  # type: ignore[no-untyped-def]
    importer = (globals or {}).get("__name__", "").partition(".")[0]
    if name in MODULES and importer in ("edgenet", "edgenet_device", "__main__"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _import(name, globals, locals, fromlist, level)


builtins.__import__ = _without_unix_modules
