"""What edgenet asks of a device's POSIX shell: fixed scripts, programs that end with us, facts, and its identity.

The scripts get values only as positional parameters, so no value is ever read as shell code. They run in
dash, bash, and Android's mksh and toybox.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edgenet_device.foreign_text import is_number

from edgenet.devices.device import Device, DeviceFacts, ProgramResult
from edgenet.errors import EdgenetError

COPY_STAGE = "copy"
"""The stage of a progress that counts bytes copied to a device."""
_AGAIN = "run the same command again"
_ANSWER_S = 10.0
# A phone and a Raspberry Pi have a number of their maker's. Other machines have one of their system's, which copied SD
# cards share; the addresses of their network cards tell these apart.
_ASK_NUMBER = r"""
number=$(getprop ro.serialno 2>/dev/null)
case "$number" in EMULATOR* | unknown) exit 0 ;; esac
[ -n "$number" ] || number=$(tr -d '\000' </proc/device-tree/serial-number 2>/dev/null)
[ -n "$number" ] || number=$(sort -u /etc/machine-id /sys/class/net/*/address 2>/dev/null | tr '\n' ' ')
printf '%s' "$number"
"""


def script(text: str, *values: str) -> tuple[str, ...]:
    """Return the command that runs a shell script; `values` become $1, $2 and so on in it."""
    return ("sh", "-c", text, "sh", *values)


# If signal n ends the program, the shell reports 128 + n; ssh itself would report 255, as for a lost
# connection.
_REPORTS_SIGNALS = '"$@"; exit $?'


def report_signals(command: Sequence[str]) -> tuple[str, ...]:
    """Wrap a command so that its exit status also reports signals, as 128 + the signal's number."""
    return script(_REPORTS_SIGNALS, *command)


# The program gets SIGTERM as soon as our end of its standard input closes: because we stopped it, or this
# process ended, or the connection broke. The watcher closes its copies of our streams before it sleeps,
# because Android's shell kills it only after the sleep, and adbd waits until all streams are closed. The
# watcher is ended with SIGKILL, because adbd waits as long as it lives and qemu has lost a SIGTERM sent while
# the watcher was starting.
_ENDS_WITH_CALLER = """
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


def kill_with_caller(command: Sequence[str]) -> tuple[str, ...]:
    """Wrap a command to get SIGTERM when our end of its input closes, and SIGKILL ten seconds later."""
    return script(_ENDS_WITH_CALLER, *command)


def require_success(device: Device, what: str, done: ProgramResult, remedy: str = _AGAIN) -> None:
    """Check that a program on a device has succeeded.

    Args:
        device: the device.
        what: the step that the program carried out, to follow "cannot" in the message.
        done: its result.
        remedy: what to do if it failed, unless the reason is a full disk.

    Raises:
        EdgenetError: the program failed.
    """
    if done.status:
        full = b"No space left" in done.err
        raise EdgenetError(
            f"cannot {what} on {device.name}: {done.last_line()}",
            "free some space on the device" if full else remedy,
        )


@contextmanager
def understood(device: Device) -> Iterator[None]:
    """Turn what goes wrong within the block into one line; the block takes apart what a device has answered.

    Raises:
        EdgenetError: the answer lacks a part, or a part of it is not what belongs there.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise EdgenetError(
            f"{device.name} gives an answer that edgenet does not understand ({type(error).__name__}: {error!s:.100})",
            "check that its shell and its disk work, and deploy again",
        ) from error


def copy_remedy(reason: str, otherwise: str = _AGAIN) -> str:
    """Return what to do about files that cannot be copied, from the reason that the device's programs give."""
    if "No space left" in reason:
        return "free some space on the device"
    if "ermission denied" in reason or "Read-only" in reason:
        return "check who owns the folder on the device"
    return otherwise


def timeout_error(command: Sequence[str], timeout_s: float, name: str) -> EdgenetError:
    """Return the error for a program that did not end in time on the device called `name`."""
    return EdgenetError(
        f"{command[0]} did not end within {timeout_s:g} s on {name}", "check what keeps the device busy"
    )


# Prints one "name=value" per line and leaves out unknown facts. Starting Python's interpreter would take
# longer than all the rest together, so python3 is only asked for its version. What the shell can do by itself is done
# without other programs, for each one takes tens of milliseconds on a slow device.
_ASK_FACTS = r"""
echo "machine=$(uname -m)"
echo "bits=$(getconf LONG_BIT 2>/dev/null)"
[ -r /etc/os-release ] && ( . /etc/os-release; echo "system=$PRETTY_NAME" )
[ -r /proc/device-tree/model ] && echo "model=$(tr -d '\000' </proc/device-tree/model)"
if android=$(getprop ro.build.version.release 2>/dev/null); then
    echo "system=Android $android"
    abis=$(getprop ro.product.cpu.abilist 2>/dev/null) && echo "abis=$abis"
    model=$(getprop ro.product.model 2>/dev/null) && echo "model=$model"
fi
for video in /dev/video*; do [ ! -e "$video" ] || echo "camera=v4l2"; done
folder=$1
while [ ! -d "$folder/" ]; do
    case $folder in */*) folder=${folder%/*} ;; *) folder=. ;; esac
done
df -Pk "$folder/" | { read -r _; read -r _ _ _ free _; echo "free_kib=$free"; }
python=$(python3 -V 2>/dev/null) && echo "python=${python#Python }"
for found in /usr/lib/python3/*-packages/picamera2 /usr/local/lib/python3.*/*-packages/picamera2 \
    "$HOME"/.local/lib/python3.*/*-packages/picamera2; do
    [ ! -e "$found" ] || echo "camera=picamera2"
done
exit 0
"""
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def facts_of(device: Device) -> DeviceFacts:
    """Ask a device for its facts, with one command.

    Raises:
        EdgenetError: the device lacks a POSIX shell or uname.
    """
    done = device.run(script(_ASK_FACTS, device.home))
    lines = [
        line.partition("=")[::2] for line in done.out.decode(errors="replace").splitlines() if "=" in line
    ]
    found = dict(lines)
    machine = found.get("machine")
    if done.status or not machine:
        raise EdgenetError(
            f"cannot identify {device.name}: {done.last_line()}", "use a Linux machine or an Android phone"
        )
    python = _VERSION.match(found.get("python", ""))
    free = found.get("free_kib", "")
    with understood(device):
        return DeviceFacts(
            machine=machine,
            userland=_userland(machine, found.get("bits"), found.get("abis")),
            system=found.get("system") or None,
            model=found.get("model") or None,
            python=(int(python[1]), int(python[2]), int(python[3])) if python else None,
            camera_stack=tuple(sorted({value for name, value in lines if name == "camera"})),
            free_bytes=int(free) * 1024 if is_number(free) else None,
        )


def _userland(machine: str, bits: str | None, abis: str | None) -> str:
    """Return the programs' architecture, which may differ from the kernel's.

    The 32-bit Raspberry Pi OS and some cheap phones have a 64-bit kernel; a phone lists the ABIs it supports.
    """
    if machine in ("aarch64", "armv8l") and (bits == "32" or (abis and "arm64-v8a" not in abis)):
        return "armv7l"
    return machine


def identity(device: Device) -> str:
    """Return a text that is the same for every route to a device and to edgenet's folder there; "" if it is unknown.

    Raises:
        EdgenetError: the device does not answer.
    """
    number = device.run(script(_ASK_NUMBER), timeout_s=_ANSWER_S).out.decode(errors="replace").strip()
    return f"{number} {device.home}" if number else ""
