"""Whether a device's pip reaches its package index, found out in seconds and told in plain words.

pip itself tries for minutes, and then says that it finds no such version, whatever was wrong.
"""

from __future__ import annotations

from edgenet.devices.device import Device
from edgenet.devices.shell import script
from edgenet.errors import EdgenetError

# One retry, because pip gives the reason of a failed connection only where it tries again.
_ASK = """
"$1" -m pip index versions "$2" --retries 1 --timeout 5 --disable-pip-version-check --no-cache-dir 2>&1
status=$?
echo "date=$(date '+%Y-%m-%d %H:%M')"
echo "proxy=${https_proxy:+set}${HTTPS_PROXY:+set}"
exit $status
"""
_NO_ANSWER = ("Connection refused", "timed out", "Connection reset")
_OFFLINE = "or give --offline, with which this machine copies the packages"
_PROXY = "{name} does not get through its proxy", "check https_proxy and pip's configuration there"
# A part of what pip, urllib3 and OpenSSL say; what is wrong; what to do. The first that fits is told.
_REASONS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("certificate is not yet valid", "certificate has expired"),
        "by the clock of {name} it is {date}, and then the certificate of its package index is not valid",
        "set the clock there, for example with sudo timedatectl set-ntp true",
    ),
    (
        ("certificate verify failed", "CERTIFICATE_VERIFY_FAILED"),
        "{name} does not know who signed the certificate of its package index",
        "run sudo apt install ca-certificates there, check its clock (it says {date}) and what stands between it and "
        "the internet",
    ),
    (("ProxyError", "Cannot connect to proxy", "Tunnel connection failed"), *_PROXY),
    (
        ("Name or service not known", "name resolution", "No address associated"),
        "{name} finds no address for its package index",
        "connect it to the internet, check its name server",
    ),
    (
        ("Network is unreachable", "No route to host"),
        "{name} has no connection to the internet",
        "connect it",
    ),
    (
        _NO_ANSWER,
        "the package index of {name} does not answer",
        "check its connection to the internet",
    ),
)


def check_package_index(device: Device, python: str, package: str) -> None:
    """Check that pip on a device finds a package; a failure that we do not know is left to pip.

    Args:
        device: the device.
        python: the Python there whose pip will be used.
        package: the package's name, such as "numpy".

    Raises:
        EdgenetError: pip cannot reach its index; the message says why and what to do.
    """
    done = device.run(script(_ASK, python, package))
    if done.status == 0:
        return
    printed, _, rest = done.out.decode(errors="replace").rpartition("date=")
    date, _, proxy = rest.strip().partition("\nproxy=")
    behind_proxy = [(_NO_ANSWER, *_PROXY)] if proxy else []
    for words, found, remedy in [*behind_proxy, *_REASONS]:
        if any(word in printed for word in words):
            facts = {"name": device.name, "date": date}
            raise EdgenetError(found.format(**facts), f"{remedy.format(**facts)}, {_OFFLINE}")
