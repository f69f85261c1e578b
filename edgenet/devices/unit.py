"""The systemd unit of the live camera: what it starts, when it starts again, and all that it is kept away from.

Whoever takes over the camera's process, by a fault in a decoder or in the runtime, is left with what the unit allows.
docs/security.md says what that is, and how it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from edgenet_device.foreign_text import one_line, printable
from edgenet_device.source_text import is_live
from edgenet_device.updates.release import UNIT as UNIT

from edgenet.devices.app_folders import start_command
from edgenet.devices.apps import Program
from edgenet.devices.service_options import ServiceOptions, counted_arguments
from edgenet.errors import EdgenetError


@dataclass(frozen=True)
class Service:
    """The settings of the service.

    Attributes:
        source: the camera, as camera.py accepts it.
        serve: the page's address, as camera.py accepts it; None for no page.
        system: whether to install a system service, which needs sudo, instead of a user service.
        options: camera.py's other options.
        program: the user's own program that runs instead of camera.py; None for camera.py. The three above are kept
            for when camera.py runs again.
        arguments: the arguments of that program.
        wanted: the words of all options, if the release in use knows only `options`; see `fitted_to_release`.

    Raises:
        EdgenetError: a text holds a line break or another control character.
    """

    source: str = "0"
    serve: str | None = None
    system: bool = False
    options: ServiceOptions = field(default_factory=ServiceOptions)
    program: Program | None = None
    arguments: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()

    def shown_program(self) -> str | None:
        """Return the user's own program as it may be shown to anybody, without its arguments; None for camera.py."""
        if self.program is None:
            return None
        return f"{self.program}{counted_arguments(len(self.arguments))}"

    def __post_init__(self) -> None:
        program = "" if self.program is None else f"{self.program.app}/{self.program.path}"
        for text in (
            self.source,
            self.serve or "",
            *self.options.words(),
            program,
            *self.arguments,
            *self.wanted,
        ):
            _refuse_control_characters(text)


@dataclass(frozen=True)
class Account:
    """The account on the device that runs the service.

    Attributes:
        user: its name.
        home: its home folder.
        edgenet: edgenet's folder within it.
        systemd: version of the device's systemd.
    """

    user: str
    home: str
    edgenet: str
    systemd: int


# The first systemd version with RestartSteps=, which lengthens the pauses between restarts.
_STEPPED_BACK_OFF = 254
_UNIT_TEXT = """# Written by edgenet deploy.
[Unit]
Description=edgenet: what the camera sees
StartLimitIntervalSec=0

[Service]
{kind}{user}WorkingDirectory=-%S/edgenet
ExecStart={command}
RuntimeDirectory=edgenet
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
StateDirectory=edgenet
StateDirectoryMode=0700
Restart=always
{back_off}SuccessExitStatus=143
{limits}
[Install]
WantedBy={wanted_by}
"""
# camera.py tells systemd when it is ready, and that it still runs. A program of the user's own need not.
_CAMERA_KIND = "Type=notify\nWatchdogSec=30\nTimeoutStartSec=180\n"
_PROGRAM_KIND = "Type=exec\n"
# These need no namespace, so they work for every service. AF_NETLINK: libcamera finds cameras through udev, and the
# resolver of names asks for the machine's addresses.
_LIMITS = """UMask=0077
KeyringMode=private
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
"""
# /run/dbus: through D-Bus a process can ask others, which are not confined, to act for it. ProcSubset=pid is left out,
# because the runtime reads /proc/cpuinfo to choose its kernels. TemporaryFileSystem stands for ProtectHome=tmpfs, which
# systemd 252 leaves writable in a user's service.
_SANDBOX = """CapabilityBoundingSet=
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
InaccessiblePaths=-/run/dbus
TemporaryFileSystem=/home:ro /root:ro /run/user:ro
"""
# A user's systemd may do these things only in a user namespace, and leaves them out without a word if there is none.
# With /run/user the user's D-Bus, keys and sound are hidden, too.
_USER_SANDBOX = """PrivateUsers=yes
BindPaths=%t/edgenet %S/edgenet
BindReadOnlyPaths=%t/systemd/notify
"""
# Only root may restrict devices. The first line is for USB cameras, all are for a Raspberry Pi's own camera: its
# pictures (video4linux, media, dma_heap, udmabuf) and the firmware, which tells when the Pi is throttled (vcio, vchiq).
_SYSTEM_SANDBOX = """DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
DeviceAllow=char-vchiq rw
DeviceAllow=/dev/udmabuf rw
DeviceAllow=/dev/vcio rw
"""
_PINS = "DeviceAllow=char-gpiochip rw\n"


