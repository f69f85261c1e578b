"""Commands for a device's POSIX shell: fixed sh(1) scripts that get values only as positional parameters.

They run in dash, bash, and Android's mksh and toybox.
"""

from __future__ import annotations

from collections.abc import Sequence

# If signal n ends the program, the shell reports 128 + n; ssh itself would report 255, as for a lost
# connection.
_TOLD = '"$@"; exit $?'

# The program gets SIGTERM as soon as our end of its standard input closes: because we stopped it, or this
# process ended, or the connection broke. The watcher closes its copies of our streams before it sleeps,
# because Android's shell kills it only after the sleep, and adbd waits until all streams are closed. The
# watcher is ended with SIGKILL, because adbd waits as long as it lives and qemu has lost a SIGTERM sent while
# the watcher was starting.
_WATCHED = """
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
( exec </dev/null >/dev/null 2>&1
  while read -r _ <&3; do :; done; kill -TERM $child; exec 3<&-; sleep 10; kill -KILL $child ) &
watcher=$!
wait $child
status=$?
exec 2>/dev/null  # otherwise bash prints that the watcher was killed
kill -KILL $watcher
exit $status
"""


def script(text: str, *values: str) -> tuple[str, ...]:
    """Return the command that runs a shell script; `values` become $1, $2 and so on in it."""
    return ("sh", "-c", text, "sh", *values)


def told(command: Sequence[str]) -> tuple[str, ...]:
    """Wrap a command so that its exit status also reports signals, as 128 + the signal's number."""
    return script(_TOLD, *command)


def watched(command: Sequence[str]) -> tuple[str, ...]:
    """Wrap a command to get SIGTERM when our end of its input closes, and SIGKILL ten seconds later."""
    return script(_WATCHED, *command)
