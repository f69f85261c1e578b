"""Which device this is, however it was reached: two names or two routes may lead to the same one."""

from __future__ import annotations

from edgenet.devices.device import Device
from edgenet.devices.shell import script

_ANSWER_S = 10.0
# A phone and a Raspberry Pi have a number of their maker's. Other machines have one of their system's, which copied SD
# cards share; the addresses of their network cards tell these apart.
_ASK = r"""
number=$(getprop ro.serialno 2>/dev/null)
case "$number" in EMULATOR* | unknown) exit 0 ;; esac
[ -n "$number" ] || number=$(tr -d '\000' </proc/device-tree/serial-number 2>/dev/null)
[ -n "$number" ] || number=$(sort -u /etc/machine-id /sys/class/net/*/address 2>/dev/null | tr '\n' ' ')
printf '%s' "$number"
"""


def identity(device: Device) -> str:
    """Return a text that is the same for every route to a device and to edgenet's folder there; "" if it is unknown.

    Raises:
        EdgenetError: the device does not answer.
    """
    number = device.run(script(_ASK), timeout_s=_ANSWER_S).out.decode(errors="replace").strip()
    return f"{number} {device.home}" if number else ""