def unit_text(service: Service, account: Account, sandbox: bool = True) -> str:
    """Return the text of the unit file (systemd.service(5), systemd.exec(5)).

    Args:
        service: the service's settings.
        account: the account that runs it.
        sandbox: False leaves out what needs namespaces, for a device that has none for its users.

    Raises:
        EdgenetError: the account's name or a folder holds a line break or another control character.
    """
    for text in (account.user, account.home, account.edgenet):
        _refuse_control_characters(text)
    stepped = account.systemd >= _STEPPED_BACK_OFF
    return _UNIT_TEXT.format(
        kind=_CAMERA_KIND if service.program is None else _PROGRAM_KIND,
        command=f"/bin/sh {_command(service, account)}",
        user=f"User={account.user}\n" if service.system else "",
        back_off="RestartSec=2\nRestartSteps=5\nRestartMaxDelaySec=60\n" if stepped else "RestartSec=5\n",
        limits=_LIMITS + (_sandbox(service, account) if sandbox else ""),
        wanted_by="multi-user.target" if service.system else "default.target",
    )


def _command(service: Service, account: Account) -> str:
    """Return the script that the service starts, and its arguments, as ExecStart= takes them."""
    if service.program is not None:
        return quote_for_systemd([*start_command(account.edgenet, service.program), *service.arguments])
    serve = [] if service.serve is None else ["--serve", service.serve]
    # An older release, after a rollback, knows no --config; it is left out where it would say nothing.
    config = ["--config", f"{account.edgenet}/service/settings.json"] if service.options.options else []
    words = [f"{account.edgenet}/current/camera.sh", _source_there(service, account), *serve, *config]
    # %t is the runtime folder in memory that contains RuntimeDirectory. systemd replaces only this %, because
    # `quote_for_systemd` escapes all others.
    return f"{quote_for_systemd(words)} --state %t/edgenet/camera.json"


def _source_there(service: Service, account: Account) -> str:
    """Return the source as the service opens it: what a path is relative to is the home folder."""
    source = service.source
    if is_live(source) or source.startswith(("@", "/")) or "://" in source:
        return source
    return f"{account.home}/{source}"


def _sandbox(service: Service, account: Account) -> str:
    # The cache remembers which models have run on this device; without it, each start tries the model anew.
    readable = [account.edgenet, f"-{account.home}/.cache/edgenet"]
    source = _source_there(service, account)
    if source.startswith("/") and not is_live(source):
        readable.append(f"-{source}")
    if service.program is None:
        readable += [f"-{command}" for command in service.options.commands()]
    binds = f"BindReadOnlyPaths={' '.join(map(_quote, readable))}\n"
    if written := written_folders(service, account):
        binds += f"BindPaths={' '.join(_quote(f'-{folder}') for folder in written)}\n"
    if not service.system:
        return _SANDBOX + binds + _USER_SANDBOX
    pins = service.program is not None or service.options.has("gpio")
    return _SANDBOX + binds + _SYSTEM_SANDBOX + (_PINS if pins else "")


def written_folders(service: Service, account: Account) -> tuple[str, ...]:
    """Return the folders that the service may write besides its state folder.

    Raises:
        EdgenetError: one of them holds the home folder or edgenet's own.
    """
    folders = service.options.written_folders() if service.program is None else ()
    for folder in folders:
        for kept in (account.home, f"{account.edgenet}/service"):
            if ".." in PurePosixPath(folder).parts or PurePosixPath(kept).is_relative_to(folder):
                raise EdgenetError(
                    f"the service may not write all of {folder}",
                    f"give a folder of its own, such as {account.home}/edgenet-events, or a name without a folder",
                )
    return folders


def quote_for_systemd(arguments: Sequence[str]) -> str:
    """Quote arguments for ExecStart=, where quotes, backslashes, $ and % are special (systemd.service(5))."""
    return " ".join(_quote(argument).replace("$", "$$") for argument in arguments)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _refuse_control_characters(text: str) -> None:
    """Refuse what could begin a line of its own in the unit, and what cannot be seen in it."""
    if printable(text) != text:
        raise EdgenetError(
            f"a line break or another control character stands in '{one_line(text)}'", "leave it out"
        )
