"""An update, from the index to a release that has lived through its first minutes: `python -m edgenet_device update`.

The steps are such that the power may fail at any moment: the bundle is fetched beside what runs, checked, and run once;
one link is switched; the camera's service is watched. If it fails, the link is switched back, and the bundle is not
tried again.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import LONGEST_LINE, json_text, one_line, read_json
from edgenet_device.model_file import check_trusted_file, read_file
from edgenet_device.output_files import write_atomically
from edgenet_device.trust import TRUST_FILE, Trust, read_trust, write_trust
from edgenet_device.updates.download import Site
from edgenet_device.updates.index import INDEX_FILE, MOST_INDEX_BYTES, Index, read_index
from edgenet_device.updates.release import Releases, camera_service

LAST_FILE = "last.txt"
MOST_STARTS = 2
"""How often a release on trial may be cut off, by the power or a crash of the device, before it counts as failed."""
SCHEMA = "edgenet.updates.state.v1"
_MOST_BYTES = 1 << 16
_MOST_REFUSED = 20


@dataclass(frozen=True)
class UpdateRequest:
    """What an update is asked for.

    Attributes:
        home: edgenet's folder on this device.
        url: the folder of updates.
        authority: PEM file of the certificate authority to trust; None for the system's.
        watch_s: seconds for which the service has to live with a new bundle.
        jitter_s: the longest random wait before anything is done, so that not all devices come at once.
        retry: whether a bundle that has failed here is tried again.
    """

    home: Path
    url: str
    authority: Path | None = None
    watch_s: float = 180.0
    jitter_s: float = 0.0
    retry: bool = False


def update(request: UpdateRequest, say: Callable[[str], None]) -> None:
    """Bring this device up to date.

    Raises:
        EdgenetError: the update cannot be had, must not be installed, or has failed; the message says what runs now.
    """
    site = Site(request.url, request.authority)
    time.sleep(random.uniform(0, request.jitter_s))
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        say(line)

    with _only_one(request.home):
        try:
            _Update(request, site, tell).run()
        except EdgenetError as error:
            said.append(f"error: {error}")
            raise
        finally:
            _note(request.home, said)


def _note(home: Path, said: list[str]) -> None:
    """Keep when this device has looked for updates, and what became of it, for `edgenet status`."""
    if said:
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {one_line(said[-1], LONGEST_LINE)}"
        with suppress(EdgenetError):  # a full disk
            write_atomically(home / "updates" / LAST_FILE, f"{line}\n".encode())


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    folder = home / "updates"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a")
    except OSError as error:
        raise EdgenetError(
            f"cannot use {folder}: {error.strerror}", "look after this device's disk"
        ) from None
    with lock:
        import fcntl  # Windows has no such module; this runs on devices only

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EdgenetError(
                "another update is running on this device", "wait until it has ended"
            ) from None
        yield


class _Update:
    """One run; see `update`."""

    def __init__(self, request: UpdateRequest, site: Site, say: Callable[[str], None]) -> None:
        self._request, self._site, self._say = request, site, say
        self._releases = Releases(request.home)
        self._folder = request.home / "updates"
        self._state_file = self._folder / "state.json"

    def run(self) -> None:
        """Go on with an update that was cut off, or look for a new one."""
        state = read_state(self._state_file)
        if state.trial is not None:
            if self._releases.current == state.trial.release:
                self._say("an update was cut off in its first minutes; they begin again")
                self._watch(state, state.trial)
                return
            state = replace(state, trial=None)  # cut off before the switch, or somebody deployed meanwhile
        trust = self._trust()
        index = read_index(self._site.read(INDEX_FILE, MOST_INDEX_BYTES), trust)
        if self._has(index, state):
            return
        self._remove_others(index)
        release = self._prepare(index, trust, state)
        trial = Trial(release, self._releases.current, index.sha256, index.signed_at)
        write_state(self._state_file, replace(state, trial=trial))
        self._releases.activate(release)
        self._watch(state, trial)

    def _trust(self) -> Trust:
        path = self._request.home / TRUST_FILE
        if not os.path.lexists(path):
            raise EdgenetError(
                "this device trusts no key, so it takes no updates",
                "edgenet deploy BUNDLE --on THIS_DEVICE --trust KEY.pub",
            )
        trust = read_trust(path)
        assert trust is not None  # there is a file
        return trust

    def _has(self, index: Index, state: UpdateState) -> bool:
        """Return whether there is nothing to do, after saying why."""
        if _holds(self._releases.bundle(self._releases.current), index):
            self._say(f"{index.bundle} is in use already")
            return True
        if index.sha256 in state.refused and not self._request.retry:
            self._say(
                f"{index.bundle} has failed on this device: {state.refused[index.sha256]}; it is not tried again"
            )
            return True
        return False

    def _remove_others(self, index: Index) -> None:
        """Remove what was fetched of other updates."""
        for path in self._folder.iterdir():
            if path.suffix in (".part", ".edgenet") and path.stem != index.sha256:
                path.unlink()

    def _prepare(self, index: Index, trust: Trust, state: UpdateState) -> str:
        """Fetch the bundle and make a release of it, whose model has run once; return its ID."""
        bundle = self._folder / index.bundle
        self._site.fetch(index.bundle, index.size, index.sha256, bundle)
        try:
            check_trusted_file(bundle, read_file(bundle), trust)
            release = self._releases.add(bundle)
        finally:
            bundle.unlink()
        try:
            self._releases.try_model(release)
        except EdgenetError as error:
            write_state(self._state_file, state.with_refused(index.sha256, error.found))
            raise
        return release

    def _watch(self, state: UpdateState, trial: Trial) -> None:
        """Start the service with the release on trial, watch its first minutes, and go back if it fails in them."""
        trial = replace(trial, starts=trial.starts + 1)
        write_state(self._state_file, replace(state, trial=trial))
        service = camera_service()
        if trial.starts > MOST_STARTS:
            fault = f"this device was cut off {MOST_STARTS} times in the first minutes"
        elif service is None:
            fault = ""
        elif not service.restart():
            fault = "its service does not start"
        else:
            fault = service.fault(self._request.watch_s)
        if fault:
            self._go_back(state, trial, fault)
        path = self._request.home / TRUST_FILE
        trust = read_trust(path)
        if trust is not None:
            write_trust(path, Trust(trust.key, max(trust.newest, trial.signed_at)))
        write_state(self._state_file, replace(state, trial=None))
        self._releases.prune()
        watched = "" if service is not None else "; no service runs that could be watched"
        self._say(f"{self._releases.bundle(trial.release).name} is in use now ({trial.release}){watched}")

    def _go_back(self, state: UpdateState, trial: Trial, fault: str) -> None:
        self._releases.activate(trial.before)
        service = camera_service()
        if service is not None:
            service.restart()
        write_state(self._state_file, state.with_refused(trial.sha256, fault))
        raise EdgenetError(
            f"the update has failed: {fault}; the release before ({trial.before}) runs again",
            "publish a better one; journalctl has what the service said",
        )


def _holds(path: Path, index: Index) -> bool:
    """Return whether a bundle is the one that an index names."""
    return path.stat().st_size == index.size and hashlib.sha256(read_file(path)).hexdigest() == index.sha256


@dataclass(frozen=True)
class Trial:
    """A release that is in use, but has not lived through its first minutes yet.

    Attributes:
        release: its ID.
        before: the release that ran before, to go back to.
        sha256: the bundle's SHA-256.
        signed_at: when the bundle was signed.
        starts: how often a run of the update has begun to watch it.
    """

    release: str
    before: str
    sha256: str
    signed_at: int
    starts: int = 0


@dataclass(frozen=True)
class UpdateState:
    """What a device remembers of its updates: the one that is on trial, and those that have failed here.

    HOME/updates/state.json holds it. The file is written whole, before each step that it is about, so that an update
    goes on after a power failure.

    Attributes:
        trial: the release on trial; None if there is none.
        refused: why bundles have failed on this device, by their SHA-256.
    """

    trial: Trial | None = None
    refused: dict[str, str] = field(default_factory=dict)

    def with_refused(self, sha256: str, why: str) -> UpdateState:
        """Return the state after a bundle has failed."""
        kept = [*((one, text) for one, text in self.refused.items() if one != sha256), (sha256, why[:500])]
        return replace(self, trial=None, refused=dict(kept[-_MOST_REFUSED:]))


def read_state(path: Path) -> UpdateState:
    """Return what a state.json says; one that is missing or damaged says nothing."""
    try:
        with path.open("rb") as file:
            parts: Any = read_json(file.read(_MOST_BYTES))
        if parts["schema"] != SCHEMA:
            return UpdateState()
        trial = None if parts["trial"] is None else Trial(**parts["trial"])
        texts = [*parts["refused"], *parts["refused"].values()]
        if trial is not None:
            texts += [trial.release, trial.before, trial.sha256]
        numbers = [] if trial is None else [trial.starts, trial.signed_at]
        sound = all(isinstance(text, str) for text in texts) and all(type(one) is int for one in numbers)
        return UpdateState(trial, parts["refused"]) if sound else UpdateState()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return UpdateState()


def write_state(path: Path, state: UpdateState) -> None:
    """Write a state.json.

    Raises:
        EdgenetError: it cannot be written.
    """
    parts = {"schema": SCHEMA, "trial": state.trial and asdict(state.trial), "refused": state.refused}
    write_atomically(path, (json_text(parts) + "\n").encode())
