"""Runs commands of edgenet as forks of one process that has imported it: most of them import for longer than they run.

`forked_commands` starts that process and yields a shell function `edgenet`, which takes the place of the command. Each
command still has a process of its own, with the shell's arguments, folder, variables and streams, and the shell gets
its exit status. Nothing is computed before the fork.
"""

from __future__ import annotations

import marshal
import os
import socket
import sys

# The shell runs this file for each command, so it imports no more than it needs to ask for one.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from types import ModuleType


def forked_commands(place: str, variables: Mapping[str, str]) -> Generator[str]:
    """Start the process that the commands are forks of; yield the shell function, and end the process.

    Args:
        place: path of its socket, at most 100 characters.
        variables: the environment that edgenet is imported in.
    """
    import subprocess

    program = [sys.executable, __file__, "serve", place]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, env=variables, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "edgenet could not be imported"
            yield f'edgenet() {{ "{sys.executable}" -I -S "{__file__}" call "{place}" "$@"; }}'
        finally:
            process.terminate()


def call(place: str, arguments: list[str]) -> int:
    """Have the process at a socket run the command with these arguments; return the command's exit status."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(place)
        asked = marshal.dumps((arguments, os.getcwd(), dict(os.environ)))
        socket.send_fds(connection, [len(asked).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(asked)
        return connection.recv(1)[0]


def serve(place: str) -> None:
    """Import edgenet, and run one command after the other, each in a fork, until standard input ends."""
    from select import select

    run = _import_all()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        while True:
            if sys.stdin in select([listener, sys.stdin], [], [])[0]:  # the tests have ended, or were killed
                return
            with listener.accept()[0] as connection:
                size, streams, _, _ = socket.recv_fds(connection, 4, 3)
                asked = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
                command = os.fork()
                if not command:
                    break
                for stream in streams:
                    os.close(stream)
                status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
                connection.sendall(bytes([status if status >= 0 else 128 - status]))
    _become(streams, *marshal.loads(asked))
    run()


def _import_all() -> Callable[[], None]:
    """Import what the commands import when they run, and return what the command `edgenet` calls."""
    import gc
    from importlib import import_module

    import typer

    import edgenet.commands.app
    import edgenet.workflows
    from edgenet.__main__ import main

    drawing = ("edgenet.figures.training_figures", "matplotlib.backends.backend_agg", "rich.table")
    for name in (*drawing, *_modules(edgenet.commands), *_modules(edgenet.workflows)):
        import_module(name)
    commands = typer.main.get_command(edgenet.commands.app.app).commands
    commands["models"].make_context("models", [])  # typer imports what parses the options when it parses them
    gc.freeze()  # so that a fork copies nothing of this only to look for garbage
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"importing edgenet has started {threads - 1} threads, which a fork would lack"
    return main


def _modules(package: ModuleType) -> list[str]:
    import pkgutil

    return [module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]


def _become(streams: list[int], arguments: list[str], folder: str, variables: dict[str, str]) -> None:
    """Give this process what a shell gives a command: its streams, arguments, folder and variables."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.argv[1:] = arguments
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)


if __name__ == "__main__":
    if sys.argv[1] == "call":
        sys.exit(call(sys.argv[2], sys.argv[3:]))
    sys.argv[0] = os.path.join(sys.prefix, "bin", "edgenet")
    sys.path[0] = os.path.dirname(sys.argv[0])
    serve(sys.argv[2])
