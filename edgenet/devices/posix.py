"""What we say to a POSIX shell there: fixed texts for sh(1), whose values come as positional parameters only.

They run in dash, bash, and the mksh and toybox of Android.
"""

from __future__ import annotations

from collections.abc import Sequence

# Signal n ends the program: the shell says 128 + n, where ssh itself would say 255, as for a lost connection.
_TOLD = '"$@"; exit $?'

# The program gets SIGTERM as soon as our end of its input closes: we stopped it, or died, or the connection is lost.
# The watcher lets go of our streams before it sleeps: Android's shell ends it only after that, and adbd waits for them.
# It gets SIGKILL, for adbd waits as long as it lives, and qemu has lost a SIGTERM that came while it was being made.
_WATCHED = """
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
( exec </dev/null >/dev/null 2>&1
  while read -r _ <&3; do :; done; kill -TERM $child; exec 3<&-; sleep 10; kill -KILL $child ) &
watcher=$!
wait $child
status=$?
exec 2>/dev/null  # bash would say that the watcher was killed
kill -KILL $watcher
exit $status
"""


def script(text: str, *values: str) -> tuple[str, ...]:
    """The command that runs a text of ours; `values` are $1, $2 and so on in it."""
    return ("sh", "-c", text, "sh", *values)


def told(command: Sequence[str]) -> tuple[str, ...]:
    """A command whose exit status tells of signals, too."""
    return script(_TOLD, *command)


def watched(command: Sequence[str]) -> tuple[str, ...]:
    """A command that gets SIGTERM when its caller's end of standard input closes, and SIGKILL ten seconds later."""
    return script(_WATCHED, *command)
